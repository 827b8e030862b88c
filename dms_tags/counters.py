"""What this process counts for Prometheus; `dms_tags.api.metrics` tells it.

With several processes the counts live in the files of `PROMETHEUS_MULTIPROC_DIR`, which whoever starts the processes
sets before they import this; every process then tells the sum of all.
"""

from __future__ import annotations

import os
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values

_process = [os.getpid()]


def _note_fork() -> None:
    _process[0] = os.getpid()


if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    # The library asks the system for the process's id at each count, to notice a fork; Python tells of one by itself
    os.register_at_fork(after_in_child=_note_fork)
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: _process[0])  # type: ignore[no-untyped-call]

REGISTRY: Final = CollectorRegistry()

_requests: Final = Counter("dms_tags_requests", "Requests, by route and status", ["method", "route", "status"], registry=REGISTRY)
_seconds: Final = Histogram(
    "dms_tags_request_seconds",
    "Time to answer a request, in seconds",
    ["method"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
_mongodb: Final = Counter(
    "dms_tags_mongodb_calls", "Exchanges with MongoDB, by outcome: ok, duplicate or failed", ["outcome"], registry=REGISTRY
)

_clock: Final = Gauge(
    "dms_tags_clock_offset_seconds",
    "Seconds between a machine's clock and MongoDB's, at most, in either direction",
    registry=REGISTRY,
    multiprocess_mode="livemax",
)

# prometheus_client looks a label up under a lock each time; what it finds never changes
_bound: dict[Any, Any] = {}


def observe_request(method: str, route: str, status: int, seconds: float) -> None:
    """Counts one answered request."""
    key = (method, route, status)
    counter = _bound.get(key)
    if counter is None:
        counter = _bound[key] = _requests.labels(method, route, str(status))
        _bound[method] = _seconds.labels(method)
    counter.inc()
    _bound[method].observe(seconds)


def note_clock_offset(seconds: float) -> None:
    """Notes how far this machine's clock is from MongoDB's."""
    _clock.set(abs(seconds))


def count_mongodb_call(outcome: str) -> None:
    """Counts one exchange with MongoDB: `ok`, `duplicate` (a unique index refused it) or `failed`."""
    counter = _bound.get(("mongodb", outcome))
    if counter is None:
        counter = _bound["mongodb", outcome] = _mongodb.labels(outcome)
    counter.inc()
