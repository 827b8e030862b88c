"""What the metadata API speaks of: definitions of labels, and values of labels on resources.

Nothing in here knows HTTP or MongoDB.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from time import time_ns
from typing import Any, Final

from dms_tags.errors import InvalidParameter
from dms_tags.model import Kind, Resource, Tag
from dms_tags.names import composed, folded

TYPES: Final = (Kind.ACCOUNT, Kind.SITE, Kind.USER, Kind.WAN)
"""The kinds of resource that carry labels: `correlation_type` on the wire."""

MAX_KEY: Final = 100
MAX_VALUE: Final = 255
MAX_ALLOWED: Final = 100
"""Values that a definition may list, at most: the whole list is in every entry that records its definition."""
COLOR_PATTERN: Final = "#[0-9A-Fa-f]{6}"
TAG_ID_PATTERN: Final = "tag_[0-9A-HJKMNP-TV-Z]{26}"

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

is_color = re.compile(COLOR_PATTERN).fullmatch
is_tag_id = re.compile(TAG_ID_PATTERN).fullmatch


@dataclass(frozen=True, slots=True)
class Draft:
    """What a client says of a definition: a key, a colour `#RRGGBB`, the types of resource that should have a value.

    `mandatory_on` None: not said, so a new definition has none, and one that is there keeps those it has; likewise
    `allowed_values`, of which none means any.
    """

    key: str
    color: str
    mandatory_on: tuple[Kind, ...] | None = None
    allowed_values: tuple[str, ...] | None = None

    def state(self, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The definition as the trail shows it, in place of the one `before`.  Raises `InvalidParameter`."""
        kinds = before["mandatory_on"] if self.mandatory_on is None and before else self.mandatory_on or ()
        allowed = (before or {}).get("allowed_values") if self.allowed_values is None else self._allowed(self.allowed_values)
        state = {"key": name_of(self.key, "key", MAX_KEY), "color": self.color, "mandatory_on": [str(kind) for kind in kinds]}
        return {**state, "allowed_values": allowed} if allowed else state

    @staticmethod
    def _allowed(values: tuple[str, ...]) -> list[str]:
        spelled = [name_of(value, "allowed_values", MAX_VALUE) for value in values]
        if len({folded(value) for value in spelled}) < len(spelled):
            raise InvalidParameter("allowed_values: two of them differ in letter case alone, or not at all; once is right")
        return spelled


@dataclass(frozen=True, slots=True)
class LabelDefinition:
    """A definition as it stands; `tag` has its times, trace id and ETag.  `ending`: it is being deleted, nothing is set any more.

    Where it has `allowed_values` it takes no others.
    """

    id: str
    key: str
    color: str
    mandatory_on: tuple[Kind, ...]
    tag: Tag
    ending: bool = False
    allowed_values: tuple[str, ...] = ()

    @classmethod
    def of(cls, tag_id: str, tag: Tag) -> LabelDefinition:
        """The definition that the one tag of its resource tells."""
        state: Mapping[str, Any] = tag.state
        kinds = tuple(map(Kind, state["mandatory_on"]))
        allowed = tuple(state.get("allowed_values", ()))
        return cls(tag_id, state["key"], state["color"], kinds, tag, state.get("ending", False), allowed)


@dataclass(frozen=True, slots=True)
class Value:
    """A label's value on a resource: the tag is called by the definition's id, its state is the value."""

    resource: Resource
    tag: Tag


def name_of(text: str, member: str, most: int) -> str:
    """A key or a value as it is kept.  Raises `InvalidParameter` where the composed form is too long: it seldom is longer."""
    name = composed(text)
    if len(name) > most:
        raise InvalidParameter(f"{member} is a text of 1 to {most} characters, counted in Unicode's composed form")
    return name


def new_tag_id() -> str:
    """A new definition's id: `tag_` and a ULID, 48 bits of milliseconds and 80 of randomness in Crockford's base 32."""
    number = (time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return "tag_" + "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
