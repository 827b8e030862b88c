"""Rows `relays`: how many entries a relay makes where all services of a database leave it behind, and how one tenant's flood reaches others."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Iterable
from typing import Self

from bench_lib import server
from bench_lib.main_rows import relay_lags
from bench_lib.run import Document, Run
from dms_tags.audit.trail.relay import Relay
from dms_tags.model import Actor, Change, Kind, Resource, Verb
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.writes import creation

DATABASE = "bench_relays"
PENDING = 100_000
TENANTS = (1, 100, 10_000)
OTHERS, EVERY_SECONDS = 100, 0.01
BATCHES = 50
ACTOR = Actor("bench", "cli")


def measure(run: Run) -> None:
    """Each round leaves as much pending in one tenant, in a hundred, in ten thousand; then one is flooded beside a hundred others."""
    pending = run.size(PENDING)
    for _ in range(run.rounds):
        for tenants in TENANTS:
            with _Backlog(run) as backlog:
                backlog.add(f"t{number % tenants}" for number in range(pending))
                began, cpu, of_mongod = time.monotonic(), time.process_time(), server.cpu_seconds(run.mongod)
                backlog.drain()
                what = f"{pending:,} pending in {tenants:,} tenants"
                run.report.note(f"relay, entries/s: {what}", pending / (time.monotonic() - began))
                run.report.note(f"  its CPU for each, ms: {what}", (time.process_time() - cpu) / pending * 1000)
                run.report.note(
                    f"  mongod's CPU for each, ms: {what}", (server.cpu_seconds(run.mongod) - of_mongod) / pending * 1000
                )
        for tenants in (1, OTHERS):
            with _Backlog(run) as backlog:
                run.report.note(
                    f"relay, ms for {OTHERS} changes as they come, in {tenants} tenants", backlog.batch_seconds(tenants) * 1000
                )
        with _Backlog(run) as backlog:
            backlog.add("flooded" for _ in range(pending))
            lags = backlog.lags_of_others()
            for part in (50, 99):
                run.report.note(
                    f"lag of {OTHERS} tenants beside one with {pending:,} pending, p{part} s", lags[len(lags) * part // 100]
                )
    run.client.drop_database(DATABASE)


class _Backlog:
    """Documents with changes that no relay has moved, and the one relay that does."""

    def __init__(self, run: Run) -> None:
        run.prepared(DATABASE)
        self._database = Database.connect(Settings(mongo_uri=run.uri, database=DATABASE))
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add(self, tenants: Iterable[str]) -> None:
        """A new object with its first tag in each of the tenants, in which one may come many times."""
        made = (self._document(tenant) for tenant in tenants)
        while documents := list(itertools.islice(made, 5_000)):
            self._database.tags.insert_many(documents)

    def drain(self) -> None:
        """Moves all that is pending."""
        relay = Relay(self._database)
        while relay.run_once():
            pass
        relay.release()

    def batch_seconds(self, tenants: int) -> float:
        """How long a batch of `OTHERS` changes takes once the relay knows the tenants: the median of many."""
        relay, seconds = Relay(self._database), []
        for _ in range(BATCHES):
            self.add(f"t{number % tenants}" for number in range(OTHERS))
            began = time.monotonic()
            relay.run_once()
            seconds.append(time.monotonic() - began)
        relay.release()
        return statistics.median(seconds)

    def lags_of_others(self) -> list[float]:
        """Drains it, while other tenants have a change now and then: how long those took to be in the trail, in seconds, shortest first."""
        draining = threading.Thread(target=self.drain)
        draining.start()
        for number in itertools.cycle(range(OTHERS)):
            if not draining.is_alive():
                break
            self.add([f"other{number}"])
            time.sleep(EVERY_SECONDS)
        draining.join()
        self.drain()
        return relay_lags(self._database.trail, {"tenant": {"$ne": "flooded"}})

    def _document(self, tenant: str) -> Document:
        resource = Resource(tenant, Kind.OBJECT, f"o{next(self._numbers)}")
        return creation(Change(resource, "ocr", Verb.ADD, ACTOR, state=1), self._database.clock.recorded()).document
