"""One subscription at work, with a clock that passes when somebody waits."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dms_tags.audit.log import merkle
from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.trail.entry import leaf_of
from dms_tags.audit.trail.trail import Trail
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.subscriptions import reading
from dms_tags.subscriptions.delivery import Delivery, Schedule
from dms_tags.subscriptions.model import Cursor, Selection, Subscription
from dms_tags.subscriptions.post import Undelivered
from dms_tags.subscriptions.proofs import Prover
from dms_tags.subscriptions.reading import Window
from tests.support import trails

AT = datetime(2026, 6, 1, tzinfo=UTC)
HOUR = 3_600.0


@dataclass
class Desk:
    """A service around a delivery: its clock passes by waiting; `paused` is why it was paused."""

    at: datetime = AT
    waits: list[float] = field(default_factory=list)
    paused: list[str] = field(default_factory=list)
    on_wait: Callable[[], object] = lambda: None

    def now(self) -> datetime:
        return self.at

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        self.at += timedelta(seconds=seconds)
        self.on_wait()
        return event.is_set()

    async def clear(self) -> bool:
        return True

    async def call(self, what: Callable[[], object]) -> object:
        return what()

    async def pause(self, subscription: Subscription, reason: str) -> None:  # noqa: ARG002 - what a desk is told
        self.paused.append(reason)


class Script:
    """An outlet: `answer` gives the status for a position at a time, or what is raised; it ends the delivery after `last`."""

    def __init__(self, desk: Desk, answer: Callable[[int], int | Exception] = lambda _: 200) -> None:
        self.desk, self.answer = desk, answer
        self.tried: list[tuple[int, datetime]] = []
        self.taken: list[int] = []
        self.bodies: list[dict[str, Any]] = []
        self.last = 0
        self.end: Callable[[], None] = lambda: None

    async def post(self, body: bytes, headers: list[tuple[str, str]]) -> int:
        position = int(dict(headers)["webhook-id"].partition("/")[2])
        self.tried.append((position, self.desk.at))
        answer = self.answer(position)
        if isinstance(answer, Exception):
            raise answer
        if answer < 300:
            self.taken.append(position)
            self.bodies.append(json.loads(body))
        if position == self.last:
            self.end()
        return answer

    async def close(self) -> None:
        """Nothing is open."""


def subscription(**given: Any) -> Subscription:
    made = {
        "url": "https://h.example/",
        "selection": Selection(),
        "proofs": False,
        "paused": False,
        "reason": None,
        "after": 0,
        "start": "s",
        "secrets": (),
    }
    return Subscription("default", "siem", **{**made, **given})


def work(database: Database, script: Script, wanted: Subscription, *, last: int, grow: int = 0) -> Cursor:
    """Delivers until `last` was answered; the cursor then.  The window holds the last `grow` entries."""

    async def run() -> Cursor:
        trail = Trail(database)
        window = Window("default", trail)
        window.head -= grow
        while events := window.poll():
            window.take(events)
        cursor = Cursor("s", wanted.after)
        delivery = Delivery(wanted, cursor, window, script, script.desk, Prover(database), Schedule())
        script.last, script.end = last, delivery.end
        async with asyncio.timeout(20):
            await delivery.run()
        return cursor

    return asyncio.run(run())


@pytest.mark.parametrize("grow", [0, 40, 100], ids=["from the trail", "both", "from the window"])
def test_in_order_each_once(memory: Database, grow: int) -> None:
    """Every event once, in order of position, whether it is read from the trail or from its end; each as the feed tells it."""
    made = trails.fill(memory, 100)
    script = Script(Desk())
    cursor = work(memory, script, subscription(), last=100, grow=grow)

    assert list(range(1, 101)) == script.taken
    assert (100, 100) == (cursor.position, cursor.delivered)
    assert [entry["resource"] for entry in made] == [body["data"]["resource"] for body in script.bodies]
    assert {"1.0"} == {body["specversion"] for body in script.bodies}


@pytest.mark.parametrize("grow", [0, 100], ids=["from the trail", "from the window"])
def test_what_is_selected(memory: Database, grow: int) -> None:
    """All lists must hold; the cursor moves on past what is not selected."""
    made = trails.fill(memory, 100)
    chosen = Selection(("ocr", "index"), (0, 1, 2, 3), (110, 310))
    expected = [
        entry["position"]
        for entry in made
        if entry["name"] in ("ocr", "index") and entry["state"] in (0, 1, 2, 3) and entry["action"] != 210
    ]
    script = Script(Desk())
    cursor = work(memory, script, subscription(selection=chosen), last=expected[-1], grow=grow)

    assert expected == script.taken
    assert cursor.position >= expected[-1]


def test_a_receiver_that_is_down_for_an_hour(memory: Database) -> None:
    """It is asked after 1, 2, 4 … seconds; when it is back it gets everything, in order, nothing twice."""
    trails.fill(memory, 20)
    desk = Desk()
    back = AT + timedelta(hours=1)
    script = Script(desk, lambda _: 200 if desk.at >= back else Undelivered("refused"))
    cursor = work(memory, script, subscription(), last=20)

    assert [1.0, 2.0, 4.0, 8.0] == desk.waits[:4]
    assert list(range(1, 21)) == script.taken
    assert (0, None, None, None) == (cursor.failures, cursor.error, cursor.failing_since, cursor.next_at)
    assert [] == desk.paused


def test_three_days(memory: Database) -> None:
    """The pause between attempts grows to an hour; after three days the subscription is paused, with the reason."""
    trails.fill(memory, 3)
    desk = Desk()
    script = Script(desk, lambda _: 503)
    cursor = work(memory, script, subscription(), last=0)

    assert HOUR == max(desk.waits)
    assert timedelta(days=3) == desk.at - AT
    assert 1 == len(desk.paused)
    assert "the receiver answered 503" in desk.paused[0]
    assert (0, None) == (cursor.position, cursor.delivered)


@pytest.mark.parametrize("status", [301, 302, 400, 404, 500])
def test_anything_else_is_tried_again(memory: Database, status: int) -> None:
    """Whatever is no 2xx and no 410 is tried again, and says so meanwhile."""
    trails.fill(memory, 2)
    desk = Desk()
    script = Script(desk, lambda _: status if len(script.tried) < 3 else 202)
    work(memory, script, subscription(), last=2)

    assert [1, 1, 1, 2] == [position for position, _ in script.tried]
    assert [1.0, 2.0] == desk.waits
    assert [] == desk.paused


@pytest.mark.parametrize("grow", [0, 20], ids=["from the trail", "from the window"])
def test_a_name_that_was_erased_meanwhile(memory: Database, monkeypatch: pytest.MonkeyPatch, grow: int) -> None:
    """What waited for its receiver is read again before it is sent: neither name nor reason that went meanwhile is told."""
    trails.fill(memory, 20, by="mallory", earlier=0)
    desk = Desk()

    def erase() -> None:
        memory.trail.update_many({}, {"$set": {"createdBy": None, "reason": None, "erased": ["createdBy", "reason"]}})

    desk.on_wait = erase
    monkeypatch.setattr(reading, "monotonic", lambda: (desk.at - AT).total_seconds())
    script = Script(desk, lambda _: 200 if desk.at >= AT + timedelta(minutes=1) else 503)
    work(memory, script, subscription(), last=20, grow=grow)

    assert list(range(1, 21)) == script.taken
    assert {(None, None)} == {(body["data"]["createdBy"], body["data"]["reason"]) for body in script.bodies}


def test_410_pauses(memory: Database) -> None:
    """A receiver that wants no more is not asked again."""
    trails.fill(memory, 3)
    script = Script(Desk(), lambda position: 410 if position == 2 else 200)
    cursor = work(memory, script, subscription(), last=0)

    assert [1] == script.taken
    assert (1, ["the receiver answered 410: it wants no more"]) == (cursor.position, script.desk.paused)


def test_archived(memory: Database) -> None:
    """Where what comes next was archived it is paused with the reason; nothing is left out in silence."""
    trails.fill(memory, 600)
    memory.trail.delete_many({"position": {"$lte": 512}})
    memory.collection("trail_heads").insert_one({"_id": "default", "cut": 512, "recordedAt": AT})
    script = Script(Desk())
    work(memory, script, subscription(after=511), last=0)
    going_on = Script(Desk())
    work(memory, going_on, subscription(after=512), last=600)

    assert [] == script.taken
    assert ["entries before position 513 were archived"] == [reason.partition(";")[0] for reason in script.desk.paused]
    assert list(range(513, 601)) == going_on.taken


def test_more_than_the_window_holds(memory: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window is bounded; whoever falls out of it reads from the trail, without gap or repeat."""
    monkeypatch.setattr(reading, "WINDOW", 30)
    trails.fill(memory, 150)
    script = Script(Desk())
    work(memory, script, subscription(), last=150, grow=150)

    assert list(range(1, 151)) == script.taken


def test_proofs(memory: Database, settings_in_memory: Settings) -> None:
    """An event with its proof waits for the checkpoint; the proof leads from the entry to its root."""
    trails.fill(memory, 9)
    checkpointer = Checkpointer.of(memory, settings_in_memory)
    desk = Desk()
    desk.on_wait = lambda: bool(checkpointer.checkpoint("default"))
    script = Script(desk)
    work(memory, script, subscription(proofs=True), last=9)
    checkpoint = checkpointer.newest("default") or {}

    assert list(range(1, 10)) == script.taken
    assert len(desk.waits) >= 1
    for body in script.bodies:
        proof = json.loads(body["proof"])
        leaf = merkle.leaf_hash(leaf_of(body["data"]))
        assert checkpoint["note"] == proof["checkpoint"]
        assert bytes(checkpoint["root"]) == root_of(leaf, proof)


def root_of(leaf: bytes, proof: dict[str, Any]) -> bytes:
    """The root that an inclusion proof leads to, by RFC 9162, section 2.1.3.2."""

    def node(left: bytes, right: bytes) -> bytes:
        return hashlib.sha256(b"\x01" + left + right).digest()

    index, last, digest = proof["index"], proof["size"] - 1, leaf
    for sibling in map(base64.b64decode, proof["proof"]):
        if index & 1 or index == last:
            digest = node(sibling, digest)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            digest = node(digest, sibling)
        index, last = index >> 1, last >> 1
    assert last == 0
    return digest


@pytest.fixture
def settings_in_memory(tmp_path: Any) -> Settings:
    return trails.keyed(Settings(mongo_uri="mongomock://"), tmp_path)
