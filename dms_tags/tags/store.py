"""The engine: one write per change.

The filter of that write is the lock, its update sets the tag and appends the change to the same document's `outbox`.
MongoDB makes a write to one document atomic on every topology, so there can be no change without its record and no
record without its change (DESIGN.md, "The idea").  Nothing is ever read, compared and then written.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from time import monotonic
from typing import Any, Final

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from dms_tags.database import Database, Document, store_errors
from dms_tags.errors import StoreUnavailable
from dms_tags.tags import judge
from dms_tags.tags.model import Actor, Change, Changed, Lease, Resource, Tag, Verb, new_id, new_trace_id, now

MAX_OUTBOX: Final = 1000
"""Changes of one resource that may wait for the relay; one more is refused, since each makes the next one slower."""

KEPT_REPLIES: Final = 32
"""Idempotency keys that a resource remembers (API.md section 1)."""

PATIENCE: Final = 4.0
"""Seconds for which a change that keeps meeting other writers is tried again."""

LEASE_ACTOR: Final = Actor("system:lease", "system")


class TagStore:
    """Tags in MongoDB, of any kind of resource.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = now) -> None:
        self._database = database
        self._clock = clock
        # Writers of this process that met on a resource take turns, else those whose clock was read first starve
        self._turns = [threading.Lock() for _ in range(64)]

    def read(self, resource: Resource) -> list[Tag]:
        """The resource's tags, in the order in which they were added; none where it has none.

        A lease that has run out is taken back first, so that nobody sees a state that no longer holds.
        """
        while True:
            document = self._find(resource)
            tags = [] if document is None else [tag_of(row) for row in document["tags"]]
            lapsed = [tag for tag in tags if tag.lease is not None and tag.lease.until <= self._clock()]
            if not any(self.take_back(resource, tag) for tag in lapsed):
                return tags

    def attributes(self, resource: Resource) -> Mapping[str, Any] | None:
        """What was kept with the resource from its first tag on; None for a resource that never had a tag."""
        with store_errors():
            document = self._database.tags.find_one({"_id": resource.key}, {"attributes": 1})
        return None if document is None else document.get("attributes", {})

    def change(self, change: Change) -> Changed:
        """Makes one change, wholly or not at all, or says why not.

        Raises `TagExists`, `TooManyTags`, `TagNotFound`, `TraceMismatch`, `RevisionMismatch`, `StateMismatch`,
        `TransitionNotAllowed`, `IdempotencyKeyReused` or `StoreUnavailable`.
        """
        verb: Verb = Verb.UPDATE if change.verb is Verb.SET else change.verb
        lease: Lease | None = None
        at = self._clock()
        give_up = monotonic() + PATIENCE
        with ExitStack() as turn:
            for attempt in itertools.count():
                changed = self._write(change, verb, at, lease)
                if changed is None and verb is Verb.ADD and attempt == 0:
                    changed = self._create(change, at)
                if changed is not None:
                    return changed

                document = self._find(change.resource)
                if document is None:
                    judge.absent(change)
                    changed = self._create(change, at)
                    if changed is not None:
                        return changed
                    continue
                tag = next((tag_of(row) for row in document["tags"] if row["name"] == change.name), None)
                replayed = judge.reply(change, document.get("replies", ()), tag)
                if replayed is not None:
                    return replayed
                lease = tag.lease if tag is not None else None
                if (
                    tag is not None
                    and lease is not None
                    and (attempt or lease.until <= self._clock())
                    and self.take_back(change.resource, tag)
                ):
                    continue
                change = judge.conditions(change, tag)
                verb = judge.verb(change, tag, len(document["tags"]))
                if len(document["outbox"]) >= MAX_OUTBOX:
                    raise StoreUnavailable(
                        f"the last {MAX_OUTBOX} changes of {change.resource.name} wait for the audit trail", retry_after=2
                    )
                if monotonic() > give_up:
                    raise StoreUnavailable(f"too many writers on {change.resource.name} at once; nothing was changed")
                if attempt == 0:
                    turn.enter_context(self._turns[hash(change.resource.key) % len(self._turns)])
                at = max(self._clock(), document["lastAt"])
        raise AssertionError("unreachable")  # pragma: no cover - the loop ends by return or raise

    def take_back(self, resource: Resource, tag: Tag) -> bool:
        """Ends a lease that has run out by the database's clock: the tag returns to the state it had, or goes.

        True: it was taken back; False: it has not run out after all, or was changed or extended meanwhile.
        """
        lease = tag.lease
        if lease is None:
            return False
        verb = Verb.DELETE if lease.back is None else Verb.UPDATE
        change = Change(resource, tag.name, verb, LEASE_ACTOR, state=lease.back)
        document = self._find(resource)
        if document is None:
            return False
        at = max(self._clock(), document["lastAt"])
        return self._write(change, verb, at, lease, ended=True) is not None

    def _find(self, resource: Resource) -> Document | None:
        with store_errors():
            return self._database.tags.find_one({"_id": resource.key}, {"tags": 1, "lastAt": 1, "outbox.id": 1, "replies": 1})

    def _write(self, change: Change, verb: Verb, at: datetime, lease: Lease | None, *, ended: bool = False) -> Changed | None:
        """The one write.  None: its filter did not match."""
        conditions = change.conditions
        trace_id = conditions.trace_id or change.trace_id or new_trace_id()
        change_id = new_id()
        query: Document = {"_id": change.resource.key, f"outbox.{MAX_OUTBOX - 1}": {"$exists": False}, "lastAt": {"$lte": at}}
        update: Document = {
            "$set": {"lastAt": at},
            "$inc": {"seq": 1},
            "$push": {"outbox": record(change, verb, change_id, trace_id, at)},
        }
        if verb is Verb.ADD:
            query["tags.name"] = {"$ne": change.name}
            if change.max_tags is not None:
                query[f"tags.{change.max_tags - 1}"] = {"$exists": False}
            row = row_of(change, change_id, trace_id, at)
            update["$push"]["tags"] = row
        else:
            query["tags"] = {"$elemMatch": _condition(change, lease)}
            if lease is not None:
                query |= self._database.no_longer(lease.until) if ended else self._database.not_yet(lease.until)
            if verb is Verb.DELETE:
                update["$pull"] = {"tags": {"name": change.name}}
            else:
                update["$set"] |= {
                    "tags.$.state": change.state,
                    "tags.$.traceid": trace_id,
                    "tags.$.creationDate": at,
                    "tags.$.etag": change_id,
                }
                if lease is not None:
                    update["$unset"] = {"tags.$.lease": ""}
        if change.idempotency is not None:
            query["replies.key"] = {"$ne": change.idempotency.key}
            update["$push"]["replies"] = {"$each": [reply(change, verb, change_id, trace_id, at)], "$slice": -KEPT_REPLIES}
        with store_errors():
            document = self._database.tags.find_one_and_update(
                query,
                update,
                projection={"tags": {"$elemMatch": {"name": change.name}}, "attributes": 1},
                return_document=ReturnDocument.AFTER,
            )
        if document is None:
            return None
        left = next((tag_of(row) for row in document.get("tags", ()) if row["name"] == change.name), None)
        return Changed(left, trace_id, added=verb is Verb.ADD, attributes=document.get("attributes", {}))

    def _create(self, change: Change, at: datetime) -> Changed | None:
        """Adds the first tag of a resource that has no document yet.  None: it has one meanwhile."""
        trace_id = change.trace_id or new_trace_id()
        change_id = new_id()
        row = row_of(change, change_id, trace_id, at)
        document = new_document(change.resource, at) | {
            "tags": [row],
            "seq": 1,
            "outbox": [record(change, Verb.ADD, change_id, trace_id, at)],
        }
        if change.idempotency is not None:
            document["replies"] = [reply(change, Verb.ADD, change_id, trace_id, at)]
        try:
            with store_errors():
                self._database.tags.insert_one(document)
        except DuplicateKeyError:
            return None
        return Changed(tag_of(row), trace_id, added=True, attributes=change.resource.attributes or {})


def new_document(resource: Resource, at: datetime) -> Document:
    """The document of a resource that has no tag and no change yet."""
    document: Document = {
        "_id": resource.key,
        "tenant": resource.tenant,
        "kind": str(resource.kind),
        "id": resource.id,
        "tags": [],
        "seq": 0,
        "lastAt": at,
        "outbox": [],
        "trail": {"revision": 0, "tags": {}},
    }
    if resource.within is not None:
        document["within"] = resource.within
    if resource.attributes is not None:
        document["attributes"] = dict(resource.attributes)
    return document


def record(change: Change, verb: Verb, change_id: str, trace_id: str, at: datetime) -> Document:
    """The outbox record of a change; the relay adds to it what was before (API.md section 2)."""
    written: Document = {
        "id": change_id,
        "action": int(change.action_of(verb)),
        "name": change.name,
        "traceid": trace_id,
        "at": at,
        "by": change.actor.name,
        "byKind": change.actor.kind,
    }
    if verb is Verb.DELETE:
        written["removes"] = True
    else:
        written["state"] = change.state
    return written


def row_of(change: Change, change_id: str, trace_id: str, at: datetime) -> Document:
    """A tag as it is kept in its resource's document."""
    return {
        "name": change.name,
        "state": change.state,
        "traceid": trace_id,
        "creationDate": at,
        "etag": change_id,
        "since": at,
    }


def reply(change: Change, verb: Verb, change_id: str, trace_id: str, at: datetime) -> Document:
    """What a repetition of the change under the same idempotency key is answered with."""
    assert change.idempotency is not None  # noqa: S101 - callers ask only for changes that have one
    kept: Document = {"key": change.idempotency.key, "fingerprint": change.idempotency.fingerprint, "traceid": trace_id, "at": at}
    if verb is not Verb.DELETE:
        kept |= {"state": change.state, "etag": change_id, "added": verb is Verb.ADD}
    return kept


def tag_of(row: Document) -> Tag:
    """A tag from its row in a resource's document."""
    held = row.get("lease")
    lease = None if held is None else Lease(held["until"], held.get("back"))
    return Tag(row["name"], row["state"], row["traceid"], row["creationDate"], row["etag"], row["since"], lease)


def _condition(change: Change, lease: Lease | None) -> Document:
    """All conditions on the tag, in one `$elemMatch`: with two the positional `$` would point at the last."""
    conditions = change.conditions
    wanted: Document = {"name": change.name}
    if lease is None:
        wanted["lease"] = None
    else:
        wanted["lease.until"] = lease.until
    if conditions.trace_id is not None:
        wanted["traceid"] = conditions.trace_id
    if conditions.etags is not None:
        wanted["etag"] = conditions.etags[0] if len(conditions.etags) == 1 else {"$in": list(conditions.etags)}
    if conditions.state is not None or conditions.forbidden_from:
        wanted["state"] = {}
        if conditions.state is not None:
            wanted["state"]["$eq"] = conditions.state
        if conditions.forbidden_from:
            wanted["state"]["$nin"] = list(conditions.forbidden_from)
    return wanted
