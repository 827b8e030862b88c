"""Reads from the database how it stands; the keeper does, now and then, so that no reader of `/metrics` waits for it.

What one look costs is bounded: in tenants, in states of definitions, and in time for counting tags, which costs most.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from time import monotonic
from typing import Final

from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.trail.entry import Entry
from dms_tags.audit.trail.trail import Trail
from dms_tags.errors import StoreUnavailable
from dms_tags.measures.kept import Kept
from dms_tags.measures.model import Depth, Measures, SubscriptionOf, TrailOf
from dms_tags.measures.queues import Queue, Queues
from dms_tags.store.database import Database
from dms_tags.subscriptions.model import Standing
from dms_tags.subscriptions.store import Subscriptions
from dms_tags.tags.definitions import Definitions
from dms_tags.tags.leases import Leases

MAX_TENANTS: Final = 100
"""Tenants that are told one by one, at most; in order of their names."""

MAX_QUEUES: Final = 500
"""States of definitions that are told, at most, over all tenants."""

MAX_SUBSCRIPTIONS: Final = 200
"""Subscriptions that are told, at most, over all tenants."""

MAX_COUNT: Final = 10_000
"""Resources that wait, and leases, are counted up to so many."""

ROUND_SECONDS: Final = 10.0
"""Least time between two looks at one queue."""

SLICE_SECONDS: Final = 0.05
"""For so long one look of the keeper counts tags, or one queue, whichever takes longer; a later one goes on from there."""

QUEUE_SHARE: Final = 0.01
"""Share of the time that the keeper may count tags: after a long look it leaves them alone for longer."""


class Measuring:
    """Takes the measures of one service and keeps them in `kept`."""

    def __init__(
        self,
        database: Database,
        definitions: Definitions,
        leases: Leases,
        checkpointer: Checkpointer,
        subscriptions: Subscriptions,
        kept: Kept,
    ) -> None:
        self.kept = kept
        self._clock = database.clock
        self._trail = Trail(database)
        self._leases = leases
        self._checkpointer = checkpointer
        self._subscriptions = subscriptions
        self._queues = Queues(database, definitions)
        self._depths: dict[Queue, Depth | None] = {}
        self._due: deque[Queue] = deque()
        self._no_room = 0
        self._round_at = self._look_at = 0.0

    def run_once(self, stop: threading.Event) -> bool:
        """A duty of the keeper: measures once.  Raises `StoreUnavailable`, having noted it."""
        self._take(SLICE_SECONDS, stop)
        return False

    def current(self) -> Measures | None:
        """What is known: of the keeper's last look, or where there is no keeper, of a look now."""
        if not self.kept.shared:
            self._round_at = self._look_at = 0.0
            try:
                self._take(float("inf"), threading.Event())
            except StoreUnavailable:
                return self.kept.last()
        return self.kept.last()

    def _take(self, seconds: float, stop: threading.Event) -> None:
        try:
            self.kept.put(self._measures(seconds, stop))
        except StoreUnavailable:
            self.kept.put_no_answer()
            raise

    def _measures(self, seconds: float, stop: threading.Event) -> Measures:
        moment = self._clock.now()
        tenants = self._trail.tenants()
        waiting = self._trail.waiting(MAX_COUNT)
        leases = self._leases.held(MAX_COUNT)
        told = tenants[:MAX_TENANTS]
        trails = self._trails(told, moment)
        self._look_at_queues(told, moment, seconds, stop)
        subscriptions, no_room = self._subscriptions.standings(MAX_SUBSCRIPTIONS)
        return Measures(
            at=moment.timestamp(),
            answers=True,
            waiting=len(waiting),
            lag=_age(min(waiting, default=moment), moment),
            leases=leases,
            signing=self._checkpointer.signs,
            unsigned_since_restore=self._checkpointer.unsigned_since_restore() is not None,
            trails=trails,
            depths=tuple(depth for depth in self._depths.values() if depth is not None),
            subscriptions=tuple(map(_subscription, subscriptions)),
            left_out=len(tenants) - len(told) + self._no_room + no_room,
        )

    def _trails(self, tenants: Sequence[str], moment: datetime) -> tuple[TrailOf, ...]:
        identity = self._checkpointer.identities.current()
        trails = []
        for tenant in tenants:
            log = None if identity is None else identity.log(tenant)
            newest = None if log is None else self._checkpointer.log.newest(log)
            signed = 0 if newest is None else int(newest["size"])
            head = self._trail.head(tenant)
            first = self._first_after(tenant, signed) if head > signed else None
            trails.append(
                TrailOf(
                    tenant,
                    head,
                    max(0, head - signed),
                    0.0 if first is None else _age(first["recordedAt"], moment),
                    None if newest is None else _age(newest["at"], moment),
                    {
                        witness.kind: newest["number"] - witness.taken(log)
                        for witness in self._checkpointer.witnesses
                        if newest is not None and log is not None
                    },
                )
            )
        return tuple(trails)

    def _first_after(self, tenant: str, position: int) -> Entry | None:
        """The first entry after the position that was not archived."""
        begin = max(position, self._trail.cut(tenant))
        return next(iter(self._trail.run(tenant, begin, begin + 1)), None)

    def _look_at_queues(self, tenants: Sequence[str], moment: datetime, seconds: float, stop: threading.Event) -> None:
        began = monotonic()
        if began < self._look_at:
            return
        if not self._due and began >= self._round_at:
            self._begin_round(tenants)
        while self._due and not stop.is_set():
            queue = self._due[0]
            depth, oldest = self._queues.depth(queue)
            self._depths[queue] = Depth(*queue, depth, 0.0 if oldest is None else _age(oldest, moment))
            self._due.popleft()
            if monotonic() > began + seconds:
                break
        self._look_at = monotonic() + (monotonic() - began) / QUEUE_SHARE

    def _begin_round(self, tenants: Sequence[str]) -> None:
        queues: list[Queue] = []
        no_room = 0
        for tenant in tenants:
            more, left_out = self._queues.of(tenant, MAX_QUEUES - len(queues))
            queues += more
            no_room += left_out
        self._no_room = no_room
        self._depths = {queue: self._depths.get(queue) for queue in queues}
        self._due.extend(queues)
        self._round_at = monotonic() + ROUND_SECONDS


def _subscription(standing: Standing) -> SubscriptionOf:
    """What is told of a subscription; one that was paused by hand lacks nothing that anyone waits for."""
    subscription = standing.subscription
    waits = subscription.reason is not None or not subscription.paused
    lag, seconds = (standing.lag, standing.lag_seconds) if waits else (0, 0.0)
    return SubscriptionOf(subscription.tenant, subscription.name, lag, seconds, subscription.reason is not None)


def _age(since: datetime, moment: datetime) -> float:
    return max(0.0, (moment - since).total_seconds())
