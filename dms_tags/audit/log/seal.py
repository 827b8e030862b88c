"""Seals: a tree over all resources of a trail, in order of their names, whose root is itself an entry (API.md section 2).

A checkpoint proves that an entry is in the log; a seal proves which entry of a resource was its last.  Its leaves are the lines
`<resource>\\n<last revision>\\n<its position>\\n` of all resources that have entries up to the position `upTo`, in order of the
bytes of the resource in UTF-8, which is that of its code points.  The position is 0 where it is not known: the entry was
archived by a version that did not keep it.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dms_tags.audit.log import merkle
from dms_tags.audit.log.merkle import HASH_SIZE, Frontier, Node


class Standing(NamedTuple):
    """A resource, the revision of its last entry, and where that stands."""

    resource: str
    revision: int
    position: int

    @property
    def line(self) -> bytes:
        """The leaf."""
        return f"{self.resource}\n{self.revision}\n{self.position}\n".encode()


@dataclass(frozen=True, slots=True)
class Seal:
    """The tree of `size` resources up to the position `up_to`."""

    size: int
    root: bytes
    up_to: int

    @property
    def state(self) -> dict[str, Any]:
        """The state of the entry that records it."""
        return {"size": self.size, "root": b64encode(self.root).decode(), "upTo": self.up_to}

    @classmethod
    def read(cls, state: Any) -> Seal | None:
        """The seal that the state of an entry tells of; None where it tells of none."""
        if not isinstance(state, dict):
            return None
        size, root, up_to = (state.get(name) for name in ("size", "root", "upTo"))
        if type(size) is not int or type(up_to) is not int or not isinstance(root, str) or size < 0 or up_to < 0:
            return None
        try:
            digest = b64decode(root, validate=True)
        except (binascii.Error, ValueError):
            return None
        return cls(size, digest, up_to) if len(digest) == HASH_SIZE else None


def seal_of(standings: Iterable[Standing], up_to: int) -> Seal:
    """The seal over `standings`, which come in order."""
    frontier = Frontier()
    for standing in standings:
        frontier.append(merkle.leaf_hash(standing.line))
    return Seal(frontier.size, frontier.root(), up_to)


class Proven(NamedTuple):
    """A line of a seal: where it stands, and its inclusion proof."""

    standing: Standing
    leaf: int
    proof: list[bytes]


class Prover:
    """Proves the lines of some resources in a seal from one pass over its lines, of which it keeps what the proofs take.

    Of a resource that has no line its neighbours' are proven, where they stand side by side.
    """

    def __init__(self, size: int, resources: Iterable[str]) -> None:
        self._size = size
        self._waiting = sorted(set(resources), reverse=True)
        self._picked: dict[int, Standing] = {}
        self._nodes: dict[Node, bytes] = {}
        self._wanted: set[Node] = set()
        self._left: list[bytes] = []
        """The subtrees that cover what stands before the line to come."""

    def run(self, standings: Iterable[Standing], up_to: int) -> tuple[Seal, list[Proven]]:
        """The seal of the lines, and the proofs in order; to be used where it is the seal that was meant."""
        index, before, left_of_before = -1, None, self._left
        for index, standing in enumerate(standings):
            while self._waiting and self._waiting[-1] <= standing.resource:
                if self._waiting.pop() != standing.resource and before is not None:
                    self._pick(index - 1, before, left_of_before)
                self._pick(index, standing, self._left)
            before, left_of_before = standing, list(self._left)
            self._append(index, merkle.leaf_hash(standing.line))
        if self._waiting and before is not None:
            self._pick(index, before, left_of_before)
        size = index + 1
        seal = Seal(size, merkle.fold(self._left) if size else merkle.EMPTY_ROOT, up_to)
        return seal, [] if size != self._size else [self._proven(picked) for picked in sorted(self._picked)]

    def _pick(self, index: int, standing: Standing, left: Sequence[bytes]) -> None:
        if index in self._picked or index >= self._size:
            return
        self._picked[index] = standing
        covering = merkle.covering(0, index)
        self._nodes.update(zip(covering, left, strict=True))

        def want(nodes: Sequence[Node]) -> list[bytes]:
            self._wanted.update(node for node in nodes if node not in self._nodes)
            return [b""] * len(nodes)

        merkle.inclusion_proof(index, self._size, want)

    def _append(self, index: int, digest: bytes) -> None:
        node = (0, index)
        if node in self._wanted:
            self._nodes[node] = digest
        height = 0
        while index & 1:
            digest = merkle.node_hash(self._left.pop(), digest)
            height, index = height + 1, index >> 1
            if (height, index) in self._wanted:
                self._nodes[height, index] = digest
        self._left.append(digest)

    def _proven(self, index: int) -> Proven:
        proof = merkle.inclusion_proof(index, self._size, lambda nodes: [self._nodes[node] for node in nodes])
        return Proven(self._picked[index], index, proof)
