"""Tiles: their names, their widths, and trees that are known by their tiles alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dms_tags.audit.log import merkle
from dms_tags.audit.log.tiles import Tile, TileName, TileTree, width_at
from dms_tags.errors import Unproven

HASHES = [merkle.leaf_hash(str(number).encode()) for number in range(70_000)]


def tiles_of(size: int) -> dict[Tile, bytes]:
    """All tiles of the tree of the first `size` hashes, by the specification's own definition."""
    tiles: dict[Tile, bytes] = {}
    level, hashes = 0, HASHES[:size]
    while hashes:
        for number in range(-(-len(hashes) // 256)):
            tiles[level, number] = b"".join(hashes[number * 256 : (number + 1) * 256])
        hashes = [merkle.root_of(hashes[at : at + 256]) for at in range(0, len(hashes) - 255, 256)]
        level += 1
    return tiles


TILES = tiles_of(70_000)


def tree(seen: list[Collection[Tile]] | None = None) -> TileTree:
    def read(wanted: Collection[Tile]) -> Mapping[Tile, bytes]:
        if seen is not None:
            seen.append(wanted)
        return {tile: TILES[tile] for tile in wanted if tile in TILES}

    return TileTree(read)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("0/000", TileName(0, 0)),
        ("0/273.p/112", TileName(0, 273, 112)),
        ("63/x001/x234/067", TileName(63, 1234067)),
        ("entries/x001/000.p/1", TileName(None, 1000, 1)),
    ],
)
def test_tile_names(path: str, name: TileName) -> None:
    """Tiles are called as the specification calls them."""
    assert path == str(name)
    assert name == TileName.parse(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "0",
        "0/0",
        "00/000",
        "64/000",
        "0/000.p/0",
        "0/000.p/01",
        "0/000.p/256",
        "0/x000/001",
        "0/x001",
        "0/001/x000",
        "a/000",
        "0/\u0660\u0660\u0660",
        "-1/000",
    ],
)
def test_tile_names_refused(path: str) -> None:
    """What is not the one spelling of a tile names nothing."""
    assert TileName.parse(path) is None


def test_tiles_of_70000() -> None:
    """A tree of 70,000 has the tiles that the specification counts."""
    size = 70_000

    assert [256, 112, 0] == [width_at(size, 0, number) for number in (272, 273, 274)]
    assert [256, 17, 0] == [width_at(size, 1, number) for number in (0, 1, 2)]
    assert [1, 0] == [width_at(size, 2, 0), width_at(size, 3, 0)]
    assert {tile: 32 * width_at(size, *tile) for tile in TILES} == {tile: len(hashes) for tile, hashes in TILES.items()}


@given(st.integers(1, 70_000), st.data())
@settings(max_examples=40, deadline=None)
def test_proofs_from_tiles(size: int, data: st.DataObject) -> None:
    """Roots and proofs from the tiles of a larger tree are those of the tree asked for."""
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    root = merkle.root_of(HASHES[:size])

    assert root == tree().root(size)
    merkle.verify_inclusion(HASHES[index], index, size, tree().inclusion(index, size), root)
    merkle.verify_consistency(old, tree().root(old), size, root, tree().consistency(old, size))


@pytest.mark.parametrize(
    "ask",
    [
        lambda tree: tree.inclusion(12_345, 69_999),
        lambda tree: tree.consistency(33_333, 69_999),
        lambda tree: tree.range(300, 60_001, 69_999),
    ],
)
def test_proofs_read_few_tiles(ask: Callable[[TileTree], object]) -> None:
    """A proof in a tree of 70,000 reads at most two tiles of each level, all at once."""
    seen: list[Collection[Tile]] = []
    ask(tree(seen))

    assert 1 == len(seen)
    assert 6 >= len(seen[0])


def test_missing_tile() -> None:
    """A tile that is missing or too short is said, not passed over."""
    with pytest.raises(Unproven, match="tile 0/0"):
        TileTree(lambda _: {}).root(3)
    with pytest.raises(Unproven, match="tile 0/0"):
        TileTree(lambda _: {(0, 0): HASHES[0]}).root(3)
