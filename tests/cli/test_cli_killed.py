"""A server that is killed a hundred times, at any moment, keeps all that it said it had."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest
from cli_server import PATIENCE_S, Server
from running import Kolo

KILLS = 100
GUIDE = str(files("kolo.models") / "data" / "guide.gguf")


@dataclass
class Known:
    """What the server has answered for; ``unsure`` of what it was killed before it answered."""

    there: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    n_answered: int = 0


@pytest.mark.timeout(1200)
def test_a_hundred_kills_lose_nothing_that_was_answered_for(
    env: dict[str, str], kolo: Kolo, tmp_path: Path
) -> None:
    env["KOLO_MANAGER_IDLE_UNLOAD"] = "1s"
    dice = random.Random(8)
    known = Known()
    for number in range(KILLS):
        if number % 4 == 0:
            killed_while_starting(env, dice)
        else:
            killed_at_work(env, dice, known, number)
        for path in (tmp_path / "state").rglob("*.json"):
            json.loads(path.read_text())
    with Server(env) as server:
        assert "set aside" not in server.said
        engines = listed(server)
        assert known.there <= engines
        assert engines - known.there - known.unsure <= {"guide"}
        assert known.n_answered > KILLS / 2
        assert answered(server)
    assert not list((tmp_path / "state").rglob("*.tmp*")), "what a kill left half-written stays"
    with sqlite3.connect(tmp_path / "state" / "kolo" / "history.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    verified = kolo("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def killed_while_starting(env: dict[str, str], dice: random.Random) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "kolo", "serve", "--port", "0"],
        env=env,
        cwd=env["HOME"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(dice.uniform(0.0, 1.0))
    process.kill()
    process.wait(PATIENCE_S)


def killed_at_work(env: dict[str, str], dice: random.Random, known: Known, number: int) -> None:
    with Server(env) as server:
        engines = listed(server)
        assert known.there <= engines, f"lost before kill {number}"
        known.there |= known.unsure & engines
        known.unsure.clear()
        done = threading.Event()
        working = threading.Thread(target=work, args=(server, dice, known, number, done))
        working.start()
        time.sleep(dice.uniform(0.0, 0.4))
        workers = psutil.Process(server.pid).children()
        os.kill(server.pid, signal.SIGKILL)
        done.set()
        working.join(PATIENCE_S)
        assert not working.is_alive()
        _, alive = psutil.wait_procs(workers, timeout=PATIENCE_S)
        assert not alive, "a worker has outlived its server"


def work(
    server: Server, dice: random.Random, known: Known, number: int, done: threading.Event
) -> None:
    """Engines come and go and one of them answers, until the server is no more."""
    for step in range(1000):
        if done.is_set():
            return
        goes = sorted(known.there - known.unsure)
        try:
            if step % 7 == 3:
                answered(server)
            elif len(goes) > 5:
                known.unsure.add(goes[0])
                known.there.discard(goes[0])
                call(server, "DELETE", f"/engines/{goes[0]}")
                known.unsure.discard(goes[0])
            else:
                name = f"e{number}-{step}"
                known.unsure.add(name)
                body = {"engine_id": name, "model_path": GUIDE, "load_immediately": False}
                call(server, "POST", "/engines", body)
                known.unsure.discard(name)
                known.there.add(name)
            known.n_answered += 1
        except HTTPError:
            raise
        except (OSError, ValueError):  # it was killed before it had answered
            return


def answered(server: Server) -> bool:
    body = {"model": "guide", "prompt": "What is a slot?", "max_tokens": 4}
    return bool(call(server, "POST", "/v1/completions", body)["choices"])


def listed(server: Server) -> set[str]:
    return {one["engine_id"] for one in call(server, "GET", "/engines")["engines"]}


def call(server: Server, method: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(server.url + path, data, method=method), timeout=PATIENCE_S) as reply:
        return json.loads(reply.read())
