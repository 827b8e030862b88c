"""The application: settings, then the store, then services, then the APIs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from threading import Lock
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask, Response, request

from dms_tags.api import openapi
from dms_tags.api.audit import routes as audit
from dms_tags.api.chains import routes as chains
from dms_tags.api.dms import routes as dms
from dms_tags.api.endpoint import Api
from dms_tags.api.events import routes as events
from dms_tags.api.events.stream import EventStream
from dms_tags.api.guard import Guard
from dms_tags.api.metadata import routes as metadata
from dms_tags.api.operation import routes as operation
from dms_tags.api.workflow import routes as workflow
from dms_tags.audit.checkpointer import Checkpointer
from dms_tags.audit.export import Exporter
from dms_tags.audit.feed import Feed
from dms_tags.audit.query import TrailQuery
from dms_tags.audit.timetravel import Past
from dms_tags.audit.trail import Trail
from dms_tags.chains.service import ChainService
from dms_tags.chains.sessions import Sessions, SessionStore
from dms_tags.database import Database
from dms_tags.errors import StoreUnavailable
from dms_tags.identity.authenticator import authenticator
from dms_tags.identity.store import TokenStore
from dms_tags.metadata.service import MetadataService
from dms_tags.query import Clock
from dms_tags.settings import Settings
from dms_tags.tags.batch import Batches
from dms_tags.tags.claims import Claims
from dms_tags.tags.definitions import Definitions
from dms_tags.tags.leases import Leases
from dms_tags.tags.search import Search
from dms_tags.tags.service import TagService
from dms_tags.tags.store import TagStore

log = logging.getLogger(__name__)

APIS: tuple[Api, ...] = (dms.api, audit.api, events.api, workflow.api, metadata.api, chains.api, operation.api)
"""Every API of the service.  What a path belongs to is told by the longest prefix: it decides the shape of errors."""

EXTENSION = "dms_tags"


class Services:
    """What views call: one of each, for the life of the process."""

    def __init__(self, settings: Settings, database: Database, apis: Sequence[Api] = APIS) -> None:
        self.settings = settings
        self.database = database
        self.apis = apis
        self.store = TagStore(database)
        self.trail = Trail(database)
        self.audit = TrailQuery(self.trail)
        self.past = Past(database)
        self.checkpointer = Checkpointer.of(database, settings)
        self.exporter = Exporter(self.checkpointer, self.store)
        self.feed = Feed(self.trail, EventStream())
        self.definitions = Definitions(database, self.store)
        self.tags = TagService(self.store, self.definitions)
        self.leases = Leases(database, self.store)
        self.claims = Claims(database, self.leases, self.definitions, self._clock)
        self.search = Search(database, self.leases, self._clock)
        self.batches = Batches(database, self.tags)
        self.metadata = MetadataService(database, self.store)
        self.chains = ChainService(database, self.store)
        tokens = TokenStore(database, self.store)
        self.sessions = Sessions(SessionStore(database, self.store, tokens.key))
        self.guard = Guard(settings, authenticator(settings, tokens))
        self._zone = ZoneInfo(settings.timezone)
        self._prepared = False
        self._preparing = Lock()

    def _clock(self) -> Clock:
        """The time at which a statement is evaluated, in the zone whose days its days are."""
        return Clock(zone=self._zone)

    def prepare(self) -> None:
        """Brings the database up to date, once.  Raises `StoreUnavailable`, and `CannotStart` for a newer database."""
        if self._prepared:
            return
        with self._preparing:
            if not self._prepared:
                self.database.prepare()
                self._prepared = True

    def ready(self) -> bool:
        """Whether MongoDB answers, and the database is up to date."""
        try:
            self.prepare()
            self.database.ping()
        except StoreUnavailable:
            return False
        return True

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document of all APIs."""
        return self._openapi

    @cached_property
    def _openapi(self) -> dict[str, Any]:
        return openapi.document(self.apis)


def create_app(settings: Settings | None = None, *, database: Database | None = None, apis: Sequence[Api] = APIS) -> Flask:
    """The WSGI application.

    `settings` default to the environment's, `database` to a connection to the one that they name.  MongoDB need not answer
    yet: until it does every call is a 503.  Raises `CannotStart` for settings that do not fit, for a database that a newer
    service has made and for a route that declares no permission.
    """
    settings = settings or Settings.from_environment()
    services = Services(settings, database or Database.connect(settings), apis)
    app = Flask("dms_tags", template_folder="api/operation/templates", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.body_limit
    app.config["ORIGIN"] = settings.origin
    app.url_map.merge_slashes = False
    app.extensions[EXTENSION] = services
    services.guard.init_app(app)
    for api in apis:
        api.register(app, services)

    def render(error: Exception) -> Response:
        return _owner(apis, request.path).render(error)

    app.register_error_handler(Exception, render)
    try:
        services.prepare()
    except StoreUnavailable as error:
        log.warning("starting without MongoDB: %s", error.detail)
    return app


def _owner(apis: Sequence[Api], path: str) -> Api:
    """The API that a path belongs to, told by the longest of the roots that it lies below."""
    roots = [(root, api) for api in apis for root in api.roots or (api.prefix,) if not root or f"{path}/".startswith(f"{root}/")]
    return max(roots, key=lambda one: len(one[0]))[1]
