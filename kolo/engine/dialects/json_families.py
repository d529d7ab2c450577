"""Families that write calls in JSON: whole objects, or a name and then the arguments."""

# ruff: noqa: RUF001 - DeepSeek's and Hunyuan's markers have fullwidth bars

from __future__ import annotations

from kolo.engine.dialects.keyword import KeywordCalls
from kolo.engine.dialects.named import NamedCalls
from kolo.engine.dialects.objects import BARE, JsonCalls
from kolo.engine.dialects.section import Section
from kolo.engine.dialects.tagged import THINK, Block, Tagged

_LIST = ("[", ", ", "]")

HERMES_CALLS = JsonCalls(
    opens=("<tool_call>",),
    closes=("</tool_call>",),
    prefix="<tool_call>\n",
    suffix="\n</tool_call>",
)
HERMES = Tagged(name="hermes", shapes=(HERMES_CALLS,))
GENERIC = Tagged(name="generic", shapes=(HERMES_CALLS,), native_tools=False)

# Llama 3 and those trained on it ------------------------------------------------------------

_FUNCTION_TAG = NamedCalls(
    opens=("<function=",),
    closes=("</function>",),
    after_name=(">",),
    prefix="<function=",
    suffix="</function>",
)
_LLAMA_OBJECT = JsonCalls(opens=(BARE,), arguments_key="parameters", single=True)
_LLAMA_TAGGED = JsonCalls(opens=("<|python_tag|>",), arguments_key="parameters")
_LLAMA_BUILTIN = KeywordCalls(
    opens=("<|python_tag|>",), closes=(), listed=False, methods=(".call",)
)
_LLAMA_STOPS = ("<|eom_id|>", "<|eot_id|>")

LLAMA3 = Tagged(
    name="llama3",
    shapes=(_LLAMA_OBJECT, _LLAMA_TAGGED, _LLAMA_BUILTIN, _FUNCTION_TAG),
    hidden=("<|python_tag|>", *_LLAMA_STOPS),
    stops=_LLAMA_STOPS,
)
FUNCTIONARY_31 = Tagged(
    name="functionary-v3.1",
    shapes=(_FUNCTION_TAG, _LLAMA_TAGGED),
    hidden=("<|python_tag|>", *_LLAMA_STOPS),
    stops=_LLAMA_STOPS,
)
FUNCTIONARY_32 = Tagged(
    name="functionary-v3.2",
    shapes=(NamedCalls(opens=(">>>",), after_name=("\n",), between=">>>", everyone="all"),),
    primer=">>>",
    hidden_without_tools=(">>>all\n",),
    stops=_LLAMA_STOPS,
)
FIREFUNCTION = Tagged(
    name="firefunction",
    shapes=(JsonCalls(opens=("functools",), prefix=" functools", brackets=_LIST),),
    stops=_LLAMA_STOPS,
)

# Mistral ------------------------------------------------------------------------------------

_MISTRAL_LIST = JsonCalls(
    opens=("[TOOL_CALLS]",), prefix="[TOOL_CALLS]", brackets=_LIST, id_last=True
)


def mistral(*, named: bool, ids: bool) -> Tagged:
    """Up to Mistral Nemo a list of objects; later names, each perhaps with an id."""
    calls = NamedCalls(
        opens=("[TOOL_CALLS]",),
        after_name=("[ARGS]",),
        id_mark="[CALL_ID]",
        writes_id=ids,
        prefix="[TOOL_CALLS]",
    )
    return Tagged(
        name="mistral",
        shapes=(calls, _MISTRAL_LIST) if named else (_MISTRAL_LIST, calls),
        blocks=(Block("[THINK]", "[/THINK]", anywhere=True, call_ends=True), THINK),
        short_ids=True,
    )


# DeepSeek and Kimi --------------------------------------------------------------------------


def deepseek(*, fenced: bool) -> Tagged:
    """V3 and R1 fence the arguments and say ``function`` before the name; V3.1 does not."""
    separator = "<｜tool▁sep｜>"
    calls = NamedCalls(
        opens=("<｜tool▁call▁begin｜>",),
        closes=("<｜tool▁call▁end｜>",),
        kind=f"function{separator}",
        after_name=("\n```json\n", separator) if fenced else (separator, "\n```json\n"),
        prefix="<｜tool▁call▁begin｜>" + (f"function{separator}" if fenced else ""),
        suffix=("\n```" if fenced else "") + "<｜tool▁call▁end｜>",
        between="\n" if fenced else "",
    )
    section = Section(
        begins=("<｜tool▁calls▁begin｜>",), ends=("<｜tool▁calls▁end｜>",), item=calls
    )
    return Tagged(
        name="deepseek",
        shapes=(section,),
        blocks=(Block("<think>", "</think>", call_ends=True),),
        stops=("<｜end▁of▁sentence｜>",),
    )


KIMI_K2 = Tagged(
    name="kimi-k2",
    shapes=(
        Section(
            begins=("<|tool_calls_section_begin|>",),
            ends=("<|tool_calls_section_end|>",),
            item=NamedCalls(
                opens=("<|tool_call_begin|>",),
                closes=("<|tool_call_end|>",),
                after_name=("<|tool_call_argument_begin|>",),
                numbered=True,
                prefix="<|tool_call_begin|>",
                suffix="<|tool_call_end|>",
            ),
        ),
    ),
    blocks=(Block("<think>", "</think>", call_ends=True),),
    stops=("<|im_end|>",),
)

# Lists between control tokens ---------------------------------------------------------------

PHI4 = Tagged(
    name="phi",
    shapes=(
        JsonCalls(
            opens=("<|tool_call|>",),
            closes=("<|/tool_call|>",),
            prefix="<|tool_call|>",
            suffix="<|/tool_call|>",
            brackets=_LIST,
        ),
        JsonCalls(opens=("functools",)),
    ),
    stops=("<|end|>",),
)
GRANITE3 = Tagged(
    name="granite",
    shapes=(
        JsonCalls(opens=("<|tool_call|>",), prefix="<|tool_call|>", brackets=_LIST),
        HERMES_CALLS,
    ),
    wrapper=("<response>", "</response>"),
    stops=("<|end_of_text|>",),
)
GRANITE4 = Tagged(
    name="granite",
    shapes=GRANITE3.shapes[::-1],
    wrapper=("<response>", "</response>"),
    stops=("<|end_of_text|>",),
)
COMMAND_R = Tagged(
    name="command-r",
    shapes=(
        JsonCalls(
            opens=("<|START_ACTION|>",),
            closes=("<|END_ACTION|>",),
            prefix="<|START_ACTION|>",
            suffix="<|END_ACTION|>",
            brackets=("[\n    ", ",\n    ", "\n]"),
            name_key="tool_name",
            arguments_key="parameters",
            id_first="tool_call_id",
        ),
    ),
    blocks=(Block("<|START_THINKING|>", "<|END_THINKING|>", anywhere=True, call_ends=True),),
    hidden=("<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>"),
    stops=("<|END_OF_TURN_TOKEN|>",),
)
COMMAND_R_PLUS = Tagged(
    name="command-r",
    shapes=(
        JsonCalls(
            opens=("Action:",),
            closes=("```",),
            prefix="Action:\n```json\n",
            suffix="\n```",
            brackets=("[\n    ", ",\n    ", "\n]"),
            name_key="tool_name",
            arguments_key="parameters",
        ),
    ),
    stops=("<|END_OF_TURN_TOKEN|>",),
)
NEMOTRON = Tagged(
    name="nemotron",
    shapes=(
        JsonCalls(
            opens=("<TOOLCALL>",),
            closes=("</TOOLCALL>",),
            prefix="<TOOLCALL>",
            suffix="</TOOLCALL>",
            brackets=_LIST,
        ),
    ),
    stops=("<SPECIAL_12>",),
)
APERTUS = Tagged(
    name="apertus",
    shapes=(
        JsonCalls(
            opens=("<|tools_prefix|>",),
            closes=("<|tools_suffix|>",),
            prefix="<|tools_prefix|>",
            suffix="<|tools_suffix|>",
            brackets=_LIST,
            keyed=True,
        ),
    ),
    blocks=(Block("<|inner_prefix|>", "<|inner_suffix|>", anywhere=True, call_ends=True),),
    stops=("<|assistant_end|>",),
)
APRIEL = Tagged(
    name="apriel",
    shapes=(
        JsonCalls(
            opens=("<tool_calls>",),
            closes=("</tool_calls>",),
            prefix="<tool_calls>",
            suffix="</tool_calls>",
            brackets=_LIST,
        ),
    ),
    blocks=(Block("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),),
    hidden=("[END FINAL RESPONSE]",),
    stops=("<|end|>",),
)
MINIMAX_M1 = Tagged(
    name="minimax-m1",
    shapes=(
        JsonCalls(
            opens=("<tool_calls>",),
            closes=("</tool_calls>",),
            prefix="<tool_calls>\n",
            suffix="\n</tool_calls>",
            brackets=("", "\n", ""),
        ),
    ),
    stops=("<end_of_sentence>",),
)


def gigachat(opening: str) -> Tagged:
    """GigaChat 3 addresses a call to another role; 3.1 has a token for it."""
    return Tagged(
        name="gigachat",
        shapes=(JsonCalls(opens=(opening,), prefix=opening, single=True),),
        hidden=("<|message_sep|>",),
        stops=("<|message_sep|>",),
    )
