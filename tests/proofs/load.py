"""Callers that change tags at random, each change under a trace id of its own, while whatever serves them is crashed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Final

from dms_tags.model import new_trace_id
from tests.proofs.caller import Answer, Caller, Unanswered, Unreachable
from tests.proofs.ledger import Ledger

OBJECTS: Final = 40
NAMES: Final = ("ocr", "index", "mail")
REFUSALS: Final = frozenset({404, 409, 412})
LONGEST_SECONDS: Final = 15.0
"""What the contract promises of any call (API.md section 1, row 503)."""


@dataclass(slots=True)
class Load:
    """What the callers have seen: their ledger, the longest call, and whatever should not have happened."""

    ledger: Ledger = field(default_factory=Ledger)
    longest: float = 0.0
    unavailable: int = 0
    faults: list[str] = field(default_factory=list)
    _going: threading.Event = field(default_factory=threading.Event)
    _over: threading.Event = field(default_factory=threading.Event)
    _idle: list[threading.Event] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, ports: Sequence[int], callers: int) -> None:
        """Starts the callers, paused."""
        for _ in range(callers):
            idle = threading.Event()
            self._idle.append(idle)
            self._threads.append(threading.Thread(target=self._call_until_over, args=(ports, idle)))
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Lets every caller finish its call, and ends it."""
        self._over.set()
        self._going.set()
        for thread in self._threads:
            thread.join()

    def pause(self) -> None:
        """Lets every caller finish its call, and holds it there."""
        self._going.clear()
        for idle in self._idle:
            assert idle.wait(60), "a caller did not come back"

    def resume(self) -> None:
        """Lets the callers go on."""
        for idle in self._idle:
            idle.clear()
        self._going.set()

    def wait_for_changes(self, count: int, seconds: float = 60.0) -> None:
        """Waits until `count` more changes were acknowledged."""
        goal = len(self.ledger.made) + count
        deadline = time.monotonic() + seconds
        while len(self.ledger.made) < goal:
            assert time.monotonic() < deadline, f"no {count} changes were acknowledged within {seconds:.0f} s: {self.faults}"
            time.sleep(0.02)

    def assert_sound(self) -> None:
        """Nothing was answered that should not be, and no call took longer than promised."""
        assert self.faults == []
        assert self.longest <= LONGEST_SECONDS

    def _call_until_over(self, ports: Sequence[int], idle: threading.Event) -> None:
        with closing(_Balanced(ports)) as services:
            while not self._over.is_set():
                if not self._going.is_set():
                    idle.set()
                    self._going.wait(0.1)
                    continue
                self._change(services)

    def _change(self, services: _Balanced) -> None:
        trace_id = new_trace_id()
        method, path = _any_change()
        try:
            answer = services.call(method, path, trace_id)
        except Unreachable:
            self.ledger.enter(self.ledger.refused, trace_id)
            time.sleep(0.02)
        except Unanswered:
            self.ledger.enter(self.ledger.unsure, trace_id)
            time.sleep(0.02)
        except AssertionError as error:
            self.ledger.enter(self.ledger.unsure, trace_id)
            self.faults.append(str(error))
        else:
            self._judge(answer, trace_id, f"{method} {path}")

    def _judge(self, answer: Answer, trace_id: str, call: str) -> None:
        ledger = self.ledger
        self.longest = max(self.longest, answer.seconds)
        if answer.status == 200:
            ledger.enter(ledger.made, trace_id)
        elif answer.status in REFUSALS:
            ledger.enter(ledger.refused, trace_id)
        else:
            ledger.enter(ledger.unsure, trace_id)
            self.unavailable += 1
            if answer.status != 503 or not answer.headers.get("retry-after", "").isdecimal():
                self.faults.append(f"{call}: {answer.status} {answer.body[:300]!r}")
            time.sleep(0.05)


class _Balanced:
    """One caller's connections, of which any may take the next call, as with a load balancer in front of the services."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._callers = [Caller(port) for port in ports]

    def call(self, method: str, path: str, trace_id: str) -> Answer:
        return random.choice(self._callers).call(method, path, {"X-B3-TraceId": trace_id})

    def close(self) -> None:
        for caller in self._callers:
            caller.close()


def _any_change() -> tuple[str, str]:
    path = f"/api/dms/objects/o{random.randrange(OBJECTS)}/tags/{random.choice(NAMES)}"
    state = f"{path}/state/{random.randrange(1000)}"
    return random.choice([("DELETE", path), ("POST", state), *[("POST", f"{state}?overwrite=true")] * 4])


@contextmanager
def under_load(ports: Sequence[int], callers: int = 16) -> Iterator[Load]:
    """Callers that run until the context ends; paused at first."""
    load = Load()
    load.start(ports, callers)
    try:
        yield load
    finally:
        load.end()
