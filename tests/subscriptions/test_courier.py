"""Couriers on a real MongoDB: one delivers at a time, each subscription by itself, and a successor goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest

from dms_tags.model import Actor, Change, Kind, Resource, Terms, Verb
from dms_tags.serving.mongod import eventually
from dms_tags.store.database import Database
from dms_tags.subscriptions import courier as couriers
from dms_tags.subscriptions import signing
from dms_tags.subscriptions import store as kept
from dms_tags.subscriptions.courier import Courier
from dms_tags.subscriptions.delivery import Schedule
from dms_tags.subscriptions.model import Order, Selection
from dms_tags.subscriptions.networks import Networks
from dms_tags.subscriptions.store import Subscriptions
from dms_tags.tags.store import TagStore
from tests.support import trails
from tests.support.app import Service
from tests.support.receiver import CLOSE, Receiver, receiving

ACTOR = Actor("anna", "token")
TERMS = Terms(ACTOR)
QUICK = Schedule(first=0.02, most=0.1, give_up=0.6)


class Running:
    """A courier in a thread."""

    def __init__(self, database: Database, schedule: Schedule = QUICK) -> None:
        self._courier = Courier(database, Networks(["127.0.0.0/8"]), httpx.create_ssl_context(), schedule=schedule)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._loop.run_until_complete(self._courier.run(self._stop))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)
        assert not self._thread.is_alive()


@contextmanager
def running(database: Database, schedule: Schedule = QUICK) -> Iterator[Running]:
    courier = Running(database, schedule)
    try:
        yield courier
    finally:
        courier.stop()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks more often than a service needs to."""
    for name in ("REFRESH_SECONDS", "POLL_SECONDS", "KEEP_SECONDS", "PASSED_SECONDS"):
        monkeypatch.setattr(couriers, name, 0.05)


@pytest.fixture
def subscriptions(real: Service) -> Subscriptions:
    return real.services.subscriptions


def write(service: Service, count: int, name: str = "ocr") -> list[int]:
    """Adds tags to objects; the positions of their entries."""
    before = len(service.entries())
    for number in range(count):
        resource = Resource("default", Kind.OBJECT, f"{name}{before}-{number}")
        service.services.store.change(Change(resource, name, Verb.ADD, ACTOR, 1))
    return [entry["position"] for entry in service.entries() if entry["position"] > before and entry["action"] == 110]


def order(receiver: Receiver, **given: Any) -> Order:
    return Order(receiver.url, **{"selection": Selection(), **given})


def test_several_subscriptions(real: Service, subscriptions: Subscriptions) -> None:
    """Each gets its own events, in order, signed with its own secret; one receiver that hangs holds up no other."""
    hangs = threading.Event()
    with receiving() as every, receiving() as chosen, receiving() as slow, running(real.database):
        slow.answer = lambda _: hangs.wait(20) and 200
        _, _, secret = subscriptions.put("default", "every", order(every), TERMS)
        subscriptions.put("default", "chosen", order(chosen, selection=Selection(("idx",))), TERMS)
        subscriptions.put("default", "slow", order(slow), TERMS)
        positions = write(real, 10) + write(real, 5, "idx")
        every.wait(lambda receiver: len(receiver.taken) == 15)
        chosen.wait(lambda receiver: len(receiver.taken) == 5)
        hangs.set()
        slow.wait(lambda receiver: len(receiver.taken) == 15)

    assert positions == every.taken == slow.taken
    assert positions[10:] == chosen.taken
    assert all(sent.is_signed_by(signing.spell(secret or b"")) for sent in every.sent)
    assert not any(sent.is_signed_by(signing.spell(secret or b"")) for sent in chosen.sent)
    assert [sent.event["id"] for sent in every.sent] == [str(position) for position in positions]


def test_two_couriers(real: Service, subscriptions: Subscriptions) -> None:
    """Of two one delivers; when it ends the other goes on at once, and nothing comes twice."""
    with receiving() as receiver, running(real.database) as first, running(real.database):
        subscriptions.put("default", "siem", order(receiver), TERMS)
        positions = write(real, 5)
        receiver.wait(lambda receiver: len(receiver.taken) == 5)
        first.stop()
        positions += write(real, 5)
        receiver.wait(lambda receiver: len(receiver.taken) == 10)

    assert positions == receiver.taken


def test_a_successor_goes_on(real: Service, subscriptions: Subscriptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that died without a word is succeeded when its turn is over; only what it had not kept comes again."""
    monkeypatch.setattr(couriers, "TURN", timedelta(seconds=2))
    monkeypatch.setattr(couriers, "SECONDS", 1.0)
    with receiving() as receiver:
        subscriptions.put("default", "siem", order(receiver), TERMS)
        with running(real.database):
            positions = write(real, 5)
            receiver.wait(lambda receiver: len(receiver.taken) == 5)
        # As if it had ended just after a delivery: the turn is held by nobody who lives, and the cursor is one behind
        leases, cursors = real.database.collection("leases"), real.database.collection("subscription_cursors")
        leases.insert_one({"_id": couriers.DUTY, "holder": "dead", "until": real.database.now() + timedelta(seconds=1.5)})
        cursors.update_one({}, {"$set": {"position": positions[3], "delivered": positions[3]}})
        with running(real.database):
            more = write(real, 5)
            receiver.wait(lambda receiver: len(receiver.taken) == 11)

    assert [*positions, positions[4], *more] == receiver.taken


def test_failures_are_told_and_pass(real: Service, subscriptions: Subscriptions) -> None:
    """While a receiver fails the subscription says so; what it then takes clears that."""
    well = threading.Event()
    with receiving() as receiver, running(real.database, Schedule(first=0.02, most=0.1)):
        receiver.answer = lambda _: 200 if well.is_set() else 500
        subscriptions.put("default", "siem", order(receiver), TERMS)
        positions = write(real, 3)
        assert eventually(lambda: subscriptions.get("default", "siem").cursor.failures > 2, 10)
        failing = subscriptions.get("default", "siem")
        well.set()
        receiver.wait(lambda receiver: len(receiver.taken) == 3)
        assert eventually(lambda: subscriptions.get("default", "siem").cursor.delivered == positions[-1], 10)
        at_rest = subscriptions.get("default", "siem")

    assert "the receiver answered 500" == failing.cursor.error
    assert (3, True) == (failing.lag, failing.lag_seconds > 0)
    assert (0, None, 0) == (at_rest.cursor.failures, at_rest.cursor.error, at_rest.lag)
    assert positions == receiver.taken


@pytest.mark.parametrize(("status", "said"), [(410, "410"), (500, "nothing was taken")])
def test_paused_by_the_service(real: Service, subscriptions: Subscriptions, status: int, said: str) -> None:
    """What cannot be delivered is paused, with an entry of the trail; a PUT goes on where it was."""
    well = threading.Event()
    with receiving() as receiver, running(real.database):
        receiver.answer = lambda _: 200 if well.is_set() else status
        subscriptions.put("default", "siem", order(receiver), TERMS)
        positions = write(real, 2)
        assert eventually(lambda: subscriptions.get("default", "siem").subscription.paused, 10)
        paused = subscriptions.get("default", "siem").subscription
        last = real.entries()[-1]
        well.set()
        subscriptions.put("default", "siem", order(receiver), TERMS)
        receiver.wait(lambda receiver: len(receiver.taken) == 2)

    assert said in (paused.reason or "")
    assert ("subscription/siem", 10310, "system:subscriptions", "system") == (
        *(last["resource"], last["action"]),
        *(last["createdBy"], last["actorKind"]),
    )
    assert paused.reason == last["state"]["pausedReason"]
    assert positions == receiver.taken


def test_a_lost_answer(real: Service, subscriptions: Subscriptions) -> None:
    """An event whose answer was lost comes again, under the same id, before the next one."""
    lost = iter([CLOSE])
    with receiving() as receiver, running(real.database):
        receiver.answer = lambda position: next(lost, 200) if position == last - 1 else 200
        subscriptions.put("default", "siem", order(receiver), TERMS)
        last = len(real.entries()) + 3
        positions = write(real, 3)
        receiver.wait(lambda receiver: len(receiver.taken) == 3)

    assert [positions[0], positions[1], positions[1], positions[2]] == [sent.position for sent in receiver.sent]
    assert [200, CLOSE, 200, 200] == [sent.answer for sent in receiver.sent]


def test_changes_hold(real: Service, subscriptions: Subscriptions) -> None:
    """Paused by hand it sends nothing; changed it goes on; set back it sends again; removed it ends."""
    with receiving() as receiver, receiving() as other, running(real.database):
        subscriptions.put("default", "siem", order(receiver), TERMS)
        positions = write(real, 2)
        receiver.wait(lambda receiver: len(receiver.taken) == 2)
        subscriptions.put("default", "siem", order(receiver, paused=True), TERMS)
        positions += write(real, 2)
        subscriptions.put("default", "siem", order(other), TERMS)
        other.wait(lambda receiver: len(receiver.taken) == 2)
        subscriptions.put("default", "siem", order(other, after=positions[0]), TERMS)
        other.wait(lambda receiver: len(receiver.taken) == 5)

    assert positions[:2] == receiver.taken
    assert [*positions[2:], *positions[1:]] == other.taken


def test_a_new_secret_signs_beside_the_old(real: Service, subscriptions: Subscriptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as they overlap both sign; then only the new one does."""
    monkeypatch.setattr(kept, "OVERLAP", timedelta(seconds=4))
    with receiving() as receiver:
        _, _, old = subscriptions.put("default", "siem", order(receiver), TERMS)
        _, new = subscriptions.new_secret("default", "siem", TERMS)
        until = subscriptions.get("default", "siem").subscription.secrets[1].until
        assert until is not None
        with running(real.database):
            write(real, 1)
            receiver.wait(lambda receiver: len(receiver.taken) == 1)
            assert eventually(lambda: real.database.now() > until + timedelta(seconds=1), 20)
            write(real, 1)
            receiver.wait(lambda receiver: len(receiver.taken) == 2)

    spelt = [signing.spell(secret or b"") for secret in (old, new)]
    assert [[True, True], [False, True]] == [[sent.is_signed_by(secret) for secret in spelt] for sent in receiver.sent]


def test_a_filtered_cursor_moves_on(real: Service, subscriptions: Subscriptions) -> None:
    """Where nothing matches the cursor moves too, so that archiving does not overtake it."""
    with receiving() as receiver, running(real.database):
        subscriptions.put("default", "siem", order(receiver, selection=Selection(("never",))), TERMS)
        write(real, 20)
        assert eventually(lambda: subscriptions.get("default", "siem").lag == 0, 10)

    assert [] == receiver.sent


def test_a_long_backlog(database: Database) -> None:
    """What was there before is delivered too, all of it, in order."""
    trails.fill(database, 300)
    subscriptions = Subscriptions(database, TagStore(database))
    with receiving() as receiver, running(database):
        subscriptions.put("default", "siem", order(receiver, after=0), TERMS)
        receiver.wait(lambda receiver: len(receiver.taken) == 300, 30)

    assert list(range(1, 301)) == receiver.taken


def test_another_had_the_turn(real: Service, subscriptions: Subscriptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another delivered meanwhile, unseen, it goes on from where that one was, not from where it was itself."""
    monkeypatch.setattr(couriers, "RENEW_SECONDS", 0.3)
    with receiving() as receiver, running(real.database):
        subscriptions.put("default", "siem", order(receiver), TERMS)
        positions = write(real, 5)
        receiver.wait(lambda receiver: len(receiver.taken) == 5)
        assert eventually(lambda: subscriptions.get("default", "siem").lag == 0, 10)
        real.database.collection("subscription_cursors").update_one({}, {"$set": {"position": positions[2]}})
        over = {"holder": "another", "until": real.database.now() - timedelta(seconds=1)}
        real.database.collection("leases").update_one({"_id": couriers.DUTY}, {"$set": over})
        receiver.wait(lambda receiver: len(receiver.taken) == 7)

    assert [*positions, *positions[3:]] == receiver.taken
