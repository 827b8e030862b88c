"""The log of a tenant's trail: its Merkle tree, kept as tiles, and its line of signed checkpoints, in MongoDB.

    log_tiles         one document a tile: { _id: "<tenant>/<level>/<number>", tenant, level, number, width, hashes }
    log_checkpoints   { _id: "<log>#<size>", log, number, size, root, note, at }, unique on (log, number)

The tiles follow from the trail alone and only ever grow, so any number of services may write them.  A checkpoint takes the
next number of its log in one insert: two signers cannot both be next, and no size can have two roots.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from dms_tags.audit.log import merkle
from dms_tags.audit.log.checkpoint import Checkpoint
from dms_tags.audit.log.merkle import HASH_SIZE
from dms_tags.audit.log.tiles import HEIGHT, MAX_ENTRY, WIDTH, Tile, TileTree
from dms_tags.audit.trail.entry import Entry, flat, leaf_of
from dms_tags.audit.trail.trail import Trail
from dms_tags.errors import NotFound, Unproven
from dms_tags.model import now
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document

BATCH: Final = 16 * WIDTH
"""Entries that the tree is extended by at once."""

DUPLICATE_KEY: Final = 11000


class Log:
    """The logs of all tenants.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, database: Database) -> None:
        self.trail = Trail(database)
        self._tiles = database.collection("log_tiles")
        self._checkpoints = database.collection("log_checkpoints")
        self._witnessed = database.collection("log_witnessed")
        self._tiles_read = database.majority(self._tiles)
        self._checkpoints_read = database.majority(self._checkpoints)

    def tenants(self) -> list[str]:
        """The tenants that have a trail."""
        with store_errors():
            names = {*self.trail.entries.distinct("tenant"), *self._tiles_read.distinct("tenant")}
        return sorted(names)

    def tree(self, tenant: str) -> TileTree:
        """The tenant's tree as its tiles tell it."""
        return TileTree(lambda wanted: self.tiles(tenant, wanted))

    def tiles(self, tenant: str, wanted: Collection[Tile]) -> Mapping[Tile, bytes]:
        """The hashes of those of the tiles that there are."""
        ids = {_tile_id(tenant, tile): tile for tile in wanted}
        with store_errors():
            documents = self._tiles_read.find({"_id": {"$in": list(ids)}}, {"hashes": 1})
            return {ids[tile["_id"]]: bytes(tile["hashes"]) for tile in documents}

    def size(self, tenant: str, level: int = 0) -> int:
        """How many hashes the level has: at level 0 the entries that the tree covers."""
        with store_errors():
            last = self._tiles_read.find_one(
                {"tenant": tenant, "level": level},
                {"number": 1, "width": 1},
                sort=[("level", DESCENDING), ("number", DESCENDING)],
            )
        return 0 if last is None else int(last["number"]) * WIDTH + int(last["width"])

    def extend(self, tenant: str, size: int, going_on: Callable[[], bool] = lambda: True) -> bool:
        """Extends the tree to `size` entries, from the trail; False where `going_on` said to stop before.

        A level that a crash left behind is caught up too.  Raises `Unproven` where the trail lacks an entry.
        """
        level = 0
        while size >> HEIGHT * level:
            have, want = self.size(tenant, level), size >> HEIGHT * level
            while have < want:
                if not going_on():
                    return False
                upto = min(want, (have // WIDTH + BATCH // WIDTH) * WIDTH)
                source = self._leaves(tenant, have, upto) if level == 0 else self._above(tenant, level, have, upto)
                self._append(tenant, level, have, source)
                have = upto
            level += 1
        return True

    def take(self, tenant: str, begin: int, entries: Sequence[Entry]) -> None:
        """Extends the lowest level of the tree from `begin`, where it ends, by entries that are at hand; the levels above wait for `extend`."""
        self._append(tenant, 0, begin, [merkle.leaf_hash(leaf_of(flat(entry))) for entry in entries])

    def leaf(self, tenant: str, position: int) -> bytes | None:
        """The hash of the entry at `position` as the trail has it; None where it has none, also because it was archived."""
        entries = self.trail.run(tenant, position - 1, position)
        return merkle.leaf_hash(leaf_of(flat(entries[0]))) if entries else None

    def _leaves(self, tenant: str, begin: int, end: int) -> list[bytes]:
        hashes = []
        for position, entry in enumerate(self.trail.run(tenant, begin, end), begin + 1):
            if entry["position"] != position:
                raise Unproven(f"position {position} is missing in the trail of {tenant}")
            hashes.append(merkle.leaf_hash(leaf_of(flat(entry))))
        if len(hashes) != end - begin:
            raise Unproven(f"position {begin + len(hashes) + 1} is missing in the trail of {tenant}")
        return hashes

    def _above(self, tenant: str, level: int, begin: int, end: int) -> list[bytes]:
        below = [(level - 1, number) for number in range(begin, end)]
        tiles = self.tiles(tenant, below)
        return [merkle.root_of(_split(tiles[tile])) for tile in below]

    def _append(self, tenant: str, level: int, begin: int, hashes: Sequence[bytes]) -> None:
        """Adds `hashes` to a level from `begin` on; another service that was faster wrote the same."""
        first, offset = divmod(begin, WIDTH)
        kept = self.tiles(tenant, [(level, first)]).get((level, first), b"") if offset else b""
        text = kept[: offset * HASH_SIZE] + b"".join(hashes)
        writes = []
        for number, at in enumerate(range(0, len(text), WIDTH * HASH_SIZE), first):
            part = text[at : at + WIDTH * HASH_SIZE]
            width = len(part) // HASH_SIZE
            members = {"tenant": tenant, "level": level, "number": number, "width": width, "hashes": part}
            writes.append(
                UpdateOne({"_id": _tile_id(tenant, (level, number)), "width": {"$lt": width}}, {"$set": members}, upsert=True)
            )
        with store_errors():
            try:
                self._tiles.bulk_write(writes, ordered=False)
            except BulkWriteError as error:  # a tile at least as wide is there: nothing to add
                failures = error.details["writeErrors"]
                if error.details["writeConcernErrors"] or any(failure["code"] != DUPLICATE_KEY for failure in failures):
                    raise

    def forget_tiles(self, tenant: str, begin: int) -> None:
        """Drops what the tiles say of entries from `begin`, a multiple of 256, on, so that they are made anew from the trail."""
        with store_errors():
            self._tiles.delete_many({"tenant": tenant, "level": 0, "number": {"$gte": begin // WIDTH}})
            self._tiles.delete_many({"tenant": tenant, "level": {"$gt": 0}})

    def newest(self, log: str) -> Document | None:
        """The newest checkpoint of a log, as it is kept."""
        return self._one({"log": log}, [("number", DESCENDING)])

    def covering(self, log: str, position: int) -> Document | None:
        """The smallest checkpoint that covers `position`; once there is one it stays the one."""
        return self._one({"log": log, "size": {"$gte": position}}, [("size", ASCENDING)])

    def of_size(self, log: str, size: int) -> Document | None:
        """The checkpoint of a log at `size`."""
        return self._one({"log": log, "size": size}, [("size", ASCENDING)])

    def after(self, log: str, number: int, limit: int) -> list[Document]:
        """The checkpoints of a log that follow the one with `number`, in order."""
        with store_errors():
            return list(
                self._checkpoints_read.find({"log": log, "number": {"$gt": number}}, sort=[("number", ASCENDING)], limit=limit)
            )

    def witnessed(self, log: str) -> list[int]:
        """The number of the newest checkpoint of a log that each witness has taken, in order."""
        with store_errors():
            return sorted(int(kept["number"]) for kept in self._witnessed.find({"_id": {"$regex": f":{re.escape(log)}$"}}))

    def _one(self, where: Mapping[str, Any], sort: list[tuple[str, int]]) -> Document | None:
        with store_errors():
            return self._checkpoints_read.find_one(where, sort=sort)

    def add(self, checkpoint: Checkpoint, note: str, number: int) -> bool:
        """Makes `checkpoint` number `number` of its log; False where another signer was faster."""
        document = {
            "_id": f"{checkpoint.origin}#{checkpoint.size}",
            "log": checkpoint.origin,
            "number": number,
            "size": checkpoint.size,
            "root": checkpoint.root,
            "note": note,
            "at": now(),
        }
        try:
            with store_errors():
                self._checkpoints.insert_one(document)
        except DuplicateKeyError:
            return False
        return True


def _tile_id(tenant: str, tile: Tile) -> str:
    return f"{tenant}/{tile[0]}/{tile[1]}"


def _split(hashes: bytes) -> Iterator[bytes]:
    return (hashes[at : at + HASH_SIZE] for at in range(0, len(hashes), HASH_SIZE))


def bundle(leaves: Sequence[bytes]) -> bytes:
    """Entries as tlog-tiles bundles them, each after its length.  Raises `NotFound` for one that is too long for it."""
    if any(len(leaf) > MAX_ENTRY for leaf in leaves):
        raise NotFound(f"an entry here is longer than the {MAX_ENTRY} bytes that a bundle has room for: export it instead")
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)
