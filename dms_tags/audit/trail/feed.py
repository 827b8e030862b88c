"""The event feed: the trail from any position on, without gap or repeat, to any number of clients (API.md section 3).

What a client missed is read for it from the trail; from then on it is told by its tenant's tail, which is read once per
process however many listen.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Final

from pymongo import ASCENDING

from dms_tags.audit.trail.entry import Entry
from dms_tags.audit.trail.tail import KEEP_ALIVE_SECONDS, PAGE, QUEUE, Ending, Interest, Listener, Permit, Spelling, Tail
from dms_tags.audit.trail.trail import Trail
from dms_tags.counters import count_stream
from dms_tags.errors import Gone, InvalidParameter, RateLimited, StoreUnavailable
from dms_tags.store.database import store_errors

SPAN: Final = 20_000
"""Positions that one read of what was missed goes over, at most, however few of them are of interest."""

WINDOW: Final = 500
"""Positions that a client may lack when the tail takes over; the queue has room for more."""

AHEAD_SECONDS: Final = 2.0
"""How long a position beyond the trail is waited for: after a fail-over the new primary may learn of it a little later."""


STREAMS: Final = 2_000
"""Streams of one holder in one process: half of the connections that it serves, so that nobody takes them all."""


class Feed:
    """Streams of one process.  `spelling` is how they look on the wire."""

    def __init__(self, trail: Trail, spelling: Spelling, *, keep_alive: float = KEEP_ALIVE_SECONDS, bound: int = QUEUE) -> None:
        self._trail = trail
        self._spelling = spelling
        self._keep_alive = keep_alive
        self._bound = bound
        self._tails: dict[str, Tail] = {}
        self._streams: Counter[Hashable] = Counter()
        self._lock = threading.Lock()

    def start(self, tenant: str, after: int | None) -> int:
        """The position that a stream begins after: `after`, or None: the trail's end.

        Raises `Gone` where the trail no longer reaches back that far, `InvalidParameter` for a position that it has not
        reached, as after a restore of the database, and `StoreUnavailable`.
        """
        head = self._trail.head(tenant)
        if after is None:
            return head
        give_up = monotonic() + AHEAD_SECONDS
        pause = threading.Event()
        while after > head:
            if monotonic() > give_up:
                raise InvalidParameter(f"the position {after} is beyond the trail, which reaches to {head}")
            pause.wait(0.1)
            head = self._trail.head(tenant)
        self._check_reach(tenant, after)
        return after

    def require_place(self, permit: Permit) -> None:
        """Raises `RateLimited` where the permit's holder has as many streams as one may."""
        if self._streams[permit.holder] >= STREAMS:
            raise RateLimited(f"more than {STREAMS} event streams at once; end one first", retry_after=5)

    def follow(self, tenant: str, interest: Interest, after: int, permit: Permit) -> Iterator[bytes]:
        """The stream after a position, part by part, until the client goes or it is ended; its last part says why."""
        with self._counted(permit.holder):
            yield from self._stream(tenant, interest, after, permit)

    @contextmanager
    def _counted(self, holder: Hashable) -> Iterator[None]:
        with self._lock:
            self._streams[holder] += 1
        count_stream(1)
        try:
            yield
        finally:
            count_stream(-1)
            with self._lock:
                self._streams[holder] -= 1
                if not self._streams[holder]:
                    del self._streams[holder]

    def _stream(self, tenant: str, interest: Interest, after: int, permit: Permit) -> Iterator[bytes]:
        yield self._spelling.opening(after)
        try:
            tail, listener = self._open(tenant, interest, permit)
        except StoreUnavailable:
            yield self._spelling.ending(Ending.UNAVAILABLE)
            return
        try:
            yield from self._missed(tenant, tail, listener, after)
            while frames := listener.take():
                yield b"".join(frames)
        except StoreUnavailable:
            listener.end(Ending.UNAVAILABLE)
        except Gone:
            listener.end(Ending.GONE)
        finally:
            tail.close(listener)
        yield self._spelling.ending(listener.ending or Ending.CLOSING)

    def close(self) -> None:
        """Ends every stream, because the process does."""
        with self._lock:
            tails = list(self._tails.values())
        for tail in tails:
            tail.end(Ending.CLOSING)

    def _open(self, tenant: str, interest: Interest, permit: Permit) -> tuple[Tail, Listener]:
        with self._lock:
            tail = self._tails.get(tenant)
            listener = tail.open(interest, permit) if tail is not None else None
            while tail is None or listener is None:
                # Without authentication callers can invent tenants: those that nobody listens to are forgotten
                self._tails = {name: kept for name, kept in self._tails.items() if not kept.over}
                tail = self._tails[tenant] = self._new_tail(tenant)
                listener = tail.open(interest, permit)
                tail.start()
            return tail, listener

    def _new_tail(self, tenant: str) -> Tail:
        def read(position: int) -> Sequence[Entry]:
            where = {"tenant": tenant, "position": {"$gt": position}}
            with store_errors():
                return list(self._trail.entries.find(where, sort=[("position", ASCENDING)], limit=PAGE))

        head = self._trail.head(tenant)
        return Tail(tenant, head, read, self._spelling, keep_alive=self._keep_alive, bound=self._bound)

    def _missed(self, tenant: str, tail: Tail, listener: Listener, after: int) -> Iterator[bytes]:
        """What lies between `after` and the position from which on the tail tells the listener."""
        position = after
        while listener.ending is None and tail.position - position > WINDOW:
            part, position = self._page(tenant, listener.interest, position, min(tail.position, position + SPAN))
            yield part
        until = tail.attach(listener, position)
        while listener.ending is None and position < until:
            part, position = self._page(tenant, listener.interest, position, until)
            yield part

    def _page(self, tenant: str, interest: Interest, position: int, until: int) -> tuple[bytes, int]:
        where = {"tenant": tenant, "position": {"$gt": position, "$lte": until}, **interest.filter()}
        with store_errors():
            entries = list(self._trail.entries.find(where, sort=[("position", ASCENDING)], limit=PAGE))
        self._check_reach(tenant, position)
        reached = entries[-1]["position"] if len(entries) >= PAGE else until
        shown = [self._spelling.entry(entry) for entry in entries if interest.allows(entry["name"])]
        if not shown or reached > entries[-1]["position"]:
            shown.append(self._spelling.reached(reached))
        return b"".join(shown), reached

    def _check_reach(self, tenant: str, position: int) -> None:
        cut = self._trail.cut(tenant)
        if position < cut:
            raise Gone(f"the entries up to {cut} were archived; the trail now begins at position {cut + 1}", cut + 1)
