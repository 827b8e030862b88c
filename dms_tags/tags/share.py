"""A bounded share of a process, and so of MongoDB's time, for what may take long: one heavy caller does not slow everybody.

Whoever finds the share full waits for a moment, and is then sent away, to come again.  To wait costs next to nothing, while
one who is sent away at once, and heeds no `Retry-After`, is there again at once: to read and refuse what it sends would cost
everybody more than what it asks for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from dms_tags.errors import InvalidQuery, StoreUnavailable

WAIT_SECONDS: Final = 1.0
"""For so long a caller waits for a place: a usual search is over in milliseconds."""

WAITING: Final = 64
"""So many wait in a process at once, each with the body of its request; whoever comes then is sent away at once."""

RETRY_AFTER: Final = 2


@dataclass(slots=True)
class Place:
    """One place of a share; `alone` says that no other place was taken in all the time that it was."""

    alone: bool


def timed_out(place: Place, seconds: float, advice: str) -> InvalidQuery | StoreUnavailable:
    """Why a statement that ran out of time is refused: it is its own fault only where it had no company."""
    if place.alone:
        return InvalidQuery(f"the statement ran for longer than {seconds:g} s: {advice}")
    return StoreUnavailable(
        f"the statement ran for longer than {seconds:g} s beside others; send the request again, or {advice}",
        retry_after=RETRY_AFTER,
    )


class Share:
    """So many places; `what` is said of them to whoever finds none."""

    def __init__(self, places: int, what: str, wait: float = WAIT_SECONDS, waiting: int = WAITING) -> None:
        self._free = threading.BoundedSemaphore(places)
        self._within = threading.BoundedSemaphore(places + waiting)
        self._what = what
        self._wait = wait
        self._lock = threading.Lock()
        self._taken: list[Place] = []

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A place for as long as the context lasts.  Raises `StoreUnavailable` where none gets free in time."""
        if not self._within.acquire(blocking=False):
            raise self._full()
        try:
            if not self._free.acquire(timeout=self._wait):
                raise self._full()
            own = self._take()
            try:
                yield own
            finally:
                with self._lock:
                    # By identity: two places that say the same are not the same place
                    self._taken = [other for other in self._taken if other is not own]
                self._free.release()
        finally:
            self._within.release()

    def _take(self) -> Place:
        own = Place(alone=True)
        with self._lock:
            for other in self._taken:
                other.alone = own.alone = False
            self._taken.append(own)
        return own

    def _full(self) -> StoreUnavailable:
        return StoreUnavailable(f"too many {self._what} at once; send the request again", retry_after=RETRY_AFTER)
