"""The one store of what proves callers: earlier databases go on working, and what is malformed opens nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from dms_tags.chains.model import Access
from dms_tags.chains.sessions import SessionStore
from dms_tags.errors import InUse
from dms_tags.identity import tokens
from dms_tags.identity.credentials import CredentialStore
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.model import Actor, Change, Kind, Resource, Verb, now
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.support.identity import ADMIN

ID, SECRET = "0123456789abcdef", "ab" * 32
KEY = b"k" * 32
TOKEN = {"id": ID, "allow": ["read"], "readTags": ["ocr:"], "writeTags": None, "expires": "2100-01-01T00:00:00.000Z"}
SESSION = {"user": "7", "chains": {"1": ["read", "write"]}, "expires": "2100-01-01T00:00:00.000Z"}


def earlier(memory: Database, kind: Kind, state: Any, **changes: Any) -> None:
    """Writes a token or a session as version 0.1.0 did."""
    memory.collection("meta").replace_one({"_id": "credentials-key"}, {"_id": "credentials-key", "value": KEY}, upsert=True)
    members = {"tenant": "default", "digest": tokens.digest(KEY, SECRET), "created": now()}
    if kind is Kind.TOKEN:
        name = changes.pop("name", "ocr")
        memory.collection("credentials").insert_one({**members, "_id": f"default/{name}", "name": name, "token": ID, **changes})
    else:
        name = changes.pop("_id", ID)
        memory.collection("session_credentials").insert_one({**members, "_id": name, "user": "7", **changes})
    tag = "token" if kind is Kind.TOKEN else "session"
    TagStore(memory).change(Change(Resource("default", kind, str(name)), tag, Verb.ADD, Actor("root", "cli"), state))


def test_earlier_token(memory: Database, token_store: TokenStore) -> None:
    """A token that an earlier version made is in force, listed, used and revoked as it was; its name stays taken."""
    earlier(memory, Kind.TOKEN, TOKEN)

    [token] = token_store.in_force()
    assert tokens.proves(tokens.Presented(ID, SECRET), token_store.key(), token.digest)
    assert ("ocr", frozenset({Permission.READ}), ("ocr:",)) == (
        token.identity.actor.name,
        token.identity.permissions,
        token.identity.read_prefixes,
    )
    assert token_store.knows(ID)
    token_store.used([ID])
    token_store.revoke("default", "ocr", ADMIN)
    [listed] = token_store.every()
    assert (ID, None, False) == (listed.id, listed.grant, listed.last_used is None)
    with pytest.raises(InUse):
        token_store.create("default", "ocr", Grant(frozenset()), ADMIN)


def test_earlier_session(memory: Database) -> None:
    """A session that an earlier version made is in force, listed, used and revoked as it was."""
    earlier(memory, Kind.SESSION, SESSION)
    store = SessionStore(memory, TagStore(memory))

    [session] = store.in_force()
    assert tokens.proves(tokens.Presented(ID, SECRET), store.key(), session.digest)
    assert {1: {Access.READ, Access.WRITE}} == session.chains
    assert store.knows(ID)
    store.used([ID])
    store.revoke("default", ID, ADMIN)
    [listed] = store.every()
    assert (ID, None, False) == (listed.id, listed.session, listed.last_used is None)


def test_what_is_written(memory: Database, token_store: TokenStore) -> None:
    """What proves a credential and whose it is lies beside the tag, whose state the trail keeps for ever."""
    token_store.create("default", "ocr", Grant(frozenset({Permission.READ})), ADMIN)
    made = SessionStore(memory, TagStore(memory)).create("default", "7", {1: frozenset({Access.READ})}, now(), ADMIN)

    [token] = memory.collection("credentials").find({})
    [session] = memory.collection("session_credentials").find({})
    assert {"_id", "tenant", "name", "token", "resource", "digest", "created"} == set(token)
    assert {"_id", "tenant", "user", "resource", "digest", "created"} == set(session)
    assert made.id == session["_id"]
    states = {document["kind"]: document["tags"][0]["state"] for document in memory.tags.find({})}
    assert set(TOKEN) == set(states["token"])
    assert set(SESSION) - {"user"} == set(states["session"])


Stores = Callable[[Database, TagStore], CredentialStore[Any]]


@pytest.mark.parametrize(
    ("store_of", "kind", "state", "changes"),
    [
        (TokenStore, Kind.TOKEN, {**TOKEN, "id": "f" * 16}, {}),
        (TokenStore, Kind.TOKEN, {**TOKEN, "allow": ["everything"]}, {}),
        (TokenStore, Kind.TOKEN, {**TOKEN, "readTags": "ocr:"}, {}),
        (TokenStore, Kind.TOKEN, {**TOKEN, "expires": "soon"}, {}),
        (TokenStore, Kind.TOKEN, {"id": ID}, {}),
        (TokenStore, Kind.TOKEN, "anything", {}),
        (TokenStore, Kind.TOKEN, TOKEN, {"digest": b""}),
        (TokenStore, Kind.TOKEN, TOKEN, {"digest": None}),
        (TokenStore, Kind.TOKEN, TOKEN, {"tenant": None}),
        (SessionStore, Kind.SESSION, {**SESSION, "user": "8"}, {}),
        (SessionStore, Kind.SESSION, {**SESSION, "chains": {"x": ["read"]}}, {}),
        (SessionStore, Kind.SESSION, {**SESSION, "chains": {"1": ["own"]}}, {}),
        (SessionStore, Kind.SESSION, {**SESSION, "chains": ["1"]}, {}),
        (SessionStore, Kind.SESSION, {**SESSION, "expires": None}, {}),
        (SessionStore, Kind.SESSION, {"user": "7"}, {}),
        (SessionStore, Kind.SESSION, SESSION, {"digest": b"x" * 31}),
        (SessionStore, Kind.SESSION, SESSION, {"_id": 7}),
        (SessionStore, Kind.SESSION, SESSION, {"created": None}),
    ],
)
def test_malformed(
    memory: Database, caplog: pytest.LogCaptureFixture, store_of: Stores, kind: Kind, state: Any, changes: dict[str, Any]
) -> None:
    """What is malformed opens nothing and is logged by its name; the others are in force all the same."""
    earlier(memory, kind, state, **changes)
    store = store_of(memory, TagStore(memory))
    if isinstance(store, TokenStore):
        store.create("default", "other", Grant(frozenset()), ADMIN)
    elif isinstance(store, SessionStore):
        store.create("default", "7", {}, now(), ADMIN)

    with caplog.at_level(logging.ERROR):
        assert 1 == len(store.in_force())
    assert "malformed" in caplog.text


def test_another_tag_is_no_session(memory: Database) -> None:
    """Only the tag that is called so puts a session in force, not any other that its resource may have."""
    store = SessionStore(memory, TagStore(memory))
    made = store.create("default", "7", {}, now(), ADMIN)
    resource = Resource("default", Kind.SESSION, made.id)
    TagStore(memory).change(Change(resource, "other", Verb.ADD, ADMIN, SESSION))
    store.revoke("default", made.id, ADMIN)

    assert [] == store.in_force()
