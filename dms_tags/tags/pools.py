"""Candidates for claims, shared by the claims of one process.

If every worker went for the very first object of a queue, all but one would lose each time.  So a process reads the
front of the queue once for many claims, and hands out each object of it once; and it keeps only a random part of the
front, in order, so that several processes seldom go for the same.  The oldest object is in three parts of ten, so
none waits for ever.  Whether a candidate still is one is decided by the claim's own write, never here.
"""

from __future__ import annotations

import random
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from time import monotonic
from typing import Final, Protocol

from dms_tags.errors import TagsError
from dms_tags.query.compiler import Plan, Way
from dms_tags.store.documents import Document

SMALLEST: Final = 40
LARGEST: Final = 500
"""Objects that are read at once: fewer where few are claimed, since they are read for nothing."""

SHARE: Final = 0.3
"""The part of a full front that one process keeps for itself."""

FRESH_SECONDS: Final = 0.5
"""For so long what was read is handed out."""

LOSSES: Final = 3
"""So many candidates lost in a row mean that what was read is no longer worth trying."""

MAX_POOLS: Final = 100
"""Queues whose candidates a process keeps, at most."""


class Looks(Protocol):
    """What reads candidates: a `Finder`."""

    def find(self, plan: Plan, limit: int, /) -> list[Document]:
        """The first objects of a plan."""

    def after(self, plan: Plan, key: str, limit: int, /) -> list[Document]:
        """The first of those that come after one, of a plan in order of ids."""


class Pool:
    """The candidates of one queue."""

    def __init__(self, finder: Looks) -> None:
        self._finder = finder
        self._lock = threading.Lock()
        self._candidates: deque[Document] = deque()
        self._read_at = float("-inf")
        self._length = 0
        self._taken = 0
        self._resume: str | None = None
        self._failure: tuple[float, TagsError] | None = None

    def take(self, plan: Callable[[], Plan], since: float, lost: int) -> Document | None:
        """The next candidate for a claim that began at `since` (monotonic) and has lost `lost` in a row.

        None: a look that began after `since` found none.  Raises `InvalidQuery` or `StoreUnavailable` where a look fails.  `plan` is asked for anew before each look, since what a
        statement finds may depend on the time.
        """
        with self._lock:
            if monotonic() - self._read_at > FRESH_SECONDS or (lost >= LOSSES and self._read_at < since):
                self._candidates.clear()
            while not self._candidates:
                if self._read_at >= since and self._length == 0:
                    return None
                if self._failure is not None and self._failure[0] >= since:
                    # Waited for the look that failed: to try again in turn, one after the other, would take for ever
                    raise self._failure[1]
                self._read(plan())
            self._taken += 1
            return self._candidates.popleft()

    def _read(self, plan: Plan) -> None:
        size = min(LARGEST, max(SMALLEST, round(self._taken * 2 / SHARE)))
        self._taken = 0
        began = monotonic()
        try:
            front = self._look(plan, size)
        except TagsError as error:
            self._failure = monotonic(), error
            raise
        self._failure, self._read_at, self._length = None, began, len(front)
        kept = [document for document in front if random.random() < SHARE]  # noqa: S311 - spread, not secrecy
        if len(front) < size:
            # The whole queue: what another process may want as well comes after what it likely does not
            chosen = {document["_id"] for document in kept}
            others = [document for document in front if document["_id"] not in chosen]
            kept += random.sample(others, len(others))
        self._candidates.extend(kept or front[:1])

    def _look(self, plan: Plan, size: int) -> list[Document]:
        if plan.way is not Way.IDS or plan.strict:
            return self._finder.find(plan, size)
        # Without a queue there is no oldest one: going round by id, each gets its turn
        front = self._finder.after(plan, self._resume, size) if self._resume is not None else []
        front = front or self._finder.find(plan, size)
        self._resume = front[-1]["_id"] if front else None
        return front


class Pools:
    """The pools of a process, by queue; those not used for longest go first."""

    def __init__(self, finder: Looks) -> None:
        self._finder = finder
        self._lock = threading.Lock()
        self._pools: OrderedDict[object, Pool] = OrderedDict()

    def of(self, queue: object) -> Pool:
        """The pool of a queue, whatever tells it from others."""
        with self._lock:
            pool = self._pools.pop(queue, None) or Pool(self._finder)
            self._pools[queue] = pool
            while len(self._pools) > MAX_POOLS:
                self._pools.popitem(last=False)
        return pool
