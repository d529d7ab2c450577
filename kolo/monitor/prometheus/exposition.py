"""What ``/metrics`` answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from kolo.monitor.prometheus.families import FAMILIES, Family, View
from kolo.monitor.prometheus.text import Labels, Sample, block

Names = Literal["kolo", "vllm", "llamacpp"]
"""Whose names the metrics have. Each answer speaks one, so that nothing is counted twice."""


def exposition(view: View, names: Names = "kolo") -> str:
    """Every metric there is under ``names``; those of others are the ones that mean the same."""
    return "".join(_blocks(family, view, names) for family in FAMILIES)


def _blocks(family: Family, view: View, names: Names) -> str:
    if names == "kolo":
        return block(family.name, family.kind, family.text, family.samples(view))
    aliases = family.vllm if names == "vllm" else family.llamacpp
    samples = list(_renamed(family.samples(view), names)) if aliases else []
    return "".join(block(alias, family.kind, family.text, samples) for alias in aliases)


def _renamed(samples: Iterable[Sample], names: Names) -> Iterable[Sample]:
    """The engine under the label it has there: vLLM's ``model_name``, the router's ``model``."""
    label = "model_name" if names == "vllm" else "model"
    for labels, value in samples:
        renamed: Labels = {label: labels["engine"]}
        yield renamed, value
