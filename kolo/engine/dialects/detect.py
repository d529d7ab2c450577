"""Which dialect a chat template is of, told once, at load, by the markers in its source."""

# ruff: noqa: RUF001 - DeepSeek's and Hunyuan's markers have fullwidth bars

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec.structs import replace

from kolo.engine.dialects import json_families as jsons
from kolo.engine.dialects import tag_families as tags
from kolo.engine.dialects.harmony import Harmony
from kolo.engine.dialects.shape import Shape
from kolo.engine.dialects.surface import Dialect
from kolo.engine.dialects.tagged import Block, Tagged

_TELLS_TOOLS = re.compile(r"\b(?:available_|custom_)?tools\b")
_REASONS = re.compile(r"<think|</think|thinking|THINK|reasoning_content|inner_prefix")
_SUFFIX = re.compile(r"""HYTK\s*=\s*['"]([^'"]*)['"]""")

_MORE_BLOCKS = (
    Block("<thinking>", "</thinking>"),
    Block("<thought>", "</thought>"),
    Block("<reasoning>", "</reasoning>"),
    Block("<|begin_of_thought|>", "<|end_of_thought|>"),
)
"""Tags of thoughts that go with no family."""

Family = Callable[[str], Tagged]


def _hunyuan(source: str) -> Tagged:
    suffix = _SUFFIX.search(source)
    return tags.hunyuan(suffix[1] if suffix else "")


def _granite(source: str) -> Tagged:
    return jsons.GRANITE4 if "<tool_call>" in source else jsons.GRANITE3


def _gigachat(source: str) -> Tagged:
    own_token = "<|function_call|>"
    return jsons.gigachat(own_token if own_token in source else "function call<|role_sep|>\n")


RULES: tuple[tuple[str, Family], ...] = (
    (r"<atem:function_calls>", lambda _: tags.MUSE),
    (r">>>all", lambda _: jsons.FUNCTIONARY_32),
    (r"<\|tool_calls_section_begin\|>", lambda _: jsons.KIMI_K2),
    (r"<\|open\|>(?s:.*)<\|close\|>", lambda _: tags.KIMI_K3),
    (r"<\|START_ACTION\|>|<\|START_THINKING\|>", lambda _: jsons.COMMAND_R),
    (r"<\|START_OF_TURN_TOKEN\|>", lambda _: jsons.COMMAND_R_PLUS),
    (r"<\|tool_call_start\|>|List of tools: (?:<\|tool_list_start\|>)?\[", lambda _: tags.LFM2),
    (r"<\|role_sep\|>", _gigachat),
    (r"<minimax:tool_call>", lambda _: tags.MINIMAX),
    (
        r"DSML",
        lambda source: tags.deepseek_dsml(
            "function_calls" if "function_calls" in source else "tool_calls"
        ),
    ),
    (
        r"<｜tool▁calls?▁begin｜>|<｜Assistant｜>",
        lambda source: jsons.deepseek(fenced="```json" in source),
    ),
    (r"<\|tool_call>call:", lambda _: tags.GEMMA4),
    (r'<function name="', lambda _: tags.MINICPM),
    (r"<seed:tool_call>", lambda _: tags.SEED),
    (r"HYTK|<tool_sep", _hunyuan),
    (
        r"<arg_key>",
        lambda source: tags.glm(lines=re.search(r"(?:\n|\\n)<arg_key>", source) is not None),
    ),
    (r"<tool_call>(?s:.*)<function=(?s:.*)<parameter=", lambda _: tags.QWEN3_CODER),
    (r"<function=", lambda _: jsons.FUNCTIONARY_31),
    (r"<TOOLCALL>", lambda _: jsons.NEMOTRON),
    (r"<\|tools_prefix\|>", lambda _: jsons.APERTUS),
    (r"<\|start_of_role\|>", _granite),
    (r"<beginning_of_sentence>", lambda _: jsons.MINIMAX_M1),
    (r"\[BEGIN FINAL RESPONSE\]|<tool_calls>\[", lambda _: jsons.APRIEL),
    (r"<\|/tool_call\|>|<\|tool_call\|>", lambda _: jsons.PHI4),
    (
        r"\[TOOL_CALLS\]",
        lambda source: jsons.mistral(named="[ARGS]" in source, ids="[CALL_ID]" in source),
    ),
    (r"functools\[", lambda _: jsons.FIREFUNCTION),
    (r"<tool_call>", lambda _: jsons.HERMES),
    (r"<\|start_header_id\|>|<\|header_start\|>", lambda _: jsons.LLAMA3),
    (r"<start_of_turn>", lambda _: replace(jsons.GENERIC, name="gemma")),
    (r"<\|user\|>(?s:.*)<\|end\|>", lambda _: replace(jsons.GENERIC, name="phi")),
)
"""A pattern found in the sources of a family's templates, and the family; the first counts."""


def detect(template_source: str, *, native_tools: bool | None = None) -> Dialect:
    """The dialect of the models this template is for; ``generic`` if no rule applies.

    ``native_tools`` says whether the template tells the model of its tools, where that is
    known; it is told from the source if not.
    """
    if native_tools is None:
        native_tools = _TELLS_TOOLS.search(template_source) is not None
    if "<|channel|>" in template_source:
        return Harmony(native_tools=native_tools)
    family = jsons.GENERIC
    for pattern, make in RULES:
        if re.search(pattern, template_source):
            family = make(template_source)
            break
    return replace(
        family,
        shapes=family.shapes if native_tools else _hermes_first(family),
        blocks=_blocks(family, template_source),
        native_tools=native_tools,
        reasons=_REASONS.search(template_source) is not None,
    )


def _hermes_first(family: Tagged) -> tuple[Shape, ...]:
    """The prompt will ask for Hermes calls; the model may fall back on its own."""
    own = tuple(shape for shape in family.shapes if shape != jsons.HERMES_CALLS)
    return (jsons.HERMES_CALLS, *own)


def _blocks(family: Tagged, source: str) -> tuple[Block, ...]:
    """The family's blocks of reasoning and the template's own; those it speaks of first."""
    own = [block for block in _MORE_BLOCKS if block.open in source]
    return tuple(sorted([*family.blocks, *own], key=lambda block: block.open not in source))
