"""How pages spell what entries and tags hold: times, spans, states, actions, and which colour a trace has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

from dms_tags.model import Action

COLOURS: Final = 12
"""Colours that traces are told apart by, beside their ids."""

ACTIONS: Final[Mapping[int, str]] = {
    Action.OBJECT_TAG_CREATED: "created",
    Action.OBJECT_TAG_UPDATED: "updated",
    Action.OBJECT_TAG_DELETED: "deleted",
    Action.ADMIN_CREATED: "administration: created",
    Action.ADMIN_UPDATED: "administration: updated",
    Action.ADMIN_DELETED: "administration: deleted",
    Action.TRAIL_EXPORTED: "trail exported",
    Action.TRAIL_ARCHIVED: "trail archived",
    Action.TRAIL_SEALED: "trail sealed",
    Action.ACTOR_ERASED: "actor erased",
}
NOTHING: Final = "\N{EN DASH}"
LONGEST_STATE: Final = 160


def moment(at: datetime | None) -> str:
    """A time for people, in UTC, to the millisecond."""
    return NOTHING if at is None else f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"


def span(seconds: float | None) -> str:
    """A span of time for people."""
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return "under 1 s"
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def ago(seconds: float | None) -> str:
    """How long ago something was."""
    return "never" if seconds is None else f"{span(seconds)} ago"


def state(value: Any) -> str:
    """A state for people: a number or a text as it is, a document as JSON, cut where it is long."""
    if value is None:
        return NOTHING
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_STATE else f"{text[:LONGEST_STATE]} …"


def action(code: int, name: str = "") -> str:
    """What an action is called; by its own name where this version knows none."""
    return ACTIONS.get(code) or name.lower().replace("_", " ") or str(code)


def colour(trace_id: str) -> int:
    """Which of the colours a trace has, the same for every spelling of its id."""
    return sha256(trace_id.lstrip("0").encode()).digest()[0] % COLOURS


def grouped(number: float) -> str:
    """A number with its thousands apart."""
    return f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def segment(text: str) -> str:
    """A text as part of a path; its slashes stay."""
    return quote(text, safe="/")
