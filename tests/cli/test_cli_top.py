"""``kolo top`` without a screen, on a terminal, and against a real server."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_server import Server
from running import Kolo

PATIENCE_S = 60.0


def test_once_is_a_table_and_the_default_in_a_pipe(kolo: Kolo) -> None:
    once = kolo("top", "--demo", "--once")
    assert once.returncode == 0
    assert once.stderr == ""
    assert "ENGINE" in once.stdout
    assert "qwen3-8b*" in once.stdout
    piped = kolo("top", "--demo")
    assert piped.stdout == once.stdout
    assert "no terminal" in piped.stderr


@pytest.mark.parametrize("option", ["--readonly", "--theme=kolo-light", "--url=http://[::1]:1"])
def test_what_only_the_screen_heeds_is_refused_without_one(kolo: Kolo, option: str) -> None:
    done = kolo("top", "--demo", "--once", option)
    assert done.returncode == 2
    assert f"{option.partition('=')[0]} is for the screen" in done.stderr


def test_json_is_one_snapshot(kolo: Kolo) -> None:
    done = kolo("top", "--demo", "--json", "--seed", "7")
    told = json.loads(done.stdout)
    assert told["type"] == "snapshot"
    assert len(told["engines"]) == 5
    assert kolo("top", "--demo", "--json", "--seed", "7").stdout == done.stdout
    assert kolo("top", "--demo", "--json").stdout != done.stdout


def test_jsonl_is_a_message_a_line_and_ends_after_so_many(kolo: Kolo) -> None:
    done = kolo("top", "--demo", "--jsonl", "-n", "3")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0]["type"] == "hello"
    assert [line["type"] for line in lines].count("snapshot") == 3


def test_what_is_recorded_is_replayed(kolo: Kolo, tmp_path: Path) -> None:
    told = kolo("top", "--demo", "--jsonl", "-n", "5", "--record", "a.jsonl")
    assert (tmp_path / "a.jsonl").read_text() == told.stdout
    again = kolo("top", "--replay", "a.jsonl", "--jsonl")
    assert again.returncode == 0
    assert again.stdout == told.stdout
    last = json.loads(kolo("top", "--replay", "a.jsonl", "--json").stdout)
    assert last == json.loads(told.stdout.splitlines()[-1])
    kolo("top", "--socket", "nobody.sock", "--json", "--record", "b.jsonl")
    assert not (tmp_path / "b.jsonl").exists()
    taken = kolo("top", "--demo", "--jsonl", "-n", "1", "--record", "a.jsonl")
    assert taken.returncode == 2
    assert "is there already" in taken.stderr


def test_a_cut_recording_is_shown_and_an_empty_one_refused(kolo: Kolo, tmp_path: Path) -> None:
    whole = kolo("top", "--demo", "--jsonl", "-n", "2").stdout
    (tmp_path / "cut.jsonl").write_text(whole[:-50])
    assert json.loads(kolo("top", "--replay", "cut.jsonl", "--json").stdout)["engines"]
    assert "cut off" in kolo("top", "--replay", "cut.jsonl", "--once").stderr
    (tmp_path / "none.jsonl").write_text("nothing\n")
    refused = kolo("top", "--replay", "none.jsonl", "--once")
    assert refused.returncode == 2
    assert "no recording" in refused.stderr


@pytest.mark.parametrize("how", ["--once", "--json", "--jsonl"])
def test_no_server_is_exit_3_and_says_how_to_start_one(kolo: Kolo, how: str) -> None:
    done = kolo("top", how)
    assert done.returncode == 3
    assert done.stdout == ""
    assert "kolo serve" in done.stderr


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("--once", "--json"), "--once and --json"),
        (("--demo", "--remote", "x"), "--demo and --remote"),
        (("--speed", "2"), "--replay"),
        (("-n", "2"), "--jsonl"),
        (("--seed", "2"), "--demo"),
        (("--remote", "-x", "--once"), "no host"),
        (("--interval", "0"), "--interval"),
    ],
)
def test_options_that_make_no_sense_are_named(
    kolo: Kolo, args: tuple[str, ...], named: str
) -> None:
    done = kolo("top", *args)
    assert done.returncode == 2
    assert named in done.stderr


def test_ascii_is_ascii(kolo: Kolo) -> None:
    assert kolo("top", "--demo", "--once", "--ascii").stdout.isascii()
    assert kolo("top", "--demo", "--once", PYTHONIOENCODING="ascii").stdout.isascii()


def test_one_look_loads_no_textual(env: dict[str, str]) -> None:
    code = (
        "import sys; from kolo.cli import main\n"
        "assert main(['top', '--demo', '--once']) == 0\n"
        "assert 'textual' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code], env=env, check=True, capture_output=True, timeout=PATIENCE_S
    )


# A real server ---------------------------------------------------------------------------


def test_a_real_server_is_seen_with_what_it_does(env: dict[str, str], kolo: Kolo) -> None:
    with Server(env) as server:
        with server.endless():
            told = json.loads(kolo("top", "--json").stdout)
            guide = next(one for one in told["engines"] if one["id"] == "guide")
            assert guide["state"] == "loaded"
            assert told["running"] == 1
            assert told["requests"][0]["engine"] == "guide"
            once = kolo("top", "--once").stdout
            assert "guide" in once
            number = told["requests"][0]["id"]
            server.post(f"/engines/guide/requests/{number}/cancel", None).close()
        lines = kolo("top", "--jsonl", "-n", "2").stdout.splitlines()
        hello = json.loads(lines[0])
        assert hello["type"] == "hello"
        assert hello["server"]["url"] == server.url


# A terminal ------------------------------------------------------------------------------


@contextmanager
def on_terminal(env: dict[str, str], *args: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """``kolo top`` on a terminal of 100x30."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "kolo", "top", *args],
        stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def until(ours: int, text: str) -> str:
    """What the terminal was sent, until ``text`` is among it."""
    seen = ""
    deadline = time.monotonic() + PATIENCE_S
    while text not in seen:
        ready, _, _ = select.select([ours], [], [], max(deadline - time.monotonic(), 0))
        assert ready, f"{text!r} never came: {seen[-2000:]!r}"
        seen += os.read(ours, 1 << 16).decode("utf-8", "replace")
    return seen


def test_on_a_terminal_it_is_a_screen_that_q_leaves(env: dict[str, str]) -> None:
    with on_terminal(env, "--demo") as (process, ours):
        until(ours, "LIVE")
        os.write(ours, b"q")
        until(ours, "\x1b[?1049l")  # the screen that was there before is back
        assert process.wait(PATIENCE_S) == 0
    assert (Path(env["XDG_STATE_HOME"]) / "kolo" / "top.json").exists()


def test_a_signal_gives_the_terminal_back(env: dict[str, str]) -> None:
    with on_terminal(env, "--demo") as (process, ours):
        until(ours, "LIVE")
        process.terminate()
        until(ours, "\x1b[?1049l")
        assert process.wait(PATIENCE_S) == 143


def test_a_theme_that_is_none_is_refused_with_the_nearest(env: dict[str, str]) -> None:
    with on_terminal(env, "--demo", "--theme", "kolo-lite") as (process, ours):
        until(ours, "kolo-light")
        assert process.wait(PATIENCE_S) == 2


def test_without_a_server_it_waits_and_says_how_to_start_one(env: dict[str, str]) -> None:
    with on_terminal(env) as (process, ours):
        until(ours, "kolo serve")
        os.write(ours, b"q")
        assert process.wait(PATIENCE_S) == 0


def test_no_color_sends_no_colour(env: dict[str, str]) -> None:
    import re

    with on_terminal({**env, "NO_COLOR": "1"}, "--demo") as (process, ours):
        seen = until(ours, "LIVE")
        os.write(ours, b"q")
        seen += until(ours, "\x1b[?1049l")
        process.wait(PATIENCE_S)
    codes = {code for found in re.findall(r"\x1b\[([\d;]*)m", seen) for code in found.split(";")}
    assert not codes & {str(n) for n in (*range(30, 38), 38, *range(40, 48), 48, *range(90, 108))}
