"""Cross-origin resource sharing (the Fetch standard, "CORS protocol"): which pages of other sites
may use this server from a browser. None until the settings name some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kolo.config import CorsSettings
from kolo.errors import Forbidden

EXPOSED = (
    "X-Request-Id, Retry-After, X-Rate-Limit-Limit, X-Rate-Limit-Remaining, X-Rate-Limit-Reset"
)


class OriginForbidden(Forbidden):
    code = "origin_not_allowed"


@dataclass(slots=True)
class Counts:
    """Since the start."""

    allowed: int = 0
    refused: int = 0
    preflights: int = 0


@dataclass(slots=True)
class Cors:
    settings: CorsSettings = field(default_factory=CorsSettings)
    counts: Counts = field(default_factory=Counts)

    def allows(self, origin: str) -> bool:
        return "*" in self.settings.origins or origin in self.settings.origins

    def preflight(self, origin: str) -> dict[str, str]:
        """What to answer a browser that asks leave. OriginForbidden for an origin without it."""
        self.counts.preflights += 1
        if not self.allows(origin):
            self.counts.refused += 1
            raise OriginForbidden(
                "pages of this origin may not use this server", hint="See access.cors.origins."
            )
        return {
            **self._allowed(origin),
            "Access-Control-Allow-Methods": ", ".join(self.settings.methods),
            "Access-Control-Allow-Headers": ", ".join(self.settings.headers),
            "Access-Control-Max-Age": str(int(self.settings.max_age_s)),
        }

    def headers(self, origin: str | None) -> Mapping[str, str]:
        """What a reply needs so that a page of ``origin`` may read it."""
        if not self.settings.origins:
            return {}
        if origin is None or not self.allows(origin):
            self.counts.refused += origin is not None
            return {"Vary": "Origin"}
        self.counts.allowed += 1
        return {**self._allowed(origin), "Access-Control-Expose-Headers": EXPOSED}

    def _allowed(self, origin: str) -> dict[str, str]:
        found = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        if self.settings.credentials:
            found["Access-Control-Allow-Credentials"] = "true"
        return found
