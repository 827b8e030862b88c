"""Orders that must not meet on one trail: to archive its oldest entries, and to make its tree of hashes anew from the entries.

They take turns, and each has a number, which an archive's every step is bound to: the later order ends the one before, whatever
became of its turn.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Final

from pymongo import ReturnDocument

from dms_tags.audit.trail.trail import BEGINNING
from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document
from dms_tags.store.turn import Turn

TURN: Final = timedelta(seconds=60)
"""How long an order that died keeps others waiting; one at work says more often that it is."""


def turn_of(database: Database, tenant: str, length: timedelta = TURN) -> Turn:
    """The turn at orders to a tenant's trail, not yet taken."""
    return Turn(database, f"archive/{tenant}", secrets.token_hex(8), length)


def begin_order(database: Database, tenant: str) -> Document:
    """Takes a number, `sequence`, higher than that of any order before: none of those can move the cut any more; with the `cut`."""
    with store_errors():
        begun: Document | None = database.collection("trail_heads").find_one_and_update(
            {"_id": tenant},
            {"$inc": {"sequence": 1}, "$setOnInsert": {"cut": 0, "recordedAt": BEGINNING}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
    if begun is None:
        raise TypeError("an upsert that gives back the new document gives one back")
    return begun
