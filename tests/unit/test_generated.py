"""What is made from the code and kept: completions, manual pages, the reference, schemas."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from kolo.cli import COMMANDS
from kolo.cli.help import ENVIRONMENT
from kolo.cli.shapes import SHAPES
from kolo.config.keys import LEAVES

ROOT = Path(__file__).parents[2]


@pytest.fixture
def generate(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("generate")


def test_what_is_kept_is_what_would_be_made(generate: ModuleType) -> None:
    made, kept = generate.made(), generate.kept()
    stale = [name for name in {**made, **kept} if made.get(name) != kept.get(name)]
    assert not stale, "run: ./dev generate"


def test_every_command_has_a_manual_page_and_a_place_in_the_reference() -> None:
    told = (ROOT / "docs/reference/commands.md").read_text()
    for name in COMMANDS:
        page = (ROOT / f"man/kolo-{name}.1").read_text()
        assert f"\n## kolo {name}\n" in told
        assert '.SH "EXAMPLES"' in page


def test_every_setting_variable_and_shape_is_in_the_reference() -> None:
    settings = (ROOT / "docs/reference/settings.md").read_text()
    assert [key for key in LEAVES if f"| `{key.rpartition('.')[2]}` | `KOLO_" not in settings] == []
    codes = (ROOT / "docs/reference/exit-codes.md").read_text()
    assert [name for name in ENVIRONMENT if f"| `{name}` |" not in codes] == []
    shapes = (ROOT / "docs/reference/json.md").read_text()
    assert shapes.count("\n## ") == len(SHAPES) + 1


@pytest.mark.skipif(not shutil.which("mandoc"), reason="no mandoc to judge them")
def test_a_reader_of_manual_pages_has_nothing_to_say_about_them() -> None:
    pages = sorted((ROOT / "man").glob("*.1"))
    judged = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning", *pages], capture_output=True, text=True, timeout=60
    )
    assert judged.stdout == ""


def test_every_link_between_the_pages_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    broken = []
    for page in pages:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            path, _, _ = link.partition("#")
            if path and "://" not in link and not (page.parent / path).exists():
                broken.append(f"{page.name}: {link}")
    assert broken == []


def test_the_page_about_gpus_builds_the_llama_cpp_that_kolo_wants() -> None:
    wanted = re.search(r'"(llama-cpp-python==[^"]+)"', (ROOT / "pyproject.toml").read_text())
    assert wanted is not None
    assert wanted[1] in (ROOT / "docs/gpu.md").read_text()
