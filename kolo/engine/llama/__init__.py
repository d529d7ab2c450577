"""llama.cpp behind the engine's ``Backend`` protocol: the only importer of ``llama_cpp``.

``model``: loading and what the file says; ``vocab``: tokens and text; ``context``: batches, KV
and logits; ``chain``: sampler chains; ``pooled``: embeddings and rank scores; ``devices``: GPUs;
``log``: llama.cpp's messages. Facts about the API that its header does not tell are stated
where they are relied on.
"""

from __future__ import annotations

from collections.abc import Sequence

from kolo.engine.backend import OnProgress
from kolo.engine.llama.context import LlamaContext
from kolo.engine.llama.model import LlamaModel
from kolo.engine.llama.pooled import Pooled
from kolo.types import LoadParams


class LlamaBackend(LlamaContext):
    """One model, one context for generation, and pooled contexts made when first asked for."""

    def __init__(self, model: LlamaModel, params: LoadParams) -> None:
        super().__init__(model, params)
        self._pooled: dict[bool, Pooled] = {}

    def embed(self, inputs: Sequence[Sequence[int]], *, normalize: bool) -> list[list[float]]:
        return self._pool(rank=False).vectors(inputs, normalize=normalize)

    def rank(self, inputs: Sequence[Sequence[int]]) -> list[float]:
        return [row[0] for row in self._pool(rank=True).vectors(inputs, normalize=False)]

    def _pool(self, *, rank: bool) -> Pooled:
        if rank not in self._pooled:
            self._pooled[rank] = Pooled(self.model, self.params, rank=rank)
        return self._pooled[rank]

    def close(self) -> None:
        for pooled in self._pooled.values():
            pooled.close()
        super().close()
        self.model.close()


def load(path: str, params: LoadParams, progress: OnProgress) -> LlamaBackend:
    """Load a GGUF and make its context. Raises LoadFailed, OutOfMemory, Unsupported."""
    model = LlamaModel(path, params, progress)
    progress("context", 1.0)
    return LlamaBackend(model, params)
