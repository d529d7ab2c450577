"""The gate in front of every route.

When a key is needed: always if ``access.require_key`` says so; else as soon as one was ever made,
and from the start where others than this machine can reach the server, unless
``access.allow_unauthenticated`` is set. The operator needs none: he has the token that the server
leaves in a file of its own user (``kolo.beacon``), or is its user, or root, at the Unix socket.

A key that is revoked or expires ends what it has under way, within LOOK_EVERY_S and a second more:
whoever revokes a key means it. A stream gets the error as its last event.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from quart import Response, g, request

from kolo import audit
from kolo.address import is_loopback
from kolo.config import Settings
from kolo.errors import AuthFailed, ConfigError, Forbidden, KoloError
from kolo.keys import Keyring, Scope
from kolo.manager.manager import Manager
from kolo.server.access.cors import Cors
from kolo.server.access.hosts import Hosts
from kolo.server.access.limits import Allowance, Limits
from kolo.server.access.principal import Principal, by_address, by_key, operator
from kolo.server.access.visits import VISIT, Visit, Visits
from kolo.server.body import read_to_the_end

LOOK_S = 1.0
"""How often it is looked whether the keys of requests under way are still valid."""
GRACE_S = 3.0
"""After which a request that did not end by itself, since it waits for no engine, is cut off."""
REFUSED_S = 60.0
"""Of refusals of one kind to one client, the audit log has one in so long."""
LISTS: tuple[Scope, ...] = ("infer", "read", "manage")
"""Who may know the names of models."""

log = logging.getLogger(__name__)


class Access:
    """One for each app. Without a file of keys there are none."""

    def __init__(
        self,
        settings: Settings,
        *,
        keys: Keyring | None = None,
        audit_log: Path | None = None,
        token: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keys = Keyring() if keys is None else keys  # one without keys is false
        self.limits = Limits(clock)
        self.cors = Cors()
        self.scopes: dict[str, tuple[Scope, ...]] = {}
        """Endpoint of each route to the scopes of which one is needed; none for everybody's."""
        self.required = False
        self.allowed = Allowance()
        self._audit_log = audit_log
        self._token = token
        self._clock = clock
        self._watch: asyncio.TimerHandle | None = None
        self._said = ""
        self._refused: dict[tuple[str, int], float] = {}
        self._recording: set[asyncio.Task[None]] = set()
        self._manager: Manager | None = None
        self._visits: Visits | None = None
        host = settings.server.host
        self._loopback = host == "none" or is_loopback(host)
        self.follow(settings)

    def attach(self, manager: Manager, visits: Visits) -> None:
        """Whose requests there are to be ended."""
        self._manager, self._visits = manager, visits

    def follow(self, settings: Settings) -> None:
        """Go by other settings; what was changed by request since the start is void."""
        access = settings.access
        # Where it listens does not change with its settings.
        self.exposed = not self._loopback and not access.allow_unauthenticated
        self.settings = access
        self.hosts = Hosts(access.allowed_hosts, loopback=self._loopback)
        self.cors = Cors(access.cors, self.cors.counts)
        self.required = access.require_key == "always"
        self.allowed = Allowance(access.requests_per_minute, access.tokens_per_minute)

    @property
    def needs_key(self) -> bool:
        """Whether nobody is let in without one."""
        if self.required or self.exposed:
            return True
        return self.settings.require_key == "auto" and len(self.keys) > 0

    @property
    def may_be_open(self) -> bool:
        """Whether it is only by request that a key is needed, if one is."""
        kept = self.settings.require_key == "auto" and len(self.keys) > 0
        return not (self.exposed or kept or self.settings.require_key == "always")

    def shows_names(self) -> bool:
        """Whether the running request may be told what models there are."""
        principal = _visit().principal
        return principal is not None and principal.may(LISTS)

    # Before and after each request -----------------------------------------------------------

    async def before(self) -> Response | None:
        """Raises AuthFailed, Forbidden or RateLimited; a response is one to a browser's question
        beforehand."""
        try:
            return self._admit()
        except KoloError:
            await read_to_the_end()
            raise

    def _admit(self) -> Response | None:
        visit = _visit()
        if visit.peer_uid is None:
            self.hosts.check(request.headers.get("Host", ""))
        origin = request.headers.get("Origin")
        if request.method == "OPTIONS":
            if origin is None or "Access-Control-Request-Method" not in request.headers:
                return None
            return Response(b"", 204, headers=self.cors.preflight(origin))
        scopes = self.scopes.get(request.endpoint or "")
        if scopes is None:  # there is no such route
            return None
        principal = visit.principal = self._principal(visit)
        if scopes:
            self._check(visit, principal, scopes)
        return None

    def _check(self, visit: Visit, principal: Principal | None, scopes: tuple[Scope, ...]) -> None:
        if principal is None:
            stranger = by_address(visit.address, self.limits, self.allowed)
            self.limits.take(stranger.name, stranger.allowed)
            raise AuthFailed(
                "the API key is not valid, or not any more"
                if _secret()
                else "an API key is needed",
                hint="Send Authorization: Bearer KEY; kolo keys create makes one.",
            )
        _check_scopes(principal, scopes)
        self.limits.take(principal.name, principal.allowed, keyed=principal.key is not None)
        if principal.key is not None and self._watch is None:
            self._watch_keys()

    def require(self, scopes: tuple[Scope, ...]) -> None:
        """Forbidden if whoever sent the request under way has none of ``scopes``: for what a query
        asks of a route that is for others too."""
        principal = _visit().principal
        if principal is not None:
            _check_scopes(principal, scopes)
        if scopes == ("manage",):
            g.managed = True

    async def after(self, response: Response) -> Response:
        """What every reply carries; and the audit log, before the reply is sent."""
        for name, value in self.cors.headers(request.headers.get("Origin")).items():
            response.headers.setdefault(name, value)
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        scopes = self.scopes.get(request.endpoint or "")
        principal = _visit().principal
        if scopes and principal is not None:
            keyed = principal.key is not None
            left = self.limits.headers(principal.name, principal.allowed, keyed=keyed)
            response.headers.update(left)
            if self._manages() and not self._is_repeated(principal, response.status_code):
                outcome = "ok" if response.status_code < 400 else response.status
                await asyncio.shield(self._record(principal, outcome))
        return response

    def left(self) -> None:
        """The client of the running request has left before there was a reply; what it asked for
        has begun."""
        principal = _visit().principal
        if principal is not None and self._manages():
            self._record(principal, "the client left before it ended")

    def _principal(self, visit: Visit) -> Principal | None:
        secret = _secret()
        if secret:
            if self._token and hmac.compare_digest(secret.encode(), self._token.encode()):
                return operator("local", self.limits)
            if (key := self.keys.find(secret)) is not None:
                return by_key(key, self.limits, self.allowed)
        if visit.peer_uid is not None and visit.peer_uid in (0, os.getuid()):
            return operator(f"user {visit.peer_uid}", self.limits)
        if self.needs_key:
            return None
        return by_address(visit.address, self.limits, self.allowed)

    def _manages(self) -> bool:
        """Whether the running request may change something, so that it is written down."""
        harmless = request.method in ("GET", "HEAD", "OPTIONS")
        needs = self.scopes.get(request.endpoint or "")
        return (needs == ("manage",) and not harmless) or "managed" in g

    def _is_repeated(self, principal: Principal, status: int) -> bool:
        """Whether it was refused like this just now: nobody who may do nothing fills the log."""
        if status not in (403, 429):
            return False
        now_s = self._clock()
        self._refused = {of: at_s for of, at_s in self._refused.items() if now_s - at_s < REFUSED_S}
        return self._refused.setdefault((principal.name, status), now_s) != now_s

    def _record(self, principal: Principal, outcome: str) -> asyncio.Task[None]:
        """The entry is made even though the client, and with it the request, goes away."""
        recording = asyncio.create_task(self._append(principal, outcome), name="audit")
        self._recording.add(recording)
        recording.add_done_callback(self._recording.discard)
        return recording

    async def _append(self, principal: Principal, outcome: str) -> None:
        if self._audit_log is None:
            return
        address = _visit().address
        where = f" from {address}" if address and principal.label != address else ""
        try:
            await asyncio.to_thread(
                audit.record,
                self._audit_log,
                who=principal.label + where,
                action=f"{request.method} {request.path}",
                subject=str(g.get("subject", "")),
                outcome=outcome,
            )
        except ConfigError as error:  # it was done already: whoever runs the server must know
            log.error("an action is missing in the audit log: %s", error.message)

    # Keys that end meanwhile -----------------------------------------------------------------

    def _watch_keys(self) -> None:
        self._watch = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _look(self) -> None:
        self._watch = None
        assert self._manager is not None
        assert self._visits is not None
        keyed = [v for v in self._visits.open if v.principal is not None and v.principal.key]
        over = {v.principal.name: v for v in keyed if v.principal and self._is_over(v.principal)}
        if over:
            for engine in self._manager.loaded():
                engine.withdraw(lambda name: _key_over() if name in over else None)
        now_s = self._clock()
        for visit in keyed:
            if visit.principal is not None and visit.principal.name in over:
                visit.withdrawn_s = visit.withdrawn_s or now_s
                if now_s - visit.withdrawn_s >= GRACE_S:
                    visit.cut()
        if self.keys.problem != self._said:
            self._said = self.keys.problem
            if self._said:
                log.error("%s; those known before stay in force", self._said)
        if keyed:
            self._watch_keys()

    def _is_over(self, principal: Principal) -> bool:
        return principal.key is not None and not self.keys.valid(principal.key.id)


def _check_scopes(principal: Principal, scopes: tuple[Scope, ...]) -> None:
    if not principal.may(scopes):
        raise Forbidden(
            f"this key may not do that: it has {', '.join(sorted(principal.scopes))}",
            hint=f"It needs {' or '.join(scopes)}: kolo keys create --scope {scopes[0]}",
        )


def _key_over() -> AuthFailed:
    return AuthFailed(
        "the API key was revoked or has expired", hint="Ask whoever runs the server for another."
    )


def _visit() -> Visit:
    visit: Visit = request.scope[VISIT]  # type: ignore[literal-required]
    return visit


def _secret() -> str:
    """The key that a request brings; another kind of authorization is somebody else's."""
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer" and value.strip():
        return value.strip()
    return request.headers.get("X-API-Key", "").strip()
