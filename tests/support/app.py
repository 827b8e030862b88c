"""The whole application in this process: its test client, and a relay that runs beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from dms_tags.api.services import Services
from dms_tags.app import EXTENSION, create_app
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.beside import relaying


@dataclass(frozen=True, slots=True)
class Service:
    """A running service; `client` sends requests into it."""

    app: Flask
    client: FlaskClient
    database: Database

    @property
    def services(self) -> Services:
        found: Services = self.app.extensions[EXTENSION]
        return found

    def entries(self, tenant: str = "default") -> list[dict[str, Any]]:
        """The tenant's trail, whole, in order of position."""
        self.services.trail.wait_for(tenant)
        return list(self.database.trail.find({"tenant": tenant}, sort=[("position", 1)]))


def make_url_builders_late() -> None:
    """Has werkzeug compile what builds a route's URL when one is built, not for each route of each application.

    A thousand tests make an application each and build no URL: that took half of their time.
    """
    at_once = Rule._compile_builder  # noqa: SLF001 - there is no other way in, and only tests rest on it

    def late(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        return lambda _, **values: at_once(rule, append_unknown)(rule, **values)

    setattr(Rule, at_once.__name__, late)


@contextmanager
def running(settings: Settings, database: Database | None = None) -> Iterator[Service]:
    """The application with a relay in a thread, both ended on leaving."""
    database = database or Database.connect(settings)
    app = create_app(settings, database=database)
    try:
        with relaying(database, pause=0.005):
            yield Service(app, app.test_client(), database)
    finally:
        database.close()
