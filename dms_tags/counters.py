"""What this process counts for Prometheus; `dms_tags.api.metrics` tells it.

With several processes the counts live in the files of `PROMETHEUS_MULTIPROC_DIR`, which whoever starts the processes
sets before they import this; every process then tells the sum of all.  Every label has few values, whatever callers send.
"""

from __future__ import annotations

import os
from pathlib import Path
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

METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
"""Methods that are told apart; any other word that a client may send is counted as `other`."""

NO_ROUTE: Final = "none"
"""The route of requests that belong to none, or are refused before one is looked for."""

_requests: Final = Counter("dms_tags_requests", "Requests, by route and status", ["method", "route", "status"], registry=REGISTRY)
_seconds: Final = Histogram(
    "dms_tags_request_seconds",
    "Time to answer a request, in seconds, by route and class of status",
    ["method", "route", "class"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
_mongodb: Final = Counter(
    "dms_tags_mongodb_calls", "Exchanges with MongoDB, by outcome: ok, duplicate or failed", ["outcome"], registry=REGISTRY
)
_mongodb_seconds: Final = Histogram(
    "dms_tags_mongodb_seconds",
    "Time of an exchange with MongoDB, in seconds; a change is one write that waits for a majority",
    ["process", "kind"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
_starts: Final = Counter("dms_tags_process_starts", "Starts of processes, by what they are", ["process"], registry=REGISTRY)
_claims: Final = Counter(
    "dms_tags_claims", "Objects won by claims and lost to others, and claims that got none", ["outcome"], registry=REGISTRY
)
_leases: Final = Counter("dms_tags_leases", "Leases granted, extended, given back, and run out", ["event"], registry=REGISTRY)
_deliveries: Final = Counter(
    "dms_tags_deliveries",
    "Attempts to deliver events to subscriptions, by outcome: taken or failed",
    ["outcome"],
    registry=REGISTRY,
)
_streams: Final = Gauge("dms_tags_event_streams", "Open event streams", registry=REGISTRY, multiprocess_mode="livesum")
_clock: Final = Gauge(
    "dms_tags_clock_offset_seconds",
    "Seconds between a machine's clock and MongoDB's, at most, in either direction",
    registry=REGISTRY,
    multiprocess_mode="livemax",
)

# prometheus_client looks a label up under a lock each time; what it finds never changes
_bound: dict[Any, Any] = {}
_role = ["service"]


def forget_dead() -> None:
    """Drops what processes that have ended said of the present: their open streams, their clock; their counts stay."""
    for file in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("gauge_live*.db"):
        pid = file.stem.rpartition("_")[2]
        if not Path("/proc", pid).exists() and Path("/proc").exists():
            file.unlink(missing_ok=True)


def note_start(process: str) -> None:
    """Counts the start of this process, as what it is called in metrics: `worker`, `keeper`, `courier`."""
    _role[0] = process
    _starts.labels(process).inc()


def observe_request(method: str, route: str, status: int, seconds: float) -> None:
    """Counts one answered request of a declared route."""
    key = (method, route, status)
    bound = _bound.get(key)
    if bound is None:
        bound = _bound[key] = (
            _requests.labels(method, route, str(status)),
            _seconds.labels(method, route, f"{status // 100}xx"),
        )
    bound[0].inc()
    bound[1].observe(seconds)


def count_unrouted(method: str, status: int) -> None:
    """Counts one request that belongs to no route."""
    _requests.labels(method if method in METHODS else "other", NO_ROUTE, str(status)).inc()


def note_clock_offset(seconds: float) -> None:
    """Notes how far this machine's clock is from MongoDB's."""
    _clock.set(abs(seconds))


def observe_mongodb(kind: str, outcome: str, seconds: float) -> None:
    """Counts one exchange with MongoDB: `ok`, `duplicate` (a unique index refused it) or `failed`.

    `kind` is `change` for the one write of a change, `other` for all else.
    """
    key = ("mongodb", kind, outcome)
    bound = _bound.get(key)
    if bound is None:
        bound = _bound[key] = (_mongodb.labels(outcome), _mongodb_seconds.labels(_role[0], kind))
    bound[0].inc()
    bound[1].observe(seconds)


def count_claim(outcome: str) -> None:
    """Counts an object that a claim `won` or `lost` to another, or a claim that got `none`."""
    _claims.labels(outcome).inc()


def count_lease(event: str) -> None:
    """Counts a lease that was `granted`, `extended`, `returned` by its holder, or has `run_out`."""
    _leases.labels(event).inc()


def count_delivery(outcome: str) -> None:
    """Counts an attempt to deliver an event that was `taken`, or has `failed`."""
    _deliveries.labels(outcome).inc()


def count_stream(change: int) -> None:
    """Notes that an event stream was opened (1) or has ended (-1)."""
    _streams.inc(change)
