"""Rows `subscriptions`: updates with and without 50 subscriptions that are told of them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench_lib import load
from bench_lib.report import Target
from bench_lib.run import Run, add_tags

DATABASE = "bench_subscriptions"
COUNT = 50
ALONE, BESIDE, ALL = "update: no subscriptions", "update: 50 subscriptions, 1 in 100 each", "update: 50 subscriptions to all"
SENT, SENT_ALL = "deliveries/s meanwhile, 1 in 100 each", "deliveries/s meanwhile, to all"
BACKLOG = "deliveries/s afterwards, of what is left"


def measure(run: Run) -> None:
    """Updates alone, beside 50 subscriptions that share half of the changes, and beside 50 of which each wants all."""
    run.prepared(DATABASE)
    with _receiving() as url, run.service(DATABASE, WEBHOOK_NETWORKS="127.0.0.0/8") as service:
        add_tags(service)
        with httpx.Client(base_url=service.address, timeout=30, trust_env=False) as client:
            for _ in range(run.rounds):
                run.measure(ALONE, service, load.UPDATE_TAG)
                for row, figure, share in ((BESIDE, SENT, True), (ALL, SENT_ALL, False)):
                    _subscribe(client, url, share=share)
                    began, before = time.monotonic(), _taken(client)
                    run.measure(row, service, load.UPDATE_TAG)
                    run.report.note(figure, (_taken(client) - before) / (time.monotonic() - began))
                    if share:
                        began, before = time.monotonic(), _taken(client)
                        time.sleep(run.seconds)
                        run.report.note(BACKLOG, (_taken(client) - before) / (time.monotonic() - began))
                    for number in range(COUNT):
                        client.delete(f"/api/dms/subscriptions/s{number}").raise_for_status()
    run.report.targets += [
        Target("update beside 50 subscriptions, by without", lambda report: report.ratio(BESIDE, ALONE), least=0.9, unit=" x"),
        Target(
            "update beside 50 subscriptions to all, by without", lambda report: report.ratio(ALL, ALONE), least=0.9, unit=" x"
        ),
    ]


def _subscribe(client: httpx.Client, url: str, *, share: bool) -> None:
    """Makes the subscriptions, each for 100 of the 9,999 states, or for all; waits until they are delivered to."""
    for number in range(COUNT):
        body: dict[str, Any] = {"url": f"{url}/{number}"}
        if share:
            body["states"] = list(range(number * 100 + 1, number * 100 + 101))
        client.put(f"/api/dms/subscriptions/s{number}", json=body).raise_for_status()
    before = _taken(client)
    give_up = time.monotonic() + 60
    while _taken(client) == before:
        if time.monotonic() > give_up:
            raise SystemExit("bench: nothing was delivered within a minute")
        client.post("/api/dms/objects/o1/tags/tag1/state/1?overwrite=true").raise_for_status()
        time.sleep(0.5)


def _taken(client: httpx.Client) -> float:
    """Deliveries that were taken, so far."""
    taken = re.search(r'dms_tags_deliveries_total{outcome="taken"} (\S+)', client.get("/metrics").text)
    return float(taken[1]) if taken else 0.0


@contextmanager
def _receiving() -> Iterator[str]:
    """The receiver's address."""
    command = [sys.executable, str(Path(__file__).with_name("receiver.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - asked for above
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()
