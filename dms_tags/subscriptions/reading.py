"""Reading the trail for subscriptions: its end once for all of a tenant, what one missed for that one alone.

A tenant's window holds the entries that were read last, each with the document that is sent of it, made once.  Whoever is
further back reads pages of its own, along an index, until the window has what comes next.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from time import monotonic
from typing import Any, Final

from pymongo import ASCENDING

from dms_tags.audit.trail.cloudevent import cloud_event
from dms_tags.audit.trail.entry import Entry
from dms_tags.audit.trail.query import gone
from dms_tags.audit.trail.trail import Trail
from dms_tags.store.database import store_errors
from dms_tags.subscriptions.model import Selection

WINDOW: Final = 1_000
"""Entries that a window holds."""

READ: Final = 500
"""Entries that one read gives, at most."""

PAGE: Final = 100
"""Events that a subscription which is behind reads at once."""

FRESH_SECONDS: Final = 10.0
"""For so long what was read is sent as it was read: in what is older a name may be that was erased since."""

SPAN: Final = 20_000
"""Positions that one such read goes over, at most, however few of them are of interest."""


@dataclass(frozen=True)
class Event:
    """An entry and what is sent of it; `read_at` is when it was read, by the process's own clock."""

    entry: Entry
    read_at: float

    @property
    def stale(self) -> bool:
        """Whether it has to be read again before it is sent."""
        return monotonic() > self.read_at + FRESH_SECONDS

    @property
    def position(self) -> int:
        """Its position in the trail."""
        return int(self.entry["position"])

    @cached_property
    def body(self) -> bytes:
        """The CloudEvents document, in JSON."""
        return self.body_with({})

    def body_with(self, attributes: dict[str, Any]) -> bytes:
        """The document with attributes more."""
        return json.dumps(cloud_event(self.entry) | attributes, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Page:
    """The events of interest up to a position, in order."""

    events: list[Event]
    reached: int


class Window:
    """The end of one tenant's trail; `poll` is called by one thread at a time, the rest in the event loop."""

    def __init__(self, tenant: str, trail: Trail) -> None:
        self._tenant = tenant
        self._trail = trail
        self._events: deque[Event] = deque()
        self.head = trail.head(tenant)
        self._moved = asyncio.Event()

    def poll(self) -> list[Event]:
        """What the trail has after the window.  Raises `StoreUnavailable`."""
        where = {"tenant": self._tenant, "position": {"$gt": self.head}}
        at = monotonic()
        with store_errors():
            entries = list(
                self._trail.entries.find(where, sort=[("position", ASCENDING)], limit=READ, hint="position", batch_size=READ)
            )
        # Positions are dense: what follows a gap waits until that is explained, by the archive or by whoever asks for it
        return [Event(entry, at) for number, entry in enumerate(entries, self.head + 1) if entry["position"] == number]

    def take(self, events: list[Event]) -> None:
        """Moves the window on, and wakes whoever waits for that."""
        if not events:
            return
        self._events.extend(events)
        while len(self._events) > WINDOW:
            self._events.popleft()
        self.head = events[-1].position
        self._moved.set()
        self._moved = asyncio.Event()

    @property
    def moved(self) -> asyncio.Event:
        """Is set when the window moves on from where it is now."""
        return self._moved

    def page(self, selection: Selection, after: int) -> Page | None:
        """What comes after a position; None where the window does not reach back that far, or no longer."""
        while self._events and self._events[0].stale:
            self._events.popleft()
        first = self.head - len(self._events)
        if after < first:
            return None
        following = [self._events[at] for at in range(after - first, min(len(self._events), after - first + READ))]
        chosen = [event for event in following if selection.takes(event.entry)]
        return Page(chosen, following[-1].position if following else after)

    def missed(self, selection: Selection, after: int) -> Page:
        """What comes after a position, read from the trail.  Raises `Gone` where it was archived, and `StoreUnavailable`."""
        until = min(self.head, after + SPAN)
        where = {"tenant": self._tenant, "position": {"$gt": after, "$lte": until}, **selection.filter()}
        at = monotonic()
        with store_errors():
            entries = list(self._trail.entries.find(where, sort=[("position", ASCENDING)], limit=PAGE))
        cut = self._trail.cut(self._tenant)  # read after the entries, which are removed only below a cut that was moved before
        if after < cut:
            raise gone(cut)
        return Page([Event(entry, at) for entry in entries], entries[-1]["position"] if len(entries) == PAGE else until)
