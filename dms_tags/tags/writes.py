"""The writes that changes are made of: what each must find, and what it sets, in MongoDB's words.

Each is one write to one document.  Its query is the lock, its update sets the tag and appends the record of the change
to the same document's `outbox` (DESIGN.md, "The idea").  Nothing in here speaks to a database.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dms_tags.model import Change, Changed, Kind, Lease, Tag, Verb, new_id, new_trace_id
from dms_tags.store.documents import Document, held, new_document, origin, record, row_of, tag_of

MAX_OUTBOX: Final = 1000
"""Changes of one resource that may wait for the relay; one more is refused, since each makes the next one slower."""

_of_an_actor = re.compile(r"(?:token|jwt|session|cli|system|none)/.*/").match

KEPT_REPLIES: Final = 32
"""Idempotency keys that a resource remembers (API.md section 1)."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write, not yet made: `update` on the document that `query` finds, or on none.

    `change_id` and `trace_id` are those that the change is recorded under, the first one where it makes several.
    """

    verb: Verb
    query: Document
    update: Document
    change_id: str
    trace_id: str

    @property
    def key(self) -> str:
        """The `_id` of the document."""
        return str(self.query["_id"])

    @property
    def record(self) -> Document:
        """The record of the change, of several the first, as the outbox gets it."""
        written: Document = self.update["$push"]["outbox"]
        first: Document = written["$each"][0] if "$each" in written else written
        return first

    def outcome(self, change: Change, since: datetime | None = None) -> Changed:
        """What comes of the change if the write is made, on a tag that is there since `since`.

        Where that is None an updated tag tells the time of the change instead.
        """
        at = self.update["$set"]["lastAt"]
        if self.verb is Verb.DELETE:
            return Changed(None, self.trace_id)
        tag = Tag(change.name, change.state, self.trace_id, at, self.change_id, at if since is None else since)
        return Changed(tag, self.trace_id, added=self.verb is Verb.ADD)


@dataclass(frozen=True, slots=True)
class Creation:
    """The making of a document, not yet done, by the change that gives a resource its first tag."""

    document: Document

    @property
    def key(self) -> str:
        """The `_id` of the document."""
        return str(self.document["_id"])

    @property
    def change_id(self) -> str:
        """What the change is recorded under."""
        return str(self.record["id"])

    @property
    def record(self) -> Document:
        """The record of the change, as the outbox gets it."""
        written: Document = self.document["outbox"][0]
        return written

    def outcome(self) -> Changed:
        """What comes of the change if the document is made."""
        tag = tag_of(self.document["tags"][0])
        return Changed(tag, tag.trace_id, added=True)


def compose(change: Change, verb: Verb, at: datetime, lease: Lease | None = None, since: datetime | None = None) -> Write:
    """The write that makes the change, as an add, an update or a removal, to a resource that has a document.

    `lease` is the one that the tag is known to have, None: the write demands that it has none.  Under a lease the caller
    adds on which side of the lease's end the database's clock must be.  The write demands that a tag it updates or removes
    is there since `since`; None: it does not matter.
    """
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
        update["$push"]["tags"] = row_of(change, change_id, trace_id, at)
    else:
        query["tags"] = {"$elemMatch": _condition(change, lease, since)}
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
                # None rather than gone: mongomock does not know $unset under a positional operator, and says nothing
                update["$set"]["tags.$.lease"] = None
    if change.holds is not None:
        if verb is Verb.DELETE:
            update["$unset"] = {"holds": ""}
        else:
            update["$set"]["holds"] = held(change.resource.tenant, change.holds)
    if change.idempotency is not None:
        query["replies.key"] = {"$nin": list(reply_keys(change))}
        update["$push"]["replies"] = {"$each": [reply(change, verb, change_id, trace_id, at)], "$slice": -KEPT_REPLIES}
    return Write(verb, query, update, change_id, trace_id)


def creation(change: Change, at: datetime) -> Creation:
    """The making of the document of a resource that never had a tag, with its first one."""
    trace_id = change.trace_id or new_trace_id()
    change_id = new_id()
    document = new_document(change.resource, at) | {
        "tags": [row_of(change, change_id, trace_id, at)],
        "seq": 1,
        "outbox": [record(change, Verb.ADD, change_id, trace_id, at)],
    }
    if change.resource.kind is Kind.OBJECT:
        document["known"] = origin(at, change.actor)
    if change.holds is not None:
        document["holds"] = held(change.resource.tenant, change.holds)
    if change.idempotency is not None:
        document["replies"] = [reply(change, Verb.ADD, change_id, trace_id, at)]
    return Creation(document)


def reply_keys(change: Change) -> tuple[str, ...]:
    """What the change's idempotency key is kept as: it is its actor's own.  Version 0.1.0 kept the key alone.

    A key that is spelt as one of an actor's is not looked for alone: it would find what that actor was answered.
    """
    if change.idempotency is None:
        return ()
    key = change.idempotency.key
    own = change.actor.own(key)
    return (own,) if _of_an_actor(key) else (own, key)


def reply(change: Change, verb: Verb, change_id: str, trace_id: str, at: datetime) -> Document:
    """What a repetition of the change under the same idempotency key is answered with."""
    assert change.idempotency is not None  # noqa: S101 - callers ask only for changes that have one
    kept: Document = {
        "key": reply_keys(change)[0],
        "fingerprint": change.idempotency.fingerprint,
        "name": change.name,
        "traceid": trace_id,
        "at": at,
    }
    if verb is not Verb.DELETE:
        kept |= {"state": change.state, "etag": change_id, "added": verb is Verb.ADD}
    return kept


def _condition(change: Change, lease: Lease | None, since: datetime | None) -> Document:
    """All conditions on the tag, in one `$elemMatch`: with two the positional `$` would point at the last."""
    conditions = change.conditions
    wanted: Document = {"name": change.name}
    if lease is None:
        wanted["lease"] = None
    else:
        wanted["lease.until"] = lease.until
    if since is not None:
        wanted["since"] = since
    if conditions.trace_id is not None:
        wanted["traceid"] = conditions.trace_id
    if conditions.etags is not None:
        wanted["etag"] = conditions.etags[0] if len(conditions.etags) == 1 else {"$in": list(conditions.etags)}
    wanted |= {f"state.{member}": value for member, value in conditions.having}
    if conditions.state is not None or conditions.forbidden_from:
        wanted["state"] = {}
        if conditions.state is not None:
            wanted["state"]["$eq"] = conditions.state
        if conditions.forbidden_from:
            wanted["state"]["$nin"] = list(conditions.forbidden_from)
    return wanted
