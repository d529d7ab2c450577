"""Kolosal's routes about access: what is in force, how much was asked, and clearing that.

What is changed here holds until the settings are read again or the server ends: ``config.toml`` is
where it would stay. Keys are not made here: a secret that nobody has typed need not travel.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict
from quart import Response

from kolo.errors import BadParameter, ConfigError
from kolo.server.access.cors import Cors
from kolo.server.access.limits import Allowance
from kolo.server.body import UnknownParameter
from kolo.server.route import MANAGE, READ, Route, json_reply
from kolo.server.service import Service
from kolo.units import Seconds

TAG = "Access"
HEADER = "Authorization"
HEADERS = ("Authorization", "X-API-Key")


class RateLimiterConfig(Struct, kw_only=True):
    enabled: bool
    max_requests: Annotated[int, Meta(description="In a window, for each key or address.")]
    window_size: Annotated[int, Meta(description="In seconds.")]
    window_seconds: int
    max_tokens: Annotated[int, Meta(description="In a window; 0 is without limit.")]


class CorsConfig(Struct, kw_only=True):
    enabled: bool
    allowed_origins: list[str]
    allowed_methods: list[str]
    allowed_headers: list[str]
    allow_credentials: bool
    max_age: Annotated[int, Meta(description="In seconds.")]


class ApiKeyConfig(Struct, kw_only=True):
    enabled: Annotated[bool, Meta(description="Whether there are keys.")]
    required: bool
    header_name: str
    keys_count: Annotated[int, Meta(description="Those that are valid now are fewer or as many.")]


class AuthConfigReply(Struct, kw_only=True):
    rate_limiter: RateLimiterConfig
    cors: CorsConfig
    api_key: ApiKeyConfig


Limit = Annotated[int, Meta(ge=0, le=10**12)]
Window = Annotated[int, Meta(ge=1, le=86_400)]
Texts = Annotated[list[Annotated[str, Meta(max_length=256)]], Meta(max_length=256)]


class RateLimiterChange(Struct, kw_only=True, forbid_unknown_fields=True):
    enabled: bool | UnsetType = UNSET
    max_requests: Limit | UnsetType = UNSET
    window_size: Window | UnsetType = UNSET
    window_seconds: Window | UnsetType = UNSET
    max_tokens: Limit | UnsetType = UNSET


class CorsChange(Struct, kw_only=True, forbid_unknown_fields=True):
    enabled: bool | UnsetType = UNSET
    allowed_origins: Texts | UnsetType = UNSET
    allowed_methods: Texts | UnsetType = UNSET
    allowed_headers: Texts | UnsetType = UNSET
    allow_credentials: bool | UnsetType = UNSET
    max_age: Annotated[int, Meta(ge=0, le=86_400)] | UnsetType = UNSET


class ApiKeyChange(Struct, kw_only=True, forbid_unknown_fields=True):
    enabled: bool | UnsetType = UNSET
    required: bool | UnsetType = UNSET
    header_name: Annotated[str, Meta(max_length=256)] | UnsetType = UNSET
    api_keys: Annotated[
        Texts | UnsetType, Meta(description="Refused: keys are made by kolo keys create.")
    ] = UNSET


class AuthConfigBody(Struct, kw_only=True, forbid_unknown_fields=True):
    rate_limiter: RateLimiterChange | UnsetType = UNSET
    cors: CorsChange | UnsetType = UNSET
    api_key: ApiKeyChange | UnsetType = UNSET


class AuthChanged(Struct, kw_only=True):
    message: str
    status: Literal["success"] = "success"


class ClientStats(Struct, kw_only=True):
    request_count: int


class RateLimitStats(Struct, kw_only=True):
    total_clients: int
    total_requests: int
    clients: Annotated[
        dict[str, ClientStats], Meta(description="By address, or by the id of a key.")
    ]


class CorsStats(Struct, kw_only=True):
    allowed_origins_count: int
    allowed_requests: int
    refused_requests: int
    preflight_requests: int


class AuthStatsReply(Struct, kw_only=True):
    rate_limit_stats: RateLimitStats
    cors_stats: CorsStats


class AuthClearBody(Struct, kw_only=True, forbid_unknown_fields=True):
    action: Literal["clear_rate_limit"]
    client_ip: Annotated[
        Annotated[str, Meta(max_length=256)] | UnsetType,
        Meta(description="An address, or the id of a key."),
    ] = UNSET
    clear_all: bool = False


async def config(service: Service) -> Response:
    access = service.access
    cors, allowed = access.cors.settings, access.allowed
    return json_reply(
        AuthConfigReply(
            rate_limiter=RateLimiterConfig(
                enabled=bool(allowed.requests or allowed.tokens),
                max_requests=allowed.requests,
                window_size=round(allowed.window_s),
                window_seconds=round(allowed.window_s),
                max_tokens=allowed.tokens,
            ),
            cors=CorsConfig(
                enabled=bool(cors.origins),
                allowed_origins=cors.origins,
                allowed_methods=cors.methods,
                allowed_headers=cors.headers,
                allow_credentials=cors.credentials,
                max_age=round(cors.max_age_s),
            ),
            api_key=ApiKeyConfig(
                enabled=len(access.keys) > 0,
                required=access.needs_key,
                header_name=HEADER,
                keys_count=len(access.keys),
            ),
        )
    )


async def change(service: Service, body: AuthConfigBody) -> Response:
    """All of it or nothing."""
    access = service.access
    allowed, cors, required = access.allowed, access.cors, access.required
    if body.rate_limiter is not UNSET:
        allowed = _allowance(allowed, body.rate_limiter)
    if body.cors is not UNSET:
        cors = _cors(cors, body.cors)
    if body.api_key is not UNSET:
        required = _required(body.api_key, required, can_be_open=access.may_be_open)
    access.allowed, access.cors, access.required = allowed, cors, required
    return json_reply(
        AuthChanged(message="Changed until the settings are read again or the server ends.")
    )


async def stats(service: Service) -> Response:
    access = service.access
    counts = access.limits.counts()
    return json_reply(
        AuthStatsReply(
            rate_limit_stats=RateLimitStats(
                total_clients=len(counts),
                total_requests=access.limits.total,
                clients={name: ClientStats(request_count=n) for name, n in counts.items()},
            ),
            cors_stats=CorsStats(
                allowed_origins_count=len(access.cors.settings.origins),
                allowed_requests=access.cors.counts.allowed,
                refused_requests=access.cors.counts.refused,
                preflight_requests=access.cors.counts.preflights,
            ),
        )
    )


async def clear(service: Service, body: AuthClearBody) -> Response:
    if body.clear_all:
        service.access.limits.clear()
        return json_reply(AuthChanged(message="Cleared for everybody."))
    if body.client_ip is UNSET or not body.client_ip:
        raise BadParameter(
            "whose limit is to be cleared?", hint="Send client_ip, or clear_all.", param="client_ip"
        )
    known = service.access.limits.clear(body.client_ip)
    return json_reply(AuthChanged(message="Cleared." if known else "Nothing was known of it."))


def _allowance(now: Allowance, change: RateLimiterChange) -> Allowance:
    if change.enabled is False:
        return Allowance(window_s=now.window_s)
    windows = {change.window_size, change.window_seconds} - {UNSET}
    if len(windows) > 1:
        raise BadParameter(
            "window_size and window_seconds are the same, in seconds",
            hint="Send one of them, or both with one value.",
            param="rate_limiter.window_seconds",
        )
    window = windows.pop() if windows else UNSET
    changed = Allowance(
        now.requests if change.max_requests is UNSET else change.max_requests,
        now.tokens if change.max_tokens is UNSET else change.max_tokens,
        now.window_s if window is UNSET else float(window),
    )
    if change.enabled is True and not (changed.requests or changed.tokens):
        raise BadParameter(
            "a limit of nothing cannot be enabled",
            hint="Send max_requests or max_tokens.",
            param="rate_limiter.max_requests",
        )
    return changed


def _cors(now: Cors, change: CorsChange) -> Cors:
    given = {
        "origins": change.allowed_origins,
        "methods": change.allowed_methods,
        "headers": change.allowed_headers,
        "credentials": change.allow_credentials,
        "max_age_s": UNSET if change.max_age is UNSET else Seconds(change.max_age),
    }
    if change.enabled is False:
        given["origins"] = []
    changes = {name: value for name, value in given.items() if value is not UNSET}
    try:
        changed = type(now.settings)(**{**asdict(now.settings), **changes})
    except ConfigError as error:
        raise BadParameter(error.message, hint=error.hint, param="cors") from None
    if change.enabled is True and not changed.origins:
        raise BadParameter(
            "no origin is allowed", hint="Send allowed_origins.", param="cors.allowed_origins"
        )
    return Cors(changed, now.counts)


def _required(change: ApiKeyChange, now: bool, *, can_be_open: bool) -> bool:
    if change.api_keys is not UNSET:
        raise UnknownParameter(
            "keys cannot be set from here",
            hint="kolo keys create, on the machine of the server.",
            param="api_key.api_keys",
        )
    if change.header_name is not UNSET and change.header_name.title() not in (
        name.title() for name in HEADERS
    ):
        raise BadParameter(
            "another header cannot be set",
            hint=f"Keys are taken from {' and '.join(HEADERS)}.",
            param="api_key.header_name",
        )
    wanted = change.required if change.required is not UNSET else change.enabled
    if wanted is False and not can_be_open:
        raise BadParameter(
            "who may do without a key is not decided from here",
            hint='access.require_key = "never" in the settings.',
            param="api_key.required",
        )
    return now if wanted is UNSET else bool(wanted)


ROUTES = [
    Route(
        method="GET",
        paths=("/v1/auth/config",),
        scopes=READ,
        handler=config,
        tag=TAG,
        summary="What limits, pages and keys are in force",
        reply=AuthConfigReply,
    ),
    Route(
        method="PUT",
        paths=("/v1/auth/config",),
        scopes=MANAGE,
        handler=change,
        tag=TAG,
        summary="Change them, until the settings are read again or the server ends",
        body=AuthConfigBody,
        reply=AuthChanged,
    ),
    Route(
        method="GET",
        paths=("/v1/auth/stats",),
        scopes=READ,
        handler=stats,
        tag=TAG,
        summary="How much each key and address has asked",
        reply=AuthStatsReply,
    ),
    Route(
        method="POST",
        paths=("/v1/auth/clear",),
        scopes=MANAGE,
        handler=clear,
        tag=TAG,
        summary="Let a key or an address, or all of them, begin with a full allowance",
        body=AuthClearBody,
        reply=AuthChanged,
    ),
]
