"""What tests share: a real mongod, and a fresh database of it for each test.

`mongo_uri` (session) one real one-node replica set; `database_name` an empty database of it that nobody else uses meanwhile;
`settings` the service's settings for both; `database` the connected, prepared `Database`.  A replica set that a test
may crash is its own: `tests.support.mongo.replica_set(tmp_path, members=3)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from dms_tags.identity.store import TokenStore
from dms_tags.serving.mongod import Client
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.support.app import Service, make_url_builders_late, running
from tests.support.databases import Databases
from tests.support.mongo import replica_set
from tests.support.stores import shared

__all__ = ["shared"]

REAL = (
    "tests.support.mongo",
    "tests.support.service",
    "tests.support.browser",
    "tests.proofs",
    "dms_tags.serving.mongod",
    "dms_tags.serving.embedded",
)
"""A test module that uses anything of these starts mongods or whole services by itself."""


def pytest_configure(config: pytest.Config) -> None:
    """Tells of the marker, and spares every test a thing that none of them looks at."""
    config.addinivalue_line("markers", "thorough: takes seconds of made-up calls or waits them out; not for `--quick`")
    make_url_builders_late()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--quick` is what `scripts/test quick` runs."""
    parser.addoption("--quick", action="store_true", help="leave out every test that needs a mongod, a whole service or seconds")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what `--quick` has no time for; it is counted as deselected, never as skipped."""
    if config.getoption("quick"):
        left_out = [item for item in items if _takes_more_than_a_moment(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _takes_more_than_a_moment(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function):
        return True
    chosen = item.callspec.params.values() if hasattr(item, "callspec") else ()
    used = {getattr(value, "__module__", None) or "" for value in vars(item.module).values()}
    return (
        item.get_closest_marker("thorough") is not None
        or "mongo_uri" in item.fixturenames
        or any(parameter == "mongod" for parameter in chosen if isinstance(parameter, str))
        or any(module.startswith(REAL) for module in used)
    )


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with replica_set(tmp_path_factory.mktemp("mongod")) as running:
        yield running.uri


@pytest.fixture(scope="session")
def mongo_client(mongo_uri: str) -> Iterator[Client]:
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        yield client


@pytest.fixture(scope="session")
def databases(mongo_uri: str, mongo_client: Client) -> Databases:
    """The prepared databases of the mongod."""
    return Databases(mongo_uri, mongo_client)


@pytest.fixture
def database_name(databases: Databases) -> Iterator[str]:
    """A prepared, empty database; a folder whose tests kill writers gives them one of their own instead."""
    with databases.lent() as name:
        yield name


@pytest.fixture
def settings(mongo_uri: str, database_name: str, tmp_path: Path) -> Settings:
    return Settings(mongo_uri=mongo_uri, database=database_name, data=tmp_path / "data")


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database.connect(settings)
    database.prepare()
    yield database
    database.close()


@pytest.fixture(params=["mongomock", "mongod"])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """The application on each store; requests come from localhost, without authentication."""
    if request.param == "mongomock":
        settings = Settings(mongo_uri="mongomock://", database="contract", auth="none")
    else:
        settings = Settings(
            mongo_uri=request.getfixturevalue("mongo_uri"), database=request.getfixturevalue("database_name"), auth="none"
        )
    with running(settings) as application:
        yield application


@pytest.fixture
def real(mongo_uri: str, database_name: str) -> Iterator[Service]:
    """The application on a real mongod: what is shown of races and of the database's clock is shown there."""
    with running(Settings(mongo_uri=mongo_uri, database=database_name, auth="none")) as application:
        yield application


@pytest.fixture
def memory() -> Database:
    """A store in memory."""
    database = Database.connect(Settings(mongo_uri="mongomock://"))
    database.prepare()
    return database


@pytest.fixture
def token_store(memory: Database) -> TokenStore:
    """The tokens of the store in memory."""
    return TokenStore(memory, TagStore(memory))
