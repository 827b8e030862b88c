"""The manifest of an exported file: its last line, which says what the lines before are."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from dms_tags.audit.export import rows
from dms_tags.audit.log.merkle import HASH_SIZE
from dms_tags.errors import Unproven

MARK: Final = 3
"""Bytes of an entry's hash that a manifest keeps: a chance of 1 in 16 million that an altered entry goes unnamed."""

MANIFEST: Final = b'{"manifest":'


class CutOff(Exception):
    """The file does not end with a manifest."""


class Manifest:
    """The last line of an export."""

    def __init__(self, document: Mapping[str, Any], begin: int, line: bytes) -> None:
        before, _, total = line.rpartition(b',"total":"')
        self.intact = total == sha256(before).hexdigest().encode() + b'"}}\n'
        try:
            self.begin = begin
            self.count, self.first, self.last, self.head = (int(document[name]) for name in ("count", "first", "last", "head"))
            self.sha256 = str(document["sha256"])
            self.filters: Mapping[str, Any] = document["filters"]
            self.note: str | None = document["checkpoint"]
            run = document.get("run")
            self.run = None if run is None else Run(run)
            given = self.filters.keys() - {"from", "to", "after", "before"}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unproven(f"the manifest is malformed: {error!r}") from error
        if self.run is not None and len(self.run.marks) != (self.last - self.first + 1) * MARK:
            raise Unproven("the manifest was altered: its marks are not as many as its entries")
        self.one_resource = bool(given) and given <= {"objectId", "resource"}

    @classmethod
    def read(cls, file: Path) -> Manifest:
        """The manifest of `file`.  Raises `CutOff` where there is none, `Unproven` where it is spoilt."""
        table_form = is_table(file)
        if table_form:
            begin, line = file.stat().st_size, manifest_beside(file).read_bytes()
        else:
            begin, line = _last_line(file)
        glued = line.find(MANIFEST)
        if glued > 0:  # the end of the line before was altered
            begin, line = begin + glued, line[glued:]
        try:
            document = json.loads(line)
            manifest = document["manifest"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            if table_form or (b'"sha256":' in line and b'"checkpoint":' in line):
                raise Unproven("the manifest, the last line, was altered: it cannot be read") from error
            raise CutOff("the file is cut off: its last line is no manifest") from error
        if not line.endswith(b"\n"):
            raise Unproven("the manifest, the last line, is cut off")
        return cls(manifest, begin, line)


class Run:
    """What a manifest says about a run of entries with nothing left out."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.size = int(document["size"])
        self.left, self.right = (hashes_of(document[name]) for name in ("left", "right"))
        self.marks = b64decode(document["marks"], validate=True)


def hashes_of(texts: Sequence[str]) -> list[bytes]:
    hashes = [b64decode(text, validate=True) for text in texts]
    if any(len(digest) != HASH_SIZE for digest in hashes):
        raise ValueError("a hash of another length")
    return hashes


def manifest_beside(file: Path) -> Path:
    """The file that a CSV export has its manifest in."""
    return file.with_name(f"{file.name}.manifest.json")


def is_table(file: Path) -> bool:
    """Whether the file is CSV, which has its manifest beside it."""
    return manifest_beside(file).exists()


def entries_of(file: Path, end: int) -> Iterator[bytes]:
    """The lines of `file` before the offset `end`; of CSV its rows, the line of names among them."""
    left = end
    with file.open("rb", buffering=1 << 20) as stream:
        for line in rows.rows(stream) if is_table(file) else stream:
            if left <= 0:
                return
            yield line[:left] if len(line) > left else line
            left -= len(line)


def _last_line(file: Path) -> tuple[int, bytes]:
    """Where the last line begins, and the line."""
    with file.open("rb") as stream:
        end = stream.seek(0, 2)
        step, begin, tail = 1 << 16, end, b""
        while begin > 0:
            begin = max(0, begin - step)
            step *= 2
            stream.seek(begin)
            tail = stream.read(end - begin)
            at = tail.rfind(b"\n", 0, len(tail) - 1)
            if at >= 0:
                return begin + at + 1, tail[at + 1 :]
        return 0, tail
