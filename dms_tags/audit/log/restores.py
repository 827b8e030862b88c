"""What restores leave to be told: trails that were not signed since, and what mends it.

`log_restored` has { _id: <tenant>, at, upTo: <position> } for each trail that a restore brought back, until it is signed.
"""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import count
from time import monotonic
from typing import Final

from dms_tags.audit.log.checkpoint import Checkpoint
from dms_tags.audit.log.keys import LogIdentity, SigningKey
from dms_tags.audit.log.seen import Seen
from dms_tags.audit.log.store import Log
from dms_tags.settings import Settings
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document

LOOKED_AT: Final = 100
"""Tenants whose trails are held against what is remembered, at most."""

SIGNED_WITHIN: Final = timedelta(minutes=1)
"""Where the key is at hand a restored log is signed within seconds: after so long it counts as not signed."""

BELIEVED_SECONDS: Final = 5.0

_NUMBERED: Final = re.compile(r"/[0-9]+$", re.ASCII)


class Restores:
    """Every method raises `StoreUnavailable` where MongoDB does not answer.  `key` and `seen` are the signer's."""

    def __init__(self, database: Database, settings: Settings, log: Log, key: SigningKey | None, seen: Seen) -> None:
        self._kept = database.collection("log_restored")
        self._clock = database.clock
        self._settings = settings
        self._log = log
        self._key = key
        self._seen = seen
        self._told: tuple[float, str | None] = (float("-inf"), None)

    def note_signed(self, tenant: str) -> None:
        """Notes that a trail was signed."""
        with store_errors():
            self._kept.delete_one({"_id": tenant})

    def next_origin(self, identity: LogIdentity) -> str:
        """An origin that the logs never had: the one set, else one after the origin that they have now."""
        used = {identity.origin, *(before.origin for before in identity.earlier)}
        wanted = self._settings.log_origin
        if wanted is not None and wanted not in used:
            return wanted
        stem = _NUMBERED.sub("", identity.origin)
        return next(origin for number in count(2) if (origin := f"{stem}/{number}") not in used)

    def told(self, identity: LogIdentity) -> str | None:
        """What an operator is told where a log was not signed since a restore, and nobody is about to sign it; else None.

        It is at most five seconds old.
        """
        at, told = self._told
        if monotonic() > at + BELIEVED_SECONDS:
            told = self._tell(identity)
            self._told = monotonic(), told
        return told

    def _tell(self, identity: LogIdentity) -> str | None:
        signs = self._key is not None and self._key.public == identity.public
        reason = self._behind(identity)
        if reason is None:
            waiting = self._waiting(SIGNED_WITHIN if signs else timedelta())
            if waiting is None:
                return None
            reason = f"the trail of {waiting} was restored from a backup"
        return f"the log was not signed since a restore: {reason}; {self._mending(identity, signs=signs)}"

    def _behind(self, identity: LogIdentity) -> str | None:
        """Of a trail that is behind a checkpoint which is remembered here: which."""
        for tenant in self._log.tenants()[:LOOKED_AT]:
            name = identity.log(tenant)
            known = self._seen.newest(name)
            if known is not None and is_behind(known, self._log.newest(name), size := self._log.trail.head(tenant)):
                return f"the trail of {tenant} has {size} entries, and its checkpoint at {known.size} is known"
        return None

    def _waiting(self, longer_than: timedelta) -> str | None:
        with store_errors():
            kept = self._kept.find_one({"at": {"$lte": self._clock.now() - longer_than}})
        return None if kept is None else str(kept["_id"])

    def _mending(self, identity: LogIdentity, *, signs: bool) -> str:
        """The whole command line that lets the log go on."""
        where = f"DMS_TAGS_DATABASE={self._settings.database} DMS_TAGS_SIGNING_KEY_FILE="
        file = "FILE" if self._key is None else self._key.file
        anew = f"`{where}{file} dms-tags audit checkpoint --new-origin {self.next_origin(identity)}` begins a new line of checkpoints"
        if signs:
            return anew
        return (
            f"with the key that signs {identity.origin} `{where}FILE dms-tags audit checkpoint` goes on, with another one {anew}"
        )


def is_behind(known: Checkpoint | None, last: Document | None, size: int) -> bool:
    """Whether a trail of `size` entries, whose newest checkpoint is `last`, is behind the checkpoint known outside or its own."""
    remembered, signed = known.size if known is not None else 0, last["size"] if last is not None else 0
    return size < max(remembered, signed) or signed < remembered
