"""What the client hands out: tags, claims, pages of the trail, events and definitions, as plain data.

Times are aware datetimes in UTC.  `changed` is what the DMS calls a tag's creationDate: the time of its last change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from dms_tags.client.errors import Problem


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag of an object.  `etag` is None where the answer did not carry it (the past, `at=`)."""

    name: str
    state: int
    changed: datetime
    trace_id: str
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectTags:
    """An object and its tags, in order of creation."""

    object_id: str
    tags: tuple[Tag, ...]

    def tag(self, name: str) -> Tag | None:
        """The tag of that name, None where the object has none."""
        return next((tag for tag in self.tags if tag.name == name), None)


@dataclass(frozen=True, slots=True)
class Claimed:
    """An object taken from a queue: the tag that was set on it, all its tags, how often in a row it was taken unfinished."""

    object_id: str
    tag: Tag
    tags: tuple[Tag, ...]
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Part of what a statement finds; `total` is the number of all matches, or with `at_least` as far as was counted."""

    objects: tuple[ObjectTags, ...]
    total: int
    more: bool
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the audit trail (API.md section 2).  `state` is an integer on objects; elsewhere a text or a document.

    `reason` is why, where that was said.  `erased` names the members that were erased, `createdBy` or `reason`, and so are None.
    """

    position: int
    resource: str
    object_id: str
    within: str | None
    revision: int
    action: int
    action_name: str
    name: str
    state: Any
    previous_state: Any
    trace_id: str | None
    previous_trace_id: str | None
    created_by: str | None
    actor_kind: str
    changed: datetime
    recorded_at: datetime
    tenant: str
    reason: str | None = None
    erased: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrailPage:
    """Part of the trail; `next` is the cursor of the following page, `head` the highest position."""

    entries: tuple[Entry, ...]
    next: str | None
    head: int


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One entry of an object's history, as the DMS shows it."""

    object_id: str
    name: str
    action: int
    state: int
    previous_state: int | None
    changed: datetime
    trace_id: str
    created_by: str | None
    detail: str
    revision: int
    position: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Part of an object's history, newest first."""

    entries: tuple[HistoryEntry, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Event:
    """A change as the event feed tells it; `document` is the CloudEvents document.  Resume with `events(after=event.position)`."""

    position: int
    action: str
    entry: Entry
    document: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class EventBatch:
    """What came in one piece of the event feed, and the position that it has reached: also where nothing was of interest."""

    events: tuple[Event, ...]
    position: int | None


class BatchAction(StrEnum):
    """What a change of a batch does; `SET` adds or updates."""

    ADD = "add"
    UPDATE = "update"
    SET = "set"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class BatchChange:
    """One change of a batch; None: not a condition, or not given.  Without a key of its own it is sent with a new one."""

    object_id: str
    name: str
    state: int | None = None
    action: BatchAction = BatchAction.SET
    trace_id: str | None = None
    trace_must_match: bool = False
    if_match: str | None = None
    expected_state: int | None = None
    idempotency_key: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one change of a batch: `tag` as it now is (None: removed), or `error`, why it was not made."""

    tag: Tag | None = None
    error: Problem | None = None


@dataclass(frozen=True, slots=True)
class Definition:
    """The states that a tag name knows, and, where `enforce` is on, the only steps between them.

    `reason_required` are the states that nobody sets without saying why.
    """

    name: str
    states: Mapping[int, str]
    transitions: Mapping[int, tuple[int, ...]] | None = None
    initial: tuple[int, ...] | None = None
    enforce: bool = True
    reason_required: tuple[int, ...] = ()
