"""Verifying a log through its tiles, wherever they come from: a live service or a database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final, Protocol

from dms_tags.audit.log import merkle
from dms_tags.audit.log.checkpoint import Checkpoint
from dms_tags.audit.log.merkle import HASH_SIZE
from dms_tags.audit.log.tiles import WIDTH, TileTree, width_at
from dms_tags.audit.verify.archived import Archive
from dms_tags.audit.verify.examiner import Broken, Examiner
from dms_tags.audit.verify.openings import Openings
from dms_tags.audit.verify.replay import Replayed
from dms_tags.audit.verify.report import Kept, Progress, Report, RootLine
from dms_tags.audit.verify.run import ALTERED, RunVerification
from dms_tags.errors import Unproven

BASELINE: Final = "; if the entry is the one that was signed, the baseline of its resource was altered or taken away"


class Source(Protocol):
    """Where a log is read from.  What cannot be read raises something other than `Unproven`."""

    first: int
    """The first position that there is; what lies before was archived."""

    head: int
    """The last position that is to be looked at, covered by the checkpoint or not."""

    orders: Collection[int] | None
    """The numbers of the orders to archive that moved the cut; None where that is not known."""

    openings: Openings
    """What is found of names and reasons on the way."""

    def leaves(self, begin: int, end: int) -> Sequence[bytes]:
        """The canonical entries at the positions `begin + 1 … end`; fewer where there are fewer."""

    def ordered(self, actor: str) -> bool:
        """Whether an order to erase an actor is there by now, on the resource `actor/<actor>`."""

    def tile(self, level: int, number: int, width: int) -> bytes:
        """The first `width` hashes of a tile; fewer where there are fewer."""


class LogVerification:
    """Rebuilds the tree of `checkpoint` from the entries, and compares."""

    def __init__(
        self,
        source: Source,
        checkpoint: Checkpoint,
        kept: Kept,
        line: Iterable[Checkpoint] = (),
        standings: dict[str, Replayed] | None = None,
    ) -> None:
        self._source = source
        self._standings = standings
        self._checkpoint = checkpoint
        self._begin = source.first - 1
        self._roots = [
            RootLine((after for after in kept.checkpoints if self._begin <= after.size), "the checkpoint kept outside"),
            RootLine(
                (signed for signed in line if self._begin <= signed.size <= checkpoint.size), "the checkpoint of the service"
            ),
        ]
        self._differs: int | None = None
        self.report = Report(first=source.first, checkpoint=checkpoint)
        for before in kept.checkpoints:
            if before.size < self._begin and self._tree().root(before.size) != before.root:
                self.report.found(None, f"the archived entries up to {before.size} are not those of the checkpoint kept outside")

    def run(self, progress: Progress) -> Report:
        """Looks at everything, to the end or to the first break, and tells what was found."""
        report, size, begin = self.report, self._checkpoint.size, self._begin
        if begin > size:
            report.found(
                None,
                f"the positions 1 to {begin} are not here, and the newest checkpoint covers {size}: nothing is archived that is not covered",
            )
            return report
        try:
            left = self._tree().nodes(merkle.covering(0, begin))
        except Unproven as error:
            report.found(None, str(error))
            return report
        examiner = Examiner(begin, standings=self._standings)
        verification = RunVerification(examiner, left, self._roots, report, target=size)
        archive = Archive(begin, self._source.orders)
        total = max(self._source.head, size)
        for tile_begin in range(begin // WIDTH * WIDTH, total, WIDTH):
            low, high = max(begin, tile_begin), min(tile_begin + WIDTH, total)
            try:
                self._take(self._source.leaves(low, high), tile_begin, verification, archive)
            except Broken as error:
                report.found(examiner.position + 1, str(error))
            else:
                if examiner.position < high:
                    report.found(examiner.position + 1, "is missing: the trail ends before")
            verification.end()
            progress(report.entries, total - begin)
            if examiner.position < high:
                break
        if examiner.fault is not None:
            position, what = examiner.fault
            report.found(position, f"{what}{BASELINE if begin and self._standings is not None else ''}")
        for position, what in self._source.openings.faults[:1]:
            report.found(position, what)
        report.remarks += self._source.openings.remarks()
        self._judge(verification.root)
        self._outside()
        if begin:
            archive.judge(size, self._tree().root(begin), report, seen_to=examiner.position)
        else:  # of what was archived the orders may be there too
            self._source.openings.judge(report, self._source.ordered)
        if not report.findings and not report.unknown and report.entries:
            covered = min(size, report.last)
            report.proven.append(f"genuine: each of the entries up to position {covered} was signed")
            report.proven.append(f"complete: nothing is missing between the positions {report.first} and {covered}")
            examiner.seals.tell(report)
        return report

    def _take(self, leaves: Sequence[bytes], tile_begin: int, verification: RunVerification, archive: Archive) -> None:
        size = self._checkpoint.size
        width = width_at(size, 0, tile_begin // WIDTH)
        hashes = self._source.tile(0, tile_begin // WIDTH, width) if width else b""
        for leaf in leaves:
            entry, digest = verification.take(leaf)
            position = verification.position
            archive.take(entry)
            self._source.openings.take(entry)
            if self._differs is None and position <= size:
                at = (position - 1 - tile_begin) * HASH_SIZE
                if digest != hashes[at : at + HASH_SIZE]:
                    self._differs = position

    def _judge(self, root: bytes | None) -> None:
        report, size, differs = self.report, self._checkpoint.size, self._differs
        if root == self._checkpoint.root:
            if differs is not None:
                report.found(
                    None, f"the log's hash of position {differs} was altered; the entry itself is the one that was signed"
                )
            if report.last > size:
                report.remarks.append(f"{report.last - size} entries after position {size} are not covered by a checkpoint yet")
        elif differs is not None:
            report.found(differs, ALTERED)
        elif root is not None:
            report.found(None, f"the entries do not give the root of the checkpoint at {size}")

    def _outside(self) -> None:
        for checkpoint in self._roots[0].left():
            if self.report.last < checkpoint.size:
                self.report.found(
                    self.report.last + 1,
                    f"is missing: the checkpoint kept outside covers {checkpoint.size} entries, the trail ends before",
                )

    def _tree(self) -> TileTree:
        size = self._checkpoint.size
        return TileTree(
            lambda wanted: {
                (level, number): self._source.tile(level, number, width_at(size, level, number)) for level, number in wanted
            }
        )
