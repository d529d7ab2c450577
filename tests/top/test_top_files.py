"""Logs that grow, choices that are remembered, settings with where they came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from kolo.config import load_settings
from kolo.logfile import MAX_LINES, Follower, find_logs, parsed
from kolo.manager.logs import WorkerLog, log_path
from kolo.top.logs import found
from kolo.top.remembered import keep, recall, restore
from kolo.top.settings import shown_settings
from kolo.top.state import Ui


def test_logs_are_found_under_the_names_of_their_engines(tmp_path: Path) -> None:
    for id in ("qwen", "org/model:latest", "ünï"):
        log = WorkerLog(log_path(tmp_path, id))
        log.feed(b"hello\n")
        log.close()
    assert set(find_logs(tmp_path)) == {"qwen", "org/model:latest", "ünï"}
    assert find_logs(tmp_path / "none") == {}


def test_a_log_is_followed_over_its_renewal(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    log = WorkerLog(path, max_bytes=150)
    log.feed(b"one\ntwo\nthr")
    follower = Follower(path)
    assert follower.read()
    assert [parsed(line).message for line in follower.lines] == ["one", "two"]
    log.feed(b"ee\n")
    assert follower.read()
    assert parsed(follower.lines[-1]).message == "three"
    assert not follower.read()
    log.feed(b"x" * 99 + b"\n")  # too much: a new file
    assert follower.read()
    assert parsed(follower.lines[-1]).message == "x" * 99
    log.close()


def test_what_was_written_before_the_renewal_is_there_too(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    log = WorkerLog(path, max_bytes=10)
    log.feed(b"before\n")
    log.feed(b"after\n")
    log.close()
    follower = Follower(path)
    follower.read()
    assert [parsed(line).message for line in follower.lines] == ["before", "after"]


def test_a_log_of_any_bytes_is_shown_without_its_escapes(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"\x1b[31mred\x1b[0m \xff\r\n\x1b]0;title\x07x\n" + b"line\n" * MAX_LINES)
    follower = Follower(path)
    follower.read()
    assert len(follower.lines) == MAX_LINES
    path.write_bytes(b"\x1b[31mred\x1b[0m \xff\r\n\x1b]0;title\x07x\n")
    fresh = Follower(path)
    fresh.read()
    assert fresh.lines == ["red \ufffd", "x"]


def test_a_log_that_is_gone_says_so(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "none.log")
    assert follower.read()
    assert "No such file" in follower.trouble
    assert not follower.read()


def test_a_search_is_blind_to_case() -> None:
    assert found(["Error: one", "fine", "an ERROR"], "error") == [0, 2]
    assert found(["a"], "") == []


# Remembered ------------------------------------------------------------------------------


def test_choices_are_there_the_next_time(tmp_path: Path) -> None:
    file = tmp_path / "state" / "top.json"
    ui = Ui(hidden={"events"}, range="15m", interval_s=2.0)
    ui.sort["engines"] = "out"
    keep(file, ui, "kolo-light")
    again = Ui()
    kept = recall(file)
    restore(again, kept)
    assert kept.theme == "kolo-light"
    assert (again.hidden, again.range, again.interval_s) == ({"events"}, "15m", 2.0)
    assert again.sort["engines"] == "out"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b'{"hidden": 7}', b'{"hidden":["x"],"range":"y","interval_s":9}'],
)
def test_a_file_that_makes_no_sense_changes_nothing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "top.json"
    file.write_bytes(content)
    ui = Ui()
    restore(ui, recall(file))
    assert ui == Ui()


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    keep(tmp_path / "file" / "top.json", Ui(), "")


# Settings --------------------------------------------------------------------------------


def test_settings_say_where_each_value_came_from(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        '[server]\nport = 9000\n[manager]\nmemory_budget = "50%"\n'
        '[models.mine]\npath = "a.gguf"\nctx = 4096\n'
    )
    env = {"HOME": str(tmp_path), "KOLO_SERVER_HOST": "127.0.0.2"}
    rows = {key: (value, origin) for key, value, origin in shown_settings(
        load_settings(env, path=file)
    )}  # fmt: skip
    assert rows["server.port"] == ("9000", f"{file}:2")
    assert rows["server.host"] == ("127.0.0.2", "env KOLO_SERVER_HOST")
    assert rows["manager.memory_budget"][0] == "50%"
    assert rows["manager.max_engines"] == ("0", "default")
    assert rows["models.mine.ctx"] == ("4096", f"{file}:7")
    assert rows["models.mine.path"][0] == str(tmp_path / "a.gguf")
