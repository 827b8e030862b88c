"""Relays that die at random beside writers, on a mongod that fails calls and loses acknowledgements at random."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Final

from dms_tags.audit.trail.relay import Relay
from dms_tags.errors import StoreUnavailable, TagsError
from dms_tags.model import Actor, Change, Kind, Resource, Verb, new_trace_id
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.proofs.ledger import Ledger
from tests.support.beside import beside

OBJECTS: Final = 60
NAMES: Final = ("ocr", "index", "mail")
WRITER: Final = Actor("writer", "token")
VERBS: Final = (Verb.SET, Verb.SET, Verb.SET, Verb.ADD, Verb.UPDATE, Verb.DELETE)

FAULTS: Final[tuple[dict[str, Any], ...]] = (
    # the command never ran, and its caller does not know
    {"failCommands": ["find", "insert", "update", "findAndModify"], "closeConnection": True, "appName": "dms-tags"},
    # the command ran, and its caller is told that a majority may not have it: the driver sends it again
    {
        "failCommands": ["insert", "update", "findAndModify"],
        "writeConcernError": {"code": 89, "errmsg": "lost"},
        "errorLabels": ["RetryableWriteError"],
        "appName": "dms-tags",
    },
    # the command ran, and the driver does not send it again
    {
        "failCommands": ["insert", "update", "findAndModify"],
        "writeConcernError": {"code": 64, "errmsg": "lost"},
        "appName": "dms-tags",
    },
)


class Died(Exception):
    """The relay is dead: nothing of it goes on."""


def relays_beside_writers(
    settings: Settings, *, seconds: float, writers: int = 8, relays: int = 4, death: float = 0.005, fault: float = 0.01
) -> list[float]:
    """Runs writers and relays for `seconds`, then asserts every invariant; gives the relay's lags in seconds, sorted.

    `death` is the probability for a relay to die before each step, `fault` that of a command to be failed by MongoDB.
    """
    ledger = Ledger()
    over = threading.Event()
    mains = [lambda: _write(settings, ledger, over)] * writers + [lambda: _relay(settings, over, death)] * relays
    database = Database.connect(settings)
    try:
        with ThreadPoolExecutor(len(mains)) as pool:
            running = [pool.submit(main) for main in mains]
            with _faults(database, fault):
                over.wait(seconds)
            over.set()
            for one in running:
                one.result()
        _drain(database)
        ledger.settle(database)
        entries = database.trail.find({}, {"recordedAt": 1, "creationDate": 1})
        return sorted((entry["recordedAt"] - entry["creationDate"]).total_seconds() for entry in entries)
    finally:
        over.set()
        database.close()


@contextmanager
def _faults(database: Database, probability: float) -> Iterator[None]:
    """Has MongoDB fail commands with `probability`, the way of failing changing a few times a second."""

    def change() -> bool:
        set_fault(database, {"activationProbability": probability}, random.choice(FAULTS))
        return False

    try:
        with beside(change, 0.2):
            yield
    finally:
        set_fault(database, "off")


def set_fault(database: Database, mode: object, data: dict[str, Any] | None = None) -> None:
    """Sets MongoDB's `failCommand` fail point."""
    database.client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data or {}})


def _write(settings: Settings, ledger: Ledger, over: threading.Event) -> None:
    with connected(settings) as database:
        store = TagStore(database)
        while not over.is_set():
            trace_id = new_trace_id()
            resource = Resource("default", Kind.OBJECT, f"o{random.randrange(OBJECTS)}")
            state = random.randrange(100)
            try:
                store.change(Change(resource, random.choice(NAMES), random.choice(VERBS), WRITER, state, trace_id))
            except StoreUnavailable:
                ledger.enter(ledger.unsure, trace_id)
            except TagsError:
                ledger.enter(ledger.refused, trace_id)
            else:
                ledger.enter(ledger.made, trace_id)


def _relay(settings: Settings, over: threading.Event, death: float) -> None:
    with connected(settings) as database:
        while not over.is_set():
            with suppress(Died):
                _live(Relay(database, step=dying(death)), over)


def _live(relay: Relay, over: threading.Event) -> None:
    while not over.is_set():
        moved = 0
        with suppress(StoreUnavailable):
            moved = relay.run_once()
        if not moved:
            over.wait(0.02)


def dying(probability: float) -> Callable[[str], None]:
    """A step seam that ends the relay with `probability` before each step."""

    def step(_name: str) -> None:
        if random.random() < probability:
            raise Died

    return step


def _drain(database: Database) -> None:
    """Lets one last relay, which nothing disturbs, move what the others have left."""
    relay = Relay(database)
    deadline = time.monotonic() + 30
    while database.tags.find_one({"outbox.0": {"$exists": True}}) is not None:
        assert time.monotonic() < deadline, "an undisturbed relay did not drain the outboxes within 30 s"
        if not relay.run_once():
            time.sleep(0.02)


@contextmanager
def prepared(settings: Settings) -> Iterator[Database]:
    """A connection to a database that is brought up to date."""
    with connected(settings) as database:
        database.prepare()
        yield database


@contextmanager
def connected(settings: Settings) -> Iterator[Database]:
    """A connection of one's own, as another process would have it."""
    database = Database.connect(settings)
    try:
        yield database
    finally:
        database.close()
