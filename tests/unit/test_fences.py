"""What a clean interpreter has loaded after the lightest things one can do with Kolo.

import-linter sees the static graph; deferred imports and what libraries pull in it cannot see.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import kolo

HEAVY = (
    "llama_cpp", "llguidance", "numpy", "jinja2", "quart", "hypercorn", "textual",
    "prompt_toolkit", "rich", "pynvml", "psutil", "openai", "huggingface_hub",
)  # fmt: skip


def loaded_after(code: str) -> set[str]:
    """Top-level modules in ``sys.modules`` of a fresh interpreter that ran ``code``."""
    script = f"{code}\nimport sys; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_importing_kolo_imports_nothing_heavy() -> None:
    loaded = loaded_after("import kolo")
    assert not loaded & {*HEAVY, "click", "msgspec", "asyncio"}


def test_help_imports_nothing_but_click() -> None:
    code = (
        "import sys; sys.argv = ['kolo', '--help']\n"
        "from kolo.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass"
    )
    loaded = loaded_after(code)
    assert "click" in loaded
    assert not loaded & {*HEAVY, "msgspec", "asyncio"}


@pytest.mark.parametrize("module", ["kolo.manager.manager", "kolo.connect", "kolo.config"])
def test_the_manager_side_never_loads_the_engine(module: str) -> None:
    code = f"import {module}, sys\nassert not any(m.startswith('kolo.engine') for m in sys.modules)"
    assert not loaded_after(code) & {"llama_cpp", "llguidance", "numpy", "jinja2"}


def test_scheduling_loads_no_llama_cpp() -> None:
    assert "llama_cpp" not in loaded_after("import kolo.engine.loop, kolo.engine.worker")


def test_only_engine_llama_names_llama_cpp() -> None:
    root = Path(kolo.__file__).parent
    naming = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r'import_module\("llama_cpp|import llama_cpp|from llama_cpp', path.read_text())
    ]
    assert naming
    assert all(name.startswith("engine/llama/") for name in naming)


def test_only_the_bindings_of_llama_cpp_are_loaded() -> None:
    loaded = loaded_after(
        "import kolo.engine.llama, sys\nassert 'llama_cpp.llama' not in sys.modules"
    )
    assert "llama_cpp" in loaded


def test_only_the_screen_loads_textual() -> None:
    headless = "import kolo.cli.top, kolo.top.stream, kolo.top.sources.replay, kolo.top.sources.ssh"
    assert not loaded_after(headless) & {"textual", "psutil", "quart", "llama_cpp"}
    root = Path(kolo.__file__).parent
    naming = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"^\s*(from|import) textual", path.read_text(), re.MULTILINE)
    ]
    assert naming
    assert all(name.startswith("top/app/") for name in naming)


def test_no_file_is_over_450_lines() -> None:
    root = Path(kolo.__file__).parent
    long = {
        str(path): count
        for path in root.rglob("*.py")
        if (count := len(path.read_text().splitlines())) > 450
    }
    assert not long
