"""What Prometheus reads: counters of this service's processes, and gauges read from the database when asked.

With several processes the counters live in the files of `PROMETHEUS_MULTIPROC_DIR`, which whoever starts the processes
sets before they import this; every process then tells the sum of all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from dms_tags.errors import StoreUnavailable

if TYPE_CHECKING:
    from dms_tags.audit.trail import Trail

_registry: Final = CollectorRegistry()
_requests: Final = Counter(
    "dms_tags_requests", "Requests, by route and status", ["method", "route", "status"], registry=_registry
)
_seconds: Final = Histogram(
    "dms_tags_request_seconds",
    "Time to answer a request, in seconds",
    ["method"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=_registry,
)
_mongodb: Final = Counter(
    "dms_tags_mongodb_calls", "Calls to MongoDB, by command and outcome", ["command", "outcome"], registry=_registry
)

_bound: dict[tuple[Any, ...], Any] = {}


def observe(method: str, route: str, status: int, seconds: float) -> None:
    """Counts one answered request."""
    key = (method, route, status)
    counter = _bound.get(key)
    if counter is None:
        counter = _bound[key] = _requests.labels(method, route, str(status))
    counter.inc()
    histogram = _bound.get((method,))
    if histogram is None:
        histogram = _bound[method,] = _seconds.labels(method)
    histogram.observe(seconds)


class MongoCalls(CommandListener):
    """Counts calls to MongoDB, by command and outcome."""

    def started(self, event: CommandStartedEvent) -> None:
        """Nothing is counted before the outcome is known."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Counts a call that MongoDB answered."""
        _count(event.command_name, "ok")

    def failed(self, event: CommandFailedEvent) -> None:
        """Counts a call that MongoDB refused or never answered."""
        _count(event.command_name, "failed")


def _count(command: str, outcome: str) -> None:
    key = (command, outcome)
    counter = _bound.get(key)
    if counter is None:
        counter = _bound[key] = _mongodb.labels(command, outcome)
    counter.inc()


class _TrailGauges(Collector):
    """How far the audit trail is, read from the database: the same whichever process is asked."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail

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
            head.add_metric([tenant], position)
        yield head


def exposition(trail: Trail) -> bytes:
    """All metrics in Prometheus' text format."""
    registry: CollectorRegistry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(_Own())
    registry.register(_TrailGauges(trail))
    return generate_latest(registry)


class _Own(Collector):
    """The counters of this one process."""

    def collect(self) -> Iterator[Any]:
        yield from _registry.collect()
