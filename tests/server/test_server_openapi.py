"""The description of the routes is true: of every route, and of every reply they give."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from serving import House, house, served

from kolo.server.openai.fields import HARMLESS, REFUSED
from kolo.server.openai.schemas import ChatBody, CompletionBody

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance"


@pytest.fixture
async def document(tmp_path: Path) -> Any:
    async with house(tmp_path) as made:
        reply = await made.get("/openapi.json")
        return reply.json


def refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].rpartition("/")[2]
        for part in value.values():
            yield from refs(part)
    elif isinstance(value, list):
        for part in value:
            yield from refs(part)


async def test_every_route_is_described(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        paths = (await made.get("/openapi.json")).json["paths"]
        for rule in made.app.url_map.iter_rules():
            shown = re.sub(r"<(?:[^:>]*:)?(\w+)>", r"{\1}", rule.rule)
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                assert method.lower() in paths[shown]


def test_the_document_refers_to_what_it_holds(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    schemas = document["components"]["schemas"]
    assert set(refs(document)) <= set(schemas)
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    names = [o["operationId"] for path in document["paths"].values() for o in path.values()]
    assert len(names) == len(set(names))


def test_every_operation_tells_which_scope_a_key_needs(document: Any) -> None:
    schemes = document["components"]["securitySchemes"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert {name for choice in operation["security"] for name in choice} <= set(schemes)
            needs_one = len(operation["security"]) > 1
            assert needs_one == ("401" in operation["responses"]), path
            public = ("/health", "/v1/health", "/status", "/docs", "/openapi.json")
            assert needs_one != path.startswith(public), path
    chat = document["paths"]["/v1/chat/completions"]["post"]
    assert {"bearer": ["infer"]} in chat["security"]
    load = document["paths"]["/models/load"]["post"]
    assert {"bearer": ["manage"]} in load["security"]


def test_both_forms_of_the_metrics_are_described(document: Any) -> None:
    content = document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
    assert set(content) == {"text/plain", "application/json"}
    assert content["application/json"]["schema"]["$ref"].endswith("/CombinedMetrics")


def test_every_operation_tells_its_errors(document: Any) -> None:
    chat = document["paths"]["/v1/chat/completions"]["post"]["responses"]
    expected = "200 400 401 403 404 408 413 422 429 500 503 504 507"
    assert set(chat) == set(expected.split())
    assert "context_length_exceeded" in chat["400"]["description"]
    assert set(chat["200"]["content"]) == {"application/json", "text/event-stream"}


def test_fields_without_effect_are_documented_with_the_reason(document: Any) -> None:
    said = {
        **document["components"]["schemas"]["ChatBody"]["properties"],
        **document["components"]["schemas"]["StreamOptions"]["properties"],
    }
    for name, why in (HARMLESS | REFUSED).items():
        if name != "reasoning_format":  # has a meaning of its own, too
            assert why in str(said[name]), name
    declared = {*ChatBody.__struct_fields__, *CompletionBody.__struct_fields__}
    assert set(HARMLESS) | set(REFUSED) <= declared | {"include_obfuscation"}


async def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        reply = await made.get("/docs")
        assert reply.status == 200
        assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
        assert b"://" not in reply.body
        assert b"openapi.json" in reply.body


async def test_nothing_made_up_from_the_document_breaks_the_server(tmp_path: Path) -> None:
    """Schemathesis, bounded: no 5xx, and no status or type that is not documented."""
    made: House
    async with house(tmp_path) as made, served(made) as at:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run"),
            f"http://127.0.0.1:{at.port}/openapi.json",
            *("--phases", "fuzzing", "--max-examples", "4", "--seed", "1", "--mode", "all"),
            *("--checks", f"{CHECKS},response_schema_conformance", "--no-color"),
        ]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=tmp_path,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()
