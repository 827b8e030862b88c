"""A store that fails when told to, through the collections that services are handed."""

from __future__ import annotations

from typing import Any

from dms_tags.database import Database
from dms_tags.settings import Settings


class Faulty:
    """A collection whose every call raises `error` while there is one."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        if self.error is not None:
            raise self.error
        return getattr(self._collection, name)


def faulty_database(settings: Settings) -> tuple[Database, Faulty]:
    """A database, and the switch that makes its tags fail."""
    database = Database.connect(settings)
    database.prepare()
    switch = Faulty(database.tags)
    database.tags = switch  # type: ignore[assignment]
    return database, switch
