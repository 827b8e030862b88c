"""Which documents each call asks MongoDB for: what a sharded cluster can send to one shard, and what it has to ask of all.

`tags` is told apart by `_id`, `audit_trail` by `tenant`, as docs/OPERATING.md says in its table, which is held against this.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from flask.testing import FlaskClient
from pymongo import MongoClient
from pymongo.monitoring import CommandStartedEvent

import dms_tags
from dms_tags.app import create_app
from dms_tags.audit.trail.relay import Relay
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.leases import Leases
from dms_tags.tags.store import TagStore
from tests.support.listener import Listener

KEYS: Final = {"tags": "_id", "audit_trail": "tenant"}
OBJECTS: Final = "/api/dms/objects"
STATEMENT: Final = "SELECT * FROM document WHERE system:tags[ocr].state=1"
PINNED: Final = "SELECT * FROM document WHERE system:objectId='new1'"
CALLS: Final[Mapping[str, tuple[str, str, dict[str, Any]]]] = {
    "a change": ("POST", f"{OBJECTS}/doc1/tags/ocr/state/2?overwrite=true", {}),
    "the first change of an object": ("POST", f"{OBJECTS}/doc9/tags/ocr/state/1", {}),
    "removing a tag": ("DELETE", f"{OBJECTS}/doc9/tags/ocr", {}),
    "reading tags": ("GET", f"{OBJECTS}/doc1/tags", {}),
    "a batch": (
        "POST",
        f"{OBJECTS}/tags",
        {"json": {"changes": [{"objectId": f"doc{n}", "name": "ocr", "state": 1, "action": "set"} for n in range(1, 9)]}},
    ),
    "a claim": ("POST", f"{OBJECTS}/tags/ocr/state/2", {"query_string": {"query": STATEMENT}}),
    "a claim of named objects": ("POST", f"{OBJECTS}/tags/ocr/state/2", {"query_string": {"query": PINNED}}),
    "a search": ("POST", f"{OBJECTS}/search", {"json": {"query": {"statement": STATEMENT}}}),
    "history": ("GET", f"{OBJECTS}/doc1/history", {}),
    "tags at a time": ("GET", f"{OBJECTS}/doc1/tags", {"query_string": {"at": "2100-01-01T00:00:00Z"}}),
    "an audit query": ("GET", "/api/dms/audit?name=ocr", {}),
    "an audit query of one object": ("GET", "/api/dms/audit?objectId=doc1", {}),
    "an export": ("GET", "/api/dms/audit/export?format=ndjson", {}),
}


class Watch(Listener):
    """Notes what this thread asks MongoDB for: by collection, `one` where the shard key is named, else `all`."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self.asked: dict[str, set[str]] = {}
        self.writes: set[tuple[str, str]] = set()

    def started(self, event: CommandStartedEvent) -> None:
        """A command is sent."""
        collection = event.command.get(event.command_name)
        if threading.get_ident() != self._thread or not isinstance(collection, str) or collection not in KEYS:
            return
        for where in filters(event.command_name, event.command):
            reach = "one" if names(where, KEYS[collection]) else "all"
            self.asked.setdefault(collection, set()).add(reach)
            if event.command_name in ("update", "insert", "delete", "findAndModify"):
                self.writes.add((collection, reach))

    def take(self) -> dict[str, set[str]]:
        """What was asked since the last look."""
        asked, self.asked = self.asked, {}
        return asked


def filters(name: str, command: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The filters of a command, one for each of its parts; an insert has the document itself."""
    if name == "find":
        yield command["filter"]
    elif name in ("count", "distinct", "findAndModify"):
        yield command["query"]
    elif name == "aggregate":
        yield command["pipeline"][0].get("$match", {})
    elif name == "insert":
        yield from command["documents"]
    elif name == "update":
        yield from (update["q"] for update in command["updates"])
    elif name == "delete":
        yield from (delete["q"] for delete in command["deletes"])
    else:
        assert name in ("getMore", "createIndexes"), name


def names(where: Mapping[str, Any], key: str) -> bool:
    """Whether a filter names the values of the shard key that it is after."""
    if key in where:
        value = where[key]
        return not isinstance(value, Mapping) or bool(value.keys() & {"$in", "$eq"})
    if "$or" in where:
        return all(names(part, key) for part in where["$or"])
    return any(names(part, key) for part in where.get("$and", ()))


@pytest.fixture
def watched(settings: Settings) -> Iterator[tuple[FlaskClient, Database, Watch]]:
    watch = Watch()
    client: MongoClient[dict[str, Any]] = MongoClient(settings.mongo_uri, tz_aware=True, event_listeners=[watch])
    database = Database(client, settings.database)
    database.prepare()
    app = create_app(settings, database=database)
    yield app.test_client(), database, watch
    database.close()


def told() -> dict[str, tuple[str, str]]:
    """The table in docs/OPERATING.md: of each call, what it asks of `tags` and of `audit_trail`."""
    text = Path(dms_tags.__file__).parent.joinpath("docs", "OPERATING.md").read_text()
    table = text.partition("| call | `tags` | `audit_trail` |")[2].partition("\n\n")[0]
    rows = (re.split(r" *\| *", line.strip(" |")) for line in table.splitlines()[2:])
    return {row[0]: (row[1], row[2]) for row in rows}


def test_what_a_cluster_has_to_ask_of_all_its_shards(watched: tuple[FlaskClient, Database, Watch]) -> None:
    """No write, no read of a tag, and nothing that asks the trail goes to more shards than have it; as the table says."""
    client, database, watch = watched
    relay, leases = Relay(database), Leases(database, TagStore(database))
    client.put("/api/dms/tag-definitions/ocr", json={"states": {"1": "queued"}, "enforce": False})
    for number in range(1, 9):
        assert 200 == client.post(f"{OBJECTS}/doc{number}/tags/ocr/state/1").status_code
    while relay.run_once():
        pass
    watch.take()

    measured: dict[str, tuple[str, str]] = {}

    def note(call: str) -> None:
        asked = watch.take()
        measured[call] = tuple("all" if "all" in (of := asked.get(name, set())) else "one" if of else "-" for name in KEYS)  # type: ignore[assignment]

    for call, (method, path, more) in CALLS.items():
        answer = client.open(path, method=method, **more)
        assert 200 == answer.status_code, (call, answer.text)
        answer.get_data()
        note(call)
        while relay.run_once():
            pass
        watch.take()
    client.post(f"{OBJECTS}/doc1/tags/ocr/state/3?overwrite=true")
    watch.take()
    relay.run_once()
    note("the relay")
    leases.take_back()
    note("leases that ran out")

    assert told() == measured
    assert {("audit_trail", "one")} == {write for write in watch.writes if write[0] == "audit_trail"}
    assert {("tags", "one")} == {write for write in watch.writes if write[0] == "tags"}
