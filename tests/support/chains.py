"""What the chain tests share: a chain, sessions, and calls over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from werkzeug.test import TestResponse

from dms_tags.chains.model import Access, Chain
from dms_tags.chains.sessions import SessionStore
from dms_tags.model import Actor, now
from tests.support.app import Service

ADMIN: Final = Actor("root", "cli")
FOO: Final = Chain(1, "FOO Chain, inc.", "info@foo.com", "01 1234 4321")
BAR: Final = Chain(2, "Bar", None, None)
ALL: Final = frozenset(Access)

Headers = dict[str, str]


def session_store(service: Service) -> SessionStore:
    """The service's sessions, as the command reaches them."""
    return SessionStore(service.database, service.services.store)


def log_in(service: Service, chains: dict[int, frozenset[Access]] | None = None, user: str = "7", days: float = 1) -> Headers:
    """The headers of a session; by default one that may do everything to the chain FOO.

    One that was made before is used again: a service looks up only so many new ones in a second.
    """
    granted = {FOO.id: ALL} if chains is None else chains
    made: dict[str, Headers] = service.app.extensions.setdefault("sessions of tests", {})
    wanted = f"{sorted(granted.items())} {user} {days}"
    if wanted not in made:
        key = session_store(service).create("default", user, granted, now() + timedelta(days=days), ADMIN).text
        made[wanted] = {"X-Spaaza-Session-User-Id": user, "X-Spaaza-Session-Key": key}
    return made[wanted]


def prepare(service: Service) -> Headers:
    """Makes the chains FOO and BAR, unless they are there; the headers of a session for FOO."""
    chains = service.services.chains.chains
    for chain in (FOO, BAR):
        if chains.find("default", chain.id) is None:
            chains.add("default", chain, ADMIN)
    return log_in(service)


def add(service: Service, headers: Headers, value: str = "x", chain_id: int = 1) -> int:
    """Adds a tag; its id."""
    body = {"chain_id": chain_id, "value": value, "model_class": "user"}
    found: int = tag_of(service.client.post("/auth/add-tag", json=body, headers=headers), "add-tag")["id"]
    return found


def tag_of(response: TestResponse, call: str) -> dict[str, Any]:
    """The tag of an answer that has the envelope of a call."""
    assert 200 == response.status_code, response.text
    document: dict[str, Any] = response.json or {}
    assert {"code": 1, "status": "ok"} == document["result"]
    assert call == document["results"]["result_type"]
    found: dict[str, Any] = document["results"]["tag"]
    return found


def refused(response: TestResponse, status: int, code: int, name: str) -> dict[str, Any]:
    """The error of an answer, if it is this one in the API's envelope."""
    document: dict[str, Any] = response.json or {}
    error: dict[str, Any] = document.get("error", {})
    assert (status, code, name) == (response.status_code, error.get("code"), error.get("name")), response.text
    assert "application/json" == response.mimetype
    assert {"code": 2, "status": "error"} == document["result"]
    assert {"code", "name", "description"} <= error.keys()
    return error
