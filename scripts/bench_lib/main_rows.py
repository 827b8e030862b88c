"""Rows `main`: this service beside Eve and two bare Flask views; relay lag, memory, time to ready."""

from __future__ import annotations

import tempfile
from typing import Any

from pymongo.collection import Collection

from bench_lib import load, server
from bench_lib.load import OBJECTS
from bench_lib.report import Target
from bench_lib.run import COMMAND, Document, Run, add_tags
from dms_tags.serving.mongod import free_port

DATABASE = "bench_tags"
OURS, EVE, TRANSACTION, ONE_WRITE = (
    "update: dms-tags",
    "update: Eve PATCH",
    "update: bare, transaction",
    "update: bare, one write",
)
OURS_GET, EVE_GET = "get: dms-tags", "get: Eve"
LAG_50, LAG_99 = "relay lag at full load, p50 s", "relay lag at full load, p99 s"
MEMORY = "largest process of the service after the run, MB"
READY, READY_OWN, READY_AGAIN = (
    "ready on a given MongoDB, s",
    "ready with its own mongod, first start, s",
    "ready with its own mongod, again, s",
)


def measure(run: Run) -> None:
    """Each round loads every contender once, one after the other."""
    _seed_peers(run)
    run.client.drop_database(DATABASE)
    for _ in range(run.rounds):
        _ours(run)
        with run.peer("eve_items", "/items?max_results=1") as eve:
            run.measure(EVE, eve, load.UPDATE_EVE)
            run.measure(EVE_GET, eve, load.READ_EVE)
            run.report.note("largest process of Eve after the run, MB", eve.memory()[0])
        with run.peer("transaction", "/ready") as transaction:
            run.measure(TRANSACTION, transaction, load.UPDATE_BARE)
        with run.peer("one_write", "/ready") as one_write:
            run.measure(ONE_WRITE, one_write, load.UPDATE_BARE)
    _own_mongod(run)
    _targets(run)


def _ours(run: Run) -> None:
    with run.service(DATABASE) as ours:
        run.report.note(READY, ours.ready_seconds)
        add_tags(ours)
        trail = run.client[DATABASE]["audit_trail"]
        head = trail.count_documents({})
        run.measure(OURS, ours, load.UPDATE_TAG)
        lags = relay_lags(trail, head)
        run.report.note(LAG_50, lags[len(lags) // 2])
        run.report.note(LAG_99, lags[len(lags) * 99 // 100])
        run.measure(OURS_GET, ours, load.READ_TAG)
        memory = ours.memory()
        run.report.note(MEMORY, memory[0])
        print(f"  its processes: {', '.join(f'{size:.0f} MB' for size in memory)}")


def relay_lags(trail: Collection[Document], after: int) -> list[float]:
    """Seconds from each change to its entry, in order of size, of the entries behind position `after`."""
    members = {"_id": 0, "recordedAt": 1, "creationDate": 1}
    entries = trail.find({"tenant": "default", "position": {"$gt": after}}, members)
    return sorted((entry["recordedAt"] - entry["creationDate"]).total_seconds() for entry in entries)


def _seed_peers(run: Run) -> None:
    client = run.client
    for name in ("bench_bare", "bench_eve"):
        client.drop_database(name)
    tag: Document = {"name": "tag1", "state": 1, "traceid": "4bf92f3577b34da6"}
    client["bench_bare"]["tags"].insert_many([{"_id": f"o{number}", "tags": [dict(tag)]} for number in range(1, OBJECTS + 1)])
    client["bench_bare"]["audit"].create_index("objectId")
    with run.peer("eve_items", "/items?max_results=1") as eve:
        items: list[dict[str, Any]] = [{"_id": f"{number:024x}", **tag} for number in range(1, OBJECTS + 1)]
        server.post(eve.address + "/items", items)


def _own_mongod(run: Run) -> None:
    for _ in range(run.rounds):
        with tempfile.TemporaryDirectory(dir=run.folder) as data:
            for name in (READY_OWN, READY_AGAIN):
                port = free_port()
                environment = server.service_environment("", port, "dms_tags", data=data)
                del environment["DMS_TAGS_MONGO_URI"]
                with server.running([*COMMAND, "serve"], port=port, ready="/health/ready", environment=environment) as own:
                    run.report.note(name, own.ready_seconds)


def _targets(run: Run) -> None:
    run.report.targets += [
        Target("update, by Eve's", lambda report: report.ratio(OURS, EVE), least=2.0, unit=" x"),
        Target("update, by the transaction view's", lambda report: report.ratio(OURS, TRANSACTION), least=1.2, unit=" x"),
        Target("update, by the one-write view's", lambda report: report.ratio(OURS, ONE_WRITE), least=0.7, unit=" x"),
        Target("update p99, by Eve's", lambda report: report.p99(OURS) / report.p99(EVE), most=1.0, unit=" x"),
        Target("GET, by Eve's", lambda report: report.ratio(OURS_GET, EVE_GET), least=1.5, unit=" x"),
        Target("relay lag p99", lambda report: report.figure(LAG_99), most=1.0, unit=" s"),
        Target("memory of the largest process", lambda report: report.figure(MEMORY), most=100, unit=" MB"),
        Target("ready with its own mongod", lambda report: report.figure(READY_OWN), most=5.0, unit=" s"),
    ]
