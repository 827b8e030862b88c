from __future__ import annotations

from collections.abc import Iterator

import pytest

from dms_tags.settings import Settings
from tests.support.app import Service, running


@pytest.fixture(params=["mongomock", "mongod"])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """The application on each store; requests come from localhost, without authentication."""
    if request.param == "mongomock":
        settings = Settings(mongo_uri="mongomock://", database="contract", auth="none")
    else:
        settings = Settings(
            mongo_uri=request.getfixturevalue("mongo_uri"), database=request.getfixturevalue("database_name"), auth="none"
        )
    with running(settings) as found:
        yield found
