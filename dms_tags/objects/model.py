"""What is asked of an object as a whole, and what is known of it (API.md section 8)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Final

from dms_tags.errors import ObjectNotFound
from dms_tags.model import Properties, Resource, State, Tag

MAX_OBJECTS: Final = 100
"""Objects of one call, at most."""

RESISTANT: Final = ":resistant"
"""How the names of tags end that a new version of their object carries on."""


class Manner(Enum):
    """How a call treats the tags that its rows do not name, and those that they do."""

    MAKE = "adds the rows to an object that is made known"
    SET = "sets the rows; other tags stay"
    REPLACE = "sets the rows; other tags go, but for resistant ones"
    WHOLE = "sets the rows; all other tags go"
    CLEAR = "all tags go"

    def takes_away(self, name: str) -> bool:
        """Whether a tag that is not named goes."""
        return self in (Manner.CLEAR, Manner.WHOLE) or (self is Manner.REPLACE and not name.endswith(RESISTANT))


NOTHING_TOLD: Final = Properties()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call asks of one object: `rows` are names and states, each name once.

    `as_one` says that its tags are one thing to the caller, with one ETag, the `whole_etag`, which entity tags then are of.
    """

    resource: Resource
    manner: Manner
    rows: tuple[tuple[str, State], ...] = ()
    told: Properties = NOTHING_TOLD
    as_one: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """An object as it stands: its tags in the order in which they were added, and what was told of it, None: nothing ever was.

    `trace_id` is the one of the call that changed it, if anything was to be changed; None: it was only read.  `replayed` says that
    an earlier, equal request made the change.
    """

    object_id: str
    tags: tuple[Tag, ...]
    told: Properties | None = None
    trace_id: str | None = None
    replayed: bool = False


def never_heard_of(object_id: str) -> ObjectNotFound:
    """The error where nothing is known of an object."""
    return ObjectNotFound(f"nothing is known of object/{object_id}: it never had a tag, and nobody made it known")


def whole_etag(tags: Iterable[Tag]) -> str | None:
    """The ETag of all the tags together, None where there are none; it never comes again, since theirs do not."""
    told = sorted(f"{tag.name} {tag.etag}" for tag in tags)
    return sha256("\n".join(told).encode()).hexdigest()[:32] if told else None
