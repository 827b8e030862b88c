"""One subscription at work: event after event, each until it is taken, for as long as it may be tried."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from dms_tags.counters import count_delivery
from dms_tags.errors import Gone, StoreUnavailable
from dms_tags.subscriptions import signing
from dms_tags.subscriptions.model import Cursor, Subscription
from dms_tags.subscriptions.post import Undelivered
from dms_tags.subscriptions.proofs import Prover
from dms_tags.subscriptions.reading import Event, Page, Window

GONE: Final = 410

COVER_SECONDS: Final = 1.0
"""Pause between two looks for a checkpoint that covers an event."""

AGAIN_SECONDS: Final = 1.0
"""Pause after MongoDB did not answer."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a delivery is tried again: after `first` seconds, twice as long each time up to `most`, for `give_up` seconds in all."""

    first: float = 1.0
    most: float = 3_600.0
    give_up: float = 3 * 86_400.0

    def delay(self, failures: int) -> float:
        """Seconds from the failure that was number `failures`, counted from 1, to the next attempt."""
        return min(self.most, self.first * 2.0 ** min(failures - 1, 40))


class Outlet(Protocol):
    """The way to a receiver."""

    async def post(self, body: bytes, headers: list[tuple[str, str]]) -> int:
        """Sends `body`; the status of the answer.  Raises `Undelivered`."""

    async def close(self) -> None:
        """Ends the connection."""


class Desk(Protocol):
    """What deliveries need of the service around them."""

    def now(self) -> datetime:
        """The time, by the database's clock."""

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Waits until the event is set, for so long at most; whether it is."""

    async def clear(self) -> bool:
        """Waits until nobody else can be delivering; False: somebody else does from now on."""

    async def call(self, what: Callable[[], object]) -> object:
        """What a call that speaks with MongoDB gives, made in a thread.  Raises what it does."""

    async def pause(self, subscription: Subscription, reason: str) -> None:
        """Pauses a subscription for good."""


class Ended(Exception):
    """Nothing more is to be delivered."""


class Delivery:
    """The work on one subscription, from `run` until `end`, or until it is paused.

    `touched` says that the cursor moved since it was kept last, `urgent` that it did by more than passing events by.
    """

    def __init__(
        self,
        subscription: Subscription,
        cursor: Cursor,
        window: Window,
        outlet: Outlet,
        desk: Desk,
        prover: Prover,
        schedule: Schedule,
    ) -> None:
        self.subscription = subscription
        self.cursor = cursor
        self.secrets: tuple[bytes, ...] = ()
        self.touched = self.urgent = False
        self._window = window
        self._outlet = outlet
        self._desk = desk
        self._prover = prover
        self._schedule = schedule
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Lets it finish the attempt that it is at, and no more."""
        self._ending.set()

    async def run(self) -> None:
        """Delivers until it is told to end."""
        try:
            while True:
                page = await self._next()
                for event in page.events:
                    self._pass(event.position - 1)
                    if not await self._deliver(event):
                        break
                else:
                    self._pass(page.reached)
        except Ended:
            return
        except Gone as error:
            await self._pause(f"{error.detail}; what was between was never sent: set `after` to go on")
        finally:
            await self._outlet.close()

    def _pass(self, position: int) -> None:
        """Notes that nothing up to a position is to be delivered any more."""
        if position > self.cursor.position:
            self.cursor.position, self.touched = position, True

    async def _next(self) -> Page:
        """What comes next, as soon as there is something."""
        while not self._ending.is_set():
            moved, position = self._window.moved, self.cursor.position
            page = self._window.page(self.subscription.selection, position)
            if page is None:
                page = await self._missed(position)
            if page is not None and page.reached > position:
                return page
            await self._first_of(moved)
        raise Ended

    async def _missed(self, position: int) -> Page | None:
        try:
            read = await self._desk.call(lambda: self._window.missed(self.subscription.selection, position))
        except StoreUnavailable:
            await self._desk.wait(self._ending, AGAIN_SECONDS)
            return None
        assert isinstance(read, Page)  # noqa: S101 - what the call gives
        return read

    async def _first_of(self, moved: asyncio.Event) -> None:
        """Waits until the window has moved, or this is to end."""
        waits = [asyncio.ensure_future(moved.wait()), asyncio.ensure_future(self._ending.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _deliver(self, event: Event) -> bool:
        """Sends an event until it is taken; False: it is to be read again first, so much time has gone by."""
        while True:
            body = await self._proven(event) if self.subscription.proofs else event.body
            await self._until_due()
            if self._ending.is_set() or not await self._desk.clear() or self._ending.is_set():
                raise Ended
            if event.stale:
                return False
            refused = await self._attempt(event.position, body)
            if refused is None:
                self.cursor.taken(event.position, self._desk.now())
                self.touched = self.urgent = True
                return True
            await self._failed(refused)

    async def _attempt(self, position: int, body: bytes) -> str | None:
        """Sends an event once: None where it was taken, else what came instead."""
        moment = self._desk.now()
        message_id = f"{self.subscription.tenant}/{position}"
        headers = signing.headers(self.secrets, message_id, int(moment.timestamp()), body)
        try:
            status = await self._outlet.post(body, headers)
        except Undelivered as error:
            count_delivery("failed")
            return str(error)
        if 200 <= status < 300:
            count_delivery("taken")
            return None
        count_delivery("failed")
        if status == GONE:
            await self._pause("the receiver answered 410: it wants no more")
            raise Ended
        return f"the receiver answered {status}"

    async def _failed(self, reason: str) -> None:
        cursor, moment = self.cursor, self._desk.now()
        cursor.failures += 1
        cursor.failing_since = cursor.failing_since or moment
        cursor.error = reason[:500]
        self.touched = self.urgent = True
        failing = (moment - cursor.failing_since).total_seconds()
        if failing >= self._schedule.give_up:
            await self._pause(f"position {cursor.position}: nothing was taken for {failing / 3600:.0f} h; {cursor.error}")
            raise Ended
        # The last attempt is made when the time is over, not up to an hour later
        delay = min(self._schedule.delay(cursor.failures), self._schedule.give_up - failing)
        cursor.next_at = moment + timedelta(seconds=delay)

    async def _until_due(self) -> None:
        while self.cursor.next_at is not None and not self._ending.is_set():
            left = (self.cursor.next_at - self._desk.now()).total_seconds()
            if left <= 0:
                return
            await self._desk.wait(self._ending, left)

    async def _proven(self, event: Event) -> bytes:
        """The event with its proof, as soon as a checkpoint covers it."""
        while not self._ending.is_set():
            try:
                proof = await self._desk.call(lambda: self._prover.prove(event.entry))
            except StoreUnavailable:
                proof = None
            if proof is not None:
                return event.body_with({"proof": json.dumps(proof)})
            if self.cursor.error is None:
                self.cursor.error = f"waits for a checkpoint that covers position {event.position}"
                self.touched = True
            await self._desk.wait(self._ending, COVER_SECONDS)
        raise Ended

    async def _pause(self, reason: str) -> None:
        log.warning("subscription %s of %s is paused: %s", self.subscription.name, self.subscription.tenant, reason)
        await self._desk.pause(self.subscription, reason)
