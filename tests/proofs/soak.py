"""A service under a load of all sorts for long: its memory, its open files and the relay's lag stay what they are."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from dms_tags.model import new_trace_id
from tests.proofs.load import NAMES, OBJECTS, under_load
from tests.support.metrics import samples, value
from tests.support.service import Service

STATEMENT: Final = "SELECT * FROM document WHERE system:tags[ocr].state > 0 ORDER BY system:tags[ocr].creationDate"
CLAIM: Final = {"query": "SELECT * FROM document WHERE system:tags[queue] IS NOT NULL", "leaseSeconds": "60"}
WARM_UP: Final = 1 / 3
"""The share of the time that is not looked at: caches fill, pools open."""

LAG: Final = "dms_tags_relay_lag_seconds"


@dataclass(frozen=True, slots=True)
class Slope:
    """How something changed with time: so much an hour, with its standard error."""

    hourly: float
    error: float

    @classmethod
    def of(cls, seconds: Sequence[float], values: Sequence[float]) -> Slope:
        """By least squares."""
        hours = [each / 3600 for each in seconds]
        line = statistics.linear_regression(hours, values)
        left = [each - line.slope * hour - line.intercept for hour, each in zip(hours, values, strict=True)]
        spread = sum((hour - statistics.fmean(hours)) ** 2 for hour in hours)
        return cls(line.slope, (sum(each**2 for each in left) / (len(hours) - 2) / spread) ** 0.5)

    def __str__(self) -> str:
        return f"{self.hourly:+.2f} ± {self.error:.2f} an hour"


@dataclass(slots=True)
class Soaked:
    """What was seen, by what it is of: when, in seconds from the start, and how much."""

    seconds: list[float] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)
    changes: int = 0

    def slopes(self) -> Mapping[str, Slope]:
        """How each changed after the warm-up."""
        begin = next(at for at, second in enumerate(self.seconds) if second >= self.seconds[-1] * WARM_UP)
        return {name: Slope.of(self.seconds[begin:], values[begin:]) for name, values in self.values.items()}


def soak(service: Service, port: int, *, seconds: float, every: float, callers: int = 6) -> Soaked:
    """Loads the service for so long, and looks at it every so many seconds."""
    seen = Soaked()
    over = threading.Event()
    failures: list[str] = []
    processes = {
        f"{kind} {number}": pid
        for kind, module in (("worker", "web"), ("keeper", "keeper"))
        for number, pid in enumerate(sorted(service.children(module)), 1)
    }
    with under_load([port], callers) as load, httpx.Client(base_url=service.url, timeout=60, trust_env=False) as client:
        load.resume()
        visitor = threading.Thread(target=_visit, args=(service.url, over, failures))
        visitor.start()
        began = time.monotonic()
        try:
            while (passed := time.monotonic() - began) < seconds and not failures:
                seen.seconds.append(passed)
                for name, pid in processes.items():
                    seen.values.setdefault(f"memory of {name}, MB", []).append(service.memory(pid) / 1024)
                    seen.values.setdefault(f"open files of {name}", []).append(len(list(Path(f"/proc/{pid}/fd").iterdir())))
                seen.values.setdefault("lag, s", []).append(value(samples(client.get("/metrics").text), LAG))
                over.wait(every)
        finally:
            over.set()
            visitor.join()
    assert not failures, failures
    load.assert_sound()
    seen.changes = len(load.ledger.made)
    return seen


def _visit(url: str, over: threading.Event, failures: list[str]) -> None:
    """Calls whatever else there is, one call after the other: reads, searches, claims, exports, streams, and what is refused."""
    number = 0
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        while not over.is_set():
            for call in _CALLS:
                number += 1
                try:
                    answer = call(client, number)
                except httpx.HTTPError as error:
                    failures.append(repr(error))
                    return
                if answer.status_code >= 500:
                    failures.append(f"{answer.request.url}: {answer.text[:300]}")
                    return


def _any_object() -> str:
    return f"/api/dms/objects/o{random.randrange(OBJECTS)}"


def _search(client: httpx.Client, _number: int) -> httpx.Response:
    return client.post("/api/dms/objects/search", json={"query": {"statement": STATEMENT, "maxItems": 20}})


def _claim(client: httpx.Client, number: int) -> httpx.Response:
    client.post(f"/api/dms/objects/queue{number % 50}/tags/queue/state/1")
    trace = {"X-B3-TraceId": new_trace_id()}
    won = client.post("/api/dms/objects/tags/queue/state/2", params=CLAIM, headers=trace)
    for each in won.json()["objects"]:
        name = each["properties"]["system:objectId"]["value"]
        client.delete(f"/api/dms/objects/{name}/tags/queue/lease", headers=trace)
    return won


def _stream(client: httpx.Client, _number: int) -> httpx.Response:
    with client.stream("GET", "/api/dms/tags/events", params={"name": random.choice(NAMES)}) as stream:
        next(stream.iter_bytes())
        return stream


_CALLS: Final[Sequence[Callable[[httpx.Client, int], httpx.Response]]] = (
    lambda client, _: client.get(f"{_any_object()}/tags"),
    lambda client, _: client.get(f"{_any_object()}/history"),
    lambda client, _: client.get("/api/dms/audit", params={"name": random.choice(NAMES), "limit": "20"}),
    _search,
    _claim,
    _stream,
    lambda client, number: client.post(f"/api/dms/objects/new{number}/tags/ocr/state/1"),
    lambda client, _: client.get(f"{_any_object()}/tags/nosuch"),
    lambda client, number: client.get(f"/api/dms/nosuch{number}"),
    lambda client, number: client.post(f"/api/dms/objects/x/tags/ocr/state/no{number}"),
    lambda client, _: client.get("/api/dms/audit/export", params={"format": "ndjson", "objectId": "o1"}),
)
