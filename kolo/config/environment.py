"""The one rule for variables: KOLO_, then the key in capitals with ``_`` for all that is no letter
and no digit.

``engine.sampling.top_k`` is KOLO_ENGINE_SAMPLING_TOP_K, and ``ctx`` of ``[models."qwen2.5"]`` is
KOLO_MODELS_QWEN2_5_CTX. Variables change the keys of models that the file names; they name none.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kolo.config.keys import LEAVES, MODEL_LEAVES, Table, is_path, is_secret
from kolo.config.problems import Problem, nearest
from kolo.config.tables import Layer, Value, placed
from kolo.values import convert_text

_OF_MODELS = "KOLO_MODELS_"
_KUBERNETES = re.compile(
    r"KOLO_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP).*)?)"
)
"""What Kubernetes sets in every container for a Service whose name begins with "kolo"
(kubernetes.io, "Service", "Environment variables")."""
_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


def variable_of(key: str) -> str:
    """The variable of a dotted key; for one of a model, ``models.NAME.KEY``."""
    return "KOLO_" + re.sub(r"[^A-Z0-9]", "_", key.upper())


VARIABLES: Mapping[str, str] = Table(lambda: {variable_of(key): key for key in LEAVES})
OTHERS = frozenset(("KOLO_HOME", "KOLO_CONFIG", "KOLO_URL", "KOLO_API_KEY"))
"""Those that people set most and that are no settings: known without a look at the table."""


def from_environment(
    env: Mapping[str, str], models: Collection[str], problems: list[Problem]
) -> Layer:
    """Values of KOLO_ variables; an empty one counts as not set. ``models`` are those named.

    A variable that is no key is a problem if it starts like a section or is nearly a key. Others
    (KOLO_HOME, KOLO_DEBUG) are somebody else's business.
    """
    layer = Layer({}, {})
    model_variables = _model_variables(models) if any(n.startswith(_OF_MODELS) for n in env) else {}
    for name, text in env.items():
        if (
            not name.startswith("KOLO_")
            or not text
            or name in OTHERS
            or _from_kubernetes(name, text)
        ):
            continue
        if key := VARIABLES.get(name):
            layer.values.update(_read(name, text, key, key, LEAVES[key], problems))
        elif len(found := model_variables.get(name, [])) == 1:
            ((model, own),) = found
            shown = f"models.{model}.{own}"
            read = _read(name, text, own, shown, MODEL_LEAVES[own], problems)
            layer.models.setdefault(model, {}).update(read)
        elif found:
            both = " and ".join(f"models.{model}.{own}" for model, own in found)
            hint = "Rename one of them, or write it into the file."
            problems.append(Problem(f"env {name}", f"stands for {both}", hint, name))
        else:
            problems.extend(_unknown(name, [*VARIABLES, *model_variables]))
    return layer


def _read(
    name: str, text: str, key: str, shown: str, kind: Any, problems: list[Problem]
) -> Iterator[tuple[str, Value]]:
    place = f"env {name}"
    try:
        value = convert_text(text, kind)
        if is_path(key):
            value = placed(value, Path.cwd())
    except ValueError as error:
        found = "" if is_secret(key) else f", found {text!r}"
        problems.append(Problem(place, f"{shown}: {error}{found}", key=shown))
        return
    yield key, Value(value, place)


def _model_variables(models: Collection[str]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for model in models:
        for key in MODEL_LEAVES:
            found.setdefault(variable_of(f"models.{model}.{key}"), []).append((model, key))
    return found


def _unknown(name: str, known: Iterable[str]) -> Iterator[Problem]:
    near = nearest(name, known, cutoff=0.85)
    sections = tuple({f"{variable_of(key.split('.')[0])}_" for key in LEAVES if "." in key})
    if near or name.startswith(sections) or name.startswith(_OF_MODELS):
        hint = f"Did you mean {near}?" if near else "Unset it."
        if not near and name.startswith(_OF_MODELS):
            hint = "A variable changes the key of a model that the file names; kolo help env."
        yield Problem(f"env {name}", "no such setting", hint, name)


def _from_kubernetes(name: str, text: str) -> bool:
    if not _KUBERNETES.fullmatch(name):
        return False
    return name not in VARIABLES or bool(_ADDRESS.match(text))
