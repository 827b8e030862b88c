"""Archiving: the oldest entries are written as a verifiable export, then removed in bounded batches (API.md section 2).

The cut lies between whole tiles of 256, never within the last hour.  What looking back and replaying need stays behind: how
each resource stood at the cut, in `trail_baselines`.  Every step can be cut off and the order given again:

    1. the file is written and verified     2. baselines are written, beside the old ones     3. the order is recorded
    4. the cut is moved: from now on the older entries count as gone     5. they are removed

An order has a number, higher than that of any before it.  The cut moves only under the highest, and a baseline counts only
if its order moved the cut: an order that is late, however late, changes nothing, and takes its file away.  One that was late
only after it had recorded itself takes that back by a second record; verification counts neither that order nor, at the
database, any that did not move the cut.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any, Final

from pymongo import ReplaceOne

from dms_tags.audit.export.exporter import Export, Exporter
from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.log.tiles import WIDTH
from dms_tags.audit.trail.actors import ActorKeys
from dms_tags.audit.trail.entry import Entry, removes
from dms_tags.audit.trail.filters import Filters
from dms_tags.audit.trail.orders import TURN, begin_order, turn_of
from dms_tags.audit.trail.query import TrailQuery
from dms_tags.audit.verify.file import verify_file
from dms_tags.audit.verify.report import HOLDS
from dms_tags.errors import CannotStart, Gone
from dms_tags.files import written_whole
from dms_tags.model import Action, Actor, Change, Kind, Resource, Verb
from dms_tags.names import spell_time
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document
from dms_tags.store.turn import Turn
from dms_tags.tags.store import TagStore

YOUNGEST: Final = timedelta(hours=1)
BATCH: Final = 4 * WIDTH
"""Entries that are read, and removed, at once."""


LATE: Final = "a later order, to archive or to start the log anew, has begun meanwhile; this one changed nothing"


@dataclass(frozen=True, slots=True)
class Archived:
    """What an order did: the positions it wrote and removed; `first` above `last` where nothing was old enough."""

    first: int
    last: int


@dataclass(slots=True)
class _Order:
    """An order at work: its number, the cut that it began at, the orders before it that moved the cut; when it was last seen alive."""

    tenant: str
    number: int
    cut: int
    before: tuple[int, ...]
    turn: Turn
    alive: float = field(default_factory=monotonic)


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
        self._exporter = Exporter(checkpointer, store, ActorKeys(database))
        self._store = store
        self._clock = clock or database.clock.now
        self._step = step
        self._baselines = database.collection("trail_baselines")
        self._heads = database.collection("trail_heads")

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
        order = self._begin(tenant)
        try:
            return self._carry_out(order, before, out, actor, progress)
        except Gone as error:
            raise CannotStart(LATE) from error
        finally:
            with store_errors():
                order.turn.give_back()

    def _begin(self, tenant: str) -> _Order:
        """Takes the turn, and a number higher than that of any order before: none of those can move the cut any more.

        Raises `CannotStart` while another order is at work.
        """
        turn = turn_of(self._database, tenant, TURN)
        with store_errors():
            if turn.take() is None:
                raise CannotStart(
                    f"another order to the trail of {tenant}, to archive it or to start its log anew, is at work, or died less than {TURN.seconds} s ago; "
                    "nothing was changed"
                )
        begun = begin_order(self._database, tenant)
        return _Order(tenant, begun["sequence"], begun["cut"], tuple(begun.get("orders", ())), turn)

    def _carry_out(
        self, order: _Order, before: datetime, out: Path, actor: Actor, progress: Callable[[int, int], None]
    ) -> Archived:
        tenant, cut = order.tenant, order.cut
        self._trail.wait_for(tenant)
        self._remove(tenant, cut)  # what an order that was cut off left
        last = self.cut_for(tenant, before)
        if last <= cut:
            return Archived(cut + 1, cut)
        self._step("file")
        archived = self._write_file(order, last, out, progress)
        with _taken_away(out):
            self._step("baselines")
            self._still(order)
            self._write_baselines(order, last)
            self._step("record")
            self._still(order)
            self._step("entry")
            state = {"order": order.number, "first": cut + 1, "last": last, "before": spell_time(before), **archived}
            self._record(tenant, actor, state)
            self._step("cut")
        if not self._move_cut(order, last):
            with _taken_away(out):
                self._record(tenant, actor, state | {"takenBack": True})
                raise CannotStart(LATE)
        self._step("remove")
        self._remove(tenant, last)
        return Archived(cut + 1, last)

    def _record(self, tenant: str, actor: Actor, state: Mapping[str, Any]) -> None:
        of, action = Resource(tenant, Kind.TRAIL, tenant), Action.TRAIL_ARCHIVED
        self._store.change(Change(of, "archive", Verb.SET, actor, state=state, action=action, max_tags=None))

    def _still(self, order: _Order) -> None:
        """Keeps the turn.  Raises `CannotStart` where a later order has begun meanwhile."""
        with store_errors():
            order.turn.take()
            order.alive = monotonic()
            stands = self._heads.find_one({"_id": order.tenant, "sequence": order.number, "cut": order.cut}, {"_id": 1})
        if stands is None:
            raise CannotStart(LATE)

    def _alive(self, order: _Order) -> None:
        """Keeps the turn in the course of a long step.  Raises `CannotStart` as `_still` does."""
        if monotonic() - order.alive > TURN.seconds / 4:
            self._still(order)

    def cut_for(self, tenant: str, before: datetime) -> int:
        """The last position that an order to archive what is older than `before` takes: the end of a tile."""
        until = min(before, self._clock() - YOUNGEST)
        cut, head = self._trail.cut(tenant), self._trail.head(tenant)
        return TrailQuery(self._trail).last_before(tenant, until, cut, head) // WIDTH * WIDTH

    def _write_file(self, order: _Order, last: int, out: Path, progress: Callable[[int, int], None]) -> Mapping[str, Any]:
        """Writes and verifies the file; what the trail will say of it: its sum, and the tree that its entries end."""
        tenant, cut = order.tenant, order.cut
        checkpoint = self._checkpointer.cover(tenant, last)
        identity = self._checkpointer.identities.current()
        if checkpoint is None or identity is None:
            raise CannotStart("no checkpoint covers what is to be archived, and none can be signed here: nothing was removed")
        if out.exists():
            raise CannotStart(f"{out} cannot be written: it is there already; nothing was removed")
        export = Export(
            tenant, Filters(after=cut, before=last + 1), self._trail.head(tenant), last, checkpoint, proofs=False, cut=cut
        )
        digest = sha256()
        try:
            with written_whole(out) as stream:
                for part in self._exporter.ndjson(export):
                    digest.update(part)
                    stream.write(part)
                    self._alive(order)
        except OSError as error:
            raise CannotStart(f"{out} cannot be written: {error.strerror}; nothing was removed") from error

        def looked_at(done: int, total: int) -> None:
            progress(done, total)
            self._alive(order)

        with _taken_away(out):
            self._still(order)
            report = verify_file(out, identity.verifiers(tenant), None, looked_at)
            if report.status != HOLDS or report.entries != last - cut:
                raise CannotStart(f"what was written does not verify ({report.worst or report.unknown}); nothing was removed")
            root = self._checkpointer.log.tree(tenant).root(last)
        return {"sha256": digest.hexdigest(), "root": b64encode(root).decode()}

    def _write_baselines(self, order: _Order, last: int) -> None:
        tenant, cut = order.tenant, order.cut
        with store_errors():
            # Of orders that were cut off: they bear a lower number, and can no longer move the cut to where these are
            self._baselines.delete_many({"tenant": tenant, "order": {"$lt": order.number, "$nin": list(order.before)}})
        for begin in range(cut, last, BATCH):
            entries = self._trail.run(tenant, begin, min(begin + BATCH, last))
            if len(entries) < min(begin + BATCH, last) - begin:
                raise CannotStart(LATE)
            self._alive(order)
            standing = self._standing(order, {entry["resource"] for entry in entries}, last)
            for entry in entries:
                _apply(standing, entry, order, last)
            with store_errors():
                self._baselines.bulk_write(
                    [ReplaceOne({"_id": base["_id"]}, base, upsert=True) for base in standing.values()], ordered=False
                )

    def _standing(self, order: _Order, resources: set[str], last: int) -> dict[str, Document]:
        """The newest baselines of the resources, made ready to become those at the cut `last`."""
        where = {
            "tenant": order.tenant,
            "resource": {"$in": sorted(resources)},
            "$or": [{"order": {"$in": [None, *order.before]}, "cut": {"$lte": order.cut}}, {"order": order.number}],
        }
        with store_errors():
            bases = self._baselines.find(where, sort=[("cut", 1)])
            return {base["resource"]: base | _of(order, base["resource"], last) for base in bases}

    def _move_cut(self, order: _Order, last: int) -> bool:
        """Moves the cut; False where a later order has begun, so that it never moves under this one."""
        entry = next(iter(self._trail.run(order.tenant, last - 1, last)), None)
        if entry is None:
            return False
        with store_errors():
            moved = self._heads.update_one(
                {"_id": order.tenant, "sequence": order.number, "cut": order.cut},
                {"$set": {"cut": last, "recordedAt": entry["recordedAt"]}, "$push": {"orders": order.number}},
            )
        return moved.matched_count == 1

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
                newest = {"tenant": tenant, "resource": {"$in": resources}, "cut": cut, **self._trail.of_valid_orders(tenant)}
                for base in list(self._baselines.find(newest, {"resource": 1})):
                    self._baselines.delete_many({"tenant": tenant, "resource": base["resource"], "cut": {"$lt": cut}})
                self._database.trail.delete_many({"tenant": tenant, "position": {"$lte": batch[-1]["position"]}})


@contextmanager
def _taken_away(out: Path) -> Iterator[None]:
    """What fails here takes the file away: the cut did not move, so it is no archive, and it would stand in the next order's way."""
    try:
        yield
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _of(order: _Order, resource: str, cut: int) -> Document:
    """What tells a baseline from others: of which resource, at which cut, by which order."""
    return {"_id": f"{order.tenant}/{resource}@{cut}/{order.number}", "cut": cut, "order": order.number}


def _apply(standing: dict[str, Document], entry: Entry, order: _Order, cut: int) -> None:
    """Takes one entry into the baseline of its resource."""
    resource = entry["resource"]
    fresh: Mapping[str, Any] = {**_of(order, resource, cut), "tenant": entry["tenant"], "resource": resource, "tags": []}
    base = standing.setdefault(resource, dict(fresh))
    base |= {"revision": entry["revision"], "position": entry["position"], "at": entry["creationDate"]}
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
