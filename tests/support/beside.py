"""Work that is done again and again in a thread beside a test: a relay, faults that change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import HTTPServer

from dms_tags.audit.trail.relay import Relay
from dms_tags.errors import StoreUnavailable
from dms_tags.store.database import Database


@contextmanager
def beside(work: Callable[[], bool], pause: float) -> Iterator[None]:
    """Has `work` done until the context ends, with `pause` seconds in between where it says that there was nothing to do."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            if not work():
                over.wait(pause)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def relaying(database: Database, pause: float = 0.01) -> Iterator[None]:
    """A relay at work, whatever befalls its MongoDB, until the context ends."""
    relay = Relay(database)

    def move() -> bool:
        moved = 0
        with suppress(StoreUnavailable):
            moved = relay.run_once()
        return moved > 0

    with beside(move, pause):
        yield
    with suppress(StoreUnavailable):
        relay.release()


@contextmanager
def answering(server: HTTPServer) -> Iterator[str]:
    """The address of a small HTTP server that serves in a thread until the context ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
