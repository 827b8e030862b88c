"""Archiving: the oldest entries are written as a verifiable export, then removed in bounded batches (API.md section 2).

The cut lies between whole tiles of 256, never within the last hour.  What looking back and replaying need stays behind: how
each resource stood at the cut, in `trail_baselines`.  Every step can be cut off and the order given again:

    1. the file is written and verified     2. baselines are written, beside the old ones     3. the order is recorded
    4. the cut is moved: from now on the older entries count as gone     5. they are removed
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pymongo import ReplaceOne
from pymongo.errors import DuplicateKeyError

from dms_tags.audit.export.exporter import Export, Exporter
from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.log.tiles import WIDTH
from dms_tags.audit.trail.entry import Entry, removes
from dms_tags.audit.trail.filters import Filters
from dms_tags.audit.trail.query import TrailQuery
from dms_tags.audit.verify.file import verify_file
from dms_tags.audit.verify.report import HOLDS
from dms_tags.errors import CannotStart
from dms_tags.model import Action, Actor, Change, Kind, Resource, Verb
from dms_tags.names import spell_time
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document
from dms_tags.tags.store import TagStore

YOUNGEST: Final = timedelta(hours=1)
BATCH: Final = 4 * WIDTH
"""Entries that are read, and removed, at once."""


@dataclass(frozen=True, slots=True)
class Archived:
    """What an order did: the positions it wrote and removed; `first` above `last` where nothing was old enough."""

    first: int
    last: int


class Archiver:
    """Archives the trails of one database.  Every method raises `StoreUnavailable` where MongoDB does not answer.

    `step` is called with the name of each step before it is made, and may raise: the seam at which tests cut an order off.
    """

    def __init__(
        self,
        database: Database,
        checkpointer: Checkpointer,
        store: TagStore,
        *,
        clock: Callable[[], datetime] | None = None,
        step: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._database = database
        self._checkpointer = checkpointer
        self._trail = checkpointer.log.trail
        self._exporter = Exporter(checkpointer, store)
        self._store = store
        self._clock = clock or database.clock.now
        self._step = step
        self._baselines = database.collection("trail_baselines")

    def archive(
        self,
        tenant: str,
        before: datetime,
        out: Path,
        actor: Actor,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> Archived:
        """Archives what was recorded before `before` into the new file `out`.

        Raises `CannotStart` where the file is there already or cannot be written, or where no checkpoint covers the cut; then nothing
        was removed.
        """
        self._trail.wait_for(tenant)
        cut = self._trail.cut(tenant)
        self._remove(tenant, cut)  # what an order that was cut off left
        last = self.cut_for(tenant, before)
        if last <= cut:
            return Archived(cut + 1, cut)
        self._write_file(tenant, cut, last, out, progress)
        self._step("baselines")
        self._write_baselines(tenant, cut, last)
        self._step("record")
        state = {"first": cut + 1, "last": last, "before": spell_time(before)}
        record = Change(
            Resource(tenant, Kind.TRAIL, tenant),
            "archive",
            Verb.SET,
            actor,
            state=state,
            action=Action.TRAIL_ARCHIVED,
            max_tags=None,
        )
        self._store.change(record)
        self._step("cut")
        self._move_cut(tenant, cut, last)
        self._step("remove")
        self._remove(tenant, last)
        return Archived(cut + 1, last)

    def cut_for(self, tenant: str, before: datetime) -> int:
        """The last position that an order to archive what is older than `before` takes: the end of a tile."""
        until = min(before, self._clock() - YOUNGEST)
        cut, head = self._trail.cut(tenant), self._trail.head(tenant)
        return TrailQuery(self._trail).last_before(tenant, until, cut, head) // WIDTH * WIDTH

    def _write_file(self, tenant: str, cut: int, last: int, out: Path, progress: Callable[[int, int], None]) -> None:
        checkpoint = self._checkpointer.cover(tenant, last)
        identity = self._checkpointer.identities.current()
        if checkpoint is None or identity is None:
            raise CannotStart("no checkpoint covers what is to be archived, and none can be signed here: nothing was removed")
        export = Export(tenant, Filters(after=cut, before=last + 1), self._trail.head(tenant), last, checkpoint, proofs=False)
        try:
            with out.open("xb") as stream:
                for part in self._exporter.ndjson(export):
                    stream.write(part)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise CannotStart(f"{out} cannot be written: {error.strerror}; nothing was removed") from error
        report = verify_file(out, identity.verifiers(tenant), None, progress)
        if report.status != HOLDS or report.entries != last - cut:
            raise CannotStart(f"{out} does not verify ({report.worst or report.unknown}); nothing was removed")

    def _write_baselines(self, tenant: str, cut: int, last: int) -> None:
        with store_errors():
            self._baselines.delete_many({"tenant": tenant, "cut": {"$gt": cut}})  # of an order that was cut off
        for begin in range(cut, last, BATCH):
            entries = self._trail.run(tenant, begin, min(begin + BATCH, last))
            standing = self._standing(tenant, {entry["resource"] for entry in entries}, last)
            for entry in entries:
                _apply(standing, entry, last)
            with store_errors():
                self._baselines.bulk_write(
                    [ReplaceOne({"_id": base["_id"]}, base, upsert=True) for base in standing.values()], ordered=False
                )

    def _standing(self, tenant: str, resources: set[str], last: int) -> dict[str, Document]:
        """The newest baselines of the resources, made ready to become those at the cut `last`."""
        with store_errors():
            found = self._baselines.find({"tenant": tenant, "resource": {"$in": sorted(resources)}}, sort=[("cut", 1)])
            return {base["resource"]: base | {"_id": _key(tenant, base["resource"], last), "cut": last} for base in found}

    def _move_cut(self, tenant: str, cut: int, last: int) -> None:
        entry = self._trail.run(tenant, last - 1, last)[0]
        members = {"$set": {"cut": last, "recordedAt": entry["recordedAt"]}}
        heads = self._database.collection("trail_heads")
        try:
            with store_errors():
                moved = heads.update_one({"_id": tenant, "cut": cut} if cut else {"_id": tenant}, members, upsert=not cut)
        except DuplicateKeyError as error:
            raise CannotStart("another order to archive was faster; nothing was removed by this one") from error
        if cut and not moved.matched_count:
            raise CannotStart("another order to archive was faster; nothing was removed by this one")

    def _remove(self, tenant: str, cut: int) -> None:
        """Removes what lies before the cut, and the baselines that newer ones have taken the place of."""
        where = {"tenant": tenant, "position": {"$lte": cut}}
        while cut:
            with store_errors():
                batch = list(
                    self._database.trail.find(
                        where, {"position": 1, "resource": 1}, sort=[("position", 1)], limit=BATCH, hint="position"
                    )
                )
                if not batch:
                    return
                resources = sorted({entry["resource"] for entry in batch})
                for base in list(
                    self._baselines.find({"tenant": tenant, "resource": {"$in": resources}, "cut": cut}, {"resource": 1})
                ):
                    self._baselines.delete_many({"tenant": tenant, "resource": base["resource"], "cut": {"$lt": cut}})
                self._database.trail.delete_many({"tenant": tenant, "position": {"$lte": batch[-1]["position"]}})


def _key(tenant: str, resource: str, cut: int) -> str:
    return f"{tenant}/{resource}@{cut}"


def _apply(standing: dict[str, Document], entry: Entry, cut: int) -> None:
    """Takes one entry into the baseline of its resource."""
    resource = entry["resource"]
    fresh: Mapping[str, Any] = {
        "_id": _key(entry["tenant"], resource, cut),
        "tenant": entry["tenant"],
        "resource": resource,
        "cut": cut,
        "tags": [],
    }
    base = standing.setdefault(resource, dict(fresh))
    base |= {"revision": entry["revision"], "at": entry["creationDate"]}
    before = next((tag for tag in base["tags"] if tag["name"] == entry["name"]), None)
    if removes(entry):
        base["tags"] = [tag for tag in base["tags"] if tag is not before]
        return
    members = {
        "name": entry["name"],
        "state": entry["state"],
        "traceId": entry["traceId"],
        "changed": entry["creationDate"],
        "etag": entry["_id"],
    }
    if before is None:
        base["tags"].append(members | {"since": entry["creationDate"], "order": entry["revision"]})
    else:
        before |= members
