"""Two servers on one state folder: the second is told who has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kolo.server.statelock import NAME, StateLock, StateTaken, held

HOLD = """
import sys
from pathlib import Path
from kolo.server.statelock import held
with held(Path(sys.argv[1])) as lock:
    lock.say("http://127.0.0.1:4711")
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_is_refused_with_the_process_and_address_of_the_first(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(StateTaken) as caught, held(tmp_path):
            raise AssertionError("not reached")
        assert f"process {first.pid}, at http://127.0.0.1:4711" in caught.value.message
        assert "KOLO_HOME" in caught.value.hint
        first.kill()
        first.wait(30)
    with held(tmp_path) as lock:  # the system gave it back, though the file is still there
        assert not lock.problem


def test_one_after_the_other(tmp_path: Path) -> None:
    for _ in range(2):
        with held(tmp_path):
            assert (tmp_path / NAME).read_text().startswith('{"pid":')


def test_a_file_that_makes_no_sense_is_no_reason_to_say_nothing(tmp_path: Path) -> None:
    with held(tmp_path):
        (tmp_path / NAME).write_text("no json")
        with pytest.raises(StateTaken, match="another process"):
            StateLock(tmp_path).take()


def test_a_folder_that_is_not_there_is_served_without_and_told_of(tmp_path: Path) -> None:
    with held(tmp_path / "none") as lock:
        assert "cannot be written: No such file or directory" in lock.problem
        lock.say("http://127.0.0.1:1")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only_is_served_without_and_told_of(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with held(tmp_path) as lock:
            assert "cannot be written: Permission denied" in lock.problem
    finally:
        tmp_path.chmod(0o700)
