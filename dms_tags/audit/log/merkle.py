"""RFC 9162 (section 2.1) Merkle trees over SHA-256: roots, inclusion and consistency proofs, proofs of a range.

Pure arithmetic, no storage.  Where the hashes of a tree come from is said by *nodes*: node `(height, index)` is the root
of the perfect subtree over the leaves `index * 2**height … (index + 1) * 2**height`, end excluded.  Indexes count from
0; the entry at position p of a trail is leaf p - 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final

from dms_tags.errors import Unproven

Node = tuple[int, int]
"""Height and index of a perfect subtree."""

Read = Callable[[Sequence[Node]], Sequence[bytes]]
"""Gives the hashes of nodes, in the order asked."""

HASH_SIZE: Final = 32
EMPTY_ROOT: Final = sha256().digest()


def leaf_hash(data: bytes) -> bytes:
    """The hash of the leaf `data`."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of the node above `left` and `right`."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: log n hashes, enough to append and to tell the root at any time."""

    __slots__ = ("_hashes", "size")

    def __init__(self) -> None:
        self.size = 0
        self._hashes: list[bytes] = []

    def append(self, digest: bytes, height: int = 0) -> None:
        """Appends a leaf's hash, or that of a perfect subtree of `height` where the size is a multiple of its own."""
        if self.size & ((1 << height) - 1):
            raise Unproven(f"a subtree of height {height} cannot stand at leaf {self.size}")
        hashes = self._hashes
        filled = self.size >> height
        while filled & 1:
            digest = sha256(b"\x01" + hashes.pop() + digest).digest()
            filled >>= 1
        hashes.append(digest)
        self.size += 1 << height

    def root(self) -> bytes:
        """The root of the tree as it stands."""
        return fold(self._hashes) if self._hashes else EMPTY_ROOT


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """The root of the tree over `leaf_hashes`."""
    frontier = Frontier()
    for digest in leaf_hashes:
        frontier.append(digest)
    return frontier.root()


def fold(hashes: Sequence[bytes]) -> bytes:
    """The hash over neighbouring subtrees that grow smaller to the right; at least one."""
    digest = hashes[-1]
    for left in reversed(hashes[:-1]):
        digest = node_hash(left, digest)
    return digest


def covering(begin: int, end: int) -> list[Node]:
    """The fewest perfect subtrees, left to right, over the leaves `begin … end`, end excluded."""
    nodes = []
    while begin < end:
        fits = (end - begin).bit_length() - 1
        height = min(fits, (begin & -begin).bit_length() - 1) if begin else fits
        nodes.append((height, begin >> height))
        begin += 1 << height
    return nodes


def root(size: int, read: Read) -> bytes:
    """The root of the first `size` leaves."""
    return fold(read(covering(0, size))) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, read: Read) -> list[bytes]:
    """The audit path of leaf `index` in the tree of `size` leaves, from the leaf up (RFC 9162, 2.1.3.1)."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    return _hashes_of(_inclusion_ranges(index, 0, size), read)


def consistency_proof(old: int, new: int, read: Read) -> list[bytes]:
    """The proof that the tree of `old` leaves is the beginning of that of `new` (RFC 9162, 2.1.4.1)."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {old} cannot be the beginning of one of {new}")
    if old in (0, new):
        return []
    return _hashes_of(_consistency_ranges(old, 0, new, whole=True), read)


def range_proof(begin: int, end: int, size: int, read: Read) -> tuple[list[bytes], list[bytes]]:
    """What stands left and right of the leaves `begin … end` (end excluded) in the tree of `size` leaves.

    With the hashes of those leaves it gives the root: `verify_range`.
    """
    left, right = covering(0, begin), covering(end, size)
    hashes = list(read([*left, *right]))
    return hashes[: len(left)], hashes[len(left) :]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> None:
    """Raises `Unproven` unless `proof` leads from the leaf's hash to the root `expected` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise Unproven(f"there is no leaf {index} in a tree of {size}")
    position, last, digest = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise Unproven("the inclusion proof is too long")
        if position & 1 or position == last:
            digest = node_hash(sibling, digest)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            digest = node_hash(digest, sibling)
        position >>= 1
        last >>= 1
    if last:
        raise Unproven("the inclusion proof is too short")
    if digest != expected:
        raise Unproven("the inclusion proof does not lead to the root")


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raises `Unproven` unless the tree of `old` leaves is the beginning of that of `new` (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new:
        raise Unproven(f"a tree of {old} leaves cannot be the beginning of one of {new}")
    if old in (0, new):
        if proof or old_root != (new_root if old else EMPTY_ROOT):
            raise Unproven("the two trees are not the same")
        return
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        raise Unproven("the consistency proof is empty")
    position, last = old - 1, new - 1
    while position & 1:
        position >>= 1
        last >>= 1
    of_old = of_new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise Unproven("the consistency proof is too long")
        if position & 1 or position == last:
            of_old = node_hash(sibling, of_old)
            of_new = node_hash(sibling, of_new)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            of_new = node_hash(of_new, sibling)
        position >>= 1
        last >>= 1
    if last:
        raise Unproven("the consistency proof is too short")
    if of_old != old_root or of_new != new_root:
        raise Unproven("the older tree is not the beginning of the newer one")


class RangeProof:
    """The tree's root from a run of neighbouring leaves and what stands left and right of them.

    Leaves are appended one by one, so the run may be longer than memory.
    """

    __slots__ = ("_frontier",)

    def __init__(self, begin: int, left: Sequence[bytes]) -> None:
        self._frontier = Frontier()
        _append_all(self._frontier, covering(0, begin), left)

    def append(self, leaf: bytes) -> None:
        """Appends the hash of the next leaf."""
        self._frontier.append(leaf)

    def root_so_far(self) -> bytes:
        """The root of the tree that ends with the leaf appended last."""
        return self._frontier.root()

    def root(self, size: int, right: Sequence[bytes]) -> bytes:
        """The root of the tree of `size` leaves, of which `right` stands behind those appended; the last call of all."""
        _append_all(self._frontier, covering(self._frontier.size, size), right)
        return self._frontier.root()


def _append_all(frontier: Frontier, nodes: Sequence[Node], hashes: Sequence[bytes]) -> None:
    if len(nodes) != len(hashes):
        raise Unproven(f"the range proof has {len(hashes)} hashes where {len(nodes)} are needed")
    for (height, _), digest in zip(nodes, hashes, strict=True):
        frontier.append(digest, height)


def _inclusion_ranges(index: int, begin: int, end: int) -> list[tuple[int, int]]:
    """The ranges of leaves whose subtree roots make up the audit path, from the leaf up."""
    ranges: list[tuple[int, int]] = []
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin = middle
    return ranges[::-1]


def _consistency_ranges(old: int, begin: int, end: int, *, whole: bool) -> list[tuple[int, int]]:
    """The ranges of RFC 9162's SUBPROOF; `whole` says that the older tree's own root is known to the verifier."""
    if old == end:
        return [] if whole else [(begin, end)]
    middle = begin + _split(end - begin)
    if old <= middle:
        return [*_consistency_ranges(old, begin, middle, whole=whole), (middle, end)]
    return [*_consistency_ranges(old, middle, end, whole=False), (begin, middle)]


def _split(count: int) -> int:
    """The largest power of two below `count`, which is at least 2."""
    return 1 << (count - 1).bit_length() - 1


def _hashes_of(ranges: Sequence[tuple[int, int]], read: Read) -> list[bytes]:
    """The subtree root of each range, with one read for all of them."""
    parts = [covering(begin, end) for begin, end in ranges]
    hashes = iter(read([node for part in parts for node in part]))
    return [fold([next(hashes) for _ in part]) for part in parts]
