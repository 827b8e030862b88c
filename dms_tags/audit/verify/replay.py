"""Replaying the trail: it gives the tags.  A check that anyone can run, not only an idea (DESIGN.md, invariants 1-6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dms_tags.audit.trail.entry import Entry, flat, removes
from dms_tags.audit.trail.trail import Trail
from dms_tags.names import spell_time
from dms_tags.store.database import Database, store_errors


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that does not hold: where in the trail (0: not at one position), and what."""

    position: int
    what: str


@dataclass(slots=True)
class Replayed:
    """A resource as the entries so far leave it."""

    revision: int = 0
    tags: dict[str, Any] = field(default_factory=dict)
    position: int = 0
    """Where its last entry stands; 0 where that is not known."""


def apply(standing: Replayed, entry: Mapping[str, Any]) -> str | None:
    """Takes one entry, in order of revision; says what is wrong with it, if anything is."""
    before = standing.tags.get(entry["name"])
    wrong = None
    if entry["revision"] != standing.revision + 1:
        wrong = f"{entry['resource']} has revision {entry['revision']} after {standing.revision}"
    elif entry["previousState"] != (before and before["state"]) or entry["previousTraceId"] != (before and before["traceId"]):
        wrong = f"{entry['resource']} revision {entry['revision']} tells another previous state than the entry before it left"
    elif removes(entry) and before is None:
        wrong = f"{entry['resource']} revision {entry['revision']} removes a tag that is not there"
    standing.revision, standing.position = entry["revision"], entry["position"]
    if removes(entry):
        standing.tags.pop(entry["name"], None)
    else:
        standing.tags[entry["name"]] = {"state": entry["state"], "traceId": entry["traceId"], "changed": entry["creationDate"]}
    return wrong


def replay(entries: Iterable[Entry], standings: dict[str, Replayed], after: int = 0, newest: Any = None) -> Iterator[Fault]:
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
        wrong = apply(standings.setdefault(entry["resource"], Replayed()), entry)
        if wrong is not None:
            yield Fault(position, wrong)


def baselines(database: Database, tenant: str) -> dict[str, Replayed]:
    """How the resources stood at the cut of an archived trail, as its baselines have it; none where nothing was archived."""
    cut = Trail(database).cut(tenant)
    where = {"tenant": tenant, "cut": {"$lte": cut}}
    with store_errors():
        kept = database.majority(database.collection("trail_baselines")).find(where, sort=[("cut", 1)])
        return (
            {base["resource"]: Replayed(base["revision"], _tags(base["tags"]), base.get("position", 0)) for base in kept}
            if cut
            else {}
        )


def _tags(kept: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        tag["name"]: {"state": tag["state"], "traceId": tag["traceId"], "changed": spell_time(tag["changed"])} for tag in kept
    }


def compare(database: Database, tenant: str, standings: Mapping[str, Replayed]) -> Iterator[Fault]:
    """Holds a tenant's tags against what its trail left of each resource; changes made meanwhile are no fault.

    A document says itself how much of it is in the trail (`trail.revision`) and what is not yet (`outbox`): so it is compared
    with the trail up to there, and the rest of it.  Raises `StoreUnavailable`.
    """
    met: set[str] = set()
    trail = Trail(database)
    with store_errors():
        for document in database.tags.find({"tenant": tenant}):
            resource = f"{document['kind']}/{document['id']}"
            met.add(resource)
            try:
                standing = standings.get(resource, Replayed())
                standing = Replayed(standing.revision, dict(standing.tags))
                where = {"tenant": tenant, "resource": resource, "revision": {"$gt": standing.revision}}
                if document["trail"]["revision"] > standing.revision:
                    for entry in trail.entries.find(where, sort=[("revision", 1)]):
                        if entry["revision"] <= document["trail"]["revision"]:
                            apply(standing, flat(entry))
                yield from _behind(resource, document, standing)
            except (KeyError, TypeError, AttributeError) as error:
                yield Fault(0, f"{resource}: its document lacks a member, or has one of another kind ({error!r})")
    yield from (
        Fault(0, f"{resource}: it is in the trail, its document is not among the tags")
        for resource in sorted(standings.keys() - met)
    )


def _behind(resource: str, document: Mapping[str, Any], standing: Replayed) -> Iterator[Fault]:
    """What was changed behind the trail's back: neither the trail nor the outbox tells of it."""
    if document["trail"]["revision"] != standing.revision:
        yield Fault(
            0,
            f"{resource}: {document['trail']['revision']} changes are in the trail by its document, {standing.revision} are there",
        )
        return
    if document["seq"] != standing.revision + len(document["outbox"]):
        yield Fault(
            0,
            f"{resource}: its document counts {document['seq']} changes, the trail {standing.revision} and {len(document['outbox'])} are on the way",
        )
    told: dict[str, Any] = {
        name: {"state": tag["state"], "traceId": tag["traceId"], "changed": tag["changed"]} for name, tag in standing.tags.items()
    }
    for record in document["outbox"]:
        if record.get("removes"):
            told.pop(record["name"], None)
        else:
            told[record["name"]] = {"state": record["state"], "traceId": record["traceid"], "changed": spell_time(record["at"])}
    there = {
        tag["name"]: {"state": tag["state"], "traceId": tag["traceid"], "changed": spell_time(tag["creationDate"])}
        for tag in document["tags"]
    }
    for name in sorted(told.keys() | there.keys()):
        if there.get(name) != told.get(name):
            yield Fault(
                0,
                f"{resource}: its tag {name} was changed behind the trail's back: it is {there.get(name)}, by its trail {told.get(name)}",
            )


def check(database: Database, tenant: str, standings: dict[str, Replayed] | None = None) -> list[Fault]:
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
            faults.extend(_compare(document, stand.pop(f"{document['kind']}/{document['id']}", Replayed())))
    faults.extend(Fault(0, f"{name} is in the trail but not among the tags") for name in stand)
    return faults


def _compare(document: Mapping[str, Any], standing: Replayed) -> Iterator[Fault]:
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
