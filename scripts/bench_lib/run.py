"""What every group of rows is given: the mongod, the lengths of a run, the report; and how services are started on it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from operator import sub
from pathlib import Path
from typing import Any

import httpx
from pymongo import MongoClient

from bench_lib import load, server
from bench_lib.load import OBJECTS
from bench_lib.report import Report
from bench_lib.server import Server
from dms_tags.serving.mongod import free_port
from dms_tags.settings import Settings
from dms_tags.store.database import Database

WARM_UP_SECONDS = 2
ASYNCHRONOUS = ("beanie_items",)
"""Peers that are no WSGI applications."""
COMMAND = [sys.executable, "-m", "dms_tags.cli.main"]
Document = dict[str, Any]


@dataclass(slots=True)
class Run:
    """One run of the bench.  `scale` shrinks the sizes of what is seeded, for a look at whether all works.

    `mongod` is the process id of the mongod at `uri`."""

    uri: str
    mongod: int
    rounds: int
    seconds: float
    scale: float
    peers_python: Path
    folder: Path
    report: Report

    @property
    def client(self) -> MongoClient[Document]:
        """A new client of the run's mongod."""
        return MongoClient(self.uri, tz_aware=True)

    def size(self, full: int) -> int:
        """How many of a thing that there are `full` of in a run at full scale."""
        return max(1, round(full * self.scale))

    @contextmanager
    def service(self, database: str, **settings: str) -> Iterator[Server]:
        """Runs this service on a database of the run's mongod."""
        port = free_port()
        environment = server.service_environment(self.uri, port, database, **settings)
        with server.running([*COMMAND, "serve"], port=port, ready="/health/ready", environment=environment) as running:
            yield running

    @contextmanager
    def peer(self, module: str, ready: str) -> Iterator[Server]:
        """Runs one of the peers on the run's mongod."""
        port = free_port()
        served = server.uvicorn if module in ASYNCHRONOUS else server.gunicorn
        with self._contender(served(self.peers_python, module, port), port, ready) as running:
            yield running

    @contextmanager
    def node(self, script: Path) -> Iterator[Server]:
        """Runs the bare Node service on the run's mongod."""
        port = free_port()
        with self._contender(["node", str(script)], port, "/ready") as running:
            yield running

    @contextmanager
    def _contender(self, command: list[str], port: int, ready: str) -> Iterator[Server]:
        environment = {"BENCH_MONGO_URI": self.uri, "BENCH_PORT": str(port)}
        with server.running(command, port=port, ready=ready, environment=environment, python_path=True) as running:
            yield running

    def measure(
        self, row: str, running: Server, request: load.Request, *, connections: int = 32, warm: bool = True
    ) -> load.Sample:
        """Warms the server up with the request, then loads it and keeps the sample under `row`."""
        if warm:
            load.run(running.address, request, min(WARM_UP_SECONDS, self.seconds), connections=connections)
        sample = load.run(running.address, request, self.seconds, connections=connections)
        self.report.add(row, sample)
        return sample

    def measure_cpu(self, row: str, running: Server, request: load.Request) -> load.Sample:
        """As `measure`, and notes what a request costs the server and MongoDB in CPU time: a share of a core, whoever waits."""
        load.run(running.address, request, min(WARM_UP_SECONDS, self.seconds))
        before = running.cpu_seconds(), server.cpu_seconds(self.mongod)
        sample = self.measure(row, running, request, warm=False)
        after = running.cpu_seconds(), server.cpu_seconds(self.mongod)
        answered = sample.rate * sample.seconds
        for whose, spent in zip(("server", "mongod"), map(sub, after, before), strict=True):
            self.report.note(f"CPU of the {whose} for each, ms: {row}", spent / answered * 1000)
        return sample

    def command(self, database: str, *arguments: str, **settings: str) -> list[str]:
        """Runs an administrative `dms-tags` command on a database; gives its lines on standard output."""
        return server.output([*COMMAND, *arguments], server.service_environment(self.uri, 0, database, **settings))

    def prepared(self, name: str) -> Any:
        """An empty database called `name`, with the service's indexes; a PyMongo database."""
        client = self.client
        client.drop_database(name)
        store = Database.connect(Settings(mongo_uri=self.uri, database=name))
        try:
            store.prepare()
        finally:
            store.close()
        return client[name]


def add_tags(running: Server, headers: dict[str, str] | None = None) -> None:
    """Adds `tag1` to every object that the load changes, where it is not there yet, through the service itself."""
    with httpx.Client(base_url=running.address, headers=headers, timeout=30) as client, ThreadPoolExecutor(16) as pool:
        paths = (f"/api/dms/objects/o{number}/tags/tag1/state/1" for number in range(1, OBJECTS + 1))
        statuses = {answer.status_code for answer in pool.map(client.post, paths)}
    if not statuses <= {200, 409}:
        raise SystemExit(f"bench: adding the tags was answered with {sorted(statuses)}")
