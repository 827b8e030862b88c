"""Downloading an export to a file, going on where an earlier attempt broke off.

The end of the trail is fixed as `before` when the first line comes: so the rest, asked for later, fits what is there, proofs
included.  `part.py` keeps what came so far.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from dms_tags.audit.export import rows
from dms_tags.audit.export.exporter import COMPLETE_HEADER, HEAD_HEADER, OLDEST_HEADER
from dms_tags.audit.export.manifest import MANIFEST, MARK, RUN_FILTERS, manifest_beside, seal
from dms_tags.audit.log import merkle
from dms_tags.audit.log.checkpoint import Checkpoint
from dms_tags.audit.verify.live import TRAIL, CannotLook, Remote, remote_tree
from dms_tags.audit.verify.part import WAY_OUT, Part, held
from dms_tags.errors import CannotStart

PROGRESS_EVERY: Final = 5_000
GOES_ON: Final = "the same command goes on from there"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be downloaded: filters under their names on the wire, the form of the file, whether a table has a byte-order mark."""

    filters: Mapping[str, Any]
    form: str
    proofs: bool
    bom: bool = False


class Download:
    """One export on its way into `file`; `then` says what a user does after it broke off."""

    def __init__(
        self, client: httpx.Client, wanted: Wanted, file: Path, progress: Callable[[int, int], None], then: str = GOES_ON
    ) -> None:
        self._client = client
        self._wanted = wanted
        self._file = file
        self._progress = progress
        self._then = then
        self._digest = hashlib.sha256()
        self._count = 0
        self._first = 0
        self._last = 0
        self._tenant: str | None = None
        self._marks = bytearray()
        self._names_written = False

    def run(self) -> Mapping[str, Any]:
        """Downloads what is missing; the manifest of the whole.

        Raises `CannotLook` where the service does not answer, refuses or breaks off: the same order then goes on later;
        `CannotStart` where the file is there already or cannot be written, where another export is writing it, or where what
        came so far belongs to another order or is damaged.
        """
        try:
            with held(self._file, self._order()) as part:
                for line, leaf in part.read():
                    self._digest.update(line)
                    if leaf is None:
                        self._names_written = True
                    else:
                        self._marks += merkle.leaf_hash(leaf)[:MARK]
                        self._took(json.loads(leaf))
                manifest = self._fetch(part, resumed=part.before is not None)
                if self._wanted.form == "csv":
                    manifest_beside(self._file).write_bytes(manifest)
                else:
                    part.write(manifest)
                part.finish(self._file)
        except httpx.HTTPError as error:
            raise CannotLook(f"the export broke off after position {self._last} ({error}); {self._then}") from error
        except OSError as error:
            where = error.filename or self._file
            raise CannotStart(
                f"{where} cannot be written: {error.strerror or error}; the export broke off, and once that is seen to {self._then}"
            ) from error
        document: Mapping[str, Any] = json.loads(manifest)["manifest"]
        return document

    def _order(self) -> Mapping[str, Any]:
        """What a part file is bound to: where the export comes from, and what of."""
        try:
            log = Remote(self._client).get("/log/key").text.strip()
        except CannotLook as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
            log = None  # nobody signs here
        wanted = self._wanted
        return {
            "service": str(self._client.base_url).rstrip("/"),
            "log": log,
            "filters": dict(wanted.filters),
            "form": wanted.form,
            "proofs": wanted.proofs,
            "bom": wanted.bom,
        }

    def _took(self, entry: Mapping[str, Any]) -> None:
        self._count += 1
        self._first = self._first or entry["position"]
        self._last = entry["position"]
        self._tenant = entry["tenant"]

    def _fetch(self, part: Part, *, resumed: bool) -> bytes:
        """Writes the lines that are missing; the manifest line of the whole."""
        table = self._wanted.form == "csv"
        query = {**self._wanted.filters, "format": "ndjson", "proofs": str(self._wanted.proofs and not table).lower()}
        if part.before is not None:
            query["before"] = part.before
        if self._last:
            query["after"] = self._last
        sum_of_lines, count = hashlib.sha256(), 0
        with self._client.stream("GET", f"{TRAIL}/export", params=query) as answer:
            if answer.status_code != httpx.codes.OK:
                self._refused(answer, part, resumed=resumed)
            end = part.before or self._end(int(answer.headers[HEAD_HEADER]))
            for line in _lines(answer):
                if line.startswith(MANIFEST):
                    manifest = json.loads(line)["manifest"]
                    if manifest["sha256"] != sum_of_lines.hexdigest() or manifest["count"] != count:
                        raise CannotLook("the export came spoilt: its sum is not its manifest's")
                    self._same_tenant(manifest["tenant"], part)
                    self._write_names(part)
                    if resumed:
                        return self._whole(manifest | part.trail, end)
                    if table:  # what the service signed is of the lines, not of the table
                        return seal(manifest | {"sha256": self._digest.hexdigest(), "lines": manifest["sha256"]})
                    return line
                sum_of_lines.update(line)
                count += 1
                entry = json.loads(line)
                self._same_tenant(entry["tenant"], part)
                if part.before is None:
                    part.begin(entry["position"], end, _held(answer))
                self._write_names(part)
                self._write(part, rows.row(entry) if table else line)
                self._took(entry)
                if not self._count % PROGRESS_EVERY:
                    self._progress(self._last, end - 1)
        raise httpx.RemoteProtocolError("it has no manifest")

    def _refused(self, answer: httpx.Response, part: Part, *, resumed: bool) -> None:
        said = f"the export was refused with {answer.status_code}: {answer.read().decode(errors='replace')[:300]}"
        if resumed and answer.status_code == httpx.codes.GONE:
            said += f"; entries behind those in {part.path} were archived meanwhile, so that it cannot go on: {WAY_OUT}"
        raise CannotLook(said, answer.status_code)

    def _end(self, head: int) -> int:
        """The position before which this export ends, so that the rest of it, asked for later, ends there too."""
        return min(head + 1, int(self._wanted.filters.get("before") or head + 1))

    def _same_tenant(self, tenant: str, part: Part) -> None:
        if self._tenant not in (None, tenant):
            raise CannotStart(f"{part.path} is of the tenant {self._tenant!r}, the service answers for {tenant!r}: {WAY_OUT}")

    def _write_names(self, part: Part) -> None:
        """A table begins with its members' names."""
        if self._wanted.form == "csv" and not self._names_written:
            self._names_written = True
            if self._wanted.bom:
                part.write(BOM_UTF8)
            self._write(part, rows.head())

    def _write(self, part: Part, line: bytes) -> None:
        self._digest.update(line)
        part.write(line)

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
        if "within" in filters and "seal" in document:  # it tells of what was in the rest alone
            document["seal"] = {"untold": "the export came in several parts"}
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


def _held(answer: httpx.Response) -> dict[str, Any]:
    """What the trail held when the export began, as its manifest would tell; the rest, asked for later, tells of another range."""
    headers = answer.headers
    if OLDEST_HEADER not in headers:
        return {}  # a service of an earlier version
    return {"oldest": int(headers[OLDEST_HEADER]), "complete": headers[COMPLETE_HEADER] == "true"}


def _lines(answer: httpx.Response) -> Iterator[bytes]:
    """The lines of an answer as they come, with their ends; a last one without is left out."""
    rest = b""
    for part in answer.iter_bytes():
        lines = (rest + part).split(b"\n")
        rest = lines.pop()
        for line in lines:
            yield line + b"\n"
