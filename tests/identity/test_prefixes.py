"""A caller whose permissions end at prefixes neither sees nor changes what lies beyond them, whichever way it asks."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from dms_tags.app import create_app
from dms_tags.audit.trail.relay import Relay
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.identity import ADMIN

OBJECT = "/api/dms/objects/o1"
SEARCH = "/api/dms/objects/search"
HIDDEN = "hidden"


@pytest.fixture
def client(memory: Database, token_store: TokenStore) -> FlaskClient:
    """A service where the object o1 has the tags `ocr` and `hidden`; the client may read and write `ocr…` alone."""
    client = create_app(Settings(mongo_uri="mongomock://", auth="tokens"), database=memory).test_client()
    everything = token_store.create("default", "everything", Grant(frozenset(Permission)), ADMIN)
    limited = token_store.create(
        "default", "limited", Grant(frozenset({Permission.READ, Permission.WRITE}), ("ocr",), ("ocr",)), ADMIN
    )
    for name in ("ocr", HIDDEN):
        made = client.post(f"{OBJECT}/tags/{name}/state/7", headers={"Authorization": f"Bearer {everything}"})
        assert made.status_code == 200
    relay = Relay(memory)
    while relay.run_once():
        """Until everything is in the trail."""
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {limited}"
    return client


def search(statement: str) -> dict[str, Any]:
    return {"query": {"statement": statement}}


@pytest.mark.parametrize("path", [f"{OBJECT}/tags", f"{OBJECT}/history"])
def test_reading(client: FlaskClient, path: str) -> None:
    """A list shows the tags that the caller may read, and nothing of the others."""
    answer = client.get(path)

    assert 200 == answer.status_code
    assert "ocr" in answer.text
    assert HIDDEN not in answer.text


AUDIT_VIEW = {"query": {"statement": "SELECT * FROM system:audit WHERE system:referredObjectId = 'o1'"}}


@pytest.mark.parametrize("prefixes", [(), ("ocr",)])
def test_what_was_is_limited_as_what_is(client: FlaskClient, token_store: TokenStore, prefixes: tuple[str, ...]) -> None:
    """History, the audit view and the list of metadata show tags that begin so; nothing at all begins with none."""
    for token, allowed in (("owner", Grant(frozenset(Permission))), ("reader", Grant(frozenset({Permission.READ}), prefixes))):
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token_store.create('default', token, allowed, ADMIN)}"
        if token == "owner":
            client.post("/metadata", json={"resource_id": "m1", "metadata": {"ocr": "seen", HIDDEN: "x"}})
    told = [client.get(f"{OBJECT}/history"), client.post(SEARCH, json=AUDIT_VIEW), client.get("/metadata")]

    assert [200, 200, 200] == [answer.status_code for answer in told]
    assert [bool(prefixes)] * 3 == ["ocr" in answer.text for answer in told]
    assert HIDDEN not in "".join(answer.text for answer in told)


def test_a_refusal_says_what_the_permission_is_limited_to(client: FlaskClient) -> None:
    """A prefix such as `ocr:` opens no tag `ocr`: whoever took it for one reads why."""
    answer = client.get(f"{OBJECT}/tags/{HIDDEN}")

    assert 403 == answer.status_code
    assert "limited to names that begin with 'ocr'" in (answer.json or {})["detail"]


def test_reading_as_it_was(client: FlaskClient) -> None:
    """The rows as they stood show no more than the rows as they stand."""
    answer = client.get(f"{OBJECT}/tags?at=2999-01-01T00:00:00Z")

    assert HIDDEN not in answer.text


def test_searching(client: FlaskClient) -> None:
    """A search shows the tags that the caller may read."""
    answer = client.post(SEARCH, json=search("SELECT * FROM x WHERE system:tags[ocr].state = 7"))

    assert 200 == answer.status_code
    assert "ocr" in answer.text
    assert HIDDEN not in answer.text


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM x WHERE system:tags[hidden].state = 7",
        "SELECT * FROM x WHERE NOT system:tags[hidden] IS NULL",
        "SELECT * FROM x WHERE system:tags[ocr].state = 7 OR system:tags[hidden].traceId = 'aa'",
        "SELECT * FROM x ORDER BY system:tags[hidden].state",
    ],
)
def test_asking_is_reading(client: FlaskClient, statement: str) -> None:
    """A statement about a tag that the caller may not read is refused, in a search and in a claim."""
    assert 403 == client.post(SEARCH, json=search(statement)).status_code
    assert 403 == client.post("/api/dms/objects/tags/ocr/state/8", query_string={"query": statement}).status_code


def test_claiming(client: FlaskClient) -> None:
    """A claim of a tag that the caller may not write is refused; one that it may shows no other tag."""
    statement = {"query": "SELECT * FROM x WHERE system:tags[ocr].state = 7"}

    assert 403 == client.post(f"/api/dms/objects/tags/{HIDDEN}/state/8", query_string=statement).status_code

    claimed = client.post("/api/dms/objects/tags/ocr/state/8", query_string=statement)

    assert 200 == claimed.status_code
    assert "ocr" in claimed.text
    assert HIDDEN not in claimed.text


def test_many_changes(client: FlaskClient) -> None:
    """Each change of a batch is checked alone."""
    changes = [{"objectId": "o2", "name": name, "state": 1, "action": "set"} for name in ("ocr", HIDDEN)]
    answer = client.post("/api/dms/objects/tags", json={"changes": changes})

    assert answer.json is not None
    assert [200, 403] == [result["status"] for result in answer.json["results"]]


def test_definitions(client: FlaskClient) -> None:
    """A definition is read by those who may read its tag."""
    assert 403 == client.get(f"/api/dms/tag-definitions/{HIDDEN}").status_code
    assert 404 == client.get("/api/dms/tag-definitions/ocr").status_code


def test_events(client: FlaskClient) -> None:
    """Events of tags that the caller may not read do not reach it; asking for them by name is refused."""
    assert 403 == client.get(f"/api/dms/tags/events?name={HIDDEN}").status_code
    with client.get("/api/dms/tags/events?after=0") as answer:
        told, stream = "", answer.iter_encoded()
        # The entry of `ocr` comes before that of `hidden`, whose position the block after it has reached
        while told.count("\n\n") < 2 or "id:" not in told.split("\n\n")[-2]:
            told += next(stream).decode()

    assert '"name": "ocr"' in told or '"name":"ocr"' in told
    assert HIDDEN not in told


@pytest.fixture
def writer(client: FlaskClient, token_store: TokenStore) -> FlaskClient:
    """The client with a token that may write every tag and read `ocr…` alone."""
    permissions = frozenset({Permission.READ, Permission.WRITE})
    secret = token_store.create("default", "writer", Grant(permissions, ("ocr",), None), ADMIN)
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    return client


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("overwrite=true&expectedState=3", {}),
        ("overwrite=true&traceIdMustMatch=true", {"X-B3-TraceId": "abc"}),
        ("overwrite=true", {"If-Match": '"x"'}),
    ],
)
def test_a_lost_lock_tells_no_state_to_who_may_not_read_it(writer: FlaskClient, query: str, headers: dict[str, str]) -> None:
    """A 412 has the tag's state, in `current` and in its text, only for who may read the tag; in a batch too."""
    hidden = writer.post(f"{OBJECT}/tags/{HIDDEN}/state/1?{query}", headers=headers)
    shown = writer.post(f"{OBJECT}/tags/ocr/state/1?{query}", headers=headers)

    assert (412, 412) == (hidden.status_code, shown.status_code)
    assert "7" not in (hidden.json or {})["detail"]
    assert "current" not in (hidden.json or {})
    assert 7 == (shown.json or {})["current"]["state"]


def test_a_lost_lock_in_a_batch_tells_no_more(writer: FlaskClient) -> None:
    """A batch tells of each change what it would tell of it alone."""
    changes = [{"objectId": "o1", "name": name, "state": 1, "action": "update", "expectedState": 3} for name in ("ocr", HIDDEN)]

    shown, hidden = (
        result["problem"] for result in (writer.post("/api/dms/objects/tags", json={"changes": changes}).json or {})["results"]
    )

    assert ("current" in shown, "current" in hidden) == (True, False)
    assert "7" not in hidden["detail"]


def test_pages_of_history_are_full(client: FlaskClient, memory: Database) -> None:
    """Pages hold as many entries of readable tags as were asked for, however many others lie between; none is empty with more to come."""
    for state in range(5):
        assert 200 == client.post(f"{OBJECT}/tags/ocr/state/{state}?overwrite=true").status_code
    while Relay(memory).run_once():
        """Until everything is in the trail."""
    seen = []
    for page in range(10):
        answer = client.get(f"{OBJECT}/history?size=2&page={page}").json or {}
        seen += [entry["properties"]["subaction"]["value"] for entry in answer["objects"]]
        if not answer["hasMoreItems"]:
            break
        assert 2 == len(answer["objects"])

    assert [4, 3, 2, 1, 0, 7] == seen
