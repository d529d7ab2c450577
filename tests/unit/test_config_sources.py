"""Profiles, variables, everything that is wrong at once, and what is secret."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from kolo.config import Settings, known_keys, known_model_keys, load_settings
from kolo.config.environment import OTHERS, VARIABLES, variable_of
from kolo.config.example import example_text, uncommented
from kolo.config.keys import is_secret
from kolo.config.problems import MASK, masked
from kolo.config.reading import read_settings
from kolo.config.rows import model_value, origin_parts, rows, value_of
from kolo.errors import ConfigError

PROFILES = """
[engine]
ctx = 1000
parallel = 2
[models.m]
path = "m.gguf"
ctx = 2000
[profiles.work]
default_model = "m"
[profiles.work.engine]
ctx = 1001
draft_model = "d.gguf"
[profiles.work.models.m]
ctx = 2001
[profiles.work.models.extra]
path = "e.gguf"
[profiles.home.server]
port = 9000
"""


def load(tmp_path: Path, toml: str, env: dict[str, str] | None = None) -> Settings:
    file = tmp_path / "config.toml"
    file.write_text(toml)
    return load_settings(env or {}, file)


def problems(tmp_path: Path, toml: str = "", env: dict[str, str] | None = None) -> list[str]:
    file = tmp_path / "config.toml"
    file.write_text(toml)
    found = read_settings(env or {}, file).problems
    return [str(each).replace(f"{file}:", "") for each in found]


# Profiles ---------------------------------------------------------------------------------------


def test_a_profile_lies_over_the_file_and_below_the_environment(tmp_path: Path) -> None:
    settings = load(tmp_path, PROFILES, {"KOLO_PROFILE": "work", "KOLO_ENGINE_PARALLEL": "3"})
    file = tmp_path / "config.toml"
    assert (settings.engine.ctx, settings.engine.parallel) == (1001, 3)
    assert settings.default_model == settings.chat.model == "m"
    assert settings.models["m"].params.ctx == 2001
    assert settings.models["m"].path == tmp_path / "m.gguf"
    assert settings.models["extra"].path == tmp_path / "e.gguf"
    assert settings.engine.draft_model == str(tmp_path / "d.gguf")
    assert settings.origin("engine.ctx") == f"{file}:11 (profile work)"
    assert settings.origin("models.m.ctx") == f"{file}:14 (profile work)"
    assert settings.origin("models.m.path") == f"{file}:6"
    assert settings.server.port == 8080


def test_without_being_chosen_a_profile_holds_nothing(tmp_path: Path) -> None:
    settings = load(tmp_path, PROFILES)
    assert settings.engine.ctx == 1000
    assert list(settings.models) == ["m"]


def test_the_file_may_choose_one_and_the_environment_another_or_none(tmp_path: Path) -> None:
    toml = f'profile = "work"\n{PROFILES}'
    assert load(tmp_path, toml).engine.ctx == 1001
    other = load(tmp_path, toml, {"KOLO_PROFILE": "home"})
    assert (other.engine.ctx, other.server.port) == (1000, 9000)
    assert load(tmp_path, toml, {"KOLO_PROFILE": "none"}).engine.ctx == 1000


def test_a_profile_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--profile or env KOLO_PROFILE: no such") as caught:
        load(tmp_path, PROFILES, {"KOLO_PROFILE": "wokr"})
    assert caught.value.hint == "Did you mean work?"


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ('[profiles.a]\nprofile = "b"', "2: a profile cannot choose a profile"),
        ("[profiles.none]\n", "1: no profile can be called 'none'"),
        ("[profiles.a.profiles.b]\n", "1: a profile has no profiles of its own"),
        ("[profiles.a.engine]\nctxx = 1", "2: no such setting: profiles.a.engine.ctxx (did you"),
        ("profiles = 3", "1: profiles must be a table, found 3"),
        ("[profiles]\na = 3", "2: profiles.a: expected a table, found 3"),
    ],
)
def test_profiles_that_make_no_sense_are_refused_though_not_chosen(
    tmp_path: Path, toml: str, says: str
) -> None:
    assert any(each.startswith(says) for each in problems(tmp_path, toml)), problems(tmp_path, toml)


# All at once ------------------------------------------------------------------------------------


def test_everything_that_is_wrong_is_said_at_once_with_its_line(tmp_path: Path) -> None:
    toml = (
        '[engine]\nctxx = 1\nbatch = "many"\n[server]\nport = 70000\ntls_cert = "c.pem"\n'
        '[models.a]\npin = 3\n[models.b]\npath = "x"\naliases = ["guide"]\n'
        "[history]\nmax_size = 1\n"
    )
    assert problems(tmp_path, toml, {"KOLO_ENGINE_UBATCH": "x", "KOLO_ENGINE_CTY": "1"}) == [
        "2: no such setting: engine.ctxx (did you mean engine.ctx?)",
        "3: engine.batch: expected a whole number, found 'many'",
        "5: server.port: expected a whole number <= 65535, found 70000",
        "8: models.a.pin: expected true or false, found 3",
        "env KOLO_ENGINE_UBATCH: engine.ubatch: expected a whole number, found 'x'",
        "env KOLO_ENGINE_CTY: no such setting (did you mean KOLO_ENGINE_CTX?)",
        "6: server.tls_cert and server.tls_key go together "
        "(both, or neither: kolo config set server.tls_cert FILE server.tls_key FILE)",
        "13: history.max_size: expected 4MiB at least, found 1 bytes "
        "(with history.enabled = false nothing is kept)",
        '7: models.a has no path (give the file of the model: path = "/where/it/is.gguf")',
        "9: the name 'guide' is already that of the builtin model",
    ]
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, toml)
    first, *others = caught.value.message.splitlines()
    assert (first, len(others)) == ("8 settings are wrong", 8)
    assert caught.value.hint == "kolo config edit"


def test_a_file_that_is_no_toml_hides_no_problem_of_the_environment(tmp_path: Path) -> None:
    found = problems(tmp_path, "[engine]\nctx = \n", {"KOLO_ENGINE_CTX": "x"})
    assert found[0].startswith("2: is not TOML: ")
    assert "KOLO_ENGINE_CTX" in found[1]


def test_what_is_right_is_read_although_something_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[engine]\nctxx = 1\nctx = 512\n")
    reading = read_settings({}, file)
    assert len(reading.problems) == 1
    assert reading.settings.engine.ctx == 512


# The environment --------------------------------------------------------------------------------


def as_variable(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value)


def example_value(path: tuple[str, ...]) -> Any:
    found: Any = tomllib.loads(uncommented(example_text()))
    for part in path:
        found = found[part]
    return found


@pytest.mark.parametrize("key", [key for key in known_keys() if key != "profile"])
def test_every_key_can_be_given_as_a_variable(tmp_path: Path, key: str) -> None:
    value = example_value(tuple(key.split(".")))
    env = {"HOME": "/h", variable_of(key): as_variable(value)}
    section, _, name = key.rpartition(".")
    partner = {"server.tls_cert": "tls_key", "server.tls_key": "tls_cert"}.get(key)
    more = {variable_of(f"server.{partner}"): "/p"} if partner else {}
    written = f"[{section}]\n{name}" if section else name
    toml = f"{written} = {as_toml(value)}\n" + (f'{partner} = "/p"\n' if partner else "")
    by_file, by_env = load(tmp_path, toml, {"HOME": "/h"}), load(tmp_path, "", {**env, **more})
    assert value_of(by_env, key) == value_of(by_file, key)
    assert by_env.origin(key) == f"env {variable_of(key)}"


def as_toml(value: Any) -> str:
    from kolo.toml import written

    return written(value)


@pytest.mark.parametrize("key", known_model_keys())
def test_every_key_of_a_model_can_be_given_as_a_variable(tmp_path: Path, key: str) -> None:
    own = key in ("path", "aliases", "pin", "ttl", "description")
    above = ("models", "example") if own else ("engine",)
    value = example_value((*above, *key.split(".")))
    toml = '[models."qwen2.5"]\npath = "/m.gguf"\n'
    env = {"HOME": "/h", variable_of(f"models.qwen2.5.{key}"): as_variable(value)}
    by_env = load(tmp_path, toml, env).models["qwen2.5"]
    if key == "path":
        assert by_env.path.name == Path(value).name
        return
    by_file = load(tmp_path, f"{toml}{key} = {as_toml(value)}\n", {"HOME": "/h"})
    assert model_value(by_env, key) == model_value(by_file.models["qwen2.5"], key)


def test_the_rule_makes_one_variable_of_one_key() -> None:
    names = {variable_of(key) for key in known_keys()}
    assert len(names) == len(known_keys())
    assert not any(name.startswith("KOLO_MODELS_") for name in names)


def test_a_variable_that_could_be_of_two_models_is_refused(tmp_path: Path) -> None:
    toml = '[models."a.b"]\npath = "x"\n[models.a-b]\npath = "y"\n'
    (found,) = problems(tmp_path, toml, {"KOLO_MODELS_A_B_CTX": "512"})
    assert found.startswith("env KOLO_MODELS_A_B_CTX: stands for models.a.b.ctx and models.a-b.ctx")


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("KOLO_MODELS_OTHER_CTX", "A variable changes the key of a model that the file names"),
        ("KOLO_MODELS_MINE_CTXX", "did you mean KOLO_MODELS_MINE_CTX?"),
    ],
)
def test_a_variable_of_no_model_is_refused(tmp_path: Path, variable: str, hint: str) -> None:
    (found,) = problems(tmp_path, '[models.mine]\npath = "x"\n', {variable: "512"})
    assert hint in found


def test_what_kubernetes_says_of_a_service_called_kolo_is_no_setting(tmp_path: Path) -> None:
    env = {
        "KOLO_SERVICE_HOST": "10.0.0.1", "KOLO_SERVICE_PORT": "80", "KOLO_SERVICE_PORT_HTTP": "80",
        "KOLO_PORT": "tcp://10.0.0.1:80", "KOLO_PORT_80_TCP": "tcp://10.0.0.1:80",
        "KOLO_PORT_80_TCP_ADDR": "10.0.0.1", "KOLO_SERVER_SERVICE_HOST": "10.0.0.1",
        "KOLO_SERVER_PORT": "tcp://10.0.0.1:80", "KOLO_SERVER_PORT_80_TCP_PROTO": "tcp",
    }  # fmt: skip
    assert problems(tmp_path, "", env) == []
    assert load(tmp_path, "", {"KOLO_SERVER_PORT": "81"}).server.port == 81


# Rows and secrets -------------------------------------------------------------------------------


def test_rows_are_what_the_file_would_say(tmp_path: Path) -> None:
    toml = (
        '[manager]\nmemory_budget = "80%"\nidle_unload = "90s"\n[server]\nmax_body = 1048576\n'
        '[models."q.5"]\npath = "/q"\nlora = [{path = "/l", scale = 0.5}]\n'
    )
    found = {row.key: row.value for row in rows(load(tmp_path, toml))}
    assert found["manager.memory_budget"] == "80%"
    assert found["manager.idle_unload"] == "1m30s"
    assert found["server.max_body"] == "1MiB"
    assert found["engine.ctx"] is None
    assert found["engine.mmap"] is True
    assert found['models."q.5".path'] == "/q"
    assert found['models."q.5".lora'] == [{"path": "/l", "scale": 0.5}]
    assert [row.key for row in rows(Settings())] == known_keys()


@pytest.mark.parametrize(
    ("origin", "parts"),
    [
        ("default", {"source": "default"}),
        ("env KOLO_X", {"source": "env", "name": "KOLO_X"}),
        ("flag --x", {"source": "flag", "name": "--x"}),
        ("/a b:c/f.toml:12", {"source": "file", "file": "/a b:c/f.toml", "line": 12}),
        (
            "/f.toml:1 (profile w)",
            {"source": "file", "file": "/f.toml", "line": 1, "profile": "w"},
        ),
        ("/f.toml", {"source": "file", "file": "/f.toml"}),
    ],
)
def test_an_origin_can_be_taken_apart(origin: str, parts: dict[str, Any]) -> None:
    assert origin_parts(origin) == parts


def test_what_is_secret_goes_by_the_name_of_the_key() -> None:
    assert all(map(is_secret, ("server.api_key", "x.token", "a.client_secret", "b.passwords")))
    # The path of a file, a choice and a number hold no secret, whatever they are called.
    assert not any(
        map(is_secret, ("server.tls_key", "access.require_key", "access.tokens_per_minute"))
    )
    assert not is_secret("engine.sampling.min_keep")
    assert masked("x.api_keys", ["a", ""]) == [MASK, ""]
    assert masked("otel.endpoint", "http://me:pw@host/x") == f"http://me:{MASK}@host/x"
    assert masked("otel.endpoint", "http://host:1/a@b:c") == "http://host:1/a@b:c"


def test_what_is_passed_over_is_no_setting() -> None:
    assert not OTHERS & set(VARIABLES)
