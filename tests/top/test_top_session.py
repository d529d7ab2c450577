"""What a session makes of messages: tracks, events, staleness, a server that starts anew."""

from __future__ import annotations

from msgspec.structs import replace
from watching_top import last_snapshot, recorded

from kolo.snapshot import Event, Hello, Refused, Snapshot
from kolo.top.demo.world import World
from kolo.top.session import Link, Rewind, Session
from kolo.top.state import Ui
from kolo.top.status import status_of


def fed(*told: object, at_s: float = 0.0) -> Session:
    session = Session()
    for one in told:
        session.take(one, at_s)  # type: ignore[arg-type]
    return session


def event(seq: int) -> Event:
    return Event(seq=seq, at=1.0, kind="note", text=f"number {seq}")


def test_events_that_are_told_again_are_kept_once() -> None:
    session = fed(event(1), event(2), event(1), event(2), event(3))
    assert [one.seq for one in session.picture.events] == [1, 2, 3]


def test_another_server_counts_its_events_from_one_and_graphs_go_on() -> None:
    hello = World().hello()
    session = fed(hello, event(7), replace(last_snapshot(), uptime_s=500.0))
    before_s = session.picture.at_s
    again = replace(hello, server=replace(hello.server, pid=1, started_at=9.0))
    for one in (again, event(1), replace(last_snapshot(), uptime_s=2.0)):
        session.take(one, 1.0)
    assert [one.seq for one in session.picture.events] == [7, 1]
    assert session.picture.at_s == before_s + 2.0


def test_a_clock_that_jumps_disturbs_no_graph() -> None:
    last = last_snapshot()
    session = Session()
    for second in range(30):
        jumping = last.at + (-7200.0 if second % 2 else 86_400.0)
        session.take(replace(last, at=jumping, uptime_s=100.0 + second), float(second))
    values = session.picture.series("", "out", 30.0, 30)
    assert None not in values


def test_silence_makes_it_stale_and_the_next_word_live_again() -> None:
    ui = Ui()
    session = fed(World().hello(), last_snapshot())
    assert status_of(session, ui, 1.0).word == "LIVE"
    stale = status_of(session, ui, 60.0)
    assert stale.stale
    assert stale.word == "STALE 1m00s"
    session.take(last_snapshot(), 61.0)
    assert status_of(session, ui, 61.5).word == "LIVE"


def test_a_line_that_broke_says_when_it_is_tried_again() -> None:
    session = fed(World().hello(), last_snapshot())
    session.take(Link(state="stale", detail="it went away", retry_s=4.0), 10.0)
    status = status_of(session, Ui(), 12.0)
    assert status.stale
    assert "retry in 2s" in status.detail
    session.take(Link(state="stale", detail="it went away", retry_s=1.0), 20.0)
    assert "trying again" in status_of(session, Ui(), 23.0).detail


def test_a_slow_interval_is_not_taken_for_silence() -> None:
    session = fed(World().hello(), last_snapshot())
    assert not status_of(session, Ui(interval_s=10.0), 20.0).stale
    assert status_of(session, Ui(interval_s=1.0), 20.0).stale


def test_a_refusal_is_shown_with_what_to_do() -> None:
    session = fed(Refused(message="too many watch already", hint="end one of them"))
    status = status_of(session, Ui(), 0.0)
    assert status.detail == "too many watch already"
    assert status.hint == "end one of them"


def test_a_rewind_begins_with_nothing() -> None:
    session = fed(*recorded())
    session.take(Rewind(), 5.0)
    assert session.picture.snapshot is None
    assert not session.picture.events
    assert session.picture.hello is not None


def test_a_held_picture_stays_as_it_is() -> None:
    told = recorded()
    session = fed(*told[:-2])
    held = session.picture.copy()
    before = held.series("", "out", 60.0, 60)
    n_events = len(held.events)
    for one in (told[-1], event(1000)):
        session.take(one, 100.0)
    assert held.series("", "out", 60.0, 60) == before
    assert len(held.events) == n_events
    assert session.picture.snapshot is not held.snapshot


def test_tracks_of_engines_that_are_gone_are_dropped() -> None:
    last = last_snapshot()
    session = Session()
    for n in range(200):
        gone = [replace(last.engines[0], id=f"engine-{n}")]
        session.take(replace(last, engines=gone, uptime_s=100.0 + n), float(n))
    assert len(session.picture.tracks) < 100


def test_the_demo_tells_the_same_for_the_same_seed() -> None:
    def told(seed: int) -> list[object]:
        world = World(seed)
        return [world.hello(), *(one for _ in range(20) for one in world.run(1.0))]

    assert told(3) == told(3)
    assert told(3) != told(4)


def test_the_demo_adds_up() -> None:
    world = World(5)
    last: Snapshot | None = None
    for _ in range(150):
        for one in world.run(1.0):
            assert isinstance(one, (Event, Snapshot, Hello))
            last = one if isinstance(one, Snapshot) else last
    assert last is not None
    assert last.running == sum(engine.running for engine in last.engines)
    assert last.totals.done == sum(engine.totals.done for engine in last.engines)
    assert last.totals.crashes == 1
    for engine in last.engines:
        busy = sum(slot.state != "idle" for slot in engine.slots or ())
        assert busy == engine.running
