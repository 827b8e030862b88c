"""The first page: what is recorded, how it is proven, and how the queues stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from flask import Response

from dms_tags.api.console import charts
from dms_tags.api.console.api import LEADS, PAGE, api, page
from dms_tags.api.dms.subscriptions import document_of
from dms_tags.api.endpoint import Call
from dms_tags.audit.trail.activity import MOST as MOST_OF_ONE
from dms_tags.identity.model import Permission
from dms_tags.measures.queues import MOST, Queue
from dms_tags.model import Kind
from dms_tags.tags.definitions import Definition

HOURS: Final = 24
LEASES: Final = 200
"""Leases that one page looks at, at most, over all definitions."""

STATES: Final = 120
"""States that one page counts, at most, over all definitions."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A state of a definition: how many tags are in it, and for how many seconds the oldest has been."""

    state: int
    name: str
    count: int
    oldest: float | None

    @property
    def told(self) -> str:
        """The count for people."""
        return f"{MOST:,}+".replace(",", "\N{NARROW NO-BREAK SPACE}") if self.count >= MOST else str(self.count)


@dataclass(frozen=True, slots=True)
class Held:
    """A lease: on which object, whose trace, and how many seconds are left of it."""

    object_id: str
    trace_id: str
    state: Any
    left: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A definition with its states, its diagram, and the leases of its tags; `states` None: not counted."""

    definition: Definition
    states: Mapping[int, Filled] | None
    diagram: charts.Diagram | None
    leases: list[Held]


@api.route(
    "GET",
    "",
    permission=frozenset({Permission.READ, Permission.AUDIT}),
    responses={200: PAGE, 303: LEADS},
)
def overview(call: Call) -> Response:
    """How the trail, its proof and the queues stand."""
    now = call.services.database.clock.now()
    permissions = call.identity.permissions
    return page(
        "overview.html",
        now=now,
        activity=_activity(call, now) if Permission.AUDIT in permissions else None,
        log=_log(call, now) if Permission.AUDIT in permissions else None,
        measures=call.services.measuring.current() if Permission.READ in permissions else None,
        queues=_queues(call, now) if Permission.READ in permissions else None,
        subscriptions=list(map(document_of, call.services.subscriptions.all(call.identity.tenant)))
        if Permission.ADMIN in permissions
        else [],
    )


def _activity(call: Call, now: datetime) -> dict[str, Any]:
    hour = now.replace(minute=0, second=0, microsecond=0)
    begins = [hour - timedelta(hours=back) for back in range(HOURS - 1, -1, -1)]
    counted = call.services.activities.between(call.identity.tenant, begins)
    hours = [(f"{begin:%Y-%m-%d %H}:00", count) for begin, count in zip(begins, counted.spans, strict=True)]
    return {
        "since": begins[0],
        "hours": list(zip(begins, charts.bars(hours), strict=True)),
        "actions": counted.by_action,
        "most": max(counted.by_action.values(), default=1),
        "counted": MOST_OF_ONE,
        "total": counted.total,
        "head": counted.head,
    }


def _log(call: Call, now: datetime) -> dict[str, Any]:
    """How the log stands: signed how far and when, with which key, and what others have of it."""
    tenant, services = call.identity.tenant, call.services
    checkpointer, trail = services.checkpointer, services.trail
    identity = checkpointer.identities.current()
    newest = checkpointer.newest(tenant)
    cut = trail.cut(tenant)
    return {
        "head": trail.head(tenant),
        "size": 0 if newest is None else newest["size"],
        "number": 0 if newest is None else newest["number"],
        "age": None if newest is None else max(0.0, (now - newest["at"]).total_seconds()),
        "note": None if newest is None else newest["note"],
        "key": None if identity is None else str(identity.verifier(tenant)),
        "witnessed": [] if identity is None else checkpointer.log.witnessed(identity.log(tenant)),
        "cut": cut,
        "cut_time": trail.cut_time(tenant) if cut else None,
    }


def _queues(call: Call, now: datetime) -> list[Shown]:
    """The definitions that the caller may read, each with what is in its states and who holds what."""
    tenant, identity, services = call.identity.tenant, call.identity, call.services
    readable = [
        definition for definition in services.definitions.all(tenant) if identity.covers(Permission.READ, definition.name)
    ]
    held: dict[str, list[Held]] = {}
    for resource, tag in services.leases.running(tenant, LEASES):
        if resource.kind is Kind.OBJECT and tag.lease is not None and identity.covers(Permission.READ, tag.name):
            left = (tag.lease.until - now).total_seconds()
            held.setdefault(tag.name, []).append(Held(resource.id, tag.trace_id, tag.state, left, tag.lease.attempts))
    shown = []
    room = STATES
    for definition in readable:
        states = None
        if len(definition.states) <= room:
            room -= len(definition.states)
            states = {state: _filled(call, definition, state, now) for state in sorted(definition.states)}
        shown.append(Shown(definition, states, charts.diagram(definition), held.get(definition.name, [])))
    return shown


def _filled(call: Call, definition: Definition, state: int, now: datetime) -> Filled:
    tenant = call.identity.tenant
    count, since = call.services.queues.depth(Queue(tenant, definition.name, state))
    return Filled(state, definition.states[state], count, None if since is None else max(0.0, (now - since).total_seconds()))
