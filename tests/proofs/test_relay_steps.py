"""Every step of the relay, one at a time: the death of the relay, another relay, another change, a lost reply, at exactly that step."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import pytest

from dms_tags.audit.trail.relay import Relay
from dms_tags.errors import StoreUnavailable
from dms_tags.model import Actor, Change, Kind, Resource, Verb, new_trace_id
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.proofs import oracle
from tests.proofs.relays import Died, prepared, set_fault

STEPS: Final = ("lease", "read", "settle", "number", "insert", "clear")
WRITER: Final = Actor("writer", "token")


class Desk:
    """A writer in a tenant of its own, which knows its changes, and relays that end where they are told to."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.tenant = f"t-{secrets.token_hex(8)}"
        self.made: list[str] = []
        self._store = TagStore(database)

    def change(self, object_id: str, name: str, verb: Verb, state: int = 0) -> None:
        trace_id = new_trace_id()
        self._store.change(Change(Resource(self.tenant, Kind.OBJECT, object_id), name, verb, WRITER, state, trace_id))
        self.made.append(trace_id)

    def some_changes(self) -> None:
        """Leaves two objects with several changes in their outboxes, one of them with a tag that came and went."""
        self.change("a", "ocr", Verb.ADD, 1)
        self.change("a", "ocr", Verb.UPDATE, 2)
        self.change("a", "index", Verb.ADD, 7)
        self.change("b", "ocr", Verb.ADD, 1)
        self.change("b", "ocr", Verb.DELETE)

    def relay(self, at: str | None = None, do: Callable[[], None] = lambda: None) -> Relay:
        """A relay that does something, once, before the step `at`."""
        waiting = [at]

        def step(name: str) -> None:
            if name in waiting:
                waiting.clear()
                do()

        # without a lease in force, so that a relay that died keeps nobody waiting
        self.database.collection("leases").delete_many({})
        return Relay(self.database, step=step)

    def finish(self) -> None:
        """Lets a new relay move what is left, and holds everything against the invariants."""
        relay = self.relay()
        while relay.run_once():
            pass
        oracle.check(self.database, made=self.made, tenant=self.tenant)


@pytest.fixture(scope="module", params=["mongod", "mongomock"])
def store(request: pytest.FixtureRequest) -> Iterator[Database]:
    if request.param == "mongod":
        yield request.getfixturevalue("proof_database")
        return
    with prepared(Settings(mongo_uri="mongomock://")) as database:
        yield database


@pytest.fixture
def desk(store: Database) -> Desk:
    return Desk(store)


def die() -> None:
    raise Died


def test_the_steps_are_these(desk: Desk) -> None:
    """A relay that has something to move announces the six steps, in this order."""
    seen: list[str] = []
    desk.some_changes()
    Relay(desk.database, step=seen.append).run_once()

    assert list(STEPS) == seen


@pytest.mark.parametrize("step", STEPS)
def test_a_relay_dies(desk: Desk, step: str) -> None:
    """Whatever a relay leaves half done at a step, the next one completes, and nothing is doubled."""
    desk.some_changes()
    with pytest.raises(Died):
        desk.relay(step, die).run_once()
    desk.change("a", "ocr", Verb.UPDATE, 3)

    desk.finish()


@pytest.mark.parametrize("step", STEPS)
def test_the_same_relay_goes_on_after_a_failure(desk: Desk, step: str) -> None:
    """A relay whose step failed goes on with its next call, and trusts nothing that it believed before."""
    desk.some_changes()
    relay = desk.relay(step, die)
    with suppress(Died):
        relay.run_once()
    desk.change("b", "mail", Verb.ADD, 3)
    while relay.run_once():
        pass

    desk.finish()


@pytest.mark.parametrize("step", STEPS)
def test_another_relay_comes_between(desk: Desk, step: str) -> None:
    """A relay that is overtaken at a step by another, which moves everything and more, adds nothing twice."""
    desk.some_changes()

    def overtake() -> None:
        other = desk.relay()
        other.run_once()
        desk.change("a", "ocr", Verb.DELETE)
        desk.change("c", "ocr", Verb.ADD, 1)
        other.run_once()
        desk.change("b", "ocr", Verb.ADD, 9)

    desk.relay(step, overtake).run_once()

    desk.finish()


@pytest.mark.parametrize("step", STEPS)
def test_another_relay_dies_in_between(desk: Desk, step: str) -> None:
    """A relay that is overtaken by one that inserts and dies before it clears leaves the rest to the next."""
    desk.some_changes()

    def overtake() -> None:
        desk.change("b", "mail", Verb.ADD, 3)
        with pytest.raises(Died):
            desk.relay("clear", die).run_once()

    desk.relay(step, overtake).run_once()

    desk.finish()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("limit", ["BATCH_RESOURCES", "BATCH_RECORDS"])
@pytest.mark.parametrize("end", [None, "clear"], ids=["and-ends", "and-dies"])
def test_another_relay_takes_a_part(desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str, limit: str, end: str | None) -> None:
    """A relay that is overtaken by one with a smaller batch clears only what it knows to be in the trail."""
    desk.some_changes()

    def overtake() -> None:
        with monkeypatch.context() as smaller, suppress(Died):
            smaller.setattr(f"dms_tags.audit.trail.relay.{limit}", 1)
            desk.relay(end, die).run_once()

    desk.relay(step, overtake).run_once()

    desk.finish()


@pytest.mark.parametrize("step", STEPS)
def test_a_change_comes_between(desk: Desk, step: str) -> None:
    """A change that is made while a relay is at a step is moved by a later batch, after those before it."""
    desk.some_changes()

    def change() -> None:
        desk.change("a", "ocr", Verb.DELETE)
        desk.change("a", "ocr", Verb.ADD, 4)

    desk.relay(step, change).run_once()

    desk.finish()


@pytest.mark.parametrize(
    "fault",
    [
        {"closeConnection": True},
        {"writeConcernError": {"code": 64, "errmsg": "lost"}},
        {"writeConcernError": {"code": 89, "errmsg": "lost"}, "errorLabels": ["RetryableWriteError"]},
        {"errorCode": 11602},
    ],
    ids=["connection-lost", "reply-lost", "reply-lost-and-retried", "interrupted"],
)
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(("step", "command"), [("insert", "insert"), ("clear", "update"), ("read", "find"), ("settle", "find")])
def test_a_reply_is_lost(proof_database: Database, fault: dict[str, Any], times: int, step: str, command: str) -> None:
    """A relay that does not learn what came of a command, once or also of the driver's second try, looks before it goes on."""
    desk = Desk(proof_database)
    desk.some_changes()

    def lose() -> None:
        set_fault(proof_database, {"times": times}, {"failCommands": [command], "appName": "dms-tags", **fault})

    relay = desk.relay(step, lose)
    try:
        with suppress(StoreUnavailable):
            relay.run_once()
    finally:
        set_fault(proof_database, "off")
    while relay.run_once():
        pass

    desk.finish()
