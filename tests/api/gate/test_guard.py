"""The guard around every request: who is let in, from where, how often, and what every answer says."""

from __future__ import annotations

import base64
import logging
from typing import Any

import pytest
from flask import request
from flask.testing import FlaskClient

from dms_tags.app import EXTENSION, create_app
from dms_tags.errors import CannotStart, StoreUnavailable
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.model import Change, Kind, Resource, Verb
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
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
    return [record.__dict__["fields"] for record in caplog.records if record.name == "dms_tags.api.gate.guard"]


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


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::2]"])
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
    with caplog.at_level(logging.WARNING, logger="dms_tags.api.gate.guard"):
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
            told.append(guard.watches(context.request))

    assert [True, False, False, False] == told


@pytest.mark.parametrize("host", ["", "x@localhost", "a b", "localhost:http", "[::1", "\u00e9"])
def test_no_host(open_: FlaskClient, host: str) -> None:
    """A request without a host, or with something that is none, is a 400: its links could lead anywhere."""
    assert 400 == open_.get(TAGS, headers={"Host": host}).status_code


@pytest.mark.parametrize("path", ["/api/dms/objects/o1/tags/ocr%2Flease", "/tags/t%2fvalues%2Fx", "/metrics%2F"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_encoded_slash_is_no_slash(open_: FlaskClient, method: str, path: str) -> None:
    """What is decoded before routing would reach another call than the one that was meant: 400, and nothing is changed."""
    answer = open_.open(path, method=method)

    assert 400 == answer.status_code
    assert "%2F" in answer.text


def test_a_slash_in_a_part_that_takes_one_is_no_fault_of_the_path(open_: FlaskClient) -> None:
    """What is called by a method that there is not is a 405, as without the slash."""
    assert [405, 405] == [open_.delete(f"/console/resources/object{slash}8f2c").status_code for slash in ("%2F", "/")]


@pytest.mark.parametrize("target", [f"{TAGS}/%E4", "/api/dms/audit?createdBy=J%FCrgen", "/tags?cursor=%C3", "/tags?cursor=\xfc"])
def test_what_is_not_utf_8_is_no_question(open_: FlaskClient, target: str) -> None:
    """A path or query in Latin-1 is a 400 rather than a question for something else, which would find nothing."""
    answer = open_.get("/tags", environ_overrides={"RAW_URI": target})

    assert 400 == answer.status_code
    assert "UTF-8" in answer.text


def test_two_slashes_are_not_one(open_: FlaskClient) -> None:
    """`//metrics` is another path than `/metrics`, whatever a proxy in front takes them for."""
    assert (200, 404) == (
        open_.get("/metrics").status_code,
        open_.get("/metrics", environ_overrides={"RAW_URI": "//metrics"}).status_code,
    )


def test_every_answer_has_a_request_id(open_: FlaskClient) -> None:
    """The caller's own, where it is 1 to 64 visible ASCII characters, else a new one; problems name it."""
    own = open_.get(TAGS, headers={"X-Request-Id": "import-7"})
    refused = open_.get(f"{TAGS}?nosuch=1", headers={"X-Request-Id": "import-8"})

    assert ("import-7", "import-8") == (own.headers["X-Request-Id"], (refused.json or {})["requestId"])
    for odd in ("", "a b", "x" * 65, "\u00e9"):
        made = open_.get("/nosuch", headers={"X-Request-Id": odd})
        assert made.headers["X-Request-Id"] not in ("", odd)
        assert (made.json or {})["requestId"] == made.headers["X-Request-Id"]


def test_what_failed_is_logged_with_its_reason(
    open_: FlaskClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 503 and a 500 leave one line each: the reason, whose call it was and its ids; a 500 also where it came from."""
    services = open_.application.extensions[EXTENSION]

    def fail(error: Exception) -> Any:
        def raising(*_: Any) -> None:
            raise error

        return raising

    monkeypatch.setattr(services.tags, "tags", fail(StoreUnavailable("MongoDB does not answer")))
    open_.get(TAGS, headers={"X-Request-Id": "r1", "X-B3-TraceId": "ff"})
    monkeypatch.setattr(services.tags, "tags", fail(RuntimeError("odd")))
    open_.get(TAGS, headers={"X-Request-Id": "r2"})

    away, broken = refusals(caplog)
    assert (503, "MongoDB does not answer", "r1", "ff", "default") == tuple(
        away[name] for name in ("status", "reason", "request_id", "trace_id", "tenant")
    )
    assert (500, "r2") == (broken["status"], broken["request_id"])
    assert "RuntimeError: odd" in caplog.text


def test_what_was_refused_is_logged_with_its_reason(guarded: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal says why."""
    guarded.get(TAGS)

    assert "Authorization" in refusals(caplog)[0]["reason"]


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("192.0.2.1:50012", "192.0.2.1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ('"[2001:db8::1]"', "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("203.0.113.9, 192.0.2.1:1", "192.0.2.1"),
        ("unknown", "10.0.0.9"),
        ("192.0.2.1:port", "10.0.0.9"),
    ],
)
def test_forms_of_forwarded_addresses(memory: Database, caplog: pytest.LogCaptureFixture, forwarded: str, address: str) -> None:
    """The client's address is found in each form that proxies write; what names none leaves the proxy's own."""
    behind = client_of(memory, auth="tokens", trusted_proxies=("10.0.0.0/8",))

    behind.get(TAGS, headers={"X-Forwarded-For": forwarded}, environ_base={"REMOTE_ADDR": "10.0.0.9"})

    assert [address] == addresses(caplog)


def test_links_lead_to_where_clients_are(memory: Database) -> None:
    """Below a trusted proxy's prefix, and under the origin that was set: redirects, links, pages of problems."""
    behind = client_of(memory, auth="none", trusted_proxies=("127.0.0.0/8",), origin="https://tags.example")
    headers = {"X-Forwarded-Prefix": "/dms/"}
    behind.post("/tags", json={"key": "Region", "color": "#3F51B5"})
    behind.post("/tags", json={"key": "Year", "color": "#3F51B5"})

    assert "/dms/docs" == behind.get("/", headers=headers).location
    assert (
        behind.get("/tags?limit=1", headers=headers).headers["Link"].startswith("<https://tags.example/dms/tags?limit=1&cursor=")
    )
    assert "https://tags.example/dms/problems/tag-not-found" == (
        behind.delete("/tags/tag_0/values/x", headers=headers).json or {}
    )["doc_url"].replace("definition-not-found", "tag-not-found")
    assert 'href="/dms/docs/API.md"' in behind.get("/docs", headers=headers).text
    assert "/docs" == client_of(memory, auth="none").get("/", headers=headers).location


def test_metrics_tell_of_tenants_only_to_who_may_know(memory: Database, token_store: TokenStore) -> None:
    """All to this machine and to the token for metrics; no tenant to a reader, its own one to an administrator."""
    far = {"REMOTE_ADDR": "192.0.2.1"}
    guarded = client_of(memory, auth="tokens", metrics_token="scrape-me")
    for tenant in ("acme", "zeta"):
        TagStore(memory).change(Change(Resource(tenant, Kind.OBJECT, "o1"), "ocr", Verb.ADD, ADMIN, 1))
    reader = token_store.create("acme", "reader", Grant(frozenset({Permission.READ})), ADMIN)
    admin = token_store.create("acme", "admin", Grant(frozenset({Permission.ADMIN})), ADMIN)
    auditor = token_store.create("acme", "auditor", Grant(frozenset({Permission.AUDIT})), ADMIN)

    def tenants(secret: str | None, **environment: str) -> tuple[int, set[str]]:
        given = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        answer = guarded.get("/metrics", headers=given, environ_base=environment)
        return answer.status_code, {tenant for tenant in ("acme", "zeta") if f'"{tenant}"' in answer.text}

    assert (200, {"acme", "zeta"}) == tenants(None)
    assert (200, {"acme", "zeta"}) == tenants("scrape-me", **far)
    assert (200, {"acme"}) == tenants(admin, **far)
    assert (200, set()) == tenants(reader, **far)
    assert [403, 401, 401] == [tenants(secret, **far)[0] for secret in (auditor, "scrape-m", None)]


def test_browsers_may_send_what_tracing_libraries_add(memory: Database) -> None:
    """A preflight allows the headers of traces, conditions and sessions; its empty answer carries no page's headers."""
    site = "https://app.example"
    client = client_of(memory, auth="tokens", cors_origins=(site,))

    asked = client.options(TAGS, headers={"Origin": site, "Access-Control-Request-Method": "GET"})

    allowed = set(asked.headers["Access-Control-Allow-Headers"].lower().split(", "))
    assert {"x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "b3", "traceparent", "tracestate", "if-none-match"} <= allowed
    assert {"x-spaaza-session-key", "x-request-id"} <= allowed
    assert (204, None, None) == (asked.status_code, asked.headers.get("Content-Security-Policy"), asked.mimetype or None)
