"""One application for all cases of a table: cases that change nothing need no fresh store each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dms_tags.settings import Settings
from tests.support.app import Service, running
from tests.support.databases import Databases


@pytest.fixture(scope="module", params=["mongomock", "mongod"])
def shared(request: pytest.FixtureRequest) -> Iterator[Service]:
    """The application on each store, for a whole module; requests come from localhost, without authentication."""
    if request.param == "mongomock":
        with running(Settings(mongo_uri="mongomock://", auth="none")) as found:
            yield found
        return
    databases: Databases = request.getfixturevalue("databases")
    with (
        databases.lent() as name,
        running(Settings(mongo_uri=request.getfixturevalue("mongo_uri"), database=name, auth="none")) as found,
    ):
        yield found
