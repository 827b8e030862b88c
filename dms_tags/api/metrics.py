"""What Prometheus reads: the counts of this service's processes, and gauges read from the database when asked."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from dms_tags import counters
from dms_tags.errors import StoreUnavailable

if TYPE_CHECKING:
    from dms_tags.audit.trail.trail import Trail


class _TrailGauges(Collector):
    """How far the audit trail is, read from the database: the same whichever process is asked."""

    def __init__(self, trail: Trail, tenants: Container[str] | None) -> None:
        self._trail = trail
        self._tenants = tenants

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up = GaugeMetricFamily("dms_tags_mongodb_up", "Whether MongoDB answers")
        try:
            standing = self._trail.standing()
        except StoreUnavailable:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        depth = GaugeMetricFamily("dms_tags_outbox_resources", "Resources with changes that are not in the trail yet")
        depth.add_metric([], standing.waiting)
        yield depth
        lag = GaugeMetricFamily("dms_tags_relay_lag_seconds", "Age of the oldest change that is not in the trail yet, in seconds")
        lag.add_metric([], standing.lag)
        yield lag
        head = GaugeMetricFamily("dms_tags_trail_head", "Highest position of the trail", labels=["tenant"])
        for tenant, position in standing.heads.items():
            if self._tenants is None or tenant in self._tenants:
                head.add_metric([tenant], position)
        yield head


def exposition(trail: Trail, tenants: Container[str] | None = None) -> bytes:
    """All metrics in Prometheus' text format; of those that name a tenant only the ones of `tenants`, None: of all."""
    gauges: CollectorRegistry = CollectorRegistry()
    gauges.register(_TrailGauges(trail, tenants))
    counts = counters.REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        counts = CollectorRegistry()
        MultiProcessCollector(counts)  # type: ignore[no-untyped-call]
    return generate_latest(counts) + generate_latest(gauges)
