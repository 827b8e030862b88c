"""What the proofs share: one prepared database for all that need no more than a tenant of their own in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.proofs.relays import prepared


@pytest.fixture(scope="session")
def proof_database(mongo_uri: str) -> Iterator[Database]:
    with prepared(Settings(mongo_uri=mongo_uri, database="proofs")) as database:
        yield database
        database.client.drop_database("proofs")
