"""The lines of an exported file, as they are verified: counted, summed, the rows of a table as the lines that they tell."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

from dms_tags.audit.export import rows
from dms_tags.audit.export.manifest import Manifest, entries_of, is_table
from dms_tags.audit.verify.report import Progress

PROGRESS_EVERY: Final = 5_000


class Lines:
    """The lines with entries, read once: an empty one where a row tells none.

    `count` and the sums are those of what was read so far: `digest` of the file, `lines_digest` of the lines that a table tells.
    """

    def __init__(self, file: Path, manifest: Manifest, progress: Progress) -> None:
        self._file = file
        self._manifest = manifest
        self._progress = progress
        self.count = 0
        self.digest = sha256()
        self.lines_digest = sha256()
        self.in_table = is_table(file)
        self._lines = self._read()

    def __iter__(self) -> Iterator[bytes]:
        return self._lines

    def read_to_end(self) -> None:
        """Reads what is left: the sum of the file is told from all of it."""
        for _ in self._lines:
            pass

    def _read(self) -> Iterator[bytes]:
        spelt_lines = entries_of(self._file, self._manifest.begin)
        if self.in_table:
            self.digest.update(next(spelt_lines, b""))
        for spelt in spelt_lines:
            self.digest.update(spelt)
            line = spelt
            if self.in_table:
                line = _told(spelt)
                self.lines_digest.update(line)
            self.count += 1
            if not self.count % PROGRESS_EVERY:
                self._progress(self.count, self._manifest.count)
            yield line
        self._progress(self.count, self._manifest.count)


def _told(row: bytes) -> bytes:
    try:
        return rows.line(row) + b"\n"
    except ValueError:
        return b"\n"
