"""Delivers every subscription of a database while it is this process's turn; any number of services may run one.

One event loop for all receivers, one connection each, so that a slow one holds up no other.  What speaks with MongoDB runs in a
few threads.  Cursors are kept together, a few times a second: after a crash what was delivered since is delivered again.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from time import monotonic
from typing import Final, TypeVar

from dms_tags.audit.trail.trail import Trail
from dms_tags.errors import StoreUnavailable
from dms_tags.model import new_id
from dms_tags.store.database import Database, store_errors
from dms_tags.store.turn import Turn
from dms_tags.subscriptions.cursors import Cursors
from dms_tags.subscriptions.delivery import Delivery, Schedule
from dms_tags.subscriptions.model import Cursor, Subscription
from dms_tags.subscriptions.networks import Networks
from dms_tags.subscriptions.post import SECONDS, Outlet
from dms_tags.subscriptions.proofs import Prover
from dms_tags.subscriptions.reading import Window
from dms_tags.subscriptions.store import Subscriptions
from dms_tags.tags.store import TagStore

DUTY: Final = "subscriptions"
"""The duty of delivering, as its turns are kept."""

TURN: Final = timedelta(seconds=2 * SECONDS)
"""How long the turn of a courier that has died stays its own.  An attempt is begun only while it will end within the turn."""

RENEW_SECONDS: Final = 2.0
REFRESH_SECONDS: Final = 1.0
"""Pause between two looks at what subscriptions there are: a change of one holds after so long."""
POLL_SECONDS: Final = 0.2
"""Pause between two looks at the end of the trail."""
KEEP_SECONDS: Final = 0.5
"""Pause between two times that cursors are kept which moved by a delivery or a failure."""
PASSED_SECONDS: Final = 5.0
"""The same of cursors that moved only past what they are not told of."""
STOP_SECONDS: Final = 2.5
"""How long attempts may take to end when the process is told to."""

THREADS: Final = 4
LOOKUPS: Final = 8
"""Threads that speak with MongoDB, and that look up names."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class Courier:
    """All deliveries of one process.

    `holder` is whose turn it takes, None: its own.  Whoever takes the place of one that has certainly ended goes on as the same.
    """

    def __init__(
        self,
        database: Database,
        networks: Networks,
        tls: ssl.SSLContext,
        *,
        holder: str | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        self._database = database
        self._networks = networks
        self._tls = tls
        self._schedule = schedule or Schedule()
        self._holder = holder or new_id()
        self._turn = Turn(database, DUTY, self._holder, TURN)
        self._trail = Trail(database)
        self._subscriptions = Subscriptions(database, TagStore(database))
        self._cursors = Cursors(database)
        self._prover = Prover(database)
        self._threads = ThreadPoolExecutor(THREADS, "courier")
        self._windows: dict[str, Window] = {}
        self._running: dict[str, tuple[Delivery, asyncio.Task[None]]] = {}
        self._ours_until = 0.0
        self._ours = asyncio.Event()
        self._due: dict[str, float] = {}
        self._failing = False

    async def run(self, stop: asyncio.Event) -> None:
        """Delivers until `stop` is set; then ends what runs, keeps the cursors and gives the turn back."""
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(LOOKUPS, "lookup"))
        try:
            while not stop.is_set():
                try:
                    await self._step()
                except StoreUnavailable as error:
                    self._tell(error)
                await self.wait(stop, POLL_SECONDS)
        finally:
            await self._end_all()
            self._threads.shutdown(wait=False, cancel_futures=True)

    def now(self) -> datetime:
        """The time, by the database's clock."""
        return self._database.clock.now()

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Waits until the event is set, for so long at most; whether it is."""
        try:
            async with asyncio.timeout(seconds):
                return await event.wait()
        except TimeoutError:
            return False

    async def clear(self) -> bool:
        """Waits until the turn is this process's for long enough for an attempt."""
        while monotonic() + SECONDS > self._ours_until:
            await self.wait(self._ours, RENEW_SECONDS)
            if not self._running:
                return False
        return True

    async def call(self, what: Callable[[], T]) -> T:
        """What a call that speaks with MongoDB gives, made in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, what)

    async def pause(self, subscription: Subscription, reason: str) -> None:
        """Pauses a subscription for good; where MongoDB does not answer, it is tried again when it does."""
        while True:
            try:
                return await self.call(lambda: self._subscriptions.pause(subscription, reason))
            except StoreUnavailable as error:
                self._tell(error)
                await asyncio.sleep(REFRESH_SECONDS)

    async def _step(self) -> None:
        if self._is_due("renew", RENEW_SECONDS):
            await self._renew()
        if monotonic() > self._ours_until:
            return
        if self._is_due("refresh", REFRESH_SECONDS):
            await self._refresh()
        for window in self._windows.values():
            window.take(await self.call(window.poll))
        if self._is_due("keep", KEEP_SECONDS):
            await self._keep(passed=self._is_due("passed", PASSED_SECONDS))
        if self._failing:
            self._failing = False
            log.warning("subscriptions: MongoDB answers again")

    async def _renew(self) -> None:
        began = monotonic()
        before = await self.call(self._take)
        if before != self._holder and self._running:
            # Another had the turn since: how far deliveries are is in the cursors that are kept, no longer in these
            log.warning("another service delivers subscriptions, or did since this one last said that it does")
            self._ours_until = 0.0
            await self._end_all()
        if before is not None:
            self._ours_until = began + TURN.total_seconds()
            self._ours.set()
            self._ours = asyncio.Event()

    async def _refresh(self) -> None:
        """Begins and ends deliveries as the subscriptions say."""
        wanted = {each.key: each for each in await self.call(self._subscriptions.every) if not each.paused}
        for key, (delivery, task) in list(self._running.items()):
            if task.done():
                self._report(delivery, task)
            elif key not in wanted or wanted[key].etag != delivery.subscription.etag:
                delivery.end()
                continue
            else:
                continue
            await self._let_go(key)
        new = [each for key, each in wanted.items() if key not in self._running]
        cursors = await self.call(lambda: self._cursors.of(new))
        for each in new:
            await self._begin(each, cursors[each.key])
        moment = self.now()
        secrets = await self.call(lambda: self._subscriptions.secrets_of(wanted.values(), moment))
        for key, (delivery, _) in self._running.items():
            delivery.secrets = secrets.get(key, delivery.secrets)
        tenants = {each.tenant for each in wanted.values()}
        self._windows = {tenant: window for tenant, window in self._windows.items() if tenant in tenants}

    async def _begin(self, subscription: Subscription, cursor: Cursor) -> None:
        await self.call(lambda: self._cursors.begin(subscription, cursor))
        if subscription.tenant not in self._windows:
            self._windows[subscription.tenant] = await self.call(lambda: Window(subscription.tenant, self._trail))
        outlet = Outlet(subscription.url, self._networks, self._tls)
        delivery = Delivery(subscription, cursor, self._windows[subscription.tenant], outlet, self, self._prover, self._schedule)
        delivery.secrets = (await self.call(lambda: self._subscriptions.secrets_of([subscription], self.now())))[subscription.key]
        self._running[subscription.key] = delivery, asyncio.create_task(delivery.run(), name=subscription.key)

    def _report(self, delivery: Delivery, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # A fault with one subscription must not end the others; it is begun again
            log.error("subscription %s of %s failed", delivery.subscription.name, delivery.subscription.tenant, exc_info=error)

    async def _let_go(self, key: str) -> None:
        """Keeps the cursor of a delivery that has ended, then forgets it."""
        delivery, _ = self._running[key]
        if delivery.touched:
            await self.call(lambda: self._cursors.keep({key: delivery.cursor}))
        del self._running[key]

    async def _keep(self, *, passed: bool) -> None:
        moved = {
            key: delivery for key, (delivery, _) in self._running.items() if delivery.urgent or (passed and delivery.touched)
        }
        for delivery in moved.values():
            delivery.touched = delivery.urgent = False
        kept = {key: delivery.cursor for key, delivery in moved.items()}
        try:
            await self.call(lambda: self._cursors.keep(kept))
        except StoreUnavailable:
            for delivery in moved.values():
                delivery.touched = delivery.urgent = True
            raise

    async def _end_all(self) -> None:
        deliveries, self._running = self._running, {}
        for delivery, _ in deliveries.values():
            delivery.end()
        tasks = [task for _, task in deliveries.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._windows = {}
        if monotonic() < self._ours_until:
            self._ours_until = 0.0
            cursors = {key: delivery.cursor for key, (delivery, _) in deliveries.items() if delivery.touched}
            try:
                await self.call(lambda: self._cursors.keep(cursors))
                await self.call(self._give_back)
            except StoreUnavailable as error:
                log.info("subscriptions: could not say that this process ends: %s", error.detail)

    def _take(self) -> str | None:
        with store_errors():
            return self._turn.take()

    def _give_back(self) -> None:
        with store_errors():
            self._turn.give_back()

    def _is_due(self, what: str, pause: float) -> bool:
        moment = monotonic()
        if moment < self._due.get(what, 0.0):
            return False
        self._due[what] = moment + pause
        return True

    def _tell(self, error: StoreUnavailable) -> None:
        if not self._failing:
            log.warning("subscriptions wait for MongoDB: %s", error.detail)
        self._failing = True
