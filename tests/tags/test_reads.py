"""Reads that wait for MongoDB together."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from dms_tags.errors import StoreUnavailable
from dms_tags.tags.reads import SharedReads


class Trips:
    """Round trips that each wait to be let through; `begun` tells what they asked for."""

    def __init__(self) -> None:
        self.begun: list[tuple[str | None, list[str]]] = []
        self.begins = threading.Condition()
        self.lets = threading.Semaphore(0)
        self.fails = False

    def __call__(self, name: str | None, keys: list[str]) -> Mapping[str, dict[str, Any]]:
        with self.begins:
            self.begun.append((name, sorted(keys)))
            self.begins.notify_all()
        assert self.lets.acquire(timeout=20)
        if self.fails:
            raise StoreUnavailable("down")
        return {key: {"_id": key} for key in keys if key != "absent"}

    def wait_for(self, count: int) -> None:
        with self.begins:
            assert self.begins.wait_for(lambda: len(self.begun) >= count, timeout=20)


class Readers:
    """Threads that read, and a way to know that all of them have asked."""

    def __init__(self, reads: SharedReads, pool: ThreadPoolExecutor) -> None:
        self._reads = reads
        self._pool = pool

    def start(self, key: str, name: str | None = "ocr") -> Future[dict[str, Any] | None]:
        return self._pool.submit(self._reads.read, key, name)

    def gathered(self, name: str | None, count: int) -> None:
        until = threading.Event()
        for _ in range(2_000):
            waiting = self._reads.gathering(name)
            if waiting == count:
                return
            until.wait(0.01)
        raise AssertionError(f"{waiting} readers wait, not {count}")


@pytest.fixture
def trips() -> Trips:
    return Trips()


def test_a_reader_alone_waits_for_nobody(trips: Trips) -> None:
    """One read is one round trip, for its own document."""
    trips.lets.release()

    assert SharedReads(trips).read("a", "ocr") == {"_id": "a"}
    assert [("ocr", ["a"])] == trips.begun


def test_those_that_come_meanwhile_go_together(trips: Trips) -> None:
    """Readers that come while a read is under way share the next one, and none joins one that set out before it."""
    reads = SharedReads(trips)
    with ThreadPoolExecutor(8) as pool:
        readers = Readers(reads, pool)
        first = readers.start("a")
        trips.wait_for(1)
        later = [readers.start(key) for key in ("a", "b", "c", "absent")]
        readers.gathered("ocr", 4)
        trips.lets.release(2)

        assert {"_id": "a"} == first.result(20)
        assert [{"_id": "a"}, {"_id": "b"}, {"_id": "c"}, None] == [one.result(20) for one in later]
    assert [("ocr", ["a"]), ("ocr", ["a", "absent", "b", "c"])] == trips.begun


def test_other_names_do_not_wait(trips: Trips) -> None:
    """Readers of another tag, or of all, are on their way at the same time."""
    reads = SharedReads(trips)
    with ThreadPoolExecutor(8) as pool:
        readers = Readers(reads, pool)
        asked = [readers.start("a", name) for name in ("ocr", "approved", None)]
        trips.wait_for(3)
        trips.lets.release(3)

        assert [{"_id": "a"}] * 3 == [one.result(20) for one in asked]


def test_a_failure_is_everyones_and_ends(trips: Trips) -> None:
    """Where MongoDB does not answer, each of those who waited is told, and the next read asks again."""
    reads = SharedReads(trips)
    with ThreadPoolExecutor(8) as pool:
        readers = Readers(reads, pool)
        trips.fails = True
        first = readers.start("a")
        trips.wait_for(1)
        later = [readers.start(key) for key in ("b", "c")]
        readers.gathered("ocr", 2)
        trips.lets.release(2)
        for one in (first, *later):
            with pytest.raises(StoreUnavailable, match="down"):
                one.result(20)
        trips.fails = False
        trips.lets.release()

        assert reads.read("a", "ocr") == {"_id": "a"}


def test_many_readers_at_once() -> None:
    """Whoever reads gets the document asked for, at any interleaving."""
    reads = SharedReads(lambda _name, keys: {key: {"_id": key} for key in keys})
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda number: reads.read(str(number % 50), "ocr"), range(4_000)))

    assert [{"_id": str(number % 50)} for number in range(4_000)] == found
