"""Families that write calls as tags around raw values, and those with named arguments."""

# ruff: noqa: RUF001 - DeepSeek's and Hunyuan's markers have fullwidth bars

from __future__ import annotations

from kolo.engine.dialects.json_families import HERMES_CALLS
from kolo.engine.dialects.keyword import KeywordCalls
from kolo.engine.dialects.params import ParamCalls
from kolo.engine.dialects.section import Section
from kolo.engine.dialects.tagged import Block, Tagged


def _function_tags(section: str, *, lines: bool) -> Section:
    """``<function=f><parameter=a>1</parameter></function>``, one to a section."""
    return Section(
        begins=(f"<{section}>",),
        ends=(f"</{section}>",),
        item=ParamCalls(
            opens=("<function=",),
            name_close=">",
            closes=("</function>",),
            key_open="<parameter=",
            key_close=">",
            value_close="</parameter>",
            lines=lines,
            layout=("\n", "", "\n"),
        ),
        layout=("\n", "\n"),
        each=True,
    )


def _argument_tags(suffix: str = "", *, newline: str, name_close: str = "") -> ParamCalls:
    """``<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>``."""
    return ParamCalls(
        opens=(f"<tool_call{suffix}>",),
        name_close=name_close,
        closes=(f"</tool_call{suffix}>",),
        key_open=f"<arg_key{suffix}>",
        key_close=f"</arg_key{suffix}>",
        value_open=f"<arg_value{suffix}>",
        value_close=f"</arg_value{suffix}>",
        layout=(newline, newline, newline),
        between=newline,
    )


def _invoke_tags(sections: tuple[str, ...], tag: str = "", *, typed: bool = False) -> Section:
    """``<invoke name="f"><parameter name="a">1</parameter></invoke>``, tags begun with
    ``tag``, in any of ``sections``."""
    return Section(
        begins=tuple(f"<{section}>" for section in sections),
        ends=tuple(f"</{section}>" for section in sections),
        item=ParamCalls(
            opens=(f'<{tag}invoke name="',),
            name_close='"',
            closes=(f"</{tag}invoke>",),
            key_open=f'<{tag}parameter name="',
            key_close='"',
            tag_end=">",
            value_close=f"</{tag}parameter>",
            string_attribute=' string="true"' if typed else "",
            other_attribute=' string="false"' if typed else "",
            layout=("\n", "", "\n"),
            between="\n",
        ),
        layout=("\n", "\n"),
    )


CODER_CALLS = _function_tags("tool_call", lines=True)
QWEN3_CODER = Tagged(name="qwen3-coder", shapes=(CODER_CALLS, HERMES_CALLS))

SEED = Tagged(
    name="seed",
    shapes=(_function_tags("seed:tool_call", lines=False),),
    blocks=(Block("<seed:think>", "</seed:think>"),),
    hidden=("<seed:cot_budget_reflect>", "</seed:cot_budget_reflect>"),
    stops=("<seed:eos>",),
)


def glm(*, lines: bool) -> Tagged:
    """GLM from 4.5 on, and those who followed it; ``lines`` puts each tag on its own line."""
    calls = _argument_tags(newline="\n" if lines else "")
    return Tagged(name="glm", shapes=(calls, HERMES_CALLS), stops=("<|observation|>", "<|user|>"))


def hunyuan(suffix: str) -> Tagged:
    """Hunyuan 3, whose tags all end alike, in ``:opensource`` for one."""
    item = _argument_tags(suffix, newline="\n", name_close=f"<tool_sep{suffix}>")
    calls = Section(
        begins=(f"<tool_calls{suffix}>",),
        ends=(f"</tool_calls{suffix}>",),
        item=item,
        layout=("\n", "\n"),
    )
    return Tagged(
        name="hunyuan",
        shapes=(calls,),
        blocks=(Block(f"<think{suffix}>", f"</think{suffix}>"),),
        stops=(f"<｜hy_eos{suffix}｜>",),
    )


MINIMAX = Tagged(name="minimax", shapes=(_invoke_tags(("minimax:tool_call",)),), stops=("[e~[",))


def deepseek_dsml(section: str) -> Tagged:
    """DeepSeek V3.2, whose section is ``function_calls``, and V4, whose is ``tool_calls``."""
    others = [name for name in ("function_calls", "tool_calls") if name != section]
    sections = tuple(f"｜DSML｜{name}" for name in (section, *others))
    return Tagged(
        name="deepseek-dsml",
        shapes=(_invoke_tags(sections, "｜DSML｜", typed=True),),
        stops=("<｜end▁of▁sentence｜>",),
    )


MUSE = Tagged(
    name="muse",
    shapes=(_invoke_tags(("atem:function_calls",), "atem:"),),
    blocks=(Block(" to=self<|message|>", "<|eom|>", anywhere=True, call_ends=True),),
    hidden=("<|start|>assistant", " to=user<|message|>", "<|eom|>", "<|eot|>"),
    addressed=" to={name}<|message|>",
    next_message="<|eom|><|start|>assistant",
    before_calls=("<|start|>assistant",),
    stops=("<|eot|>",),
)

MINICPM = Tagged(
    name="minicpm",
    shapes=(
        ParamCalls(
            opens=('<function name="',),
            name_close='"',
            closes=("</function>",),
            key_open='<param name="',
            key_close='"',
            tag_end=">",
            value_close="</param>",
            cdata=True,
            between="\n",
        ),
    ),
)

KIMI_K3 = Tagged(
    name="kimi-k3",
    shapes=(
        Section(
            begins=("<|open|>tools<|sep|>",),
            ends=("<|close|>tools<|sep|>",),
            item=ParamCalls(
                opens=('<|open|>call tool="',),
                name_close='"',
                name_attribute="index",
                closes=("<|close|>call<|sep|>",),
                key_open='<|open|>argument key="',
                key_close='"',
                tag_end="<|sep|>",
                value_close="<|close|>argument<|sep|>",
                string_attribute=' type="string"',
                other_attribute=' type="{type}"',
                quoted_keys=True,
            ),
        ),
    ),
    blocks=(Block("<|open|>think<|sep|>", "<|close|>think<|sep|>", anywhere=True, call_ends=True),),
    before_calls=("<|open|>response<|sep|>", "<|close|>response<|sep|>"),
    hidden=(
        "<|open|>response<|sep|>",
        "<|close|>response<|sep|>",
        "<|close|>message<|sep|>",
        "<|end_of_msg|>",
    ),
    stops=("<|end_of_msg|>",),
)

LFM2 = Tagged(
    name="lfm2",
    shapes=(KeywordCalls(opens=("<|tool_call_start|>",), closes=("<|tool_call_end|>",)),),
)

GEMMA4 = Tagged(
    name="gemma4",
    shapes=(
        KeywordCalls(
            opens=("<|tool_call>",),
            closes=("<tool_call|>",),
            before_name="call:",
            brackets=("{", "}"),
            equals=":",
            listed=False,
        ),
    ),
    blocks=(Block("<|channel>", "<channel|>", anywhere=True, call_ends=True, lead="thought"),),
    stops=("<turn|>", "<|tool_response>"),
)
