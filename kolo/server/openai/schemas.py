"""Bodies of OpenAI's requests. What is not declared here is refused by its name.

``null`` stands for a field that was left out, as most clients send it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from kolo.server.openai.fields import Common, Prediction, Tokens, harmless, limited

MAX_TOOLS = 512
MAX_INPUTS = 2048
MAX_PROMPTS = 128
Token = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Name = Annotated[str, Meta(min_length=1, max_length=256)]

# Messages --------------------------------------------------------------------------------


class TextPart(Struct, frozen=True, tag="text", tag_field="type", forbid_unknown_fields=True):
    text: str


class RefusalPart(Struct, frozen=True, tag="refusal", tag_field="type", forbid_unknown_fields=True):
    refusal: str


class ImagePart(Struct, frozen=True, tag="image_url", tag_field="type"):
    """Refused: Kolo reads text only."""

    image_url: Any = None


class AudioPart(Struct, frozen=True, tag="input_audio", tag_field="type"):
    """Refused: Kolo reads text only."""

    input_audio: Any = None


class FilePart(Struct, frozen=True, tag="file", tag_field="type"):
    """Refused: Kolo reads text only."""

    file: Any = None


Part = TextPart | RefusalPart | ImagePart | AudioPart | FilePart


class CalledFunction(Struct, frozen=True, forbid_unknown_fields=True):
    name: Name
    arguments: Annotated[
        str | dict[str, Any], Meta(description="JSON text, or the object itself.")
    ] = ""


class MessageCall(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A tool call as the model made it, sent back in."""

    id: str = ""
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None


class ChatMessage(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[MessageCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: Annotated[
        str | None, Meta(description="What the assistant thought, for templates that read it.")
    ] = None
    refusal: str | None = None
    annotations: list[Any] | None = None
    audio: None = None
    function_call: None = None


# Tools -----------------------------------------------------------------------------------


class FunctionBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: Name
    description: str | None = None
    parameters: Annotated[
        dict[str, Any] | None, Meta(description="JSON Schema of the arguments.")
    ] = None
    strict: bool | None = None


class ToolBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    type: Literal["function"] = "function"
    function: FunctionBody


class NamedFunction(Struct, frozen=True, forbid_unknown_fields=True):
    name: Name


class NamedTool(Struct, frozen=True, tag="function", tag_field="type", forbid_unknown_fields=True):
    function: NamedFunction


class AllowedToolsChoice(Struct, frozen=True, forbid_unknown_fields=True):
    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Meta(min_length=1, max_length=MAX_TOOLS)]


class AllowedTools(
    Struct, frozen=True, tag="allowed_tools", tag_field="type", forbid_unknown_fields=True
):
    allowed_tools: AllowedToolsChoice


# What the answer must look like ----------------------------------------------------------


class TextFormat(Struct, frozen=True, tag="text", tag_field="type", forbid_unknown_fields=True):
    pass


class JsonObjectFormat(
    Struct, frozen=True, tag="json_object", tag_field="type", forbid_unknown_fields=True
):
    schema: Annotated[
        dict[str, Any] | None, Meta(description="llama-server's: a schema it must meet.")
    ] = None


class NamedSchema(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | bool | None = None
    strict: Annotated[
        bool | None, Meta(description="The answer meets the schema in either case.")
    ] = None


class JsonSchemaFormat(
    Struct,
    frozen=True,
    tag="json_schema",
    tag_field="type",
    forbid_unknown_fields=True,
    kw_only=True,
):
    json_schema: NamedSchema | None = None
    schema: Annotated[
        dict[str, Any] | bool | None, Meta(description="llama-server's place for the schema.")
    ] = None


ResponseFormat = TextFormat | JsonObjectFormat | JsonSchemaFormat
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]

# Bodies ----------------------------------------------------------------------------------


class ChatBody(Common, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /v1/chat/completions."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1, max_length=100_000)]
    max_completion_tokens: Annotated[Tokens | None, Meta(description="As max_tokens.")] = None
    tools: Annotated[list[ToolBody], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | AllowedTools | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    reasoning_effort: Annotated[
        Effort | None, Meta(description="How much to think; none turns thinking off.")
    ] = None
    reasoning_budget_tokens: Annotated[
        Tokens | None, Meta(description="The most tokens to think; -1 for no bound.")
    ] = None
    thinking_budget_tokens: Annotated[
        Tokens | None, Meta(description="As reasoning_budget_tokens.")
    ] = None
    reasoning_budget: Annotated[Tokens | None, Meta(description="As reasoning_budget_tokens.")] = (
        None
    )
    reasoning_format: Annotated[
        Literal["auto", "deepseek", "none"] | None,
        Meta(description="none leaves thoughts and calls in the content, as they were written."),
    ] = None
    chat_template_kwargs: Annotated[
        dict[str, Any] | None, Meta(description="Variables for the model's chat template.")
    ] = None
    continue_final_message: Annotated[
        bool | None, Meta(description="Carry on the last message, which is the assistant's.")
    ] = None
    add_generation_prompt: bool | None = None
    prediction: Annotated[Prediction | None, harmless("prediction")] = None
    verbosity: Annotated[Literal["medium"] | None, limited("verbosity")] = None
    modalities: Annotated[list[Literal["text"]] | None, limited("modalities")] = None
    audio: Annotated[None, limited("audio")] = None
    web_search_options: Annotated[None, limited("web_search_options")] = None
    functions: Annotated[None, limited("functions")] = None
    function_call: Annotated[None, limited("function_call")] = None


class CompletionBody(Common, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /v1/completions."""

    prompt: Annotated[
        str | list[str | Token | list[Token]],
        Meta(
            description="A text, token ids, or a list of either; each is answered by itself. "
            f"At most {MAX_PROMPTS}."
        ),
    ]
    suffix: Annotated[
        str | None,
        Meta(description="Text after what is to be written, for models that can infill."),
    ] = None
    echo: Annotated[bool | None, Meta(description="Send the prompt before the answer.")] = None
    logprobs: Annotated[
        Annotated[int, Meta(ge=0, le=20)] | None,
        Meta(description="Log-probability of each token, and of this many others."),
    ] = None
    best_of: Annotated[
        Annotated[int, Meta(ge=1, le=128)] | None, Meta(description="The same as n, or left out.")
    ] = None


class EmbeddingBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /v1/embeddings."""

    input: Annotated[
        str | list[str | Token | list[Token]],
        Meta(
            description="A text, token ids, or a list of either; each is embedded by itself. "
            f"At most {MAX_INPUTS}."
        ),
    ]
    model: str | None = None
    encoding_format: Annotated[
        Literal["float", "base64"] | None,
        Meta(description="Numbers, or their 32-bit floats, little-endian, in base64."),
    ] = None
    dimensions: Annotated[
        Annotated[int, Meta(ge=1, le=1 << 20)] | None,
        Meta(description="Keep this many of the first dimensions, at unit length again."),
    ] = None
    user: str | None = None
