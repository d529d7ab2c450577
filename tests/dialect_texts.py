# ruff: noqa: RUF001 - DeepSeek's and Hunyuan's markers have fullwidth bars
"""One answer in the words of each family.

Every case is the same answer: a thought, a sentence, a call of ``get_weather`` and one of
``get_time``, as the family's published template writes them. ``source`` is as much of that
template as tells the family.
"""

from __future__ import annotations

import json

from dialect_cases import THOUGHT, TIME, WEATHER, WORDS, Case

WEATHER_TEXT = json.dumps(WEATHER, ensure_ascii=False)
TIME_TEXT = json.dumps(TIME)
WHERE_TEXT = json.dumps(WEATHER["where"])
CITY = WEATHER["city"]


def think(opening: str = "<think>", closing: str = "</think>") -> str:
    return f"{opening}\n{THOUGHT}\n{closing}\n\n{WORDS}\n"


def hermes(arguments: str, name: str) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


def objects(opening: str, closing: str, key: str = "arguments") -> str:
    weather = f'{{"name": "get_weather", "{key}": {WEATHER_TEXT}}}'
    return f'{opening}{weather}, {{"name": "get_time", "{key}": {TIME_TEXT}}}{closing}'


def parameters(before: str, between: str, after: str) -> tuple[str, str]:
    """The parameters of both calls, each ``before`` + key + ``between`` + value + ``after``."""
    values = {"city": WEATHER["city"], "days": "2", "where": WHERE_TEXT}
    weather = "".join(f"{before}{key}{between}{value}{after}" for key, value in values.items())
    return weather, f"{before}city{between}Bern{after}"


def function_tags(section: str, newline: str) -> str:
    both = parameters("<parameter=", f">{newline}", f"{newline}</parameter>\n")
    return "\n".join(
        f"<{section}>\n<function={name}>\n{inner}</function>\n</{section}>"
        for name, inner in zip(("get_weather", "get_time"), both, strict=True)
    )


def argument_tags(suffix: str, newline: str, name_end: str = "") -> str:
    both = parameters(
        f"<arg_key{suffix}>",
        f"</arg_key{suffix}>{newline}<arg_value{suffix}>",
        f"</arg_value{suffix}>{newline}",
    )
    return newline.join(
        f"<tool_call{suffix}>{name}{name_end}{newline}{inner}</tool_call{suffix}>"
        for name, inner in zip(("get_weather", "get_time"), both, strict=True)
    )


def invoke_tags(section: str, tag: str) -> str:
    both = parameters(f'<{tag}parameter name="', '">', f"</{tag}parameter>\n")
    calls = "".join(
        f'<{tag}invoke name="{name}">\n{inner}</{tag}invoke>\n'
        for name, inner in zip(("get_weather", "get_time"), both, strict=True)
    )
    return f"<{section}>\n{calls}</{section}>"


def muse() -> str:
    """Each call in a message of its own, addressed to the tool."""
    both = parameters('<atem:parameter name="', '">', "</atem:parameter>\n")
    return "<|eom|>".join(
        f"<|start|>assistant to={name}<|message|><atem:function_calls>\n"
        f'<atem:invoke name="{name}">\n{inner}</atem:invoke>\n</atem:function_calls>'
        for name, inner in zip(("get_weather", "get_time"), both, strict=True)
    )


def dsml(section: str) -> str:
    invoked = invoke_tags(f"｜DSML｜{section}", "｜DSML｜")
    typed = invoked.replace('name="city">', 'name="city" string="true">')
    for key in ("days", "where"):
        typed = typed.replace(f'name="{key}">', f'name="{key}" string="false">')
    return typed


def kimi_k3() -> str:
    kinds = {"city": "string", "days": "number", "where": "object"}
    both = parameters('<|open|>argument key="', '" type=""<|sep|>', "<|close|>argument<|sep|>")
    text = "".join(
        f'<|open|>call tool="{name}" index="{at}"<|sep|>{inner}<|close|>call<|sep|>'
        for at, (name, inner) in enumerate(
            zip(("get_weather", "get_time"), both, strict=True), start=1
        )
    )
    for key, kind in kinds.items():
        text = text.replace(f'"{key}" type=""', f'"{key}" type="{kind}"')
    return f"<|open|>tools<|sep|>{text}<|close|>tools<|sep|>"


def deepseek(fenced: bool) -> str:
    def one(name: str, arguments: str) -> str:
        body = (
            f"function<｜tool▁sep｜>{name}\n```json\n{arguments}\n```"
            if fenced
            else f"{name}<｜tool▁sep｜>{arguments}"
        )
        return f"<｜tool▁call▁begin｜>{body}<｜tool▁call▁end｜>"

    separator = "\n" if fenced else ""
    calls = separator.join((one("get_weather", WEATHER_TEXT), one("get_time", TIME_TEXT)))
    return f"<｜tool▁calls▁begin｜>{calls}<｜tool▁calls▁end｜>"


CASES = [
    Case(
        "hermes",
        "hermes",
        "{{ tools }} <tool_call> </think>",
        think(),
        hermes(WEATHER_TEXT, "get_weather") + "\n" + hermes(TIME_TEXT, "get_time"),
    ),
    Case(
        "generic",
        "generic",
        "{{ messages }}",
        think(),
        hermes(WEATHER_TEXT, "get_weather") + "\n" + hermes(TIME_TEXT, "get_time"),
    ),
    Case(
        "llama3",
        "llama3",
        "{{ tools }} <|start_header_id|>",
        "",
        f'{{"name": "get_weather", "parameters": {WEATHER_TEXT}}}',
        thought="",
        words="",
        single=True,
    ),
    Case(
        "llama3-python-tag",
        "llama3",
        "{{ tools }} <|start_header_id|>",
        WORDS,
        f'<|python_tag|>{{"name": "get_weather", "parameters": {WEATHER_TEXT}}}; '
        f'{{"name": "get_time", "parameters": {TIME_TEXT}}}',
        thought="",
    ),
    Case(
        "functionary-v3.1",
        "functionary-v3.1",
        "{{ tools }} <|start_header_id|> <function=",
        WORDS,
        f"<function=get_weather>{WEATHER_TEXT}</function><function=get_time>{TIME_TEXT}</function>",
        thought="",
    ),
    Case(
        "functionary-v3.2",
        "functionary-v3.2",
        "{{ tools }} >>>all",
        f"all\n{WORDS}",
        f">>>get_weather\n{WEATHER_TEXT}>>>get_time\n{TIME_TEXT}",
        thought="",
    ),
    Case(
        "mistral-list",
        "mistral",
        "{{ tools }} [TOOL_CALLS][",
        "",
        f'[TOOL_CALLS][{{"name": "get_weather", "arguments": {WEATHER_TEXT}, "id": "abcdef123"}}, '
        f'{{"name": "get_time", "arguments": {TIME_TEXT}, "id": "abcdef124"}}]',
        thought="",
        words="",
        ids=("abcdef123", "abcdef124"),
    ),
    Case(
        "mistral-named",
        "mistral",
        "{{ tools }} [TOOL_CALLS] [CALL_ID] [ARGS]",
        WORDS,
        f"[TOOL_CALLS]get_weather[CALL_ID]abcdef123[ARGS]{WEATHER_TEXT}"
        f"[TOOL_CALLS]get_time[CALL_ID]abcdef124[ARGS]{TIME_TEXT}",
        thought="",
        ids=("abcdef123", "abcdef124"),
    ),
    Case(
        "ministral",
        "mistral",
        "{{ tools }} [TOOL_CALLS] [ARGS] [THINK]",
        f"[THINK]{THOUGHT}[/THINK]{WORDS}",
        f"[TOOL_CALLS]get_weather[ARGS]{WEATHER_TEXT}[TOOL_CALLS]get_time[ARGS]{TIME_TEXT}",
    ),
    Case(
        "deepseek-v3",
        "deepseek",
        "{{ tools }} <｜tool▁calls▁begin｜> ```json <think>",
        f"{THOUGHT}\n</think>\n\n{WORDS}",
        deepseek(fenced=True),
        opens_reasoning=True,
    ),
    Case(
        "deepseek-v3.1",
        "deepseek",
        "{{ tools }} <｜tool▁calls▁begin｜> <think>",
        f"{THOUGHT}</think>{WORDS}",
        deepseek(fenced=False),
        opens_reasoning=True,
    ),
    Case(
        "deepseek-v3.2",
        "deepseek-dsml",
        "{{ tools }} ｜DSML｜ function_calls <think>",
        f"{THOUGHT}</think>{WORDS}\n\n",
        dsml("function_calls"),
        opens_reasoning=True,
    ),
    Case(
        "deepseek-v4",
        "deepseek-dsml",
        "{{ tools }} ｜DSML｜ tool_calls <think>",
        f"{THOUGHT}</think>{WORDS}\n\n",
        dsml("tool_calls"),
        opens_reasoning=True,
    ),
    Case(
        "harmony",
        "harmony",
        "{{ tools }} <|channel|>",
        f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant"
        f"<|channel|>commentary<|message|>{WORDS}<|end|>",
        "<|start|>assistant<|channel|>commentary to=functions.get_weather "
        f"<|constrain|>json<|message|>{WEATHER_TEXT}<|call|>"
        "<|start|>assistant to=functions.get_time<|channel|>commentary json"
        f"<|message|>{TIME_TEXT}<|call|>",
    ),
    Case(
        "gemma4",
        "gemma4",
        "{{ tools }} '<|tool_call>call:' <|channel>",
        f"<|channel>thought\n{THOUGHT}\n<channel|>{WORDS}",
        f'<|tool_call>call:get_weather{{city:<|"|>{CITY}<|"|>,days:2,'
        'where:{a:[1,<|"|>x}<|"|>],c:true}}<tool_call|>'
        '<|tool_call>call:get_time{city:<|"|>Bern<|"|>}<tool_call|>',
    ),
    Case(
        "phi4",
        "phi",
        "{{ tools }} <|user|> <|tool_call|> <|/tool_call|> <|end|>",
        WORDS,
        objects("<|tool_call|>[", "]<|/tool_call|>"),
        thought="",
    ),
    Case(
        "granite3",
        "granite",
        "{{ tools }} <|start_of_role|> <think>",
        f"<think>{THOUGHT}</think>\n<response>{WORDS}</response>",
        objects("<|tool_call|>[", "]"),
    ),
    Case(
        "granite4",
        "granite",
        "{{ tools }} <|start_of_role|> <tool_call>",
        f"{WORDS}\n",
        hermes(WEATHER_TEXT, "get_weather") + "\n" + hermes(TIME_TEXT, "get_time"),
        thought="",
    ),
    Case(
        "command-r",
        "command-r",
        "{{ tools }} <|START_ACTION|> <|START_THINKING|>",
        f"<|START_THINKING|>{THOUGHT}<|END_THINKING|><|START_RESPONSE|>{WORDS}<|END_RESPONSE|>",
        "<|START_ACTION|>[\n"
        f'    {{"tool_call_id": "0", "tool_name": "get_weather", "parameters": {WEATHER_TEXT}}},\n'
        f'    {{"tool_call_id": "1", "tool_name": "get_time", "parameters": {TIME_TEXT}}}\n'
        "]<|END_ACTION|>",
    ),
    Case(
        "command-r-plus",
        "command-r",
        "{{ tools }} <|START_OF_TURN_TOKEN|> Action: ```json",
        "",
        "Action:\n```json\n[\n"
        f'    {{"tool_name": "get_weather", "parameters": {WEATHER_TEXT}}},\n'
        f'    {{"tool_name": "get_time", "parameters": {TIME_TEXT}}}\n]\n```',
        thought="",
        words="",
    ),
    Case(
        "qwen3-coder",
        "qwen3-coder",
        "{{ tools }} <tool_call> <function= <parameter= <think>",
        think(),
        function_tags("tool_call", "\n"),
    ),
    Case(
        "seed",
        "seed",
        "{{ tools }} <seed:tool_call> <seed:think>",
        think("<seed:think>", "</seed:think>"),
        function_tags("seed:tool_call", ""),
    ),
    Case(
        "glm-4.5",
        "glm",
        "{{ tools }} <tool_call>f\n<arg_key> <think>",
        f"<think>{THOUGHT}</think>\n{WORDS}\n",
        argument_tags("", "\n"),
    ),
    Case(
        "glm-4.7",
        "glm",
        "{{ tools }} <tool_call>{f}<arg_key> <think>",
        f"{THOUGHT}</think>{WORDS}",
        argument_tags("", ""),
        opens_reasoning=True,
    ),
    Case(
        "hunyuan",
        "hunyuan",
        "{{ tools }} {% set HYTK = ':opensource' %} <think",
        f"{THOUGHT}</think:opensource>{WORDS}",
        "<tool_calls:opensource>\n"
        + argument_tags(":opensource", "\n", "<tool_sep:opensource>")
        + "\n</tool_calls:opensource>",
        opens_reasoning=True,
    ),
    Case(
        "minimax",
        "minimax",
        "{{ tools }} <minimax:tool_call> <think>",
        f"{THOUGHT}\n</think>\n\n{WORDS}\n",
        invoke_tags("minimax:tool_call", ""),
        opens_reasoning=True,
    ),
    Case(
        "minimax-m1",
        "minimax-m1",
        "{{ tools }} <beginning_of_sentence> <tool_calls>",
        f"{WORDS}\n",
        objects("<tool_calls>\n", "\n</tool_calls>").replace("}, {", "}\n{"),
        thought="",
    ),
    Case(
        "muse",
        "muse",
        "{{ tools }} <atem:function_calls> reasoning_content",
        f" to=self<|message|>{THOUGHT}<|eom|><|start|>assistant to=user<|message|>{WORDS}<|eom|>",
        muse(),
    ),
    Case(
        "kimi-k2",
        "kimi-k2",
        "{{ tools }} <|tool_calls_section_begin|> <think>",
        f"<think>{THOUGHT}</think>{WORDS}",
        "<|tool_calls_section_begin|>"
        f"<|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{WEATHER_TEXT}"
        "<|tool_call_end|>"
        f"<|tool_call_begin|>functions.get_time:1<|tool_call_argument_begin|>{TIME_TEXT}"
        "<|tool_call_end|><|tool_calls_section_end|>",
        ids=("functions.get_weather:0", "functions.get_time:1"),
    ),
    Case(
        "kimi-k3",
        "kimi-k3",
        "{{ tools }} <|open|> <|close|> thinking",
        f"{THOUGHT}<|close|>think<|sep|><|open|>response<|sep|>{WORDS}<|close|>response<|sep|>",
        kimi_k3(),
        opens_reasoning=True,
    ),
    Case(
        "nemotron",
        "nemotron",
        "{{ tools }} <TOOLCALL> <think>",
        f"{THOUGHT}\n</think>\n{WORDS}\n",
        objects("<TOOLCALL>[", "]</TOOLCALL>"),
        opens_reasoning=True,
    ),
    Case(
        "apertus",
        "apertus",
        "{{ tools }} <|tools_prefix|> <|inner_prefix|>",
        f"<|inner_prefix|>{THOUGHT}<|inner_suffix|>{WORDS}",
        f'<|tools_prefix|>[{{"get_weather": {WEATHER_TEXT}}}, {{"get_time": {TIME_TEXT}}}]'
        "<|tools_suffix|>",
    ),
    Case(
        "apriel",
        "apriel",
        "{{ tools }} [BEGIN FINAL RESPONSE] reasoning_content",
        f"{THOUGHT}\n[BEGIN FINAL RESPONSE]\n{WORDS}\n",
        objects("<tool_calls>[", "]</tool_calls>"),
        opens_reasoning=True,
    ),
    Case(
        "gigachat",
        "gigachat",
        "{{ tools }} <|role_sep|> <|function_call|>",
        WORDS,
        f'<|function_call|>{{"name": "get_weather", "arguments": {WEATHER_TEXT}}}',
        thought="",
        single=True,
    ),
    Case(
        "minicpm",
        "minicpm",
        '{{ tools }} <function name=" <think>',
        think(),
        f'<function name="get_weather"><param name="city">{WEATHER["city"]}</param>'
        f'<param name="days">2</param><param name="where">{WHERE_TEXT}</param></function>\n'
        '<function name="get_time"><param name="city"><![CDATA[Bern]]></param></function>',
    ),
    Case(
        "lfm2",
        "lfm2",
        "{{ tools }} <|tool_call_start|> <think>",
        f"<think>{THOUGHT}</think>{WORDS}",
        "<|tool_call_start|>[get_weather(city='Zürich {x} \"q\" \\\\ ]', days=2, "
        f'where={WHERE_TEXT}), get_time(city="Bern")]<|tool_call_end|>',
    ),
    Case(
        "firefunction",
        "firefunction",
        "{{ tools }} functools[",
        f"{WORDS} ",
        objects("functools[", "]"),
        thought="",
    ),
]
