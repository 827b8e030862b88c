"""Verifying a run of entries, wherever they come from: one follows the other, and together they give the roots that were signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from dms_tags.audit.log import merkle
from dms_tags.audit.log.merkle import RangeProof
from dms_tags.audit.verify.examiner import Examiner
from dms_tags.audit.verify.report import Report, RootLine
from dms_tags.errors import Unproven

ALTERED: Final = "is not the entry that was signed: its hash is another"


class RunVerification:
    """Examines the entries behind position `examiner.position`, and rebuilds the tree over them.

    `left` are the roots of the subtrees that cover what lies before.  Where they are not as many as it takes, the entries are
    examined all the same, and `tree` is None.  The tree's root at each size of `roots` is compared on the way; `root` is that
    at the size `target`, once it was passed.
    """

    def __init__(
        self, examiner: Examiner, left: Sequence[bytes], roots: Sequence[RootLine], report: Report, *, target: int = -1
    ) -> None:
        self.examiner = examiner
        self.root: bytes | None = None
        self._roots = roots
        self._report = report
        self._target = target
        self._begin = examiner.position
        self.tree: RangeProof | None = None
        try:
            self.tree = RangeProof(self._begin, left)
        except Unproven as error:
            report.found(None, f"what stands before position {self._begin + 1} was altered: {error}")
        self._stops = self._next_stops()
        self._compare()

    @property
    def position(self) -> int:
        """That of the entry taken last."""
        return self.examiner.position

    def take(self, leaf: bytes, told: Mapping[str, Any] | None = None) -> tuple[Mapping[str, Any], bytes]:
        """Takes the next entry; gives it and its hash back.  Raises `Broken` where it is none, or not the next.

        `told` is the entry where the leaf was read already.
        """
        entry = self.examiner.take(leaf, told)
        digest = merkle.leaf_hash(leaf)
        if self.tree is not None:
            self.tree.append(digest)
            if self.examiner.position in self._stops:
                self._compare()
        return entry, digest

    def end(self) -> None:
        """Tells in the report how far the entries went."""
        self._report.last, self._report.entries = self.position, self.position - self._begin

    def _compare(self) -> None:
        size = self.position
        if self.tree is None or size not in self._stops:
            return
        root = self.tree.root_so_far()
        if size == self._target:
            self.root = root
        for roots in self._roots:
            if roots.next_size == size:
                roots.pass_by(size, root, self._report)
        self._stops = self._next_stops()

    def _next_stops(self) -> set[int]:
        """The sizes at which the root is looked at next."""
        return {self._target, *(roots.next_size for roots in self._roots)}
