"""Kolosal's ten loading parameters, in and out.

``n_ctx`` is tokens for each request, as ``LoadParams.ctx`` is. What is left out is as in the
``[engine]`` table of the settings, and where that is silent too, as Kolosal has it; but layers go
to GPUs as many as fit. ``n_keep`` is honoured by itself: Kolo never drops a token, all are kept.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from kolo.errors import BadParameter
from kolo.manager.gpus import gpu_built
from kolo.manager.machine import gpu_present
from kolo.types import LoadParams, ModelInfo

KOLOSAL_NAMES = {
    "ctx": "n_ctx",
    "parallel": "n_parallel",
    "batch": "n_batch",
    "ubatch": "n_ubatch",
    "gpu_layers": "n_gpu_layers",
    "main_gpu": "main_gpu_id",
}
"""Fields of LoadParams that Kolosal calls otherwise."""
N_CTX = 4096
N_PARALLEL = 1
N_BATCH = 2048
N_UBATCH = 512


class LoadingParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to load a model, in Kolosal's words. All may be left out."""

    n_ctx: Annotated[
        Annotated[int, Meta(ge=8, le=1_000_000)] | None,
        Meta(description=f"Tokens for each of n_parallel requests; {N_CTX} if left out."),
    ] = None
    n_keep: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)] | None,
        Meta(description="Prompt tokens to keep, at most n_ctx. Kolo never drops any."),
    ] = None
    use_mlock: bool | None = None
    use_mmap: bool | None = None
    cont_batching: Annotated[
        bool | None, Meta(description="Only true: requests always share batches.")
    ] = None
    warmup: bool | None = None
    n_parallel: Annotated[
        Annotated[int, Meta(ge=1, le=256)] | None,
        Meta(description=f"Requests at a time; {N_PARALLEL} if left out."),
    ] = None
    n_gpu_layers: Annotated[
        Annotated[int, Meta(ge=0, le=1000)] | None,
        Meta(
            description="Layers to put on GPUs; as many as fit if left out, or if there is no GPU."
        ),
    ] = None
    n_batch: Annotated[
        Annotated[int, Meta(ge=1, le=8192)] | None,
        Meta(description=f"{N_BATCH} if left out."),
    ] = None
    n_ubatch: Annotated[
        Annotated[int, Meta(ge=1, le=8192)] | None,
        Meta(description=f"At most n_batch; {N_UBATCH} if left out."),
    ] = None


class LoadingReply(Struct, kw_only=True):
    """The ten parameters as they are in force; null is what the load will find out."""

    n_ctx: int | None
    n_keep: int | None
    use_mlock: bool
    use_mmap: bool
    cont_batching: bool = True
    warmup: bool
    n_parallel: int | None
    n_gpu_layers: int | None
    n_batch: int
    n_ubatch: int


def merged(flat: LoadingParameters, nested: LoadingParameters | None) -> LoadingParameters:
    """Parameters may stand in the body itself or in ``loading_parameters``. BadParameter for one
    that stands in both and differs."""
    values = {}
    for name in LoadingParameters.__struct_fields__:
        given = [
            value
            for place in (flat, nested)
            if place is not None and (value := getattr(place, name)) is not None
        ]
        if len(given) == 2 and given[0] != given[1]:
            raise BadParameter(
                f"{name} and loading_parameters.{name} differ",
                hint="Send one of them.",
                param=name,
            )
        values[name] = given[0] if given else None
    return LoadingParameters(**values)


def load_params(
    given: LoadingParameters, base: LoadParams, *, main_gpu: int | None = None
) -> LoadParams:
    """``base`` is the ``[engine]`` table. BadParameter for values that do not go together."""
    if given.cont_batching is False:
        raise BadParameter(
            "cont_batching cannot be turned off: requests always share batches",
            hint="Leave it out.",
            param="cont_batching",
        )
    ctx = given.n_ctx or base.ctx or N_CTX
    batch = given.n_batch or base.batch or N_BATCH
    _at_most("n_keep", given.n_keep, "n_ctx", ctx)
    _at_most("n_ubatch", given.n_ubatch, "n_batch", batch)
    return replace(
        base,
        ctx=ctx,
        parallel=given.n_parallel or base.parallel or N_PARALLEL,
        batch=batch,
        ubatch=given.n_ubatch or base.ubatch or min(N_UBATCH, batch),
        gpu_layers=base.gpu_layers if given.n_gpu_layers is None else _layers(given.n_gpu_layers),
        main_gpu=base.main_gpu if main_gpu is None else main_gpu,
        mmap=base.mmap if given.use_mmap is None else given.use_mmap,
        mlock=base.mlock if given.use_mlock is None else given.use_mlock,
        warmup=base.warmup if given.warmup is None else given.warmup,
    )


def loading_reply(
    params: LoadParams, info: ModelInfo | None, *, n_keep: int | None = None
) -> LoadingReply:
    """``params`` in Kolosal's words, those that were left open as the loaded model has them."""
    ctx = info.n_ctx if info is not None else params.ctx
    batch = params.batch or N_BATCH
    return LoadingReply(
        n_ctx=ctx,
        n_keep=ctx if n_keep is None else n_keep,
        use_mlock=params.mlock,
        use_mmap=params.mmap,
        warmup=params.warmup,
        n_parallel=info.parallel if info is not None else params.parallel,
        n_gpu_layers=info.gpu_layers if info is not None else params.gpu_layers,
        n_batch=batch,
        n_ubatch=params.ubatch or min(N_UBATCH, batch),
    )


def _layers(asked: int) -> int | None:
    """Kolosal's clients ask for 100 by habit, on any machine: where there can be none on a GPU,
    it is left open."""
    return asked if not asked or (gpu_present() and gpu_built()) else None


def _at_most(name: str, value: int | None, bound: str, most: int) -> None:
    if value is not None and value > most:
        raise BadParameter(
            f"{name} is {value}, more than {bound}, which is {most}",
            hint=f"Send at most {most}.",
            param=name,
        )
