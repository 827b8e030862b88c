"""Rows `heavy`: reads while one caller sends all the statements that it can, each of 200 conditions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

from bench_lib import load
from bench_lib.load import OBJECTS, Request
from bench_lib.run import Run
from bench_lib.seed import fill

DATABASE: Final = "bench_heavy"
CONDITIONS, CALLERS, READERS = 200, 70, 8
ALONE, BESIDE, ASKED = "get: 8 readers", f"get: 8 readers beside {CALLERS} that search", f"search: {CONDITIONS} conditions"

_WHERE: Final = " OR ".join(f"system:tags[tag{number}].state = {number}" for number in range(CONDITIONS))
SEARCH: Final = Request(
    "POST",
    '"/api/dms/objects/search"',
    {"Content-Type": "application/json"},
    f"""'{{"query":{{"statement":"SELECT * FROM system:object WHERE {_WHERE}","maxItems":50}}}}'""",  # noqa: S608 - a statement is no SQL
)


def measure(run: Run) -> None:
    """Each round reads alone, then beside the searches: their p50 is what a reader feels of it."""
    fill(run.prepared(DATABASE), objects=OBJECTS * run.size(50), revisions=1, name="tag1", state=1)
    with run.service(DATABASE) as service, ThreadPoolExecutor(1) as beside:
        for _ in range(run.rounds):
            run.measure(ALONE, service, load.READ_TAG, connections=READERS)
            searches = beside.submit(load.run, service.address, SEARCH, run.seconds + 2, connections=CALLERS)
            run.measure(BESIDE, service, load.READ_TAG, connections=READERS, warm=False)
            found = searches.result()
            run.report.add(ASKED, found)
            run.report.note("searches a second that were sent away", found.refused / found.seconds)
