"""Whose turn it is at a duty that any service could do: a soft lease, by MongoDB's clock."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from pymongo.errors import DuplicateKeyError

if TYPE_CHECKING:
    from dms_tags.store.database import Database

RELAY: Final = "relay"
"""The duty of moving changes into the trail, as its turns are kept."""


class Turn:
    """The turn at one duty, of one `holder`; it lasts for `length` from when it was taken last.

    It keeps services from treading on each other and promises no more: what they do must be right without it.
    """

    def __init__(self, database: Database, duty: str, holder: str, length: timedelta) -> None:
        self._database = database
        self._turns = database.collection("leases")
        self._duty = duty
        self._holder = holder
        self._length = length

    @classmethod
    def of_relay(cls, database: Database) -> Turn:
        """The turn at moving changes into the trail, to be looked at: every service that is at work takes it in turn."""
        return cls(database, RELAY, "", timedelta())

    def take(self) -> str | None:
        """Takes the turn or keeps it: who had it before, this holder or another ("" where nobody had); None: another has it."""
        if self._database.mock:
            return self._holder  # one process, of one service, is all there is
        milliseconds = int(self._length.total_seconds() * 1000)
        # A turn that seems to last for longer than any does was taken by a service that went by its own clock
        free = {"$expr": {"$or": [{"$lte": ["$until", "$$NOW"]}, {"$gt": ["$until", {"$add": ["$$NOW", 2 * milliseconds]}]}]}}
        update = [{"$set": {"holder": self._holder, "until": {"$add": ["$$NOW", milliseconds]}}}]
        before = self._turns.find_one_and_update({"_id": self._duty, "$or": [{"holder": self._holder}, free]}, update)
        if before is not None:
            return str(before["holder"])
        try:
            self._turns.insert_one({"_id": self._duty, "holder": self._holder, "until": self._database.now() + self._length})
        except DuplicateKeyError:
            return None
        return ""

    def idle(self, seconds: float) -> bool:
        """Whether nobody has had the turn for so many seconds."""
        turn = self._turns.find_one({"_id": self._duty}, {"until": 1})
        return turn is None or turn["until"] + timedelta(seconds=seconds) < self._database.clock.now()

    def give_back(self) -> None:
        """Lets another take the turn at once."""
        self._turns.delete_one({"_id": self._duty, "holder": self._holder})
