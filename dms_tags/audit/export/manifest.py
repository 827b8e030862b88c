"""The manifest of an exported file: its last line, which says what the lines before are.  Written and read here alone.

The service signs it: `signature` is the signature line of a C2SP note named `<origin>/<tenant>/manifest`, whose text is the
canonical JSON of the other members.  `run`, which may be long, is left out of that text, since the tree itself proves it, and so
are `total` and what a client adds: of a table `sha256` is the file's and `lines` the one that was signed.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from dms_tags.audit.export import rows
from dms_tags.audit.log.merkle import HASH_SIZE
from dms_tags.audit.log.note import Verifier, open_note
from dms_tags.audit.trail.entry import canonical
from dms_tags.errors import Unproven

MARK: Final = 3
"""Bytes of an entry's hash that a manifest keeps: a chance of 1 in 16 million that an altered entry goes unnamed."""

MANIFEST: Final = b'{"manifest":'
RUN_FILTERS: Final = frozenset({"from", "to", "after", "before"})
"""With no others an export is a run of positions."""
RESOURCE_FILTERS: Final = frozenset({"objectId", "resource"})
"""With no others but those of a run an export is of one resource, whose revisions then are dense."""

_UNSIGNED: Final = frozenset({"run", "total", "signature", "lines"})
_COMPRESSED: Final = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"BZh", b"\xfd7zXZ")


class CutOff(Exception):
    """The file does not end with a manifest."""


class NoExport(Exception):
    """The file is nothing that could be looked at: empty, or compressed."""


class Manifest:
    """The last line of an export.  `run` is None where it is no run of positions; `signature` is None where nobody signed.

    `oldest`, the oldest position that the trail held, is None in exports of earlier versions; `seal` (`sealed.py`) is None where
    there was none, or it would tell nothing of what the export is of.
    """

    def __init__(self, document: Mapping[str, Any], begin: int, line: bytes) -> None:
        before, _, total = line.rpartition(b',"total":"')
        self.intact = total == sha256(before).hexdigest().encode() + b'"}}\n'
        self.begin = begin
        try:
            self.count, self.first, self.last, self.head = (_count(document[name]) for name in ("count", "first", "last", "head"))
            self.sha256, self.lines = _text(document["sha256"]), _text_or_none(document.get("lines"))
            self.tenant = _text(document["tenant"])
            self.filters = _mapping(document["filters"])
            self.note, self.signature = _text_or_none(document["checkpoint"]), _text_or_none(document.get("signature"))
            self.oldest = _count(document["oldest"]) if "oldest" in document else None
            self.complete = document.get("complete", True) is True
            run = document.get("run")
            self.run = None if run is None else Run(_mapping(run))
            self.seal = _mapping(document["seal"]) if "seal" in document else None
            self._signed_text = signed_text(document)
        except (KeyError, TypeError, ValueError) as error:
            raise Unproven(f"the manifest is malformed: {error!r}") from error

    @property
    def one_resource(self) -> bool:
        """Whether it is of one resource, whose revisions then are dense."""
        given = self.filters.keys() - RUN_FILTERS
        return bool(given) and given <= RESOURCE_FILTERS

    @property
    def of_histories(self) -> bool:
        """Whether it has whatever there is of the resources that it is of, in the range of a run."""
        return self.one_resource or self.filters.keys() - RUN_FILTERS == {"within"}

    @property
    def contiguous(self) -> bool:
        """Whether its filters ask for a run of positions."""
        return not self.filters.keys() - RUN_FILTERS

    def check_signature(self, verifiers: Sequence[Verifier]) -> None:
        """Raises `Unproven` unless one of the logs' keys has signed it, under the name of the log's manifests."""
        if self.signature is not None:
            open_note(f"{self._signed_text}\n{self.signature}\n", [manifest_key(verifier) for verifier in verifiers])

    @classmethod
    def read(cls, file: Path) -> Manifest:
        """The manifest of `file`.  Raises `CutOff` where there is none, `Unproven` where it is spoilt, `NoExport`."""
        table_form = is_table(file)
        _refuse_unreadable(file)
        if table_form:
            begin, line = file.stat().st_size, manifest_beside(file).read_bytes()
        else:
            begin, line = _last_line(file)
        glued = line.find(MANIFEST)
        if glued > 0:  # the end of the line before was altered
            begin, line = begin + glued, line[glued:]
        try:
            document = json.loads(line, object_pairs_hook=_members, parse_constant=_no_number)
            manifest = _mapping(document["manifest"])
            if len(document) > 1:
                raise Unproven("the manifest, the last line, has members beside it")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            if table_form or line.startswith(MANIFEST) or (b'"sha256":' in line and b'"checkpoint":' in line):
                raise Unproven("the manifest, the last line, was altered: it cannot be read") from error
            raise CutOff("the file is cut off: its last line is no manifest") from error
        if not line.endswith(b"\n"):
            raise Unproven("the manifest, the last line, is cut off")
        return cls(manifest, begin, line)


class Run:
    """What a manifest says about a run of entries with nothing left out."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.size = _count(document["size"])
        self.left, self.right = (hashes_of(document[name]) for name in ("left", "right"))
        self.marks = b64decode(document["marks"], validate=True)


def seal(document: Mapping[str, Any]) -> bytes:
    """The manifest line of `document`, with the sum of itself as its last member."""
    text = canonical({"manifest": {name: value for name, value in document.items() if name != "total"}})[:-2]
    return text + end_of(sha256(text).hexdigest())


def end_of(total: str) -> bytes:
    """How a manifest line ends whose text up to there has the sum `total`."""
    return b',"total":"' + total.encode() + b'"}}\n'


def signed_text(document: Mapping[str, Any]) -> str:
    """The text of the note that a manifest's signature belongs to."""
    members = {name: value for name, value in document.items() if name not in _UNSIGNED}
    if "lines" in document:
        members["sha256"] = document["lines"]
    return canonical(members).decode() + "\n"


def manifest_key(verifier: Verifier) -> Verifier:
    """The key that manifests of a log are checked with: the log's own, under another name, so that it has another key id."""
    return Verifier(manifest_name(verifier.name), verifier.public)


def manifest_name(log: str) -> str:
    """The name under which the manifests of a log are signed."""
    return f"{log}/manifest"


def _refuse_unreadable(file: Path) -> None:
    with file.open("rb") as stream:
        begin = stream.read(6)
    if not begin:
        raise NoExport("the file is empty: there is nothing to look at")
    if begin.startswith(_COMPRESSED):
        raise NoExport("the file is compressed: decompress it first")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise Unproven("the manifest, the last line, has a member twice")
    return document


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise TypeError("a number is missing")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is missing")
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("an object is missing")
    return value


def first_difference(ours: bytes, theirs: bytes) -> int | None:
    """The number of the first entry whose marks differ; None where those that both have are equal."""
    common = min(len(ours), len(theirs)) // MARK * MARK
    if ours[:common] == theirs[:common]:
        return None
    low, high = 0, common // MARK
    while high - low > 1:
        middle = (low + high) // 2
        if ours[low * MARK : middle * MARK] == theirs[low * MARK : middle * MARK]:
            low = middle
        else:
            high = middle
    return low


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
