"""The application: settings, then the store, then services, then the APIs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from flask import Flask, Response, request

from dms_tags import counters, tracing
from dms_tags.api import openapi
from dms_tags.api.chains import routes as chains
from dms_tags.api.console import routes as console
from dms_tags.api.dms import routes as dms
from dms_tags.api.endpoint import Api
from dms_tags.api.gate.bases import Bases
from dms_tags.api.gate.call_spans import CallSpans
from dms_tags.api.metadata import routes as metadata
from dms_tags.api.operation import pages
from dms_tags.api.operation import routes as operation
from dms_tags.api.services import Services
from dms_tags.errors import StoreUnavailable
from dms_tags.settings import Settings
from dms_tags.store.database import Database

log = logging.getLogger(__name__)

APIS: tuple[Api, ...] = (dms.api, metadata.api, chains.api, operation.api, pages.api, console.api)
"""Every API of the service.  What a path belongs to is told by the longest prefix: it decides the shape of errors."""

EXTENSION = "dms_tags"


class Application(Flask):
    """Flask without the question, three times in a request, whether a view is a coroutine: none is."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function as it is."""
        return func


def create_app(settings: Settings | None = None, *, database: Database | None = None, apis: Sequence[Api] = APIS) -> Flask:
    """The WSGI application.

    `settings` default to the environment's, `database` to a connection to the one that they name.  MongoDB need not answer
    yet: until it does every call is a 503.  Raises `CannotStart` for settings that do not fit, for a database that a newer
    service has made and for a route that declares no permission.
    """
    settings = settings or Settings.from_environment()
    services = Services(settings, database or Database.connect(settings))
    services.openapi = cache(lambda: openapi.document(apis))
    app = Application("dms_tags", template_folder="api/operation/templates", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.body_limit
    app.config["ORIGIN"] = settings.origin
    app.url_map.merge_slashes = False
    app.extensions[EXTENSION] = services
    app.wsgi_app = Bases(app.wsgi_app, settings.dms_bases)  # type: ignore[method-assign]
    spans = tracing.current()
    if spans is not None:
        CallSpans(spans).init_app(app)
    services.guard.init_app(app)
    for api in apis:
        api.register(app, services)

    def render(error: Exception) -> Response:
        response = _owner(apis, request.path).render(error)
        counters.count_unrouted(request.method, response.status_code)
        return response

    app.register_error_handler(Exception, render)
    try:
        services.prepare()
    except StoreUnavailable as error:
        log.warning("starting without MongoDB: %s", error.detail)
    return app


def _owner(apis: Sequence[Api], path: str) -> Api:
    """The API that a path belongs to, told by the longest of the roots that it lies below."""
    roots = [(root, api) for api in apis for root in api.roots or (api.prefix,) if not root or f"{path}/".startswith(f"{root}/")]
    return max(roots, key=lambda rooted: len(rooted[0]))[1]
