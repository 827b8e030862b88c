"""The process for what has to be done in the background, whatever callers do: each duty in a thread of its own.

Any number of services may run their keepers side by side: each duty sees to that itself.
"""

from __future__ import annotations

import logging
import re
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final

from dms_tags import tracing
from dms_tags.audit import sealer
from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.trail.relay import Relay
from dms_tags.counters import note_start
from dms_tags.errors import CannotStart, StoreUnavailable
from dms_tags.measures.kept import Kept
from dms_tags.measures.reading import Measuring
from dms_tags.model import new_id
from dms_tags.serving import logs
from dms_tags.serving.failure import report_cannot_start
from dms_tags.serving.on_demand import OnDemand
from dms_tags.serving.preflight import refused
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.subscriptions.store import Subscriptions
from dms_tags.tags.definitions import Definitions
from dms_tags.tags.leases import BATCH as LEASES
from dms_tags.tags.leases import Leases
from dms_tags.tags.store import TagStore

FIRST_WAIT: Final = 0.25
LONGEST_WAIT: Final = 5.0
"""After a failure a duty waits, twice as long each time, from `FIRST_WAIT` to `LONGEST_WAIT` seconds."""
STOP_SECONDS: Final = 5.0
"""How long duties may take to finish what they are at."""
RELAY_SECONDS: Final = 0.03
"""Time after which the relay looks again when nothing was pending: what an audit read may have to wait."""
GATHER_SECONDS: Final = 0.12
"""Time for which changes gather after a small batch.  Under load it makes few large batches of many small ones, which
cost MongoDB and the relay nearly as much each; the lag that is promised is a second."""
RELAY_BATCH: Final = 200
"""Entries from which on a batch is no small one."""

LEASE_SECONDS: Final = 0.5
"""Pause between two looks for leases that have run out: a dead worker's object is held up by no more than that."""

MEASURE_SECONDS: Final = 5.0
"""Pause between two looks at how the database stands: as old are the gauges in `/metrics`."""

COURIER_SECONDS: Final = 1.0
"""Pause between two looks whether there are subscriptions to deliver."""

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Duty:
    """Something to be done again and again.

    `run_once` does a bounded piece of it, shorter when the event is set, and says whether more is waiting already; if
    not, `pause` seconds lie before the next piece.  `release`, if there is one, is called at the end, to give back what
    would keep others waiting.
    """

    name: str
    run_once: Callable[[threading.Event], bool]
    pause: float
    release: Callable[[], None] | None = None


def duties(settings: Settings, database: Database) -> list[Duty]:
    """All duties of a service.  Raises `CannotStart` for settings that do not fit."""
    relay = Relay(database)
    store = TagStore(database)
    leases = Leases(database, store)
    checkpointer = Checkpointer.of(database, settings)
    subscriptions = Subscriptions(database, store)
    measuring = Measuring(database, Definitions(database, store), leases, checkpointer, subscriptions, Kept.of_service())
    every = [
        Duty("relay", partial(_move, relay), RELAY_SECONDS, relay.release),
        Duty("checkpoints", checkpointer.run_once, settings.checkpoint_seconds),
        Duty("leases", lambda _stop: leases.take_back() >= LEASES, LEASE_SECONDS),
        Duty("measures", measuring.run_once, MEASURE_SECONDS),
    ]
    if settings.seal_hours:
        by_time = sealer.Sealer(database, store, settings.seal_hours)
        every.append(Duty("seals", by_time.run_once, sealer.LOOK_SECONDS))
    if not settings.in_memory:  # no other process sees what that holds
        courier = OnDemand("courier", (sys.executable, "-m", "dms_tags.serving.courier", new_id()), subscriptions.any)
        every.append(Duty("subscriptions", partial(_see_to, courier), COURIER_SECONDS, courier.end))
    return every


def _see_to(courier: OnDemand, _stop: threading.Event) -> bool:
    courier.look()
    return False


def _move(relay: Relay, stop: threading.Event) -> bool:
    moved = relay.run_once()
    if 0 < moved < RELAY_BATCH:
        stop.wait(GATHER_SECONDS)
    return moved > 0


class Keeper:
    """Runs `duties` in threads from `start` to `stop`."""

    def __init__(self, duties: Sequence[Duty]) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=perform, args=(duty, self._stop), name=f"dms-tags-{duty.name}", daemon=True)
            for duty in duties
        ]

    def start(self) -> None:
        """Begins with all duties."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Lets each duty finish the piece that it is at, for at most `STOP_SECONDS` in all."""
        self._stop.set()
        deadline = monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()))


def perform(duty: Duty, stop: threading.Event) -> None:
    """Does `duty` until `stop` is set; a failure is logged once, and tried again until it passes."""
    pause = 0.0
    failures = 0
    while not stop.wait(pause):
        try:
            busy = duty.run_once(stop)
        except StoreUnavailable as error:
            _tell_failure(duty, failures, error)
            failures += 1
        except Exception:
            # A fault in one duty, or in what it reads, must not end the others, nor this one for ever.
            log.exception("%s failed", duty.name)
            failures += 1
        else:
            if failures:
                log.warning("%s goes on", duty.name)
            failures = 0
            pause = 0.0 if busy else duty.pause
        if failures:
            pause = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (failures - 1))
    if duty.release is not None:
        try:
            duty.release()
        except StoreUnavailable as error:
            log.info("%s could not say that it ends: %s", duty.name, error.detail)


def _tell_failure(duty: Duty, failures: int, error: StoreUnavailable) -> None:
    if failures == 0:
        log.warning("%s waits for MongoDB: %s", duty.name, error.detail)


def keep(settings: Settings) -> None:
    """Prepares the database, once there is one, then does all duties, until SIGTERM."""
    stop = threading.Event()
    threading.Thread(target=_stop_on_signal, args=(stop,), name="dms-tags-signals", daemon=True).start()
    database = Database.connect(settings)
    if not _prepare(database, stop):
        return
    keeper = Keeper(duties(settings, database))
    keeper.start()
    warn(Checkpointer.of(database, settings))
    stop.wait()
    keeper.stop()
    database.close()


def warn(checkpointer: Checkpointer) -> None:
    """Says once, at the start, where nobody signs the log, and what mends it."""
    with suppress(StoreUnavailable):
        nobody_signs = checkpointer.warning()
        if nobody_signs is not None:
            log.warning("%s", nobody_signs)


def _stop_on_signal(stop: threading.Event) -> None:
    # Waited for in a thread rather than handled: a handler that interrupts a wait for `stop` could not set it.
    signal.sigwait(STOPPING)
    stop.set()


def _prepare(database: Database, stop: threading.Event) -> bool:
    """Brings the database up to date; false if told to stop before it answered.  Raises `CannotStart` for a newer one."""
    pause = 0.0
    while not stop.wait(pause):
        try:
            database.prepare()
        except StoreUnavailable as error:
            if refused(error.__cause__):
                log.error(  # noqa: TRY400 - the line says it all
                    "MongoDB refuses the name or password in DMS_TAGS_MONGO_URI: nothing works until they are right"
                )
            elif pause == 0.0:
                log.warning("MongoDB does not answer; the service goes on by itself when it does: %s", _cause(error))
            pause = LONGEST_WAIT / 5
        else:
            return True
    return False


def _cause(error: StoreUnavailable) -> str:
    """What the driver says, without its configuration and the server's whole reply."""
    return re.split(r" \(configured|, (?:Timeout|full error): ", str(error.__cause__ or error), maxsplit=1)[0]


def main() -> None:
    """The process that the supervisor starts."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        settings = Settings.from_environment()
        logs.configure(settings)
        note_start("keeper")
        if settings.tracing:
            tracing.begin()
        keep(settings)
    except CannotStart as error:
        report_cannot_start(error)


if __name__ == "__main__":
    main()
