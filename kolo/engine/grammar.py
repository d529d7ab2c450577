"""Constrained decoding: which tokens may come next.

llguidance keeps the state (https://github.com/guidance-ai/llguidance, docs/syntax.md); this
module feeds it and never trusts its silence: in an error state the library allows the end of
the answer, so every call here asks for one. A constraint never fails open.

A constraint is a JSON Schema, GBNF, any JSON object, one of several choices, or Lark written by
a tool-call dialect; ``engine.constraint`` turns the first four into grammars.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

import llguidance
import msgspec
import numpy as np
import numpy.typing as npt

from kolo.engine.constraint import compiling
from kolo.engine.constraint.closing import Exit, Text
from kolo.errors import BadGrammar, InternalError, KoloError, Unsupported
from kolo.types import Constraint

Mask = npt.NDArray[np.bool_]

MAX_CACHED = 32
"""Compiled constraints kept for the next request that has the same."""
STEER_TOKENS = 256
"""With more tokens than this left, nothing is done to bring JSON to its end."""
SPARE_TOKENS = 8
"""With more than this left over, tokens within a string go by unseen for a while."""

_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").view(bool)


class VocabSource(Protocol):
    """What a constraint needs to know of a model's vocabulary."""

    @property
    def eog_tokens(self) -> Sequence[int]:
        """All tokens that end the answer."""
        ...

    @property
    def eos_token(self) -> int: ...

    @property
    def vocab_ptr(self) -> int:
        """``llama_vocab *``; 0 when there is no llama.cpp underneath."""
        ...

    @property
    def tokenize_fptr(self) -> int:
        """Address of ``llama_tokenize``."""
        ...

    def token_bytes(self) -> list[bytes]:
        """Bytes of every token by id; special ones led by a 0xff byte."""
        ...


class GrammarCompiler:
    """Compiles constraints for one vocabulary. For one thread; a matcher may go to another."""

    def __init__(self, vocab: VocabSource) -> None:
        self._source = vocab
        self._vocab: _Vocab | None = None
        self._cache: OrderedDict[bytes, Matcher] = OrderedDict()

    def warm_up(self) -> _Vocab:
        """Read the vocabulary, if that is not done yet; best while a model loads.

        A large one takes seconds, one of them with Python's lock held: streams would stand still.
        """
        if self._vocab is None:
            self._vocab = _Vocab(self._source)
        return self._vocab

    def compile(self, constraint: Constraint | None, *, lark: str | None = None) -> Matcher:
        """The matcher, at its start, of ``constraint`` or of a whole Lark grammar ``lark``.

        Raises BadGrammar, which names what is wrong and where. Takes milliseconds once the
        vocabulary is there, and microseconds for a constraint that was compiled lately.
        """
        try:
            key = msgspec.json.encode((constraint, lark))
        except (UnicodeEncodeError, RecursionError) as error:
            raise BadGrammar(
                f"the constraint cannot be written as JSON: {error}",
                hint="Leave lone surrogates out and nest less deep.",
            ) from error
        if key not in self._cache:
            self._cache[key] = self._compile(constraint, lark)
            if len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key].clone()

    def _compile(self, constraint: Constraint | None, lark: str | None) -> Matcher:
        vocab = self.warm_up()
        core = compiling.matcher(constraint, lark, vocab.tokenizer, vocab.token, vocab.eog)
        json_text = constraint is not None and (
            constraint.json_object or constraint.json_schema is not None
        )
        return Matcher(core, vocab, Text() if json_text else None)


class _Vocab:
    """A vocabulary as llguidance has it, and the buffers that masks are computed in."""

    def __init__(self, source: VocabSource) -> None:
        self.pieces = source.token_bytes()
        self.eog = frozenset(source.eog_tokens)
        if not self.eog:
            raise Unsupported(
                "this model has no token that ends an answer, so none can be constrained",
                hint="Use a model file whose metadata names tokenizer.ggml.eos_token_id.",
            )
        first = source.eos_token if source.eos_token in self.eog else min(self.eog)
        ends = [first, *sorted(self.eog - {first})]
        if source.vocab_ptr:
            self.tokenizer = llguidance.LLTokenizer.from_llamacpp(
                tokens=self.pieces,
                vocab_ptr=source.vocab_ptr,
                tokenize_fptr=source.tokenize_fptr,
                eos_token=ends,
            )
        else:
            self.tokenizer = llguidance.LLTokenizer(_Greedy(self.pieces, first), eos_token=ends)
        self.exit = Exit(self.pieces, self.tokenizer.tokenize_bytes)
        n_tokens = len(self.pieces)
        self.ends = np.array(ends)
        self.packed = np.zeros((n_tokens + 31) // 32 * 4, dtype=np.uint8)
        self.bits = np.zeros((len(self.packed), 8), dtype=np.bool_)
        self.mask: Mask = self.bits.reshape(-1)[:n_tokens]

    def token(self, written: str) -> int | None:
        """The token written as ``<[id]>`` or ``<text>`` in a grammar."""
        if written.startswith("<["):
            number = int(written[2:-2])
            return number if number < len(self.pieces) else None
        for piece in (b"\xff" + written.encode(), written.encode()):
            if piece in self.pieces:
                return self.pieces.index(piece)
        return None


class _Greedy:
    """A tokenizer for vocabularies without llama.cpp: always the longest token that fits."""

    is_tokenizer_wrapper = True
    bos_token_id = None
    special_token_ids: Sequence[int] = ()

    def __init__(self, pieces: list[bytes], eos_token: int) -> None:
        self.tokens = pieces
        self.eos_token_id = eos_token
        self._ids = {piece: token for token, piece in enumerate(pieces) if piece}
        self._longest = max(map(len, pieces), default=1)

    def __call__(self, text: str | bytes) -> list[int]:
        data = text.encode() if isinstance(text, str) else text
        found: list[int] = []
        at = 0
        while at < len(data):
            sizes = range(min(self._longest, len(data) - at), 0, -1)
            size = next(size for size in sizes if data[at : at + size] in self._ids)
            found.append(self._ids[data[at : at + size]])
            at += size
        return found


class Matcher:
    """The state of one answer under a constraint."""

    def __init__(self, core: Any, vocab: _Vocab, text: Text | None) -> None:
        self._core = core
        self._vocab = vocab
        self._text = text
        """Where in JSON the answer is; None when it is not JSON from its first byte."""
        self._ended = False
        self._way: list[int] | None = None
        self._lost = False
        """No way out was found when one was last looked for."""
        self._look_at = STEER_TOKENS

    def clone(self) -> Matcher:
        """An independent matcher in the same state."""
        other = Matcher(self._core.deep_copy(), self._vocab, self._text)
        other._ended = self._ended
        other._way = self._way
        other._lost = self._lost
        other._look_at = self._look_at
        return other

    @property
    def accepting(self) -> bool:
        """Whether the answer may end here."""
        accepting = self._ended or bool(self._core.is_accepting())
        self._check()
        return accepting

    @property
    def finished(self) -> bool:
        """Whether nothing but the end may follow."""
        stopped = self._ended or bool(self._core.is_stopped())
        self._check()
        return stopped

    def allows(self, token: int) -> bool:
        """Whether ``token`` may come next: what ``mask()[token]`` says, in microseconds."""
        if token in self._vocab.eog:
            return self.accepting
        if self._ended:
            return False
        allowed: bool = self._core.validate_tokens([token]) == 1
        self._check()
        return allowed

    def mask(self) -> Mask:
        """What may come next: bool ``[n_vocab]``, True for allowed tokens.

        The buffer is shared by all matchers of the vocabulary and good until the next call.
        """
        vocab = self._vocab
        if self._ended:
            vocab.mask[:] = False
        else:
            self._core.unsafe_compute_mask_ptr(vocab.packed.ctypes.data, vocab.packed.size)
            self._check()
            np.take(_BITS, vocab.packed, axis=0, out=vocab.bits, mode="clip")
        vocab.mask[vocab.ends] = self.accepting
        if not vocab.mask.any():
            raise _contradiction()
        return vocab.mask

    def accept(self, token: int) -> None:
        """Take ``token`` as the next of the answer; it must be one that is allowed."""
        if token in self._vocab.eog:
            if not self.accepting:
                raise _refused(token)
            self._ended = True
            return
        if self._ended or not self._core.consume_token(token):
            self._check()
            raise _refused(token)
        if self._text is not None:
            self._text = self._text.after(self._vocab.pieces[token])
        if self._way:
            self._way = self._way[1:] if self._way[0] == token else None

    def forced_tokens(self) -> list[int]:
        """Tokens that spell the text that must follow, as the tokenizer would; often none."""
        if self._ended or self.finished:
            return []
        forced: bytes = self._core.compute_ff_bytes()
        self._check()
        return self._vocab.exit.spell(forced)

    def steer(self, token: int, remaining: int) -> int:
        """The token to take where ``token``, which is allowed, was drawn.

        ``remaining`` tokens may still come, this one included. That is ``token`` itself while
        JSON can be completed in the others; when it could not, the next one of a short way out
        (``constraint.closing``). So JSON is cut off only when ``remaining`` was too small from the
        start, or when no way out is found. Other constraints are left alone.
        """
        if self._text is None or remaining > STEER_TOKENS or token in self._vocab.eog:
            return token
        inside = self._text.in_string and b'"' not in self._vocab.pieces[token]
        if remaining > self._look_at and (inside or self._lost):
            return token
        if self._way and self._way[0] == token:
            return token
        if (way := self._way_after(token, remaining - 1)) is not None:
            self._way, self._lost = [token, *way], False
            self._look_at = remaining - 1 - max(remaining - len(way) - SPARE_TOKENS, 0) // 4
            return token
        if self._way is None or len(self._way) > remaining:
            self._way = self._vocab.exit.find(self._core, self._text, remaining)
        self._lost = not self._way
        # With fewer tokens left there will hardly be one either: it costs milliseconds to see.
        self._look_at = remaining // 2 if self._lost else remaining - 1
        return self._way[0] if self._way else token

    def _way_after(self, token: int, limit: int) -> list[int] | None:
        """At most ``limit`` tokens that complete the answer after ``token``."""
        after = self._core.deep_copy()
        if self._text is None or not after.consume_token(token):
            return None
        known, exit_ = self._way, self._vocab.exit
        if known is not None and len(known) <= limit and exit_.leads_out(after, known):
            return known
        return exit_.find(after, self._text.after(self._vocab.pieces[token]), limit)

    def _check(self) -> None:
        """Raise what llguidance has to say, if it is in its error state."""
        if not self._core.is_error():
            return
        problem = compiling.first_line(self._core.get_error())
        if "NoExtension" in problem:
            raise _contradiction()
        if any(word in problem for word in ("limit", "max is", "Too many", "too ")):
            raise BadGrammar(
                f"the constraint became too complex while the answer was written: {problem}",
                hint="Simplify it: fewer alternatives, smaller repetitions.",
            )
        raise _defect(problem)


def _contradiction() -> KoloError:
    return BadGrammar(
        "the constraint contradicts itself: nothing may follow what it has led to",
        hint="Look for a part that no text can match, such as bounds with nothing between.",
    )


def _refused(token: int) -> KoloError:
    return _defect(f"token {token} was taken although the constraint does not allow it")


def _defect(problem: str) -> KoloError:
    return InternalError(
        f"constrained decoding: {problem}",
        hint="This is a defect in Kolo. Report the request that led to it.",
    )
