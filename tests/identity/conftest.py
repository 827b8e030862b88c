"""A store in memory, and tokens in it."""

from __future__ import annotations

import pytest

from dms_tags.database import Database
from dms_tags.identity.store import TokenStore
from dms_tags.settings import Settings
from dms_tags.tags.store import TagStore


@pytest.fixture
def memory() -> Database:
    database = Database.connect(Settings(mongo_uri="mongomock://"))
    database.prepare()
    return database


@pytest.fixture
def token_store(memory: Database) -> TokenStore:
    return TokenStore(memory, TagStore(memory))
