"""Round trips to MongoDB that callers share.

While one is on its way, those who come meanwhile gather, and go as one when it is back: under load a round trip serves
many callers, and a caller that is alone waits for nobody.  Nobody joins one that has set out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from threading import Event, Lock
from typing import Final, Generic, TypeVar

from dms_tags.errors import StoreUnavailable

PATIENCE: Final = 0.5
"""Seconds after which those who gathered set out beside a round trip that does not come back."""

Lane = TypeVar("Lane", bound=Hashable)
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class _Round(Generic[Asked, Answer]):
    """The callers of one round trip, the first of whom makes it; others can join only one that `waits`."""

    __slots__ = ("answers", "asked", "done", "error", "turn", "weight")

    def __init__(self, *, waits: bool) -> None:
        self.asked: list[Asked] = []
        self.weight = 0
        self.turn = Event() if waits else None
        self.done = Event() if waits else None
        self.answers: Sequence[Answer] | None = None
        self.error: StoreUnavailable | None = None


class _Queue(Generic[Asked, Answer]):
    """A lane in use: the round whose turn it is, and those that wait for it, of which others may join the last."""

    __slots__ = ("under_way", "waiting")

    def __init__(self, first: _Round[Asked, Answer]) -> None:
        self.under_way = first
        self.waiting: deque[_Round[Asked, Answer]] = deque()


class SharedTrips(Generic[Lane, Asked, Answer]):
    """Round trips that `go` makes: what is asked for in one lane goes together, and the lanes know nothing of each other.

    `go` gives an answer for each thing asked, in their order.  A round weighs `most` or little more; `cut_short` makes
    the error of those whose round trip ended in the middle.
    """

    def __init__(
        self, go: Callable[[Lane, list[Asked]], Sequence[Answer]], most: int, cut_short: Callable[[], StoreUnavailable]
    ) -> None:
        self._go = go
        self._most = most
        self._cut_short = cut_short
        self._lock = Lock()
        self._queues: dict[Lane, _Queue[Asked, Answer]] = {}

    def take(self, lane: Lane, asked: Asked, weight: int = 1) -> Answer:
        """The answer to what is asked.  Raises the `StoreUnavailable` that `go` raises, to all whom it concerns."""
        with self._lock:
            own, leads = self._join(lane)
            place = len(own.asked)
            own.asked.append(asked)
            own.weight += weight
        if leads:
            self._lead(lane, own)
        elif own.done is not None:
            own.done.wait()
        if own.answers is None:
            raise own.error or self._cut_short()
        return own.answers[place]

    def waiting(self, lane: Lane) -> int:
        """How many callers wait for those that are under way."""
        with self._lock:
            queue = self._queues.get(lane)
            return 0 if queue is None else sum(len(own.asked) for own in queue.waiting)

    def _join(self, lane: Lane) -> tuple[_Round[Asked, Answer], bool]:
        """The round to go with, and whether the caller is its first."""
        queue = self._queues.get(lane)
        if queue is not None and queue.waiting and queue.waiting[-1].weight < self._most:
            return queue.waiting[-1], False
        own: _Round[Asked, Answer] = _Round(waits=queue is not None)
        if queue is not None:
            queue.waiting.append(own)
        else:
            self._queues[lane] = _Queue(own)
        return own, True

    def _lead(self, lane: Lane, own: _Round[Asked, Answer]) -> None:
        try:
            if own.turn is not None:
                own.turn.wait(PATIENCE)
                with self._lock:
                    queue = self._queues[lane]
                    queue.waiting.remove(own)
                    # Also where its turn has not come: then it leads from here on, and the one that stalls hands over nothing
                    queue.under_way = own
            own.answers = self._go(lane, own.asked)
        except StoreUnavailable as error:
            own.error = error
        finally:
            with self._lock:
                self._hand_over(lane, own)
            if own.done is not None:
                own.done.set()

    def _hand_over(self, lane: Lane, own: _Round[Asked, Answer]) -> None:
        queue = self._queues.get(lane)
        if queue is None:
            return
        if own in queue.waiting:  # cut short before it set out
            queue.waiting.remove(own)
        if queue.under_way is not own:
            return
        if queue.waiting:
            following = queue.under_way = queue.waiting[0]
            if following.turn is not None:
                following.turn.set()
        else:
            del self._queues[lane]
