"""Checkpoints in hands other than the operator's: appended to a file, sent to a URL until they are taken."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any, Final

from dms_tags.audit.log.store import Log
from dms_tags.store.database import Database, store_errors
from dms_tags.tracing import outgoing

BATCH: Final = 100
SECONDS: Final = 10.0
PAUSE_MOST: Final = 60.0

log = logging.getLogger(__name__)


class Witness(ABC):
    """One place that every checkpoint of every log is handed to, in order, at least once.

    How far it got is kept in the database, so that services that come and go do not leave one out.
    """

    kind: str
    """What it is called in metrics: the place itself may hold a password."""

    def __init__(self, database: Database, place: str) -> None:
        self._log = Log(database)
        self._kept = database.collection("log_witnessed")
        self._place = place
        self._again_at = 0.0
        self._pause = 1.0

    def catch_up(self, name: str) -> bool:
        """Hands over what the log `name` has that was not taken yet; whether everything was."""
        if monotonic() < self._again_at:
            return False
        key, taken = self._key(name), self.taken(name)
        for document in self._log.after(name, taken, BATCH):
            if not self._hand_over(document):
                self._again_at, self._pause = monotonic() + self._pause, min(PAUSE_MOST, self._pause * 2)
                return False
            with store_errors():
                self._kept.update_one({"_id": key}, {"$max": {"number": document["number"]}}, upsert=True)
        self._pause = 1.0
        return True

    def taken(self, name: str) -> int:
        """The number of the last checkpoint of the log `name` that was taken; 0: none was."""
        with store_errors():
            progress = self._kept.find_one({"_id": self._key(name)})
        return 0 if progress is None else int(progress["number"])

    def _key(self, name: str) -> str:
        # the place may hold a password, so it is not kept in the open
        return f"{sha256(self._place.encode()).hexdigest()[:16]}:{name}"

    @abstractmethod
    def _hand_over(self, document: dict[str, Any]) -> bool:
        """Gives one checkpoint to the place; whether it was taken."""


class WitnessFile(Witness):
    """A file that checkpoints are appended to, an empty line after each."""

    kind = "file"

    def __init__(self, database: Database, file: Path) -> None:
        super().__init__(database, str(file))
        self._file = file

    def _hand_over(self, document: dict[str, Any]) -> bool:
        try:
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(f"{document['note']}\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            log.warning("checkpoint %s#%d cannot be appended to %s: %s", document["log"], document["size"], self._file, error)
            return False
        return True


class WitnessUrl(Witness):
    """A URL that each checkpoint is posted to as text/plain; any 2xx says that it was taken."""

    kind = "url"

    def __init__(self, database: Database, url: str) -> None:
        super().__init__(database, url)
        self._url = url

    def _hand_over(self, document: dict[str, Any]) -> bool:
        import httpx  # costs every process a tenth of its start, which only this witness needs

        try:
            answer = httpx.post(
                self._url,
                content=document["note"].encode(),
                headers=outgoing({"Content-Type": "text/plain; charset=utf-8"}),
                timeout=SECONDS,
            )
        except httpx.HTTPError as error:
            log.warning("the witness cannot be reached: checkpoint %s#%d waits (%s)", document["log"], document["size"], error)
            return False
        if not answer.is_success:
            log.warning("the witness answers %d: checkpoint %s#%d waits", answer.status_code, document["log"], document["size"])
        return answer.is_success
