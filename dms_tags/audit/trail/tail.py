"""The end of one tenant's trail, read once per process for all who listen.

An event is looked up by what it is, not offered to everyone: a thousand clients that wait for something else cost it
eight look-ups.  Each client has a queue of its own, of bounded length; one that does not keep up is cut off.  Written with
plain threading primitives: in the server, which patches them, a tail and every client are a greenlet each.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from time import monotonic
from typing import Any, Final, Protocol

from dms_tags.audit.trail.entry import Entry
from dms_tags.errors import StoreUnavailable
from dms_tags.model import ACTIONS, Kind

log = logging.getLogger(__name__)

TOLD: Final = tuple(map(int, ACTIONS["object"].values()))
"""The actions that the feed tells of, on resources of all three APIs: administration is none of its readers' business."""

OBJECTS: Final = f"{Kind.OBJECT}/"

POLL_SECONDS: Final = 0.1
PAGE: Final = 500
QUEUE: Final = 1_000
KEEP_ALIVE_SECONDS: Final = 15.0
TEND_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 1.0

Key = tuple[str | None, int | None, str | None]


class Ending(StrEnum):
    """Why a stream ends."""

    CUT_OFF = "cut-off"
    REVOKED = "revoked"
    GONE = "gone"
    UNAVAILABLE = "unavailable"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class Interest:
    """What a client wants to hear of; None: any.  `prefixes` are those of tag names that it may hear of at all."""

    name: str | None = None
    state: int | None = None
    object_id: str | None = None
    prefixes: tuple[str, ...] | None = None

    @property
    def key(self) -> Key:
        """What listeners are looked up by."""
        return self.name, self.state, self.object_id

    def allows(self, name: str) -> bool:
        """Whether the prefixes cover the tag name."""
        return self.prefixes is None or name.startswith(self.prefixes)

    def filter(self) -> dict[str, Any]:
        """The same, less the prefixes, as a MongoDB filter of trail entries."""
        wanted: dict[str, Any] = {"action": {"$in": list(TOLD)}}
        if self.object_id is not None:
            wanted["resource"] = OBJECTS + self.object_id
        if self.name is not None:
            wanted["name"] = self.name
        if self.state is not None:
            wanted["state"] = self.state
        return wanted


class Permit(Protocol):
    """The right to listen.  Equal ones are asked once for all who hold them."""

    def __hash__(self) -> int: ...

    @property
    def holder(self) -> Hashable:
        """Whose it is: one holder has a bounded number of streams."""

    def holds(self) -> bool:
        """Whether it is still valid."""


class Spelling(Protocol):
    """How a stream's parts look on the wire."""

    def opening(self, position: int) -> bytes:
        """The first words of a stream that begins after a position."""

    def entry(self, entry: Entry) -> bytes:
        """An event."""

    def reached(self, position: int) -> bytes:
        """That nothing of interest happened up to a position."""

    def ending(self, reason: Ending) -> bytes:
        """The last words of a stream."""


class Listener:
    """One client of the feed: its interest, and what it has not taken yet."""

    def __init__(self, interest: Interest, permit: Permit, bound: int) -> None:
        self.interest = interest
        self.permit = permit
        self.after = 0
        self.last_put = 0.0
        self._bound = bound
        self._ready = threading.Condition()
        self._frames: list[bytes] = []
        self._ending: Ending | None = None

    @property
    def ending(self) -> Ending | None:
        """Why the stream ends, None while it goes on."""
        return self._ending

    @property
    def idle(self) -> bool:
        """Whether the client has taken everything."""
        return not self._frames

    def put(self, frame: bytes, at: float) -> None:
        """Queues a part of the stream; where there is no room the stream ends after what is queued already."""
        with self._ready:
            if self._ending is not None:
                return
            if len(self._frames) >= self._bound:
                self._ending = Ending.CUT_OFF
            else:
                self._frames.append(frame)
                self.last_put = at
            self._ready.notify()

    def end(self, reason: Ending) -> None:
        """Ends the stream after what is queued."""
        with self._ready:
            self._ending = self._ending or reason
            self._ready.notify()

    def take(self) -> list[bytes]:
        """Waits for something and takes all there is; nothing once the stream has ended."""
        with self._ready:
            while not self._frames and self._ending is None:
                self._ready.wait()
            frames, self._frames = self._frames, []
            return frames


class Tail:
    """Reads a tenant's trail from `position` on while anybody listens, and tells each listener what it asked for.

    `read` gives the entries after a position, in order, `PAGE` at most.
    """

    def __init__(
        self,
        tenant: str,
        position: int,
        read: Callable[[int], Sequence[Entry]],
        spelling: Spelling,
        *,
        keep_alive: float = KEEP_ALIVE_SECONDS,
        bound: int = QUEUE,
    ) -> None:
        self.position = position
        self._tenant = tenant
        self._read = read
        self._spelling = spelling
        self._keep_alive = keep_alive
        self._bound = bound
        self._lock = threading.Lock()
        self._listeners: set[Listener] = set()
        self._groups: defaultdict[Key, set[Listener]] = defaultdict(set)
        self._over = False
        self._closing = threading.Event()
        self._tend_at = 0.0

    @property
    def over(self) -> bool:
        """Whether it reads no more, since nobody listens."""
        return self._over

    def start(self) -> None:
        """Begins to read, in a thread of its own that ends with the last listener."""
        threading.Thread(target=self._run, name=f"feed of {self._tenant}", daemon=True).start()

    def open(self, interest: Interest, permit: Permit) -> Listener | None:
        """A listener that hears nothing yet, but keeps the tail going; None where the tail is over."""
        with self._lock:
            if self._over:
                return None
            listener = Listener(interest, permit, self._bound)
            self._listeners.add(listener)
            return listener

    def attach(self, listener: Listener, after: int) -> int:
        """Lets the listener hear what comes after the position that is returned, and after `after`."""
        with self._lock:
            listener.after = max(after, self.position)
            listener.last_put = monotonic()
            if listener in self._listeners:
                self._groups[listener.interest.key].add(listener)
            return self.position

    def close(self, listener: Listener) -> None:
        """The client is gone."""
        with self._lock:
            self._listeners.discard(listener)
            self._detach(listener)

    def end(self, reason: Ending) -> None:
        """Ends every stream, and the tail."""
        with self._lock:
            self._over = True
            for listener in self._listeners:
                listener.end(reason)
        self._closing.set()

    def _run(self) -> None:
        try:
            while self._is_wanted():
                self._closing.wait(self._step())
        finally:
            self.end(Ending.CLOSING)

    def _is_wanted(self) -> bool:
        with self._lock:
            self._over = self._over or not self._listeners
            return not self._over

    def _step(self) -> float:
        """One reading; returns the seconds to wait before the next."""
        try:
            entries = self._read(self.position)
        except StoreUnavailable as error:
            log.warning("the feed waits for MongoDB: %s", error.detail)
            self._tend()
            return RETRY_SECONDS
        if entries:
            self._publish(entries)
        self._tend()
        return 0.0 if len(entries) >= PAGE else POLL_SECONDS

    def _publish(self, entries: Sequence[Entry]) -> None:
        at = monotonic()
        with self._lock:
            for entry in entries:
                frame = None
                for listener in self._interested(entry):
                    if frame is None:
                        frame = self._spelling.entry(entry)
                    listener.put(frame, at)
            self.position = entries[-1]["position"]

    def _interested(self, entry: Mapping[str, Any]) -> Iterator[Listener]:
        if entry["action"] not in TOLD:
            return
        # Only an object is asked for by its id, only an integer by its state; other states are texts and documents
        states = (entry["state"], None) if isinstance(entry["state"], int) else (None,)
        objects = (entry["objectId"], None) if entry["resource"].startswith(OBJECTS) else (None,)
        for key in product((entry["name"], None), states, objects):
            for listener in self._groups.get(key, ()):
                if entry["position"] > listener.after and listener.interest.allows(entry["name"]):
                    yield listener

    def _tend(self) -> None:
        """Tells idle listeners how far the trail is, and ends those whose permit is no longer valid."""
        at = monotonic()
        if at < self._tend_at:
            return
        self._tend_at = at + min(TEND_SECONDS, self._keep_alive / 2)
        with self._lock:
            listeners = list(self._listeners)
        refused = {permit for permit in {listener.permit for listener in listeners} if not permit.holds()}
        with self._lock:
            for listener in listeners:
                if listener.permit in refused:
                    listener.end(Ending.REVOKED)
                if listener.ending is not None:
                    self._detach(listener)
                elif self._hears(listener) and listener.idle and at - listener.last_put >= self._keep_alive:
                    listener.put(self._spelling.reached(max(self.position, listener.after)), at)

    def _hears(self, listener: Listener) -> bool:
        return listener in self._groups.get(listener.interest.key, ())

    def _detach(self, listener: Listener) -> None:
        group = self._groups.get(listener.interest.key)
        if group is not None:
            group.discard(listener)
            if not group:
                del self._groups[listener.interest.key]
