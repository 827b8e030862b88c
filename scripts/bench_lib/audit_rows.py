"""Rows `audit`: export and verification of a trail, its pages, and what the checkpointing costs."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

from bench_lib import load
from bench_lib.load import OBJECTS
from bench_lib.report import Target
from bench_lib.run import COMMAND, Run, add_tags
from bench_lib.seed import fill

DATABASE, UPDATES = "bench_audit", "bench_checkpoints"
REVISIONS = 200
PAGE, DEEP, SAMPLES = 10, 10_000, 50
EXPORT, VERIFY = "export, entries/s", "verify offline on one core, entries/s"
FIRST_PAGE, DEEP_PAGE = "page 1, ms", "page 10,000, ms"
WITH, WITHOUT = "update: a checkpoint every 5 s", "update: no checkpoints"
SEALED_SECONDS = 600


def measure(run: Run) -> None:
    """Export, verify and page through a trail of 200,000 entries; then update with and without checkpoints, in turn."""
    key = run.folder / "signing.key"
    _trail(run, key)
    _checkpoints(run, key)
    run.report.targets += [
        Target("export, entries/s", lambda report: report.figure(EXPORT), least=50_000),
        Target("verify, entries/s", lambda report: report.figure(VERIFY), least=90_000),
        Target(
            "page 10,000, by page 1", lambda report: report.figure(DEEP_PAGE) / report.figure(FIRST_PAGE), most=1.2, unit=" x"
        ),
        Target("update with checkpoints, by without", lambda report: report.ratio(WITH, WITHOUT), least=0.95, unit=" x"),
    ]


def keygen(run: Run, database: str, key: Path) -> None:
    """Makes the key of a database's log."""
    run.command(database, "audit", "keygen", signing_key_file=str(key), log_origin="bench.example/log")


def _trail(run: Run, key: Path) -> None:
    entries = OBJECTS * run.size(REVISIONS)
    fill(run.prepared(DATABASE), objects=OBJECTS, revisions=run.size(REVISIONS), name="tag1", state=1)
    keygen(run, DATABASE, key)
    file = run.folder / "export.ndjson"
    with (
        run.service(DATABASE, signing_key_file=str(key)) as service,
        httpx.Client(base_url=service.address, timeout=120) as client,
    ):
        _wait_until_sealed(client, entries)
        public = run.folder / "log.pub"
        public.write_text(client.get("/api/dms/audit/log/key").raise_for_status().text)
        for _ in range(run.rounds):
            run.report.note(EXPORT, _export(client, file))
        first, far = _pages(client, min(DEEP, entries // PAGE - SAMPLES))
        run.report.note(FIRST_PAGE, first)
        run.report.note(DEEP_PAGE, far)
    for _ in range(run.rounds):
        run.report.note(VERIFY, entries / _verify(file, public))


def _wait_until_sealed(client: httpx.Client, entries: int) -> None:
    """Waits for a checkpoint that covers everything: the log is built in the background."""
    deadline = time.monotonic() + SEALED_SECONDS
    while time.monotonic() < deadline:
        answer = client.get("/api/dms/audit/log/checkpoint")
        if answer.status_code == 200 and int(answer.text.splitlines()[1]) >= entries:
            return
        time.sleep(0.2)
    raise SystemExit(f"bench: no checkpoint covers {entries} entries after {SEALED_SECONDS} s")


def _export(client: httpx.Client, file: Path) -> float:
    """Exports the whole trail into the file; entries a second."""
    began = time.monotonic()
    with file.open("wb") as out, client.stream("GET", "/api/dms/audit/export?format=ndjson") as answer:
        answer.raise_for_status()
        for part in answer.iter_raw(1 << 16):
            out.write(part)
    seconds = time.monotonic() - began
    manifest = json.loads(file.read_bytes().splitlines()[-1])["manifest"]
    return int(manifest["count"]) / seconds


def _verify(file: Path, key: Path) -> float:
    began = time.monotonic()
    command = [*COMMAND, "audit", "verify", str(file), "--key", str(key)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        os.sched_setaffinity(process.pid, {0})
        said, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"bench: audit verify ended with {process.returncode}: {said[-500:]}")
    return time.monotonic() - began


def _pages(client: httpx.Client, deep: int) -> tuple[float, float]:
    """The median milliseconds of page 1 and of the pages behind `deep`, which are reached by following the cursors."""
    where: dict[str, Any] = {"name": "tag1", "limit": PAGE, "order": "asc"}
    cursor, _ = _page(client, where)
    for _ in range(deep - 2):
        cursor, _ = _page(client, {**where, "cursor": cursor})
    first, far = [], []
    for _ in range(SAMPLES):
        first.append(_page(client, where)[1])
        cursor, seconds = _page(client, {**where, "cursor": cursor})
        far.append(seconds)
    return statistics.median(first) * 1000, statistics.median(far) * 1000


def _page(client: httpx.Client, where: dict[str, Any]) -> tuple[str, float]:
    began = time.monotonic()
    answer = client.get("/api/dms/audit", params=where).raise_for_status()
    return answer.json()["next"], time.monotonic() - began


def _checkpoints(run: Run, key: Path) -> None:
    run.prepared(UPDATES)
    own = key.with_name("updates.key")
    keygen(run, UPDATES, own)
    with run.service(UPDATES) as service:
        add_tags(service)
    for _ in range(run.rounds):
        with run.service(UPDATES) as service:
            run.measure(WITHOUT, service, load.UPDATE_TAG)
        with run.service(UPDATES, signing_key_file=str(own)) as service:
            run.measure(WITH, service, load.UPDATE_TAG)
