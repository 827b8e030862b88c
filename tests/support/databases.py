"""Prepared databases that tests lend: to make one, with its indexes, takes longer than most tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymongo.write_concern import WriteConcern

from dms_tags.serving.mongod import Client
from dms_tags.settings import Settings
from dms_tags.store.database import Database

SOON = WriteConcern(1)


class Databases:
    """The databases of one mongod.  Each is empty when it is lent, and has what `Database.prepare` makes."""

    def __init__(self, uri: str, client: Client) -> None:
        self._uri = uri
        self._client = client
        self._free: list[str] = []
        self._first: dict[str, Any] = {}
        self._schema: list[dict[str, Any]] = []

    @contextmanager
    def lent(self) -> Iterator[str]:
        """The name of one; only for a test all of whose writers have ended when it ends, else see `of_its_own`."""
        name = self._free.pop() if self._free else self._made()
        yield name
        if self._emptied(name):
            self._free.append(name)
        else:
            self._client.drop_database(name)

    @contextmanager
    def of_its_own(self) -> Iterator[str]:
        """The name of one that is not there yet, and that nobody else will have; it is gone afterwards."""
        name = _name()
        yield name
        self._client.drop_database(name)

    def _made(self) -> str:
        name = _name()
        database = Database.connect(Settings(mongo_uri=self._uri, database=name))
        database.prepare()
        database.close()
        self._first = self._first or self._indexes(name)
        self._schema = list(self._client[name]["schema"].find())
        return name

    def _indexes(self, name: str) -> dict[str, Any]:
        database = self._client[name]
        return {each: database[each].index_information() for each in database.list_collection_names()}

    def _emptied(self, name: str) -> bool:
        """Whether it is again as it was; not where a test changed a collection that every database has, or its indexes."""
        database = self._client[name]
        for extra in set(database.list_collection_names()) - self._first.keys():
            database.drop_collection(extra)
        if self._indexes(name) != self._first:
            return False
        for collection in self._first.keys() - {"schema"}:
            database.get_collection(collection, write_concern=SOON).delete_many({})
        database["schema"].delete_many({"_id": {"$ne": "version"}})  # the last one waits for a majority, and so for them all
        return list(database["schema"].find()) == self._schema


@pytest.fixture
def database_name(databases: Databases) -> Iterator[str]:
    """For a folder whose tests kill writers, or make the database themselves."""
    with databases.of_its_own() as name:
        yield name


def _name() -> str:
    return f"test_{uuid.uuid4().hex}"
