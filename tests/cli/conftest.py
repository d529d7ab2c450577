"""Every test here runs with folders of its own and without the person's settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from running import Kolo

PATIENCE_S = 60.0


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A bare environment whose folders are all below ``tmp_path``."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    folders = {
        f"XDG_{kind}_HOME": str(tmp_path / kind.lower())
        for kind in ("CONFIG", "DATA", "STATE", "CACHE")
    }
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    return {
        **kept,
        **folders,
        "XDG_RUNTIME_DIR": str(runtime),
        # Nobody looks for a server at the default address: one of the person's own may be there.
        "KOLO_SERVER_PORT": "0",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
    }


@pytest.fixture
def kolo(env: dict[str, str], tmp_path: Path) -> Kolo:
    """Runs ``kolo`` with arguments; ``stdin`` is text or bytes, nothing is /dev/null."""

    def run(
        *args: str | bytes, stdin: str | bytes | None = None, **more_env: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "kolo", *args],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            env={**env, **more_env},
            cwd=tmp_path,
            timeout=PATIENCE_S,
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return run
