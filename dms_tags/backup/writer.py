"""Making a backup while the service serves: a set is the database as it stood at one moment.

What is not the trail is read in one snapshot of MongoDB, and with it how far each trail went at that moment.  The entries up to
there never change, so they are read at leisure afterwards, as an export.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from pymongo.errors import DuplicateKeyError, OperationFailure

from dms_tags.audit.export.exporter import Export, Exporter
from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.log.tiles import WIDTH
from dms_tags.audit.trail.actors import ActorKeys
from dms_tags.audit.trail.entry import Entry, canonical
from dms_tags.audit.trail.filters import Filters
from dms_tags.backup import folder as backups
from dms_tags.backup import records
from dms_tags.backup.folder import FORM, MANIFEST, Set, Spoilt, TrailOf
from dms_tags.backup.kept import KEPT, OWN_WAYS, PASSED_OVER
from dms_tags.backup.resources import rest_of
from dms_tags.errors import CannotStart, Gone, StoreUnavailable
from dms_tags.model import Action
from dms_tags.names import spell_time
from dms_tags.store.database import SCHEMA_VERSION, Database, Snapshot, store_errors
from dms_tags.store.documents import Document
from dms_tags.tags.store import TagStore
from dms_tags.version import __version__

DATABASE_ID: Final = "database-id"
CHECKPOINTS: Final = "checkpoints.bson"
TILES: Final = "tiles.bson"
BATCH: Final = 10_000
SNAPSHOT_TOO_OLD: Final = 239

Progress = Callable[[int, int], None]
"""Is told entries written, and entries in all."""


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made: its set, how many entries it added, and the collections that this version knows nothing of."""

    set: Set
    entries: int
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Standing:
    """How a tenant's trail stood at the moment of the backup."""

    last: int
    id: str | None
    cut: int


class Backup:
    """Backs up one database.  Every method raises `StoreUnavailable` where MongoDB does not answer.

    `step` is called with the name of each step before it is made, and may raise: the seam at which tests cut a backup off.
    """

    def __init__(
        self, database: Database, checkpointer: Checkpointer, store: TagStore, *, step: Callable[[str], None] = lambda _name: None
    ) -> None:
        self._database = database
        self._checkpointer = checkpointer
        self._log = checkpointer.log
        self._exporter = Exporter(checkpointer, store, ActorKeys(database))
        self._step = step

    def make(self, folder: Path, tenant: str | None = None, progress: Progress = lambda _done, _total: None) -> Made:
        """Adds a set to `folder`, of all tenants or of one; the first one makes the folder.

        Raises `CannotStart` where the folder is another database's or tenant's, is spoilt or being written to, or where this
        database is not what the sets before were made of; then nothing was added.
        """
        with backups.alone(folder):
            before = _sets(folder)
            previous = before[-1] if before else None
            identity = self._identity()
            if previous is not None and (previous.database, previous.tenant) != (identity, tenant):
                whose = previous.whose if previous.database == identity else "of another database"
                raise CannotStart(f"{folder} has backups {whose}: give another folder")
            self._checkpointer.settled_identity()  # else the first checkpoint of all would come after what tells whose it is
            with backups.begun(folder, 1 if previous is None else previous.number + 1) as part:
                self._step("rest")
                at, standings = self._write_rest(part, tenant)
                if tenant is not None and not standings:
                    raise CannotStart(f"there is no tenant {tenant} in this database")
                self._step("trail")
                trails = self._write_trails(part, standings, previous, progress)
                self._step("manifest")
                document = {
                    "form": FORM,
                    "number": 1 if previous is None else previous.number + 1,
                    "previous": None if previous is None else previous.sum,
                    "database": identity,
                    "tenant": tenant,
                    "schema": SCHEMA_VERSION,
                    "version": __version__,
                    "at": at,
                    "trails": [asdict(trail) for trail in trails],
                    "files": [
                        {"name": file.name, "bytes": file.stat().st_size, "sha256": backups.sum_of(file)}
                        for file in sorted(part.iterdir())
                    ],
                }
                (part / MANIFEST).write_bytes(canonical(self._signed(document)) + b"\n")
                self._step("end")
            return Made(_sets(folder)[-1], sum(trail.last - trail.after for trail in trails), self._unknown())

    def _identity(self) -> str:
        """What tells this database from others, also after a restore; made by whoever asks first."""
        meta = self._database.collection("meta")
        settled = self._database.majority(meta)
        with store_errors():
            kept = settled.find_one({"_id": DATABASE_ID})
            if kept is None:
                with suppress(DuplicateKeyError):
                    meta.insert_one({"_id": DATABASE_ID, "value": secrets.token_hex(16)})
                kept = settled.find_one({"_id": DATABASE_ID})
        if kept is None:
            raise StoreUnavailable("another backup is just naming this database")
        return str(kept["value"])

    def _write_rest(self, part: Path, tenant: str | None) -> tuple[str, Mapping[str, _Standing]]:
        """Writes all but the trail; when that was, and how each trail stood."""
        try:
            with store_errors(), self._database.snapshot() as snapshot:
                at = spell_time(self._database.clock.now())
                for kept in KEPT:
                    with (part / f"{kept.name}.bson").open("wb") as stream:
                        records.write(stream, snapshot.find(kept.name, kept.of(tenant)))
                standings = {}
                for name in _tenants(snapshot, tenant):
                    documents = snapshot.find("tags", of_tenant(name), "_id")
                    with (part / backups.tags_file(name)).open("wb") as stream:
                        records.write(stream, (rest for rest in map(rest_of, documents) if rest is not None))
                    standings[name] = _standing(snapshot, name)
                return at, standings
        except StoreUnavailable as error:
            if isinstance(error.__cause__, OperationFailure) and error.__cause__.code == SNAPSHOT_TOO_OLD:
                raise CannotStart(
                    "the tags could not be read within the time for which MongoDB keeps a moment (300 s by default): "
                    "raise its parameter minSnapshotHistoryWindowInSeconds; nothing was written"
                ) from error
            raise

    def _write_trails(
        self, part: Path, standings: Mapping[str, _Standing], previous: Set | None, progress: Progress
    ) -> list[TrailOf]:
        """Writes what came since the set before of each trail, and of what its log keeps for ever."""
        before = {} if previous is None else previous.trails
        behind = sorted(tenant for tenant in before if tenant not in standings)
        if behind:
            raise CannotStart(_ANOTHER_HISTORY.format(tenant=behind[0], position=before[behind[0]].last))
        begins = {tenant: self._begin(tenant, standing, before.get(tenant)) for tenant, standing in standings.items()}
        total = sum(standing.last - begins[tenant] for tenant, standing in standings.items())
        done = 0
        trails = []
        with (part / CHECKPOINTS).open("wb") as checkpoints, (part / TILES).open("wb") as tiles:
            for tenant, standing in standings.items():
                kept = before.get(tenant)
                if standing.last > begins[tenant]:
                    for count in self._write_entries(part, tenant, begins[tenant], standing):
                        done += count
                        progress(done, total)
                records.write(tiles, self._archived_tiles(tenant, 0 if kept is None else kept.cut, standing.cut))
                numbers = dict({} if kept is None else kept.checkpoints)
                records.write(checkpoints, self._new_checkpoints(tenant, standing.last, numbers))
                trails.append(TrailOf(tenant, begins[tenant], standing.last, standing.id, standing.cut, numbers))
        return trails

    def _begin(self, tenant: str, standing: _Standing, before: TrailOf | None) -> int:
        """The position behind which the set begins.  Raises `CannotStart` where the trail does not continue that of the set before."""
        if before is None or not before.last:
            return standing.cut
        if before.last > standing.cut:
            entries = self._log.trail.run(tenant, before.last - 1, before.last)
            if not entries and self._log.trail.cut(tenant) >= before.last:
                raise _archived()
            if standing.last < before.last or not entries or entries[0]["_id"] != before.id:
                raise CannotStart(_ANOTHER_HISTORY.format(tenant=tenant, position=before.last))
        return max(before.last, standing.cut)

    def _write_entries(self, part: Path, tenant: str, begin: int, standing: _Standing) -> Iterator[int]:
        """Writes the export and what belongs beside it; yields how many entries were written, some at a time."""
        last = standing.last
        checkpoint = self._checkpointer.cover(tenant, last)
        export = Export(tenant, Filters(after=begin, before=last + 1), last, last, checkpoint, proofs=False, cut=standing.cut)
        with (part / backups.trail_file(tenant)).open("wb") as lines, (part / backups.beside_file(tenant)).open("wb") as more:

            def note(entries: Sequence[Entry], spelt: Sequence[bytes]) -> None:
                records.write(more, map(records.beside, entries, spelt))

            done = begin
            try:
                for text in self._exporter.ndjson(export, note):
                    lines.write(text)
                    count = min(text.count(b"\n"), last - done)
                    done += count
                    yield count
            except Gone as error:
                raise _archived() from error
        if self._log.trail.has_since(tenant, Action.ACTOR_ERASED, last):
            # Else entries of the set could lack a name or a reason which nobody ordered to erase by its moment
            raise CannotStart(f"something was erased in {tenant} meanwhile: nothing was written; give the order again")

    def _archived_tiles(self, tenant: str, before: int, cut: int) -> Iterator[Document]:
        """The hashes of archived entries, which nothing else tells any more, from the cut of the set before on."""
        where = {"tenant": tenant, "level": 0, "number": {"$gte": before // WIDTH, "$lt": cut // WIDTH}}
        with store_errors():
            yield from self._database.majority(self._database.collection("log_tiles")).find(where, sort=[("number", 1)])

    def _new_checkpoints(self, tenant: str, last: int, numbers: dict[str, int]) -> Iterator[Document]:
        """The checkpoints up to `last` that no set has yet, of the tenant's log and those before it; `numbers` moves with them."""
        identity = self._checkpointer.identities.current()
        for verifier in () if identity is None else identity.verifiers(tenant):
            while batch := self._log.after(verifier.name, numbers.get(verifier.name, 0), BATCH):
                covered = [checkpoint for checkpoint in batch if checkpoint["size"] <= last]
                yield from covered
                if covered:
                    numbers[verifier.name] = covered[-1]["number"]
                if len(covered) < len(batch):
                    break

    def _signed(self, document: Document) -> Document:
        """The manifest with the signature of the log's key, where it is at hand."""
        identity = self._checkpointer.identities.current()
        signature = None
        if identity is not None:
            signature = self._checkpointer.sign(backups.signed_name(identity.origin), backups.signed_text(document))
        return document if signature is None else document | {"signature": signature}

    def _unknown(self) -> tuple[str, ...]:
        """The collections of the database that no line of the table tells of: a newer version's, or not the service's own."""
        known = {kept.name for kept in KEPT} | OWN_WAYS | PASSED_OVER
        with store_errors():
            return tuple(sorted(set(self._database.collections()) - known))


def _archived() -> CannotStart:
    return CannotStart("the trail was archived meanwhile: nothing was written; give the order again")


_ANOTHER_HISTORY: Final = (
    "position {position} of the trail of {tenant} is not here, or is another entry than in the last backup: this database has "
    "another history (was it restored from an older backup?); give another folder"
)


def of_tenant(tenant: str) -> Document:
    """The query for a tenant's resources, by their ids."""
    return {"_id": {"$gte": f"{tenant}/", "$lt": f"{tenant}0"}}  # 0 is what follows the slash


def _sets(folder: Path) -> list[Set]:
    """The whole sets of a folder to add to.  Raises `CannotStart`."""
    try:
        kept = backups.sets(folder)
    except (Spoilt, OSError) as error:
        raise CannotStart(f"{folder} holds no backup that could be added to: {error}") from error
    strangers = [path.name for path in folder.iterdir() if not path.name.startswith(".") and path.suffix != ".part"]
    if not kept and strangers:
        raise CannotStart(f"{folder} holds something else than backups ({strangers[0]}): give a folder of its own")
    return kept


def _tenants(snapshot: Snapshot, alone: str | None) -> Iterator[str]:
    """The tenants that have resources, in order; `alone` the only one, None: all."""
    where = {} if alone is None else of_tenant(alone)
    while (document := next(iter(snapshot.find("tags", where, "_id", limit=1)), None)) is not None:
        yield document["tenant"]
        if alone is not None:
            return
        where = {"_id": {"$gte": f"{document['tenant']}0"}}


def _standing(snapshot: Snapshot, tenant: str) -> _Standing:
    head = next(iter(snapshot.find("trail_heads", {"_id": tenant})), None)
    cut = 0 if head is None else int(head["cut"])
    newest = next(iter(snapshot.find("audit_trail", {"tenant": tenant}, "position", descending=True, limit=1)), None)
    return _Standing(cut, None, cut) if newest is None else _Standing(newest["position"], newest["_id"], cut)
