"""A backend without weights: the same surface, exact bookkeeping, faults on demand.

It "computes" by remembering every token of every slot, and complains where llama.cpp would abort:
a position that is not the next one, rows out of order, logits nobody asked for. What it writes is
a function of the whole context, so any slip in prefix reuse changes the text. ``path`` is a JSON
object of ``Script``; used by tests and by the demo.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from array import array
from collections.abc import Sequence

import msgspec
import numpy as np

from kolo.engine.backend import NO_ROOM, OK, Chain, ChainSpec, Logits, OnProgress, TokenIds
from kolo.errors import InternalError, LoadFailed
from kolo.types import LoadParams, ModelInfo

_SPECIALS = ("<|im_start|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
_FIRST_SPECIAL = 256
_EOG = _FIRST_SPECIAL + 1
_WORDS = (
    "kolo", "runs", "models", "from", "a", "terminal", "and", "keeps", "every", "stream",
    "alive", "while", "slots", "prefill", "decode", "copy", "spill", "restore", "batches",
    "tokens", "prompts", "answers", "with", "care", "for", "those", "who", "wait",
)  # fmt: skip


class Script(msgspec.Struct, forbid_unknown_fields=True):
    """What a fake engine is told to do."""

    row_ms: float = 0.0
    """Time of one decode, plus a hundredth for each further row."""
    load_ms: float = 0.0
    refuse: str = ""
    hang_on_load: bool = False
    crash_after_calls: int = 0
    """Kill the process with SIGSEGV at this decode call."""
    cells: int = 0
    """Size of the unified pool; 0 is enough for every slot."""
    can_trim: bool = True
    words: int = 40
    """About how many words an answer has."""


class FakeVocab:
    n_tokens = _FIRST_SPECIAL + len(_SPECIALS)
    eog = frozenset({_EOG})
    eog_tokens = (_EOG,)
    eos_token = _EOG
    bos: int | None = None
    add_bos = False
    vocab_ptr = 0
    tokenize_fptr = 0

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> array[int]:
        tokens = array("i")
        while text:
            name = next((s for s in _SPECIALS if parse_special and text.startswith(s)), None)
            if name is not None:
                tokens.append(_FIRST_SPECIAL + _SPECIALS.index(name))
                text = text[len(name) :]
            else:
                tokens.extend(text[0].encode())
                text = text[1:]
        return tokens

    def piece(self, token: int) -> bytes:
        return bytes([token]) if token < _FIRST_SPECIAL else b""

    def marker(self, token: int) -> str:
        return _SPECIALS[token - _FIRST_SPECIAL] if token >= _FIRST_SPECIAL else ""

    def special(self, text: str) -> int | None:
        return _FIRST_SPECIAL + _SPECIALS.index(text) if text in _SPECIALS else None

    def pair(self, first: str, second: str) -> array[int]:
        return array("i", list(f"{first}\0{second}".encode()))

    def text(self, token: int | None) -> str:
        if token is None:
            return ""
        return self.marker(token) or self.piece(token).decode("utf-8", "replace")

    def infill_tokens(self) -> dict[str, int]:
        names = ("prefix", "suffix", "middle")
        return {name: _FIRST_SPECIAL + 2 + at for at, name in enumerate(names)}

    def token_bytes(self) -> list[bytes]:
        plain = [bytes([byte]) for byte in range(256)]
        return plain + [b"\xff" + name.encode() for name in _SPECIALS]


class FakeBackend:
    costs_vary = False
    build = "fake"

    def __init__(self, script: Script, params: LoadParams) -> None:
        self.vocab = FakeVocab()
        self.n_slots = params.parallel or 4
        self.n_ctx = params.ctx or 1024
        self.n_batch = params.batch or 512
        self.max_outputs = max(32, self.n_slots)
        self.unified = params.kv_unified
        self.can_trim = script.can_trim
        self.thread_choices = (1,)
        self.n_threads_batch = 1
        self._script = script
        self._cells = script.cells or self.n_slots * self.n_ctx
        self._kv = [array("i") for _ in range(self.n_slots)]
        self._rows: list[Logits] = []
        self._calls = 0
        self.info = ModelInfo(
            architecture="fake",
            description="fake engine",
            n_ctx=self.n_ctx,
            n_ctx_train=self.n_ctx,
            parallel=self.n_slots,
            n_vocab=self.vocab.n_tokens,
            eos_token="<|im_end|>",
            can_embed=True,
            can_rerank=True,
            can_infill=True,
            pooling="mean",
            threads=1,
        )

    def decode(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        slots: Sequence[int],
        wanted: Sequence[int],
    ) -> int:
        self._check(tokens, slots)
        if self.unified and sum(map(len, self._kv)) + len(tokens) > self._cells:
            return NO_ROOM
        self._calls += 1
        if self._calls == self._script.crash_after_calls:
            os.kill(os.getpid(), signal.SIGSEGV)
        if self._script.row_ms:
            time.sleep(self._script.row_ms * (1 + 0.01 * (len(tokens) - 1)) / 1000)
        self._rows = []
        for token, position, slot, want in zip(tokens, positions, slots, wanted, strict=True):
            held = self._kv[slot]
            if position != len(held):
                raise InternalError(f"slot {slot} is at {len(held)}, a row says {position}")
            held.append(token)
            if want:
                self._rows.append(self._next(held))
        return OK

    def _check(self, tokens: Sequence[int], slots: Sequence[int]) -> None:
        if not 0 < len(tokens) <= self.n_batch:
            raise InternalError(f"a batch of {len(tokens)} rows")
        if list(slots) != sorted(slots) or not 0 <= slots[0] <= slots[-1] < self.n_slots:
            raise InternalError(f"slots out of order or range: {list(slots)}")
        if not all(0 <= token < self.vocab.n_tokens for token in tokens):
            raise InternalError("a token out of range")

    def _next(self, held: array[int]) -> Logits:
        """Mostly one token, by a hash of all before the word now being written."""
        row = np.full(self.vocab.n_tokens, -20.0, dtype=np.float32)
        start = len(held)
        while start and held[start - 1] != 32 and held[start - 1] < _FIRST_SPECIAL:
            start -= 1
        digest = hashlib.blake2b(held[:start].tobytes(), digest_size=8).digest()
        seed = int.from_bytes(digest, "little")
        word = _WORDS[seed % len(_WORDS)].encode() + b" "
        written = bytes(held[start:])
        if not written and seed // 64 % self._script.words == 0:
            row[_EOG] = 10.0
        elif word.startswith(written):
            row[word[len(written)]] = 10.0
        else:
            row[32] = 10.0
        return row

    def logits(self, n_rows: int) -> Logits:
        if n_rows != len(self._rows):
            raise InternalError(f"{len(self._rows)} rows have logits, {n_rows} were asked for")
        return np.stack(self._rows)

    def set_threads(self, n_threads: int) -> None:
        if n_threads != 1:
            raise InternalError("the fake has one thread")

    def chain(self, spec: ChainSpec) -> Chain:
        return FakeChain(spec.seed)

    def trim(self, slot: int, length: int) -> bool:
        if not self.can_trim and 0 < length < len(self._kv[slot]):
            return False
        del self._kv[slot][length:]
        return True

    def copy(self, source: int, target: int, length: int) -> None:
        if self._kv[target]:
            raise InternalError("the target of a copy is not empty")
        self._kv[target] = self._kv[source][:length]

    def save(self, slot: int) -> bytearray:
        return bytearray(self._kv[slot].tobytes())

    def restore(self, slot: int, blob: bytes | bytearray, n_tokens: int) -> bool:
        held = array("i")
        held.frombytes(blob)
        if len(held) != n_tokens:
            return False
        self._kv[slot] = held
        return True

    def embed(self, inputs: Sequence[array[int]], *, normalize: bool) -> list[list[float]]:
        found = []
        for tokens in inputs:
            vector = np.bincount(np.asarray(tokens) % 16, minlength=16).astype(np.float64)
            found.append((vector / np.linalg.norm(vector) if normalize else vector).tolist())
        return found

    def rank(self, inputs: Sequence[array[int]]) -> list[float]:
        return [float(len(tokens)) for tokens in inputs]

    def close(self) -> None:
        self._kv.clear()


class FakeChain:
    """Draws by Gumbel's trick from a seeded generator."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def pick(self, ids: TokenIds, logits: Logits) -> int:
        return int(ids[int((logits + self._rng.gumbel(size=len(ids))).argmax())])

    def accept(self, token: int) -> None:
        del token

    def close(self) -> None:
        pass


def load(path: str, params: LoadParams, progress: OnProgress) -> FakeBackend:
    """``path`` is a ``Script`` as JSON, or anything else for the plain one."""
    script = msgspec.json.decode(path, type=Script) if path.startswith("{") else Script()
    while script.hang_on_load:
        time.sleep(3600)
    for part in range(5):
        time.sleep(script.load_ms / 5000)
        progress("weights", part / 4)
    if script.refuse:
        raise LoadFailed(script.refuse, hint="the script says so")
    return FakeBackend(script, params)
