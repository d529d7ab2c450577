"""What the header says of the line, in one word and a few more."""

from __future__ import annotations

from kolo.top import words
from kolo.top.session import Session
from kolo.top.sources.replay import Replay
from kolo.top.state import Status, Ui

_WORDS = {
    "connecting": ("CONNECTING", "dim"),
    "missing": ("WAITING", "warn"),
    "stale": ("STALE", "bad"),
    "ended": ("END", "dim"),
    "live": ("LIVE", "good"),
}


def status_of(
    session: Session,
    ui: Ui,
    now_s: float,
    *,
    name: str = "",
    replay: Replay | None = None,
    recording: bool = False,
) -> Status:
    """The state of the line at ``now_s``, for the header and for the page of one that is down."""
    link = session.link
    stale = session.is_stale(now_s, ui.interval_s) and replay is None
    if replay is not None:
        return _replaying(session, replay)
    if ui.paused and not stale:
        return Status(word="PAUSED", role="warn", recording=recording, detail=_where(name))
    if stale and link.state in ("live", "stale", "connecting"):
        quiet = f"nothing heard for {words.span(session.quiet_s(now_s))}"
        return Status(
            word=f"STALE {words.span(session.quiet_s(now_s))}",
            role="bad",
            detail=_retry(session, now_s) or quiet,
            hint=link.hint,
            waiting=_retry(session, now_s),
            stale=True,
            recording=recording,
        )
    word, role = _WORDS[link.state]
    if link.state == "live":
        return Status(word=word, role=role, recording=recording, detail=_where(name))
    return Status(
        word=word,
        role=role,
        detail=link.detail or "looking for a server",
        hint=link.hint,
        waiting=_retry(session, now_s),
        stale=stale,
        recording=recording,
    )


def _replaying(session: Session, replay: Replay) -> Status:
    at_s, of_s = replay.position
    place = f"{words.span(at_s)} of {words.span(of_s)}"
    if replay.speed != 1.0:
        place += f" at {replay.speed:g}x"
    if session.link.state == "ended":
        return Status(word="REPLAY END", role="dim", detail=place)
    return Status(word="PAUSED" if replay.paused else "REPLAY", role="warn", detail=place)


def _where(name: str) -> str:
    return f"({name})" if name else ""


def _retry(session: Session, now_s: float) -> str:
    if session.link.retry_s is None:
        return ""
    left_s = session.link_s + session.link.retry_s - now_s
    return f"retry in {left_s:.0f}s" if left_s > 0.5 else "trying again"
