"""What every ``--help`` looks like, in 80 columns.

``KOLO_GOLDEN=write pytest tests/cli/test_cli_help_golden.py`` writes the files anew: read the
difference before it is kept.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tree import NODES

from kolo.cli import main

GOLDEN = Path(__file__).parent / "golden" / "help"
WRITE = os.environ.get("KOLO_GOLDEN") == "write"
HOW = "KOLO_GOLDEN=write pytest tests/cli/test_cli_help_golden.py"


def golden(name: str) -> Path:
    return GOLDEN / f"{'_'.join(['kolo', *name.split()])}.txt"


@pytest.mark.parametrize("name", NODES)
def test_help_is_as_it_was(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*name.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    if WRITE:
        GOLDEN.mkdir(parents=True, exist_ok=True)
        golden(name).write_text(shown)
    assert golden(name).is_file(), f"no golden file yet: {HOW}"
    assert shown == golden(name).read_text(), f"if it is meant to be so: {HOW}"


def test_no_golden_file_is_of_a_command_that_is_gone() -> None:
    left = set(GOLDEN.iterdir()) - {golden(name) for name in NODES}
    if WRITE:
        for file in left:
            file.unlink()
    assert {file.name for file in left} == set()
