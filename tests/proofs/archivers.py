"""Two orders to archive one trail, each halted at every step while the other runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from dms_tags.audit.archive import Archived, Archiver
from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.trail.timetravel import Past
from dms_tags.audit.trail.trail import Trail
from dms_tags.errors import CannotStart
from dms_tags.model import Action, Actor, Kind, Resource
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.support.beside import relaying
from tests.support.trails import BEGIN

STEPS: Final = ("file", "baselines", "record", "entry", "cut", "remove")
ACTOR: Final = Actor("operator", "cli")
HALT_SECONDS: Final = 60.0


class Halted:
    """An order that stops before one of its steps until it is let go; `outcome` is what came of it."""

    def __init__(self, order: Callable[[Callable[[str], None]], Archived], halt_at: str) -> None:
        self._halt_at = halt_at
        self._halted, self._go_on = threading.Event(), threading.Event()
        self.outcome: Archived | CannotStart | None = None
        self._thread = threading.Thread(target=self._run, args=(order,))
        self._thread.start()
        assert self._halted.wait(HALT_SECONDS), f"the order never came to {halt_at}"

    def _run(self, order: Callable[[Callable[[str], None]], Archived]) -> None:
        try:
            self.outcome = order(self._step)
        except CannotStart as error:
            self.outcome = error
        finally:
            self._halted.set()

    def _step(self, name: str) -> None:
        if name == self._halt_at:
            self._halted.set()
            self._go_on.wait(HALT_SECONDS)

    def go_on(self) -> Archived | CannotStart | None:
        """Lets the order go on to its end; what came of it."""
        self._go_on.set()
        self._thread.join(HALT_SECONDS)
        return self.outcome


def two_orders(settings: Settings, database: Database, folder: Path, halt_at: str, *, later: int, patient: bool) -> None:
    """An order for the first 512 entries is halted before `halt_at`; another, up to the position `later`, runs meanwhile.

    Where the other is `patient`, it comes when the first one seems dead.  Asserts that the trail, its baselines and its past
    are whole, and that whichever order was late says so and changed nothing.
    """
    checkpointer, store, past = Checkpointer.of(database, settings), TagStore(database), Past(database)
    objects = [Resource("default", Kind.OBJECT, str(number)) for number in range(7)]
    expected = {resource.id: past.tags_at(resource, _at(1000)) for resource in objects}

    def order(before: int, name: str, step: Callable[[str], None] = lambda _name: None) -> Archived:
        archiver = Archiver(database, checkpointer, store, step=step)
        return archiver.archive("default", _at(before), folder / name, ACTOR)

    with relaying(database):
        _two_orders(order, database, folder, halt_at, expected, past, later=later, patient=patient)


def _two_orders(
    order: Callable[..., Archived],
    database: Database,
    folder: Path,
    halt_at: str,
    expected: dict[str, Any],
    past: Past,
    *,
    later: int,
    patient: bool,
) -> None:
    first = Halted(lambda step: order(600, "first", step), halt_at)
    if patient:
        database.collection("leases").delete_one({"_id": "archive/default"})
    second: Archived | CannotStart
    try:
        second = order(later, "second")
    except CannotStart as error:
        second = error
    came_of_first = first.go_on()

    outcomes = (came_of_first, second)
    assert not isinstance(second, CannotStart) or not patient or "another order" in str(second), outcomes
    if not patient:
        assert isinstance(second, CannotStart), outcomes
        assert Archived(1, 512) == came_of_first, outcomes
    _assert_whole(database, expected, past)
    _assert_told(database, folder)
    with suppress(CannotStart):
        order(later, "third")
    _assert_whole(database, expected, past)
    _assert_told(database, folder)


def _assert_whole(database: Database, expected: dict[str, Any], past: Past) -> None:
    """The trail begins behind the cut, each resource of the archived part has a baseline that counts, and its past is told."""
    head: Any = database.collection("trail_heads").find_one({"_id": "default"})
    first: Any = database.trail.find_one({}, sort=[("position", 1)])
    assert first["position"] <= head["cut"] + 1
    for number, tags in expected.items():
        resource = Resource("default", Kind.OBJECT, number)
        if head["cut"]:
            base: Any = past._trail.baseline(resource, head["cut"])  # noqa: SLF001 - what looking back rests on
            assert base is not None, f"object {number} has no baseline at {head['cut']}"
            assert base["cut"] <= head["cut"]
        assert tags == past.tags_at(resource, _at(1000)), number


def _assert_told(database: Database, folder: Path) -> None:
    """Each order that was recorded, and not taken back, moved the cut; its file is there, and no other."""
    Trail(database).wait_for("default")
    head: Any = database.collection("trail_heads").find_one({"_id": "default"})
    records = [entry["state"] for entry in database.trail.find({"action": Action.TRAIL_ARCHIVED})]
    taken_back = {state["order"] for state in records if state.get("takenBack")}
    standing = {state["order"]: state["sha256"] for state in records if state["order"] not in taken_back}
    assert set(head.get("orders", ())) == standing.keys()
    files = [folder / name for name in ("first", "second", "third")]
    assert set(standing.values()) == {sha256(file.read_bytes()).hexdigest() for file in files if file.exists()}


def _at(position: int) -> datetime:
    return BEGIN + timedelta(seconds=position)
