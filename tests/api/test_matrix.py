"""Who may call what: every route of the table under every kind of identity, so that none is forgotten."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from flask import Response
from flask.testing import FlaskClient

from dms_tags.api.endpoint import PUBLIC, Api, Call, Route
from dms_tags.api.problems import MEDIA_TYPE, PROBLEM_SCHEMA, render_problem
from dms_tags.app import APIS, EXTENSION, create_app
from dms_tags.audit.trail.relay import Relay
from dms_tags.errors import CannotStart
from dms_tags.identity import tokens
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.identity import ADMIN

ROUTES: Final = [route for api in APIS for route in api.routes]
GUARDED: Final = [route for route in ROUTES if route.permissions != PUBLIC and route.api.identify is None]
BY_SESSION: Final = [route for route in ROUTES if route.api.prefix == "/auth"]
"""The calls that a session opens, not a token (API.md section 5); the console's own is shown in `tests/api/console`."""

OPEN: Final = {"/", "/health/live", "/health/ready", "/problems/{slug}", "/problems", "/openapi.json", "/metrics"} | {
    "/docs",
    "/docs/{document}",
    "/docs/assets/{asset}",
    "/console/assets/{asset}",
    "/console/sign-in",
    "/console/sign-out",
}
"""What needs no identity (API.md section 6), and `/metrics`, which tells a loopback address by itself."""

NEEDS_BOTH: Final = {("POST", "/api/dms/objects/tags/{name}/state/{state}"): {Permission.READ, Permission.WRITE}}
"""A claim reads and writes (API.md section 3)."""

ANY: Final = frozenset(Permission)
READS, WRITES, AUDITS, ADMINISTERS = (frozenset({permission}) for permission in Permission)

CONTRACT: Final[dict[str, frozenset[Permission]]] = {
    "GET /api/dms/objects/{}/tags": READS,
    "GET /api/dms/objects/{}/tags/{}": READS,
    "POST /api/dms/objects/{}/tags/{}/state/{}": WRITES,
    "DELETE /api/dms/objects/{}/tags/{}": WRITES,
    "GET /api/dms/objects/{}/history": READS | AUDITS,
    "GET /api/dms/audit": AUDITS,
    "GET /api/dms/audit/export": AUDITS,
    "GET /api/dms/audit/{}/proof": AUDITS,
    "GET /api/dms/audit/log/checkpoint": ANY,
    "GET /api/dms/audit/log/key": ANY,
    "GET /api/dms/audit/log/consistency": ANY,
    "POST /api/dms/objects/tags/{}/state/{}": WRITES,
    "POST /api/dms/objects/{}/tags/{}/lease": WRITES,
    "DELETE /api/dms/objects/{}/tags/{}/lease": WRITES,
    "POST /api/dms/objects/search": READS | AUDITS,
    "POST /api/dms/objects/tags": WRITES,
    "POST /api/dms/objects": WRITES,
    "PATCH /api/dms/objects": WRITES,
    "GET /api/dms/objects/{}": READS,
    "PATCH /api/dms/objects/{}": WRITES,
    "POST /api/dms/objects/{}": WRITES,
    "DELETE /api/dms/objects/{}": WRITES,
    "POST /api/dms/objects/{}/versions": WRITES,
    "POST /api/dms/objects/{}/contents/file": WRITES,
    "GET /api/dms/tags/events": READS,
    "PUT /api/dms/tag-definitions/{}": ADMINISTERS,
    "DELETE /api/dms/tag-definitions/{}": ADMINISTERS,
    "GET /api/dms/tag-definitions/{}": READS,
    "GET /api/dms/tag-definitions": READS,
    "GET /api/dms/subscriptions": ADMINISTERS,
    "GET /api/dms/subscriptions/{}": ADMINISTERS,
    "PUT /api/dms/subscriptions/{}": ADMINISTERS,
    "DELETE /api/dms/subscriptions/{}": ADMINISTERS,
    "POST /api/dms/subscriptions/{}/secret": ADMINISTERS,
}
"""What the calls under `/api/dms` need, written down a second time, from the contract (API.md sections 1 to 3, and 9)."""

REFUSED: Final = (401, 403)


@pytest.fixture
def client(memory: Database) -> FlaskClient:
    return create_app(Settings(mongo_uri="mongomock://", auth="tokens"), database=memory).test_client()


def named(route: Route) -> str:
    return f"{route.method} {route.full_path}"


def call(client: FlaskClient, route: Route, secret: str | None, **headers: str) -> int:
    """The status of the route's answer to a caller with the token `secret`."""
    relay = client.application.extensions.setdefault("relay", Relay(client.application.extensions[EXTENSION].database))
    while relay.run_once():
        """Reads of the trail wait for what is pending."""
    path = re.sub(r"{(\w+)}", lambda part: str(example(route, part[1])), route.full_path)
    if secret is not None:
        headers["Authorization"] = f"Bearer {secret}"
    with client.open(path, method=route.method, headers=headers) as response:
        return response.status_code


def example(route: Route, part: str) -> Any:
    parameter = route.path_parameters[part]
    return parameter.example if parameter.example is not None else "1"


def grant(*permissions: Permission, **more: Any) -> Grant:
    return Grant(frozenset(permissions), **more)


Strangers = Callable[[TokenStore], "str | None"]


def wrong(store: TokenStore) -> str:
    """The id of a token that is in force, with another secret."""
    presented = tokens.parse(store.create("default", "right", grant(*Permission), ADMIN))
    assert presented is not None
    return tokens.Presented(presented.id, tokens.mint().secret).text


def expired(store: TokenStore) -> str:
    return store.create("default", "expired", grant(*Permission, expires=datetime(2020, 1, 1, tzinfo=UTC)), ADMIN)


def revoked(store: TokenStore) -> str:
    secret = store.create("default", "revoked", grant(*Permission), ADMIN)
    store.revoke("default", "revoked", ADMIN)
    return secret


STRANGERS: Final[dict[str, Strangers]] = {
    "no identity": lambda _: None,
    "unknown": lambda _: tokens.mint().text,
    "wrong": wrong,
    "expired": expired,
    "revoked": revoked,
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_strangers_are_refused(client: FlaskClient, token_store: TokenStore, memory: Database, stranger: str) -> None:
    """No guarded route answers without an identity, or to a token that is unknown, wrong, expired or revoked; nothing changes."""
    secret = STRANGERS[stranger](token_store)

    assert {named(route): 401 for route in GUARDED} == {named(route): call(client, route, secret) for route in GUARDED}
    assert 0 == memory.tags.count_documents({"kind": {"$ne": "token"}})


def test_other_tenants_are_refused(client: FlaskClient, token_store: TokenStore, memory: Database) -> None:
    """No guarded route answers in another tenant than the token's own; nothing changes."""
    secret = token_store.create("acme", "right", grant(*Permission), ADMIN)
    answers = {named(route): call(client, route, secret, **{"X-ID-TENANT-NAME": "default"}) for route in GUARDED}

    assert {named(route): 403 for route in GUARDED} == answers
    assert 0 == memory.tags.count_documents({"kind": {"$ne": "token"}})


@pytest.mark.parametrize("permission", Permission)
def test_single_permission(client: FlaskClient, token_store: TokenStore, permission: Permission) -> None:
    """A token with one permission alone opens the routes that it suffices for, and no other."""
    secret = token_store.create("default", "single", grant(permission), ADMIN)
    answers = {named(route): call(client, route, secret) for route in GUARDED}

    for route in GUARDED:
        needed = NEEDS_BOTH.get((route.method, route.full_path))
        suffices = permission in route.permissions if needed is None else needed == {permission}
        assert suffices == (answers[named(route)] not in REFUSED), f"{named(route)} with {permission}: {answers[named(route)]}"


def test_no_permission_opens_nothing(client: FlaskClient, token_store: TokenStore) -> None:
    """Without any permission an identity opens only what is meant for every identity of the tenant."""
    secret = token_store.create("default", "nobody", grant(), ADMIN)
    anyone = [route for route in GUARDED if route.permissions == frozenset(Permission)]

    for route in GUARDED:
        assert 403 == call(client, route, secret) or route in anyone, named(route)


def test_all_permissions_open_everything(client: FlaskClient, token_store: TokenStore) -> None:
    """A token with every permission is refused nowhere, so that a refusal elsewhere is one of permissions."""
    secret = token_store.create("default", "all", grant(*Permission), ADMIN)

    for route in GUARDED:
        assert call(client, route, secret) not in REFUSED, named(route)


@pytest.mark.parametrize("permission", [Permission.READ, Permission.WRITE])
def test_prefix_outside(client: FlaskClient, token_store: TokenStore, permission: Permission) -> None:
    """A route for a named tag is refused where the permission's prefixes do not cover the name, and open where they do."""
    prefix = f"{permission}_prefixes"
    outside = token_store.create("default", "outside", grant(*Permission, **{prefix: ("zz:",)}), ADMIN)
    scoped = [route for route in GUARDED if route.scope is permission or (route.check and permission in route.permissions)]
    assert scoped

    for route in scoped:
        name = str(example(route, "name" if "name" in route.path_parameters else "tagId"))
        inside = token_store.create(
            "default", f"inside-{len(token_store.every())}", grant(*Permission, **{prefix: (name[:2],)}), ADMIN
        )
        assert 403 == call(client, route, outside), named(route)
        assert call(client, route, inside) not in REFUSED, named(route)


def test_tag_names_in_paths_are_scoped() -> None:
    """Every guarded route of one tag declares whose prefixes must cover its name."""
    of_a_tag = [route for route in GUARDED if "/tags/{name}" in route.full_path or "{tagId}" in route.full_path]
    unscoped = [named(route) for route in of_a_tag if route.scope is None and route.check is None]

    assert [] == unscoped


def test_open_routes_are_the_listed_ones() -> None:
    """Nothing is public but what the contract lists, and nothing but the calls under `/auth` takes a session instead."""
    public = {route.full_path for route in ROUTES if route.permissions == PUBLIC}

    assert public <= OPEN
    assert {"/auth", "/console"} == {route.api.prefix for route in ROUTES if route.api.identify is not None}


def test_sessions_are_asked_for(client: FlaskClient, token_store: TokenStore, memory: Database) -> None:
    """The calls that take a session are refused without one, also to a token with every permission."""
    secret = token_store.create("default", "all", grant(*Permission), ADMIN)

    for route in BY_SESSION:
        assert 401 == call(client, route, None), named(route)
        assert 401 == call(client, route, secret), named(route)
        assert 401 == call(client, route, secret, **{"X-Spaaza-Session-User-Id": "1", "X-Spaaza-Session-Key": secret}), named(
            route
        )
    assert 0 == memory.tags.count_documents({"kind": {"$ne": "token"}})


def test_open_routes_are_open(client: FlaskClient) -> None:
    """The public routes answer without an identity."""
    for route in ROUTES:
        if route.full_path in OPEN:
            assert call(client, route, None) not in REFUSED, named(route)


def test_declared_permissions_are_the_contracts() -> None:
    """Each route under `/api/dms` declares the permission that the contract gives it; the tiles follow their kind."""
    declared = {f"{route.method} {re.sub(r'{[^}]*}', '{}', route.full_path)}": route.permissions for route in GUARDED}
    tiles = {name: permissions for name, permissions in declared.items() if "/log/tile/" in name}
    others = {name: permissions for name, permissions in declared.items() if " /api/dms/" in name and name not in tiles}

    assert others == CONTRACT
    assert tiles == {name: AUDITS if "/entries/" in name else ANY for name in tiles}


def test_every_rule_is_of_the_table(client: FlaskClient) -> None:
    """The application serves no path that is not in the route table."""
    served = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule) for rule in client.application.url_map.iter_rules()}

    assert {route.full_path for route in ROUTES} == served


def test_route_without_permission_does_not_start(memory: Database) -> None:
    """A route that declares no permission stops the start, by its name."""
    api = Api("extra", "/extra", render_problem, PROBLEM_SCHEMA, MEDIA_TYPE)

    @api.route("GET", "/door", permission=None, responses={})  # type: ignore[arg-type]
    def door(_: Call) -> Response:
        """Open to all."""
        return Response()

    with pytest.raises(CannotStart, match="GET /extra/door"):
        create_app(Settings(mongo_uri="mongomock://"), database=memory, apis=(*APIS, api))
