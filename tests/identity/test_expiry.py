"""When tokens, JWTs and sessions end: by MongoDB's clock, whatever this machine's says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dms_tags.chains.sessions import SessionStore
from dms_tags.cli.main import main
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.model import now
from dms_tags.settings import Settings
from dms_tags.store.clock import DatabaseClock
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.support.app import running
from tests.support.chains import ADMIN, ALL, FOO
from tests.support.identity import AUDIENCE, issuer

AHEAD, BEHIND = timedelta(hours=1), timedelta(hours=-1)
ENDS = timedelta(minutes=30)


def shifted(database: Database, by: timedelta) -> Database:
    """The database, its clock that far from this machine's."""
    database.clock = DatabaseClock(lambda: now() + by)
    return database


@pytest.mark.parametrize(("by", "ends", "status"), [(AHEAD, ENDS, 401), (BEHIND, -ENDS, 200)])
def test_token(memory: Database, by: timedelta, ends: timedelta, status: int) -> None:
    """A token ends when MongoDB's clock says so, early or late by this machine's."""
    database = shifted(memory, by)
    grant = Grant(frozenset({Permission.READ}), expires=now() + ends)
    secret = TokenStore(database, TagStore(database)).create("default", "t", grant, ADMIN)

    with running(Settings(mongo_uri="mongomock://", auth="tokens"), database) as service:
        answer = service.client.get("/api/dms/objects/o1/tags", headers={"Authorization": f"Bearer {secret}"})

    assert status == answer.status_code, answer.text


@pytest.mark.parametrize(("by", "ends", "status"), [(AHEAD, ENDS, 401), (BEHIND, -ENDS, 200)])
def test_session(memory: Database, by: timedelta, ends: timedelta, status: int) -> None:
    """So does a session of the chain tags API."""
    database = shifted(memory, by)
    made = SessionStore(database, TagStore(database)).create("default", "7", {FOO.id: ALL}, now() + ends, ADMIN)

    with running(Settings(mongo_uri="mongomock://", auth="tokens"), database) as service:
        service.services.chains.chains.add("default", FOO, ADMIN)
        sent = {"X-Spaaza-Session-User-Id": "7", "X-Spaaza-Session-Key": made.text}
        answer = service.client.get("/auth/get-tags?chain_id=1", headers=sent)

    assert status == answer.status_code, answer.text


@pytest.mark.parametrize(
    ("by", "claims", "status"),
    [
        (AHEAD, {"exp": ENDS}, 401),
        (BEHIND, {"exp": -ENDS}, 200),
        (BEHIND, {"exp": AHEAD, "nbf": -ENDS}, 401),
        (AHEAD, {"exp": 2 * AHEAD, "nbf": ENDS, "iat": ENDS}, 200),
        (BEHIND, {"exp": AHEAD, "iat": -ENDS}, 401),
    ],
)
def test_jwt(memory: Database, by: timedelta, claims: dict[str, timedelta], status: int) -> None:
    """So does a JWT, and it begins so: `exp`, `nbf` and `iat` are held against MongoDB's clock."""
    with issuer() as idp:
        idp.add_key("ES256")
        settings = Settings(
            mongo_uri="mongomock://", auth="jwt", jwt_issuer=idp.url, jwt_audience=AUDIENCE, jwt_jwks=f"{idp.url}/jwks"
        )
        times: dict[str, Any] = {claim: int((now() + ends).timestamp()) for claim, ends in claims.items()}
        text = idp.sign(**({"iat": None} | times))
        with running(settings, shifted(memory, by)) as service:
            answer = service.client.get("/api/dms/objects/o1/tags", headers={"Authorization": f"Bearer {text}"})

    assert status == answer.status_code, answer.text


def test_what_is_noted(memory: Database) -> None:
    """When a token was made and last used is told by MongoDB's clock too."""
    store = TokenStore(shifted(memory, AHEAD), TagStore(memory))
    store.create("default", "t", Grant(frozenset({Permission.READ})), ADMIN)
    [token] = store.every()
    store.used([token.id])

    [used] = store.every()
    assert used.last_used is not None
    assert used.created > now() + ENDS < used.last_used


def test_lifetimes_begin_at_the_store(settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--expires 30d` counts from MongoDB's time: the command does not ask the clock of the machine that it runs on."""
    monkeypatch.setenv("DMS_TAGS_MONGO_URI", settings.mongo_uri or "")
    monkeypatch.setenv("DMS_TAGS_DATABASE", settings.database)
    monkeypatch.setattr("dms_tags.store.database.DatabaseClock", lambda ask: DatabaseClock(lambda: ask() + AHEAD))

    assert 0 == main(["token", "create", "--name", "t", "--allow", "read", "--expires", "30d"])
    [token] = TokenStore(database, TagStore(database)).every()
    assert token.grant is not None
    assert token.grant.expires is not None
    assert token.grant.expires > now() + timedelta(days=30) + ENDS
