"""Where the cursors of subscriptions are kept: one document each, which goes on from where its definition says it begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from dms_tags.store.database import Database, store_errors
from dms_tags.store.documents import Document
from dms_tags.subscriptions.model import Cursor, Subscription


class Cursors:
    """The cursors of all tenants.  Every method raises `StoreUnavailable` where MongoDB does not answer."""

    def __init__(self, database: Database) -> None:
        self._kept = database.collection("subscription_cursors")
        self._settled = database.majority(self._kept)

    def of(self, subscriptions: Iterable[Subscription]) -> dict[str, Cursor]:
        """The cursors by the keys of their subscriptions; one that was never kept, or was set anew, stands at the beginning."""
        wanted = {each.key: each for each in subscriptions}
        with store_errors():
            kept = {document["_id"]: document for document in self._settled.find({"_id": {"$in": list(wanted)}})}
        return {key: _cursor(subscription, kept.get(key)) for key, subscription in wanted.items()}

    def begin(self, subscription: Subscription, cursor: Cursor) -> None:
        """Keeps a cursor in place of one with another start."""
        document = {"tenant": subscription.tenant, **asdict(cursor)}
        try:
            with store_errors():
                where = {"_id": subscription.key, "start": {"$ne": cursor.start}}
                self._kept.update_one(where, {"$set": document}, upsert=True)
        except DuplicateKeyError:
            return  # it is kept already

    def keep(self, moved: Mapping[str, Cursor]) -> None:
        """Keeps cursors that have moved, in one exchange; one whose subscription was set anew or removed meanwhile is passed over."""
        writes = [UpdateOne({"_id": key, "start": cursor.start}, _update(cursor)) for key, cursor in moved.items()]
        if writes:
            with store_errors():
                self._kept.bulk_write(writes, ordered=False)

    def forget(self, subscription: Subscription) -> None:
        """Removes the cursor of a subscription that was removed."""
        with store_errors():
            self._kept.delete_one({"_id": subscription.key, "start": subscription.start})


def _cursor(subscription: Subscription, kept: Document | None) -> Cursor:
    if kept is None or kept["start"] != subscription.start:
        return Cursor(subscription.start, subscription.after, subscription.etag)
    cursor = Cursor(**{name: value for name, value in kept.items() if name not in ("_id", "tenant")})
    if cursor.of != subscription.etag:
        cursor.begin_anew(subscription.etag)
    return cursor


def _update(cursor: Cursor) -> dict[str, Any]:
    members = asdict(cursor)
    del members["start"]
    return {"$max": {"position": members.pop("position")}, "$set": members}
