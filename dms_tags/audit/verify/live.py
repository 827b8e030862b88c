"""Verifying a running service over HTTP: through the log's tiles, as any other client of it could."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import httpx

from dms_tags.audit.checkpoint import Checkpoint
from dms_tags.audit.merkle import HASH_SIZE
from dms_tags.audit.note import Verifier
from dms_tags.audit.tiles import WIDTH, TileName
from dms_tags.audit.verify.report import Kept, Progress, Report
from dms_tags.audit.verify.tree import LogVerification
from dms_tags.errors import Unproven

TRAIL: Final = "/api/dms/audit"


class CannotLook(Exception):
    """The service does not answer, or refuses; the text says what it said."""


class Remote:
    """A service's audit calls; `client` has its address and credentials."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def get(self, path: str) -> httpx.Response:
        """The answer to a GET below `/api/dms/audit`.  Raises `CannotLook` unless it is a 200."""
        try:
            answer = self._client.get(f"{TRAIL}{path}")
        except httpx.HTTPError as error:
            raise CannotLook(f"{self._client.base_url} does not answer: {error}") from error
        if answer.status_code != httpx.codes.OK:
            raise CannotLook(f"GET {TRAIL}{path} was answered {answer.status_code}: {answer.text[:300]}")
        return answer


def verify_live(client: httpx.Client, verifiers: Sequence[Verifier], kept_text: str | None, progress: Progress) -> Report:
    """Verifies the trail of the tenant that `client` belongs to.  Without `verifiers` the service's own key is taken, which is remarked.

    Raises `CannotLook`.
    """
    remote = Remote(client)
    try:
        keys = list(verifiers) or [Verifier.parse(remote.get("/log/key").text)]
        checkpoint = Checkpoint.open(remote.get("/log/checkpoint").text, keys)
        kept = Kept() if kept_text is None else Kept.read(kept_text, keys)
    except Unproven as error:
        report = Report()
        report.found(None, str(error))
        return report
    report = LogVerification(_LiveSource(remote, checkpoint.size), checkpoint, kept).run(progress)
    if not verifiers:
        report.remarks.append("the public key was taken from the service itself: give --key to be sure whose it is")
    return report


class _LiveSource:
    def __init__(self, remote: Remote, size: int) -> None:
        self._remote = remote
        oldest = remote.get("?order=asc&limit=1").json()["entries"]
        self.first = int(oldest[0]["position"]) if oldest else size + 1
        self.head = size

    def leaves(self, begin: int, end: int) -> list[bytes]:
        number = begin // WIDTH
        bundle = self._remote.get(f"/log/tile/{TileName(None, number, end - number * WIDTH)}").content
        leaves, at = [], 0
        while at + 2 <= len(bundle):
            length = int.from_bytes(bundle[at : at + 2], "big")
            leaves.append(bundle[at + 2 : at + 2 + length])
            at += 2 + length
        return leaves[begin - number * WIDTH :]

    def tile(self, level: int, number: int, width: int) -> bytes:
        return self._remote.get(f"/log/tile/{TileName(level, number, width)}").content[: width * HASH_SIZE]
