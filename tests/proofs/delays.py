"""How long after a change its event is there, while other processes change all they can."""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from dms_tags.client import BatchChange, DmsTags
from tests.proofs.caller import Caller

OBJECTS: Final = 2000
WRITERS: Final = 16
PROCESSES: Final = 2


@dataclass(frozen=True, slots=True)
class Delays:
    """Changes a second, and the delays of all events at all listeners in seconds, sorted."""

    rate: float
    seconds: Sequence[float]

    def part(self, share: float) -> float:
        """The delay that so large a part of the events keeps to."""
        return self.seconds[min(int(len(self.seconds) * share), len(self.seconds) - 1)]


def measure(ports: Sequence[int], *, seconds: float) -> Delays:
    """Writers at all services for so long, one listener at each; asserts that each listener is told of every change, once.

    A delay is from an event's creationDate, of whole milliseconds, until its client has it, by the clock of one machine.
    """
    with DmsTags(f"http://127.0.0.1:{ports[0]}") as client:
        for first in range(0, OBJECTS, 1000):
            client.batch([BatchChange(f"o{number}", "ocr", 0) for number in range(first, first + 1000)])
        client.set("first", "ocr", 0)
    start = [threading.Event() for _ in ports]
    with (
        ThreadPoolExecutor(len(ports)) as listeners,
        ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as writers,
    ):
        heard = [listeners.submit(_listen, port, told) for port, told in zip(ports, start, strict=True)]
        for told in start:
            assert told.wait(30), "a listener was not told of the first change"
        running = [writers.submit(_write, ports, seconds, WRITERS // PROCESSES) for _ in range(PROCESSES)]
        made = sum(each.result() for each in running)
        with DmsTags(f"http://127.0.0.1:{ports[0]}") as client:
            client.set("last", "ocr", 0)
        delays = [delay for listener in heard for delay in listener.result()]
    assert len(delays) == len(ports) * made
    return Delays(made / seconds, sorted(delays))


def _listen(port: int, told: threading.Event) -> list[float]:
    """The delays of all events between the first change and the last."""
    delays: list[float] = []
    with DmsTags(f"http://127.0.0.1:{port}") as client:
        for number, event in enumerate(client.events(after=0, patience=30), 1):
            assert event.position == number
            if event.entry.object_id == "first":
                told.set()
            elif event.entry.object_id == "last":
                return delays
            elif told.is_set():
                delays.append(time.time() - event.entry.changed.timestamp())
    raise AssertionError("the stream ended")


def _write(ports: Sequence[int], seconds: float, writers: int) -> int:
    """Changes as many tags as it can for so long; how many changes that were."""
    end = time.monotonic() + seconds
    with ThreadPoolExecutor(writers) as pool:
        made = [pool.submit(_write_until, ports[number % len(ports)], end) for number in range(writers)]
        return sum(each.result() for each in made)


def _write_until(port: int, end: float) -> int:
    made = 0
    with closing(Caller(port)) as caller:
        while time.monotonic() < end:
            answer = caller.call("POST", f"/api/dms/objects/o{random.randrange(OBJECTS)}/tags/ocr/state/{made}?overwrite=true")
            assert answer.status == 200, answer.body
            made += 1
    return made
