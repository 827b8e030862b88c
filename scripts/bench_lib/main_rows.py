"""Rows `main`: this service beside Eve and two bare Flask views; relay lag, memory, time to ready."""

from __future__ import annotations

import random
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Event
from typing import Any

from pymongo.collection import Collection

from bench_lib import load, peers_node, server
from bench_lib.load import OBJECTS
from bench_lib.report import Target
from bench_lib.run import COMMAND, Document, Run, add_tags
from dms_tags.audit.trail.relay import Relay
from dms_tags.model import Actor, Change, Kind, Resource, Verb
from dms_tags.serving.mongod import free_port
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.store.documents import new_document
from dms_tags.tags.writes import compose

DATABASE, DRIVER_DATABASE = "bench_tags", "bench_driver"
DRIVER_THREADS = 16
BENCH = Actor("bench", "token")
OURS, EVE, TRANSACTION, ONE_WRITE, BEANIE, NODE = (
    "update: dms-tags",
    "update: Eve PATCH",
    "update: bare, transaction",
    "update: bare, one write",
    "update: FastAPI and Beanie, audit insert",
    "update: bare Node, one write",
)
OURS_GET, EVE_GET, NODE_GET = "get: dms-tags", "get: Eve", "get: bare Node"
DRIVER = "changes/s of the driver alone, 16 threads, relay beside it"
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
    node = peers_node.prepare(run.folder)
    run.client.drop_database(DATABASE)
    for _ in range(run.rounds):
        _ours(run)
        with run.peer("eve_items", "/items?max_results=1") as eve:
            run.measure_cpu(EVE, eve, load.UPDATE_EVE)
            run.measure(EVE_GET, eve, load.READ_EVE)
            run.report.note("largest process of Eve after the run, MB", eve.memory()[0])
        with run.peer("transaction", "/ready") as transaction:
            run.measure_cpu(TRANSACTION, transaction, load.UPDATE_BARE)
        with run.peer("one_write", "/ready") as one_write:
            run.measure_cpu(ONE_WRITE, one_write, load.UPDATE_BARE)
        with run.peer("beanie_items", "/ready") as beanie:
            run.measure_cpu(BEANIE, beanie, load.UPDATE_BARE)
        if node is not None:
            with run.node(node) as bare:
                run.measure_cpu(NODE, bare, load.UPDATE_BARE)
                run.measure(NODE_GET, bare, load.READ_BARE)
        run.report.note(DRIVER, changes_of_driver(run))
    _own_mongod(run)
    _targets(run)


def _ours(run: Run) -> None:
    with run.service(DATABASE) as ours:
        run.report.note(READY, ours.ready_seconds)
        add_tags(ours)
        trail = run.client[DATABASE]["audit_trail"]
        head = trail.count_documents({})
        run.measure_cpu(OURS, ours, load.UPDATE_TAG)
        lags = relay_lags(trail, {"tenant": "default", "position": {"$gt": head}})
        run.report.note(LAG_50, lags[len(lags) // 2])
        run.report.note(LAG_99, lags[len(lags) * 99 // 100])
        run.measure(OURS_GET, ours, load.READ_TAG)
        memory = ours.memory()
        run.report.note(MEMORY, memory[0])
        print(f"  its processes: {', '.join(f'{size:.0f} MB' for size in memory)}")


def relay_lags(trail: Collection[Document], where: Document) -> list[float]:
    """Seconds from each change to its entry, in order of size, of the entries that match."""
    members = {"_id": 0, "recordedAt": 1, "creationDate": 1}
    entries = trail.find(where, members)
    return sorted((entry["recordedAt"] - entry["creationDate"]).total_seconds() for entry in entries)


def _seed_peers(run: Run) -> None:
    client = run.client
    for name in ("bench_bare", "bench_eve"):
        client.drop_database(name)
    tag: Document = {"name": "tag1", "state": 1, "traceid": "4bf92f3577b34da6"}
    client["bench_bare"]["tags"].insert_many([{"_id": f"o{number}", "tags": [dict(tag)]} for number in range(1, OBJECTS + 1)])
    client["bench_bare"]["audit"].create_index("objectId")
    item: Document = {"tags": [{**tag, "creation_date": datetime.now(UTC)}]}
    client["bench_bare"]["beanie_tags"].insert_many([{"_id": f"o{number}", **item} for number in range(1, OBJECTS + 1)])
    with run.peer("eve_items", "/items?max_results=1") as eve:
        items: list[dict[str, Any]] = [{"_id": f"{number:024x}", **tag} for number in range(1, OBJECTS + 1)]
        server.post(eve.address + "/items", items)


def changes_of_driver(run: Run) -> float:
    """Changes a second that 16 threads make with the driver, each the one write of this service, while a relay runs beside them."""
    run.prepared(DRIVER_DATABASE)
    store = Database.connect(Settings(mongo_uri=run.uri, database=DRIVER_DATABASE))
    resources = [Resource("default", Kind.OBJECT, f"o{number}") for number in range(1, OBJECTS + 1)]
    store.tags.insert_many([new_document(resource, store.clock.recorded()) for resource in resources])
    made: list[int] = []
    over = Event()

    def write(verb: Verb, resource: Resource) -> int:
        change = Change(resource, "tag1", verb, BENCH, state=random.randrange(10_000))  # noqa: S311 - no secret
        composed = compose(change, verb, store.clock.recorded())
        return store.tags.update_one(composed.query, composed.update).matched_count

    def work() -> None:
        count = 0
        while not over.is_set():
            count += write(Verb.UPDATE, random.choice(resources))  # noqa: S311 - no secret
        made.append(count)

    def relay() -> None:
        moving = Relay(store)
        while not over.is_set():
            if not moving.run_once():
                over.wait(0.05)

    try:
        with ThreadPoolExecutor(DRIVER_THREADS + 1) as pool:
            list(pool.map(lambda resource: write(Verb.ADD, resource), resources))
            for job in (*[work] * DRIVER_THREADS, relay):
                pool.submit(job)
            over.wait(run.seconds)
            over.set()
    finally:
        store.close()
    return sum(made) / run.seconds


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
        Target("update, by Eve's", lambda report: report.ratio(OURS, EVE), least=3.0, unit=" x"),
        Target("update, by the transaction view's", lambda report: report.ratio(OURS, TRANSACTION), least=1.2, unit=" x"),
        Target("update, by the one-write view's", lambda report: report.ratio(OURS, ONE_WRITE), least=1.2, unit=" x"),
        *_targets_by_node(run),
        Target("update p99, by Eve's", lambda report: report.p99(OURS) / report.p99(EVE), most=0.4, unit=" x"),
        Target("GET, by Eve's", lambda report: report.ratio(OURS_GET, EVE_GET), least=2.5, unit=" x"),
        Target("relay lag p99", lambda report: report.figure(LAG_99), most=0.25, unit=" s"),
        Target("memory of the largest process", lambda report: report.figure(MEMORY), most=80, unit=" MB"),
        Target("ready with its own mongod", lambda report: report.figure(READY_OWN), most=2.0, unit=" s"),
    ]


def _targets_by_node(run: Run) -> list[Target]:
    if NODE not in run.report.samples:
        return []
    return [
        Target("update, by bare Node's", lambda report: report.ratio(OURS, NODE), least=0.85, unit=" x"),
        Target("GET, by bare Node's", lambda report: report.ratio(OURS_GET, NODE_GET), least=0.75, unit=" x"),
    ]
