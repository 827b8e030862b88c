"""Replaying the trail: it gives the tags.  A check that anyone can run, not only an idea (DESIGN.md, invariants 1-6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dms_tags.audit.trail.entry import Entry, removes
from dms_tags.audit.trail.trail import Trail
from dms_tags.store.database import Database, store_errors


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that does not hold: where in the trail (0: not at one position), and what."""

    position: int
    what: str


@dataclass(slots=True)
class Standing:
    """A resource as the entries so far leave it."""

    revision: int = 0
    tags: dict[str, Any] = field(default_factory=dict)


def apply(standing: Standing, entry: Mapping[str, Any]) -> str | None:
    """Takes one entry, in order of revision; says what is wrong with it, if anything is."""
    before = standing.tags.get(entry["name"])
    wrong = None
    if entry["revision"] != standing.revision + 1:
        wrong = f"{entry['resource']} has revision {entry['revision']} after {standing.revision}"
    elif entry["previousState"] != (before and before["state"]) or entry["previousTraceId"] != (before and before["traceId"]):
        wrong = f"{entry['resource']} revision {entry['revision']} tells another previous state than the entry before it left"
    elif removes(entry) and before is None:
        wrong = f"{entry['resource']} revision {entry['revision']} removes a tag that is not there"
    standing.revision = entry["revision"]
    if removes(entry):
        standing.tags.pop(entry["name"], None)
    else:
        standing.tags[entry["name"]] = {"state": entry["state"], "traceId": entry["traceId"], "changed": entry["creationDate"]}
    return wrong


def replay(entries: Iterable[Entry], standings: dict[str, Standing], after: int = 0, newest: Any = None) -> Iterator[Fault]:
    """Replays a tenant's entries in order of position into `standings`, by resource, and yields every fault.

    `after` is the position before the first, `newest` the `recordedAt` there.
    """
    position = after
    for entry in entries:
        if entry["position"] != position + 1:
            yield Fault(entry["position"], f"position {entry['position']} follows {position}")
        if newest is not None and entry["recordedAt"] < newest:
            yield Fault(entry["position"], "recordedAt runs backwards")
        position, newest = entry["position"], entry["recordedAt"]
        wrong = apply(standings.setdefault(entry["resource"], Standing()), entry)
        if wrong is not None:
            yield Fault(position, wrong)


def check(database: Database, tenant: str, standings: dict[str, Standing] | None = None) -> list[Fault]:
    """Replays a tenant's whole trail and holds it against its tags, outboxes included; the faults, none if all holds.

    `standings` is where the resources stood at the cut of an archived trail.  Meant for a tenant that is at rest:
    a change made meanwhile may show as a fault.
    """
    trail = Trail(database)
    trail.wait_for(tenant)
    stand = {} if standings is None else standings
    with store_errors():
        entries = trail.entries.find({"tenant": tenant}, sort=[("position", 1)])
        faults = list(replay(entries, stand, trail.cut(tenant)))
        # The wait ends when an outbox is seen to be cleared; a read with majority may see it as it was a moment before
        for document in database.tags.find({"tenant": tenant}):
            faults.extend(_compare(document, stand.pop(f"{document['kind']}/{document['id']}", Standing())))
    faults.extend(Fault(0, f"{name} is in the trail but not among the tags") for name in stand)
    return faults


def _compare(document: Mapping[str, Any], standing: Standing) -> Iterator[Fault]:
    key = document["_id"]
    if document["outbox"]:
        yield Fault(0, f"{key} has {len(document['outbox'])} changes that are not in the trail")
    if document["seq"] != standing.revision or document["trail"]["revision"] != standing.revision:
        yield Fault(0, f"{key} counts {document['seq']} changes, the trail {standing.revision}")
    tags = {
        tag["name"]: {"state": tag["state"], "traceId": tag["traceid"], "changed": tag["creationDate"]}
        for tag in document["tags"]
    }
    if tags != standing.tags:
        yield Fault(0, f"{key} is {tags}, by its trail {standing.tags}")
