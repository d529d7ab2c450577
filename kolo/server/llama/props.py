"""GET /props and /slots: a model's properties, and what its slots are doing."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET
from quart import Response

import kolo
from kolo.errors import Busy, UsageError
from kolo.manager.engine import Engine
from kolo.server.llama.schemas import (
    GenerationSettings,
    Modalities,
    NextToken,
    PropsQuery,
    PropsReply,
    SlotReply,
    SlotsQuery,
)
from kolo.server.route import json_reply
from kolo.server.served import Served, find_served
from kolo.server.service import Service
from kolo.stats import EngineStats, SlotStats
from kolo.types import Generate, ModelInfo, Sampling

BUILD = f"kolo-{kolo.__version__}"


class NotLoaded(UsageError):
    code = "model_not_loaded"


async def props(service: Service, query: PropsQuery) -> Response:
    if query.model is None:
        return json_reply(_server_props(service))
    one = await find_served(service, query.model)
    info = _info(one)
    if info is None:
        _check_autoload(one, query.autoload)
        async with service.lease(one.id) as engine:
            info = engine.info
    return json_reply(_model_props(one, info))


async def slots(service: Service, query: SlotsQuery) -> Response:
    one = await find_served(service, service.reference(query.model))
    if _info(one) is None:
        _check_autoload(one, query.autoload)
    async with service.lease(one.id) as engine:
        stats = await engine.stats()
        told = [_slot(slot, stats, engine) for slot in stats.slots]
    if query.fail_on_no_slot and all(slot.state != "idle" for slot in stats.slots):
        raise Busy(f"{one.id!r} has no idle slot", hint="Try again in a moment.", retry_after_s=1.0)
    return json_reply(told)


def settings_of(engine: Engine, op: Generate) -> dict[str, Any]:
    """What holds for a request, in llama-server's words: what it set, and the rest as the model
    and llama.cpp have it."""
    limit = -1 if op.max_tokens is None else op.max_tokens
    return {
        **_params(engine.info.sampling),
        **_params(op.sampling),
        "max_tokens": limit,
        "n_predict": limit,
        "n_keep": 0,
        "n_discard": 0,
        "n_probs": op.top_logprobs,
    }


def _params(sampling: Sampling) -> dict[str, Any]:
    params: dict[str, Any] = msgspec.to_builtins(sampling)
    return params


def _info(one: Served) -> ModelInfo | None:
    return one.engine.info if one.engine is not None else None


def _check_autoload(one: Served, autoload: bool) -> None:
    if not autoload:
        raise NotLoaded(
            f"model {one.id!r} is not loaded",
            hint="POST /models/load loads it, and so does autoload=true.",
            param="model",
        )


def _server_props(service: Service) -> PropsReply:
    return PropsReply(
        role="router",
        max_instances=service.settings.manager.max_engines,
        models_autoload=True,
        model_alias="kolo",
        model_path="none",
        default_generation_settings=GenerationSettings(params={}, n_ctx=0),
        build_info=BUILD,
    )


def _model_props(one: Served, info: ModelInfo) -> PropsReply:
    return PropsReply(
        default_generation_settings=GenerationSettings(
            params={**_params(info.sampling), "stop": info.stop}, n_ctx=info.n_ctx
        ),
        total_slots=info.parallel,
        model_alias=one.id,
        model_path=one.path,
        model_ftype=info.ftype,
        modalities=Modalities(),
        endpoint_slots=True,
        endpoint_props=False,
        endpoint_metrics=True,
        chat_template=info.chat_template,
        chat_template_tool_use=info.named_templates.get("tool_use", UNSET),
        chat_template_caps=info.template_caps,
        template_family=info.template_family,
        template_source=info.template_source,
        bos_token=info.bos_token,
        eos_token=info.eos_token,
        build_info=BUILD,
        is_sleeping=False,
        system_info=info.system_info,
    )


def _slot(slot: SlotStats, stats: EngineStats, engine: Engine) -> SlotReply:
    busy = slot.state != "idle"
    reply = SlotReply(
        id=slot.id,
        n_ctx=stats.n_ctx,
        speculative=engine.spec.params.speculation != "off",
        is_processing=busy,
        state=slot.state,
        n_cached_tokens=slot.cached_tokens,
    )
    if busy and slot.request is not None:
        reply.id_task = slot.request
        reply.n_prompt_tokens = slot.prompt_tokens
        reply.n_prompt_tokens_processed = max(slot.prompt_done - slot.prompt_cached, 0)
        reply.n_prompt_tokens_cache = slot.prompt_cached
        reply.next_token = [
            NextToken(
                has_next_token=True,
                has_new_line=slot.has_new_line,
                n_remain=slot.left_tokens,
                n_decoded=slot.generated_tokens,
            )
        ]
        op = engine.operation(slot.request)
        if isinstance(op, Generate):
            settings = settings_of(engine, op)
            reply.params = {name: settings[name] for name in settings if name != "logit_bias"}
    return reply
