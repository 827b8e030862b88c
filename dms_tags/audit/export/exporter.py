"""Exports: what matches, in order of position, as a stream of bounded memory that ends in a manifest.

NDJSON: one entry a line, in canonical JSON.  A line of schema 2 has two members more, `actorKey` and `reasonKey`, by which name
and reason are held against the commitments in the leaf (`dms_tags.audit.trail.entry`); null where there is nothing to open,
or it was erased.  A line of schema 1 without its end is the leaf itself.  The last line is the manifest:

    count first last head filters    what is in it; `filters` under their names on the wire
    sha256                           of all lines before, line ends included
    checkpoint                       a signed note that covers `last`; null where this service cannot sign
    run                              only where nothing was left out between `first` and `last`: what proves the whole file
        size left right              the tree of the checkpoint, and its hashes left and right of the entries (RFC 9162)
        marks                        three bytes of each entry's hash as the log has it: they tell which entry was altered
    tenant                           whose trail it is
    oldest                           the oldest position that the trail held: what lies before was archived
    seal                             only of whole histories, where the trail was sealed (`sealed.py`)
    complete                         false where archived entries could have matched: they are not in it
    signature                        of all that but `run`, by the key of the log; left out where this service holds no key
    total                            sha256 of this line before this member: the manifest itself was not spoilt by accident

With `proofs` every line has a member `proof` more, its inclusion proof in the tree of the checkpoint.
"""

from __future__ import annotations

from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from dms_tags.audit.export import rows
from dms_tags.audit.export.manifest import MARK, end_of, manifest_name, signed_text
from dms_tags.audit.export.opened import Opener
from dms_tags.audit.export.sealed import MOST, sealed
from dms_tags.audit.log import merkle
from dms_tags.audit.log.merkle import HASH_SIZE, Node
from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.log.tiles import HEIGHT, WIDTH, Tile, TileTree, tile_of
from dms_tags.audit.trail.actors import ActorKeys
from dms_tags.audit.trail.entry import Entry, canonical
from dms_tags.audit.trail.filters import Filters
from dms_tags.audit.trail.query import TrailQuery
from dms_tags.audit.trail.standings import newest_seal
from dms_tags.model import Action, Actor, Change, Kind, Resource, Verb
from dms_tags.tags.store import TagStore

HEAD_HEADER: Final = "X-Trail-Head"
"""The header of an export's answer that tells the end of the trail before the first line comes."""

OLDEST_HEADER: Final = "X-Trail-First"
COMPLETE_HEADER: Final = "X-Trail-Complete"
"""Those that tell what the manifest will say in `oldest` and `complete`: an export that broke off and goes on later needs them."""

KEPT_TILES: Final = 32
TILES_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Export:
    """An export that is about to be streamed."""

    tenant: str
    filters: Filters
    head: int
    upto: int
    checkpoint: Mapping[str, Any] | None
    proofs: bool
    cut: int
    complete: bool = True
    seal: Entry | None = None


class Exporter:
    """Makes exports of any tenant's trail.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, checkpointer: Checkpointer, store: TagStore, actors: ActorKeys) -> None:
        self._checkpointer = checkpointer
        self._log = checkpointer.log
        self._query = TrailQuery(checkpointer.log.trail)
        self._actors = actors
        self._store = store

    def begin(self, tenant: str, filters: Filters, actor: Actor, *, form: str, proofs: bool = False) -> Export:
        """Fixes what is exported: everything acknowledged by now.  The export is recorded in the trail, behind its own end.

        Raises `Gone` for what was archived away.
        """
        self._log.trail.wait_for(tenant)
        head = self._log.trail.head(tenant)
        cut = self._log.trail.cut(tenant)
        _, upto = self._query.bounds(tenant, filters, head, cut)
        checkpoint = self._checkpointer.cover(tenant, upto) if upto else None
        state = {"format": form, "head": head, "proofs": proofs, "filters": self._nameless(tenant, filters)}
        self._store.change(
            Change(
                Resource(tenant, Kind.TRAIL, tenant),
                "export",
                Verb.SET,
                actor,
                state=state,
                action=Action.TRAIL_EXPORTED,
                max_tags=None,
            )
        )
        complete = self._query.complete(tenant, filters, cut)
        seal = newest_seal(self._log.trail, tenant, upto, cut) if checkpoint is not None and filters.histories else None
        return Export(tenant, filters, head, upto, checkpoint, proofs and checkpoint is not None, cut, complete, seal)

    def _nameless(self, tenant: str, filters: Filters) -> dict[str, Any]:
        """The filters as the trail shows them for ever: of an actor's name only the commitments to it."""
        shown = filters.shown()
        if filters.created_by is not None:
            shown["createdBy"] = sorted(key.commitment for key in self._actors.named(tenant, filters.created_by).values())
        return shown

    def opened(self, tenant: str, entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
        """Entries as an export has them, with what opens their commitments."""
        opener = Opener(tenant, self._log.trail, self._actors)
        opener.learn(entries)
        return map(opener.open, entries)

    def ndjson(
        self, export: Export, note: Callable[[Sequence[Entry], Sequence[bytes]], None] = lambda _entries, _lines: None
    ) -> Iterator[bytes]:
        """The export as NDJSON, some lines at a time, the manifest last.  `note` is told the entries and their lines before they come.

        Raises `Gone` where what was still to come is archived meanwhile: the stream breaks off, and has no manifest.
        """
        digest = sha256()
        count = first = last = 0
        resources = export.filters.resources
        tree = _KeptTree(self._log.tree(export.tenant))
        for batch in self._batches(export):
            lines = list(self._lines(export, batch, tree))
            note(batch, lines)
            if export.seal is not None and len(resources) <= MOST:
                resources |= {entry["resource"] for entry in batch}
            text = b"".join(lines)
            digest.update(text)
            count += len(batch)
            first, last = first or batch[0]["position"], batch[-1]["position"]
            yield text
        counted: dict[str, Any] = {"count": count, "first": first, "last": last, "sha256": digest.hexdigest()}
        if export.seal is not None and export.checkpoint is not None:
            counted["seal"] = sealed(self._log, export.tenant, export.seal, export.checkpoint["size"], resources)
        yield from self._manifest(export, counted)

    def csv(self, export: Export) -> Iterator[bytes]:
        """The export as CSV, a line of names first; without a manifest, which a CSV file has beside it.  Raises `Gone` as `ndjson` does."""
        yield rows.head()
        for batch in self._batches(export):
            yield b"".join(map(rows.row, self.opened(export.tenant, batch)))

    def _batches(self, export: Export) -> Iterator[list[Entry]]:
        return self._query.walk(export.tenant, export.filters, export.upto, export.cut)

    def _lines(self, export: Export, batch: Sequence[Entry], tree: _KeptTree) -> Iterator[bytes]:
        lines = self.opened(export.tenant, batch)
        if not export.proofs or export.checkpoint is None:
            for line in lines:
                yield canonical(line) + b"\n"
            return
        size = export.checkpoint["size"]
        for line in lines:
            proof = merkle.inclusion_proof(line["position"] - 1, size, tree.nodes)
            yield canonical(line | {"proof": [_text(digest) for digest in proof]}) + b"\n"

    def _manifest(self, export: Export, counted: dict[str, Any]) -> Iterator[bytes]:
        """The manifest line, its marks streamed from the tiles: they may be many."""
        document = counted | {
            "tenant": export.tenant,
            "head": export.head,
            "oldest": export.cut + 1,
            "filters": export.filters.shown(),
            "checkpoint": export.checkpoint and export.checkpoint["note"],
            "complete": export.complete,
        }
        if export.checkpoint is not None:
            signature = self._checkpointer.sign(manifest_name(export.checkpoint["log"]), signed_text(document))
            if signature is not None:
                document["signature"] = signature
        total = sha256()
        for part in self._manifest_parts(export, document):
            total.update(part)
            yield part
        yield end_of(total.hexdigest())

    def _manifest_parts(self, export: Export, document: dict[str, Any]) -> Iterator[bytes]:
        """The manifest line up to its last member, `total`, which is last in canonical order too."""
        if export.checkpoint is None or not export.filters.contiguous or not document["count"]:
            yield canonical({"manifest": document})[:-2]
            return
        begin, end, size = document["first"] - 1, document["last"], export.checkpoint["size"]
        left, right = self._log.tree(export.tenant).range(begin, end, size)
        document["run"] = {
            "size": size,
            "left": [_text(digest) for digest in left],
            "right": [_text(digest) for digest in right],
            "marks": "",
        }
        before, after = canonical({"manifest": document})[:-2].split(b'"marks":""')
        yield before + b'"marks":"'
        numbers = range(begin // WIDTH, -(-end // WIDTH))
        for at in range(0, len(numbers), TILES_AT_ONCE):
            yield b64encode(self._marks(export.tenant, numbers[at : at + TILES_AT_ONCE], begin, end))
        yield b'"' + after

    def _marks(self, tenant: str, numbers: Sequence[int], begin: int, end: int) -> bytes:
        """The marks of those of the leaves `begin … end` that stand in the tiles `numbers`."""
        tiles = self._log.tiles(tenant, [(0, number) for number in numbers])
        marks = bytearray()
        for number in numbers:
            hashes = tiles.get((0, number), b"")
            low, high = max(begin - number * WIDTH, 0), min(end - number * WIDTH, WIDTH)
            for at in range(low * HASH_SIZE, high * HASH_SIZE, HASH_SIZE):
                marks += hashes[at : at + MARK]
        return bytes(marks)


class _KeptTree:
    """A tree whose latest tiles are kept worked out: neighbouring entries share most of their proofs."""

    def __init__(self, tree: TileTree) -> None:
        self._tree = tree
        self._kept: OrderedDict[Tile, dict[int, list[bytes]]] = OrderedDict()

    def nodes(self, nodes: Sequence[Node]) -> list[bytes]:
        places = [tile_of(node) for node in nodes]
        missing = {tile for tile, _, _ in places} - self._kept.keys()
        if missing:
            self._keep(missing)
        hashes = []
        for tile, begin, end in places:
            self._kept.move_to_end(tile)
            hashes.append(self._kept[tile][end - begin][begin // (end - begin)])
        while len(self._kept) > KEPT_TILES:
            self._kept.popitem(last=False)
        return hashes

    def _keep(self, missing: Collection[Tile]) -> None:
        for tile, hashes in self._tree.read(missing).items():
            row = [hashes[at : at + HASH_SIZE] for at in range(0, len(hashes), HASH_SIZE)]
            rows = {1: row}
            for height in range(1, HEIGHT):
                row = [merkle.node_hash(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)]
                rows[1 << height] = row
            self._kept[tile] = rows


def _text(digest: bytes) -> str:
    return b64encode(digest).decode()
