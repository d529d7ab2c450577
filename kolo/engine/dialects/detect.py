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
"""The family of a template, made from its source."""


def _granite(source: str) -> Tagged:
    return jsons.GRANITE4 if "<tool_call>" in source else jsons.GRANITE3


def _gigachat(source: str) -> Tagged:
    own_token = "<|function_call|>"
    return jsons.gigachat(own_token if own_token in source else "function call<|role_sep|>\n")


def _dsml(source: str) -> Tagged:
    return tags.deepseek_dsml("function_calls" if "function_calls" in source else "tool_calls")


def _deepseek(source: str) -> Tagged:
    return jsons.deepseek(fenced="```json" in source)


def _hunyuan(source: str) -> Tagged:
    suffix = _SUFFIX.search(source)
    return tags.hunyuan(suffix[1] if suffix else "")


def _glm(source: str) -> Tagged:
    return tags.glm(lines="\n<arg_key>" in source or "\\n<arg_key>" in source)


def _mistral(source: str) -> Tagged:
    return jsons.mistral(named="[ARGS]" in source, ids="[CALL_ID]" in source)


RULES: tuple[tuple[tuple[str, ...], Family], ...] = (
    (("<atem:function_calls>",), lambda _: tags.MUSE),
    ((">>>all",), lambda _: jsons.FUNCTIONARY_32),
    (("<|tool_calls_section_begin|>",), lambda _: jsons.KIMI_K2),
    (("<|open|>", "<|close|>"), lambda _: tags.KIMI_K3),
    (("<|START_ACTION|>",), lambda _: jsons.COMMAND_R),
    (("<|START_OF_TURN_TOKEN|>",), lambda _: jsons.COMMAND_R_PLUS),
    (("<|tool_call_start|>",), lambda _: tags.LFM2),
    (("List of tools: [",), lambda _: tags.LFM2),
    (("List of tools: <|tool_list_start|>",), lambda _: tags.LFM2),
    (("<|role_sep|>",), _gigachat),
    (("<minimax:tool_call>",), lambda _: tags.MINIMAX),
    (("DSML",), _dsml),
    (("<｜tool▁call▁begin｜>",), _deepseek),
    (("<｜tool▁calls▁begin｜>",), _deepseek),
    (("<｜Assistant｜>",), _deepseek),
    (("<|tool_call>call:",), lambda _: tags.GEMMA4),
    (('<function name="',), lambda _: tags.MINICPM),
    (("<seed:tool_call>",), lambda _: tags.SEED),
    (("HYTK",), _hunyuan),
    (("<arg_key>",), _glm),
    (("<tool_call>", "<function=", "<parameter="), lambda _: tags.QWEN3_CODER),
    (("<function=",), lambda _: jsons.FUNCTIONARY_31),
    (("<TOOLCALL>",), lambda _: jsons.NEMOTRON),
    (("<|tools_prefix|>",), lambda _: jsons.APERTUS),
    (("<|start_of_role|>",), _granite),
    (("<beginning_of_sentence>",), lambda _: jsons.MINIMAX_M1),
    (("[BEGIN FINAL RESPONSE]",), lambda _: jsons.APRIEL),
    (("<tool_calls>[",), lambda _: jsons.APRIEL),
    (("<|tool_call|>",), lambda _: jsons.PHI4),
    (("[TOOL_CALLS]",), _mistral),
    (("functools[",), lambda _: jsons.FIREFUNCTION),
    (("<tool_call>",), lambda _: jsons.HERMES),
    (("<|start_header_id|>",), lambda _: jsons.LLAMA3),
    (("<|header_start|>",), lambda _: jsons.LLAMA3),
    (("<start_of_turn>",), lambda _: replace(jsons.GENERIC, name="gemma")),
    (("<|user|>", "<|end|>"), lambda _: replace(jsons.GENERIC, name="phi")),
)
"""What the sources of a family's templates contain, and the family; the first counts."""


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
    for markers, make in RULES:
        if all(marker in template_source for marker in markers):
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
