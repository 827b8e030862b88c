"""Reading the trail: its head, one resource's history, and the wait that makes an answer complete.

Every read first waits until the changes that were pending when it began are in the trail, so that what was
acknowledged is in the answer.  The trail is read with majority read concern: no entry shown can be rolled back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from time import monotonic
from typing import Any, Final, TypeVar

from pymongo import ASCENDING, DESCENDING

from dms_tags.audit.trail.entry import Entry
from dms_tags.errors import Busy, Gone, StoreUnavailable
from dms_tags.model import Action, Actor, Resource
from dms_tags.names import beginning
from dms_tags.store.database import Database, store_errors
from dms_tags.store.turn import Turn

BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Before every change: a condition on dates that keeps resources with an empty outbox out of an index scan."""

PATIENCE: Final = 10.0
"""Seconds for which a read waits for the relay."""

IDLE_SECONDS: Final = 5.0
"""A relay that is at work renews its turn several times a second."""

LOOK_MS: Final = 900


TRIES: Final = 5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Entries of one resource, newest first; whether older ones follow, and whether none of it was archived away."""

    entries: list[Entry]
    more: bool
    complete: bool


class Vanished(Exception):
    """An entry that was there a moment ago is not: the trail was archived meanwhile."""


class Trail:
    """The audit trail of all tenants.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._entries = database.majority(database.trail)
        self._heads = database.majority(database.collection("trail_heads"))
        self._baselines = database.majority(database.collection("trail_baselines"))

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
            archived = self._heads.find_one({"_id": tenant})
        return int(archived["cut"]) if archived is not None else 0

    def cut_time(self, tenant: str) -> datetime:
        """The `recordedAt` of the last entry that was archived away; the beginning of time where none was."""
        with store_errors():
            archived = self._heads.find_one({"_id": tenant})
        return BEGINNING if archived is None else archived["recordedAt"]

    def of_valid_orders(self, tenant: str) -> Mapping[str, Any]:
        """The condition on baselines that were made by an order to archive which moved the cut."""
        return {"order": {"$in": [None, *self.orders(tenant)]}}

    def orders(self, tenant: str) -> list[int]:
        """The numbers of the orders to archive that moved the cut, in order."""
        with store_errors():
            archived = self._heads.find_one({"_id": tenant}, {"orders": 1}) or {}
        return [*archived.get("orders", ())]

    def baseline(self, resource: Resource, cut: int) -> Mapping[str, Any] | None:
        """How a resource stood at the cut of an archived trail; None where nothing of it was archived."""
        if not cut:
            return None
        where = {"tenant": resource.tenant, "resource": resource.name, "cut": {"$lte": cut}}
        with store_errors():
            bases = self._baselines.find({**where, **self.of_valid_orders(resource.tenant)}, sort=[("cut", -1)], limit=1)
            return next(iter(bases), None)

    def baselines(self, tenant: str, cut: int) -> Iterator[Mapping[str, Any]]:
        """How each resource with archived entries stood at the cut, in order of the resources; without its tags."""
        if not cut:
            return
        where = {"tenant": tenant, "cut": {"$lte": cut}, **self.of_valid_orders(tenant)}
        with store_errors():
            bases = self._baselines.find(where, {"tags": 0}, sort=[("resource", ASCENDING), ("cut", ASCENDING)], hint="baseline")
            for _, of_resource in groupby(bases, itemgetter("resource")):
                *_, newest = of_resource
                yield newest

    def while_cut_stands(self, tenant: str, read: Callable[[int], T]) -> T:
        """What `read` makes of the trail and of its cut, with nothing archived meanwhile: else it is read again.

        Raises `Busy` where that happens again and again.
        """
        cut = self.cut(tenant)
        for _ in range(TRIES):
            try:
                answer = read(cut)
            except Vanished:
                answer = None
            before, cut = cut, self.cut(tenant)
            if cut == before and answer is not None:
                return answer
        raise Busy("the trail is being archived; try again")

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

    def history(self, resource: Resource, size: int, page: int, prefixes: Sequence[str] | None = None) -> HistoryPage:
        """A page of one resource's entries, newest first; of tags whose names begin with one of `prefixes`, where there are any.

        Revisions are dense, so a page is a range of them and any page costs what the first does; among `prefixes` it costs
        more the further back it is.  Raises `Gone` for a page that was archived away whole.
        """
        self.wait_for(resource.tenant, resource)
        if prefixes is not None:
            return self.while_cut_stands(resource.tenant, lambda cut: self._history_of(resource, size, page, prefixes, cut))
        return self.while_cut_stands(resource.tenant, lambda cut: self._history(resource, size, page, cut))

    def _history_of(self, resource: Resource, size: int, page: int, prefixes: Sequence[str], cut: int) -> HistoryPage:
        names = beginning(prefixes)
        where = {"tenant": resource.tenant, "resource": resource.name, "position": {"$gt": cut}, "name": names}
        with store_errors():
            newest_first = [("revision", DESCENDING)]
            entries = list(self._entries.find(where, sort=newest_first, skip=page * size, limit=size + 1, hint="revision"))
        complete = self.baseline(resource, cut) is None
        if not entries and not complete:
            raise Gone(f"these entries were archived; the trail now begins at position {cut + 1}", cut + 1)
        return HistoryPage(entries[:size], more=len(entries) > size, complete=complete)

    def _history(self, resource: Resource, size: int, page: int, cut: int) -> HistoryPage:
        base = self.baseline(resource, cut)
        archived = 0 if base is None else int(base["revision"])
        where = {"tenant": resource.tenant, "resource": resource.name}
        with store_errors():
            newest = self._entries.find_one(where, {"revision": 1}, sort=[("revision", DESCENDING)])
        last = max(archived, 0 if newest is None else newest["revision"]) - page * size
        if last < 1:
            return HistoryPage([], more=False, complete=base is None)
        if last <= archived:
            raise Gone(f"these entries were archived; the trail now begins at position {cut + 1}", cut + 1)
        revisions = {"revision": {"$gt": max(last - size, archived), "$lte": last}}
        with store_errors():
            entries = list(self._entries.find(where | revisions, sort=[("revision", DESCENDING)], limit=size))
        return HistoryPage(entries, more=bool(entries) and entries[-1]["revision"] > archived + 1, complete=base is None)

    def wait_for(self, tenant: str, resource: Resource | None = None, move: Callable[[], object] = lambda: None) -> None:
        """Waits until what is pending now, of the tenant or of one resource, is in the trail.

        The wait ends under load too, since later changes do not count.  Raises `StoreUnavailable` after ten seconds.
        `move` is called on the way: what helps it on where there may be no service beside.
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
            move()
            with store_errors():
                still = self._database.tags.find({"_id": {"$in": list(pending)}}, {"outbox.id": 1})
                left = {document["_id"]: {record["id"] for record in document["outbox"]} for document in still}
            pending = {key: ids & left.get(key, set()) for key, ids in pending.items() if ids & left.get(key, set())}

    def tenants(self) -> list[str]:
        """The tenants that have resources, in order."""
        with store_errors():
            return sorted(self._database.tags.distinct("tenant"))

    def waiting(self, limit: int) -> list[datetime]:
        """Of up to `limit` resources with changes that are not in the trail yet, the time of the oldest such change."""
        where: dict[str, Any] = {"tenant": {"$gt": ""}, "outbox.0.at": {"$gt": BEGINNING}}
        with store_errors():
            found = self._database.tags.find(where, {"id": 1, "outbox": {"$slice": 1}}, hint="outbox", limit=limit)
            return [document["outbox"][0]["at"] for document in found if document["outbox"]]

    def stands_still(self) -> bool:
        """Whether changes wait for longer than a reader does, and no relay is at work to move them."""
        waiting = {
            "tenant": {"$gt": ""},
            "outbox.0.at": {"$gt": BEGINNING, "$lt": self._database.clock.now() - timedelta(seconds=PATIENCE)},
        }
        with store_errors():
            oldest = self._database.tags.find_one(waiting, {"_id": 1}, hint="outbox", max_time_ms=LOOK_MS)
            return oldest is not None and Turn.of_relay(self._database).idle(IDLE_SECONDS)

    def awaits(self, tenant: str, actor: Actor) -> bool:
        """Whether changes by an actor are not in the trail yet."""
        theirs = {"$elemMatch": {"by": actor.name, "byKind": actor.kind}}
        with store_errors():
            where = {"tenant": tenant, "outbox.0.at": {"$gt": BEGINNING}, "outbox": theirs}
            return self._database.tags.find_one(where, {"_id": 1}, hint="outbox") is not None

    def has_since(self, tenant: str, action: Action, position: int) -> bool:
        """Whether an entry of an action stands behind a position."""
        with store_errors():
            where = {"tenant": tenant, "action": int(action), "position": {"$gt": position}}
            return self.entries.find_one(where, {"_id": 1}, hint="action") is not None

    def _pending(self, tenant: str, resource: Resource | None) -> dict[str, set[str]]:
        where: dict[str, Any] = (
            {"_id": resource.key} if resource is not None else {"tenant": tenant, "outbox.0.at": {"$gt": BEGINNING}}
        )
        with store_errors():
            documents = self._database.tags.find(where, {"outbox.id": 1}, hint=None if resource is not None else "outbox")
            return {
                document["_id"]: {record["id"] for record in document["outbox"]} for document in documents if document["outbox"]
            }
