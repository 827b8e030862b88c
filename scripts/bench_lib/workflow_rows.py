"""Rows `workflow`: changes in a batch, claims from short and long queues, updates beside a thousand idle event streams."""

from __future__ import annotations

import json
import random
import socket
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench_lib import load, postgres, server
from bench_lib.load import OBJECTS, Request
from bench_lib.report import Target
from bench_lib.run import Run, add_tags
from bench_lib.seed import fill
from bench_lib.server import Server

DATABASE = "bench_workflow"
BATCH, STREAMS, WORKERS = 1000, 1000, 64
SINGLE, BATCHED = "update: one a request, 1 connection", "update: batches of 1,000, 1 connection (requests)"
SINGLE_FULL, BATCHED_FULL = "update: one a request, 32 connections", "update: batches of 1,000, 4 connections (requests)"
CHANGES, CHANGES_FULL = "changes/s in batches, 1 connection", "changes/s in batches, 4 connections"
CLAIM_SHORT, CLAIM_LONG = "claims/s, 64 workers, 10,000 objects", "claims/s, 64 workers, 1,000,000 objects"
QUEUE = "jobs/s fetched and finished, procrastinate on PostgreSQL, 64 workers"
UPDATE_WORKERS = "update: 64 connections"
ALONE, BESIDE = "update: no event streams", "update: 1,000 idle event streams"
SHORT, LONG = 10_000, 1_000_000
QUEUED = 100_000
CLAIM_SECONDS = 2
"""So long that the short queue is never emptied, and the same for the long one."""
NOTHING = "SELECT * FROM document WHERE system:tags[analysis].state=3"
STATEMENT = "SELECT * FROM document WHERE system:tags[analysis].state=1"


def measure(run: Run) -> None:
    """Batches beside single updates; claims from a queue of 10,000 and of 1,000,000; updates with and without streams."""
    _batches(run)
    _claims(run)
    queue = _postgres_queue(run)
    _streams(run)
    run.report.targets += [
        Target(
            "changes/s in batches, by single updates, 1 connection",
            lambda report: report.figure(CHANGES) / report.rate(SINGLE),
            least=15,
            unit=" x",
        ),
        Target(
            "changes/s in batches, by single updates, loaded",
            lambda report: report.figure(CHANGES_FULL) / report.rate(SINGLE_FULL),
            least=4,
            unit=" x",
        ),
        Target(
            "claims at 1,000,000 objects, by updates",
            lambda report: report.figure(CLAIM_LONG) / report.rate(UPDATE_WORKERS),
            least=0.9,
            unit=" x",
        ),
        *queue,
        Target(
            "claims at 1,000,000 objects, by those at 10,000",
            lambda report: report.figure(CLAIM_LONG) / report.figure(CLAIM_SHORT),
            least=0.8,
            unit=" x",
        ),
        Target(
            "update beside 1,000 idle event streams, by without", lambda report: report.ratio(BESIDE, ALONE), least=0.9, unit=" x"
        ),
    ]


def _batches(run: Run) -> None:
    run.prepared(DATABASE)
    with run.service(DATABASE) as service:
        add_tags(service)
        batch = _batch()
        for _ in range(run.rounds):
            run.measure(SINGLE, service, load.UPDATE_TAG, connections=1)
            run.report.note(CHANGES, BATCH * run.measure(BATCHED, service, batch, connections=1).rate)
            run.measure(SINGLE_FULL, service, load.UPDATE_TAG)
            run.report.note(CHANGES_FULL, BATCH * run.measure(BATCHED_FULL, service, batch, connections=4).rate)


def _batch() -> Request:
    """A batch that updates every object once, in another order each time that the load is started."""
    numbers = random.sample(range(1, OBJECTS + 1), BATCH)
    changes = [{"objectId": f"o{number}", "name": "tag1", "state": number, "action": "update"} for number in numbers]
    body = load.lua(json.dumps({"changes": changes}, separators=(",", ":")))
    return Request("POST", '"/api/dms/objects/tags"', {"Content-Type": "application/json"}, body)


def _claims(run: Run) -> None:
    for _ in range(run.rounds):
        _fill_queue(run, SHORT)
        _claim_for_a_while(run, CLAIM_SHORT)
    # made once, as it takes minutes: what a round takes from it is less than a hundredth
    _fill_queue(run, LONG)
    for _ in range(run.rounds):
        _claim_for_a_while(run, CLAIM_LONG)
    run.prepared(DATABASE)
    with run.service(DATABASE) as service:
        add_tags(service)
        for _ in range(run.rounds):
            run.measure(UPDATE_WORKERS, service, load.UPDATE_TAG, connections=WORKERS)


def _fill_queue(run: Run, objects: int) -> None:
    fill(run.prepared(DATABASE), objects=max(SHORT, run.size(objects)), revisions=1, name="analysis", state=1)


def _claim_for_a_while(run: Run, row: str) -> None:
    tags = run.client[DATABASE]["tags"]
    with run.service(DATABASE) as service:
        load.run(service.address, _claim(NOTHING), 1, connections=WORKERS)
        queued = tags.count_documents({"tags.state": 1})
        sample = load.run(service.address, _claim(STATEMENT), min(CLAIM_SECONDS, run.seconds), connections=WORKERS)
        left = tags.count_documents({"tags.state": 1})
    run.report.note(row, (queued - left) / sample.seconds)
    if not left or sample.refused:
        raise SystemExit(f"bench: {left} of {queued} objects are left in the queue, {sample.refused} claims were refused")


def _postgres_queue(run: Run) -> list[Target]:
    """Measures the same work, taking something from a queue and saying that it is done, on a queue that PostgreSQL keeps."""
    programs = postgres.programs()
    if programs is None:
        print("bench: no PostgreSQL here: its queue is left out", flush=True)
        return []
    for _ in range(run.rounds):
        with postgres.running_postgres(programs) as words:
            module = [str(run.peers_python), "-m", "bench_lib.peers.queue"]
            arguments = [words, str(run.size(QUEUED)), str(WORKERS), str(run.seconds)]
            told = server.output([*module, *arguments], {"PYTHONPATH": str(server.SCRIPTS)})
        run.report.note(QUEUE, float(told[-1]))
    return [
        Target(
            "claims at 1,000,000 objects, by the PostgreSQL queue",
            lambda report: report.figure(CLAIM_LONG) / report.figure(QUEUE),
            least=1.0,
            unit=" x",
        )
    ]


def _claim(statement: str) -> Request:
    return Request("POST", f'"/api/dms/objects/tags/analysis/state/2?query={urllib.parse.quote(statement)}"')


def _streams(run: Run) -> None:
    with run.service(DATABASE) as service:
        for _ in range(run.rounds):
            run.measure(ALONE, service, load.UPDATE_TAG)
            with _idle_streams(service, STREAMS):
                run.measure(BESIDE, service, load.UPDATE_TAG)


@contextmanager
def _idle_streams(service: Server, count: int) -> Iterator[None]:
    """Holds event streams open that nothing is sent on: they are for a tag that nobody has."""
    port = int(service.address.rpartition(":")[2])
    request = f"GET /api/dms/tags/events?name=nobody HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n"
    with ExitStack() as open_ones:
        for _ in range(count):
            stream = open_ones.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            stream.sendall(request.encode())
            head = stream.recv(1024)
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"bench: an event stream was answered with {head[:60]!r}")
        yield
