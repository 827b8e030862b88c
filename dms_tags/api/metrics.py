"""What Prometheus reads: the counts of this service's processes, what was measured of the database, and what it takes."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from dms_tags import counters
from dms_tags.measures import families, processes

if TYPE_CHECKING:
    from dms_tags.measures.reading import Measuring


class _Families(Collector):
    """Families that are there already."""

    def __init__(self, made: Iterable[Metric]) -> None:
        self._made = list(made)

    def collect(self) -> Iterator[Metric]:
        yield from self._made


def exposition(measuring: Measuring, tenants: Container[str] | None = None) -> bytes:
    """All metrics in Prometheus' text format; of those that name a tenant only the ones of `tenants`, None: of all."""
    measures = measuring.current()
    told: CollectorRegistry = CollectorRegistry()
    for made in (
        families.build(),
        families.of_database(measures),
        families.of_tenants(measures, tenants),
        families.of_processes(processes.groups()),
    ):
        told.register(_Families(made))
    counts = counters.REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        counters.forget_dead()
        counts = CollectorRegistry()
        MultiProcessCollector(counts)  # type: ignore[no-untyped-call]
    return generate_latest(counts) + generate_latest(told)
