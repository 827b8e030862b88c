"""The empty database that a restore goes into: nobody else uses it meanwhile, and what a restore that was cut off left can be told."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import islice
from typing import Final

from pymongo import WriteConcern

from dms_tags.audit.trail.trail import IDLE_SECONDS
from dms_tags.errors import CannotStart, StoreUnavailable
from dms_tags.store.database import Database, Documents, refuse_newer, store_errors
from dms_tags.store.documents import Document
from dms_tags.store.turn import Turn

TURN: Final = timedelta(seconds=60)
RENEW_SECONDS: Final = 15.0
BATCH: Final = 2_000
AT_ONCE: Final = 4
"""Batches that are on their way: what is read from files goes on while MongoDB writes."""

SAFELY: Final = WriteConcern(w="majority", j=True, wtimeout=120_000)
"""As a change is written; many documents at once may take a majority longer."""

UNKNOWN_SCHEMA: Final = 1 << 30
"""The schema version of a database that is being restored: versions that know nothing of restores keep away from it too."""

LASTING: Final = frozenset({"leases", "schema"})
"""What a service that has never had anything to keep leaves in a database."""


class Target:
    """A database that is being restored, from `begun` to `finish`.  Every method raises `StoreUnavailable`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._schema = database.collection("schema")
        self._turn = Turn(database, "restore", secrets.token_hex(8), TURN)
        self.lost = False
        """Whether another restore has taken the turn."""

    @contextmanager
    def begun(self, source: str) -> Iterator[bool]:
        """Takes the database for a restore from `source`; whether an earlier one was cut off, whose traces are removed.

        Raises `CannotStart` where it is not empty, or a service or another restore is at work on it.
        """
        with self._alone(), store_errors():
            made_by = self._schema.find_one({"_id": "version"})
            cut_off = made_by is not None and "restoring" in made_by
            if not cut_off:
                refuse_newer(made_by)
                self._require_empty()
            if not Turn.of_relay(self.database).idle(IDLE_SECONDS):
                raise CannotStart("a service is running on this database: stop it first")
            self._schema.replace_one(
                {"_id": "version"}, {"version": UNKNOWN_SCHEMA, "restoring": source, "at": self.database.now()}, upsert=True
            )
            for name in set(self.database.collections()) - LASTING:
                self._clear(self.database.collection(name))
            yield cut_off

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps other restores out, however long one exchange takes.  Raises `CannotStart` while another is at work."""
        with store_errors():
            if self._turn.take() is None:
                raise CannotStart("another restore into this database is at work, or died less than a minute ago")
        over = threading.Event()
        keeping = threading.Thread(target=self._keep_turn, args=(over,), daemon=True)
        keeping.start()
        try:
            yield
        finally:
            over.set()
            keeping.join()
            with store_errors():
                self._turn.give_back()

    def _keep_turn(self, over: threading.Event) -> None:
        while not over.wait(RENEW_SECONDS):
            with suppress(StoreUnavailable), store_errors():  # who does the work meets it too
                self.lost = self.lost or self._turn.take() is None

    def _clear(self, collection: Documents) -> None:
        if self.database.client.is_mongos:
            collection.delete_many({})  # to drop it would end how it is sharded
        else:
            collection.drop()  # its indexes too: they are made faster afterwards

    def finish(self, schema: int) -> None:
        """Makes the database one that services may serve, of the schema that the backup was made of."""
        with store_errors():
            self._schema.replace_one({"_id": "version"}, {"version": schema})
        self.database.prepare()

    def insert(self, name: str, documents: Iterable[Document], told: Callable[[int], None] = lambda _count: None) -> None:
        """Inserts documents, some batches at a time; `told` is how many were written so far."""
        self._still()
        collection = self.database.collection(name).with_options(write_concern=SAFELY)
        count = 0
        with ThreadPoolExecutor(AT_ONCE) as pool:
            under_way: list[Future[int]] = []
            to_come = iter(documents)
            while batch := list(islice(to_come, BATCH)):
                under_way.append(pool.submit(_insert, collection, batch))
                if len(under_way) > AT_ONCE:
                    count += under_way.pop(0).result()
                    told(count)
                    self._still()
            for future in under_way:
                count += future.result()
                told(count)

    def _still(self) -> None:
        """Raises `CannotStart` where another restore has taken the turn."""
        if self.lost:
            raise CannotStart("another restore into this database has begun: this one ends")

    def _require_empty(self) -> None:
        for name in sorted(set(self.database.collections()) - LASTING):
            if self.database.collection(name).find_one({}, {"_id": 1}) is not None:
                raise CannotStart(
                    f"the database is not empty, {name} has documents: a restore goes into an empty one "
                    "(DMS_TAGS_DATABASE names it, DMS_TAGS_MONGO_URI its server); nothing was changed"
                )


def _insert(collection: Documents, documents: list[Document]) -> int:
    with store_errors():
        collection.insert_many(documents, ordered=False)
    return len(documents)
