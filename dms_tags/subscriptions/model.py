"""What a subscription asks for, how far it is, and what was told of it (API.md section 9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from dms_tags.audit.trail.tail import TOLD
from dms_tags.errors import InvalidBody
from dms_tags.names import spell_time, time

MAX_SUBSCRIPTIONS: Final = 100
"""Subscriptions of one tenant, at most."""

MAX_LISTED: Final = 100
"""Names, and states, that one subscription lists, at most."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which changes a subscription is told of; None: of any.  Administration is never told."""

    names: tuple[str, ...] | None = None
    states: tuple[int, ...] | None = None
    actions: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Raises `InvalidBody` for a list that selects nothing, and for an action that is never told."""
        for member in ("names", "states", "actions"):
            if getattr(self, member) == ():
                raise InvalidBody(f"{member}: an empty list would select nothing; leave it out for all", member)
        wrong = [action for action in self.actions or () if action not in TOLD]
        if wrong:
            raise InvalidBody(f"actions: {wrong[0]} is none of {', '.join(map(str, sorted(TOLD)))}", "actions")

    def takes(self, entry: Mapping[str, Any]) -> bool:
        """Whether an entry of the trail is among them."""
        return (
            entry["action"] in (self.actions or TOLD)
            and (self.names is None or entry["name"] in self.names)
            and (self.states is None or (isinstance(entry["state"], int) and entry["state"] in self.states))
        )

    def filter(self) -> dict[str, Any]:
        """The same as a MongoDB filter of trail entries."""
        wanted: dict[str, Any] = {"action": {"$in": list(self.actions or TOLD)}}
        if self.names is not None:
            wanted["name"] = {"$in": list(self.names)}
        if self.states is not None:
            wanted["state"] = {"$in": list(self.states)}
        return wanted


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for: where events go, which, with proofs or not, from where on (`after`, None: it stays), or not now."""

    url: str
    selection: Selection
    proofs: bool = False
    after: int | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class SecretRef:
    """A secret by its id, and until when it signs; None: until there is a new one."""

    id: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as the engine keeps it: the state of the one tag of its resource.

    `start` is new whenever the cursor is set; the cursor then begins after `after`.  `reason` is why the service itself paused it.
    """

    tenant: str
    name: str
    url: str
    selection: Selection
    proofs: bool
    paused: bool
    reason: str | None
    after: int
    start: str
    secrets: tuple[SecretRef, ...]
    etag: str = ""

    @property
    def key(self) -> str:
        """What its cursor is kept under.  No tenant's name has a slash."""
        return f"{self.tenant}/{self.name}"

    def state(self) -> dict[str, Any]:
        """What is kept, and what the trail shows: everything but the secrets themselves."""
        return {
            "url": self.url,
            "names": _listed(self.selection.names),
            "states": _listed(self.selection.states),
            "actions": _listed(self.selection.actions),
            "proofs": self.proofs,
            "paused": self.paused,
            "pausedReason": self.reason,
            "after": self.after,
            "start": self.start,
            "secrets": [
                {"id": secret.id, "until": None if secret.until is None else spell_time(secret.until)} for secret in self.secrets
            ],
        }

    @classmethod
    def of(cls, tenant: str, name: str, state: Mapping[str, Any], etag: str) -> Subscription:
        """The subscription that `state` tells of."""
        return cls(
            tenant,
            name,
            state["url"],
            Selection(*(_tuple(state[member]) for member in ("names", "states", "actions"))),
            state["proofs"],
            state["paused"],
            state["pausedReason"],
            state["after"],
            state["start"],
            tuple(
                SecretRef(secret["id"], None if secret["until"] is None else time(secret["until"])) for secret in state["secrets"]
            ),
            etag,
        )


@dataclass(slots=True)
class Cursor:
    """How far a subscription is: every event up to `position` was taken, or is none of its own.

    `delivered` is the last position that was taken.  While attempts fail, `failures` counts them, `failing_since` is the time of
    the first, `next_at` that of the next attempt; they are those of the definition with the ETag `of`.
    """

    start: str
    position: int
    of: str = ""
    delivered: int | None = None
    delivered_at: datetime | None = None
    failures: int = 0
    failing_since: datetime | None = None
    next_at: datetime | None = None
    error: str | None = None

    def begin_anew(self, etag: str) -> None:
        """Forgets what failed: the definition was changed, so it is tried at once."""
        self.of, self.failures, self.failing_since, self.next_at, self.error = etag, 0, None, None, None

    def taken(self, position: int, at: datetime) -> None:
        """Notes that an event was taken."""
        self.position, self.delivered, self.delivered_at = position, position, at
        self.begin_anew(self.of)


@dataclass(frozen=True, slots=True)
class Standing:
    """A subscription, its cursor, and how far that is behind: in positions, and in seconds, the age of what comes next."""

    subscription: Subscription
    cursor: Cursor
    lag: int
    lag_seconds: float


def _listed(values: tuple[Any, ...] | None) -> list[Any] | None:
    return None if values is None else list(values)


def _tuple(values: list[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)
