"""Background duties: done again and again, whatever MongoDB does, and ended in order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dms_tags.audit.log.signer import Checkpointer
from dms_tags.errors import StoreUnavailable
from dms_tags.serving.keeper import Duty, Keeper, perform, warn
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.trails import fill, keyed

GENEROUS = 30.0


@dataclass
class Script:
    """A duty's pieces, each true (more is waiting), false, or a failure; at the end of the script it sets `stop`."""

    pieces: Iterator[bool | Exception]
    stop: threading.Event = field(default_factory=threading.Event)
    done: int = 0

    def run_once(self, _stop: threading.Event) -> bool:
        piece = next(self.pieces, None)
        if piece is None:
            self.stop.set()
            return False
        self.done += 1
        if isinstance(piece, Exception):
            raise piece
        return piece


def test_a_failure_is_told_once_and_passes(caplog: pytest.LogCaptureFixture) -> None:
    """While MongoDB is away a duty says so once, tries on, and says when it goes on."""
    caplog.set_level(logging.INFO)
    script = Script(iter([False, StoreUnavailable("gone"), StoreUnavailable("gone"), False]))

    perform(Duty("relay", script.run_once, 0.0), script.stop)

    assert 4 == script.done
    assert ["relay waits for MongoDB: gone", "relay goes on"] == caplog.messages


def test_an_unforeseen_failure_does_not_end_a_duty(caplog: pytest.LogCaptureFixture) -> None:
    """A fault is logged with its trace, and the duty is tried again."""
    script = Script(iter([ValueError("odd"), False]))

    perform(Duty("relay", script.run_once, 0.0), script.stop)

    assert 2 == script.done
    assert "relay failed" == caplog.messages[0]
    assert "ValueError: odd" in caplog.text


def test_there_is_no_pause_while_more_is_waiting() -> None:
    """A piece that says that more is waiting is followed by the next at once, however long the pause is."""
    script = Script(iter([True, True, True]))

    def stop_after_three(stop: threading.Event) -> bool:
        busy = script.run_once(stop)
        if script.done == 3:
            script.stop.set()
        return busy

    worker = threading.Thread(target=perform, args=(Duty("relay", stop_after_three, GENEROUS), script.stop))
    worker.start()
    worker.join(GENEROUS / 2)

    assert not worker.is_alive()


def test_a_stop_waits_for_the_piece_at_hand_and_gives_back() -> None:
    """A duty ends with its piece, not in the midst of it, and then releases what others wait for."""
    begun = threading.Event()
    order: list[str] = []

    def piece(stop: threading.Event) -> bool:
        begun.set()
        stop.wait(GENEROUS)
        order.append("piece")
        return False

    keeper = Keeper([Duty("relay", piece, 0.0, lambda: order.append("release"))])
    keeper.start()
    assert begun.wait(GENEROUS)

    keeper.stop()

    assert ["piece", "release"] == order


def test_a_release_that_fails_is_no_failure_of_the_stop(caplog: pytest.LogCaptureFixture) -> None:
    """When MongoDB is away at the end, what was held runs out by itself."""
    caplog.set_level(logging.INFO)
    stop = threading.Event()
    stop.set()

    def release() -> None:
        raise StoreUnavailable("gone")

    perform(Duty("relay", lambda _stop: False, 0.0, release), stop)

    assert ["relay could not say that it ends: gone"] == caplog.messages


def test_a_log_that_nobody_signs_is_told_at_the_start(memory: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The start says what is missing, with the command: a key of all, or someone who signs what was restored; else nothing."""
    with_key, without = keyed(Settings(), tmp_path), Settings()
    fill(memory, 3)

    warn(Checkpointer.of(memory, without))
    Checkpointer.of(memory, with_key).checkpoint("default")
    warn(Checkpointer.of(memory, without))
    memory.collection("log_restored").insert_one({"_id": "default", "at": memory.now(), "upTo": 3})
    warn(Checkpointer.of(memory, without))
    warn(Checkpointer.of(memory, with_key))  # it signs within seconds

    never_set_up, since_restore = caplog.messages
    assert "`dms-tags audit keygen` makes one" in never_set_up
    assert "DMS_TAGS_SIGNING_KEY_FILE=FILE dms-tags audit checkpoint --new-origin log.example/audit/2`" in since_restore
