from __future__ import annotations

from collections.abc import Iterator

import pytest

from dms_tags.settings import Settings
from tests.support.app import Service, running


@pytest.fixture(params=["mongomock", "mongod"])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """The application on each store, without authentication."""
    if request.param == "mongomock":
        settings = Settings(mongo_uri="mongomock://", database="workflow", auth="none")
    else:
        settings = Settings(
            mongo_uri=request.getfixturevalue("mongo_uri"), database=request.getfixturevalue("database_name"), auth="none"
        )
    with running(settings) as found:
        yield found


@pytest.fixture
def real(mongo_uri: str, database_name: str) -> Iterator[Service]:
    """The application on a real mongod: what is shown of races and of the database's clock is shown there."""
    with running(Settings(mongo_uri=mongo_uri, database=database_name, auth="none")) as found:
        yield found
