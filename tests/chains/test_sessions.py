"""Sessions open the chain tags API and nothing else; tokens open everything else and not this."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from dms_tags.chains.model import Access
from dms_tags.chains.sessions import Sessions
from dms_tags.errors import NotFound, Unauthenticated
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.settings import Settings
from tests.support.app import Service, running
from tests.support.chains import ADMIN, ALL, FOO, Headers, add, log_in, prepare, refused, session_store

PATH = "/auth/get-tags?chain_id=1"


@pytest.fixture
def service() -> Iterator[Service]:
    """The application in memory, believing tokens."""
    with running(Settings(mongo_uri="mongomock://", auth="tokens")) as found:
        yield found


def test_both_spellings(service: Service) -> None:
    """A session is sent under the present names of its headers or under the old ones."""
    headers = prepare(service)
    old = {"session-user-id": headers["X-Spaaza-Session-User-Id"], "session-key": headers["X-Spaaza-Session-Key"]}

    assert 200 == service.client.get(PATH, headers=headers).status_code
    assert 200 == service.client.get(PATH, headers=old).status_code


def test_what_is_no_session(service: Service) -> None:
    """A session that is incomplete, another user's, expired, altered or invented is refused."""
    headers = prepare(service)
    user, key = headers["X-Spaaza-Session-User-Id"], headers["X-Spaaza-Session-Key"]
    token = TokenStore(service.database, service.services.store).create("default", "t", Grant(frozenset(Permission)), ADMIN)
    last = "0" if key[-1] != "0" else "1"

    def pair(user: str, key: str) -> Headers:
        return {"X-Spaaza-Session-User-Id": user, "X-Spaaza-Session-Key": key}

    for wrong in (
        {},
        {"X-Spaaza-Session-User-Id": user},
        {"X-Spaaza-Session-Key": key},
        pair("8", key),
        pair(user, ""),
        pair(user, key[:-1] + last),
        pair(user, f"dmss_{'0' * 16}_{'0' * 64}"),
        pair(user, token),
        log_in(service, days=-1),
        {"Authorization": f"Bearer {token}"},
    ):
        answer = service.client.get(PATH, headers=wrong)
        refused(answer, 401, 6, "no_valid_session")
        assert answer.headers["WWW-Authenticate"].startswith("Session ")


def test_session_opens_nothing_else(service: Service) -> None:
    """A session, in its own headers or as a Bearer token, is no identity for the other APIs."""
    headers = prepare(service)
    bearer = {"Authorization": f"Bearer {headers['X-Spaaza-Session-Key']}"}

    for path in ("/tags", "/api/dms/objects/o1/tags"):
        assert [401, 401] == [service.client.get(path, headers=sent).status_code for sent in (headers, bearer)]


def test_tenant_of_a_session(service: Service) -> None:
    """A session is of one tenant; another one's name beside it is refused, and other tenants' tags are out of its reach."""
    headers = prepare(service)
    add(service, headers)
    service.services.chains.chains.add("acme", FOO, ADMIN)
    made = session_store(service).create("acme", "7", {1: ALL}, _far(), ADMIN)
    acme = {"X-Spaaza-Session-User-Id": "7", "X-Spaaza-Session-Key": made.text}

    refused(
        service.client.get(PATH, headers=headers | {"X-ID-TENANT-NAME": "acme"}), 403, 68, "permission_denied_or_non_existent"
    )
    assert [] == (service.client.get(PATH, headers=acme).json or {})["results"]["tags"]
    refused(service.client.get("/auth/get-tag?id=1", headers=acme), 400, 230, "entity_not_found")
    assert 1 == add(service, acme)


def test_revoking(service: Service) -> None:
    """A revoked session is refused by who has not read the list since, and cannot be revoked twice."""
    store = session_store(service)
    made = store.create("default", "7", {1: frozenset({Access.READ})}, _far(), ADMIN)
    assert "7" == Sessions(store, service.database.clock.now).identify("7", made.text).user

    store.revoke("default", made.id, ADMIN)

    with pytest.raises(Unauthenticated):
        Sessions(store, service.database.clock.now).identify("7", made.text)
    with pytest.raises(NotFound):
        store.revoke("default", made.id, ADMIN)


def test_rate(service: Service) -> None:
    """A session that sends more than its share is told when to go on, in the API's envelope."""
    headers = prepare(service)

    with running(Settings(mongo_uri="mongomock://", auth="tokens", rate=1), service.database) as slow:
        answers = [slow.client.get(PATH, headers=headers) for _ in range(20)]

    over = [answer for answer in answers if answer.status_code != 200]
    assert over
    for answer in over:
        refused(answer, 429, 9429, "rate_limited")
        assert "1" == answer.headers["Retry-After"]


def test_what_is_kept(service: Service) -> None:
    """No collection holds a session's secret; the trail shows who made it, for whom, and what it may do."""
    made = session_store(service).create("default", "7", {1: ALL}, _far(), ADMIN)

    entries = service.entries()
    kept = [list(service.database.collection(name).find({})) for name in ("session_credentials", "tags", "audit_trail")]
    assert made.secret not in repr(kept)
    assert [(f"session/{made.id}", "ADMIN_CREATED", "root")] == [
        (entry["resource"], entry["actionName"], entry["createdBy"]) for entry in entries
    ]
    assert {"chains": {"1": ["delete", "read", "write"]}, "expires": "2100-01-01T00:00:00.000Z"} == entries[0]["state"]


def _far() -> datetime:
    return datetime(2100, 1, 1, tzinfo=UTC)
