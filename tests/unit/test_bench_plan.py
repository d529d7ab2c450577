"""What the options of ``kolo bench`` come to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kolo.bench.result import Load
from kolo.cli.bench_plan import addresses_of, body_of, plan_of
from kolo.errors import UsageError

GIVEN: dict[str, Any] = {
    "concurrency": None,
    "rate": None,
    "arrival": None,
    "sweep": False,
    "goals": (),
    "requests": None,
    "duration": None,
    "rounds": 5,
    "warmup": 2,
    "seed": 0,
    "workloads": (),
    "file": None,
    "schema": None,
    "prompt_tokens": None,
    "output_tokens": None,
    "prefix_tokens": None,
    "long_tokens": None,
    "turns": None,
}


def test_loads_are_climbed_from_the_lightest() -> None:
    plan = plan_of(**{**GIVEN, "concurrency": "32,1,8,8"})
    assert plan.loads == [Load(concurrency=n) for n in (1, 8, 32)]
    plan = plan_of(**{**GIVEN, "rate": "5,0.5", "arrival": "constant"})
    assert [load.rate for load in plan.loads] == [0.5, 5.0]
    assert {load.name for load in plan.loads} == {"0.5/s constant", "5/s constant"}


def test_workloads_have_lengths_of_their_own_unless_they_are_given() -> None:
    names = ("fixed", "prefix", "chat", "interference", "mixed", "json")
    plan = plan_of(**{**GIVEN, "workloads": names})
    assert [each.info.name for each in plan.workloads] == [
        "fixed 512/128",
        "prefix 1000+64/128",
        "chat 10x64/64",
        "interference 64/256+2000",
        "mixed 512/128",
        "json 512/128",
    ]
    plan = plan_of(**{**GIVEN, "workloads": names, "prompt_tokens": 9, "output_tokens": 300})
    assert [each.info.name for each in plan.workloads] == [
        "fixed 9/300",
        "prefix 1000+9/300",
        "chat 10x9/300",
        "interference 9/300+2000",
        "mixed 9/300",
        "json 9/300",
    ]


def test_a_schema_and_a_file_are_workloads(tmp_path: Path) -> None:
    schema, file = tmp_path / "s.json", tmp_path / "r.jsonl"
    schema.write_text('{"type": "object"}')
    file.write_text('{"prompt": "a"}')
    plan = plan_of(**{**GIVEN, "schema": schema, "file": file})
    assert [each.info.name for each in plan.workloads] == ["json 512/128 s.json", "file r.jsonl"]


def test_models_and_keys_are_for_all_or_for_one(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("from a file\n")
    found = addresses_of(
        ["a=http://x:1", "b=y:2", "http://z:3/v1"],
        ["m", "b=n=1"],
        ["k", f"a=@{key}"],
        reserved="kolo",
    )
    assert [(one.name, one.url) for one in found] == [
        ("a", "http://x:1"),
        ("b", "http://y:2"),
        ("z:3/v1", "http://z:3/v1"),
    ]
    assert [one.model for one in found] == ["m", "n=1", "m"]
    assert [one.api_key for one in found] == ["from a file", "k", "k"]


def test_a_model_whose_name_holds_a_sign_of_equality_is_no_target() -> None:
    (found,) = addresses_of(["http://x:1"], ["q=4"], [], reserved=None)
    assert found.model == "q=4"


@pytest.mark.parametrize(
    ("urls", "keys", "words"),
    [
        (["kolo=http://x"], [], "two targets are named 'kolo'"),
        (["http://x:1", "http://x:1"], [], "two targets are named 'x:1'"),
        (["http://x"], ["@/nowhere"], "cannot be read"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(urls: list[str], keys: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        addresses_of(urls, [], keys, reserved="kolo")


def test_fields_for_every_request() -> None:
    assert body_of(None) == {}
    assert body_of('{"temperature": 1}') == {"temperature": 1}
