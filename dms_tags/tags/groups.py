"""Changes that are made together: one round trip to MongoDB for many, each of whose callers is told what came of its own.

They are the writes that each would be alone, under the same conditions, sent as one unordered bulk, so that none depends
on another's.  MongoDB tells how many it made.  Where that is not all of them, one look at the change ids tells which: a
change leaves its id in its document's outbox and on its tag, and the relay takes it from the outbox only once it is in
the trail.  The look counts for those that it does not find, too, only where it finds as many as MongoDB made.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any, Final

import pymongo
from bson.errors import BSONError
from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, WriteError

from dms_tags.errors import StoreUnavailable
from dms_tags.store.database import Database, store_errors, store_unavailable
from dms_tags.store.documents import Document
from dms_tags.store.trips import SharedTrips
from dms_tags.store.waiting import awaited
from dms_tags.tags.writes import Creation, Write

MOST: Final = 100
"""Changes of one group, at most, of states that are short."""

CHARACTERS: Final = 10_000
"""A state of so many characters counts for one more change."""

ANSWERED_SECONDS: Final = 13.0
"""So long after a group set out its callers are answered, whatever MongoDB does: with their wait for it within the 15 s that
are promised (API.md section 1, row 503)."""

SHORT_LOOK: Final = 1.0
"""Seconds that a look may take after MongoDB did not confirm a group: a MongoDB that is down is told within 5 s."""

CONFIRMATION_SECONDS: Final = 0.5
"""For so long a look waits until a majority has what was not confirmed."""

UNTOLD: Final = "MongoDB does not tell whether the change was made; it was made wholly or not at all, and reading the tag tells"

DUPLICATE_KEY: Final = 11000

Single = Write | Creation
"""One change, as it is written."""

Outcome = bool | Exception
"""What came of one change: made, or not because its query did not match; or the error that its caller is told."""

_UNSENDABLE: Final = (BSONError, OverflowError, UnicodeError)
"""What the driver raises for what it cannot spell as BSON."""


class Groups:
    """The changes of one process on their way to MongoDB."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._trips: SharedTrips[Any, Single, Outcome] = SharedTrips(lambda _kind, group: self.together(group), MOST, _cut_short)

    def make(self, change: Single) -> bool:
        """Makes a change, with those that others make meanwhile.  False: its query did not match.

        Raises `StoreUnavailable`, and `DuplicateKeyError` where a unique index is against it.
        """
        weight = 1 + _characters(change.record.get("state")) // CHARACTERS
        if self._database.mock or weight >= MOST:
            return self._alone(change)
        outcome = self._trips.take(type(change), change, weight)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def gathering(self, kind: type[Single]) -> int:
        """How many changes of one type wait for those that are under way."""
        return self._trips.waiting(kind)

    def together(self, group: Sequence[Single]) -> list[Outcome]:
        """Makes changes of one type in one round trip; what came of each."""
        try:
            return [self._alone(group[0])] if len(group) == 1 else self._bulk(group)
        except (StoreUnavailable, DuplicateKeyError) as error:
            return [error]
        except _UNSENDABLE as error:
            if len(group) == 1:
                return [error]
            # One of them cannot be sent, and so none was
            middle = len(group) // 2
            return self.together(group[:middle]) + self.together(group[middle:])

    def _alone(self, change: Single) -> bool:
        with store_errors("change"):
            if isinstance(change, Write):
                return self._database.tags.update_one(change.query, change.update).matched_count > 0
            self._database.tags.insert_one(change.document)
        return True

    def _bulk(self, group: Sequence[Single]) -> list[Outcome]:
        began = monotonic()
        refused: dict[int, Document] = {}
        made: int | None = None
        unsure: str | None = None
        try:
            with store_errors("change"):
                try:
                    result = self._database.tags.bulk_write([request(change) for change in group], ordered=False)
                    made = result.matched_count + result.inserted_count
                except BulkWriteError as error:
                    told: Any = error.details
                    refused = {fault["index"]: fault for fault in told["writeErrors"]}
                    made = told["nMatched"] + told["nInserted"]
                    if told["writeConcernErrors"]:
                        raise
        except StoreUnavailable as error:
            if not error.uncertain:
                return [StoreUnavailable(error.detail) for _ in group]
            unsure = error.detail
        if unsure is None and made == len(group):
            return [True] * made
        left = [change for index, change in enumerate(group) if index not in refused]
        look = Look(self._database, left, len(left) if made is None else made)
        with pymongo.timeout(SHORT_LOOK if unsure else max(SHORT_LOOK, began + ANSWERED_SECONDS - monotonic())):
            if unsure:
                awaited(look.once, CONFIRMATION_SECONDS)
            else:
                look.once()

        def outcome(index: int, change: Single) -> Outcome:
            if index in refused:
                return _refusal(refused[index])
            if change.change_id in look.seen:
                return True
            # What is not seen was not made only where all that MongoDB has confirmed is seen
            certain = unsure is None and made == len(look.seen)
            return False if certain else StoreUnavailable(unsure or UNTOLD, uncertain=True)

        return [outcome(index, change) for index, change in enumerate(group)]


class Look:
    """A look for changes, `made` of which MongoDB may have made: `seen` are the ids of those that a majority has."""

    def __init__(self, database: Database, changes: Sequence[Single], made: int) -> None:
        self._tags = database.majority(database.tags)
        self._trail = database.majority(database.trail)
        self._keys = list({change.key for change in changes})
        self._ids = {change.change_id for change in changes}
        self._made = made
        self._tenants = list({key.partition("/")[0] for key in self._keys})
        self.seen: set[str] = set()

    def once(self) -> bool | None:
        """Looks; True: there is nothing more to be seen, or MongoDB does not answer.  None: more may be seen later."""
        try:
            with store_errors():
                if len(self.seen) < self._made:
                    self._in_documents()
                # What is in no outbox any more was in the trail before
                if len(self.seen) < self._made:
                    wanted = {"tenant": {"$in": self._tenants}, "_id": {"$in": list(self._ids - self.seen)}}
                    moved = self._trail.find(wanted, {"_id": 1}, hint="_id_")
                    self.seen.update(entry["_id"] for entry in moved)
        except StoreUnavailable:
            return True
        return True if len(self.seen) >= self._made else None

    def _in_documents(self) -> None:
        for document in self._tags.find({"_id": {"$in": self._keys}}, {"outbox.id": 1, "tags.etag": 1}):
            self.seen.update(self._ids.intersection(record["id"] for record in document["outbox"]))
            self.seen.update(self._ids.intersection(row["etag"] for row in document["tags"]))


def request(change: Single) -> UpdateOne | InsertOne[Document]:
    """The change as a member of a bulk."""
    return UpdateOne(change.query, change.update) if isinstance(change, Write) else InsertOne(change.document)


def _refusal(fault: Document) -> Exception:
    """The error of one member of a bulk, as it would be if it had been sent alone."""
    if fault["code"] == DUPLICATE_KEY:
        return DuplicateKeyError(fault["errmsg"], fault["code"], fault)
    return store_unavailable(WriteError(fault["errmsg"], fault["code"], fault))


def _characters(state: Any) -> int:
    return 0 if state is None or isinstance(state, int) else len(str(state))


def _cut_short() -> StoreUnavailable:
    return StoreUnavailable("the change was cut short: whether it was made is not known; reading the tag tells", uncertain=True)
