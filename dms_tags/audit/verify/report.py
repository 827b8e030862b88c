"""What a verification found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dms_tags.audit.log.checkpoint import Checkpoint
from dms_tags.audit.log.note import Verifier, notes_in
from dms_tags.errors import Unproven

HOLDS: Final = 0
FAILS: Final = 1
NOT_LOOKED: Final = 2


class CannotTell(Exception):
    """What was given to verify with, or the file, says nothing; the text says why, and what to do."""


Progress = Callable[[int, int], None]
"""Is told entries done, and entries in all (0: not known yet)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not hold: at which position (None: not at one), and what."""

    position: int | None
    what: str

    def __str__(self) -> str:
        return self.what if self.position is None else f"position {self.position}: {self.what}"


@dataclass(slots=True)
class Report:
    """The outcome: what was looked at, what of it was proven, what does not hold, and what could not be told."""

    entries: int = 0
    first: int = 0
    last: int = 0
    checkpoint: Checkpoint | None = None
    proven: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def found(self, position: int | None, what: str) -> None:
        """Adds a finding."""
        self.findings.append(Finding(position, what))

    @classmethod
    def failed(cls, what: str) -> Report:
        """A report of nothing but one thing that does not hold, at no position."""
        return cls(findings=[Finding(None, what)])

    @property
    def verdict(self) -> str:
        """The outcome in words: whether all holds, and what was proven, each by its name."""
        if self.findings:
            return "DOES NOT HOLD"
        return "; ".join(["not proven" if self.status == NOT_LOOKED else "holds", *self.proven])

    @property
    def position_free(self) -> bool:
        """Whether nothing was found at any position so far."""
        return all(finding.position is None for finding in self.findings)

    @property
    def worst(self) -> Finding | None:
        """The finding at the first bad position; one that is at no position only where there is no other."""
        return min(self.findings, key=lambda finding: (finding.position is None, finding.position or 0), default=None)

    @property
    def status(self) -> int:
        """The exit status: 0 all holds, 1 something does not, 2 it could not be told (API.md section 2)."""
        if self.findings:
            return FAILS
        return NOT_LOOKED if self.unknown or not self.entries else HOLDS


@dataclass(frozen=True, slots=True)
class Kept:
    """Checkpoints that were kept outside, by size: what a tree is held against."""

    checkpoints: tuple[Checkpoint, ...] = ()

    @classmethod
    def read(cls, text: str, verifiers: list[Verifier]) -> Kept:
        """All checkpoints in `text`, a note or a witness file, of the logs of `verifiers`.

        Raises `CannotTell` where there is none, or one that cannot be used; `Unproven` where two contradict each other.
        """
        names = {verifier.name for verifier in verifiers}
        by_size: dict[int, Checkpoint] = {}
        for note in notes_in(text):
            if note.partition("\n")[0] not in names:
                continue
            try:
                checkpoint = Checkpoint.open(note, verifiers)
            except Unproven as error:
                raise CannotTell(f"the checkpoint kept outside cannot be used: {error}") from error
            if by_size.setdefault(checkpoint.size, checkpoint) != checkpoint:
                raise Unproven(f"two checkpoints of {checkpoint.origin} at {checkpoint.size} with different roots were signed")
        if not by_size:
            raise CannotTell(
                "there is no checkpoint of this log in the file kept outside: is it empty, cut off, or another log's?"
            )
        return cls(tuple(by_size[size] for size in sorted(by_size)))


class RootLine:
    """Compares the roots of a tree that is being rebuilt with those of checkpoints, which come in order of size.

    `next_size` is the size at which the next comparison is due; -1: none is.
    """

    def __init__(self, checkpoints: Iterable[Checkpoint], whose: str) -> None:
        self._to_come = iter(checkpoints)
        self._whose = whose
        self._good = 0
        self._next = next(self._to_come, None)

    @property
    def next_size(self) -> int:
        return -1 if self._next is None else self._next.size

    def pass_by(self, size: int, root: bytes, report: Report) -> None:
        """Takes the root of the rebuilt tree at `size`, which is `next_size`."""
        if self._next is None:
            return
        if self._next.root == root:
            self._good = size
            self._next = next(self._to_come, None)
        else:
            report.found(None, f"the entries {self._good + 1} to {size} are not those of {self._whose} at {size}")
            self._next, self._to_come = None, iter(())

    def left(self) -> list[Checkpoint]:
        """Those that were not passed by."""
        return [] if self._next is None else [self._next, *self._to_come]


def read_keys(text: str) -> list[Verifier]:
    """The verifier keys in `text`: a key itself, or the name of a file with one a line.  Raises `Unproven`."""
    lines = [text]
    if text.count("+") < 2 or Path(text).is_file():
        try:
            lines = Path(text).read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise Unproven(f"{text}: no verifier key, and no file with one ({error})") from error
    return [Verifier.parse(line) for line in lines if line.strip()]
