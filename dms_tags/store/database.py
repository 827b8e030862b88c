"""The connection to MongoDB: collections, indexes, schema version, and the seam for `mongomock://`.

The only other modules that speak MongoDB are the stores that are built on this one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Literal

import pymongo
from pymongo import IndexModel, MongoClient, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from dms_tags import tracing
from dms_tags.counters import observe_mongodb
from dms_tags.errors import CannotStart, StoreUnavailable
from dms_tags.settings import Settings
from dms_tags.store.clock import DatabaseClock
from dms_tags.store.documents import Document
from dms_tags.store.indexes import OTHER_INDEXES, OUTLIVED, TAG_INDEXES, TRAIL_INDEXES
from dms_tags.store.memory import AtomicCollection
from dms_tags.store.turn import Turn
from dms_tags.store.waiting import awaited

Documents = Collection[Document]

SCHEMA_VERSION: Final = 2
"""2: entries of the trail have leaves without names (schema 2), which version 1 would hash wrongly."""

ALONE_SECONDS: Final = 3.0
"""For so long the end of an older service's last turn at the relay is waited for."""

# A MongoDB that is down answers within 5 s, one that hangs or fails over within 15 s (API.md section 1, row 503):
# one selection of a server after one socket that timed out.
SELECTION_MS: Final = 4_000
SOCKET_MS: Final = 8_000
# Shorter than the socket waits: else the driver takes stalled secondaries for a lost connection and sends the write again
WRITE_CONCERN: Final = WriteConcern(w="majority", j=True, wtimeout=6_000)
MAJORITY: Final = ReadConcern("majority")

_NOT_MADE: Final = (ServerSelectionTimeoutError, ConfigurationError, InvalidURI)


class store_errors:  # noqa: N801 - reads as what it is used for: `with store_errors():`
    """Turns what PyMongo raises into `StoreUnavailable`; a duplicate key passes, since callers read a meaning from it.

    It times the exchange, as one of `kind`.  The driver's own command monitoring would tell the same at ten times the cost.
    """

    __slots__ = ("_kind", "_started")

    def __init__(self, kind: Literal["change", "other"] = "other") -> None:
        self._kind = kind

    def __enter__(self) -> None:
        self._started = perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            observe_mongodb(self._kind, "ok", perf_counter() - self._started)
        elif isinstance(error, DuplicateKeyError):
            observe_mongodb(self._kind, "duplicate", perf_counter() - self._started)
        elif isinstance(error, PyMongoError):
            observe_mongodb(self._kind, "failed", perf_counter() - self._started)
            raise store_unavailable(error) from error


def store_unavailable(error: PyMongoError) -> StoreUnavailable:
    """The domain's error for one of PyMongo's: whether the change may have been made is part of it."""
    if isinstance(error, _NOT_MADE):
        return StoreUnavailable("MongoDB does not answer; nothing was changed")
    unconfirmed = isinstance(error, BulkWriteError) and bool(error.details["writeConcernErrors"])
    if unconfirmed or isinstance(error, (AutoReconnect, WriteConcernError, ConnectionFailure, ExecutionTimeout)):
        return StoreUnavailable(
            "MongoDB did not confirm in time: whether the change was made is not known; "
            "it was made wholly or not at all, and reading the tag tells",
            uncertain=True,
        )
    return StoreUnavailable(
        f"MongoDB refused the call ({type(error).__name__}); whether the change was made is not known", uncertain=True
    )


class Database:
    """One service's view of its database.

    Reads go to the primary; `majority` gives a view that a fail-over cannot roll back.  Writes are acknowledged by a
    majority, journaled.
    """

    def __init__(self, client: MongoClient[Document], name: str, *, mock: bool = False) -> None:
        self.client = client
        self.mock = mock
        self._lock = threading.RLock()
        self.clock = DatabaseClock(self.now)
        database = client[name]
        self._database: Any = (
            database if mock else database.with_options(write_concern=WRITE_CONCERN, read_preference=ReadPreference.PRIMARY)
        )
        self.tags = self.collection("tags")
        self.trail = self.collection("audit_trail")

    @classmethod
    def connect(cls, settings: Settings, *, socket_ms: int = SOCKET_MS) -> Database:
        """Connects lazily: a MongoDB that is down shows at the first call.  Raises `CannotStart` for an address that is wrong.

        `socket_ms` is how long one exchange may take.
        """
        uri = settings.mongo_uri
        if uri is None:
            raise CannotStart("no MongoDB: set DMS_TAGS_MONGO_URI, or let `dms-tags serve` start its own")
        if settings.in_memory:
            import mongomock  # costs every process memory that only this store needs

            return cls(mongomock.MongoClient(tz_aware=True), settings.database, mock=True)
        spans = tracing.current()
        try:
            client: MongoClient[Document] = MongoClient(
                uri,
                event_listeners=[] if spans is None else [spans.commands],
                tz_aware=True,
                tzinfo=UTC,
                appname="dms-tags",
                serverSelectionTimeoutMS=SELECTION_MS,
                connectTimeoutMS=3_000,
                socketTimeoutMS=socket_ms,
                maxPoolSize=settings.concurrency,
                waitQueueTimeoutMS=SELECTION_MS,
                retryWrites=True,
                retryReads=True,
            )
        except (PyMongoError, ValueError) as error:
            raise CannotStart(f"DMS_TAGS_MONGO_URI: {error}") from error
        return cls(client, settings.database)

    def collection(self, name: str) -> Documents:
        """A collection by name."""
        collection = self._database[name]
        return AtomicCollection(collection, self._lock) if self.mock else collection  # type: ignore[return-value]

    def majority(self, collection: Documents) -> Documents:
        """`collection`, read with majority read concern: nothing that it shows can be rolled back."""
        return collection if self.mock else collection.with_options(read_concern=MAJORITY)

    def collections(self) -> list[str]:
        """The names of the collections that there are."""
        names: list[str] = self._database.list_collection_names()
        return names

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The database as it stands at the first read in this context, for as long as MongoDB keeps a moment (five minutes)."""
        with self.client.start_session(snapshot=True) as session:
            yield Snapshot(self, session)

    def alone(self) -> AbstractContextManager[Any]:
        """A context in which nobody else is served by the store in memory; the real one needs none."""
        return self._lock if self.mock else nullcontext()

    def within(self, seconds: float) -> AbstractContextManager[Any]:
        """A context in which each exchange with MongoDB, looking for a server included, ends within so many seconds in all."""
        return nullcontext() if self.mock else pymongo.timeout(seconds)

    def ping(self) -> None:
        """Raises `StoreUnavailable` unless the primary answers."""
        if self.mock:
            return
        with store_errors():
            self.client.admin.command("ping")

    def now(self) -> datetime:
        """The database's clock, in UTC: what leases are judged by."""
        if self.mock:
            return datetime.now(UTC)
        with store_errors():
            told: datetime = self.client.admin.command("hello", codec_options=self.client.codec_options)["localTime"]
        return told

    def close(self) -> None:
        """Ends all connections."""
        self.client.close()

    def prepare(self) -> None:
        """Brings the database up to this version: its indexes and its schema version; safe beside other services.

        Raises `CannotStart` for a database that a newer service has made or that is being restored, `StoreUnavailable` where
        MongoDB does not answer.
        """
        schema = self.collection("schema")
        with store_errors():
            made_by = schema.find_one({"_id": "version"})
            refuse_newer(made_by)
            older = made_by is not None and made_by["version"] < SCHEMA_VERSION
            if older and not self.mock and awaited(lambda: Turn.of_relay(self).idle(1.0) or None, ALONE_SECONDS) is None:
                raise CannotStart(
                    f"a service of an older version is at work on this database, which goes to schema version {SCHEMA_VERSION} "
                    "and cannot be shared with it: stop all services first, then start this one"
                )
            if older:
                _raise_version(schema)
            self.make_indexes()
            if made_by is None:
                _raise_version(schema)

    def make_indexes(self) -> None:
        """Makes the indexes that are not there, those of a collection in one go over it.  Raises `StoreUnavailable`."""
        indexes: dict[str, list[IndexModel]] = {}
        for name, keys, options in TAG_INDEXES:
            # mongomock cannot look into arrays for what a unique index of a part of the documents is to hold
            plain = self.mock and "partialFilterExpression" in options
            kept = {option: given for option, given in options.items() if not (plain and option == "unique")}
            indexes.setdefault("tags", []).append(IndexModel(keys, name=name, **kept))
        for name, keys, options in TRAIL_INDEXES:
            indexes.setdefault("audit_trail", []).append(IndexModel(keys, name=name, **options))
        for collection, name, keys, options in OTHER_INDEXES:
            indexes.setdefault(collection, []).append(IndexModel(keys, name=name, **options))
        with store_errors():
            for collection, name in OUTLIVED:
                _drop_index(self.collection(collection), name)
            for collection, models in indexes.items():
                self.collection(collection).create_indexes(models)

    def not_yet(self, until: datetime) -> Document:
        """A condition for a write: it holds only while the database's clock is before `until`."""
        return self._against_clock("$gt", until)

    def no_longer(self, until: datetime) -> Document:
        """A condition for a write: it holds only once the database's clock has reached `until`."""
        return self._against_clock("$lte", until)

    def _against_clock(self, operator: str, until: datetime) -> Document:
        if not self.mock:
            return {"$expr": {operator: [until, "$$NOW"]}}
        # mongomock knows no $$NOW: its clock is this process's own
        holds = until > datetime.now(UTC) if operator == "$gt" else until <= datetime.now(UTC)
        return {} if holds else {"_id": {"$in": []}}


class Snapshot:
    """A database as it stood at one moment."""

    def __init__(self, database: Database, session: ClientSession) -> None:
        self._database = database
        self._session = session

    def find(
        self, collection: str, where: Document, along: str | None = None, *, descending: bool = False, limit: int = 0
    ) -> Iterator[Document]:
        """The documents of a collection, in order of the member `along`.  Raises what PyMongo does."""
        order = None if along is None else [(along, -1 if descending else 1)]
        with self._database.collection(collection).find(where, sort=order, limit=limit, session=self._session) as cursor:
            yield from cursor


def refuse_newer(made_by: Document | None) -> None:
    """Raises `CannotStart` where the database's version document tells of a schema that this service does not know, or of a restore."""
    if made_by is not None and "restoring" in made_by:
        raise CannotStart(
            "the database is being restored from a backup, or a restore was cut off: let it end, or give the order again "
            "(`dms-tags restore --from DIR`), which begins anew"
        )
    if made_by is not None and made_by["version"] > SCHEMA_VERSION:
        raise CannotStart(
            f"the database has schema version {made_by['version']}, this service knows up to {SCHEMA_VERSION}: start a newer one"
        )


def _raise_version(schema: Documents) -> None:
    schema.update_one({"_id": "version"}, {"$max": {"version": SCHEMA_VERSION}}, upsert=True)


def _drop_index(collection: Documents, name: str) -> None:
    if name in collection.index_information():
        with suppress(OperationFailure):  # another service was faster
            collection.drop_index(name)
