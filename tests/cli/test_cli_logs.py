"""``kolo logs``: of a server that runs, of engines, and when nothing runs."""

from __future__ import annotations

import json
import re
import select
import signal
import subprocess
import sys

import pytest
from cli_server import PATIENCE_S, Server
from running import Kolo


@pytest.fixture(autouse=True)
def frugal(env: dict[str, str]) -> None:
    env["KOLO_ENGINE_THREADS"] = "1"


def test_the_server_and_its_engines_speak_while_it_runs_and_engines_after(
    env: dict[str, str], kolo: Kolo
) -> None:
    with Server(env, "guide", "--ctx", "64") as server:
        server.until("guide loaded")
        own = kolo("logs").stdout
        assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d guide loading$", own, re.M)
        assert "guide loaded in" in own
        engine = kolo("logs", "guide", "-n", "1000").stdout
        assert "llama_context" in engine
        lines = [
            json.loads(line)
            for line in kolo("logs", "guide", "-n", "3", "--jsonl").stdout.splitlines()
        ]
        assert len(lines) == 3
        assert set(lines[0]) == {"level", "timestamp", "message"}
        done = kolo("logs", "none")
        assert (done.returncode, done.stdout) == (4, "")
    assert kolo("logs", "guide", "-n", "1000").stdout.startswith(engine[:200])
    assert kolo("logs", "gui", "-n", "1").returncode == 0  # the beginning of a name will do
    done = kolo("logs")
    assert (done.returncode, done.stdout) == (3, "")
    assert "try: kolo logs with an engine: guide" in done.stderr


def test_lines_are_followed_until_the_server_stops(env: dict[str, str]) -> None:
    with Server(env) as server:
        command = [sys.executable, "-m", "kolo", "logs", "-f", "-n", "0", "--url", server.url]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
        ) as following:
            assert following.stdout is not None
            first = b""
            while not first:  # it may not be connected yet
                server.process.send_signal(signal.SIGHUP)
                first = line_within(following, 1.0)
            assert b"settings read anew" in first
            assert server.stop() == 0
            _, error = following.communicate(timeout=PATIENCE_S)
            assert following.returncode == 0, error
            assert b"the server has stopped" in error


def line_within(process: subprocess.Popen[bytes], timeout_s: float) -> bytes:
    """What has come, if anything does in that time."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], timeout_s)
    return process.stdout.readline() if ready else b""


def test_no_text_of_anybody_is_in_any_log(env: dict[str, str], kolo: Kolo) -> None:
    secret = "the-password-is-plover"
    with Server(env, "guide", "--ctx", "256", "--log-access", "--log-level", "debug") as server:
        body = {"model": "guide", "prompt": secret, "max_tokens": 4}
        with server.post("/v1/completions", body) as response:
            answer = json.load(response)["choices"][0]["text"].strip()
        engine = kolo("logs", "guide", "-n", "5000").stdout
        assert server.stop() == 0
    assert "POST /v1/completions" in server.said
    for log in (server.said, engine):
        assert secret not in log
        assert len(answer) < 4 or answer not in log
