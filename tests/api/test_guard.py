"""The guard around every request: who is let in, from where, how often, and what every answer says."""

from __future__ import annotations

import base64
import logging
from typing import Any

import pytest
from flask import request
from flask.testing import FlaskClient

from dms_tags.app import EXTENSION, create_app
from dms_tags.errors import CannotStart
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.identity import ADMIN

TAGS = "/api/dms/objects/o1/tags"
TAG = f"{TAGS}/ocr/state/1"
EVERYTHING = Grant(frozenset(Permission))


@pytest.fixture
def secret(token_store: TokenStore) -> str:
    return token_store.create("default", "ocr-worker", EVERYTHING, ADMIN)


def client_of(database: Database, **settings: object) -> FlaskClient:
    """A client of the service on the database, with the settings."""
    app = create_app(Settings(**({"mongo_uri": "mongomock://"} | settings)), database=database)  # type: ignore[arg-type]
    return app.test_client()


@pytest.fixture
def guarded(memory: Database) -> FlaskClient:
    return client_of(memory, auth="tokens")


@pytest.fixture
def open_(memory: Database) -> FlaskClient:
    return client_of(memory, auth="none")


def basic(name: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


def refusals(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What was logged of refused calls."""
    return [record.__dict__["fields"] for record in caplog.records if record.name == "dms_tags.api.guard"]


def addresses(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [refusal["address"] for refusal in refusals(caplog)]


def test_bearer_and_basic(guarded: FlaskClient, secret: str) -> None:
    """A token lets in as Bearer, and as Basic with its name, in any case of the scheme."""
    for headers in (
        {"Authorization": f"Bearer {secret}"},
        {"Authorization": f"bearer  {secret}"},
        basic("ocr-worker", secret),
        {**basic("ocr-worker", secret), "X-ID-TENANT-NAME": "default"},
    ):
        assert guarded.get(TAGS, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic", "Basic !", "Digest x", "dmst_x", "Bearer eyJhbGciOiJub25lIn0.e30."]
)
def test_not_let_in(guarded: FlaskClient, header: str | None) -> None:
    """Without an identity, or with none that holds, a call is a 401 that says how to come back."""
    answer = guarded.post(TAG, headers={} if header is None else {"Authorization": header})

    assert 401 == answer.status_code
    assert "Bearer" in answer.headers["WWW-Authenticate"]
    assert "Basic" in answer.headers["WWW-Authenticate"]
    assert answer.json is not None
    assert "/problems/unauthenticated" == answer.json["type"]


def test_basic_with_another_name(guarded: FlaskClient, secret: str) -> None:
    """A token under another name than its own is refused, and so is one without a colon."""
    assert 401 == guarded.get(TAGS, headers=basic("other", secret)).status_code
    assert 401 == guarded.get(TAGS, headers={"Authorization": "Basic " + base64.b64encode(secret.encode()).decode()}).status_code


def test_actor_is_the_authenticated_name(guarded: FlaskClient, secret: str, memory: Database) -> None:
    """The trail names the token, whatever else the request claims to be."""
    headers = {"Authorization": f"Bearer {secret}", "X-Forwarded-User": "boss", "X-Remote-User": "boss", "From": "boss"}
    assert 200 == guarded.post(TAG, headers=headers).status_code

    document = memory.tags.find_one({"_id": "default/object/o1"})

    assert document is not None
    assert ("ocr-worker", "token") == (document["outbox"][0]["by"], document["outbox"][0]["byKind"])


def test_anonymous(open_: FlaskClient, memory: Database) -> None:
    """Without authentication the actor is anonymous, in the tenant that the header names, else in `default`."""
    open_.post(TAG)
    open_.post(TAG, headers={"X-ID-TENANT-NAME": "acme"})

    documents = list(memory.tags.find({}))

    assert {"default/object/o1", "acme/object/o1"} == {document["_id"] for document in documents}
    assert {("anonymous", "none")} == {(document["outbox"][0]["by"], document["outbox"][0]["byKind"]) for document in documents}


@pytest.mark.parametrize("tenant", ["", "Acme Ltd", "a/b", "../x", "a" * 65])
def test_anonymous_in_no_tenant(open_: FlaskClient, tenant: str) -> None:
    """A tenant that cannot be is a 400."""
    assert 400 == open_.post(TAG, headers={"X-ID-TENANT-NAME": tenant}).status_code


@pytest.mark.parametrize("host", ["localhost", "LocalHost:8080", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080", "[::1]"])
def test_loopback_hosts(open_: FlaskClient, host: str) -> None:
    """Without authentication requests to a loopback name are served."""
    assert 200 == open_.get(TAGS, headers={"Host": host}).status_code


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::2]", "x@localhost"]
)
def test_other_hosts(open_: FlaskClient, host: str) -> None:
    """Without authentication a request to any other name (DNS rebinding) is a 403 and changes nothing."""
    assert 403 == open_.post(TAG, headers={"Host": host}).status_code
    assert [] == open_.get(TAGS).json["objects"][0]["properties"]["system:tags"]["value"]  # type: ignore[index]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "http://[bad"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_other_sites(open_: FlaskClient, guarded: FlaskClient, secret: str, headers: dict[str, str]) -> None:
    """What a browser sends for a page of another origin is refused, where the browser needs no secret or adds it by itself."""
    assert 403 == open_.post(TAG, headers=headers).status_code
    assert 403 == guarded.post(TAG, headers={**basic("ocr-worker", secret), **headers}).status_code
    assert 200 == guarded.post(TAG, headers={"Authorization": f"Bearer {secret}", **headers}).status_code


def test_own_origin(open_: FlaskClient, memory: Database) -> None:
    """The service's own pages may call it, under its own address and under the one that is set for it."""
    assert (
        200
        == open_.post(
            TAG, headers={"Host": "127.0.0.1:8080", "Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin"}
        ).status_code
    )

    known = client_of(memory, auth="none", origin="https://tags.example")

    assert 200 == known.get(TAGS, headers={"Origin": "https://tags.example"}).status_code


def test_other_tenant(guarded: FlaskClient, secret: str, caplog: pytest.LogCaptureFixture) -> None:
    """A token does not open another tenant, whatever the header says, and the log names who tried."""
    assert 403 == guarded.get(TAGS, headers={"Authorization": f"Bearer {secret}", "X-ID-TENANT-NAME": "acme"}).status_code
    assert ["ocr-worker"] == [refusal["actor"] for refusal in refusals(caplog)]


def test_public_routes(guarded: FlaskClient, open_: FlaskClient) -> None:
    """The few public routes need no identity; without authentication they too are served to loopback names only."""
    assert 200 == guarded.get("/health/live").status_code
    assert 200 == open_.get("/health/live").status_code
    assert {403} == {
        open_.get(path, headers={"Host": "evil.example"}).status_code for path in ("/health/live", "/docs", "/no/such/path")
    }


def test_rate(memory: Database, token_store: TokenStore, secret: str) -> None:
    """An identity that sends more than its share is told when to come back; another is not concerned."""
    other = token_store.create("default", "other", EVERYTHING, ADMIN)
    limited = client_of(memory, auth="tokens", rate=5)
    answers = [limited.get(TAGS, headers={"Authorization": f"Bearer {secret}"}) for _ in range(30)]
    refused = [answer for answer in answers if answer.status_code == 429]

    assert refused
    assert {"1"} == {answer.headers["Retry-After"] for answer in refused}
    assert 200 == limited.get(TAGS, headers={"Authorization": f"Bearer {other}"}).status_code


def test_refusals_are_logged(guarded: FlaskClient, token_store: TokenStore, caplog: pytest.LogCaptureFixture) -> None:
    """A refused call is logged with actor and address, and with no part of any secret."""
    reader = token_store.create("default", "reader", Grant(frozenset({Permission.READ})), ADMIN)
    with caplog.at_level(logging.WARNING, logger="dms_tags.api.guard"):
        guarded.post(TAG, headers={"Authorization": f"Bearer {reader}"}, environ_base={"REMOTE_ADDR": "192.0.2.7"})
        guarded.post(TAG, headers={"Authorization": f"Bearer {reader[:-1]}x"}, environ_base={"REMOTE_ADDR": "192.0.2.8"})
    known, unknown = refusals(caplog)

    assert (403, "reader", "token", "default", "192.0.2.7", TAG) == tuple(
        known[name] for name in ("status", "actor", "actor_kind", "tenant", "address", "path")
    )
    assert (401, None, "192.0.2.8") == (unknown["status"], unknown["actor"], unknown["address"])
    assert reader[-20:-1] not in str([known, unknown])


def test_what_was_refused_is_named(guarded: FlaskClient, token_store: TokenStore, caplog: pytest.LogCaptureFixture) -> None:
    """Of a token that is refused the log tells the name or the id, so that its user can be found."""
    secret = token_store.create("default", "former", EVERYTHING, ADMIN)
    token_store.revoke("default", "former", ADMIN)
    for headers in (
        {"Authorization": f"Bearer {secret}"},
        basic("former", secret),
        {"Authorization": "Basic !"},
        basic("a\nb", secret),
    ):
        guarded.get(TAGS, headers=headers)

    assert [secret.split("_")[1], "former", None, None] == [refusal["claimed"] for refusal in refusals(caplog)]


def test_forwarded_headers_mean_nothing(guarded: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """What a client says about itself is not believed."""
    guarded.post(TAG, headers={"X-Forwarded-For": "192.0.2.1"}, environ_base={"REMOTE_ADDR": "198.51.100.9"})

    assert ["198.51.100.9"] == addresses(caplog)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "203.0.113.66, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3"),
        ("192.0.2.50", "203.0.113.66", "192.0.2.50"),
    ],
)
def test_trusted_proxies(memory: Database, caplog: pytest.LogCaptureFixture, peer: str, forwarded: str, client: str) -> None:
    """A named proxy is believed about the client; what the client itself put in front is not."""
    behind = client_of(memory, auth="tokens", trusted_proxies=("10.0.0.0/8",))
    behind.post(TAG, headers={"X-Forwarded-For": forwarded}, environ_base={"REMOTE_ADDR": peer})

    assert [client] == addresses(caplog)


def test_proxy_names_scheme_and_host(memory: Database) -> None:
    """Of a named proxy scheme and host are believed; nonsense is passed over."""
    app = create_app(Settings(mongo_uri="mongomock://", auth="tokens", trusted_proxies=("10.0.0.0/8",)), database=memory)
    seen: list[str] = []
    app.before_request(lambda: seen.append(request.host_url))
    for peer, scheme, host in (
        ("10.0.0.1", "https", "tags.example"),
        ("10.0.0.1", "ftp", "a b"),
        ("192.0.2.1", "https", "tags.example"),
    ):
        app.test_client().get(
            "/health/live", headers={"X-Forwarded-Proto": scheme, "X-Forwarded-Host": host}, environ_base={"REMOTE_ADDR": peer}
        )

    assert ["https://tags.example/", "http://localhost/", "http://localhost/"] == seen


def test_cors_is_off(guarded: FlaskClient, secret: str) -> None:
    """Unless origins are named no page of another origin may read an answer."""
    answer = guarded.get(TAGS, headers={"Authorization": f"Bearer {secret}", "Origin": "https://app.example"})

    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


def test_cors(memory: Database, secret: str) -> None:
    """A page of a named origin may ask and read; one of another may not."""
    named = client_of(memory, auth="tokens", cors_origins=("https://app.example",))
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = named.options(TAG, headers={"Origin": "https://app.example", **asked})
    foreign = named.options(TAG, headers={"Origin": "https://evil.example", **asked})
    answer = named.post(TAG, headers={"Authorization": f"Bearer {secret}", "Origin": "https://app.example"})
    refused = named.post(TAG, headers={"Origin": "https://app.example"})

    assert (204, "https://app.example") == (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"])
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Origin" not in foreign.headers
    assert (200, "https://app.example") == (answer.status_code, answer.headers["Access-Control-Allow-Origin"])
    assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
    assert "Origin" in answer.headers["Vary"]
    assert (401, "https://app.example") == (refused.status_code, refused.headers["Access-Control-Allow-Origin"])
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_security_headers(guarded: FlaskClient, secret: str) -> None:
    """No answer is sniffed, none with an identity is stored, and pages load nothing from elsewhere and cannot be framed."""
    answer = guarded.get(TAGS, headers={"Authorization": f"Bearer {secret}"})
    page = guarded.get("/docs")

    assert ("nosniff", "no-store") == (answer.headers["X-Content-Type-Options"], answer.headers["Cache-Control"])
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]


def test_body_limit(guarded: FlaskClient, secret: str) -> None:
    """A body over the limit is a 413, also where a body has no meaning, and changes nothing."""
    headers = {"Authorization": f"Bearer {secret}"}

    assert 413 == guarded.post(TAG, headers=headers, data=b"x" * 1_000_001).status_code
    assert [] == guarded.get(TAGS, headers=headers).json["objects"][0]["properties"]["system:tags"]["value"]  # type: ignore[index]
    assert 200 == guarded.post(TAG, headers=headers, data=b"x" * 1_000_000).status_code


@pytest.mark.parametrize("settings", [{"bind": "0.0.0.0:8080", "auth": "none"}, {"auth": "jwt"}])
def test_unsafe_settings_do_not_start(memory: Database, settings: dict[str, str]) -> None:
    """The service does not start without authentication where others reach it, nor with half a set-up for JWTs."""
    with pytest.raises(CannotStart):
        client_of(memory, **settings)


def test_elsewhere_tokens_are_asked_for(memory: Database) -> None:
    """On an address that others reach tokens are asked for unless something else is set."""
    assert 401 == client_of(memory, bind="0.0.0.0:8080").get(TAGS).status_code


def test_local_requests(memory: Database) -> None:
    """A request counts as made on this machine only if it was made to it and not handed on by a proxy on it."""
    app = create_app(Settings(mongo_uri="mongomock://", auth="tokens"), database=memory)
    guard = app.extensions[EXTENSION].guard
    told = []
    for headers, peer in (
        ({}, "127.0.0.1"),
        ({"X-Forwarded-For": "192.0.2.1"}, "127.0.0.1"),
        ({"Host": "tags.example"}, "127.0.0.1"),
        ({}, "192.0.2.1"),
    ):
        with app.test_request_context("/metrics", headers=headers, environ_base={"REMOTE_ADDR": peer}) as context:
            told.append(guard.is_local(context.request))

    assert [True, False, False, False] == told
