"""Signing in to the console: the cookie, its end, and what is refused."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from dms_tags.api.console.routes import api
from dms_tags.api.console.session import COOKIE
from dms_tags.api.endpoint import PUBLIC
from dms_tags.identity import directory
from dms_tags.identity.model import Permission
from dms_tags.settings import Settings
from tests.support.app import Service, running
from tests.support.console import revoke, token
from tests.support.identity import AUDIENCE, issuer

OWN = {"Origin": "http://localhost"}
PAGES = [
    "/console",
    "/console/trail",
    "/console/objects",
    "/console/resources/object/8f2c",
    "/console/traces/ab",
    "/console/proof",
    "/console/verify",
]


@pytest.fixture
def guarded() -> Iterator[Service]:
    with running(Settings(mongo_uri="mongomock://", auth="tokens")) as service:
        yield service


def sign_in(client: FlaskClient, secret: str, to: str = "/console", **headers: str) -> TestResponse:
    return client.post("/console/sign-in", data={"token": secret, "next": to}, headers=OWN | headers)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_leads_to_signing_in_and_back(guarded: Service, path: str) -> None:
    """Without a session each page leads to the sign-in page, and that to the page that was asked for, its query included."""
    asked = f"{path}?page=0" if path == "/console/resources/object/8f2c" else path
    client = guarded.client
    led = client.get(asked)
    signed_in = sign_in(
        client,
        token(guarded, "ann", *Permission),
        client.get(led.location).text.partition('name="next" value="')[2].partition('"')[0],
    )

    assert (303, 303) == (led.status_code, signed_in.status_code)
    assert asked == signed_in.location
    assert 200 == client.get(signed_in.location).status_code


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example",
        "/console/../api",
        "/consolelike",
        "/console\\@evil.example",
        "javascript:alert(1)",
        "/console/sign-out",
        "/\t/evil.example",
    ],
)
def test_nobody_is_led_away(guarded: Service, elsewhere: str) -> None:
    """Signing in leads to pages of the console alone, whatever the link that led there says."""
    answer = sign_in(guarded.client, token(guarded, "ann", Permission.READ), elsewhere)

    assert answer.location in ("/console", "/console/../api")  # a path of this service, which browsers do not leave it by
    assert "evil" not in answer.location


def test_cookie(guarded: Service) -> None:
    """The cookie is for the console alone, for no script and no other site, for eight hours, and tells nothing of the token; over https it is secure."""
    secret = token(guarded, "ann", Permission.READ)
    cookie = sign_in(guarded.client, secret).headers["Set-Cookie"]
    secure = (
        guarded.app.test_client()
        .post("/console/sign-in", data={"token": secret}, base_url="https://localhost")
        .headers["Set-Cookie"]
    )

    assert {"HttpOnly", "SameSite=Strict", "Path=/console", "Max-Age=28800"} <= set(cookie.split("; "))
    assert "Secure" in secure
    assert "Secure" not in cookie
    assert secret.split("_")[1] not in cookie


def test_a_revoked_token_ends_its_sessions(guarded: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session ends with its token, as soon as the token is refused elsewhere; the next page leads to signing in."""
    monkeypatch.setattr(directory, "STALE", 0.0)
    client = guarded.client
    sign_in(client, token(guarded, "ann", Permission.READ))
    before = client.get("/console").status_code
    revoke(guarded, "ann")
    after = client.get("/console")

    assert (200, 303) == (before, after.status_code)
    assert after.location.startswith("/console/sign-in?next=")


def test_a_session_ends_after_eight_hours(guarded: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session is over after eight hours by MongoDB's clock, whatever the browser keeps."""
    client, console = guarded.client, guarded.services.console
    sign_in(client, token(guarded, "ann", Permission.READ))
    now = guarded.database.clock.now()
    statuses = []
    for hours in (7.9, 8.1):
        monkeypatch.setattr(console, "_clock", lambda hours=hours: now + timedelta(hours=hours))
        statuses.append(client.get("/console").status_code)

    assert [200, 303] == statuses


@pytest.mark.parametrize("change", ["cut", "altered", "empty", "long", "none"])
def test_a_cookie_that_was_not_given_out(guarded: Service, change: str) -> None:
    """A cookie that was altered opens nothing, and nothing fails over it."""
    client = guarded.client
    sign_in(client, token(guarded, "ann", Permission.READ))
    kept = client.get_cookie(COOKIE, path="/console")
    assert kept is not None
    forged = {
        "cut": kept.value[:-4],
        "altered": ("B" if kept.value[20] != "B" else "C").join([kept.value[:20], kept.value[21:]]),
        "empty": "",
        "long": "A" * 9000,
        "none": "ä",
    }
    client.delete_cookie(COOKIE, path="/console")
    answer = client.get("/console", headers={"Cookie": f"{COOKIE}={forged[change]}".encode().decode("latin-1")})

    assert 303 == answer.status_code


def test_a_failed_sign_in_is_told_and_logged(guarded: Service, caplog: pytest.LogCaptureFixture) -> None:
    """A token that is not valid is refused on the page with 401, logged by its id and never by its secret; no window of the browser's own comes up."""
    secret = token(guarded, "ann", Permission.READ)
    wrong = f"{secret[:-4]}0000"
    with caplog.at_level(logging.WARNING):
        answer = sign_in(guarded.client, wrong)
    (fields,) = [vars(record)["fields"] for record in caplog.records if record.message == "refused"]

    assert 401 == answer.status_code
    assert "the token is unknown, expired or revoked" in answer.text
    assert answer.headers["WWW-Authenticate"].startswith("Cookie ")
    assert secret.split("_")[1] == fields["claimed"]
    assert wrong not in caplog.text + answer.text


def test_requests_of_a_session_are_counted() -> None:
    """The bound on an identity's requests holds for the console too."""
    with running(replace(Settings(mongo_uri="mongomock://", auth="tokens"), rate=3)) as service:
        sign_in(service.client, token(service, "ann", Permission.READ))
        statuses = {service.client.get("/console/objects").status_code for _ in range(20)}

    assert {200, 429} == statuses


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    ],
    ids=str,
)
@pytest.mark.parametrize("auth", ["tokens", "none"])
def test_other_origins_are_refused(auth: str, headers: dict[str, str]) -> None:
    """What a page of another origin had the browser send is refused, whether anybody has to sign in or not, and named origins too."""
    settings = Settings(mongo_uri="mongomock://", auth=auth, cors_origins=("https://evil.example",))
    with running(settings) as service:
        client = service.client
        sign_in(client, token(service, "ann", *Permission))
        posts = [
            client.post(f"/console/{call}", data={"token": "x"}, headers=headers).status_code for call in ("sign-in", "sign-out")
        ]
        gets = [
            client.get(path, headers=headers).status_code
            for path in (*PAGES, "/console/trail/export", "/console/trail/live?since=0")
        ]

    assert {403} == {*gets, *(posts if auth == "tokens" else posts[1:])}


def test_a_link_from_elsewhere(guarded: Service) -> None:
    """A link on a page of another site opens a page: the browser keeps the cookie back at first, and the page leads on to itself. An export it does not start."""
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    client = guarded.client
    first = client.get("/console/trail?name=a%22b", headers=link)
    sign_in(client, token(guarded, "ann", *Permission))

    assert 'content="0;url=/console/trail?name=a%22b"' in first.text
    assert 200 == client.get("/console/trail", headers=link).status_code
    assert 403 == client.get("/console/trail/export", headers=link).status_code


def test_signing_out(guarded: Service) -> None:
    """Signing out takes the cookie away."""
    client = guarded.client
    sign_in(client, token(guarded, "ann", Permission.READ))
    client.post("/console/sign-out", headers=OWN)

    assert client.get_cookie(COOKIE, path="/console") is None
    assert 303 == client.get("/console").status_code


def test_parts_of_pages_are_not_led_away(guarded: Service) -> None:
    """What a page asks for by itself is a 401 without a session, and never the sign-in page in its place."""
    part = {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin"}

    assert 401 == guarded.client.get("/console/trail/export", headers=part).status_code


def test_jwt() -> None:
    """A JWT opens a session, which ends with it."""
    with issuer() as issued:
        issued.add_key()
        settings = Settings(
            mongo_uri="mongomock://", auth="jwt", jwt_issuer=issued.url, jwt_audience=AUDIENCE, jwt_jwks=f"{issued.url}/jwks"
        )
        with running(settings) as service:
            client = service.client
            refused = sign_in(client, issued.sign(filler="x" * 4000))
            opened = sign_in(client, issued.sign(exp=int(service.database.clock.now().timestamp()) + 2, permissions=["read"]))
            page = client.get("/console")
            _pass(service)
            over = client.get("/console")

    assert (400, 303, 200, 303) == (refused.status_code, opened.status_code, page.status_code, over.status_code)
    assert "alice" in page.text


def _pass(service: Service) -> None:
    """Moves the clock on by which JWTs are judged."""
    verifier: Any = service.services.guard._authenticator  # noqa: SLF001
    clock = verifier._jwts._clock  # noqa: SLF001
    verifier._jwts._clock = lambda: clock() + timedelta(hours=1)  # noqa: SLF001


def test_every_page_is_refused_to_strangers(guarded: Service) -> None:
    """No route of the console but the sign-in page and the assets answers without a session, also not to an Authorization header."""
    secret = token(guarded, "ann", *Permission)
    for route in api.routes:
        if route.permissions == PUBLIC:
            continue
        path = route.full_path.replace("{resource}", "object/1").replace("{traceId}", "ab")
        answer = guarded.client.open(
            path, method=route.method, headers={"Authorization": f"Bearer {secret}", "Sec-Fetch-Dest": "empty"}
        )
        assert 401 == answer.status_code, path
