"""One application for all cases of a table: cases that change nothing need no fresh store each."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from dms_tags.settings import Settings
from tests.support.app import Service, running


@pytest.fixture(scope="module", params=["mongomock", "mongod"])
def shared(request: pytest.FixtureRequest) -> Iterator[Service]:
    """The application on each store, for a whole module; requests come from localhost, without authentication."""
    if request.param == "mongomock":
        with running(Settings(mongo_uri="mongomock://", auth="none")) as found:
            yield found
        return
    name = f"test_{uuid.uuid4().hex}"
    uri, client = request.getfixturevalue("mongo_uri"), request.getfixturevalue("mongo_client")
    with running(Settings(mongo_uri=uri, database=name, auth="none")) as found:
        yield found
    client.drop_database(name)
