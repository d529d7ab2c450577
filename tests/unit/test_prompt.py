"""What a conversation becomes, whatever the template can or cannot take."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from kolo.engine.prompt import DEFAULT_TEMPLATE, Template
from kolo.errors import BadParameter, BadTemplate, LoadFailed
from kolo.types import Chat, Function, FunctionCall, Message, Reasoning, Tool, ToolCall

PLAIN = (
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
TURNS = (
    "{% for m in messages %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must take turns') }}{% endif %}"
    "{% if m.role not in ['user', 'assistant'] %}{{ raise_exception('No ' ~ m.role) }}{% endif %}"
    "[{{ m.role }}]{{ m.content }}{% endfor %}"
)
NATIVE = (
    "{% if tools %}TOOLS{{ tools | tojson }}{% endif %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}"
    "{% for c in m.tool_calls %}CALL {{ c.id }} {{ c.function.name }} ARGS{% endfor %}"
    "{% if m.role == 'tool' %}({{ m.name }}/{{ m.tool_call_id }}){% endif %}{% endfor %}"
)
OBJECT = NATIVE.replace("ARGS", "{{ c.function.arguments | tojson }}")
TEXT = NATIVE.replace("ARGS", "{{ '' + c.function.arguments }}")
ONE_CALL = OBJECT.replace(
    "{% for c in",
    "{% if m.tool_calls and m.tool_calls | length > 1 %}{{ raise_exception('One call') }}"
    "{% endif %}{% for c in",
)
THINKS = (
    "{% for m in messages %}<{{ m.role }}>{% if m.reasoning_content %}"
    "<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n"
    "{% else %}<think>\n{% endif %}{% endif %}"
)
ALWAYS_THINKS = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content.split('</think>')[-1] | trim }}</s>"
    "{% endfor %}{% if add_generation_prompt %}<assistant><think>\n{% endif %}"
)
TOOL = Tool(function=Function(name="weather", description="Now.", parameters={"type": "object"}))


def make(source: str | None, **options: Any) -> Template:
    return Template(source, bos_token="<s>", eos_token="</s>", **options)


def user(text: str) -> Message:
    return Message(role="user", content=text)


def answer(text: str | None, **fields: Any) -> Message:
    return Message(role="assistant", content=text, **fields)


def call(arguments: str, call_id: str = "call_1") -> ToolCall:
    return ToolCall(id=call_id, function=FunctionCall("weather", arguments))


def result(text: str, call_id: str = "call_1") -> Message:
    return Message(role="tool", tool_call_id=call_id, content=text)


def text_of(source: str | None, *messages: Message, **fields: Any) -> str:
    return make(source).render(Chat(messages=list(messages), **fields)).text


# The template and its variables -----------------------------------------------------------


def test_without_a_source_it_is_chatml() -> None:
    template = make("")
    assert template.source_kind == "default"
    assert template.source == DEFAULT_TEMPLATE
    rendered = template.render(Chat(messages=[Message(role="system", content="S"), user("U\n")]))
    assert rendered.text == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU\n<|im_end|>\n<|im_start|>assistant\n"
    )
    assert not rendered.opens_reasoning


def test_the_source_kind_tells_file_from_given() -> None:
    assert make(PLAIN).source_kind == "file"
    assert make(PLAIN, given=True).source_kind == "given"


def test_special_tokens_and_the_generation_prompt() -> None:
    chat = Chat(messages=[user("Hi")])
    assert make(PLAIN).render(chat).text == "<s><user>Hi</s><assistant>"
    assert make(PLAIN).render(chat, add_generation_prompt=False).text == "<s><user>Hi</s>"


def test_the_time_is_the_one_given() -> None:
    template = make("{{ strftime_now('%d %b %Y') }}{{ messages[0].content }}")
    chat = Chat(messages=[user("!")])
    assert template.render(chat, now=datetime(2026, 1, 15)).text == "15 Jan 2026!"
    assert str(datetime.now().year) in template.render(chat).text


def test_template_kwargs_reach_the_template_and_win() -> None:
    source = "{{ enable_thinking }}{{ style }}{{ messages[0].content }}"
    chat = {"reasoning": Reasoning(enabled=False), "template_kwargs": {"enable_thinking": True}}
    assert text_of(source, user("!"), **chat) == "True!"
    assert text_of(source, user("!"), template_kwargs={"style": "terse"}) == "terse!"


@pytest.mark.parametrize("name", ["messages", "tools", "add_generation_prompt", "unheard_of"])
def test_a_variable_that_cannot_be_honoured_is_refused(name: str) -> None:
    with pytest.raises(BadParameter) as caught:
        text_of(PLAIN, user("!"), template_kwargs={name: 1})
    assert caught.value.param == f"chat_template_kwargs.{name}"


def test_an_undefined_variable_is_undefined() -> None:
    source = "{{ 'unset' if style is not defined }}{{ tools is none }}{{ messages[0].content }}"
    assert text_of(source, user("!")) == "unsetTrue!"


def test_a_tools_template_of_the_file_serves_requests_with_tools() -> None:
    template = make(PLAIN, named={"tool_use": OBJECT})
    assert template.caps["supports_tools"]
    chat = Chat(messages=[user("Hi")], tools=[TOOL])
    assert template.render(chat).text.startswith("TOOLS[")
    assert template.render(Chat(messages=[user("Hi")])).text.startswith("<s><user>")


def test_a_template_that_does_not_compile_names_its_line() -> None:
    with pytest.raises(LoadFailed, match=r"line 2: .*endfor") as caught:
        make("a\n{% if x %}{% endfor %}")
    assert "chat_template" in caught.value.hint
    with pytest.raises(LoadFailed, match="'tool_use'"):
        make(PLAIN, named={"tool_use": "{% nonsense %}"})


# Roles ------------------------------------------------------------------------------------


def test_the_templates_own_words_reach_the_caller() -> None:
    with pytest.raises(BadTemplate, match="Roles must take turns") as caught:
        text_of(TURNS, user("a"), user("b"))
    assert caught.value.param == "messages"
    assert caught.value.http_status == 400


def test_a_role_the_template_passes_over_is_refused() -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
    )
    with pytest.raises(BadTemplate) as caught:
        text_of(source, user("a"), Message(role="critic", content="Bad."))
    assert caught.value.param == "messages[1].role"
    assert "<critic>Bad." in text_of(PLAIN, user("a"), Message(role="critic", content="Bad."))


def test_developer_is_system_unless_the_template_knows_it() -> None:
    message = Message(role="developer", content="Be brief.")
    assert "<system>Be brief." in text_of(PLAIN, message, user("Hi"))
    knowing = PLAIN + "{# 'developer' #}"
    assert "<developer>Be brief." in text_of(knowing, message, user("Hi"))


def test_without_a_system_role_its_text_opens_the_next_user_message() -> None:
    template = make(TURNS)
    assert not template.caps["supports_system_role"]
    system = Message(role="system", content="Be brief.")
    chat = Chat(messages=[system, user("Hi"), answer("Yes?"), system, user("Bye")])
    assert template.render(chat).text == (
        "[user]Be brief.\n\nHi[assistant]Yes?[user]Be brief.\n\nBye"
    )
    assert template.render(Chat(messages=[system])).text == "[user]Be brief."


def test_typed_contents_where_the_template_reads_nothing_else() -> None:
    source = (
        "{% for m in messages %}{% for part in m.content %}"
        "{% if part.type == 'text' %}{{ part.text }};{% endif %}{% endfor %}{% endfor %}"
    )
    assert make(source).caps["requires_typed_content"]
    assert text_of(source, user("a"), answer("b")) == "a;b;"


# Tools ------------------------------------------------------------------------------------


def test_arguments_are_objects() -> None:
    template = make(OBJECT)
    assert template.caps["requires_object_arguments"]
    text = text_of(OBJECT, user("?"), answer(None, tool_calls=[call('{"city":"Zürich"}')]))
    assert 'CALL call_1 weather {"city": "Zürich"}' in text


def test_arguments_stay_text_where_an_object_breaks_the_template() -> None:
    assert make(TEXT).caps["requires_text_arguments"]
    text = text_of(TEXT, user("?"), answer("", tool_calls=[call('{"city":"Zürich"}')]))
    assert 'weather {"city":"Zürich"}' in text


@pytest.mark.parametrize("source", [OBJECT, TEXT, PLAIN])
@pytest.mark.parametrize("arguments", ["{city: 1}", "[1]", '"x"', "{} {}", "NaN"])
def test_arguments_that_are_no_json_object_are_refused(source: str, arguments: str) -> None:
    calls = [call("{}"), call(arguments)]
    with pytest.raises(BadTemplate, match=r"messages\[1\]\.tool_calls\[1\]") as caught:
        text_of(source, user("?"), answer("", tool_calls=calls))
    assert caught.value.param == "messages[1].tool_calls[1].function.arguments"


def test_no_arguments_are_an_empty_object() -> None:
    assert "weather {}" in text_of(OBJECT, user("?"), answer("", tool_calls=[call("")]))


def test_a_result_gets_the_name_of_its_call() -> None:
    text = text_of(OBJECT, user("?"), answer("", tool_calls=[call("{}")]), result("12"))
    assert "<tool>12(weather/call_1)" in text


def test_null_content_where_the_template_takes_it_and_empty_where_not() -> None:
    asks = OBJECT.replace("{{ m.content }}", "{{ 'null' if m.content is none else m.content }}")
    calls = answer(None, tool_calls=[call("{}")])
    assert "<assistant>null" in text_of(asks, user("?"), calls)
    assert "<assistant>CALL" in text_of(OBJECT, user("?"), calls)
    only_null = OBJECT.replace("in m.tool_calls", "in (m.tool_calls if m.content is none else [])")
    assert "CALL call_1" in text_of(only_null, user("?"), answer("", tool_calls=[call("{}")]))


def test_short_ids_where_the_template_insists() -> None:
    source = OBJECT.replace(
        "CALL {{ c.id }}",
        "{% if c.id | length != 9 %}{{ raise_exception('nine!') }}{% endif %}CALL {{ c.id }}",
    )
    assert make(source).caps["requires_short_call_ids"]
    text = text_of(source, user("?"), answer("", tool_calls=[call("{}")]), result("12"))
    short = text.partition("CALL ")[2][:9]
    assert short.isalnum()
    assert f"(weather/{short})" in text
    own = answer("", tool_calls=[call("{}", "abcdef123")])
    assert "CALL abcdef123 " in text_of(source, user("?"), own)


def test_several_calls_become_turns_where_the_template_takes_one() -> None:
    template = make(ONE_CALL)
    assert not template.caps["supports_parallel_tool_calls"]
    calls = answer("On it.", tool_calls=[call("{}", "a"), call('{"n": 1}', "b")])
    text = text_of(ONE_CALL, user("?"), calls, result("B", "b"), result("A", "a"), user("So?"))
    assert text == (
        "<user>?<assistant>On it.CALL a weather {}<tool>A(weather/a)"
        '<assistant>CALL b weather {"n": 1}<tool>B(weather/b)<user>So?'
    )


def test_tools_are_described_where_the_template_knows_none() -> None:
    template = make(PLAIN)
    assert not template.caps["supports_tools"]
    system = Message(role="system", content="Be brief.")
    text = text_of(PLAIN, system, user("?"), tools=[TOOL])
    assert text.startswith("<s><system>Be brief.\n\n# Tools\n")
    assert '<tools>\n{"type": "function", "function": {"name": "weather"' in text
    assert text_of(PLAIN, user("?"), tools=[TOOL]).startswith("<s><system># Tools\n")


def test_calls_and_results_are_written_out_where_the_template_knows_none() -> None:
    text = text_of(
        TURNS,
        user("?"),
        answer("Wait.", tool_calls=[call('{"a": 1}', "1"), call('{"a": 2}', "2")]),
        result("one", "1"),
        result("two", "2"),
        user("And?"),
    )
    assert text == (
        "[user]?[assistant]Wait.\n"
        '<tool_call>\n{"name": "weather", "arguments": {"a": 1}}\n</tool_call>\n'
        '<tool_call>\n{"name": "weather", "arguments": {"a": 2}}\n</tool_call>'
        "[user]<tool_response>\none\n</tool_response>\n"
        "<tool_response>\ntwo\n</tool_response>\nAnd?"
    )


def test_tool_choice_none_leaves_the_tools_out() -> None:
    for source in (OBJECT, PLAIN):
        text = text_of(source, user("?"), tools=[TOOL], tool_choice="none")
        assert "weather" not in text


def test_a_tool_without_description_and_parameters_has_empty_ones() -> None:
    text = text_of(OBJECT, user("?"), tools=[Tool(function=Function(name="ping"))])
    assert '"description": ""' in text
    assert '"parameters": {"type": "object", "properties": {}}' in text


# Reasoning --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reasoning", "ending", "opens"),
    [
        (None, "<assistant><think>\n", True),
        (Reasoning(enabled=True), "<assistant><think>\n", True),
        (Reasoning(enabled=False), "<think>\n\n</think>\n", False),
        (Reasoning(effort="none"), "<think>\n\n</think>\n", False),
        (Reasoning(budget_tokens=0), "<think>\n\n</think>\n", False),
        (Reasoning(budget_tokens=100), "<assistant><think>\n", True),
    ],
)
def test_reasoning_is_turned_on_and_off(
    reasoning: Reasoning | None, ending: str, opens: bool
) -> None:
    rendered = make(THINKS).render(Chat(messages=[user("?")], reasoning=reasoning))
    assert rendered.text.endswith(ending)
    assert rendered.opens_reasoning is opens


@pytest.mark.parametrize(
    "fields",
    [{"reasoning": Reasoning(enabled=False)}, {"template_kwargs": {"enable_thinking": False}}],
)
def test_a_thought_the_template_always_opens_is_closed_when_off(fields: dict[str, Any]) -> None:
    rendered = make(ALWAYS_THINKS).render(Chat(messages=[user("?")], **fields))
    assert rendered.text.endswith("<assistant><think>\n</think>")
    assert not rendered.opens_reasoning


def test_without_a_generation_prompt_nothing_is_opened() -> None:
    chat = Chat(messages=[user("<think>")])
    assert not make(PLAIN).render(chat, add_generation_prompt=False).opens_reasoning


def test_effort_reaches_the_variable_that_the_template_reads() -> None:
    for name in ("reasoning_effort", "thinking_effort"):
        source = PLAIN + "{{ " + name + " }}"
        text = text_of(source, user("?"), reasoning=Reasoning(effort="high"))
        assert text.endswith("<assistant>high")


def test_effort_is_refused_where_the_template_knows_none() -> None:
    for reasoning in (Reasoning(effort="high"), Reasoning(enabled=False, effort="high")):
        with pytest.raises(BadParameter) as caught:
            text_of(THINKS, user("?"), reasoning=reasoning)
        assert caught.value.param == "reasoning_effort"


def test_a_word_of_effort_turns_off_what_nothing_else_does() -> None:
    source = PLAIN + "{% if reasoning_effort != 'none' %}<think>{% endif %}"
    rendered = make(source).render(Chat(messages=[user("?")], reasoning=Reasoning(effort="none")))
    assert rendered.text.endswith("<assistant>")


def test_earlier_thoughts_reach_the_template_under_the_name_it_reads() -> None:
    turn = answer("4", reasoning_content="2+2")
    assert make(THINKS).caps["thinking_in_history"]
    assert "<think>2+2</think>4" in text_of(THINKS, user("?"), turn, user("!"))
    alias = THINKS.replace("reasoning_content", "thinking")
    assert "<think>2+2</think>4" in text_of(alias, user("?"), turn, user("!"))


# Carrying on ------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [None, PLAIN, THINKS, TURNS, ALWAYS_THINKS])
@pytest.mark.parametrize("content", ["One, two, ", "", "  indented\n\n", "a</s>b", "x"])
def test_the_prompt_ends_with_the_message_to_continue(source: str | None, content: str) -> None:
    chat = Chat(messages=[user("Count. x"), answer(content)], continue_last=True)
    rendered = make(source).render(chat)
    assert rendered.text.endswith(content)
    assert rendered.text.count("assistant") == 1
    assert not rendered.opens_reasoning


@pytest.mark.parametrize("source", [THINKS, ALWAYS_THINKS])
@pytest.mark.parametrize(
    "last", [answer("<think>\nLet me"), answer(None, reasoning_content="Let me")]
)
def test_an_open_thought_is_carried_on_in_its_tags(source: str, last: Message) -> None:
    rendered = make(source).render(Chat(messages=[user("?"), last], continue_last=True))
    assert rendered.text.endswith("<assistant><think>\nLet me")
    assert rendered.opens_reasoning


def test_a_finished_thought_is_left_to_the_template() -> None:
    last = answer("<think>\nHm.\n</think>\n\nThe answer")
    text = text_of(ALWAYS_THINKS, user("?"), last, continue_last=True)
    assert text == "<user>?</s><assistant>The answer"


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [user("?")],
        [user("?"), answer("", tool_calls=[call("{}")])],
        [user("?"), answer(None, reasoning_content="Hm")],
    ],
)
def test_what_cannot_be_continued_is_refused(messages: list[Message]) -> None:
    with pytest.raises(BadTemplate, match="cannot be carried on") as caught:
        text_of(PLAIN, *messages, continue_last=True)
    assert caught.value.param == "messages"


def test_a_template_that_drops_or_rewrites_the_last_message_cannot_continue() -> None:
    for content in ("''", "m.content | upper"):
        source = PLAIN.replace("m.content", f"({content} if m.role == 'assistant' else m.content)")
        with pytest.raises(BadTemplate, match="cannot be carried on"):
            text_of(source, user("?"), answer("abc"), continue_last=True)
