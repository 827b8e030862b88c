"""Restoring a backup into an empty database: the trail from its exports, the tags by replaying it, beside them the rest.

Memory stays bounded whatever the size: entries go from the files to MongoDB in batches, and are replayed along MongoDB's own
index, resource by resource.  The tree over the entries is made anew and held against the newest signed checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import Final

from pymongo.errors import DuplicateKeyError

from dms_tags.audit.erasure import Eraser
from dms_tags.audit.export.manifest import Manifest, entries_of
from dms_tags.audit.log.checkpoint import Checkpoint
from dms_tags.audit.log.keys import Identities
from dms_tags.audit.log.store import BATCH, Log
from dms_tags.audit.trail.entry import Entry
from dms_tags.backup import folder as backups
from dms_tags.backup import records
from dms_tags.backup.erasures import Erasures
from dms_tags.backup.folder import Set, Spoilt, TrailOf
from dms_tags.backup.kept import KEPT
from dms_tags.backup.resources import replayed, with_rest
from dms_tags.backup.target import Target
from dms_tags.backup.writer import CHECKPOINTS, TILES
from dms_tags.errors import CannotStart, Unproven
from dms_tags.model import Actor
from dms_tags.store.database import SCHEMA_VERSION, Database, store_errors
from dms_tags.store.documents import Document
from dms_tags.tags.store import TagStore

READ_AT_ONCE: Final = 5_000

Progress = Callable[[int, int], None]
"""Is told entries restored, and entries in all."""

_BASE, _ENTRY, _REST = range(3)


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored: how many entries, up to which position of each tenant; whether it began anew after one that was cut off.

    `half_erased` are actors of each tenant of whom changes are pending: the order to erase them is to be given again.
    """

    entries: int
    tenants: Mapping[str, int]
    anew: bool
    half_erased: Mapping[str, Sequence[Actor]]


class Restorer:
    """Restores into one database.  Every method raises `StoreUnavailable` where MongoDB does not answer.

    `step` is called with the name of each step before it is made, and may raise: the seam at which tests cut a restore off.
    """

    def __init__(self, database: Database, *, step: Callable[[str], None] = lambda _name: None) -> None:
        self._database = database
        self.target = Target(database)
        self._log = Log(database)
        self._step = step

    def restore(self, sets: Sequence[Set], progress: Progress = lambda _done, _total: None) -> Restored:
        """Restores the database as it stood at the last of `sets`, which are all that there are, in order.

        Raises `CannotStart` where a file is missing or altered, or this version does not know all of it: then nothing was changed.
        And where the database is not empty, or what was restored is not what was signed: then it serves nobody.
        """
        newest = sets[-1]
        _refuse_unknown(newest)
        for fault in (fault for kept in sets for fault in backups.faults(kept)):
            raise CannotStart(f"{fault}; nothing was changed")
        with self.target.begun(f"{newest.folder.name} of {newest.at}") as anew:
            try:
                entries, half_erased = self._restore(sets, newest, progress)
            except (Unproven, Spoilt, ValueError, DuplicateKeyError) as error:
                raise CannotStart(
                    f"the backup cannot be restored: {error}; the database serves nobody, and may be restored into again"
                ) from error
        return Restored(entries, {trail.tenant: trail.last for trail in newest.trails.values()}, anew, half_erased)

    def _restore(self, sets: Sequence[Set], newest: Set, progress: Progress) -> tuple[int, Mapping[str, Sequence[Actor]]]:
        trails = newest.trails.values()
        erasures = {trail.tenant: Erasures.of(sets, trail.tenant) for trail in trails}
        self._step("trail")
        self.target.insert("log_tiles", (tile for kept in sets for tile in records.read(kept.folder / TILES)))
        total = sum(trail.last - trail.cut for trail in trails)
        done = 0
        for trail in trails:
            before = done

            def told(count: int, before: int = before) -> None:
                progress(before + count, total)

            self.target.insert("audit_trail", self._hashed(trail, _entries(sets, trail, erasures[trail.tenant])), told)
            done += trail.last - trail.cut
        self._step("rest")
        for kept in KEPT:
            self.target.insert(kept.name, records.read(newest.folder / f"{kept.name}.bson"))
        signed = (checkpoint for kept in sets for checkpoint in records.read(kept.folder / CHECKPOINTS))
        self.target.insert("log_checkpoints", signed)
        self._step("indexes")
        self._database.make_indexes()
        self._step("tags")
        for trail in trails:
            self.target.insert("tags", self._resources(trail, newest))
        self._step("erasures")
        # What the newest set itself has of actors whom an order was being carried out for at its moment goes as well
        eraser = Eraser(self._database, TagStore(self._database), lambda _tenant: None)
        half_erased = {tenant: eraser.finish(tenant, ordered.actors) for tenant, ordered in erasures.items() if ordered.actors}
        self._step("log")
        for trail in trails:
            self._log.extend(trail.tenant, trail.last)
            self._check(trail)
        now = self._database.now()
        self.target.insert(
            "log_restored", ({"_id": trail.tenant, "at": now, "upTo": trail.last} for trail in trails if trail.last)
        )
        self._step("end")
        self.target.finish(newest.schema)
        return done, half_erased

    def _hashed(self, trail: TrailOf, entries: Iterator[Entry]) -> Iterator[Entry]:
        """The entries, each of which has gone into the tree as well: read once, they need not be read again."""
        begin = trail.cut
        while batch := list(islice(entries, BATCH)):
            self._log.take(trail.tenant, begin, batch)
            begin += len(batch)
            yield from batch

    def _resources(self, trail: TrailOf, newest: Set) -> Iterator[Document]:
        """The documents of a tenant's resources: its baselines, entries and what replay does not give, side by side."""
        tenant = trail.tenant
        streams: list[Iterable[tuple[str, int, Document]]] = [
            ((base["resource"], _BASE, base) for base in self._baselines(trail)),
            ((entry["resource"], _ENTRY, entry) for entry in self._by_resource(tenant)),
            ((rest["_id"].partition("/")[2], _REST, rest) for rest in records.read(newest.folder / backups.tags_file(tenant))),
        ]
        for resource, members in groupby(merge(*streams, key=itemgetter(0, 1)), key=itemgetter(0)):
            yield _resource(tenant, resource, members)

    def _baselines(self, trail: TrailOf) -> Iterator[Document]:
        """How each resource stood at the cut, in order of resource."""
        if not trail.cut:
            return
        where = {"tenant": trail.tenant, "cut": {"$lte": trail.cut}, **self._log.trail.of_valid_orders(trail.tenant)}
        with store_errors():
            kept = self._database.collection("trail_baselines").find(
                where, sort=[("tenant", 1), ("resource", 1), ("cut", 1)], hint="baseline"
            )
            for _, bases in groupby(kept, key=itemgetter("resource")):
                yield list(bases)[-1]

    def _by_resource(self, tenant: str) -> Iterator[Entry]:
        members = dict.fromkeys(("resource", "revision", "action", "name", "state", "traceId", "creationDate"), 1)
        with store_errors():
            yield from self._database.trail.find(
                {"tenant": tenant},
                members,
                sort=[("tenant", 1), ("resource", 1), ("revision", 1)],
                hint="revision",
                batch_size=READ_AT_ONCE,
            )

    def _check(self, trail: TrailOf) -> None:
        """Holds the tree over what was restored against the newest checkpoint.  Raises `Unproven`."""
        identity = Identities(self._database).current()
        signed = None if identity is None else self._log.newest(identity.log(trail.tenant))
        if identity is None or signed is None:
            return
        checkpoint = Checkpoint.open(signed["note"], identity.verifiers(trail.tenant))
        if checkpoint.size > trail.last or self._log.tree(trail.tenant).root(checkpoint.size) != checkpoint.root:
            raise Unproven(
                f"the entries of {trail.tenant} are not those of its checkpoint at {checkpoint.size}: "
                "`dms-tags backup verify` tells which"
            )


def _refuse_unknown(newest: Set) -> None:
    """Raises `CannotStart` for a backup of a newer version: nothing of it may be lost."""
    known = {f"{kept.name}.bson" for kept in KEPT} | {CHECKPOINTS, TILES}
    for tenant in newest.trails:
        known |= {backups.trail_file(tenant), backups.beside_file(tenant), backups.tags_file(tenant)}
    unknown = sorted(newest.files.keys() - known)
    if newest.schema > SCHEMA_VERSION or unknown:
        what = f"the file {unknown[0]}" if unknown else f"schema version {newest.schema}"
        raise CannotStart(f"the backup has {what}, which this version does not know: restore it with the version that made it")
    missing = sorted(known - newest.files.keys() - {file for tenant in newest.trails for file in _trail_files(tenant)})
    if missing:
        raise CannotStart(f"the backup's manifest tells of no {missing[0]}: nothing was changed")


def _trail_files(tenant: str) -> tuple[str, str]:
    """The files that only a set which adds entries has."""
    return backups.trail_file(tenant), backups.beside_file(tenant)


def _entries(sets: Sequence[Set], trail: TrailOf, erasures: Erasures) -> Iterator[Entry]:
    """A tenant's entries after the cut, from all sets, less what was erased of them.  Raises `Spoilt` where one is missing."""
    position = trail.cut
    for kept in sets:
        part = kept.trails.get(trail.tenant)
        if part is None or part.last <= position:
            continue
        file = kept.folder / backups.trail_file(trail.tenant)
        lines = entries_of(file, Manifest.read(file).begin)
        for line, more in zip(lines, records.read(kept.folder / backups.beside_file(trail.tenant)), strict=True):
            entry = records.entry_of(line, more)
            if entry["position"] <= position:
                continue
            if entry["position"] != position + 1 or entry["tenant"] != trail.tenant:
                raise Spoilt(f"position {position + 1} of {trail.tenant} is missing in {file}")
            position += 1
            erasures.carry_out(entry)
            yield entry
    if position != trail.last:
        raise Spoilt(f"position {position + 1} of {trail.tenant} is in none of the sets")


def _resource(tenant: str, resource: str, members: Iterator[tuple[str, int, Document]]) -> Document:
    """The document of one resource, from its baseline, its entries and the rest, in this order, each of which may be lacking."""
    rest: Document | None = None
    first = next(members)
    baseline = first[2] if first[1] == _BASE else None

    def entries() -> Iterator[Entry]:
        nonlocal rest
        for _, kind, document in members if baseline is not None else chain([first], members):
            if kind == _REST:
                rest = document
            else:
                yield document

    document = replayed(tenant, resource, baseline, entries())
    if rest is not None:
        document = with_rest(document, rest)
    elif not document["seq"]:
        raise Spoilt(f"{resource} of {tenant} has neither entries nor a document")
    return document
