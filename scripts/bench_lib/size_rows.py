"""Rows `sizes`: what a tag and a change take on disk, with each index, so that an operator can tell how much to buy."""

from __future__ import annotations

from bench_lib.run import Run
from bench_lib.seed import fill

DATABASE = "bench_sizes"
OBJECTS, REVISIONS = 100_000, 10


def measure(run: Run) -> None:
    """1,000,000 changes of 100,000 objects; ten times as many with `--scale 10`."""
    database = run.prepared(DATABASE)
    objects = run.size(OBJECTS)
    fill(database, objects=objects, revisions=REVISIONS, name="ocr", state=1)
    database.client.admin.command("fsync")
    rows = (("tags", "an object with one tag", objects), ("audit_trail", "a change in the trail", objects * REVISIONS))
    for name, what, count in rows:
        told = database.command("collStats", name)
        run.report.note(f"bytes on disk for {what}", told["storageSize"] / count)
        for index, size in told["indexSizes"].items():
            run.report.note(f"  its index {index}", size / count)
        run.report.note(f"  all together, GB for {count:,}", (told["storageSize"] + told["totalIndexSize"]) / 1e9)
    run.client.drop_database(DATABASE)
