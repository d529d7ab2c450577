from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from kolo.config import (
    Settings,
    known_keys,
    known_model_keys,
    load_settings,
)
from kolo.config.example import descriptions, example_text, uncommented
from kolo.config.rows import value_of
from kolo.errors import ConfigError
from kolo.types import LoadParams, Lora, Sampling
from kolo.units import Budget, parse_budget, parse_duration, parse_size


def load(
    tmp_path: Path, toml: str = "", env: dict[str, str] | None = None, **flags: tuple[str, Any]
) -> Settings:
    file = tmp_path / "config.toml"
    file.write_text(toml)
    overrides = {key.replace("__", "."): value for key, value in flags.items()}
    return load_settings(env or {}, file, overrides)


def refused(tmp_path: Path, toml: str = "", env: dict[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, toml, env)
    return caught.value


# Layers and provenance -----------------------------------------------------------------------


def test_without_a_file_all_is_at_its_default(tmp_path: Path) -> None:
    settings = load_settings({"KOLO_HOME": str(tmp_path)})
    assert settings.default_model == settings.chat.model == settings.complete.model == "guide"
    assert settings.engine == LoadParams()
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
    assert settings.manager.idle_unload_s == 600.0
    assert settings.file == tmp_path / "config" / "config.toml"
    assert settings.origins == {}
    assert settings.origin("engine.ctx") == "default"


def test_each_layer_wins_over_the_one_before_and_is_remembered(tmp_path: Path) -> None:
    toml = "[engine]\nctx = 1000\nparallel = 2\nbatch = 64\n\n[engine.sampling]\ntop_k = 7\n"
    env = {"KOLO_ENGINE_PARALLEL": "3", "KOLO_ENGINE_BATCH": "65"}
    settings = load(tmp_path, toml, env, engine__batch=("--batch", 66))
    assert settings.engine == LoadParams(ctx=1000, parallel=3, batch=66, sampling=Sampling(top_k=7))
    file = tmp_path / "config.toml"
    assert settings.origins == {
        "engine.ctx": f"{file}:2",
        "engine.parallel": "env KOLO_ENGINE_PARALLEL",
        "engine.batch": "flag --batch",
        "engine.sampling.top_k": f"{file}:7",
    }


def test_lines_are_found_in_every_way_of_writing(tmp_path: Path) -> None:
    toml = (
        'default_model = "m" # ctx = 1\n'
        "engine.ctx = 512\n"
        'engine.chat_template = """\n'
        "parallel = 3\n"
        '"""\n'
        "[ manager ]\n"
        "  'max_queue'=7\n"
        '[models."a.b"]\n'
        'path = "x.gguf"\n'
        "sampling = {top_k = 5}\n"
    )
    settings = load(tmp_path, toml)
    lines = {key: int(origin.rpartition(":")[2]) for key, origin in settings.origins.items()}
    assert lines == {
        "default_model": 1,
        "engine.ctx": 2,
        "engine.chat_template": 3,
        "manager.max_queue": 7,
        "models.a.b.path": 9,
        "models.a.b.sampling.top_k": 10,
    }


def test_the_file_may_be_named_by_a_variable_and_must_then_exist(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text('default_model = "mine"')
    env = {"KOLO_HOME": str(tmp_path), "KOLO_CONFIG": str(tmp_path / "my.toml")}
    assert load_settings(env).default_model == "mine"
    with pytest.raises(ConfigError, match="no such config file"):
        load_settings({**env, "KOLO_CONFIG": str(tmp_path / "none.toml")})


def test_commands_take_their_own_model_or_the_default(tmp_path: Path) -> None:
    settings = load(tmp_path, 'default_model = "d"\n[chat]\nmodel = "c"\n')
    assert (settings.chat.model, settings.complete.model) == ("c", "d")


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("KOLO_DEFAULT_MODEL", "m", "default_model", "m"),
        ("KOLO_ENGINE_MMAP", "false", "engine.mmap", False),
        ("KOLO_ENGINE_CHAT_TEMPLATE", "{{ x }}", "engine.chat_template", "{{ x }}"),
        ("KOLO_ENGINE_TENSOR_SPLIT", "3, 1", "engine.tensor_split", [3.0, 1.0]),
        ("KOLO_ENGINE_DEVICES", "CUDA0,CUDA1", "engine.devices", ["CUDA0", "CUDA1"]),
        ("KOLO_ENGINE_SAMPLING_TOP_P", "0.5", "engine.sampling.top_p", 0.5),
        ("KOLO_ENGINE_SAMPLING_LOGIT_BIAS", '{"7": -1}', "engine.sampling.logit_bias", {"7": -1.0}),
        ("KOLO_ENGINE_LORA", '[{"path": "/a"}]', "engine.lora", [Lora("/a")]),
        ("KOLO_MANAGER_IDLE_UNLOAD", "1h", "manager.idle_unload_s", 3600.0),
        ("KOLO_MANAGER_MEMORY_BUDGET", "80%", "manager.memory_budget", Budget(share=0.8)),
        ("KOLO_SERVER_PORT", "0", "server.port", 0),
    ],
)
def test_a_variable_is_read_as_its_key_wants(
    tmp_path: Path, variable: str, text: str, key: str, value: object
) -> None:
    found: Any = load(tmp_path, env={variable: text})
    for part in key.split("."):
        found = getattr(found, part)
    assert found == value


def test_an_empty_variable_and_those_of_others_are_left_alone(tmp_path: Path) -> None:
    env = {"KOLO_ENGINE_CTX": "", "KOLO_HOME": "/h", "KOLO_DEBUG": "1", "ENGINE_CTX": "1"}
    assert load(tmp_path, env=env).origins == {}


def test_variable_names_are_unambiguous() -> None:
    variables = {key.upper().replace(".", "_") for key in known_keys()}
    assert len(variables) == len(known_keys())


# Models ---------------------------------------------------------------------------------------


def test_a_model_lays_its_keys_over_the_engine_section(tmp_path: Path) -> None:
    toml = """
    [engine]
    ctx = 1000
    parallel = 2
    mmap = false
    [engine.sampling]
    top_k = 7
    temperature = 0.5
    [models.big]
    path = "weights/big.gguf"
    aliases = ["b", "large"]
    pin = true
    ttl = "1h"
    description = "the big one"
    ctx = 2000
    mmap = true
    lora = [{path = "a.gguf", scale = 0.5}]
    sampling.top_k = 9
    [models.small]
    path = "/abs/small.gguf"
    """
    settings = load(tmp_path, toml, {"KOLO_ENGINE_PARALLEL": "3"})
    big, small = settings.models["big"], settings.models["small"]
    assert big.path == tmp_path / "weights" / "big.gguf"
    assert (big.aliases, big.pin) == (("b", "large"), True)
    assert big.ttl_s == 3600.0
    assert big.description == "the big one"
    assert big.params == LoadParams(
        ctx=2000,
        parallel=3,
        lora=[Lora(str(tmp_path / "a.gguf"), 0.5)],
        sampling=Sampling(top_k=9, temperature=0.5),
    )
    assert small.path == Path("/abs/small.gguf")
    assert small.params == settings.engine
    assert (small.pin, small.ttl_s) == (False, None)
    assert settings.origin("models.big.ctx") == f"{tmp_path / 'config.toml'}:15"


def test_a_home_path_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/h")
    assert load(tmp_path, '[models.m]\npath = "~/m.gguf"').models["m"].path == Path("/h/m.gguf")


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[models.m]\nctx = 9", "models.m has no path"),
        ('[models.m]\npath = ""', "models.m.path"),
        ('[models.guide]\npath = "x"', "'guide' is already that of the builtin model"),
        ('[models.m]\npath = "x"\naliases = ["guide"]', "already that of the builtin model"),
        ('[models.a]\npath = "x"\n[models.b]\npath = "y"\naliases = ["a"]', "that of models.a"),
        ('[models.a]\npath = "x"\naliases = ["z", "z"]', "'z' is already that of models.a"),
        ('[models." a"]\npath = "x"', "' a' cannot be a model's name"),
        ('[models.a]\npath = "x"\naliases = [""]', "'' cannot be a model's name"),
        ("models = 3", "models must be a table"),
        ("[models]\na = 3", "models.a: expected a table"),
    ],
)
def test_models_that_make_no_sense_are_refused(tmp_path: Path, toml: str, says: str) -> None:
    assert says in refused(tmp_path, toml).message


def test_an_unquoted_dot_in_a_name_is_explained(tmp_path: Path) -> None:
    error = refused(tmp_path, '[models.qwen2.5]\npath = "x"')
    assert '[models."qwen2.5"]' in error.hint


# Refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "key", "near"),
    [
        ("[engine]\nctxx = 1", "engine.ctxx", "engine.ctx?"),
        ("[engine.sampling]\ntopk = 1", "engine.sampling.topk", "engine.sampling.top_k?"),
        ("ctx = 1", "ctx", "engine.ctx?"),
        ("[manger]\nmax_queue = 1", "manger", "manager?"),
        ("[xyzzy]\nmax_queue = 1", "xyzzy", None),
        ('[models.m]\npth = "x"', "models.m.pth", "models.m.path?"),
        ("[models.m.sampling]\ntop_kk = 1", "models.m.sampling.top_kk", "models.m.sampling.top_k?"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(
    tmp_path: Path, toml: str, key: str, near: str | None
) -> None:
    error = refused(tmp_path, toml)
    assert f"no such setting: {key}" in error.message
    assert error.param == key
    assert re.match(rf"{re.escape(str(tmp_path / 'config.toml'))}:\d: ", error.message)
    assert error.hint == (f"Did you mean {near}" if near else "kolo config show lists all.")


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ('[engine]\nctx = "many"', "engine.ctx: expected a whole number, found 'many'"),
        ("[engine]\nctx = 4", "engine.ctx: expected a whole number >= 8, found 4"),
        ("[engine]\nctx = true", "engine.ctx: expected a whole number"),
        ("[engine]\nmmap = 1", "engine.mmap: expected true or false, found 1"),
        ('[engine]\nflash_attn = "yes"', "expected one of auto, on, off, found 'yes'"),
        ('[engine]\nkv_type_k = "q3"', "expected one of f32, f16"),
        ('[engine]\ntensor_split = ["a"]', "engine.tensor_split: expected a number"),
        ("[engine]\nlora = [{scale = 1.0}]", "missing required field path"),
        ("[engine.sampling]\ntop_p = 1.5", "engine.sampling.top_p: expected a number <= 1.0"),
        ('[manager]\nidle_unload = "soon"', "manager.idle_unload: expected a duration"),
        ("[manager]\nidle_unload = -1", "expected a duration"),
        ('[manager]\nmemory_budget = "120%"', "a share from 1% to 100%, found '120%'"),
        ('[server]\nmax_body = "1 ton"', "server.max_body: expected a size"),
        ("[server]\nport = 70000", "expected a whole number <= 65535, found 70000"),
        ("engine = 3", "engine: expected a table, found 3"),
        ("default_model = 3", "default_model: expected text, found 3"),
    ],
)
def test_a_wrong_value_names_key_expected_and_found(tmp_path: Path, toml: str, says: str) -> None:
    assert says in refused(tmp_path, toml).message


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("KOLO_ENGINE_CTX", "many", "env KOLO_ENGINE_CTX: engine.ctx: expected a whole number"),
        ("KOLO_ENGINE_MMAP", "perhaps", "engine.mmap: expected true or false, found 'perhaps'"),
        ("KOLO_ENGINE_LORA", "[{", "engine.lora: expected JSON"),
        ("KOLO_ENGINE_TENSOR_SPLIT", "1,x", "engine.tensor_split: expected a number"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, variable: str, text: str, says: str) -> None:
    assert says in refused(tmp_path, env={variable: text}).message


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("KOLO_ENGINE_CTXX", "KOLO_ENGINE_CTX"),
        ("KOLO_ENGIN_PARALLEL", "KOLO_ENGINE_PARALLEL"),
        ("KOLO_SERVER_COLOUR", None),
    ],
)
def test_a_mistyped_variable_is_refused(tmp_path: Path, variable: str, near: str | None) -> None:
    error = refused(tmp_path, env={variable: "1"})
    assert f"env {variable}" in error.message
    assert error.hint == (f"Did you mean {near}?" if near else "Unset it.")


def test_an_unknown_or_wrong_flag_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"flag --ctxx: no such setting: engine\.ctxx"):
        load(tmp_path, engine__ctxx=("--ctxx", 1))
    with pytest.raises(
        ConfigError, match=r"flag --idle: manager\.idle_unload: expected a duration"
    ):
        load(tmp_path, manager__idle_unload=("--idle", "x"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a = ", "is not TOML"),
        (b"[engine]\nctx = 1\nctx = 2\n\n", "overwrite a value"),
        (b"a = '\xff'", "is not UTF-8"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        load_settings({}, file)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_settings({}, tmp_path)


# Units ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("10m", 600.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        ("500ms", 0.5),
        ("2d", 172800.0),
        ("1.5s", 1.5),
        ("90", 90.0),
        (0, 0.0),
        (2.5, 2.5),
    ],
)
def test_durations(value: object, seconds: float) -> None:
    assert parse_duration(value) == seconds


@pytest.mark.parametrize("value", ["", "m", "10 weeks", "-1s", -1, float("nan"), True, None, [1]])
def test_impossible_durations_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="Expected a duration"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("value", "n_bytes"),
    [("12GB", 12 * 10**9), ("1.5 GiB", 3 * 2**29), ("512kb", 512_000), ("7", 7), ("0B", 0), (9, 9)],
)
def test_sizes(value: object, n_bytes: int) -> None:
    assert parse_size(value) == n_bytes


@pytest.mark.parametrize("value", ["", "GB", "12G", "12 parsecs", -1, 1.5, True, None])
def test_impossible_sizes_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="Expected a size"):
        parse_size(value)


def test_budgets_are_sizes_or_shares() -> None:
    assert parse_budget("12GB").of(10**12) == 12 * 10**9
    assert parse_budget("80%").of(1000) == 800
    for value in ("0%", "101%", "0", 0, "much"):
        with pytest.raises(ValueError, match="or a share"):
            parse_budget(value)


# The example --------------------------------------------------------------------------------------


def example() -> str:
    return uncommented(example_text())


def flat(table: dict[str, Any], keys: list[str], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in table.items():
        key = prefix + name
        if isinstance(value, dict) and key not in keys:
            found |= flat(value, keys, f"{key}.")
        else:
            found[key] = value
    return found


def test_the_example_changes_nothing_as_it_is(tmp_path: Path) -> None:
    assert load(tmp_path, example_text()).origins == {}


def test_the_example_names_every_key_and_no_other() -> None:
    table = tomllib.loads(example())
    model = table.pop("models")["example"]
    table.pop("profiles")
    assert sorted(flat(table, known_keys())) == sorted(known_keys())
    own = [key for key in known_model_keys() if f"engine.{key}" not in known_keys()]
    assert sorted(model) == sorted(own)


def test_the_example_is_accepted_uncommented(tmp_path: Path) -> None:
    settings = load(tmp_path, example(), {"HOME": "/h"})
    assert settings.models["example"].params == settings.engine


def test_the_example_shows_the_defaults(tmp_path: Path) -> None:
    """Or, where the comment says "Auto" or "none by default", an example instead."""
    default, shown = load(tmp_path), load(tmp_path, example().replace("profile = ", "#"))
    about = descriptions()
    for key in known_keys():
        value = value_of(default, key)
        if value not in (None, "", []) and "Auto" not in about[tuple(key.split("."))]:
            assert value_of(shown, key) == value, key
