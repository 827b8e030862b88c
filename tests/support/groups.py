"""Changes that are made to travel in one group: one is held at the door, the others gather behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic
from typing import Any

from dms_tags.audit.trail.relay import Relay
from dms_tags.errors import StoreUnavailable
from dms_tags.model import Actor, Change, Changed, Kind, Resource, Verb, now
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from dms_tags.tags.writes import Creation, Write, creation

ACTOR = Actor("alice", "token")
DOOR = Resource("default", Kind.OBJECT, "door")
SECONDS = 20.0

Send = Callable[[Sequence[Any]], Any]


def plain(send: Send, operations: Sequence[Any]) -> Any:
    """A bulk that goes its way."""
    return send(operations)


class Door:
    """A collection of tags: what changes the object `door` waits in it until it is opened.

    `bulks` tells how many operations each bulk had; `bulk` makes the next one, and may do what it likes before and after.
    """

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self._reached = threading.Semaphore(0)
        self._opened = threading.Semaphore(0)
        self.bulks: list[int] = []
        self.alone = 0
        self.bulk: Callable[[Send, Sequence[Any]], Any] = plain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def update_one(self, query: dict[str, Any], update: dict[str, Any]) -> Any:
        self._pass(query["_id"])
        return self._collection.update_one(query, update)

    def insert_one(self, document: dict[str, Any]) -> Any:
        self._pass(document["_id"])
        return self._collection.insert_one(document)

    def bulk_write(self, operations: Sequence[Any], **how: Any) -> Any:
        self.bulks.append(len(operations))
        bulk, self.bulk = self.bulk, plain
        return bulk(lambda chosen: self._collection.bulk_write(chosen, **how), operations)

    def wait_for_one(self) -> None:
        """Returns once something stands at the door."""
        assert self._reached.acquire(timeout=SECONDS)

    def open(self) -> None:
        """Lets one through."""
        self._opened.release()

    def _pass(self, key: str) -> None:
        if key == DOOR.key:
            self._reached.release()
            assert self._opened.acquire(timeout=SECONDS)
        else:
            self.alone += 1


class Grouped:
    """A store of tags on a real mongod, and calls of it that travel in one group."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = TagStore(database)
        self.door = Door(database.tags)
        self.change(DOOR.id, verb=Verb.ADD)
        database.tags = self.door  # type: ignore[assignment]

    def change(self, object_id: str, state: Any = 1, *, verb: Verb = Verb.SET, **members: Any) -> Any:
        """Makes one change of the tag `ocr` of an object."""
        return self.store.change(Change(Resource("default", Kind.OBJECT, object_id), "ocr", verb, ACTOR, state, **members))

    def together(self, *calls: Callable[[], Any], kind: type[Write | Creation] = Write) -> list[Any]:
        """What each call gave or raised.  Each makes one write of the `kind`, and they go as one group, in their order."""
        with ThreadPoolExecutor(len(calls)) as pool:
            with self.closed_door(kind):
                asked = []
                for number, call in enumerate(calls, 1):
                    asked.append(pool.submit(call))
                    self._wait_for(kind, number)
            return [_outcome(each) for each in asked]

    @contextmanager
    def closed_door(self, kind: type[Write | Creation] = Write) -> Iterator[None]:
        """While this lasts a write of the `kind` is under way, and others gather."""
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(self.change, DOOR.id, 2) if kind is Write else pool.submit(self._create_door)
            self.door.wait_for_one()
            try:
                yield
            finally:
                self.door.open()
            first.result(SECONDS)

    def _wait_for(self, kind: type[Write | Creation], gathered: int) -> None:
        until, pause = monotonic() + SECONDS, threading.Event()
        while self.store.groups.gathering(kind) != gathered:
            assert monotonic() < until, "a call did not gather"
            pause.wait(0.001)

    def _create_door(self) -> None:
        self.door.delete_one({"_id": DOOR.key})
        self.store.groups.make(creation(Change(DOOR, "ocr", Verb.ADD, ACTOR, 1), now()))


def _outcome(asked: Future[Any]) -> Any:
    try:
        return asked.result(SECONDS)
    except Exception as error:  # noqa: BLE001 - what a caller is told is what the tests are about
        return error


def states(grouped: Grouped) -> list[Any]:
    """The states of the five objects."""
    resources = [Resource("default", Kind.OBJECT, f"o{number}") for number in range(5)]
    return [tag.state for resource in resources for tag in grouped.store.read(resource)]


def told(outcome: Any) -> str:
    """In a word what a caller was told."""
    if isinstance(outcome, StoreUnavailable):
        return "unsure" if outcome.uncertain else "not made"
    return "made" if isinstance(outcome, Changed) else type(outcome).__name__


def recorded(grouped: Grouped, object_id: str) -> list[Any]:
    """The states in the trail of an object, after all was moved there."""
    relay = Relay(grouped.database)
    while relay.run_once():
        pass
    return [entry["state"] for entry in grouped.database.trail.find({"objectId": object_id}, sort=[("revision", 1)])]
