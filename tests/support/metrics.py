"""Reading `/metrics` as Prometheus would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

Samples = Mapping[str, Mapping[tuple[tuple[str, str], ...], float]]


def samples(text: str) -> Samples:
    """The values of every metric, by its labels in order of their names."""
    told: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    families: Any = text_string_to_metric_families(text)
    for family in families:
        for sample in family.samples:
            told.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return told


def value(told: Samples, metric: str, **labels: str) -> float:
    """The value with these labels, 0 where there is none: what was never counted."""
    return told.get(metric, {}).get(tuple(sorted(labels.items())), 0.0)


def total(told: Samples, metric: str, **labels: str) -> float:
    """The sum over all that have these labels, whatever others they have."""
    return sum(value for found, value in told.get(metric, {}).items() if set(labels.items()) <= set(found))
