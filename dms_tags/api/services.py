"""The services of one process: what views call, made once from the settings and the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import Any, Final
from zoneinfo import ZoneInfo

from dms_tags import draining
from dms_tags.api.console.session import ConsoleSessions
from dms_tags.api.dms.stream import EventStream
from dms_tags.api.gate.guard import Guard
from dms_tags.audit.export.exporter import Exporter
from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.trail.activity import Activities
from dms_tags.audit.trail.actors import ActorKeys
from dms_tags.audit.trail.feed import Feed
from dms_tags.audit.trail.query import TrailQuery
from dms_tags.audit.trail.timetravel import Past
from dms_tags.audit.trail.trail import Trail
from dms_tags.audit.trail.view import AuditView
from dms_tags.chains.service import ChainService
from dms_tags.chains.sessions import Sessions, SessionStore
from dms_tags.chains.users import ChainUsers
from dms_tags.errors import StoreUnavailable
from dms_tags.identity.authenticator import authenticator
from dms_tags.identity.store import TokenStore
from dms_tags.measures.kept import Kept
from dms_tags.measures.queues import Queues
from dms_tags.measures.reading import Measuring
from dms_tags.metadata.free import FreeMetadata
from dms_tags.metadata.service import MetadataService
from dms_tags.objects.service import ObjectService
from dms_tags.objects.store import ObjectStore
from dms_tags.objects.together import ManyObjects
from dms_tags.objects.types import ObjectTypes
from dms_tags.query import Clock
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.subscriptions.networks import Networks
from dms_tags.subscriptions.store import Subscriptions
from dms_tags.tags.batch import Batches
from dms_tags.tags.claims import Claims
from dms_tags.tags.definitions import Definitions
from dms_tags.tags.leases import Leases
from dms_tags.tags.search import Search
from dms_tags.tags.service import TagService
from dms_tags.tags.store import TagStore

READY_SECONDS: Final = 0.8
"""What `/health/ready` may take of MongoDB's time: it answers within a second, also where MongoDB does not."""


class Services:
    """What views call: one of each, for the life of the process."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.openapi: Callable[[], Mapping[str, Any]] = dict
        """The OpenAPI document; the application, which knows the routes, puts it here."""
        self.settings = settings
        self.database = database
        self.store = TagStore(database)
        self.trail = Trail(database)
        self.audit = TrailQuery(self.trail)
        self.audit_view = AuditView(database, self.trail, self.audit, self._clock)
        self.activities = Activities(self.trail)
        self.past = Past(database)
        self.checkpointer = Checkpointer.of(database, settings)
        self.exporter = Exporter(self.checkpointer, self.store, ActorKeys(database))
        self.feed = Feed(self.trail, EventStream())
        self.definitions = Definitions(database, self.store)
        self.tags = TagService(self.store, self.definitions)
        self.types = ObjectTypes(database)
        whole = ObjectStore(database, self.store)
        self.objects = ObjectService(whole, ManyObjects(database, self.store), self.tags, self.types)
        self.free_metadata = FreeMetadata(database, self.store, whole)
        self.leases = Leases(database, self.store)
        self.claims = Claims(database, self.leases, self.definitions, self._clock, self.store, self.types.asked_by)
        self.search = Search(database, self.leases, self._clock, self.types.asked_by)
        self.batches = Batches(database, self.tags, self.store.groups)
        self.queues = Queues(database, self.definitions)
        self.metadata = MetadataService(database, self.store)
        self.chains = ChainService(database, self.store)
        self.subscriptions = Subscriptions(database, self.store)
        self.webhook_networks = Networks(settings.webhook_networks)
        self.measuring = Measuring(
            database, self.definitions, self.leases, self.checkpointer, self.subscriptions, Kept.of_service()
        )
        self.chain_users = ChainUsers(database, self.store, self.chains)
        tokens = TokenStore(database, self.store)
        self.sessions = Sessions(SessionStore(database, self.store), database.clock.now)
        self.guard = Guard(settings, authenticator(settings, tokens, database.clock.now))
        self.console = ConsoleSessions(self.guard, tokens, database.clock.now, asks=settings.authentication != "none")
        self._zone = ZoneInfo(settings.timezone)
        self._prepared = False
        self._preparing = Lock()

    def _clock(self) -> Clock:
        """The time at which a statement is evaluated, in the zone whose days its days are."""
        return Clock(self.database.clock.recorded(), self._zone)

    def prepare(self) -> None:
        """Brings the database up to date, once.  Raises `StoreUnavailable`, and `CannotStart` for a newer database."""
        if self._prepared:
            return
        with self._preparing:
            if not self._prepared:
                self.database.prepare()
                self._prepared = True

    def require_ready(self) -> list[str]:
        """What an operator should know although the service does its work.

        Raises `StoreUnavailable`, saying why, within a second, unless MongoDB answers, the database is up to date, the trail
        moves and the service is not about to stop.
        """
        if draining.begun():
            raise StoreUnavailable("the service is about to stop: it serves what comes, and wants no new callers", retry_after=5)
        with self.database.within(READY_SECONDS):
            self.prepare()
            self.database.ping()
            if self.trail.stands_still():
                raise StoreUnavailable("the relay stands still: changes are made, and none enters the audit trail", retry_after=5)
            return list(self._warnings())

    def _warnings(self) -> Iterator[str]:
        nobody_signs = self.checkpointer.warning()
        if nobody_signs is not None:
            yield nobody_signs
        if self.database.clock.off:
            yield "this machine's clock is more than a second from MongoDB's: set it"
