"""Seals: whatever is asked of one is proven from one pass over its lines, for every size and every place."""

from __future__ import annotations

from typing import Any

import pytest

from dms_tags.audit.log.merkle import EMPTY_ROOT, leaf_hash, root_of, verify_inclusion
from dms_tags.audit.log.seal import Prover, Seal, Standing, seal_of


def lines(size: int) -> list[Standing]:
    return [Standing(f"object/{number:02d}", number + 1, 100 - number) for number in range(size)]


@pytest.mark.parametrize("size", range(20))
def test_every_line_is_proven(size: int) -> None:
    """Each line, alone and with others, with the proof that RFC 9162 verifies."""
    seal = seal_of(lines(size), 7)
    assert Seal(size, root_of(leaf_hash(line.line) for line in lines(size)) if size else EMPTY_ROOT, 7) == seal
    for step in (1, 3, 7):
        for first in range(size):
            asked = lines(size)[first::step]
            told, proven = Prover(size, [line.resource for line in asked]).run(lines(size), 7)
            assert (seal, asked) == (told, [line.standing for line in proven])
            for line in proven:
                verify_inclusion(leaf_hash(line.standing.line), line.leaf, size, line.proof, seal.root)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 13])
def test_absence_is_proven_by_neighbours(size: int) -> None:
    """Of what has no line the two beside it are proven, at either end the one there is."""
    seal = seal_of(lines(size), 7)
    for before in range(-1, size):
        absent = f"object/{before:02d}+" if before >= 0 else "a"
        _, proven = Prover(size, [absent]).run(lines(size), 7)
        assert [index for index in (before, before + 1) if 0 <= index < size] == [line.leaf for line in proven]
        for line in proven:
            verify_inclusion(leaf_hash(line.standing.line), line.leaf, size, line.proof, seal.root)


def test_another_size_is_told() -> None:
    """Lines that are not those of the seal give no proof."""
    for other in (4, 6):
        told, proven = Prover(5, ["object/01"]).run(lines(other), 7)
        assert (other, []) == (told.size, proven)


@pytest.mark.parametrize(
    "state",
    [
        None,
        5,
        [],
        {},
        {"size": 1, "upTo": 2},
        {"size": True, "root": "A" * 43 + "=", "upTo": 2},
        {"size": 1, "root": "AAAA", "upTo": 2},
    ],
)
def test_a_state_that_is_none(state: Any) -> None:
    """What is no seal is told as none; what a seal records is read back."""
    assert Seal.read(state) is None
    seal = seal_of(lines(3), 9)
    assert seal == Seal.read(seal.state)
