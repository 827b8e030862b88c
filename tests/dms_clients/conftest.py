"""A service as a shop runs it for its DMS clients: tokens, every base, content thrown away since there is no DMS behind it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pymongo import MongoClient

from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.support.identity import ADMIN
from tests.support.service import service

OWN_BASE = "/dms-tags/api/dms"


@dataclass(frozen=True, slots=True)
class Shop:
    """A running service at `url`, and the tokens that it knows."""

    url: str
    tokens: TokenStore

    def token(self, tenant: str, *permissions: Permission) -> str:
        """A token of the tenant's clients, of the name `clients`."""
        return self.tokens.create(tenant, "clients", Grant(frozenset(permissions)), ADMIN)


@pytest.fixture(scope="package")
def shop(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    name = f"test_{uuid.uuid4().hex}"
    database = Database.connect(Settings(mongo_uri=mongo_uri, database=name))
    settings = {
        "DMS_TAGS_MONGO_URI": mongo_uri,
        "DMS_TAGS_DATABASE": name,
        "DMS_TAGS_AUTH": "tokens",
        "DMS_TAGS_WORKERS": "1",
        "DMS_TAGS_CONTENT": "discard",
        "DMS_TAGS_DMS_BASES": f"/api/dms,/dms-core,/api-web/api/dms,{OWN_BASE}",
    }
    try:
        with service(tmp_path_factory.mktemp("shop"), settings) as running:
            yield Shop(running.url, TokenStore(database, TagStore(database)))
    finally:
        database.close()
        mongo_client.drop_database(name)
