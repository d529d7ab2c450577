"""What is made of a run: rows, reports, comparisons, and the shelf it is kept on."""

from __future__ import annotations

import csv
import io
import json
import re
import time
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from kolo.bench.compare import compare
from kolo.bench.goals import parse_fail_if
from kolo.bench.metrics import METRICS
from kolo.bench.report_html import page
from kolo.bench.report_text import csv_table, json_document, json_lines, markdown
from kolo.bench.result import (
    Cell,
    EngineCell,
    Host,
    Load,
    Round,
    Run,
    Sample,
    Target,
    WorkloadInfo,
    decode,
    encode,
)
from kolo.bench.shelf import UNNAMED_RUNS, Shelf
from kolo.bench.summary import summarize
from kolo.bench.svg import Line, chart
from kolo.bench.tables import MISSING, Grid, fitted, main_sections, number, ratio_sections, remarks
from kolo.bench.verdict import exit_code_of, notes_on
from kolo.errors import UsageError

FIXED = WorkloadInfo(
    name="fixed 64/11",
    kind="fixed",
    prompt_tokens=64,
    output_tokens=11,
    about="prompts of 64 tokens, answers of 11",
)


def sample(number: int, *, ttft_ms: float = 100, itl_ms: float = 10, **more: Any) -> Sample:
    """Eleven tokens; requests differ by a millisecond, so that percentiles differ."""
    given: dict[str, Any] = {
        "sent_s": float(number),
        "ttft_ms": ttft_ms + number,
        "e2e_ms": ttft_ms + number + 10 * itl_ms,
        "gaps_ms": [itl_ms] * 10,
        "prompt_tokens": 64,
        "cached_tokens": 0,
        "output_tokens": 11,
        "finish": "length",
    }
    return Sample(**{**given, **more})


def test_of_tokens_that_came_all_at_once_there_is_no_latency_between_them() -> None:
    round = Round(index=0)
    at_once = [sample(1, gaps_ms=[], e2e_ms=101.01)]
    assert METRICS["itl"].values(round, at_once) == []
    assert METRICS["user_tok_s"].values(round, at_once) == []
    assert METRICS["itl"].values(round, [sample(1)]) == [10]


def run_of(*factors: float, users: int = 1, n: int = 6, rounds: int = 5, errors: int = 0) -> Run:
    """A target for each factor, by which it is slower than the first."""
    run = Run(
        kolo="1.2.3",
        started=1_700_000_000.0,
        elapsed_s=12.5,
        planned_rounds=rounds,
        host=Host(
            system="Linux",
            python="3.11",
            cpu="A fine CPU",
            cores=4,
            usable_cpus=8,
            memory_bytes=16 * 10**9,
            load_before=0.02,
        ),
        workloads=[FIXED],
    )
    for number_, factor in enumerate(factors):
        name = "abc"[number_]
        run.targets.append(
            Target(name=name, kind="openai", url=f"http://{name}", model="m", exact_prompts=True)
        )
        cell = run.cell(name, FIXED.name, Load(concurrency=users))
        for index in range(rounds):
            samples = [sample(k, ttft_ms=100 * factor, itl_ms=10 * factor) for k in range(n)]
            samples += [
                Sample(sent_s=0, error="cut", detail="the stream ended") for _ in range(errors)
            ]
            cell.rounds.append(
                Round(index=index, elapsed_s=2.0 * factor, samples=samples, memory_bytes=10**9)
            )
    run.summary = summarize(run)
    return run


def main_grid(run: Run) -> Grid:
    (section,) = main_sections(run)
    return section.grid


def test_markdown_is_what_a_person_pastes() -> None:
    no = MISSING
    shown = re.sub(r"\[\d.*?\]", "[low, high]", markdown(run_of(1, 2)))  # numpy's draws may change
    assert shown == (
        "| TARGET | LOAD | REQ | TTFT p50 | TTFT p95 | TTFT p99 | ITL p50 | ITL p95 | gap p95 "
        "| stall | tok/s user | tok/s out | tok/s in |\n"
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
        f"| a | 1 user | 30 | 102 | 105 | {no} | 10.0 | 10.0 | 10.0 | 10.0 | 100 | 33.0 | 624 |\n"
        f"| b | 1 user | 30 | 202 | 205 | {no} | 20.0 | 20.0 | 20.0 | 20.0 | 50.0 | 16.5 | 316 |\n"
        "\n"
        "Over a, ratios with 95 % intervals:\n"
        "\n"
        "| TARGET | LOAD | TTFT p50 | TTFT p95 | ITL p50 | gap p95 | stall | tok/s out |\n"
        "|---|---|---:|---:|---:|---:|---:|---:|\n"
        "| b | 1 user | 1.98 [low, high] | 1.95 [low, high] | 2.00 [low, high] "
        "| 2.00 [low, high] | 2.00 [low, high] | 0.50 [low, high] |\n"
        "\n"
        "- a: m at http://a\n"
        "- b: m at http://b\n"
        "- fixed 64/11: prompts of 64 tokens, answers of 11\n"
        "- 5 rounds, targets taking turns, seed 0; times in ms, medians where no percentile is "
        "named\n"
        "- A fine CPU, 8 CPUs, 16 GB, 2 % busy before\n"
        "- a: 1.0 GB memory at most\n"
        "- b: 1.0 GB memory at most\n"
        "- p99 needs 100 requests, the fewest here are 30: more --rounds or -n\n"
    )


def test_p99_is_there_from_a_hundred_requests_on() -> None:
    def shown(run: Run) -> tuple[tuple[str, ...], bool]:
        columns = {column.title: column.cells for column in main_grid(run).columns}
        return columns["TTFT p99"], any("p99 needs 100" in line for line in remarks(run))

    assert shown(run_of(1, n=19)) == ((MISSING,), True)
    assert shown(run_of(1, n=20)) == (("119",), False)


def test_workloads_have_tables_of_their_own() -> None:
    run = run_of(1, 2)
    other = replace(FIXED, name="fixed 8/11")
    run.workloads.append(other)
    run.cells += [replace(cell, workload=other.name) for cell in run.cells]
    run.summary = summarize(run)
    for sections in (main_sections(run), ratio_sections(run)):
        assert [section.heading for section in sections] == [FIXED.name, other.name]
        assert sections[0].grid == sections[1].grid
    assert f"**{other.name}**" in markdown(run)
    assert f"<h3>{other.name}</h3>" in page(run)


def test_a_table_too_wide_for_a_terminal_comes_in_parts() -> None:
    grid = main_grid(run_of(1, 2))
    assert fitted(grid, 200) == [grid]
    parts = fitted(grid, 60)
    assert len(parts) > 1
    names = [column.title for column in grid.columns if not column.numbers]
    shown: list[str] = []
    for part in parts:
        titles = [column.title for column in part.columns]
        assert titles[: len(names)] == names
        shown += titles[len(names) :]
        widths = [max(map(len, (column.title, *column.cells))) for column in part.columns]
        assert sum(widths) + 2 * (len(widths) - 1) <= 60
    assert shown == [column.title for column in grid.columns if column.numbers]


def test_csv_has_every_figure() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_table(run_of(1)))))
    ttft = next(row for row in rows if row["metric"] == "ttft")
    assert (ttft["target"], ttft["load"], ttft["unit"]) == ("a", "1 user", "ms")
    assert (ttft["n"], ttft["p50"], ttft["p99"]) == ("30", "102.5", "")
    assert {row["metric"] for row in rows} >= {"itl", "gap", "tok_s", "memory_bytes"}
    assert "queue" not in {row["metric"] for row in rows}  # nobody told it


def test_json_lines_are_the_requests() -> None:
    lines = [json.loads(line) for line in json_lines(run_of(1, errors=1))]
    assert len(lines) == 35
    assert lines[0]["ttft_ms"] == 100
    assert (lines[6]["error"], lines[6]["round"]) == ("cut", 0)


def test_the_document_holds_all_that_the_reports_need() -> None:
    run = run_of(1, 2)
    again = decode(encode(run))
    again.summary = summarize(again)
    assert again == run
    assert markdown(again) == markdown(run)
    assert page(again) == page(run)
    assert decode(json_document(run)) == run


def test_a_document_of_a_newer_kolo_is_refused() -> None:
    with pytest.raises(ValueError, match="newer Kolo"):
        decode(encode(run_of(1)).replace(b'"format":1', b'"format":99'))
    with pytest.raises(ValueError, match="no document"):
        decode(b"[]")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_needs_nothing_else() -> None:
    run = run_of(1, 2)
    run.targets[0] = replace(run.targets[0], model="<script>alert(1)</script>")
    tags = _Tags()
    tags.feed(page(run))
    assert "script" not in tags.tags
    assert tags.links == []
    assert tags.tags.count("svg") == 4
    assert "url(" not in page(run)


def test_a_chart_draws_its_points_inside_the_paper() -> None:
    svg = chart("T", "x", "y", [Line("one", [(1, 5.0), (8, 9.0), (32, 7.0)])], log_x=True)
    root = ElementTree.fromstring(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    circles = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in root.iter("circle")]
    assert len(circles) == 3
    assert all(0 < x < width and 0 < y < height for x, y in circles)
    assert circles[0][0] < circles[1][0] < circles[2][0]
    assert circles[1][1] < circles[2][1] < circles[0][1]
    assert chart("T", "x", "y", [Line("none", [])]) == ""
    ElementTree.fromstring(chart("T", "x", "y", [Line("", [(3.0, 0.0)])]))


def test_the_engine_alone_is_set_against_the_path_above_it() -> None:
    run = run_of(1)
    run.engine = [
        EngineCell(target="a", kind="prefill", prompt_tokens=64, tokens_per_s=[640, 630, 650]),
        EngineCell(target="a", kind="decode", depth=64, output_tokens=11, tokens_per_s=[110] * 3),
    ]
    (row,) = summarize(run)
    # 64 tokens at 640/s and 11 at 110/s are 0.2 s for 11 tokens.
    assert row.engine_tok_s == pytest.approx(55)
    assert row.overhead_percent == pytest.approx((55 / 33 - 1) * 100)
    run.summary = [row]
    columns = {column.title: column.cells for column in main_grid(run).columns}
    assert (columns["engine"], columns["overhead"]) == (("55.0",), ("+66.7 %",))
    assert "decode 11" in markdown(run)


def test_goodput_counts_the_requests_that_keep_the_goals() -> None:
    run = run_of(1)
    run.goals = ["ttft<102.5ms"]  # three of the six requests of each round
    (row,) = summarize(run)
    assert row.figures["goodput"].p50 == pytest.approx(3 / 2.0)
    assert row.goals_met is False  # the median is 102.5 ms
    run.summary = [row]
    assert any("held at no load" in line for line in remarks(run))


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, MISSING), (0.123, "0.12"), (9.994, "9.99"), (42.04, "42.0"), (1234.5, "1234")],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


# Verdicts --------------------------------------------------------------------------------------


def test_exit_codes_say_what_became_of_the_run() -> None:
    assert exit_code_of(run_of(1)) == 0
    assert exit_code_of(run_of(1, errors=1)) == 8
    for kind, code in {"auth": 6, "unreachable": 3, "not_found": 4, "timeout": 7, "cut": 1}.items():
        run = run_of(1, n=0)
        run.cells[0].rounds[0].samples = [Sample(sent_s=0, error=kind)]  # type: ignore[arg-type]
        assert exit_code_of(run) == code
    run = run_of(1)
    run.goals = ["ttft<1ms"]
    run.summary = summarize(run)
    assert exit_code_of(run) == 8


def test_doubts_are_told() -> None:
    run = run_of(1, users=8)
    run.targets[0] = replace(run.targets[0], slots=4, exact_prompts=False)
    run.host.load_before = 0.4
    cell = run.cells[0]
    cell.rounds[0].client_cpu = 0.8
    cell.rounds[0].samples[0] = sample(0, output_tokens=9, cached_tokens=64)
    cell.rounds[1].samples = [sample(k, cached_tokens=60) for k in range(6)]
    cell.rounds[2].samples = [sample(k, gaps_ms=[], output_tokens=400) for k in range(6)]
    notes = "\n".join(notes_on(run))
    assert "answers had 9 to 400 tokens, not 11" in notes
    assert "tokens came in one read on average" in notes
    assert "of the prompt tokens came from a cache" in notes
    assert "8 users on 4 slots" in notes
    assert "80 % of a core" in notes
    assert "busy before the run (40 %)" in notes
    assert "near, not exact" in notes
    assert notes_on(run_of(1)) == []


# Comparisons -----------------------------------------------------------------------------------


def test_a_slower_run_is_called_worse() -> None:
    found = compare(run_of(1), run_of(1.5), ("x", "y"))
    by = {(change.metric, change.stat): change for change in found.changes}
    assert by["itl", "p50"].percent == pytest.approx(50)
    assert by["itl", "p50"].verdict == "worse"
    assert by["tok_s", "p50"].verdict == "worse"
    assert by["memory_bytes", "max"].verdict == ""
    assert not found.failures
    assert not found.remarks


def test_the_same_run_is_neither_better_nor_worse() -> None:
    found = compare(run_of(1), run_of(1), ("x", "y"))
    assert {change.verdict for change in found.changes} == {""}


@pytest.mark.parametrize(
    ("text", "fails"),
    [
        ("ttft.p95>+10%", True),
        ("itl>+60%", False),
        ("tok_s<-5%", True),
        ("tok_s<-50%", False),
        ("itl>14ms", True),
        ("itl>16ms", False),
        ("ttft.p99>+10%", True),  # 30 requests cannot tell: what was to be guarded is not
        ("queue>+10%", True),
    ],
)
def test_fail_if(text: str, fails: bool) -> None:
    found = compare(run_of(1), run_of(1.5), ("x", "y"), [parse_fail_if(text)])
    assert bool(found.failures) == fails


def test_runs_of_other_work_have_nothing_in_common() -> None:
    other = run_of(1, users=8)
    found = compare(run_of(1), other, ("x", "y"))
    assert not found.changes
    assert "no workload and load in common" in found.remarks[-1]


def test_what_differs_besides_is_told() -> None:
    other = run_of(1)
    other.host.cpu = "Another"
    other.targets[0] = replace(other.targets[0], model_sha256="f" * 64)
    other.partial = True
    text = "\n".join(compare(run_of(1), other, ("x", "y")).remarks)
    assert "machine: A fine CPU, 8 CPUs in A, Another, 8 CPUs in B" in text
    assert "model: m in A, m ffffffffffff in B" in text
    assert "B was stopped" in text


# The shelf -------------------------------------------------------------------------------------


def test_a_run_is_found_again_by_its_name(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.keep(run_of(1), "one")
    path = shelf.keep(run_of(2), None)
    assert shelf.load("one") == run_of(1)
    assert shelf.load("last") == run_of(2)
    assert shelf.load("last~1") == run_of(1)
    assert shelf.load(str(path)) == run_of(2)
    assert [name for name, _ in shelf.all()] == ["one", ""]


@pytest.mark.parametrize("name", ["", "last", "../x", "a/b", ".hidden", "x" * 101])
def test_what_is_no_name_is_refused_before_the_run(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is no name"):
        Shelf(tmp_path).check_free(name, overwrite=True)


def test_a_name_is_not_overwritten_unasked(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.keep(run_of(1), "one")
    with pytest.raises(UsageError, match="already there"):
        shelf.check_free("one", overwrite=False)
    shelf.check_free("one", overwrite=True)


def test_what_is_not_there_says_what_is(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    with pytest.raises(UsageError, match="there are 0 runs"):
        shelf.load("last")
    shelf.keep(run_of(1), "one")
    with pytest.raises(UsageError, match="no run is named 'two'") as caught:
        shelf.load("two")
    assert caught.value.hint == "one of: one"
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(UsageError, match="no document"):
        shelf.load(str(tmp_path / "x.json"))


def test_only_the_last_unnamed_runs_stay(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.keep(run_of(1), "one")
    for number_ in range(UNNAMED_RUNS + 3):
        run = run_of(1, n=1, rounds=1)
        run.started = time.time() + number_
        shelf.keep(run, None)
    kept = list(shelf.all())
    assert len(kept) == UNNAMED_RUNS + 1
    assert kept[0][0] == "one"


def test_a_cell_is_made_once() -> None:
    run = run_of(1)
    load = Load(concurrency=1)
    assert run.cell("a", FIXED.name, load) is run.cells[0]
    assert isinstance(run.cell("b", FIXED.name, load), Cell)
    assert len(run.cells) == 2
