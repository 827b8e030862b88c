"""Verifying a running service over HTTP: through the log's tiles, as any other client of it could."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import httpx

from dms_tags.audit.log.checkpoint import AnotherLog, Checkpoint
from dms_tags.audit.log.merkle import HASH_SIZE
from dms_tags.audit.log.note import Verifier
from dms_tags.audit.log.tiles import WIDTH, Tile, TileName, TileTree, width_at
from dms_tags.audit.verify.openings import Openings
from dms_tags.audit.verify.report import CannotTell, Kept, Progress, Report
from dms_tags.audit.verify.tree import LogVerification
from dms_tags.errors import Unproven

AHEAD: Final = 3
"""Tiles whose entries are read at once: as many as a page has room for."""

TRAIL: Final = "/api/dms/audit"


class CannotLook(Exception):
    """The service does not answer (`status` 0), or refuses; the text says what it said."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


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
            raise CannotLook(f"GET {TRAIL}{path} was answered {answer.status_code}: {_detail(answer)}", answer.status_code)
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
    except (AnotherLog, CannotTell) as error:
        return Report(unknown=[str(error)])
    except Unproven as error:
        return Report.failed(str(error))
    report = LogVerification(_LiveSource(remote, checkpoint.size), checkpoint, kept).run(progress)
    if not verifiers:
        report.remarks.append("the public key was taken from the service itself: give --key to be sure whose it is")
    return report


class _LiveSource:
    def __init__(self, remote: Remote, size: int) -> None:
        self.openings = Openings()
        self._remote = remote
        self._read_to = 0
        self._leaves: dict[int, list[bytes]] = {}
        self.orders: Collection[int] | None = None
        page = remote.get("?order=asc&limit=1").json()
        oldest = page["entries"]
        self.first = int(oldest[0]["position"]) if oldest else size + 1
        self.head = max(size, int(page["head"]))

    def leaves(self, begin: int, end: int) -> list[bytes]:  # noqa: ARG002 - what stands there twice is to be seen
        if begin >= self._read_to:
            self._read_to = min((begin // WIDTH + AHEAD) * WIDTH, self.head)
            # not the bundles of the log, which do not tell names and reasons
            page = self._remote.get(f"?after={begin}&before={self._read_to + 1}&order=asc&limit={AHEAD * WIDTH}&keys=true")
            self._leaves = self.openings.leaves(page.json()["entries"])
        return self._leaves.get(begin // WIDTH, [])

    def ordered(self, actor: str) -> bool:
        return bool(self._remote.get(f"?resource=actor/{actor}&limit=1").json()["entries"])

    def tile(self, level: int, number: int, width: int) -> bytes:
        try:
            return self._remote.get(f"/log/tile/{TileName(level, number, width)}").content[: width * HASH_SIZE]
        except CannotLook as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
            return b""


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]


def remote_tree(remote: Remote, size: int) -> TileTree:
    """The service's tree of `size` entries, by its tiles."""

    def read(wanted: Collection[Tile]) -> Mapping[Tile, bytes]:
        names = {(level, number): TileName(level, number, width_at(size, level, number)) for level, number in wanted}
        return {tile: remote.get(f"/log/tile/{name}").content for tile, name in names.items()}

    return TileTree(read)
