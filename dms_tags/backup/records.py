"""What a backup writes a document as: BSON, one after the other, as MongoDB's own tools write and show it (`bsondump`).

An entry of the trail is written as the line of its export, which is what proves it, and beside it as what the line does not
tell of the document in the database.  Neither is made from members that are known: what is there is kept as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import bson
from bson.codec_options import CodecOptions

from dms_tags.audit.trail.entry import Entry
from dms_tags.store.documents import Document

_OPTIONS: Final[CodecOptions[Document]] = CodecOptions(tz_aware=True, tzinfo=UTC)
_TIMES: Final = ("creationDate", "recordedAt")
_LEFT_OUT: Final = "-"
"""The member, beside an entry, that names what the line tells and the document does not have."""


def write(stream: BinaryIO, documents: Iterable[Document]) -> int:
    """Writes documents; how many there were.  Raises `OSError`."""
    count = 0
    for document in documents:
        stream.write(bson.encode(document))
        count += 1
    return count


def read(file: Path) -> Iterator[Document]:
    """The documents of a file.  Raises `OSError`, and `ValueError` for what is no such file."""
    with file.open("rb") as stream:
        try:
            yield from bson.decode_file_iter(stream, _OPTIONS)
        except bson.errors.BSONError as error:
            raise ValueError(f"{file} is cut off, or no file of a backup") from error


def beside(entry: Entry, line: bytes) -> Document:
    """What the line of an entry's export does not tell of its document."""
    told = _told(line)
    more = {name: value for name, value in entry.items() if name not in told or not _same(told[name], value)}
    left_out = sorted(told.keys() - entry.keys())
    return {**more, _LEFT_OUT: left_out} if left_out else more


def entry_of(line: bytes, more: Document) -> Entry:
    """The document of an entry, from its line and what was kept beside it.  Raises `ValueError` where the line is none."""
    entry = _told(line)
    for name in more.pop(_LEFT_OUT, ()):
        del entry[name]
    entry.update(more)
    return entry


def _told(line: bytes) -> Entry:
    told: Entry = json.loads(line)
    for name in _TIMES:
        told[name] = datetime.fromisoformat(told[name])
    if "changeId" in told:
        told["_id"] = told.pop("changeId")
    return told


def _same(told: Any, kept: Any) -> bool:
    """Whether two values are the same to MongoDB too, for which the members of a document have an order."""
    if isinstance(kept, (dict, list)):
        return repr(told) == repr(kept)
    return type(told) is type(kept) and bool(told == kept)
