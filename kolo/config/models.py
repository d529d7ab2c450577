"""Models by name: the ``[models.NAME]`` tables, laid over ``[engine]``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kolo.config.keys import LOAD_LEAVES, build
from kolo.config.problems import Problem
from kolo.config.schema import BUILTIN_MODEL, ModelSettings
from kolo.config.tables import Value
from kolo.types import LoadParams


def build_models(
    tables: Mapping[str, Mapping[str, Value]],
    engine: Mapping[str, Any],
    places: Mapping[str, str],
    problems: list[Problem],
) -> dict[str, ModelSettings]:
    """The models of ``tables``, which stand at ``places``; ``engine`` is what holds where they say
    nothing."""
    models: dict[str, ModelSettings] = {}
    taken = {BUILTIN_MODEL: "the builtin model"}
    for name, values in tables.items():
        place = places[name]
        if "path" not in values:
            if not any(_explains(problem, name) for problem in problems):
                hint = 'Give the file of the model: path = "/where/it/is.gguf"'
                what = f"models.{name} has no path"
                problems.append(Problem(place, what, hint, f"models.{name}.path"))
            continue
        plain = {key: value.value for key, value in values.items()}
        models[name] = ModelSettings(
            path=Path(plain["path"]),
            aliases=tuple(plain.get("aliases", ())),
            pin=plain.get("pin", False),
            ttl_s=plain.get("ttl"),
            description=plain.get("description", ""),
            params=build(
                LoadParams, {**engine, **{k: v for k, v in plain.items() if k in LOAD_LEAVES}}
            ),
        )
        for own in (name, *models[name].aliases):
            if trouble := _name_trouble(own, taken):
                problems.append(Problem(place, trouble, key=f"models.{name}"))
            else:
                taken[own] = f"models.{name}"
    return models


def _explains(problem: Problem, name: str) -> bool:
    """Whether a problem that is known already may be why a model has no path."""
    key = problem.key or ""
    return key.startswith(f"models.{name}.") and (key.endswith(".path") or bool(problem.hint))


def _name_trouble(name: str, taken: Mapping[str, str]) -> str:
    if not name or len(name) > 256 or not name.isprintable() or name != name.strip():
        return f"{name!r} cannot be a model's name or alias"
    if name in taken:
        return f"the name {name!r} is already that of {taken[name]}"
    return ""
