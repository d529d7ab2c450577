"""Which dialect a template is of, and what the dialect tells the engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from dialect_cases import Case, chat, read, reader_of
from dialect_texts import CASES

from kolo.engine.dialects import detect, new_call_id, plain_reader
from kolo.types import Chat

TEMPLATES = Path(__file__).parents[3] / "shared" / "data" / "templates"

PUBLISHED = {
    "Apertus-8B-Instruct": "apertus",
    "Bielik-11B-v3.0-Instruct": "hermes",
    "Cohere2MoE": "command-r",
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": "command-r",
    "GLM-4.7-Flash": "glm",
    "GigaChat3.1-10B-A1.8B": "gigachat",
    "Kimi-K2-Instruct": "kimi-k2",
    "Kimi-K3": "kimi-k3",
    "LFM2.5-8B-A1B": "lfm2",
    "MiMo-VL": "hermes",
    "MiniMax-M2": "minimax",
    "Mistral-Small-3.2-24B-Instruct-2506": "mistral",
    "NVIDIA-Nemotron-Nano-v2": "nemotron",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": "hermes",
    "Qwen-Qwen2.5-7B-Instruct": "hermes",
    "Qwen3-Coder": "qwen3-coder",
    "Reka-Edge": "hermes",
    "StepFun3.5-Flash": "qwen3-coder",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": "deepseek",
    "deepseek-ai-DeepSeek-V3.2": "deepseek-dsml",
    "deepseek-ai-DeepSeek-V4": "deepseek-dsml",
    "google-gemma-2-2b-it": "gemma",
    "google-gemma-4-31B-it": "gemma4",
    "ibm-granite-granite-4.0": "granite",
    "inclusionai-ling-3.0-flash": "glm",
    "llama-cpp-rwkv-world": "generic",
    "meetkai-functionary-medium-v3.2": "functionary-v3.2",
    "meta-llama-Llama-3.2-3B-Instruct": "llama3",
    "microsoft-Phi-3.5-mini-instruct": "phi",
    "mistralai-Mistral-Nemo-Instruct-2407": "mistral",
    "muse-glimmer": "muse",
    "openbmb-MiniCPM5-1B": "minicpm",
    "poolside-Laguna-XS-2.1": "glm",
    "tencent-Hy3": "hunyuan",
    "unsloth-mistral-Devstral-Small-2507": "mistral",
}
TELL_NO_TOOLS = {
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
    "google-gemma-2-2b-it",
    "llama-cpp-rwkv-world",
    "microsoft-Phi-3.5-mini-instruct",
}

each_family = pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_templates_are_of_their_family(name: str) -> None:
    path = TEMPLATES / f"{name}.jinja"
    if not path.exists():
        pytest.skip("the published templates are not at hand")
    dialect = detect(path.read_text())
    assert dialect.name == PUBLISHED[name]
    assert dialect.native_tools == (name not in TELL_NO_TOOLS)


def test_every_published_template_at_hand_is_in_the_table() -> None:
    if not TEMPLATES.exists():
        pytest.skip("the published templates are not at hand")
    assert {path.stem for path in TEMPLATES.glob("*.jinja")} == PUBLISHED.keys()


def test_an_unknown_template_is_generic() -> None:
    dialect = detect("{% for m in messages %}{{ m.content }}{% endfor %}")
    assert dialect.name == "generic"
    assert not dialect.native_tools
    outcome = read(reader_of(dialect), '<think>a</think>b<tool_call>{"name": "ping"}</tool_call>')
    assert (outcome.reasoning, outcome.content) == ("a", "b")
    assert outcome.parsed == [("ping", {})]


def test_a_template_that_tells_no_tools_reads_hermes_calls_and_its_own() -> None:
    source = "<\uff5cAssistant\uff5c> <\uff5ctool\u2581calls\u2581begin\uff5c> <think>"
    dialect = detect(source)
    assert dialect.name == "deepseek"
    assert not dialect.native_tools
    hermes = '<tool_call>\n{"name": "ping"}\n</tool_call>'
    assert read(reader_of(dialect), hermes).parsed == [("ping", {})]
    own = next(case for case in CASES if case.id == "deepseek-v3.1")
    assert read(reader_of(dialect, opens_reasoning=True), own.text).parsed == own.arguments


def test_the_caller_may_know_better_whether_tools_are_told() -> None:
    source = "{{ tools }} <|start_header_id|>"
    assert detect(source).native_tools
    assert not detect(source, native_tools=False).native_tools
    assert detect("<start_of_turn>", native_tools=True).native_tools


@pytest.mark.parametrize(
    ("source", "prompt", "expected"),
    [
        ("<think>", "<|im_start|>assistant\n<think>\n", True),
        ("<think>", "<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        ("<think>", "<|im_start|>assistant\n", False),
        ("<|START_ACTION|>", "<|CHATBOT_TOKEN|><|START_THINKING|>", True),
        ("<|START_ACTION|>", "<|START_THINKING|><|END_THINKING|>", False),
        ("<|open|> <|close|>", "<|open|>think<|sep|>", True),
        ("<|open|> <|close|>", "<|open|>response<|sep|>", False),
        ("<|tool_call>call:", "<|turn>model\n<|channel>thought\n", True),
        ("<|tool_call>call:", "<|channel>thought\n<channel|>", False),
        ("<|channel|>", "<|start|>assistant<|channel|>analysis<|message|>", True),
        ("<|channel|>", "<|start|>assistant", False),
        ("[BEGIN FINAL RESPONSE]", "assistant\nHere are my reasoning steps:\n", True),
    ],
)
def test_a_prompt_that_ends_in_a_thought_is_seen(source: str, prompt: str, expected: bool) -> None:
    assert detect(source).opens_reasoning(prompt) is expected


@each_family
def test_every_control_token_of_the_text_is_asked_for(case: Case) -> None:
    rest = case.text
    for marker in sorted(case.dialect.markers, key=len, reverse=True):
        rest = rest.replace(marker, "")
    for bracket in ("<|", "|>", "<\uff5c", "[TOOL", "[ARGS", "[CALL_ID", "[THINK", "THINK]"):
        assert bracket not in rest


@each_family
def test_what_closes_a_thought_is_told(case: Case) -> None:
    assert not case.thought or case.dialect.reasoning_close in case.text


@each_family
def test_a_token_that_ends_the_turn_is_not_content(case: Case) -> None:
    begin = "all\n" if case.name == "functionary-v3.2" else ""
    for stop in case.dialect.stops:
        assert stop in case.dialect.markers
        for request in (chat(), Chat(messages=[])):
            outcome = read(reader_of(case.dialect, request), f"{begin}Yes.{stop}")
            assert outcome.content == "Yes."


def test_ids_are_openai_s() -> None:
    first, second = new_call_id(), new_call_id()
    assert first != second
    assert first.startswith("call_")
    assert len(first) == 29
    assert first.removeprefix("call_").isalnum()


def test_the_plain_reader_gives_the_text_as_it_comes() -> None:
    outcome = read(plain_reader(), ["<think>", "a\n", ""])
    assert outcome.content == "<think>a\n"
    assert not outcome.called
