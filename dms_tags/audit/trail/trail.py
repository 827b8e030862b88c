"""Reading the trail: its head, one resource's history, and the wait that makes an answer complete.

Every read first waits until the changes that were pending when it began are in the trail, so that what was
acknowledged is in the answer.  The trail is read with majority read concern: no entry shown can be rolled back.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING

from dms_tags.audit.trail.entry import Entry
from dms_tags.errors import Gone, StoreUnavailable
from dms_tags.model import Resource
from dms_tags.store.database import Database, store_errors
from dms_tags.store.turn import Turn

BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Before every change: a condition on dates that keeps resources with an empty outbox out of an index scan."""

PATIENCE: Final = 10.0
"""Seconds for which a read waits for the relay."""

RELAY: Final = "relay"
"""The duty of moving changes into the trail, as its turns are kept."""

IDLE_SECONDS: Final = 5.0
"""A relay that is at work renews its turn several times a second."""

LOOK_MS: Final = 900


class Trail:
    """The audit trail of all tenants.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._entries = database.majority(database.trail)
        self._heads = database.majority(database.collection("trail_heads"))

    @property
    def entries(self) -> Any:
        """The collection of entries, read with majority."""
        return self._entries

    def head(self, tenant: str) -> int:
        """The highest position of the tenant's trail, 0 where it has none."""
        with store_errors():
            newest = self._entries.find_one({"tenant": tenant}, {"position": 1}, sort=[("position", DESCENDING)])
        return int(newest["position"]) if newest is not None else self.cut(tenant)

    def cut(self, tenant: str) -> int:
        """The last position that was archived away, 0 where none was."""
        with store_errors():
            found = self._heads.find_one({"_id": tenant})
        return int(found["cut"]) if found is not None else 0

    def cut_time(self, tenant: str) -> datetime:
        """The `recordedAt` of the last entry that was archived away; the beginning of time where none was."""
        with store_errors():
            found = self._heads.find_one({"_id": tenant})
        return BEGINNING if found is None else found["recordedAt"]

    def newest(self, tenant: str) -> Mapping[str, Any]:
        """Position and `recordedAt` of the newest entry, archived or not: where the relay goes on."""
        with store_errors():
            entry = self._entries.find_one({"tenant": tenant}, {"position": 1, "recordedAt": 1}, sort=[("position", DESCENDING)])
            if entry is not None:
                return entry
            archived = self._heads.find_one({"_id": tenant})
        if archived is not None:
            return {"position": archived["cut"], "recordedAt": archived["recordedAt"]}
        return {"position": 0, "recordedAt": BEGINNING}

    def run(self, tenant: str, begin: int, end: int) -> list[Entry]:
        """The entries at the positions `begin + 1 … end`, in order; fewer where there are fewer."""
        where = {"tenant": tenant, "position": {"$gt": begin, "$lte": end}}
        with store_errors():
            return list(self._entries.find(where, sort=[("position", ASCENDING)], hint="position", batch_size=end - begin + 1))

    def history(self, resource: Resource, size: int, page: int) -> tuple[list[Entry], bool]:
        """A page of one resource's entries, newest first, and whether there are more.

        Revisions are dense, so a page is a range of them and any page costs what the first does.
        Raises `Gone` for a page that was archived away whole.
        """
        self.wait_for(resource.tenant, resource)
        where = {"tenant": resource.tenant, "resource": resource.name}
        with store_errors():
            newest = self._entries.find_one(where, {"revision": 1}, sort=[("revision", DESCENDING)])
            if newest is None:
                return [], False
            last = newest["revision"] - page * size
            if last < 1:
                return [], False
            found = list(
                self._entries.find(
                    where | {"revision": {"$gt": last - size, "$lte": last}}, sort=[("revision", DESCENDING)], limit=size
                )
            )
        if not found:
            first = self.cut(resource.tenant) + 1
            raise Gone(f"these entries were archived; the trail now begins at position {first}", first)
        return found, found[-1]["revision"] > 1

    def wait_for(self, tenant: str, resource: Resource | None = None) -> None:
        """Waits until what is pending now, of the tenant or of one resource, is in the trail.

        The wait ends under load too, since later changes do not count.  Raises `StoreUnavailable` after ten seconds.
        """
        pending = self._pending(tenant, resource)
        pause = threading.Event()
        give_up = monotonic() + PATIENCE
        while pending:
            if monotonic() > give_up:
                raise StoreUnavailable(
                    "the audit trail is behind: changes that were acknowledged are not in it yet", retry_after=2
                )
            pause.wait(0.01)
            with store_errors():
                still = self._database.tags.find({"_id": {"$in": list(pending)}}, {"outbox.id": 1})
                left = {document["_id"]: {record["id"] for record in document["outbox"]} for document in still}
            pending = {key: ids & left.get(key, set()) for key, ids in pending.items() if ids & left.get(key, set())}

    def standing(self) -> Standing:
        """How far the trail is, over all tenants; of resources that wait the first ten thousand are counted."""
        waiting: dict[str, Any] = {"tenant": {"$gt": ""}, "outbox.0.at": {"$gt": BEGINNING}}
        with store_errors():
            tenants = self._database.tags.distinct("tenant")
            count = self._database.tags.count_documents(waiting, hint="outbox", limit=10_000)
            firsts = [
                self._database.tags.find_one(
                    waiting | {"tenant": tenant}, {"outbox": {"$slice": 1}}, sort=[("outbox.0.at", 1)], hint="outbox"
                )
                for tenant in tenants
            ]
            moment = self._database.clock.now()
            oldest = min((first["outbox"][0]["at"] for first in firsts if first and first["outbox"]), default=moment)
            heads = {tenant: self.head(tenant) for tenant in tenants}
        return Standing(count, max(0.0, (moment - oldest).total_seconds()), heads)

    def stands_still(self) -> bool:
        """Whether changes wait for longer than a reader does, and no relay is at work to move them."""
        waiting = {
            "tenant": {"$gt": ""},
            "outbox.0.at": {"$gt": BEGINNING, "$lt": self._database.clock.now() - timedelta(seconds=PATIENCE)},
        }
        with store_errors():
            oldest = self._database.tags.find_one(waiting, {"_id": 1}, hint="outbox", max_time_ms=LOOK_MS)
            return oldest is not None and Turn(self._database, RELAY, "", timedelta()).idle(IDLE_SECONDS)

    def _pending(self, tenant: str, resource: Resource | None) -> dict[str, set[str]]:
        where: dict[str, Any] = (
            {"_id": resource.key} if resource is not None else {"tenant": tenant, "outbox.0.at": {"$gt": BEGINNING}}
        )
        with store_errors():
            found = self._database.tags.find(where, {"outbox.id": 1}, hint=None if resource is not None else "outbox")
            return {document["_id"]: {record["id"] for record in document["outbox"]} for document in found if document["outbox"]}


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the trail is: resources that wait, the age in seconds of the oldest waiting change, the tenants' heads."""

    waiting: int
    lag: float
    heads: Mapping[str, int]
