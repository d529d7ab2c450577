"""The JSON Schema of the settings, and the example that names it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kolo.config import known_keys, known_model_keys
from kolo.config.example import SCHEMA_LINE, SCHEMA_NAME, descriptions, example_text, uncommented
from kolo.config.json_schema import encoded, json_schema

ROOT = Path(__file__).parents[2]
JUDGE = jsonschema.Draft7Validator(json_schema())


def complaints(toml: str) -> list[str]:
    return [error.message for error in JUDGE.iter_errors(tomllib.loads(toml))]


def test_the_schema_that_is_kept_is_that_of_the_code() -> None:
    kept = (ROOT / SCHEMA_NAME).read_text()
    assert kept == encoded(), "run: ./dev generate"


def test_it_is_a_json_schema() -> None:
    jsonschema.Draft7Validator.check_schema(json_schema())


def test_the_example_names_it_first_and_fits_it() -> None:
    assert example_text().splitlines()[0] == SCHEMA_LINE
    assert complaints(example_text()) == []
    assert complaints(uncommented(example_text())) == []


def test_the_example_says_of_every_key_what_it_is_for() -> None:
    about = descriptions()
    own = [key for key in known_model_keys() if f"engine.{key}" not in known_keys()]
    paths = [tuple(key.split(".")) for key in known_keys()]
    paths += [("models", "example", key) for key in own]
    assert [path for path in paths if not about.get(path)] == []


@pytest.mark.parametrize(
    "toml",
    [
        "[engine]\nctxx = 1",
        "[engine]\nctx = 4",
        '[engine]\nflash_attn = "yes"',
        "[engine.sampling]\ntop_p = 2",
        '[manager]\nidle_unload = "soon"',
        '[manager]\nmemory_budget = "x"',
        "[server]\nport = 70000",
        "[models.a]\npth = 1",
        "[profiles.a.engine]\nctxx = 1",
        '[profiles.a]\nprofile = "b"',
        "[nothing]\n",
    ],
)
def test_what_kolo_refuses_an_editor_marks(toml: str) -> None:
    assert complaints(toml)


@pytest.mark.parametrize(
    "toml",
    [
        "[manager]\nidle_unload = 90\nmemory_budget = '80%'",
        "[manager]\nidle_unload = '1h30m'\nmemory_budget = '1.5 GiB'",
        "[server]\nmax_body = '32 mb'\nport = 0",
        "[models.'a.b']\npath = 'x'\nctx = 512\nttl = '1d'\nsampling.top_k = 1\n"
        "lora = [{path = 'l'}]",
        "profile = 'a'\n[profiles.a.models.m]\npin = true",
    ],
)
def test_what_kolo_takes_an_editor_takes(toml: str) -> None:
    assert complaints(toml) == []


def test_every_key_is_described_with_its_variable() -> None:
    schema: dict[str, Any] = json_schema()
    ctx = schema["definitions"]["engine"]["properties"]["ctx"]
    assert ctx["description"].startswith("Tokens of context for each request.")
    assert ctx["description"].endswith("\n\nKOLO_ENGINE_CTX")
    assert schema["definitions"]["server"]["properties"]["port"]["default"] == 8080
    assert schema["definitions"]["manager"]["properties"]["idle_unload"]["default"] == "10m"
