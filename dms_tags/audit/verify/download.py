"""Downloading an export to a file, going on where an earlier attempt broke off.

While an export is under way `FILE.part` holds what came so far, and `FILE.part.json` what was asked for, with the end of the
trail fixed as `before`: so the rest, asked for later, fits what is there, proofs included.
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import httpx

from dms_tags.audit.export import rows
from dms_tags.audit.export.exporter import HEAD_HEADER
from dms_tags.audit.export.manifest import MANIFEST, MARK, RUN_FILTERS, manifest_beside, seal
from dms_tags.audit.log import merkle
from dms_tags.audit.log.checkpoint import Checkpoint
from dms_tags.audit.trail.entry import canonical
from dms_tags.audit.verify.live import TRAIL, CannotLook, Remote, remote_tree
from dms_tags.errors import CannotStart

PROGRESS_EVERY: Final = 5_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be downloaded: filters under their names on the wire, and the form of the file."""

    filters: Mapping[str, Any]
    form: str
    proofs: bool


class Download:
    """One export on its way into `file`."""

    def __init__(self, client: httpx.Client, wanted: Wanted, file: Path, progress: Callable[[int, int], None]) -> None:
        self._client = client
        self._wanted = wanted
        self._file = file
        self._part = file.with_name(f"{file.name}.part")
        self._note = file.with_name(f"{file.name}.part.json")
        self._progress = progress
        self._digest = hashlib.sha256()
        self._count = 0
        self._first = 0
        self._last = 0
        self._marks = bytearray()

    def run(self) -> Mapping[str, Any]:
        """Downloads what is missing; the manifest of the whole.

        Raises `CannotLook` where the service does not answer, refuses or breaks off: the same order then goes on later;
        `CannotStart` where the file is there already, or what came so far belongs to another order.
        """
        if self._file.exists():
            raise CannotStart(f"{self._file} is there already; an export is never overwritten")
        before = self._resume()
        try:
            with self._part.open("ab") as out:
                manifest = self._fetch(out, before)
                if self._wanted.form == "ndjson":
                    out.write(manifest)
                out.flush()
                os.fsync(out.fileno())
        except httpx.HTTPError as error:
            raise CannotLook(
                f"the export broke off after position {self._last} ({error}); the same command goes on from there"
            ) from error
        document: Mapping[str, Any] = json.loads(manifest)["manifest"]
        if self._wanted.form == "csv":
            manifest_beside(self._file).write_bytes(manifest)
        self._part.replace(self._file)
        self._note.unlink()
        return document

    def _resume(self) -> int | None:
        """Reads what an earlier attempt left, and cuts off a line that is not whole; the position before which to end, None: the head."""
        if not self._note.exists() or not self._part.exists():
            self._part.write_bytes(b"")
            return None
        noted = json.loads(self._note.read_text(encoding="utf-8"))
        if noted["wanted"] != self._order:
            raise CannotStart(f"{self._part} is of an export of something else: remove it, or name another file")
        self._read_part()
        return int(noted["before"])

    @property
    def _order(self) -> dict[str, Any]:
        return {"filters": dict(self._wanted.filters), "form": self._wanted.form, "proofs": self._wanted.proofs}

    def _fix_end(self, head: int) -> int:
        """Notes the position before which this export ends, so that the rest of it, asked for later, ends there too."""
        before = min(head + 1, int(self._wanted.filters.get("before") or head + 1))
        self._note.write_text(json.dumps({"wanted": self._order, "before": before}), encoding="utf-8")
        return before

    def _read_part(self) -> None:
        whole = 0
        with self._part.open("rb") as part:
            for number, line in enumerate(rows.rows(part) if self._wanted.form == "csv" else part):
                if not line.endswith(b"\n") or line.startswith(MANIFEST):
                    break
                whole += len(line)
                self._digest.update(line)
                if self._wanted.form == "ndjson" or number:
                    leaf = rows.leaf(line) if self._wanted.form == "csv" else _leaf(line)
                    self._marks += merkle.leaf_hash(leaf)[:MARK]
                    self._took(int(json.loads(leaf)["position"]))
        os.truncate(self._part, whole)

    def _took(self, position: int) -> None:
        self._count += 1
        self._first = self._first or position
        self._last = position

    def _fetch(self, out: BinaryIO, before: int | None) -> bytes:
        """Writes the lines that are missing; the manifest line of the whole."""
        query = {
            **self._wanted.filters,
            "format": "ndjson",
            "proofs": str(self._wanted.proofs and self._wanted.form == "ndjson").lower(),
        }
        resumed = before is not None
        if before is not None:
            query["before"] = before
        if self._last:
            query["after"] = self._last
        if self._wanted.form == "csv" and not out.tell():
            self._write(out, rows.head())
        part, count = hashlib.sha256(), 0
        with self._client.stream("GET", f"{TRAIL}/export", params=query) as answer:
            if answer.status_code != httpx.codes.OK:
                raise CannotLook(
                    f"the export was refused with {answer.status_code}: {answer.read().decode(errors='replace')[:300]}",
                    answer.status_code,
                )
            end = self._fix_end(int(answer.headers[HEAD_HEADER])) if before is None else before
            for line in _lines(answer):
                if line.startswith(MANIFEST):
                    manifest = json.loads(line)["manifest"]
                    if manifest["sha256"] != part.hexdigest() or manifest["count"] != count:
                        raise CannotLook("the export came spoilt: its sum is not its manifest's")
                    if resumed:
                        return self._whole(manifest, end)
                    if self._wanted.form == "csv":  # what the service signed is of the lines, not of the table
                        return seal(manifest | {"sha256": self._digest.hexdigest(), "lines": manifest["sha256"]})
                    return line
                part.update(line)
                count += 1
                entry = json.loads(line)
                self._write(out, rows.row(entry) if self._wanted.form == "csv" else line)
                self._took(entry["position"])
                if not self._count % PROGRESS_EVERY:
                    self._progress(self._last, end - 1)
        raise httpx.RemoteProtocolError("it has no manifest")

    def _write(self, out: BinaryIO, line: bytes) -> None:
        self._digest.update(line)
        out.write(line)

    def _whole(self, manifest: Mapping[str, Any], end: int) -> bytes:
        """The manifest line of a file that came in several parts: nobody signed the whole, so it has no signature."""
        document = {name: value for name, value in manifest.items() if name != "signature"}
        if "before" not in self._wanted.filters:
            document["head"] = end - 1
        # what was added to ask for the rest alone is no part of what was asked for
        filters = {name: value for name, value in document["filters"].items() if name in self._wanted.filters}
        if "after" in filters:
            filters["after"] = int(self._wanted.filters["after"])
        document |= {
            "count": self._count,
            "first": self._first,
            "last": self._last,
            "sha256": self._digest.hexdigest(),
            "filters": filters,
        }
        run = document.pop("run", None)
        if document["checkpoint"] and self._count and not filters.keys() - RUN_FILTERS:
            document["run"] = self._run(Checkpoint.parse(document["checkpoint"].rpartition("\n\n")[0] + "\n").size, run)
        return seal(document)

    def _run(self, size: int, of_rest: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """What proves the whole: the marks of what came earlier are made from it, those of the rest are the log's own."""
        tree = remote_tree(Remote(self._client), size)
        left, right = tree.range(self._first - 1, self._last, size)
        marks = bytes(self._marks) + b64decode(of_rest["marks"] if of_rest is not None else "")
        texts = {
            "left": [b64encode(digest).decode() for digest in left],
            "right": [b64encode(digest).decode() for digest in right],
        }
        return {"size": size, **texts, "marks": b64encode(marks).decode()}


def _leaf(line: bytes) -> bytes:
    return canonical({name: value for name, value in json.loads(line).items() if name != "proof"})


def _lines(answer: httpx.Response) -> Iterator[bytes]:
    """The lines of an answer as they come, with their ends; a last one without is left out."""
    rest = b""
    for part in answer.iter_bytes():
        lines = (rest + part).split(b"\n")
        rest = lines.pop()
        for line in lines:
            yield line + b"\n"
