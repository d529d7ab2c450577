"""Loads and rounds, in virtual time against a server whose delays are exact."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
from benching import FakeOpenAI, Script, run_virtual, steady

from kolo.bench.client import Client
from kolo.bench.goals import parse_goal
from kolo.bench.load import GIVE_UP_AFTER, arrivals
from kolo.bench.prompts import WORDS, Lengths, Prompter
from kolo.bench.result import Host, Load, Run, Target
from kolo.bench.runner import Plan, Progress, Runner
from kolo.bench.summary import summarize
from kolo.bench.wire import Endpoint
from kolo.bench.workloads import Conversation, Fixed, Interference

HOST = Host(system="S", python="3", cpu="C", cores=2, usable_cpus=2, memory_bytes=1 << 30)
ONE = Load(concurrency=1)


def client_of(url: str, name: str = "a") -> Client:
    target = Target(name=name, kind="openai", url=url, model="m", fixed_outputs=True)
    prompter = Prompter(Lengths(pool=WORDS, exact=True), 0)
    return Client(target, Endpoint(url), prompter, body={}, silence_s=600)


def carried_out(
    plan: Plan,
    *scripts: Callable[[dict[str, Any]], Script],
    tell: Callable[[Progress], None] = lambda progress: None,
    after: Callable[[list[FakeOpenAI]], None] = lambda servers: None,
) -> Run:
    """The run of ``plan`` on one server for each of ``scripts``."""
    document = Run(kolo="0", started=0.0, host=HOST, planned_rounds=plan.rounds)
    document.goals = [goal.text for goal in plan.goals]
    document.workloads = [workload.info for workload in plan.workloads]

    async def main() -> None:
        servers = [FakeOpenAI(script) for script in scripts]
        for server in servers:
            await server.__aenter__()
        clients = [client_of(server.url, "ab"[n]) for n, server in enumerate(servers)]
        document.targets = [client.target for client in clients]
        try:
            await Runner(document, clients, plan, tell).go()
        finally:
            for client in clients:
                client.endpoint.close()
            for server in servers:
                await server.__aexit__()
        after(servers)

    run_virtual(main())
    document.summary = summarize(document)
    return document


def plain(**more: Any) -> Plan:
    given: dict[str, Any] = {"workloads": [Fixed(16, 4)], "loads": [ONE], "rounds": 1, "warmup": 0}
    return Plan(**{**given, **more})


def test_one_user_sends_one_after_the_other() -> None:
    run = carried_out(plain(requests=3), lambda body: steady(4, first_s=0.5, gap_s=0.1))
    (cell,) = run.cells
    (round,) = cell.rounds
    assert [sample.sent_s for sample in round.samples] == pytest.approx([0, 0.8, 1.6])
    assert round.elapsed_s == pytest.approx(2.4)
    (row,) = run.summary
    assert row.figures["tok_s"].p50 == pytest.approx(12 / 2.4)
    assert row.figures["ttft"].p50 == pytest.approx(500)
    assert row.figures["itl"].p50 == pytest.approx(100)
    assert row.figures["user_tok_s"].p50 == pytest.approx(10)
    assert row.figures["req_s"].p50 == pytest.approx(3 / 2.4)
    assert row.figures["prompt_tok_s"].p50 == pytest.approx(8 / 0.5)


def test_so_many_users_and_no_more_are_served_at_a_time() -> None:
    def after(servers: list[FakeOpenAI]) -> None:
        assert servers[0].most_active == 5
        assert len(servers[0].bodies) == 20

    plan = plain(loads=[Load(concurrency=5)], requests=20)
    run = carried_out(plan, lambda body: steady(4), after=after)
    assert run.summary[0].requests == 20
    # Four waves of 0.5 + 3 * 0.1 s.
    assert run.cells[0].rounds[0].elapsed_s == pytest.approx(4 * 0.8)


def test_requests_ask_for_what_the_workload_says() -> None:
    def after(servers: list[FakeOpenAI]) -> None:
        body = servers[0].bodies[0]
        assert body["max_tokens"] == 4
        assert body["ignore_eos"] is True
        assert body["temperature"] == 0
        assert body["stream_options"] == {"include_usage": True}
        assert len(body["prompt"].split()) == 16
        prompts = {each["prompt"] for each in servers[0].bodies}
        assert len(prompts) == len(servers[0].bodies)

    carried_out(plain(requests=8), lambda body: steady(4), after=after)


def test_a_constant_rate_is_kept_whatever_the_answers_take() -> None:
    load = Load(rate=2.0, arrival="constant")
    run = carried_out(plain(loads=[load], requests=6), lambda body: steady(2, first_s=3.0))
    samples = sorted(run.cells[0].rounds[0].samples, key=lambda sample: sample.sent_s)
    assert [sample.sent_s for sample in samples] == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5])
    assert all(sample.late_ms == pytest.approx(0) for sample in samples)


def test_a_duration_begins_no_request_after_it() -> None:
    run = carried_out(plain(duration_s=2.0), lambda body: steady(4))
    assert len(run.cells[0].rounds[0].samples) == 3  # begun at 0, 0.8 and 1.6 s
    load = Load(rate=4.0, arrival="constant")
    run = carried_out(plain(loads=[load], duration_s=2.0), lambda body: steady(4))
    assert len(run.cells[0].rounds[0].samples) == 8


def test_poisson_arrivals_have_their_mean_and_repeat_with_their_seed() -> None:
    times = list(itertools.islice(arrivals(Load(rate=5.0), "s"), 4000))
    assert times == list(itertools.islice(arrivals(Load(rate=5.0), "s"), 4000))
    gaps = [after - before for before, after in itertools.pairwise(times)]
    mean = math.fsum(gaps) / len(gaps)
    deviation = math.sqrt(math.fsum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert mean == pytest.approx(0.2, rel=0.06)
    assert deviation == pytest.approx(mean, rel=0.08)  # that of an exponential


def test_warm_up_is_not_counted() -> None:
    def after(servers: list[FakeOpenAI]) -> None:
        assert len(servers[0].bodies) == 5

    run = carried_out(plain(requests=3, warmup=2), lambda body: steady(4), after=after)
    assert run.summary[0].requests == 3


def test_targets_take_turns_and_who_begins_changes() -> None:
    order: list[str] = []

    def script(name: str) -> Callable[[dict[str, Any]], Script]:
        def made(body: dict[str, Any]) -> Script:
            order.append(name)
            return steady(4, first_s=0.2 if name == "a" else 0.4)

        return made

    loads = [ONE, Load(concurrency=2)]
    plan = plain(loads=loads, rounds=3, requests=2)
    run = carried_out(plan, script("a"), script("b"))
    assert "".join(order) == "aabbaabb" + "bbaabbaa" + "aabbaabb"
    ratios = {row.load: row.ratios["ttft.p50"] for row in run.summary if row.target == "b"}
    assert {load: ratio.value for load, ratio in ratios.items()} == pytest.approx(
        {"1 user": 2.0, "2 users": 2.0}
    )
    assert [len(cell.rounds) for cell in run.cells] == [3] * 4


def test_a_goal_is_climbed_to_and_no_further() -> None:
    def script(body: dict[str, Any]) -> Script:
        return steady(4, first_s=0.1 * server.active)

    loads = [Load(concurrency=n) for n in (1, 2, 4, 8)]
    plan = plain(loads=loads, requests=8, goals=[parse_goal("ttft<250ms")])
    document = Run(kolo="0", started=0.0, host=HOST, goals=["ttft<250ms"])

    async def main() -> None:
        async with server:
            client = client_of(server.url)
            document.targets = [client.target]
            await Runner(document, [client], plan, lambda progress: None).go()
            client.endpoint.close()

    server = FakeOpenAI(script)
    run_virtual(main())
    rows = summarize(document)
    assert [(row.load, row.goals_met) for row in rows] == [
        ("1 user", True),
        ("2 users", True),
        ("4 users", False),
    ]


def test_a_sweep_ends_where_the_output_grows_no_more() -> None:
    def script(body: dict[str, Any]) -> Script:
        # Four at a time gain; more only wait.
        wait_s = 0.1 * max(1, server.active / 4)
        return steady(4, first_s=wait_s, gap_s=wait_s)

    document = Run(kolo="0", started=0.0, host=HOST)

    async def main() -> None:
        async with server:
            client = client_of(server.url)
            document.targets = [client.target]
            plan = plain(sweep=True, requests=None)
            await Runner(document, [client], plan, lambda progress: None).go()
            client.endpoint.close()

    server = FakeOpenAI(script)
    run_virtual(main())
    assert [cell.load.concurrency for cell in document.cells] == [1, 2, 4, 8, 16]


def test_a_server_that_always_fails_is_given_up() -> None:
    failing = Script([], status=500, body={"error": {"message": "no"}})
    run = carried_out(plain(requests=1000), lambda body: failing)
    (row,) = run.summary
    assert (row.requests, row.errors) == (0, {"server_error": GIVE_UP_AFTER})


def test_a_stopped_run_keeps_what_was_measured() -> None:
    document = Run(kolo="0", started=0.0, host=HOST)

    async def main() -> None:
        async with FakeOpenAI(lambda body: steady(4)) as server:
            client = client_of(server.url)
            plan = plain(requests=100)
            going = asyncio.create_task(Runner(document, [client], plan, lambda p: None).go())
            await asyncio.sleep(2.0)
            going.cancel()
            with pytest.raises(asyncio.CancelledError):
                await going
            client.endpoint.close()

    run_virtual(main())
    (round,) = document.cells[0].rounds
    assert len(round.samples) == 2
    assert round.elapsed_s == pytest.approx(1.6)


def test_progress_tells_how_far_it_is() -> None:
    told: list[Progress] = []
    plan = plain(requests=4, rounds=2)
    carried_out(
        plan,
        lambda body: steady(4),
        tell=lambda progress: told.append(type(progress)(**_as_dict(progress))),
    )
    assert {progress.round for progress in told} == {1, 2}
    assert max(progress.requests for progress in told) == 3  # the fourth ends the round
    assert told[-1].all_rounds == 2


def _as_dict(progress: Progress) -> dict[str, Any]:
    return {name: getattr(progress, name) for name in progress.__struct_fields__}


def test_a_conversation_sends_all_that_was_said() -> None:
    def after(servers: list[FakeOpenAI]) -> None:
        roles = [[m["role"] for m in body["messages"]] for body in servers[0].bodies]
        assert sorted(roles) == [["user"]] * 2 + [["user", "assistant", "user"]] * 2
        second = [body["messages"] for body in servers[0].bodies if len(body["messages"]) > 1]
        assert [messages[1]["content"] for messages in second] == ["t0 t1 t2 t3 "] * 2

    plan = plain(workloads=[Conversation(2, 8, 4)], loads=[Load(concurrency=2)])
    run = carried_out(plan, lambda body: steady(4), after=after)
    assert sorted(sample.turn for sample in run.cells[0].rounds[0].samples) == [0, 0, 1, 1]


def test_the_long_prompt_arrives_when_all_others_stream() -> None:
    asked: list[int] = []

    def script(body: dict[str, Any]) -> Script:
        words = len(body["prompt"].split())
        asked.append(words)
        return steady(5, first_s=0.5) if words < 100 else steady(2, first_s=0.3)

    plan = plain(workloads=[Interference(8, 4, 200)], loads=[Load(concurrency=3)])
    run = carried_out(plan, script)
    assert asked == [8, 8, 8, 200]
    long = next(s for s in run.cells[0].rounds[0].samples if s.group == "long")
    assert long.sent_s == pytest.approx(0.5)
    assert {row.group: row.requests for row in run.summary} == {"long": 1, "stream": 3}
