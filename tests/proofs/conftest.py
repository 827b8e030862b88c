"""What the proofs share: one prepared database for all that need no more than a tenant of their own in it.

The others have one of their own: what a writer that was killed wrote last may come in when it is dead.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.proofs.relays import prepared
from tests.support.databases import database_name

__all__ = ["database_name", "proof_database"]


@pytest.fixture(scope="session")
def proof_database(mongo_uri: str) -> Iterator[Database]:
    with prepared(Settings(mongo_uri=mongo_uri, database="proofs")) as database:
        yield database
        database.client.drop_database("proofs")
