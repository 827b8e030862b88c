"""Recomputing seals: what a trail says of all its resources is held against the entries, wherever all of them are looked at."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from dms_tags.audit.log.seal import Seal, Standing, seal_of
from dms_tags.audit.verify.replay import Replayed
from dms_tags.audit.verify.report import Report

LOOK_BACK: Final = 500_000
"""Entries behind the position that a seal goes up to that can be undone again when the seal comes; a service writes it within
the time that it takes to compute."""


class Seals:
    """Recomputes the seals among the entries behind position `after` from `standings`, by resource, as the examiner keeps them.

    `whole` says that these have what was before: else no seal can be recomputed.
    """

    def __init__(self, standings: Mapping[str, Replayed], after: int, *, whole: bool) -> None:
        self._standings = standings
        self._whole = whole
        self._after = after
        self._moved: deque[Replayed] = deque(maxlen=LOOK_BACK)
        self._from: deque[int] = deque(maxlen=LOOK_BACK)
        self._held = 0
        self._passed_over = 0
        self._too_far: list[int] = []

    def moved(self, standing: Replayed, position: int) -> None:
        """Takes a resource that an entry was just applied to, and where its entry before stands."""
        self._moved.append(standing)
        self._from.append(position)

    def wrong(self, entry: Mapping[str, Any], position: int) -> str | None:
        """What is wrong with the seal that the entry taken last records; None: nothing."""
        seal = Seal.read(entry["state"])
        if seal is None or seal.up_to >= position:
            return "is a seal that tells of no position before it, or of no tree"
        if not self._whole or seal.up_to < self._after:
            self._passed_over += 1
            return None
        if position - seal.up_to > len(self._moved):
            self._too_far.append(position)
            return None
        if seal_of(self._lines(position - seal.up_to), seal.up_to) != seal:
            return f"is a seal that is not of the entries up to {seal.up_to}: it tells of other resources, revisions or positions"
        self._held += 1
        return None

    def tell(self, report: Report) -> None:
        """Tells what was recomputed, and what could not be."""
        if self._held:
            report.proven.append(f"sealed: each of {self._held} seals is that of the entries")
        if self._passed_over:
            lacking = f"that takes what stands before position {self._after + 1}"
            report.remarks.append(f"{self._passed_over} seals were not recomputed: {lacking}")
        report.unknown += [
            f"the seal at position {position} goes up to more than {LOOK_BACK} entries before it: not recomputed"
            for position in self._too_far
        ]

    def _lines(self, back: int) -> Iterator[Standing]:
        """The lines as they stood before the last `back` entries."""
        undone: dict[int, tuple[int, int]] = {}
        for standing, position in islice(zip(reversed(self._moved), reversed(self._from), strict=True), back):
            undone[id(standing)] = (undone.get(id(standing), (0, 0))[0] + 1, position)
        for resource in sorted(self._standings):
            standing = self._standings[resource]
            revisions, position = undone.get(id(standing), (0, standing.position))
            if standing.revision > revisions:
                yield Standing(resource, int(standing.revision) - revisions, position)
