"""Prometheus' text format, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from kolo.monitor.histogram import Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge", "histogram"]
Labels = Mapping[str, str]


class Distribution(NamedTuple):
    """A histogram of milliseconds, told in seconds. ``bounds_s`` rise."""

    of_ms: Histogram
    bounds_s: Sequence[float]


Sample = tuple[Labels, float | Distribution]


def block(name: str, kind: Kind, text: str, samples: Iterable[Sample]) -> str:
    """One metric with all its samples; empty if it has none."""
    lines = [line for sample in samples for line in _lines(name, *sample)]
    if not lines:
        return ""
    return "\n".join([f"# HELP {name} {_escaped(text)}", f"# TYPE {name} {kind}", *lines, ""])


def _lines(name: str, labels: Labels, value: float | Distribution) -> Iterable[str]:
    if not isinstance(value, Distribution):
        return [f"{name}{_braced(labels)} {_number(value)}"]
    of_ms, bounds_s = value
    counts = of_ms.at_most([bound * 1000 for bound in bounds_s])
    buckets = [
        f"{name}_bucket{_braced({**labels, 'le': le})} {count}"
        for le, count in zip([*map(_number, bounds_s), "+Inf"], [*counts, of_ms.n], strict=True)
    ]
    inner = _braced(labels)
    return [*buckets, f"{name}_sum{inner} {of_ms.sum / 1000}", f"{name}_count{inner} {of_ms.n}"]


def _braced(labels: Labels) -> str:
    inner = ",".join(f'{label}="{_quoted(of)}"' for label, of in labels.items())
    return f"{{{inner}}}" if inner else ""


def _number(value: float) -> str:
    """Whole numbers without a point, others as exactly as they are."""
    return str(int(value)) if value == int(value) else repr(float(value))


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', r"\"")
