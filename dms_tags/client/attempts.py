"""Trying again: when a call is repeated, after how long, and when it is given up.

The conversation is a generator without I/O: it yields what is to be done next and is sent what came of it.  A driver,
blocking or asynchronous, is a loop of a few lines.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

from dms_tags.client.errors import DmsTagsError, Unreachable
from dms_tags.client.wire import Call, Reply

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retries:
    """When to try again.

    Between attempts lies a random time of up to `first` seconds, doubled with every attempt up to `most` (full jitter), or what
    the service asks for with `Retry-After` plus up to `first`, so that many clients do not come back in the same instant.
    No attempt begins later than `deadline` seconds after the first one; one attempt may take `timeout` seconds.
    """

    deadline: float = 30.0
    timeout: float = 20.0
    first: float = 0.1
    most: float = 5.0
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random

    def delay(self, attempt: int, asked: float | None) -> float:
        """Seconds to wait after attempt number `attempt`, counted from 0."""
        if asked is not None:
            return asked + self.first * self.chance()
        return min(self.most, self.first * 2.0 ** min(attempt, 30)) * self.chance()


@dataclass(frozen=True, slots=True)
class Attempt:
    """Wait `after` seconds, send the call, and send back its `Reply`, or the `Unreachable` that came instead."""

    after: float
    timeout: float


def conversation(call: Call[T], retries: Retries) -> Generator[Attempt, Reply | Unreachable, T]:
    """One call, repeated while it fails in a way that may pass, until the deadline.  Raises the last error."""
    end = retries.clock() + retries.deadline
    delay = 0.0
    attempts = 0
    while True:
        left = end - retries.clock() - delay
        came = yield Attempt(delay, min(retries.timeout, max(left, retries.first)))
        try:
            if isinstance(came, Unreachable):
                raise came
            return call.result(came)
        except DmsTagsError as error:
            delay = retries.delay(attempts, error.retry_after)
            if not error.transient or retries.clock() + delay > end:
                raise
        attempts += 1
