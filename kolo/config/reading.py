"""The sources of settings, read once and merged: defaults, file, profile, environment, flags."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from kolo.config.environment import from_environment
from kolo.config.keys import LEAVES, build, is_path
from kolo.config.models import build_models
from kolo.config.problems import Problem, as_error, nearest, unknown_key
from kolo.config.schema import Settings, StoreSettings
from kolo.config.tables import Layer, Reader, Value, placed
from kolo.errors import ConfigError
from kolo.paths import find_hub_cache, find_paths
from kolo.toml import Document
from kolo.values import convert, convert_text

NO_PROFILE = "none"
"""As a profile's name: none, although the file chooses one."""


class Reading(NamedTuple):
    """What was read. With problems, ``settings`` is what is right of it."""

    settings: Settings
    problems: list[Problem]
    document: Document
    profiles: list[str]
    """Those of the file."""


def load_settings(
    env: Mapping[str, str] | None = None,
    path: Path | None = None,
    overrides: Mapping[str, tuple[str, Any]] | None = None,
) -> Settings:
    """Read everything once. ConfigError names every problem: the place, the key, what was expected.

    ``path`` (or KOLO_CONFIG) is a file that must be there; ``config.toml`` in the config folder
    need not. ``overrides`` maps a dotted key to a flag as typed and its value:
    ``{"engine.ctx": ("--ctx", 4096)}``.
    """
    reading = read_settings(env, path, overrides)
    if reading.problems:
        raise as_error(reading.problems)
    return reading.settings


def find_file(env: Mapping[str, str], path: Path | None = None) -> tuple[Path, bool]:
    """The settings file, and whether it must be there because somebody named it."""
    chosen = path or (Path(env["KOLO_CONFIG"]) if env.get("KOLO_CONFIG") else None)
    return (chosen or find_paths(env).config / "config.toml").absolute(), chosen is not None


def read_settings(
    env: Mapping[str, str] | None = None,
    path: Path | None = None,
    overrides: Mapping[str, tuple[str, Any]] | None = None,
    *,
    text: str | None = None,
) -> Reading:
    """As ``load_settings``, but what is wrong is listed. ``text`` stands in for the file's."""
    env = os.environ if env is None else env
    file, required = find_file(env, path)
    document = Document.read(file, required=required) if text is None else Document(file, text)
    problems = [Problem(document.place, document.trouble)] if document.trouble else []

    reader = Reader(document, problems)
    base = reader.layer(document.table)
    profiles = {
        name: reader.layer(table, ("profiles", name))
        for name, table in reader.tables(document.table, ("profiles",))
    }
    names = dict.fromkeys([*base.models, *(name for p in profiles.values() for name in p.models)])
    environment = from_environment(env, names, problems)
    flags = Layer(dict(_from_flags(overrides or {}, problems)), {})
    chosen = _chosen(profiles, [base, environment, flags], document, problems)
    layers = [base, chosen, environment, flags]

    values: dict[str, Value] = {}
    models: dict[str, dict[str, Value]] = {}
    for layer in layers:
        values |= layer.values
    for name in dict.fromkeys([*base.models, *chosen.models]):
        models[name] = {}
        for layer in layers:
            models[name] |= layer.models.get(name, {})
    places = {**chosen.places, **base.places}
    settings = _settings(values, models, places, document, problems, env)
    return Reading(settings, problems, document, list(profiles))


def _settings(
    values: dict[str, Value],
    models: dict[str, dict[str, Value]],
    places: dict[str, str],
    document: Document,
    problems: list[Problem],
    env: Mapping[str, str],
) -> Settings:
    settings = _checked(values, problems)
    engine = {
        key.removeprefix("engine."): value.value
        for key, value in values.items()
        if key.startswith("engine.")
    }
    origins = {key: value.origin for key, value in values.items()}
    for name, own in models.items():
        origins |= {f"models.{name}.{key}": value.origin for key, value in own.items()}
    return replace(
        settings,
        file=document.file,
        store=_store(settings.store, env),
        models=build_models(models, engine, places, problems),
        origins=origins,
    )


def _checked(values: dict[str, Value], problems: list[Problem]) -> Settings:
    """The settings of ``values``; what a section refuses is a problem, and left out."""
    while True:
        try:
            settings: Settings = build(Settings, {k: v.value for k, v in values.items()})
            return settings
        except ConfigError as error:
            blamed = _blamed(error.param or "", values)
            if not blamed:
                raise
            place = values[blamed[0]].origin.partition(" (")[0]
            problems.append(Problem(place, error.message, error.hint, error.param))
            for key in blamed:
                del values[key]


def _blamed(key: str, values: Mapping[str, Value]) -> list[str]:
    """Which of ``values`` a complaint about ``key`` is about: its own, those below it, or, where it
    is one that is missing, those of its section."""
    section = key.rpartition(".")[0]
    for above in (f"{key}.", f"{section}."):
        if key in values:
            return [key]
        if found := [each for each in values if each.startswith(above)]:
            return found
    return []


def _chosen(
    profiles: Mapping[str, Layer], others: list[Layer], document: Document, problems: list[Problem]
) -> Layer:
    """The profile that is asked for: by flag, by KOLO_PROFILE, by ``profile`` in the file."""
    for name, layer in profiles.items():
        place = document.origin(("profiles", name))
        if "profile" in layer.values:
            at = layer.values.pop("profile").origin.partition(" (")[0]
            problems.append(Problem(at, "a profile cannot choose a profile", key="profile"))
        if name == NO_PROFILE:
            problems.append(Problem(place, f"no profile can be called {name!r}", key="profiles"))
    asked = [layer.values["profile"] for layer in others if "profile" in layer.values]
    if not asked or asked[-1].value in ("", NO_PROFILE):
        return Layer({}, {})
    wanted = asked[-1]
    if wanted.value not in profiles:
        near = nearest(wanted.value, profiles)
        known = f"there are {', '.join(profiles)}" if profiles else "there is none"
        hint = f"Did you mean {near}?" if near else f"In {document.file} {known}."
        problems.append(
            Problem(_asked_by(wanted.origin), f"no such profile: {wanted.value!r}", hint, "profile")
        )
    return profiles.get(wanted.value, Layer({}, {}))


def _asked_by(origin: str) -> str:
    """``--profile`` is handed on as the variable, so that either may be meant."""
    return f"flag --profile or {origin}" if origin == "env KOLO_PROFILE" else origin


def _from_flags(
    flags: Mapping[str, tuple[str, Any]], problems: list[Problem]
) -> Iterator[tuple[str, Value]]:
    for key, (flag, raw) in flags.items():
        place = f"flag {flag}"
        if key not in LEAVES:
            problems.append(unknown_key(key, place, key, LEAVES, ""))
            continue
        to_type = convert_text if isinstance(raw, str) else convert
        try:
            value = to_type(raw, LEAVES[key])
            if is_path(key):
                value = placed(value, Path.cwd())
        except ValueError as error:
            problems.append(Problem(place, f"{key}: {error}, found {raw!r}", key=key))
            continue
        yield key, Value(value, place)


def _store(given: StoreSettings, env: Mapping[str, str]) -> StoreSettings:
    """With the folders that are found out."""
    cache = given.hub_cache or str(find_hub_cache(env))
    return replace(
        given,
        dir=given.dir or str(find_paths(env).data / "models"),
        hub_cache="" if cache == "off" else cache,
    )
