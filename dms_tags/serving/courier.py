"""The process that delivers subscriptions, which the keeper starts while there are any.

It is a process of its own, of low priority, so that deliveries take what changes and the relay leave of the processor.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx

from dms_tags.counters import note_start
from dms_tags.serving import logs
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.subscriptions.courier import Courier
from dms_tags.subscriptions.networks import Networks

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)

NICE: Final = 19
"""How far this process stands back behind all others."""

AUTOGROUP: Final = Path("/proc/self/autogroup")
"""Where Linux shares the processor among sessions first, `nice` counts only within one (man 7 sched): this one is its own."""


async def deliver(settings: Settings, holder: str | None) -> None:
    """Delivers until SIGTERM, in the turn of `holder`."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def wait() -> None:
        signal.sigwait(STOPPING)
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, name="dms-tags-signals", daemon=True).start()
    database = Database.connect(settings)
    try:
        networks = Networks(settings.webhook_networks)
        await Courier(database, networks, httpx.create_ssl_context(), holder=holder).run(stop)
    finally:
        database.close()


def _stand_back() -> None:
    with suppress(OSError):  # a sandbox may forbid any of it
        os.nice(NICE)
        AUTOGROUP.write_text(str(NICE))


def main() -> None:
    """The process that the keeper starts, with a name that those share which it starts one after the other."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    _stand_back()
    settings = Settings.from_environment()
    logs.configure(settings)
    note_start("courier")
    asyncio.run(deliver(settings, sys.argv[1] if len(sys.argv) > 1 else None))


if __name__ == "__main__":
    main()
