"""Round trips that callers share."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from dms_tags.errors import StoreUnavailable
from dms_tags.serving.mongod import eventually
from dms_tags.store import trips
from dms_tags.store.trips import SharedTrips


class Died(BaseException):
    """The thread that makes a round trip is ended from outside."""


class Gate:
    """Round trips that each wait until they are let through, one permit each; what they carry comes back doubled."""

    def __init__(self) -> None:
        self.begun: list[list[int]] = []
        self._begins = threading.Condition()
        self._lets = threading.Semaphore(0)
        self.deadly: set[int] = set()

    def __call__(self, _lane: str, asked: list[int]) -> list[int]:
        with self._begins:
            self.begun.append(list(asked))
            self._begins.notify_all()
        assert self._lets.acquire(timeout=20)
        if self.deadly.intersection(asked):
            raise Died
        return [2 * number for number in asked]

    def let(self, count: int = 1) -> None:
        self._lets.release(count)

    def wait_for(self, count: int) -> None:
        with self._begins:
            assert self._begins.wait_for(lambda: len(self.begun) >= count, timeout=20)


class Callers:
    """Threads that ask, one after the other: each has joined a round before the next one asks."""

    def __init__(self, gate: Gate, pool: ThreadPoolExecutor, most: int = 100) -> None:
        self.trips: SharedTrips[str, int, int] = SharedTrips(gate, most, lambda: StoreUnavailable("cut short", uncertain=True))
        self._gate = gate
        self._pool = pool

    def ask(self, *numbers: int, weight: int = 1) -> list[Future[int]]:
        asked = []
        for number in numbers:
            known = self.trips.waiting("lane") + len(self._gate.begun)
            asked.append(self._pool.submit(self.trips.take, "lane", number, weight))
            assert eventually(lambda known=known: self.trips.waiting("lane") + len(self._gate.begun) > known, 20)  # type: ignore[misc]
        return asked


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def callers(gate: Gate) -> Iterator[Callers]:
    with ThreadPoolExecutor(16) as pool:
        yield Callers(gate, pool, most=3)
        gate.let(100)


def told(asked: list[Future[int]]) -> list[int]:
    return [each.result(20) for each in asked]


def test_a_full_round_is_joined_by_nobody(gate: Gate, callers: Callers) -> None:
    """Those who come then gather in one that goes after it, so that no round trip carries more than it may."""
    first = callers.ask(1)
    later = callers.ask(2, 3, 4, 5, 6)
    gate.let(3)

    assert [2, 4, 6, 8, 10, 12] == told(first + later)
    assert [[1], [2, 3, 4], [5, 6]] == gate.begun


def test_what_is_heavy_fills_a_round(gate: Gate, callers: Callers) -> None:
    """It is the weight that is bounded, not the number of callers."""
    first = callers.ask(1)
    later = [*callers.ask(2), *callers.ask(3, weight=5), *callers.ask(4)]
    gate.let(3)

    assert [2, 4, 6, 8] == told(first + later)
    assert [[1], [2, 3], [4]] == gate.begun


def test_nobody_waits_for_a_round_trip_that_does_not_come_back(
    gate: Gate, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who gathered behind it set out after a while; whoever comes then gathers behind them."""
    monkeypatch.setattr(trips, "PATIENCE", 0.05)
    stalled = callers.ask(1)
    behind = callers.ask(2)
    gate.wait_for(2)
    monkeypatch.setattr(trips, "PATIENCE", 20)
    late = callers.ask(3)
    gate.let()

    assert [2] == told(stalled)
    assert [[1], [2]] == gate.begun
    gate.let(2)
    assert [4, 6] == told(behind + late)


def test_a_round_trip_that_ends_in_the_middle_ends_for_its_own_callers_only(gate: Gate, callers: Callers) -> None:
    """Whoever went with it is told that nobody knows; the next round goes."""
    gate.deadly = {2}
    first = callers.ask(1)
    dead = callers.ask(2, 3, 4)
    after = callers.ask(5)
    gate.let(3)

    assert [2, 10] == told(first + after)
    with pytest.raises(Died):
        dead[0].result(20)
    for each in dead[1:]:
        with pytest.raises(StoreUnavailable, match="cut short"):
            each.result(20)
    gate.let()
    assert [12] == told(callers.ask(6))


def test_a_round_that_ends_before_it_sets_out_holds_up_nobody(gate: Gate, callers: Callers) -> None:
    """Its callers are told that nobody knows, nothing of it is sent, and those who come later go."""

    def die(*_: object) -> None:
        raise Died

    before = signal.signal(signal.SIGUSR1, die)
    main = threading.get_ident()

    def join_and_kill() -> list[Future[int]]:
        assert eventually(lambda: callers.trips.waiting("lane") == 1, 20)
        joined = callers.ask(3)
        signal.pthread_kill(main, signal.SIGUSR1)
        return joined

    first = callers.ask(1)
    try:
        with ThreadPoolExecutor(1) as killer:
            killed = killer.submit(join_and_kill)
            with pytest.raises(Died):
                callers.trips.take("lane", 2)
            with pytest.raises(StoreUnavailable, match="cut short"):
                told(killed.result(20))
    finally:
        signal.signal(signal.SIGUSR1, before)
    after = callers.ask(4)
    gate.let(2)

    assert [2, 8] == told(first + after)
    assert [[1], [4]] == gate.begun
