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

from pymongo.errors import DuplicateKeyError

from dms_tags.bounded import Bounded
from dms_tags.counters import count_lease
from dms_tags.errors import Busy, StoreUnavailable
from dms_tags.model import Actor, Change, Changed, Conditions, Kind, Lease, Resource, Tag, Verb
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document, tag_of
from dms_tags.store.waiting import awaited
from dms_tags.tags import refusals
from dms_tags.tags.groups import Groups
from dms_tags.tags.reads import SharedReads
from dms_tags.tags.writes import MAX_OUTBOX, compose, creation, reply_keys

PATIENCE: Final = 4.0
"""Seconds for which a change that keeps meeting other writers is tried again."""

REMEMBERED: Final = 10_000
"""Tags of which a process knows by heart since when they are there."""

LEASE_ACTOR: Final = Actor("system:lease", "system")


class TagStore:
    """Tags in MongoDB, of any kind of resource.  Every method raises `StoreUnavailable` where MongoDB does not answer.

    `groups` is how its changes travel.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime] | None = None) -> None:
        self._database = database
        self._clock = clock or database.clock.recorded
        self.groups = Groups(database)
        self._reads = SharedReads(self._find_together)
        self._since: Bounded[tuple[str, str], datetime] = Bounded(REMEMBERED)
        # Writers of this process that met on a resource take turns, else those whose clock was read first starve
        self._turns = [threading.Lock() for _ in range(64)]

    def read(self, resource: Resource, name: str | None = None) -> list[Tag]:
        """The resource's tags, or the one called `name`, in the order in which they were added; none where it has none.

        A lease that has run out is taken back first, so that nobody sees a state that no longer holds.
        """
        while True:
            document = self._reads.read(resource.key, name) or {}
            tags = [tag_of(row) for row in document.get("tags", ())]
            self._remember(resource, *tags)
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
        `TransitionNotAllowed`, `IdempotencyKeyReused` or `StoreUnavailable`, and `DuplicateKeyError` where another resource
        has what the change `holds`.
        """
        verb: Verb = Verb.UPDATE if change.verb is Verb.SET else change.verb
        if change.conditions.absent and change.verb is Verb.SET:
            verb = Verb.ADD
        lease: Lease | None = None
        # Elsewhere than in a DMS the answer tells since when the tag is there, which its change must know beforehand
        tells_since = change.resource.kind is not Kind.OBJECT
        since = self._since.get((change.resource.key, change.name)) if tells_since and verb is Verb.UPDATE else None
        at = self._clock()
        give_up = monotonic() + PATIENCE
        with ExitStack() as turn:
            waits = False
            for attempt in itertools.count():
                # What may only be made where there is no tag, and changes one, is never made: it is only told why
                never = change.conditions.absent and verb is not Verb.ADD
                # Where it is not known since when the tag is there, or whether it is, one look tells both
                blind = tells_since and since is None and verb is Verb.UPDATE
                changed = None if never or blind else self._write(change, verb, at, lease, since)
                if changed is None and verb is Verb.ADD and attempt == 0:
                    changed = self._create(change, at)
                if changed is not None:
                    return changed

                document = self._find(change.resource)
                if document is None:
                    refusals.absent(change)
                    changed = self._create(change, at)
                    if changed is not None:
                        return changed
                    continue
                tag = next((tag_of(row) for row in document["tags"] if row["name"] == change.name), None)
                replayed = self._replayed(change, document, tag)
                if replayed is not None:
                    return replayed
                lease = tag.lease if tag is not None else None
                since = tag.since if tag is not None and tells_since else None
                if (
                    tag is not None
                    and lease is not None
                    and (attempt or lease.until <= self._clock())
                    and self.take_back(change.resource, tag)
                ):
                    continue
                change = refusals.conditions(change, tag)
                verb = refusals.verb(change, tag, len(document["tags"]))
                if len(document["outbox"]) >= MAX_OUTBOX:
                    raise Busy(f"the last {MAX_OUTBOX} changes of {change.resource.name} wait for the audit trail", retry_after=2)
                if monotonic() > give_up:
                    raise Busy(f"too many writers on {change.resource.name} at once; nothing was changed")
                if not waits and not blind:
                    waits = True
                    turn.enter_context(self.turn(change.resource))
                at = max(self._clock(), document["lastAt"])
        raise AssertionError("unreachable")  # pragma: no cover - the loop ends by return or raise

    def turn(self, resource: Resource) -> threading.Lock:
        """Held by a writer of this process that met another on the resource, while it tries again."""
        return self._turns[hash(resource.key) % len(self._turns)]

    def kept_answer(self, change: Change) -> Changed | None:
        """What the change was answered with when it came before under its idempotency key; None: it did not.

        Raises `IdempotencyKeyReused`.
        """
        document = (None if change.idempotency is None else self._find(change.resource)) or {}
        tag = next((tag_of(row) for row in document.get("tags", ()) if row["name"] == change.name), None)
        return self._replayed(change, document, tag)

    def unsay(self, change: Change) -> None:
        """Drops the answer that is kept for a change which was taken back: a repetition is judged anew."""
        keys = reply_keys(change)
        if keys:
            with store_errors():
                self._database.tags.update_one({"_id": change.resource.key}, {"$pull": {"replies": {"key": {"$in": list(keys)}}}})

    def answered(self, change: Change) -> str | None:
        """The name of the tag that was changed under the idempotency key of a change; None: none was, or by version 0.1.0."""
        keys = reply_keys(change)
        document = (self._find(change.resource) if keys else None) or {}
        return next((kept.get("name") for kept in document.get("replies", ()) if kept["key"] in keys), None)

    def _replayed(self, change: Change, document: Document, tag: Tag | None) -> Changed | None:
        """The answer that is kept in the resource's document, once a majority has it; None where there is none."""
        replayed = refusals.reply(change, document.get("replies", ()), tag)
        if replayed is not None:
            self._await_majority(change)
        return replayed

    def _await_majority(self, change: Change) -> None:
        """Waits until a majority has the answer that was kept: what is said again to be done must be as safe as what was done.

        Raises `StoreUnavailable` where that takes too long: a fail-over could still take the change back.
        """
        settled = self._database.majority(self._database.tags)
        query = {"_id": change.resource.key, "replies.key": {"$in": list(reply_keys(change))}}

        def look() -> Document | None:
            with store_errors():
                return settled.find_one(query, {"_id": 1})

        if awaited(look, PATIENCE) is None:
            raise StoreUnavailable(
                "the request came before and was not confirmed by a majority of MongoDB yet; send it again", uncertain=True
            )

    def take_back(self, resource: Resource, tag: Tag) -> bool:
        """Ends a lease that has run out by the database's clock: the tag returns to the state it had, or goes.

        True: it was taken back; False: it has not run out after all, or was changed or extended meanwhile.
        """
        return self.end_lease(resource, tag, LEASE_ACTOR, run_out=True) is not None

    def end_lease(
        self, resource: Resource, tag: Tag, actor: Actor, *, run_out: bool, reason: str | None = None
    ) -> Changed | None:
        """Lets a leased tag return to the state it had, or go, with a new trace id and ETag.

        `run_out` says on which side of the lease's end the database's clock must be.  How often the tag was claimed stays
        with it until it is changed.  None: it is on the other side, or the tag was changed or extended meanwhile.
        """
        lease = tag.lease
        document = self._find(resource)
        if lease is None or document is None:
            return None
        verb = Verb.DELETE if lease.back is None else Verb.UPDATE
        conditions = Conditions(etags=(tag.etag,))
        change = Change(resource, tag.name, verb, actor, state=lease.back, conditions=conditions, reason=reason)
        write = compose(change, verb, max(self._clock(), document["lastAt"]), lease)
        write.query.update(self._database.no_longer(lease.until) if run_out else self._database.not_yet(lease.until))
        if verb is Verb.DELETE:
            write.update["$set"][f"attempts.{tag.name}"] = lease.attempts
        else:
            write.update["$set"]["tags.$.lapses"] = {"etag": write.change_id, "attempts": lease.attempts}
        if not self.groups.make(write):
            return None
        count_lease("run_out" if run_out else "returned")
        return write.outcome(change, tag.since)

    def _find_together(self, name: str | None, keys: list[str]) -> Mapping[str, Document]:
        rows = {"tags": 1} if name is None else {"tags": {"$elemMatch": {"name": name}}}
        with store_errors():
            if len(keys) > 1:
                return {document["_id"]: document for document in self._database.tags.find({"_id": {"$in": keys}}, rows)}
            alone = self._database.tags.find_one({"_id": keys[0]}, rows)
        return {} if alone is None else {keys[0]: alone}

    def _find(self, resource: Resource) -> Document | None:
        with store_errors():
            return self._database.tags.find_one({"_id": resource.key}, {"tags": 1, "lastAt": 1, "outbox.id": 1, "replies": 1})

    def _write(self, change: Change, verb: Verb, at: datetime, lease: Lease | None, since: datetime | None) -> Changed | None:
        """Makes the change; under a lease only while that runs.  None: the write's query did not match."""
        write = compose(change, verb, at, lease, since)
        if lease is not None:
            write.query.update(self._database.not_yet(lease.until))
        if not self.groups.make(write):
            return None
        changed = write.outcome(change, since)
        if changed.tag is not None:
            self._remember(change.resource, changed.tag)
        return changed

    def _remember(self, resource: Resource, *tags: Tag) -> None:
        """Notes since when tags are there, for changes whose answers tell it; it is a condition of their writes."""
        if resource.kind is not Kind.OBJECT:
            for tag in tags:
                self._since.put((resource.key, tag.name), tag.since)

    def _create(self, change: Change, at: datetime) -> Changed | None:
        """Adds the first tag of a resource that has no document yet.  None: it has one meanwhile."""
        made = creation(change, at)
        try:
            self.groups.make(made)
        except DuplicateKeyError:
            if change.holds is not None and self._find(change.resource) is None:
                raise  # not the document is there, but another one that holds the word
            return None
        changed = made.outcome()
        if changed.tag is not None:
            self._remember(change.resource, changed.tag)
        return changed
