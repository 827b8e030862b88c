"""What an export that is under way keeps on the disk, so that it can go on: `FILE.part`, the lines so far, and `FILE.part.json`.

The second says what the first is of: the service, its log, the filters, the form, where it begins and before which position it
ends.  One export at a time holds a part file, and none goes on in one that is of something else, or damaged.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from dms_tags.audit.export import rows
from dms_tags.audit.export.manifest import MANIFEST, RESOURCE_FILTERS, RUN_FILTERS
from dms_tags.audit.trail.entry import canonical, leaf_of
from dms_tags.audit.verify.remnant import entry_of
from dms_tags.errors import CannotStart
from dms_tags.files import replace_whole

WAY_OUT: Final = "remove both files to begin anew, or name another file"


class Part:
    """The part file of one export, held by this process alone.

    `before` is the position that it ends before, None: not fixed yet; `trail` has the manifest's members that tell what the trail
    held when the export began.
    """

    def __init__(self, path: Path, stream: BinaryIO, order: Mapping[str, Any]) -> None:
        self.path = path
        self.before: int | None = None
        self.trail: Mapping[str, Any] = {}
        self._note = _note_of(path)
        self._stream = stream
        self._order = order
        self._noted: dict[str, Any] = {}
        self._accepted = False

    def read(self) -> Iterator[tuple[bytes, bytes | None]]:
        """The lines that came so far, each with the leaf of its entry (None: a table's line of names).

        A last line that is not whole, and a manifest, are cut off.  Raises `CannotStart` for what is of another export, or damaged.
        """
        size = self.path.stat().st_size
        if not self._note.exists():
            if size:
                raise CannotStart(f"{self.path} is there, and nothing tells which export it is of: {WAY_OUT}")
            self._accepted = True
            return
        self._noted = self._read_note()
        self.before, self.trail = self._noted["before"], dict(self._noted.get("trail", {}))
        if not size:
            raise CannotStart(f"{self.path} is empty, although an export had begun in it: {WAY_OUT}")
        whole = 0
        for line, leaf, length in self._checked(size):
            whole += length
            yield line, leaf
        os.truncate(self.path, whole)
        self._accepted = True

    def write(self, line: bytes) -> None:
        """Appends a line.  Raises `OSError`."""
        self._stream.write(line)

    def begin(self, first: int, before: int, trail: Mapping[str, Any]) -> None:
        """Notes, before the first line is written, where this export begins, before which position it ends, and what the trail held."""
        self.before, self.trail = before, trail
        self._noted = {"order": dict(self._order), "first": first, "before": before, "trail": dict(trail)}
        replace_whole(self._note, json.dumps(self._noted))

    def finish(self, file: Path) -> None:
        """All was written: the part is the file."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self.path.replace(file)
        self._note.unlink(missing_ok=True)

    def leave(self) -> None:
        """The export ends: what came, if it broke off, is kept with its sum; nothing where nothing came.  What was refused stays as it is."""
        with suppress(OSError):
            self._stream.flush()
        if not self._accepted or not self.path.exists():
            return
        size = self.path.stat().st_size
        if not size:
            self.path.unlink()
            self._note.unlink(missing_ok=True)
        elif self._noted:
            with suppress(OSError), self.path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
                replace_whole(self._note, json.dumps(self._noted | {"bytes": size, "sha256": digest}))

    def _read_note(self) -> dict[str, Any]:
        try:
            noted: dict[str, Any] = json.loads(self._note.read_text(encoding="utf-8"))
            theirs = dict(noted["order"])
            bounds = (noted["first"], noted["before"])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise CannotStart(f"{self._note} is damaged, so nothing tells which export {self.path} is of: {WAY_OUT}") from error
        if any(type(bound) is not int for bound in bounds):
            raise CannotStart(f"{self._note} is damaged: it does not tell where the export begins and ends: {WAY_OUT}")
        for name, ours in self._order.items():
            if theirs.get(name) != ours:
                raise CannotStart(
                    f"{self.path} is of another export, by its {name}: {json.dumps(theirs.get(name))}, "
                    f"not {json.dumps(ours)}; {WAY_OUT}"
                )
        return noted

    def _checked(self, size: int) -> Iterator[tuple[bytes, bytes | None, int]]:
        """The whole lines, each with its entry and its length in the file.  Raises `CannotStart` for a damaged one."""
        noted, table = self._noted, self._order["form"] == "csv"
        sums = hashlib.sha256()
        place = _Place(self._order["filters"], noted["first"])
        with self.path.open("rb") as stream:
            if type(noted.get("bytes")) is int:
                left = min(noted["bytes"], size)
                while chunk := stream.read(min(left, 1 << 20)):
                    sums.update(chunk)
                    left -= len(chunk)
                if noted["bytes"] > size or sums.hexdigest() != noted.get("sha256"):
                    raise CannotStart(f"{self.path} was altered since the export broke off: {WAY_OUT}")
                stream.seek(0)
            begin = 0
            for number, line in enumerate(rows.rows(stream) if table else stream, 1):
                end = stream.tell() if table and number == 1 else begin + len(line)
                length, begin = end - begin, end
                if begin >= size and not line.endswith(b"\n"):
                    return
                if line.startswith(MANIFEST) and begin == size:
                    return
                if table and number == 1:
                    if line != rows.head():
                        raise CannotStart(f"{self.path} is damaged: it does not begin with the members' names: {WAY_OUT}")
                    yield line, None, length
                    continue
                try:
                    leaf = _leaf(rows.line(line) + b"\n" if table else line)
                    place.take(leaf)
                except ValueError as error:
                    raise CannotStart(f"{self.path} is damaged: line {number} {error}: {WAY_OUT}") from error
                yield line, leaf, length


class _Place:
    """Where the entries of a part stand: one follows the other, with no gap where the filters leave none."""

    def __init__(self, filters: Mapping[str, Any], first: int) -> None:
        self._run = not filters.keys() - RUN_FILTERS
        self._revisions = filters.keys() - RUN_FILTERS <= RESOURCE_FILTERS
        self._first = first
        self._last: Mapping[str, Any] | None = None

    def take(self, leaf: bytes) -> None:
        """Takes the next entry.  Raises ValueError where it is none, or not the next."""
        entry, last = entry_of(leaf), self._last
        if entry is None:
            raise ValueError("is no entry")
        position = entry["position"]
        if last is None:
            if position != self._first:
                raise ValueError(f"has position {position}; the export began with {self._first}")
        elif position <= last["position"] or (self._run and position != last["position"] + 1):
            raise ValueError(f"has position {position} after {last['position']}")
        elif self._revisions and not self._run and entry["revision"] != last["revision"] + 1:
            raise ValueError(f"has revision {entry['revision']} after {last['revision']}")
        elif entry["tenant"] != last["tenant"]:
            raise ValueError(f"is of the tenant {entry['tenant']!r}, the line before of {last['tenant']!r}")
        self._last = entry


@contextmanager
def held(file: Path, order: Mapping[str, Any]) -> Iterator[Part]:
    """The part of an export to `file`, for as long as the context lasts.

    `order` says what is exported, from where and in which form, under the names that people are told what differs by.
    Raises `CannotStart` where the file is there already or another export is writing to it; `OSError`.
    """
    _refuse_existing(file)
    path = file.with_name(f"{file.name}.part")
    with _closing(path.open("ab")) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CannotStart(f"another export to {file} is under way: this one changed nothing") from error
        if not path.exists() or not os.path.samestat(path.stat(), os.fstat(stream.fileno())):
            raise CannotStart(f"another export to {file} has just ended: this one changed nothing")
        part = Part(path, stream, order)
        try:
            _refuse_existing(file)
            yield part
        finally:
            part.leave()


@contextmanager
def _closing(stream: BinaryIO) -> Iterator[BinaryIO]:
    """Closes the stream; what a full disk keeps from being written is told where it was written first."""
    try:
        yield stream
    finally:
        with suppress(OSError):
            stream.close()


def _refuse_existing(file: Path) -> None:
    if file.exists():
        raise CannotStart(f"{file} is there already; an export is never overwritten")


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _leaf(line: bytes) -> bytes:
    """The leaf of the entry that a line tells.  Raises ValueError where it is not spelt in canonical JSON."""
    entry = entry_of(line)
    if entry is None or canonical(entry) + b"\n" != line:
        raise ValueError("is no entry")
    return leaf_of(entry)
