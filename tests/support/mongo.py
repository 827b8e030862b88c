"""Real mongods for tests: quick to start, gone with the process that started them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from dms_tags.serving.mongod import Client, Mongod, eventually, find_mongod, free_port, initiate, wait_for_primary

REPLICA_SET: Final = "tests"

SMALL: Final = (
    *("--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64"),
    *("--setParameter", "enableTestCommands=1"),  # fail points
    *("--setParameter", "ttlMonitorSleepSecs=1"),
)


class ReplicaSet:
    """A replica set of real mongods on the loopback interface.

    `nodes[i].kill()` is a crash of one, `nodes[i].start()` brings it back on the same port and data.
    """

    def __init__(self, nodes: list[Mongod]) -> None:
        self.nodes = nodes
        self.uri = f"mongodb://{','.join(node.address for node in nodes)}/?replicaSet={REPLICA_SET}"

    def primary(self, seconds: float = 30.0) -> Mongod:
        """The node that takes writes now, waiting for an election if need be."""
        found: list[Mongod] = []

        def look() -> bool:
            found.extend(node for node in self.nodes if node.running and _is_primary(node))
            return bool(found)

        if not eventually(look, seconds):
            raise TimeoutError(f"no primary within {seconds} s")
        return found[0]


@contextmanager
def replica_set(folder: Path, members: int = 1, *, election_ms: int = 2000) -> Iterator[ReplicaSet]:
    """A running replica set with `members` nodes and its data in `folder`; all of it ends with the context."""
    binary = find_mongod()
    nodes = [
        Mongod(binary, folder / f"node{number}", port=free_port(), replica_set=REPLICA_SET, arguments=SMALL)
        for number in range(members)
    ]
    with ExitStack() as started:
        for node in nodes:
            started.callback(node.kill)
            node.start()
        with nodes[0].client() as client:
            initiate(client, REPLICA_SET, [node.address for node in nodes], electionTimeoutMillis=election_ms)
            if members == 1:
                wait_for_primary(client)
        running = ReplicaSet(nodes)
        running.primary()
        yield running


def _is_primary(node: Mongod) -> bool:
    with _quick_client(node) as client:
        try:
            return bool(client.admin.command("hello")["isWritablePrimary"])
        except PyMongoError:
            return False


def _quick_client(node: Mongod) -> Client:
    return MongoClient(
        node.address, directConnection=True, serverSelectionTimeoutMS=500, connectTimeoutMS=500, socketTimeoutMS=1000
    )
