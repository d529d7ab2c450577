"""From a request as it came to jobs the loop can run: rendering, tokenizing, compiling.

Runs on the reader thread, beside the loop, so that a long prompt or a large schema holds up
nobody's tokens. Everything a caller can have got wrong is found here.
"""

from __future__ import annotations

import secrets
import time
from array import array

import numpy as np
from msgspec.structs import replace

from kolo.engine.backend import Backend
from kolo.engine.choice import Choice, Rules
from kolo.engine.dialects import Dialect, Reader, detect, new_call_id, plain_reader
from kolo.engine.either import Either
from kolo.engine.grammar import GrammarCompiler, Matcher
from kolo.engine.job import Job
from kolo.engine.prompt import TOOLS_TEMPLATE, Template
from kolo.engine.sampling import Bias, Sampler, make_plan, needs_chain
from kolo.engine.scheduler import Sequence
from kolo.errors import BadParameter, ContextLengthExceeded, Unsupported
from kolo.types import Chat, Generate, LoadParams, Message, Prompt, Reasoning, Sampling

FORBIDDEN_BIAS = -100.0
"""OpenAI's scale: at or below this a token is never drawn."""
_SYSTEM = frozenset({"system", "developer"})


class Front:
    """The model's template, dialect and grammar compiler, made once at load."""

    def __init__(self, backend: Backend, params: LoadParams) -> None:
        self._backend = backend
        self._vocab = backend.vocab
        info = backend.info
        self.defaults = _merge(params.sampling, info.sampling)
        self._stops = tuple(params.stop or ())
        self._system = params.system
        self.template = Template(
            params.chat_template or info.chat_template or None,
            bos_token=info.bos_token,
            eos_token=info.eos_token,
            named=info.named_templates,
            given=params.chat_template is not None,
        )
        tool_template = info.named_templates.get(TOOLS_TEMPLATE)
        if params.chat_template is not None or not tool_template:
            tool_template = self.template.source
        native_tools = self.template.caps["supports_tools"]
        self.dialect: Dialect = detect(tool_template, native_tools=native_tools)
        make_plan(Sampling(), self.defaults, 0)  # what cannot be honoured is refused at load
        self._bias(Sampling())
        self._compiler = GrammarCompiler(self._vocab)
        self.notes: list[str] = []
        if self.template.source_kind == "default" and info.can_chat:
            self.notes.append("the file has no chat template; ChatML is used")

    def prepare(self, request_id: int, op: Generate, share: str = "") -> Job:
        """The job of a request; ``share`` is whose it is. Raises the caller's errors:
        BadParameter, BadTemplate, BadGrammar, ContextLengthExceeded, Unsupported."""
        arrived_s = time.perf_counter()
        prompt, opens_reasoning = self._prompt(op.input)
        n_ctx = self._backend.n_ctx
        if len(prompt) >= n_ctx:
            raise ContextLengthExceeded(
                f"the prompt has {len(prompt)} tokens, the context holds {n_ctx}",
                hint="shorten the conversation, or load the model with a larger ctx",
                param="messages" if isinstance(op.input, Chat) else "prompt",
            )
        seed = self.defaults.seed if op.sampling.seed is None else op.sampling.seed
        if seed is None or seed < 0:
            seed = secrets.randbits(32)
        rules = self._rules(op, n_ctx - len(prompt))
        matcher = self._matcher(op)
        choices = [
            self._choice(request_id, index, op, prompt, rules, seed, matcher, opens_reasoning)
            for index in range(op.n)
        ]
        for choice in choices:
            choice.sequence.share = share
        for choice in choices[1:]:
            choice.sequence.first = choices[0].sequence
        deadline_s = arrived_s + op.deadline_ms / 1000 if op.deadline_ms else None
        return Job(
            request_id, choices, len(prompt), seed, arrived_s, deadline_s, op.prompt_logprobs
        )

    def render(self, chat: Chat) -> str:
        self._must_chat()
        return self.template.render(self._begun(chat)).text

    # The prompt ---------------------------------------------------------------------------

    def _prompt(self, source: Chat | Prompt) -> tuple[array[int], bool]:
        if isinstance(source, Chat):
            return self._chat_tokens(source)
        self._must_generate()
        if source.suffix is not None:
            tokens = self._infill(source)
        elif source.tokens is not None:
            tokens = self._checked(source.tokens)
        else:
            tokens = self._vocab.tokenize(
                source.text or "",
                add_special=source.add_special,
                parse_special=source.parse_special,
            )
        if not tokens and self._vocab.bos is not None:
            tokens = array("i", [self._vocab.bos])
        if not tokens:
            raise BadParameter("the prompt is empty", hint="send some text", param="prompt")
        return tokens, False

    def _chat_tokens(self, chat: Chat) -> tuple[array[int], bool]:
        self._must_chat()
        if not chat.messages:
            raise BadParameter(
                "there are no messages", hint="send at least one message", param="messages"
            )
        rendered = self.template.render(self._begun(chat))
        text = rendered.text
        bos = self._vocab.text(self._vocab.bos)
        if self._vocab.add_bos and bos:
            # The tokenizer adds it; a template that wrote it too would double it.
            text = text.removeprefix(bos)
        tokens = self._vocab.tokenize(text, add_special=True, parse_special=True)
        return tokens, rendered.opens_reasoning or self.dialect.opens_reasoning(rendered.text)

    def _begun(self, chat: Chat) -> Chat:
        """``chat``, with the system message of the load where it has none of its own."""
        if not self._system or any(each.role in _SYSTEM for each in chat.messages):
            return chat
        first = Message(role="system", content=self._system)
        return replace(chat, messages=[first, *chat.messages])

    def _infill(self, source: Prompt) -> array[int]:
        """Prefix, suffix, middle, in the model's own markers (llama.cpp's ``/infill`` order)."""
        marks = self._vocab.infill_tokens()
        if not {"prefix", "suffix", "middle"} <= marks.keys():
            raise Unsupported(
                "this model has no fill-in-the-middle tokens",
                hint="send no suffix, or load a code model that can infill",
                param="suffix",
            )

        def plain(text: str) -> array[int]:
            return self._vocab.tokenize(text, add_special=False, parse_special=False)

        tokens = array("i")
        if self._vocab.add_bos and self._vocab.bos is not None:
            tokens.append(self._vocab.bos)
        if source.prefix_context and "file_sep" in marks:
            for name, text in source.prefix_context:
                tokens.append(marks["file_sep"])
                tokens += plain(f"{name}\n{text}\n")
        tokens.append(marks["prefix"])
        tokens += plain(source.text or "")
        tokens.append(marks["suffix"])
        tokens += plain(source.suffix or "")
        tokens.append(marks["middle"])
        return tokens

    def _checked(self, tokens: list[int]) -> array[int]:
        for at, token in enumerate(tokens):
            if not 0 <= token < self._vocab.n_tokens:
                raise BadParameter(
                    f"prompt[{at}] is {token}, not a token of this model",
                    hint=f"token ids are 0 to {self._vocab.n_tokens - 1}",
                    param="prompt",
                )
        return array("i", tokens)

    def _must_generate(self) -> None:
        if not self._backend.info.can_chat:
            raise Unsupported(
                f"{self._backend.info.architecture} is an embedding model and writes no text",
                hint="use it for embeddings, or load a model that generates",
                param="model",
            )

    _must_chat = _must_generate

    # The choices --------------------------------------------------------------------------

    def _rules(self, op: Generate, room: int) -> Rules:
        max_tokens = room if op.max_tokens is None else min(op.max_tokens, room)
        if op.min_tokens > max_tokens:
            raise BadParameter(
                f"min_tokens {op.min_tokens} is over the {max_tokens} tokens there is room for",
                hint="lower min_tokens",
                param="min_tokens",
            )
        chat = op.input if isinstance(op.input, Chat) else None
        budget = chat.reasoning.budget_tokens if chat and chat.reasoning else None
        close = array("i")
        if budget is not None and self.dialect.reasoning_close:
            close = self._vocab.tokenize(
                self.dialect.reasoning_close, add_special=False, parse_special=True
            )
        parsed = chat is not None and chat.parse
        return Rules(
            max_tokens=max_tokens,
            min_tokens=op.min_tokens,
            stops=tuple(op.stop),
            turn_ends=(*(self.dialect.stops if parsed else ()), *self._stops),
            logprobs=op.logprobs,
            top_logprobs=op.top_logprobs,
            reasoning_budget=budget,
            reasoning_close=close,
            markers=self.dialect.markers if parsed else frozenset(),
        )

    def _matcher(self, op: Generate) -> Matcher | Either | None:
        """What binds the answer: forced calls, or else a constraint, beside which the tools on
        offer may still be called."""
        chat = op.input
        if isinstance(chat, Chat) and chat.tools:
            calls = self._calls(chat)
            if calls is not None:
                return calls
            if op.constraint is not None and chat.tool_choice == "auto":
                must = replace(chat, tool_choice="required", reasoning=Reasoning(enabled=False))
                if (calls := self._calls(must)) is not None:
                    return Either(self._compiler.compile(op.constraint), calls)
        return self._compiler.compile(op.constraint) if op.constraint is not None else None

    def _calls(self, chat: Chat) -> Matcher | None:
        lark = self.dialect.call_grammar(chat, special=self._vocab.special)
        return self._compiler.compile(None, lark=lark) if lark is not None else None

    def _choice(
        self,
        request_id: int,
        index: int,
        op: Generate,
        prompt: array[int],
        rules: Rules,
        seed: int,
        matcher: Matcher | Either | None,
        opens_reasoning: bool,
    ) -> Choice:
        plan = make_plan(op.sampling, self.defaults, (seed + index) & 0xFFFFFFFF)
        bias = self._bias(op.sampling)  # may refuse, and a chain would then be left unfreed
        chain = self._backend.chain(plan) if needs_chain(plan) else None
        sampler = Sampler(plan, chain, bias, plan.seed)
        sampler.prime(prompt)
        reader: Reader = plain_reader()
        if isinstance(op.input, Chat) and op.input.parse:
            reader = self.dialect.reader(op.input, opens_reasoning=opens_reasoning, ids=new_call_id)
        sequence = Sequence(
            array("i", prompt),
            reuse=op.cache_prompt and not (op.prompt_logprobs and index == 0),
            all_logits=op.prompt_logprobs and index == 0,
        )
        own = matcher if matcher is None or index == 0 else matcher.clone()
        return Choice(request_id, index, sequence, rules, self._vocab, sampler, own, reader)

    def _bias(self, sampling: Sampling) -> Bias | None:
        """Biases by token; a string biases each of its tokens."""
        biases: dict[int, float] = {}
        given = self.defaults.logit_bias if sampling.logit_bias is None else sampling.logit_bias
        for key, value in (given or {}).items():
            for token in self._biased(key):
                biases[token] = -np.inf if value <= FORBIDDEN_BIAS else value
        if sampling.ignore_eos or self.defaults.ignore_eos:
            biases |= dict.fromkeys(self._vocab.eog, -np.inf)
        if not biases:
            return None
        ids = np.fromiter(biases.keys(), dtype=np.int32, count=len(biases))
        values = np.fromiter(biases.values(), dtype=np.float32, count=len(biases))
        return ids, values

    def _biased(self, key: str) -> list[int]:
        if key.isascii() and key.isdigit():
            token = int(key)
            if token >= self._vocab.n_tokens:
                raise BadParameter(
                    f"logit_bias names token {token}, the model has {self._vocab.n_tokens}",
                    hint=f"token ids are 0 to {self._vocab.n_tokens - 1}",
                    param="logit_bias",
                )
            return [token]
        return list(self._vocab.tokenize(key, add_special=False, parse_special=True))


def _merge(first: Sampling, second: Sampling) -> Sampling:
    """``first`` where it says something, else ``second``."""
    fields = {
        name: value
        for name in Sampling.__struct_fields__
        if (value := getattr(first, name)) is not None
        or (value := getattr(second, name)) is not None
    }
    return Sampling(**fields)
