"""Callers of one process, whose changes travel in groups, while replies are lost and primaries step down in the middle of them.

What each caller was told is held against the trail and the tags: what was "made" is there once, under the ETag that was told,
what was refused is not, and of what nobody knew there is one or none.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from pymongo.errors import PyMongoError

from dms_tags.errors import StoreUnavailable, TagsError
from dms_tags.model import Actor, Change, Conditions, Idempotency, Kind, Resource, Verb, new_trace_id
from dms_tags.serving.mongod import Mongod
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.proofs.failover import wait_until_rejoined
from tests.proofs.ledger import Ledger
from tests.proofs.relays import FAULTS, connected, prepared, set_fault
from tests.support.at_once import at_once
from tests.support.beside import relaying
from tests.support.mongo import ReplicaSet
from tests.support.proxy import breaking

ACTOR: Final = Actor("caller", "token")
CALLERS: Final = 32
OBJECTS: Final = 12
CHANGES: Final = 4
"""Changes that each caller makes in a round, one after the other."""

VERBS: Final = (Verb.SET, Verb.SET, Verb.SET, Verb.SET, Verb.ADD, Verb.UPDATE, Verb.DELETE)


class Watched:
    """A collection of tags that counts the groups that went through it, and those that MongoDB did not confirm."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self.groups = 0
        self.unconfirmed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def bulk_write(self, operations: Sequence[Any], **how: Any) -> Any:
        self.groups += 1
        try:
            return self._collection.bulk_write(operations, **how)
        except PyMongoError:
            self.unconfirmed += 1
            raise


@dataclass(slots=True)
class Callers:
    """So many threads of one process, and what each was told."""

    database: Database
    ledger: Ledger = field(default_factory=Ledger)
    etags: dict[str, str] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)
    watched: Watched = field(init=False)
    _store: TagStore = field(init=False)
    _seen: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._store = TagStore(self.database)
        self.watched = Watched(self.database.tags)
        self.database.tags = self.watched  # type: ignore[assignment]

    def round(self, number: int) -> None:
        """All callers make some changes of few objects, old ones and new, at the same moment."""

        def work() -> None:
            for _ in range(CHANGES):
                self._change(number)

        at_once([work] * CALLERS)

    def _change(self, number: int) -> None:
        trace_id = new_trace_id()
        chosen = random.randrange(OBJECTS + 4)
        object_id = f"o{chosen}" if chosen < OBJECTS else f"new-{number}-{chosen}"
        etag = self._seen.get(object_id)
        locked = etag is not None and random.random() < 0.3
        key = f"{number}-{random.randrange(CALLERS)}"
        state = random.randrange(3)
        change = Change(
            Resource("default", Kind.OBJECT, object_id),
            "ocr",
            random.choice(VERBS),
            ACTOR,
            state,
            trace_id,
            Conditions(etags=(etag or "",)) if locked else Conditions(),
            Idempotency(key, f"{key}-{object_id}-{state}") if random.random() < 0.2 else None,
        )
        try:
            changed = self._store.change(change)
        except StoreUnavailable as error:
            self.told["unsure" if error.uncertain else "not made"] += 1
            self.ledger.enter(self.ledger.unsure if error.uncertain else self.ledger.refused, trace_id)
            return
        except TagsError:
            self.told["refused"] += 1
            self.ledger.enter(self.ledger.refused, trace_id)
            return
        self.told["replayed" if changed.replayed else "made"] += 1
        if changed.replayed:
            self.ledger.enter(self.ledger.refused, trace_id)
        self.ledger.enter(self.ledger.made, changed.trace_id)
        if changed.tag is not None:
            self.etags[changed.trace_id] = self._seen[object_id] = changed.tag.etag

    def settle(self, database: Database) -> None:
        """Asserts, on a database at rest, that everybody was told the truth."""
        self.ledger.settle(database)
        entries = {entry["traceId"]: entry["_id"] for entry in database.trail.find({}, {"traceId": 1})}
        assert {trace: entries[trace] for trace in self.etags} == self.etags


def lose_replies(settings: Settings, *, rounds: int) -> Callers:
    """Has connections cut after MongoDB did what it was asked, and MongoDB fail commands, in rounds of groups."""
    with (
        prepared(settings) as direct,
        breaking(f"http://{direct.client.address[0]}:{direct.client.address[1]}", cuts=0, most=6_000) as network,  # type: ignore[index]
        connected(_through(network.url, settings)) as database,
        connected(settings) as relays_own,
        relaying(relays_own),
    ):
        callers = Callers(database)
        for number in range(rounds):
            network.left = random.choice((0, 2, 5))
            if number % 4:
                set_fault(direct, {"activationProbability": 0.15}, FAULTS[number % 4 - 1])
            try:
                callers.round(number)
            finally:
                set_fault(direct, "off")
        network.left = 0
        callers.settle(direct)
    return callers


def fail_over_in_the_middle(nodes: ReplicaSet, *, rounds: int, kill_each: int = 10) -> Callers:
    """Has the primary step down, or killed in one of so many rounds, while groups are on their way to it."""
    settings = Settings(mongo_uri=nodes.uri, database="groups")
    with (
        prepared(settings) as database,
        connected(settings) as apart,
        connected(settings) as relays_own,
        relaying(relays_own),
        ThreadPoolExecutor(1) as pool,
    ):
        callers = Callers(database)
        for number in range(rounds):
            primary = nodes.primary()
            going = pool.submit(callers.round, number)
            threading.Event().wait(random.uniform(0, 0.3))  # a random moment in the middle
            if number % kill_each == kill_each - 1:
                primary.kill()
                going.result()
                primary.start()
                wait_until_rejoined(primary)
            else:
                _step_down(primary)
                going.result()
        nodes.primary()
        callers.settle(apart)
    return callers


def _through(network: str, settings: Settings) -> Settings:
    uri = f"mongodb://{network.removeprefix('http://')}/?directConnection=true"
    return Settings(mongo_uri=uri, database=settings.database)


def _step_down(primary: Mongod) -> None:
    with primary.client() as client, suppress(PyMongoError):
        client.admin.command({"replSetStepDown": 3, "secondaryCatchUpPeriodSecs": 2, "force": True})
