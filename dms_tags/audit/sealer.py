"""Sealing: by order and by time, the seal of a trail is computed and recorded in it (`dms_tags.audit.log.seal`)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

from dms_tags.audit.log.seal import Seal, Standing, seal_of
from dms_tags.audit.trail.standings import newest_seal, standings
from dms_tags.audit.trail.trail import Trail
from dms_tags.errors import StoreUnavailable
from dms_tags.model import Action, Actor, Change, Kind, Resource, Verb, new_id
from dms_tags.store.database import Database, store_errors
from dms_tags.store.turn import Turn
from dms_tags.tags.store import TagStore

TAG: Final = "seal"
BY_TIME: Final = Actor("system:seal", "system")
LOOK_SECONDS: Final = 60.0
"""Pause between two looks whether a trail is to be sealed."""
TURN: Final = timedelta(seconds=120)
EVERY: Final = 20_000
"""Resources after which the turn is kept, and looked whether to go on."""


class _Stopped(Exception):
    """The sealing was told to stop."""


class Sealer:
    """Seals the trails of one database.  Every method raises `StoreUnavailable` where MongoDB does not answer.

    By time a trail is sealed `hours` after the last seal, the first time `hours` after its first entry, and at once where the
    last one lies before what was archived, so that nothing can be proven from it any more.
    """

    def __init__(self, database: Database, store: TagStore, hours: int = 0) -> None:
        self._database = database
        self._store = store
        self._hours = timedelta(hours=hours)
        self._trail = Trail(database)
        self._turn = Turn(database, "seals", new_id(), TURN)
        self._began = False

    def seal(self, tenant: str, actor: Actor, going_on: Callable[[], bool] = lambda: True) -> Seal | None:
        """Seals a trail as it stands, and records it; None where nothing was changed since the last seal, or it was told to stop.

        Raises `Busy` where the trail is archived again and again meanwhile.
        """
        self._trail.wait_for(tenant)
        if not self._changed(tenant):
            return None
        up_to = self._trail.head(tenant)
        try:
            seal = self._trail.while_cut_stands(tenant, lambda cut: seal_of(self._read(tenant, up_to, cut, going_on), up_to))
        except _Stopped:
            return None
        of, action = Resource(tenant, Kind.TRAIL, tenant), Action.TRAIL_SEALED
        self._store.change(Change(of, TAG, Verb.SET, actor, state=seal.state, action=action, max_tags=None))
        return seal

    def run_once(self, stop: threading.Event) -> bool:
        """Seals what is due, one service at a time; a duty of the keeper, which leaves the start to what is more urgent.

        What keeps one trail from being sealed keeps no other from it; it is raised at the end.
        """
        if not self._began:
            self._began = True
            return False
        failure: StoreUnavailable | None = None
        for tenant in self._trail.tenants():
            if stop.is_set() or not self._due(tenant):
                continue
            with store_errors():
                if self._turn.take() is None:
                    return False
            try:
                if self._due(tenant):  # another may have sealed it since
                    self.seal(tenant, BY_TIME, lambda: not stop.is_set())
            except StoreUnavailable as error:
                failure = failure or error
            finally:
                with store_errors():
                    self._turn.give_back()
        if failure is not None:
            raise failure
        return False

    def _due(self, tenant: str) -> bool:
        cut, up_to, at = self._last(tenant)
        if at is None:
            with store_errors():
                where = {"tenant": tenant, "position": {"$gt": cut}}
                oldest = next(iter(self._trail.entries.find(where, sort=[("position", 1)], limit=1, hint="position")), None)
            at = None if oldest is None or cut else oldest["recordedAt"]
        waited = at is None or up_to < cut or at + self._hours <= self._database.clock.now()
        return waited and self._changed(tenant)

    def _changed(self, tenant: str) -> bool:
        """Whether the trail has entries behind the last seal that are no seals."""
        cut, up_to, _ = self._last(tenant)
        where = {"tenant": tenant, "position": {"$gt": max(cut, up_to)}, "action": {"$ne": int(Action.TRAIL_SEALED)}}
        with store_errors():
            return next(iter(self._trail.entries.find(where, {"_id": 1}, limit=1, hint="position")), None) is not None

    def _last(self, tenant: str) -> tuple[int, int, datetime | None]:
        """The cut; up to where the newest seal goes that is held (the cut: there is none), and when it was recorded."""
        cut = self._trail.cut(tenant)
        entry = newest_seal(self._trail, tenant, self._trail.head(tenant), cut)
        seal = None if entry is None else Seal.read(entry["state"])
        return (cut, cut, None) if entry is None or seal is None else (cut, seal.up_to, entry["recordedAt"])

    def _read(self, tenant: str, up_to: int, cut: int, going_on: Callable[[], bool]) -> Iterator[Standing]:
        for number, reached in enumerate(standings(self._trail, tenant, up_to, cut), 1):
            if not number % EVERY:
                if not going_on():
                    raise _Stopped
                with store_errors():
                    self._turn.take()
            yield Standing._make(reached)
