"""The official ``openai`` package against a running server on the shipped model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sdk_checks

OLD_PACKAGE = os.environ.get("KOLO_TEST_OPENAI_1", "")
"""A folder made by ``pip install --target FOLDER 'openai<2'``."""


@pytest.mark.parametrize("check", sdk_checks.CHECKS, ids=lambda check: check.__name__)
def test_the_current_package(live: str, check: Any) -> None:
    sdk_checks.run(check, live)


@pytest.mark.skipif(not OLD_PACKAGE, reason="KOLO_TEST_OPENAI_1 names no folder with openai 1.x")
def test_the_package_before(live: str) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(sdk_checks.__file__)), live],
        env={**os.environ, "PYTHONPATH": OLD_PACKAGE},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "openai 1." in done.stdout
