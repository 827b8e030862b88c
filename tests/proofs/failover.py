"""A replica set of three whose primary is killed under load, again and again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pymongo.errors import PyMongoError

from dms_tags.serving.mongod import Mongod, eventually
from dms_tags.settings import Settings
from tests.proofs.load import Load, under_load
from tests.proofs.relays import prepared
from tests.proofs.services import fleet
from tests.support.mongo import ReplicaSet, replica_set

REJOIN_SECONDS: Final = 60.0


def fail_over_again_and_again(folder: Path, *, times: int, tell: Callable[[str], None] = lambda _line: None) -> None:
    """Kills the primary under load; callers meanwhile get 503 with `Retry-After`, and no acknowledged change is lost or doubled."""
    with (
        replica_set(folder / "mongod", members=3) as nodes,
        prepared(Settings(mongo_uri=nodes.uri, database="proofs")) as database,
        fleet(folder, nodes.uri, "proofs") as services,
        under_load([service.port for service in services]) as load,
    ):
        for number in range(1, times + 1):
            seconds = _fail_over(nodes, load)
            load.pause()
            load.assert_sound()
            load.ledger.settle(database)
            tell(
                f"fail-over {number}: writing again after {seconds:.1f} s; longest call {load.longest:.1f} s, "
                f"{load.unavailable} answers of 503, {len(load.ledger.made)} changes acknowledged"
            )


def _fail_over(nodes: ReplicaSet, load: Load) -> float:
    """Kills the primary and brings it back as a secondary; the seconds after which changes were acknowledged again."""
    load.resume()
    load.wait_for_changes(50)
    time.sleep(random.uniform(0, 0.5))  # a random moment under load
    killed = nodes.primary()
    killed.kill()
    began = time.monotonic()
    nodes.primary()
    load.wait_for_changes(50)
    seconds = time.monotonic() - began
    killed.start()
    wait_until_rejoined(killed)
    return seconds


def wait_until_rejoined(node: Mongod) -> None:
    """Waits until the node has caught up, so that the next one that is killed leaves a majority."""
    with node.client() as client:

        def follows() -> bool:
            try:
                hello = client.admin.command("hello")
            except PyMongoError:
                return False
            return bool(hello["secondary"] or hello["isWritablePrimary"])

        assert eventually(follows, REJOIN_SECONDS), "the killed node did not come back"
