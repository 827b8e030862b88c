"""Leases: holds on tags that end by themselves (API.md section 3).

A lease runs until a time of the database's clock, which every write under it is judged by, so that services whose own
clocks differ agree on who holds a tag.  One that ran out is taken back by whoever comes first: the reaper, a reader, or
the next change of the tag.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Final

from dms_tags.counters import count_lease
from dms_tags.errors import NotLeased, RevisionMismatch, StoreUnavailable, TagNotFound, TraceMismatch
from dms_tags.model import Actor, Changed, Kind, Lease, Resource, Tag
from dms_tags.names import same_trace
from dms_tags.store.clock import DatabaseClock
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document, tag_of
from dms_tags.tags.store import TagStore

BATCH: Final = 200
"""Leases that one look takes back, at most."""

AT_ONCE: Final = 32
"""Leases that are taken back side by side, and so go to MongoDB together."""

TRIES: Final = 20
"""Times that a write under a lease which keeps being extended elsewhere is tried again."""


class Leases:
    """What can be done with a leased tag besides changing it."""

    def __init__(self, database: Database, store: TagStore, clock: DatabaseClock | None = None) -> None:
        self._database = database
        self._store = store
        self._clock = clock or database.clock

    def until(self, seconds: int) -> datetime:
        """When a lease of so many seconds that begins now ends."""
        return self._clock.now() + timedelta(seconds=seconds)

    def extend(self, resource: Resource, name: str, trace_id: str, seconds: int, etags: tuple[str, ...] | None = None) -> Tag:
        """Lets a lease run for `seconds` from now; the tag, its ETag too, stays as it is.

        Raises `TagNotFound`, `TraceMismatch`, `RevisionMismatch` or `NotLeased`.
        """
        for _ in range(TRIES):
            tag, lease = self._held(resource, name, trace_id, etags)
            until = self.until(seconds)
            query: Document = {
                "_id": resource.key,
                "tags": {"$elemMatch": {"name": name, "etag": tag.etag, "lease.until": lease.until}},
                **self._database.not_yet(lease.until),
            }
            with store_errors():
                written = self._database.tags.update_one(query, {"$set": {"tags.$.lease.until": until}})
            if written.matched_count:
                count_lease("extended")
                return tag
        raise _contended(resource)

    def give_back(
        self,
        resource: Resource,
        name: str,
        trace_id: str,
        actor: Actor,
        etags: tuple[str, ...] | None = None,
        *,
        reason: str | None = None,
    ) -> Changed:
        """Ends a lease at once: the tag returns to the state it had, or goes, with a new trace id and ETag.

        Raises `TagNotFound`, `TraceMismatch`, `RevisionMismatch` or `NotLeased`.
        """
        for _ in range(TRIES):
            tag, _lease = self._held(resource, name, trace_id, etags)
            changed = self._store.end_lease(resource, tag, actor, run_out=False, reason=reason)
            if changed is not None:
                return changed
        raise _contended(resource)

    def take_back(self, tenant: str | None = None) -> int:
        """Takes back up to `BATCH` leases that have run out, of one tenant or of all; how many it did take back.

        None of those that others took back meanwhile, or that cannot be taken back now, counts: whoever goes on at once as
        long as there is work would do so for ever.
        """
        moment = self._clock.now()
        query: Document = {"tags.lease.until": {"$lte": moment}}
        if tenant is not None:
            query["tenant"] = tenant
        wanted = {"tenant": 1, "kind": 1, "id": 1, "tags": 1}
        with store_errors():
            documents = list(self._database.tags.find(query, wanted, hint="leases", sort=[("tags.lease.until", 1)], limit=BATCH))
        lapsed = [
            (Resource(document["tenant"], Kind(document["kind"]), document["id"]), tag)
            for document in documents
            for tag in map(tag_of, document["tags"])
            if tag.lease is not None and tag.lease.until <= moment
        ]
        if len(lapsed) < 2:
            return sum(self._store.take_back(resource, tag) for resource, tag in lapsed)
        with ThreadPoolExecutor(min(len(lapsed), AT_ONCE)) as side_by_side:
            return sum(side_by_side.map(lambda ended: self._store.take_back(*ended), lapsed))

    def held(self, limit: int) -> int:
        """How many resources have a leased tag, `limit` at most."""
        with store_errors():
            running = {"tags.lease.until": {"$gt": self._clock.now()}}
            held: int = self._database.tags.count_documents(running, hint="leases", limit=limit)
        return held

    def running(self, tenant: str, limit: int) -> list[tuple[Resource, Tag]]:
        """Leased tags of a tenant and the resources that they are on, up to `limit` of each, those first whose leases end first."""
        query: Document = {"tenant": tenant, "tags.lease.until": {"$gt": self._clock.now()}}
        wanted = {"kind": 1, "id": 1, "tags": 1}
        with store_errors():
            documents = list(self._database.tags.find(query, wanted, hint="leases", sort=[("tags.lease.until", 1)], limit=limit))
        return [
            (Resource(tenant, Kind(document["kind"]), document["id"]), tag)
            for document in documents
            for tag in map(tag_of, document["tags"])
            if tag.lease is not None
        ]

    def _held(self, resource: Resource, name: str, trace_id: str, etags: tuple[str, ...] | None) -> tuple[Tag, Lease]:
        """The tag and its lease; a lease that has run out is taken back on the way, and then no longer there."""
        tag = next(iter(self._store.read(resource, name)), None)
        if tag is None:
            raise TagNotFound(f"{resource.name} has no tag {name!r}: a lease that ran out may have removed it")
        if not same_trace(trace_id, tag.trace_id):
            raise TraceMismatch(f"the trace id of the request is not the one of the tag {name!r}: its lease is not yours", tag)
        if etags is not None and tag.etag not in etags:
            raise RevisionMismatch(f"the tag {name!r} was changed since: If-Match does not name its ETag", tag)
        if tag.lease is None:
            raise NotLeased(f"the tag {name!r} is not leased: a claim with leaseSeconds leases it")
        return tag, tag.lease


def _contended(resource: Resource) -> StoreUnavailable:
    return StoreUnavailable(f"too many writers on {resource.name} at once; the lease is as it was")
