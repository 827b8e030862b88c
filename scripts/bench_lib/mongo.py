"""One real mongod for a bench run: a one-node replica set in a folder that goes with it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dms_tags.serving.mongod import Mongod, find_mongod, free_port, initiate, wait_for_primary

REPLICA_SET = "bench"


@contextmanager
def running_mongod() -> Iterator[tuple[str, int]]:
    """Runs a mongod, durable as the service's own one is, and gives its URI and process id; ends it and removes its files afterwards."""
    with tempfile.TemporaryDirectory(prefix="dms-tags-bench-") as folder:
        mongod = Mongod(find_mongod(), Path(folder, "data"), port=free_port(), replica_set=REPLICA_SET)
        try:
            mongod.start()
            with mongod.client() as client:
                initiate(client, REPLICA_SET, [mongod.address])
                wait_for_primary(client)
            yield f"mongodb://{mongod.address}/?replicaSet={REPLICA_SET}", mongod.pid or 0
        finally:
            mongod.kill()
