"""The geometry of C2SP tlog-tiles: which tile holds which hash, and how tiles are called (c2sp.org/tlog-tiles).

Tile n of level l has up to 256 hashes, each over 256**l entries.  A tree of any size is told by its tiles alone, so
roots and proofs take O(log n) tiles, read at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dms_tags.audit.log import merkle
from dms_tags.audit.log.merkle import HASH_SIZE, Node
from dms_tags.errors import Unproven

WIDTH: Final = 256
HEIGHT: Final = 8
MAX_ENTRY: Final = 65_535
"""Bytes of one entry at most: its length in an entry bundle is a uint16."""

Tile = tuple[int, int]
"""Level and number of a tile."""

ReadTiles = Callable[[Collection[Tile]], Mapping[Tile, bytes]]
"""Gives the hashes of tiles, one after the other as one text of bytes; each tile at least as wide as is needed."""

_NUMBER: Final = r"(?:x[0-9]{3}/)*[0-9]{3}"
_NAME: Final = re.compile(rf"({_NUMBER})(?:\.p/([1-9][0-9]{{0,2}}))?", re.ASCII)
_LEVEL: Final = re.compile(r"0|[1-9][0-9]?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TileName:
    """A tile as a path names it; `width` is 256 for a full one.  `level` is None for an entry bundle."""

    level: int | None
    number: int
    width: int = WIDTH

    @classmethod
    def parse(cls, path: str) -> TileName | None:
        """What `<L>/<N>[.p/<W>]` or `entries/<N>[.p/<W>]` names; None where it names nothing."""
        level, _, name = path.partition("/")
        match = _NAME.fullmatch(name)
        if match is None or not (level == "entries" or (_LEVEL.fullmatch(level) and int(level) < 64)):
            return None
        number, width = int(match[1].replace("/", "").replace("x", "")), int(match[2] or WIDTH)
        tile = cls(None if level == "entries" else int(level), number, width)
        # there is one spelling of each tile, so that caches hold it once: no x000 in front, no full width spelt out
        return tile if str(tile) == path else None

    def __str__(self) -> str:
        """The path below `tile/`."""
        digits = f"{self.number:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        name = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
        level = "entries" if self.level is None else str(self.level)
        return f"{level}/{name}" + ("" if self.width == WIDTH else f".p/{self.width}")


def width_at(size: int, level: int, number: int) -> int:
    """How many hashes tile `number` of `level` has in a tree of `size`; 0 where there is no such tile."""
    return max(0, min(WIDTH, (size >> HEIGHT * level) - number * WIDTH))


def tile_of(node: Node) -> tuple[Tile, int, int]:
    """The tile from which a node's hash follows, and the first and last (excluded) hash there that it is over."""
    height, index = node
    level, rest = divmod(height, HEIGHT)
    begin = index << rest
    number, offset = divmod(begin, WIDTH)
    return (level, number), offset, offset + (1 << rest)


class TileTree:
    """A tree that is known by its tiles: roots and proofs, each with one read of the tiles that it takes."""

    def __init__(self, read_tiles: ReadTiles) -> None:
        self.read = read_tiles

    def root(self, size: int) -> bytes:
        """The root of the first `size` entries."""
        return merkle.root(size, self.nodes)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The inclusion proof of leaf `index` in the tree of `size`."""
        return merkle.inclusion_proof(index, size, self.nodes)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """The proof that the tree of `old` entries is the beginning of that of `new`."""
        return merkle.consistency_proof(old, new, self.nodes)

    def range(self, begin: int, end: int, size: int) -> tuple[list[bytes], list[bytes]]:
        """What stands left and right of the leaves `begin … end` in the tree of `size`."""
        return merkle.range_proof(begin, end, size, self.nodes)

    def nodes(self, nodes: Sequence[Node]) -> list[bytes]:
        """The hashes of nodes.  Raises `Unproven` where a tile is missing or too short."""
        places = [tile_of(node) for node in nodes]
        tiles = self.read({tile for tile, _, _ in places})
        return [_digest(tiles, tile, begin, end) for tile, begin, end in places]


def _digest(tiles: Mapping[Tile, bytes], tile: Tile, begin: int, end: int) -> bytes:
    hashes = tiles.get(tile, b"")
    if len(hashes) < end * HASH_SIZE:
        raise Unproven(f"tile {tile[0]}/{tile[1]} of the log is missing or too short")
    return merkle.root_of(hashes[at : at + HASH_SIZE] for at in range(begin * HASH_SIZE, end * HASH_SIZE, HASH_SIZE))
