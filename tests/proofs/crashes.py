"""SIGKILL of the service's processes and of mongod, in turn, at random moments under load."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.proofs.load import Load, under_load
from tests.proofs.relays import prepared
from tests.proofs.services import Crashable, fleet
from tests.support.mongo import ReplicaSet, replica_set


def crash_again_and_again(folder: Path, *, cycles: int, tell: Callable[[str], None] = lambda _line: None) -> None:
    """Crashes a whole service, then one process of one, then mongod, and so on; after each, all invariants must hold."""
    with (
        replica_set(folder / "mongod") as mongod,
        prepared(_settings(mongod)) as database,
        fleet(folder, mongod.uri, "proofs") as services,
    ):
        ports = [service.port for service in services]
        kinds = itertools.cycle(
            [lambda: _crash_service(services), lambda: _crash_process(services), lambda: _crash_mongod(mongod)]
        )
        with under_load(ports) as load:
            for cycle, crash in zip(range(1, cycles + 1), kinds, strict=False):
                what = _one_cycle(load, crash, services, database)
                tell(f"crash {cycle}: {what}; {len(load.ledger.made)} changes acknowledged, {len(load.ledger.unsure)} unsure")


def _one_cycle(load: Load, crash: Callable[[], str], services: Sequence[Crashable], database: Database) -> str:
    load.resume()
    load.wait_for_changes(50)
    time.sleep(random.uniform(0, 0.5))  # a random moment under load
    what = crash()
    for service in services:
        service.wait_until_ready()
    load.wait_for_changes(50)
    load.pause()
    load.assert_sound()
    load.ledger.settle(database)
    return what


def _crash_service(services: Sequence[Crashable]) -> str:
    service = random.choice(services)
    service.crash()
    service.start()
    return "a service, all its processes"


def _crash_process(services: Sequence[Crashable]) -> str:
    service = random.choice(services)
    if not service.crash_one():
        return "one process of a service"
    service.start()
    return "the supervisor of a service"


def _crash_mongod(mongod: ReplicaSet) -> str:
    mongod.nodes[0].kill()
    mongod.nodes[0].start()
    mongod.primary()
    return "mongod"


def _settings(mongod: ReplicaSet) -> Settings:
    return Settings(mongo_uri=mongod.uri, database="proofs")
