"""Inclusion proofs for events: the members that `GET /api/dms/audit/{position}/proof` answers with, without the entry."""

from __future__ import annotations

from base64 import b64encode
from time import monotonic
from typing import Any, Final

from dms_tags.audit.log import merkle
from dms_tags.audit.log.keys import Identities
from dms_tags.audit.log.store import Log
from dms_tags.audit.trail.entry import Entry, flat, leaf_of
from dms_tags.errors import Unproven
from dms_tags.store.database import Database
from dms_tags.store.documents import Document

FRESH_SECONDS: Final = 0.5
"""For so long a newest checkpoint that covers too little is believed to be the newest."""


class Prover:
    """Proves entries by the newest checkpoint of their log, which it asks for only when the one it knows does not cover them."""

    def __init__(self, database: Database) -> None:
        self._log = Log(database)
        self._identities = Identities(database)
        self._known: dict[str, tuple[float, Document | None]] = {}

    def prove(self, entry: Entry) -> dict[str, Any] | None:
        """The proof of an entry; None where no checkpoint covers it yet.  Raises `StoreUnavailable`."""
        tenant, position = entry["tenant"], entry["position"]
        checkpoint = self._covering(tenant, position)
        if checkpoint is None:
            return None
        try:
            path = self._log.tree(tenant).inclusion(position - 1, checkpoint["size"])
        except Unproven:
            return None  # the tree is being made anew
        return {
            "index": position - 1,
            "size": checkpoint["size"],
            "leafHash": b64encode(merkle.leaf_hash(leaf_of(flat(entry)))).decode(),
            "proof": [b64encode(digest).decode() for digest in path],
            "checkpoint": checkpoint["note"],
        }

    def _covering(self, tenant: str, position: int) -> Document | None:
        read, checkpoint = self._known.get(tenant, (0.0, None))
        if (checkpoint is None or checkpoint["size"] < position) and monotonic() - read > FRESH_SECONDS:
            identity = self._identities.current()
            checkpoint = None if identity is None else self._log.newest(identity.log(tenant))
            self._known[tenant] = (monotonic(), checkpoint)
        return None if checkpoint is None or checkpoint["size"] < position else checkpoint
