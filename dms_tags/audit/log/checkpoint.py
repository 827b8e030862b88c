"""C2SP checkpoints: what a log commits to, in three lines (c2sp.org/tlog-checkpoint)."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from dms_tags.audit.log.merkle import HASH_SIZE
from dms_tags.audit.log.note import Verifier, open_note
from dms_tags.errors import Unproven

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class AnotherLog(Unproven):
    """The checkpoint is one of a log that none of the keys belongs to: it says nothing, good or bad, of this one."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tree of the log `origin` when it had `size` entries."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The checkpoint that `text` spells; extension lines are passed over.  Raises `Unproven` for anything else."""
        lines = text.split("\n")
        try:
            root = b64decode(lines[2], validate=True) if len(lines) > 3 else b""
        except (binascii.Error, ValueError):
            root = b""
        if len(root) != HASH_SIZE or not lines[0] or not _SIZE.fullmatch(lines[1]) or "" in lines[:-1] or lines[-1]:
            raise Unproven("this is no checkpoint: origin, size and root, a line each")
        return cls(lines[0], int(lines[1]), root)

    @classmethod
    def open(cls, note: str, verifiers: Sequence[Verifier]) -> Self:
        """The checkpoint of a note that one of `verifiers` has signed, under the log's own name.

        Raises `AnotherLog` where none of them is of its log, `Unproven` where it was not signed so.
        """
        origin = note.partition("\n")[0]
        own = [verifier for verifier in verifiers if verifier.name == origin]
        if not own:
            raise AnotherLog(
                f"the checkpoint is one of {origin!r}, the key is {' or '.join(verifier.name for verifier in verifiers)}'s"
            )
        return cls.parse(open_note(note, own))
