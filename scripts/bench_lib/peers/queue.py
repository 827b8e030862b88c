"""A queue on PostgreSQL, procrastinate: workers fetch a job and finish it, as its own worker does, with nothing to do between.

Prints the number of jobs that were fetched and finished in a second.  Arguments: the words to connect with, how many jobs are
queued, how many workers, for how many seconds.
"""

from __future__ import annotations

import asyncio
import sys
import time

from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Status


async def main(words: str, jobs: int, workers: int, seconds: float) -> None:
    """Queues the jobs, then works on them for so long."""
    app = App(connector=PsycopgConnector(conninfo=words, min_size=16, max_size=16))

    @app.task(name="work")
    def work(number: int) -> None: ...

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for begin in range(0, jobs, 10_000):
            await work.batch_defer_async(*({"number": number} for number in range(begin, min(jobs, begin + 10_000))))
        await app.connector.execute_query_async("ANALYZE procrastinate_jobs")
        manager = app.job_manager
        finished = 0
        worker_id = await manager.register_worker()
        end = time.monotonic() + seconds

        async def fetch() -> None:
            nonlocal finished
            while time.monotonic() < end:
                job = await manager.fetch_job(queues=None, worker_id=worker_id)
                if job is None:
                    raise SystemExit("the queue is empty")
                await manager.finish_job(job, Status.SUCCEEDED, delete_job=False)
                finished += 1

        began = time.monotonic()
        await asyncio.gather(*(fetch() for _ in range(workers)))
        print(finished / (time.monotonic() - began))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
