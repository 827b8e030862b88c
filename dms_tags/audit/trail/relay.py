"""The relay: moves outbox records into the trail, in order, in batches.

Any number of relays may run, die between any two steps and lose replies: the unique indexes on `(tenant, position)`
and `(tenant, resource, revision)` let each change in once, and only what is known to be in the trail is cleared from
an outbox (DESIGN.md, "Data").  The lease merely keeps relays from treading on each other.
"""

from __future__ import annotations

import logging
import random
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from time import monotonic, sleep
from typing import Any, Final

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from dms_tags.audit.trail import entry
from dms_tags.audit.trail.actors import ActorKeys, OfTenant
from dms_tags.audit.trail.commitments import ActorKey
from dms_tags.audit.trail.entry import Entry
from dms_tags.audit.trail.trail import BEGINNING, Trail
from dms_tags.model import Actor
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document
from dms_tags.store.turn import RELAY, Turn
from dms_tags.tracing import span

BATCH_RESOURCES: Final = 500
BATCH_RECORDS: Final = 200
"""Records of one resource in a batch, at most."""

BATCH_SECONDS: Final = 10.0
"""A batch older than this is dropped and read anew: what it was made from may have changed."""

LEASE: Final = timedelta(seconds=0.5)
"""How long a relay that died keeps the others waiting: it bounds the lag that a death costs."""
RENEW_SECONDS: Final = 0.15
DUPLICATE_KEY: Final = 11000

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Work:
    """One resource of a batch: its document as read, and the entries made of its records."""

    document: Document
    records: list[Document]
    entries: list[Entry] = field(default_factory=list)
    recorded: int = 0


class _Behind(Exception):
    """Others have moved meanwhile what this batch was made of."""


class Relay:
    """Moves what is pending, of all tenants, into the trail.

    `step` is called with the name of each step before it is made, and may raise: the seam at which tests let it die.
    """

    def __init__(
        self, database: Database, *, step: Callable[[str], None] = lambda _name: None, clock: Callable[[], datetime] | None = None
    ) -> None:
        self._database = database
        self._trail = Trail(database)
        self._actors = ActorKeys(database)
        self._tags = database.majority(database.tags)
        self._step = step
        self._clock = clock or database.clock.recorded
        self._holder = secrets.token_hex(8)
        self._turn = Turn(database, RELAY, self._holder, LEASE)
        self._renew_at = 0.0
        self._heads: dict[str, tuple[int, datetime]] = {}
        self._in_doubt = True
        self._after = ""

    def run_once(self) -> int:
        """Moves one batch; the number of entries that it added.  0: nothing was pending, or another relay is at work.

        Raises `StoreUnavailable` where MongoDB does not answer; the next call goes on where this one stopped.
        """
        try:
            with store_errors():
                if not self._holds_lease():
                    return 0
                return self._move()
        except BaseException:
            # Whatever was cut short may have taken effect: look before the next step
            self._in_doubt = True
            self._renew_at = 0.0
            raise

    def release(self) -> None:
        """Gives the lease back, so that another relay need not wait for its end."""
        with store_errors():
            self._turn.give_back()
        self._renew_at = 0.0

    def _holds_lease(self) -> bool:
        if monotonic() < self._renew_at:
            return True
        self._step("lease")
        before = self._turn.take()
        if before is None:
            self._renew_at = 0.0
            return False
        if before != self._holder:
            self._in_doubt = True
        self._renew_at = monotonic() + RENEW_SECONDS
        return True

    def _move(self) -> int:
        started = monotonic()
        works = self._read()
        if not works:
            return 0
        with span("relay batch", **{"dms_tags.resources": len(works)}):
            return self._move_batch(works, started)

    def _move_batch(self, works: list[_Work], started: float) -> int:
        if self._in_doubt:
            works = self._settle(works)
        try:
            entries = self._number(works)
        except _Behind:
            self._in_doubt = True
            return 0
        self._step("insert")
        if monotonic() - started > BATCH_SECONDS:
            self._in_doubt = True
            return 0
        added = self._insert(entries)
        for work in works:
            work.recorded += sum(1 for made in work.entries if made["_id"] in added)
        self._clear(works)
        return len(added)

    def _read(self) -> list[_Work]:
        """What is pending, oldest first within a tenant; tenants take turns when there is more than a batch."""
        self._step("read")
        documents = self._pending(self._after)
        if not documents and self._after:
            documents = self._pending("")
        self._after = documents[-1]["tenant"] if len(documents) == BATCH_RESOURCES else ""
        return [_Work(document, document["outbox"]) for document in documents]

    def _pending(self, after: str) -> list[Document]:
        return list(
            self._tags.find(
                {"tenant": {"$gt": after}, "outbox.0.at": {"$gt": BEGINNING}},
                {"tenant": 1, "kind": 1, "id": 1, "within": 1, "trail": 1, "outbox": {"$slice": BATCH_RECORDS}},
                hint="outbox",
                limit=BATCH_RESOURCES,
            )
        )

    def _settle(self, works: list[_Work]) -> list[_Work]:
        """Drops the records that are in the trail already, and forgets what was believed about its heads."""
        self._step("settle")
        self._heads.clear()
        ids = [record["id"] for work in works for record in work.records]
        nexts = [
            {
                "tenant": work.document["tenant"],
                "resource": f"{work.document['kind']}/{work.document['id']}",
                "revision": work.document["trail"]["revision"] + 1,
            }
            for work in works
        ]
        # with the tenants, so that only their shards are asked where the trail is sharded
        there = {"tenant": {"$in": list({work.document["tenant"] for work in works})}, "_id": {"$in": ids}}
        present = {entry["_id"] for entry in self._trail.entries.find(there, {"_id": 1}, hint="_id_")}
        taken = {
            (entry["tenant"], entry["resource"]): entry["_id"]
            for entry in self._trail.entries.find({"$or": nexts}, {"tenant": 1, "resource": 1})
        }
        sound = []
        for work, key in zip(works, nexts, strict=True):
            holder = taken.get((key["tenant"], key["resource"]))
            if holder is not None and holder != work.records[0]["id"]:
                log.critical(
                    "revision %d of %s is another change in the trail: its changes stay in the outbox until someone has looked",
                    key["revision"],
                    work.document["_id"],
                )
                continue
            while work.recorded < len(work.records) and work.records[work.recorded]["id"] in present:
                work.recorded += 1
            sound.append(work)
        self._in_doubt = False
        return sound

    def _number(self, works: list[_Work]) -> list[Entry]:
        """Gives revisions and positions to all records that are not in the trail yet."""
        self._step("number")
        waiting = [(record["at"], work, index) for work in works for index, record in enumerate(work.records)]
        # Within a resource `at` never runs backwards and the sort is stable: its records keep their order
        waiting.sort(key=lambda item: (item[1].document["tenant"], item[0]))
        keys = self._keys(
            [(work.document["tenant"], work.records[index]) for _, work, index in waiting if index >= work.recorded]
        )
        made: list[Entry] = []
        for tenant, group in groupby(waiting, key=lambda item: item[1].document["tenant"]):
            position, last = self._head(tenant)
            recorded_at = max(self._clock(), last)
            for _, work, index in group:
                record = work.records[index]
                trail = work.document["trail"]
                trail["revision"] += 1
                previous = trail["tags"].get(record["name"])
                if index >= work.recorded:
                    position += 1
                    numbered = entry.make(
                        work.document,
                        record,
                        previous,
                        revision=trail["revision"],
                        position=position,
                        recorded_at=recorded_at,
                        actor=keys[tenant, _actor(record)],
                    )
                    work.entries.append(numbered)
                    made.append(numbered)
                if record.get("removes"):
                    trail["tags"].pop(record["name"], None)
                else:
                    trail["tags"][record["name"]] = {"state": record["state"], "traceid": record["traceid"]}
            self._heads[tenant] = (position, recorded_at)
        return made

    def _keys(self, records: list[tuple[str, Document]]) -> Mapping[OfTenant, ActorKey]:
        """The keys of those who made the records, each with its tenant.

        In one look for the whole batch, since a batch may be of hundreds of tenants.  Raises `_Behind` where what has no key any
        more had one: it was erased.
        """
        actors = {(tenant, _actor(record)) for tenant, record in records}
        keys = self._actors.standing(actors)
        if len(keys) == len(actors):
            return keys
        missing = actors - keys.keys()
        # No key is made for a name that was erased since the outboxes were read: by then its records are in the trail
        ids = [record["id"] for tenant, record in records if (tenant, _actor(record)) in missing]
        if self._trail.entries.find_one({"_id": {"$in": ids}}, {"_id": 1}) is not None:
            raise _Behind
        return {**keys, **self._actors.make(missing)}

    def _head(self, tenant: str) -> tuple[int, datetime]:
        known = self._heads.get(tenant)
        if known is None:
            newest = self._trail.newest(tenant)
            known = self._heads[tenant] = (newest["position"], newest["recordedAt"])
        return known

    def _insert(self, entries: list[Entry]) -> set[str]:
        """Inserts in order; the ids of those that went in: all, or those before the first duplicate."""
        if not entries:
            return set()
        try:
            self._database.trail.insert_many(entries, ordered=True)
        except BulkWriteError as error:
            self._in_doubt = True
            if any(failure["code"] != DUPLICATE_KEY for failure in error.details["writeErrors"]) or error.details.get(
                "writeConcernErrors"
            ):
                raise
            log.info("another relay was faster; starting again after %d entries", error.details["nInserted"])
            sleep(random.uniform(0, 0.03))  # noqa: S311 - spreads relays out, no secret
            return {made["_id"] for made in entries[: error.details["nInserted"]]}
        return {made["_id"] for made in entries}

    def _clear(self, works: Iterable[_Work]) -> None:
        """Takes from each outbox the prefix that is known to be in the trail, guarded by the revision it was read at."""
        self._step("clear")
        updates = [self._clearing(work) for work in works if work.recorded]
        if not updates:
            return
        outcome = self._database.tags.bulk_write(updates, ordered=False)
        if outcome.matched_count < len(updates):
            self._in_doubt = True

    @staticmethod
    def _clearing(work: _Work) -> UpdateOne:
        done = work.records[: work.recorded]
        before = work.document["trail"]["revision"] - len(work.records)
        update: dict[str, Any] = {
            "$set": {"trail.revision": before + len(done)},
            "$pull": {"outbox": {"id": {"$in": [record["id"] for record in done]}}},
        }
        for name, last in {record["name"]: record for record in done}.items():
            if last.get("removes"):
                update.setdefault("$unset", {})[f"trail.tags.{name}"] = ""
            else:
                update["$set"][f"trail.tags.{name}"] = {"state": last["state"], "traceid": last["traceid"]}
        return UpdateOne({"_id": work.document["_id"], "trail.revision": before}, update)


def _actor(record: Document) -> Actor:
    return Actor(record["by"], record["byKind"])
