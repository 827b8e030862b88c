"""What is shared by a piece of claimed work, whether it is held by a thread or by a task."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from dms_tags.client import calls
from dms_tags.client.errors import Conflict, DmsTagsError, LockLost, NotFound
from dms_tags.client.model import Claimed, Tag
from dms_tags.client.wire import Call

LOST = (LockLost, Conflict, NotFound)
"""Answers to an extension that say: the lease is somebody else's, or nobody's."""


class Held:
    """An object that this worker holds by a lease.

    `settled` says that the work was finished or given back.
    """

    def __init__(self, claimed: Claimed, lease_seconds: int, asked_at: float) -> None:
        """`asked_at` is when the claim was sent, by `time.monotonic`."""
        self.claimed = claimed
        self.lease_seconds = lease_seconds
        self.settled = False
        self.refused = False
        self._until = asked_at + lease_seconds

    @property
    def lost(self) -> bool:
        """Whether another worker may have the object: an extension was refused, or none came through in time.

        Whatever is written under the lease from then on is refused by the service; long work may ask and stop early.
        """
        return not self.settled and (self.refused or time.monotonic() > self._until)

    @property
    def object_id(self) -> str:
        """The object to work on."""
        return self.claimed.object_id

    @property
    def tag(self) -> Tag:
        """The claimed tag; its ETag is the fencing token to hand to other systems."""
        return self.claimed.tag

    @property
    def tags(self) -> tuple[Tag, ...]:
        """All tags of the object when it was claimed."""
        return self.claimed.tags

    @property
    def trace_id(self) -> str:
        """The trace that owns the claim."""
        return self.claimed.tag.trace_id

    @property
    def attempts(self) -> int:
        """How often in a row the object was claimed without being finished, this time included."""
        return self.claimed.attempts

    @property
    def pause(self) -> float:
        """Seconds between two extensions: two may fail before the lease runs out."""
        return self.lease_seconds / 3

    @contextmanager
    def asking(self, *losses: type[DmsTagsError]) -> Iterator[None]:
        """Notes what the service's answer says: one of `losses` means that somebody else has the object."""
        try:
            yield
        except losses:
            self.refused = True
            raise

    def extended(self, asked_at: float, seconds: int | None) -> None:
        """An extension that was sent at `asked_at` came through."""
        self._until = asked_at + (seconds or self.lease_seconds)

    def finish_call(self, state: int, reason: str | None) -> Call[Tag]:
        """Under both locks, so that a late worker can never write."""
        return calls.update(
            self.object_id,
            self.tag.name,
            state,
            trace_id=self.trace_id,
            trace_must_match=True,
            if_match=self.tag.etag,
            reason=reason,
        )

    def extend_call(self, seconds: int | None = None) -> Call[Tag]:
        """To `seconds` from now, by default as long as the claim asked for."""
        return calls.extend(self.object_id, self.tag.name, self.trace_id, seconds or self.lease_seconds, if_match=self.tag.etag)

    def release_call(self) -> Call[None]:
        """Gives it back to the queue."""
        return calls.give_back(self.object_id, self.tag.name, self.trace_id, if_match=self.tag.etag)
