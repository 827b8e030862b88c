"""What tests share: a real mongod, and a fresh database of it for each test.

`mongo_uri` (session) one real one-node replica set; `database_name` a name nobody else uses, dropped after the test;
`settings` the service's settings for both; `database` the connected, prepared `Database`.  A replica set that a test
may crash is its own: `tests.support.mongo.replica_set(tmp_path, members=3)`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from dms_tags.serving.mongod import Client
from dms_tags.settings import Settings
from tests.support.mongo import replica_set

if TYPE_CHECKING:
    from dms_tags.database import Database


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with replica_set(tmp_path_factory.mktemp("mongod")) as running:
        yield running.uri


@pytest.fixture(scope="session")
def mongo_client(mongo_uri: str) -> Iterator[Client]:
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        yield client


@pytest.fixture
def database_name(mongo_client: Client) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    yield name
    mongo_client.drop_database(name)


@pytest.fixture
def settings(mongo_uri: str, database_name: str, tmp_path: Path) -> Settings:
    return Settings(mongo_uri=mongo_uri, database=database_name, data=tmp_path / "data")


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    from dms_tags.database import Database  # here, so that what needs no store does not import it

    database = Database.connect(settings)
    database.prepare()
    yield database
    database.close()
