"""Rows `trail`: whether the update rate holds as the trail grows, from 1,000 entries to 1,000,000."""

from __future__ import annotations

from bench_lib import load
from bench_lib.load import OBJECTS
from bench_lib.report import Target
from bench_lib.run import Run
from bench_lib.seed import fill

SMALL, LARGE = "bench_trail_small", "bench_trail_large"
FEW, MANY = "update: 1,000 entries in the trail", "update: 1,000,000 entries in the trail"
REVISIONS = 1000


def measure(run: Run) -> None:
    """Each round updates the same objects once with a short trail behind them, made anew, and once with a long one."""
    fill(run.prepared(LARGE), objects=OBJECTS, revisions=run.size(REVISIONS), name="tag1", state=1)
    for _ in range(run.rounds):
        fill(run.prepared(SMALL), objects=OBJECTS, revisions=1, name="tag1", state=1)
        for row, database in ((FEW, SMALL), (MANY, LARGE)):
            with run.service(database) as service:
                run.measure(row, service, load.UPDATE_TAG)
    run.report.targets.append(
        Target("update at 1,000,000 entries, by that at 1,000", lambda report: report.ratio(MANY, FEW), least=0.9, unit=" x")
    )
    run.client.drop_database(LARGE)
