"""Verifying a trail in its database, at the store itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from dms_tags.audit.export.opened import Opener
from dms_tags.audit.log.checkpoint import AnotherLog, Checkpoint
from dms_tags.audit.log.keys import Identities
from dms_tags.audit.log.merkle import HASH_SIZE
from dms_tags.audit.log.note import Verifier
from dms_tags.audit.log.store import Log
from dms_tags.audit.log.tiles import WIDTH, Tile
from dms_tags.audit.trail.actors import ActorKeys
from dms_tags.audit.trail.entry import Entry
from dms_tags.audit.verify.openings import Openings
from dms_tags.audit.verify.replay import baselines, compare
from dms_tags.audit.verify.report import CannotTell, Kept, Progress, Report
from dms_tags.audit.verify.tiles import check_tiles
from dms_tags.audit.verify.tree import LogVerification
from dms_tags.errors import Unproven
from dms_tags.model import Kind, Resource
from dms_tags.store.database import Database

LINE_BATCH: Final = 10_000
AHEAD: Final = 16


def verify_database(
    database: Database, tenant: str, verifiers: Sequence[Verifier], kept_text: str | None, progress: Progress
) -> Report:
    """Verifies a tenant's trail, tiles and line of checkpoints.  Without `verifiers` the database's own key is taken, which is remarked.

    Raises `StoreUnavailable`.
    """
    identity = Identities(database).current()
    if identity is None:
        return Report(unknown=["no checkpoint was ever signed here: there is nothing to hold the trail against"])
    log, name = Log(database), identity.log(tenant)
    keys = list(verifiers) or [identity.verifier(tenant)]
    newest = log.newest(name)
    if newest is None:
        return Report(unknown=[f"no checkpoint of {name} was ever signed: there is nothing to hold the trail against"])
    line = _Line(log, name, [*keys, *identity.verifiers(tenant)])
    try:
        checkpoint = Checkpoint.open(newest["note"], keys)
        kept = Kept() if kept_text is None else Kept.read(kept_text, [*keys, *identity.verifiers(tenant)])
    except (AnotherLog, CannotTell) as error:
        return Report.failed(str(error)) if line.altered(newest) else Report(unknown=[str(error)])
    except Unproven as error:
        return Report.failed(str(error))
    source = _DatabaseSource(log, tenant, Opener(tenant, log.trail, ActorKeys(database)))
    standings = baselines(database, tenant)
    try:
        report = LogVerification(source, checkpoint, kept, line, standings).run(progress)
    except Unproven as error:
        report = Report.failed(str(error))
    for _ in line:  # also where the comparison ended early
        pass
    if line.fault is not None:
        report.found(None, line.fault)
    check_tiles(database, tenant, checkpoint.size, report)
    if report.position_free:  # else what the trail leaves of a resource is not known
        for fault in compare(database, tenant, standings):
            report.found(None, fault.what)
    if not verifiers:
        report.remarks.append("the public key was taken from the database itself: give --key to be sure whose it is")
    return report


class _Line:
    """All checkpoints that were signed, in order; `fault` tells what is wrong where the line breaks off."""

    def __init__(self, log: Log, name: str, keys: Sequence[Verifier]) -> None:
        self._log = log
        self._name = name
        self._keys = keys
        self._checkpoints = self._read()
        self.fault: str | None = None

    def __iter__(self) -> Iterator[Checkpoint]:
        return self._checkpoints

    def altered(self, document: Mapping[str, Any]) -> bool:
        """Whether the note is not the one that the members beside it tell of."""
        return str(document["note"]).partition("\n")[0] != self._name

    def _read(self) -> Iterator[Checkpoint]:
        number = 0
        while batch := self._log.after(self._name, number, LINE_BATCH):
            for document in batch:
                if document["number"] != number + 1:
                    self.fault = f"checkpoint number {number + 1} of {self._name} is missing"
                    return
                number = document["number"]
                try:
                    checkpoint = Checkpoint.open(document["note"], self._keys)
                    same = (self._name, document["size"], bytes(document["root"]))
                except (Unproven, KeyError, TypeError, AttributeError) as error:
                    self.fault = f"checkpoint number {number} of {self._name} was altered: {error}"
                    return
                if (checkpoint.origin, checkpoint.size, checkpoint.root) != same:
                    self.fault = f"checkpoint number {number} of {self._name} was altered: its note tells of another size or root"
                    return
                yield checkpoint


class _DatabaseSource:
    def __init__(self, log: Log, tenant: str, opener: Opener) -> None:
        self.openings = Openings()
        self._opener = opener
        self._log = log
        self._tenant = tenant
        self._read_to = 0
        self._leaves: dict[int, list[bytes]] = {}
        self._tiles: Mapping[Tile, bytes] = {}
        log.trail.wait_for(tenant)
        self.first = log.trail.cut(tenant) + 1
        self.orders: Collection[int] | None = log.trail.orders(tenant)
        self.head = log.trail.head(tenant)

    def leaves(self, begin: int, end: int) -> Sequence[bytes]:  # noqa: ARG002 - what stands there twice is to be seen
        if begin >= self._read_to:
            self._read_ahead(begin)
        return self._leaves.get(begin // WIDTH, [])

    def ordered(self, actor: str) -> bool:
        return bool(self._log.trail.history(Resource(self._tenant, Kind.ACTOR, actor), 1, 0).entries)

    def tile(self, level: int, number: int, width: int) -> bytes:
        tile = (level, number)
        tiles = self._tiles if tile in self._tiles else self._log.tiles(self._tenant, [tile])
        return tiles.get(tile, b"")[: width * HASH_SIZE]

    def _read_ahead(self, begin: int) -> None:
        """Reads the next `AHEAD` tiles and their entries at once: round trips would cost more than all the hashing."""
        first = begin // WIDTH
        self._read_to = (first + AHEAD) * WIDTH
        entries = self._log.trail.run(self._tenant, begin, min(self._read_to, self.head))
        self._opener.learn(entries)
        self._leaves = self.openings.leaves(self._open(entry) for entry in entries)
        self._tiles = self._log.tiles(self._tenant, [(0, number) for number in range(first, first + AHEAD)])

    def _open(self, entry: Entry) -> Mapping[str, Any]:
        try:
            return self._opener.open(entry)
        except (TypeError, KeyError, AttributeError, ValueError):
            return {"position": entry["position"]}  # a member was taken away or is of another kind: no entry
