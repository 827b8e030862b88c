"""The application on a store that fails when told to, through the collection of tags that its services are handed."""

from __future__ import annotations

from typing import Any

from dms_tags.app import create_app
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.app import Service


class Faulty:
    """A collection whose every call raises `error` while there is one."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        if self.error is not None:
            raise self.error
        return getattr(self._collection, name)


def breakable_service() -> tuple[Service, Faulty]:
    """The application in memory, without a relay, and the switch that makes its tags fail."""
    settings = Settings(mongo_uri="mongomock://", auth="none")
    database = Database.connect(settings)
    database.prepare()
    switch = Faulty(database.tags)
    database.tags = switch  # type: ignore[assignment]
    app = create_app(settings, database=database)
    return Service(app, app.test_client(), database), switch
