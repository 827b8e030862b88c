"""Subscriptions under crashes: whatever is killed, every event comes, in order, and twice only where nobody could know better."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import httpx

from dms_tags.audit.trail.tail import TOLD
from dms_tags.serving.mongod import eventually
from dms_tags.store.database import Database
from dms_tags.subscriptions.post import SECONDS
from tests.proofs.services import Crashable, fleet
from tests.support.mongo import ReplicaSet
from tests.support.receiver import CLOSE, Receiver, Sent, receiving

HERE = {"DMS_TAGS_WEBHOOK_NETWORKS": "127.0.0.0/8"}

UNKEPT_SECONDS = 5.0
"""Before a crash: for so long what was taken may not have been noted.  Half a second on a machine with time to spare."""

LATE_SECONDS = 3.0
"""Within so many seconds after a delivery was given up on, it is tried again."""

PATIENCE_SECONDS = 60.0
"""A dead courier is succeeded after 20 s."""

NAMES = ("ocr", "index", "export")


@dataclass
class Proof:
    """What came of a run."""

    events: int = 0
    repeated: int = 0
    refused: int = 0
    crashes: list[tuple[float, float]] = field(default_factory=list)  # when each began, and when what it took was there again


def deliver_through_crashes(
    folder: Path,
    mongod: ReplicaSet,
    database: Database,
    *,
    rounds: int,
    whole: bool,
    count: int = 2,
    pause: float = 0.05,
    tell: Callable[[str], None] = lambda _: None,
) -> Proof:
    """Crashes couriers, mongod and, if `whole`, whole services under load, in turn; then looks at what three receivers got."""
    proof = Proof()
    kinds = [_crash_courier, _crash_mongod, *([_crash_service] if whole else [])]
    with (
        fleet(folder, mongod.uri, "proofs", count, HERE) as services,
        receiving() as steady,
        receiving() as troubled,
        receiving() as chosen,
    ):
        troubled.answer = _troubled
        base = f"http://127.0.0.1:{services[0].port}/api/dms/subscriptions"
        wanted = {"steady": (steady, {}), "troubled": (troubled, {}), "chosen": (chosen, {"names": ["ocr"], "states": [1, 2, 3]})}
        for name, (receiver, more) in wanted.items():
            httpx.put(f"{base}/{name}", json={"url": receiver.url, "after": 0, **more}, timeout=20).raise_for_status()
        with writing([service.port for service in services], pause):
            for number in range(rounds):
                before = len(steady.sent)
                steady.wait(lambda receiver, before=before: len(receiver.sent) > before + 20, PATIENCE_SECONDS)  # type: ignore[misc]
                began = monotonic()
                what = kinds[number % len(kinds)](services, mongod)
                for service in services:
                    service.wait_until_ready()
                proof.crashes.append((began, monotonic()))
                tell(f"crash {number + 1}: {what}; {len(steady.sent)} deliveries to the steady receiver")
        for name, (receiver, more) in wanted.items():
            expected = _expected(database, more)
            _catch_up(receiver, expected[-1])
            repeated, refused = _hold(name, receiver.sent, expected, proof.crashes)
            proof.events += len(expected)
            proof.repeated += repeated
            proof.refused += refused
    return proof


def _catch_up(receiver: Receiver, last: int) -> None:
    """Waits until the last event was taken, for as long as there is progress."""
    while last not in receiver.taken:
        before = len(receiver.sent)
        receiver.wait(lambda receiver: len(receiver.sent) > before, PATIENCE_SECONDS)  # noqa: B023 - waited for here


def _expected(database: Database, chosen: dict[str, Any]) -> list[int]:
    """The positions of what the trail says is to be sent; first of all what was acknowledged is in it."""
    assert eventually(lambda: database.tags.find_one({"outbox.0": {"$exists": True}}) is None, 60)
    where: dict[str, Any] = {"action": {"$in": list(TOLD)}}
    if chosen:
        where |= {"name": {"$in": chosen["names"]}, "state": {"$in": chosen["states"]}}
    return [entry["position"] for entry in database.trail.find(where, sort=[("position", 1)])]


def _hold(name: str, sent: Sequence[Sent], expected: Sequence[int], crashes: Sequence[tuple[float, float]]) -> tuple[int, int]:
    """Asserts that deliveries were in order, none left out, and repeated only after a crash or where the answer came too late; how many were, how many refused."""
    taken_at: dict[int, float] = {}
    following = iter(expected)
    turn = next(following)
    repeated = refused = 0
    for delivery in sent:
        position = delivery.position
        assert position in taken_at or position == turn, f"{name}: {position} came when it was the turn of {turn}"
        if position in taken_at:
            repeated += 1
            known = taken_at[position]
            late = SECONDS <= delivery.at - known <= SECONDS + LATE_SECONDS  # its answer came when nobody waited for it any more
            explained = late or any(known <= over and began <= known + UNKEPT_SECONDS for began, over in crashes)
            assert explained, f"{name}: {position} came again {delivery.at - known:.1f} s after it was taken, for no reason"
        if not 200 <= delivery.answer < 300:
            refused += 1
        else:
            if position == turn:
                turn = next(following, 0)
            taken_at[position] = delivery.at
    assert list(taken_at) == sorted(taken_at)
    assert list(expected) == sorted(taken_at), f"{name}: something was left out"
    return repeated, refused


def _troubled(_: int) -> int:
    """What a receiver in trouble answers: mostly that it takes an event, now and then late, not, or nothing."""
    chance = random.random()
    if chance < 0.02:
        time.sleep(0.3)
    return 500 if chance > 0.995 else CLOSE if chance > 0.99 else 200


def _crash_courier(services: Sequence[Crashable], _: ReplicaSet) -> str:
    """Ends every courier: the one whose turn it is is among them."""
    crashed = [service.crash_courier() for service in services]
    return f"{sum(crashed)} couriers"


def _crash_service(services: Sequence[Crashable], _: ReplicaSet) -> str:
    service = random.choice(services)
    service.crash()
    service.start()
    return "a service, all its processes"


def _crash_mongod(_: Sequence[Crashable], mongod: ReplicaSet) -> str:
    mongod.nodes[0].kill()
    mongod.nodes[0].start()
    mongod.primary()
    return "mongod"


@contextmanager
def writing(ports: Sequence[int], pause: float) -> Iterator[None]:
    """Four clients that change tags, with a pause of so many seconds after each, whatever becomes of their calls."""
    stop = threading.Event()

    def write(number: int) -> None:
        with httpx.Client(timeout=20, trust_env=False) as client:
            while not stop.wait(pause):
                path = f"/api/dms/objects/o{random.randrange(50)}/tags/{random.choice(NAMES)}/state/{random.randrange(5)}"
                query = "?overwrite=true" if random.random() < 0.7 else ""
                port = ports[number % len(ports)]
                try:
                    client.post(f"http://127.0.0.1:{port}{path}{query}")
                except httpx.HTTPError:
                    continue  # it may have been made or not: the trail knows

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
