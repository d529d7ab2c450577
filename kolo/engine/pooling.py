"""Embedding and rerank requests: tokenized on the reader thread, run by the loop in slices, so
that a thousand documents do not hold up a stream for longer than one slice takes."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from kolo.engine.backend import Backend
from kolo.errors import BadParameter, Unsupported
from kolo.types import Embed, Embedded, Rerank, Reranked

SLICE_TOKENS = 512


@dataclass(slots=True, eq=False)
class PooledJob:
    id: int
    inputs: list[array[int]]
    rank: bool
    normalize: bool = True
    share: str = ""
    """Whose it is; those with work take turns."""
    vectors: list[list[float]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    done: int = 0

    def advance(self, backend: Backend) -> Embedded | Reranked | None:
        """Run one slice; the result once the last one is done."""
        part = self._slice()
        if self.rank:
            self.scores += backend.rank(part)
        else:
            self.vectors += backend.embed(part, normalize=self.normalize)
        self.done += len(part)
        if self.done < len(self.inputs):
            return None
        n_tokens = sum(map(len, self.inputs))
        if self.rank:
            return Reranked(scores=self.scores, prompt_tokens=n_tokens)
        return Embedded(vectors=self.vectors, prompt_tokens=n_tokens)

    def _slice(self) -> list[array[int]]:
        part = [self.inputs[self.done]]
        n_tokens = len(part[0])
        for tokens in self.inputs[self.done + 1 :]:
            n_tokens += len(tokens)
            if n_tokens > SLICE_TOKENS:
                break
            part.append(tokens)
        return part


def prepare_pooled(request_id: int, op: Embed | Rerank, backend: Backend) -> PooledJob:
    """Raises BadParameter for empty input, Unsupported for the wrong kind of model."""
    if isinstance(op, Rerank):
        if not backend.info.can_rerank:
            raise Unsupported(
                "this model cannot rerank: it has no rank head",
                hint="load a reranker, a GGUF with pooling_type = rank",
                param="model",
            )
        if not op.documents:
            raise BadParameter("there are no documents", hint="send some", param="documents")
        pairs = [backend.vocab.pair(op.query, document) for document in op.documents]
        return PooledJob(request_id, pairs, rank=True)
    if not backend.info.can_embed:
        raise Unsupported("this model cannot embed", hint="load an embedding model", param="model")
    if not op.inputs:
        raise BadParameter("there is no input", hint="send some text", param="input")
    inputs = [_tokens(at, item, backend) for at, item in enumerate(op.inputs)]
    return PooledJob(request_id, inputs, rank=False, normalize=op.normalize)


def _tokens(at: int, item: str | list[int], backend: Backend) -> array[int]:
    if isinstance(item, str):
        tokens = backend.vocab.tokenize(item, add_special=True, parse_special=False)
    else:
        tokens = array("i", item)
    bad = [token for token in tokens if not 0 <= token < backend.vocab.n_tokens]
    if bad:
        raise BadParameter(
            f"input[{at}] holds {bad[0]}, not a token of this model",
            hint=f"token ids are 0 to {backend.vocab.n_tokens - 1}",
            param="input",
        )
    if not tokens:
        raise BadParameter(f"input[{at}] is empty", hint="send some text", param="input")
    return tokens
