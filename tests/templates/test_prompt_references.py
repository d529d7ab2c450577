"""Published templates must render to the letter as ``transformers`` renders them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kolo.engine.jinja import Program
from kolo.engine.prompt import Template
from kolo.errors import BadTemplate
from kolo.types import Chat

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "templates"

if not FOLDER.is_dir():
    pytest.skip("the published templates are not here", allow_module_level=True)

GIVEN: dict[str, Any] = json.loads((FOLDER / "cases.json").read_text())
NOW = datetime.fromisoformat(GIVEN["now"])
SPECIAL = {name: GIVEN["special_tokens"][name] for name in ("bos_token", "eos_token")}
TEMPLATES = sorted(FOLDER.glob("*.jinja"))

DESCRIBES_TOOLS_ITSELF = {
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
    "google-gemma-2-2b-it",
    "llama-cpp-rwkv-world",
    "microsoft-Phi-3.5-mini-instruct",
}
"""Templates without tools, where ours says more than the reference."""


def case(name: str) -> dict[str, Any]:
    """A fresh copy: templates may change what they are given."""
    made: dict[str, Any] = json.loads(json.dumps(GIVEN["cases"][name]))
    return made


def as_chat(given: dict[str, Any]) -> Chat:
    """The case as a client sends it: arguments as JSON text."""
    for message in given["messages"]:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.dumps(
                call["function"]["arguments"], ensure_ascii=False
            )
    tools = {"tools": given["tools"]} if "tools" in given else {}
    return msgspec.convert({"type": "chat", "messages": given["messages"], **tools}, Chat)


@pytest.fixture(scope="module", params=TEMPLATES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    chosen: Path = request.param
    return chosen


def references(path: Path) -> dict[str, dict[str, str]]:
    made: dict[str, dict[str, str]] = json.loads(path.with_suffix(".json").read_text())
    return made


def test_raw_variables_render_as_the_reference_does(path: Path) -> None:
    program = Program(path.read_text())
    for name, reference in references(path).items():
        variables = {
            "tools": None,
            "documents": None,
            "add_generation_prompt": True,
            **GIVEN["special_tokens"],
            **case(name),
        }
        try:
            text = program.render(variables, now=NOW)
        except BadTemplate:
            assert "error" in reference, name
        else:
            assert "error" in reference or text == reference["expected"], name


def test_a_chat_renders_as_the_reference_does(path: Path) -> None:
    template = Template(path.read_text(), **SPECIAL)
    for name, reference in references(path).items():
        if "tool" in name and path.stem in DESCRIBES_TOOLS_ITSELF:
            continue
        given = case(name)
        add = given.get("add_generation_prompt", True)
        text = template.render(as_chat(given), now=NOW, add_generation_prompt=add).text
        assert "error" in reference or text == reference["expected"], name


def test_every_template_renders_every_case_with_nothing_lost(path: Path) -> None:
    """Also those that the reference refuses, and tools where the template knows none."""
    template = Template(path.read_text(), **SPECIAL)
    for name in GIVEN["cases"]:
        given = case(name)
        text = template.render(as_chat(case(name)), now=NOW).text
        for message in given["messages"]:
            words = message["content"].strip()
            in_json = json.dumps(words, ensure_ascii=False)[1:-1]
            assert words in text or in_json in text, name
        if "tools" in given:
            assert "get_weather" in text, name
            assert "Name of the city" in text, name
        if name == "tool_result":
            assert text.count("rich") >= 2, name  # Z\u00fcrich, in some


def test_a_prefill_ends_the_prompt(path: Path) -> None:
    template = Template(path.read_text(), **SPECIAL)
    given = {
        "messages": [
            {"role": "user", "content": "Count."},
            {"role": "assistant", "content": "One, two, "},
        ]
    }
    chat = msgspec.structs.replace(as_chat(given), continue_last=True)
    assert template.render(chat, now=NOW).text.endswith("One, two, ")
