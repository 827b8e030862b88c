"""Judges a database at rest against the invariants of DESIGN.md, from its stored documents alone.

Written apart from `dms_tags.audit.verify.replay`, which it also runs: a fault in the one would not hide in the other.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from dms_tags.audit.verify import replay
from dms_tags.store.database import Database

Document = dict[str, Any]
REMOVED: Final = (210, 10210)
DRAIN_SECONDS: Final = 60.0


def wait_until_drained(database: Database, seconds: float = DRAIN_SECONDS) -> None:
    """Waits until no change waits for the trail: until the relays that run somewhere have moved all."""
    deadline = time.monotonic() + seconds
    while database.tags.find_one({"outbox.0": {"$exists": True}}, {"_id": 1}) is not None:
        assert time.monotonic() < deadline, f"the outboxes were not drained within {seconds:.0f} s"
        time.sleep(0.05)


def check(
    database: Database, *, made: Iterable[str], refused: Iterable[str] = (), unsure: Iterable[str] = (), tenant: str = "default"
) -> None:
    """Asserts all invariants of a tenant that is at rest.

    The trace ids are of changes under a trace id of their own: those of `made` are in the trail exactly once, those of
    `refused` not at all, those of `unsure` at most once, and the trail holds no others.
    """
    _check_traces(trail_at_rest(database, tenant), set(made), set(refused), set(unsure))


def trail_at_rest(database: Database, tenant: str = "default") -> list[Document]:
    """The entries of a tenant that is at rest, in order, after asserting that they agree with each other and with the tags."""
    entries = list(database.trail.find({"tenant": tenant}, sort=[("position", 1)]))
    documents = list(database.tags.find({"tenant": tenant}))
    _check_order(entries)
    _check_resources(entries, documents)
    assert replay.check(database, tenant) == []
    return entries


def _check_traces(entries: list[Document], made: set[str], refused: set[str], unsure: set[str]) -> None:
    times = Counter(entry["traceId"] for entry in entries)
    lost = [trace for trace in made if times[trace] == 0]
    doubled = [trace for trace, count in times.items() if count > 1]
    possible = made | unsure
    phantoms = [trace for trace in times if trace in refused or trace not in possible]
    assert (lost, doubled, phantoms) == ([], [], []), "acknowledged and lost, recorded twice, recorded without a change"


def _check_order(entries: list[Document]) -> None:
    assert [entry["position"] for entry in entries] == list(range(1, len(entries) + 1))
    recorded = [entry["recordedAt"] for entry in entries]
    assert recorded == sorted(recorded)


def _check_resources(entries: list[Document], documents: list[Document]) -> None:
    by_resource: dict[str, list[Document]] = {}
    for entry in entries:
        by_resource.setdefault(entry["resource"], []).append(entry)
    # An object that was made known without a tag has a document, and nothing in the trail
    assert set(by_resource) <= {f"{document['kind']}/{document['id']}" for document in documents}
    for document in documents:
        _check_resource(document, by_resource.get(f"{document['kind']}/{document['id']}", []))


def _check_resource(document: Document, entries: list[Document]) -> None:
    key = document["_id"]
    assert [entry["revision"] for entry in entries] == list(range(1, len(entries) + 1)), key
    assert (document["seq"], document["trail"]["revision"], document["outbox"]) == (len(entries), len(entries), []), key
    changed = [entry["creationDate"] for entry in entries]
    assert changed == sorted(changed), key

    tags: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        before = tags.pop(entry["name"], None)
        told = (entry["previousState"], entry["previousTraceId"])
        assert told == ((before["state"], before["traceId"]) if before else (None, None)), (key, entry["revision"])
        if entry["action"] not in REMOVED:
            tags[entry["name"]] = entry
    stored = {tag["name"]: (tag["state"], tag["traceid"], tag["creationDate"], tag["etag"]) for tag in document["tags"]}
    replayed = {name: (entry["state"], entry["traceId"], entry["creationDate"], entry["_id"]) for name, entry in tags.items()}
    assert stored == replayed, key
