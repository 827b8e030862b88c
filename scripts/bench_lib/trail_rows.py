"""Rows `trail`: whether the update rate holds as the trail grows, from 1,000 entries to 1,000,000; `huge`: to 10,000,000."""

from __future__ import annotations

from bench_lib import load
from bench_lib.load import OBJECTS
from bench_lib.report import Target
from bench_lib.run import Run
from bench_lib.seed import fill

SMALL, LARGE = "bench_trail_small", "bench_trail_large"
FEW = "update: 1,000 entries in the trail"


def measure(run: Run) -> None:
    """Updates with 1,000 and with 1,000,000 entries in the trail."""
    _measure(run, 1_000_000)


def measure_huge(run: Run) -> None:
    """The same with 10,000,000: a group of its own, as making them takes long and fills some 10 GB."""
    _measure(run, 10_000_000)


def _measure(run: Run, entries: int) -> None:
    """Each round updates the same objects once with a short trail behind them, made anew, and once with a long one."""
    many = f"update: {entries:,} entries in the trail"
    fill(run.prepared(LARGE), objects=OBJECTS, revisions=run.size(entries // OBJECTS), name="tag1", state=1)
    for _ in range(run.rounds):
        fill(run.prepared(SMALL), objects=OBJECTS, revisions=1, name="tag1", state=1)
        for row, database in ((FEW, SMALL), (many, LARGE)):
            with run.service(database) as service:
                run.measure(row, service, load.UPDATE_TAG)
    run.report.targets.append(
        Target(f"update at {entries:,} entries, by that at 1,000", lambda report: report.ratio(many, FEW), least=0.95, unit=" x")
    )
    run.client.drop_database(LARGE)
