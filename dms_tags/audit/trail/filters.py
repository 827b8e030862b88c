"""What is asked of the trail, and the cursor that a page of the answer ends with."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from dms_tags.errors import InvalidParameter
from dms_tags.names import spell_time


@dataclass(frozen=True, slots=True)
class Filters:
    """What entries are asked for; all that is given must hold (API.md section 2).

    `after` and `before` are positions, both excluded; `since` is included, `until` excluded.
    """

    object_id: str | None = None
    resource: str | None = None
    within: str | None = None
    name: str | None = None
    action: tuple[int, ...] = ()
    state: str | None = None
    trace_id: str | None = None
    created_by: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: int | None = None
    before: int | None = None

    def shown(self) -> dict[str, Any]:
        """Those that are given, under their names on the wire."""
        given = ((NAMES.get(member.name, member.name), getattr(self, member.name)) for member in fields(self))
        return {name: _shown(value) for name, value in given if value not in (None, ())}

    @property
    def contiguous(self) -> bool:
        """Whether these ask for a run of positions, with nothing left out in between."""
        return replace(self, since=None, until=None, after=None, before=None) == EVERYTHING

    @property
    def resources(self) -> set[str]:
        """The resources that are named."""
        return {resource for resource in (self.resource, self.object_id and f"object/{self.object_id}") if resource}

    @property
    def histories(self) -> bool:
        """Whether these ask for all that there is of some resources, in a range: of those named, or of what belongs to something."""
        if self.within is not None:
            return replace(self, within=None).contiguous
        return replace(self, object_id=None, resource=None).contiguous and len(self.resources) == 1  # two are never one


NAMES: Final = {
    "object_id": "objectId",
    "trace_id": "traceId",
    "created_by": "createdBy",
    "since": "from",
    "until": "to",
}
EVERYTHING: Final = Filters()


def _shown(value: Any) -> Any:
    if isinstance(value, datetime):
        return spell_time(value)
    return list(value) if isinstance(value, tuple) else value


NO_CURSOR: Final = "cursor is the `next` of the page before, and nothing else"
_cursor: Final = re.compile(r"([0-9]{1,15})\.([0-9]{1,15})\.([0-9a-f]{8})", re.ASCII).fullmatch


def _digest(filters: Filters, *, descending: bool) -> str:
    return sha256(repr((filters.shown(), descending)).encode()).hexdigest()[:8]


def spell_cursor(entry: Mapping[str, Any], filters: Filters, *, descending: bool) -> str:
    """The cursor of the page that follows `entry`."""
    text = f"{entry['position']}.{entry['revision']}.{_digest(filters, descending=descending)}"
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parse_cursor(cursor: str | None, filters: Filters, *, descending: bool) -> dict[str, int] | None:
    """Position and revision of the last entry of the page before.  Raises `InvalidParameter` for a cursor of another question."""
    if cursor is None:
        return None
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise InvalidParameter(NO_CURSOR) from error
    parts = _cursor(text)
    if parts is None:
        raise InvalidParameter(NO_CURSOR)
    position, revision, digest = parts.groups()
    start = {"position": int(position), "revision": int(revision)}
    if digest != _digest(filters, descending=descending):
        raise InvalidParameter("the cursor belongs to another question: give the same filters and order as for the page before")
    return start
