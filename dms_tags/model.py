"""What the domain speaks of: resources, tags, changes and the conditions that changes are made under.

A DMS object with an integer state, a site with a string and a chain tag with a small document are the same thing to
the engine: a resource, a named tag, a state, a trace id.  Nothing in here knows HTTP or MongoDB.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum, IntEnum, StrEnum
from time import time_ns
from typing import Any, Final

State = int | str | Mapping[str, Any]
"""A tag's state: an integer on objects, a string on metadata values, a small document elsewhere."""

MAX_TAGS: Final = 50
"""Tags on one object, at most (API.md section 1)."""


class Kind(StrEnum):
    """The kinds of resource that carry tags; the first part of `resource` in the audit trail."""

    OBJECT = "object"
    SITE = "site"
    USER = "user"
    WAN = "wan"
    ACCOUNT = "account"
    METADATA = "metadata"
    CHAIN_TAG = "chain-tag"
    CHAIN_USER = "chain-user"
    CHAIN = "chain"
    DEFINITION = "definition"
    TOKEN = "token"  # noqa: S105 - a kind of resource, not a secret
    SESSION = "session"
    SUBSCRIPTION = "subscription"
    TRAIL = "trail"
    ACTOR = "actor"


class Action(IntEnum):
    """What a trail entry records; the numbers are the DMS's own (API.md section 2)."""

    OBJECT_TAG_CREATED = 110
    OBJECT_TAG_DELETED = 210
    OBJECT_TAG_UPDATED = 310
    ADMIN_CREATED = 10110
    ADMIN_DELETED = 10210
    ADMIN_UPDATED = 10310
    TRAIL_EXPORTED = 10400
    TRAIL_ARCHIVED = 10500
    TRAIL_SEALED = 10600
    ACTOR_ERASED = 10700


class Verb(Enum):
    """How a change treats what is there: `SET` adds or updates."""

    ADD = "add"
    UPDATE = "update"
    SET = "set"
    DELETE = "delete"


ACTIONS: Final = {
    "object": {"add": Action.OBJECT_TAG_CREATED, "update": Action.OBJECT_TAG_UPDATED, "delete": Action.OBJECT_TAG_DELETED},
    "admin": {"add": Action.ADMIN_CREATED, "update": Action.ADMIN_UPDATED, "delete": Action.ADMIN_DELETED},
}
ADMINISTRATIVE: Final = frozenset(
    {Kind.CHAIN, Kind.DEFINITION, Kind.TOKEN, Kind.SESSION, Kind.SUBSCRIPTION, Kind.TRAIL, Kind.ACTOR}
)
"""Kinds whose changes are administration, recorded under the `ADMIN_*` actions."""


@dataclass(frozen=True, slots=True)
class Resource:
    """What a tag hangs on.  `within` names what it belongs to (`chain/<id>`), `attributes` are kept from its first tag on."""

    tenant: str
    kind: Kind
    id: str
    within: str | None = None
    attributes: Mapping[str, Any] | None = None

    @property
    def key(self) -> str:
        """The `_id` of the resource's document."""
        return f"{self.tenant}/{self.kind}/{self.id}"

    @property
    def name(self) -> str:
        """Kind and id, as the audit trail spells a resource."""
        return f"{self.kind}/{self.id}"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a change: an authenticated name, and how it was authenticated (`token jwt session cli system none`)."""

    name: str
    kind: str

    def own(self, key: str) -> str:
        """What a key of its is kept as: no two actors' are spelt alike, whatever stands in their names and keys."""
        return f"{self.kind}/{self.name.replace('%', '%25').replace('/', '%2F')}/{key}"


@dataclass(frozen=True, slots=True)
class Lease:
    """A hold on a tag until a time of the database's clock; `back` is the state it then returns to, None: it is removed.

    `attempts` is how often in a row the tag was claimed without being finished, this time included.
    """

    until: datetime
    back: State | None
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag as it stands.

    `changed` is the DMS's creationDate: the time of its last change.  `since` is the time it was added.
    `etag` never recurs and is the id of the trail entry that recorded this revision.
    """

    name: str
    state: Any
    trace_id: str
    changed: datetime
    etag: str
    since: datetime
    lease: Lease | None = None


@dataclass(frozen=True, slots=True)
class Properties:
    """What the DMS told of an object; None: it did not."""

    type: str | None = None
    base: str | None = None
    created_by: str | None = None
    created_at: datetime | None = None

    def over(self, other: Properties) -> Properties:
        """These, and of the other whatever these do not tell."""
        told = {name: value for name, value in self.members().items() if value is not None}
        return replace(other, **told)

    def members(self) -> Mapping[str, Any]:
        """By name."""
        return {"type": self.type, "base": self.base, "created_by": self.created_by, "created_at": self.created_at}


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must hold, all of it, in the very write that makes the change; None: not a condition.

    `having` are members that a state which is a small document must have, with their values.

    `trace_id` is compared without regard to zero padding on the left.  `etags` holds one or more of `If-Match`, `present`
    demands a tag in whichever revision (`If-Match: *`), `absent` that there is none (`If-None-Match: *`).
    The rule of an enforced definition: `forbidden_from` are the states that may not be left for the new one, `initial`
    whether a tag may begin in it.
    """

    trace_id: str | None = None
    etags: tuple[str, ...] | None = None
    present: bool = False
    absent: bool = False
    state: State | None = None
    forbidden_from: tuple[int, ...] = ()
    initial: bool = True
    having: tuple[tuple[str, Any], ...] = ()


UNCONDITIONAL: Final = Conditions()


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A client's key for one change, and a fingerprint of the request it came with."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one tag.

    `trace_id` becomes the tag's own, None: a random one; under a trace condition the tag keeps the one it has.
    `max_tags` is the most tags the resource may carry, None: any number.
    `action` is what the trail records, None: what follows from the verb and the kind of resource.
    `holds` is a word that no other resource of the tenant holds, from this change on; a removal with any lets it go.
    `reason` is why, in the caller's words.
    """

    resource: Resource
    name: str
    verb: Verb
    actor: Actor
    state: Any = None
    trace_id: str | None = None
    conditions: Conditions = UNCONDITIONAL
    idempotency: Idempotency | None = None
    max_tags: int | None = MAX_TAGS
    action: Action | None = None
    holds: str | None = None
    reason: str | None = None

    def action_of(self, verb: Verb) -> Action:
        """What the trail records when the change turns out to be `verb` (a `SET` is an add or an update)."""
        if self.action is not None:
            return self.action
        family = "admin" if self.resource.kind in ADMINISTRATIVE else "object"
        return ACTIONS[family][verb.value]


@dataclass(frozen=True, slots=True)
class Terms:
    """Who asks for a change, in which trace, under which conditions and why: what every API reads alike from a request."""

    actor: Actor
    trace_id: str | None = None
    conditions: Conditions = UNCONDITIONAL
    idempotency: Idempotency | None = None
    reason: str | None = None

    def change(self, resource: Resource, name: str, verb: Verb, state: Any = None, *, max_tags: int | None = MAX_TAGS) -> Change:
        """The change of a tag on these terms."""
        return Change(
            resource,
            name,
            verb,
            self.actor,
            state,
            self.trace_id,
            self.conditions,
            self.idempotency,
            max_tags,
            reason=self.reason,
        )


@dataclass(frozen=True, slots=True)
class Changed:
    """What came of a change: the tag as it now is (None: removed), the trace it was recorded under.

    `added` says that the tag was not there before; `replayed` that this is the kept answer to an earlier, equal request.
    """

    tag: Tag | None
    trace_id: str
    added: bool = False
    replayed: bool = False


def new_id() -> str:
    """A new change id and ETag: 48 bits of milliseconds, 80 of randomness, as 32 hexadecimal characters.

    The time in front keeps index pages warm; the randomness is what makes it never recur.
    """
    return f"{time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def new_trace_id() -> str:
    """A random trace id of 16 lower-case hexadecimal characters (B3)."""
    return os.urandom(8).hex()


def now() -> datetime:
    """The time in UTC, in whole milliseconds: what MongoDB keeps and the wire shows."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
