"""Tags on a chain's users, call by call (API.md section 5)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from werkzeug.test import TestResponse

from dms_tags.audit.verify.replay import check
from dms_tags.chains.model import Access, ChainUser, Identifier
from dms_tags.model import now
from dms_tags.settings import Settings
from tests.support.app import Service, running
from tests.support.at_once import at_once
from tests.support.chains import ALL, Headers, add, log_in, prepare, refused, tag_of
from tests.support.openapi import documented

USER = {"chain_id": 1, "user_id": 77}
TRACE = "1234567887654321"


@pytest.fixture(scope="module")
def asked() -> Iterator[Service]:
    """A service in memory with the tag 1 of chain 1, the tag 2 of chain 2, and two tags of one value."""
    with running(Settings(mongo_uri="mongomock://", auth="none")) as application:
        headers = prepare(application)
        add(application, headers)
        add(application, log_in(application, {2: ALL}), chain_id=2)
        for _ in range(2):
            add(application, headers, "twice")
        yield application


def give(service: Service, headers: Headers, query: str = "", **members: Any) -> TestResponse:
    """Sets a tag on a user; by default on the user 77 of chain 1."""
    body = members if members.keys() & set(Identifier) else {**USER, **members}
    return documented(service.client.post(f"/auth/add-user-tag{query}", json={"chain_id": 1, **body}, headers=headers))


def take(service: Service, headers: Headers, **asked: Any) -> TestResponse:
    """Takes a tag from the user 77 of chain 1, by parameters."""
    return documented(service.client.delete("/auth/delete-user-tag", query_string={**USER, **asked}, headers=headers))


def listed(service: Service, headers: Headers, **asked: Any) -> dict[str, Any]:
    """The results of get-user-tags."""
    answer = documented(service.client.get("/auth/get-user-tags", query_string={**USER, **asked}, headers=headers))
    assert 200 == answer.status_code, answer.text
    results: dict[str, Any] = (answer.json or {})["results"]
    assert "get-user-tags" == results["result_type"]
    return results


def ids(service: Service, headers: Headers, **asked: Any) -> list[int]:
    return [tag["id"] for tag in listed(service, headers, **asked)["tags"]]


def users(service: Service, headers: Headers, tag_id: int, **asked: Any) -> dict[str, Any]:
    """The results of get-tag-users."""
    answer = documented(service.client.get("/auth/get-tag-users", query_string={"id": tag_id, **asked}, headers=headers))
    assert 200 == answer.status_code, answer.text
    results: dict[str, Any] = (answer.json or {})["results"]
    return results


def test_set_listed_and_taken(service: Service) -> None:
    """A tag is set on a user by id or by value, listed from either side and taken again; the trail has both."""
    headers = prepare(service)
    first, second = add(service, headers, "baby_club"), add(service, headers, "vip")

    given = give(service, headers, tag_id=first)
    by_value = give(service, headers, value="vip")

    assert [first, second] == [tag_of(given, "add-user-tag")["id"], tag_of(by_value, "add-user-tag")["id"]]
    assert USER == (given.json or {})["results"]["user"]
    tags = listed(service, headers)
    assert [("baby_club", given.headers["ETag"].strip('"')), ("vip", by_value.headers["ETag"].strip('"'))] == [
        (tag["value"], tag["etag"]) for tag in tags["tags"]
    ]
    assert [{**USER, "added_date": tags["tags"][1]["added_date"], "etag": tags["tags"][1]["etag"]}] == users(
        service, headers, second
    )["users"]

    assert first == tag_of(take(service, headers, tag_id=first), "delete-user-tag")["id"]
    assert [second] == ids(service, headers)
    assert [] == users(service, headers, first)["users"]
    entries = [entry for entry in service.entries() if entry["resource"] == "chain-user/1.user_id.77"]
    assert [(110, f"chain-tag/{first}", 1), (110, f"chain-tag/{second}", 1), (210, f"chain-tag/{first}", 1)] == [
        (entry["action"], entry["name"], entry["state"]) for entry in entries
    ]
    assert {("chain/1", "7", "session")} == {(entry["within"], entry["createdBy"], entry["actorKind"]) for entry in entries}
    assert not list(check(service.database, "default"))


@pytest.mark.parametrize(
    ("identifier", "value"),
    [
        ("entity_code", "shop 12/7"),
        ("email_address", "Zoë@example.com"),
        ("phone_number", "+31 6 1234"),
        ("member_number", "0077"),
        ("authentication_point_identifier", "a.b.c"),
    ],
)
def test_each_identifier_names_users_of_its_own(service: Service, identifier: str, value: str) -> None:
    """A user is found under the identifier that it was tagged under, in a form too, and under no other."""
    headers = prepare(service)
    tag_id = add(service, headers)
    decomposed = value.replace("ë", "e\u0308")
    form = {"chain_id": "1", "tag_id": str(tag_id), identifier: decomposed}

    assert 200 == service.client.post("/auth/add-user-tag", data=form, headers=headers).status_code
    asked = {"chain_id": 1, identifier: value}
    found = service.client.get("/auth/get-user-tags", query_string=asked, headers=headers).json or {}
    assert [tag_id] == [tag["id"] for tag in found["results"]["tags"]]
    assert asked == found["results"]["user"]
    assert [] == ids(service, headers)
    assert value == users(service, headers, tag_id)["users"][0][identifier]
    assert f"chain-user/1.{identifier}.{value}" == service.entries()[-1]["resource"]


def test_pages_of_users(service: Service) -> None:
    """A tag's users come page by page, each once, with a cursor that ends; users of the chain are none of its tags."""
    headers = prepare(service)
    tag_id, other = add(service, headers), add(service, headers)
    for number in range(1, 8):
        give(service, headers, tag_id=tag_id, user_id=number)
    give(service, headers, tag_id=other, user_id=9)
    give(service, headers, tag_id=tag_id, email_address="a@example.com")

    pages = [users(service, headers, tag_id, limit=3)]
    while pages[-1]["next"] is not None:
        pages.append(users(service, headers, tag_id, limit=3, cursor=pages[-1]["next"]))

    found = [user for page in pages for user in page["users"]]
    assert [3, 3, 2] == [len(page["users"]) for page in pages]
    assert ["a@example.com", *range(1, 8)] == [user.get("email_address") or user["user_id"] for user in found]
    tags = service.client.get("/auth/get-tags?chain_id=1", headers=headers).json or {}
    assert [tag_id, other] == [tag["id"] for tag in tags["results"]["tags"]]


def test_locks(service: Service) -> None:
    """Trace id and ETag lock a user's tag; it is set once, and under an idempotency key answered again."""
    headers = prepare(service)
    tag_id = add(service, headers)
    traced = headers | {"X-B3-TraceId": TRACE}
    keyed = traced | {"Idempotency-Key": "k1"}

    given, again = (give(service, keyed, tag_id=tag_id) for _ in range(2))
    assert (given.json, TRACE, "true") == (again.json, given.headers["X-B3-TraceId"], again.headers["Idempotent-Replayed"])
    refused(give(service, headers, tag_id=tag_id), 409, 9409, "tag_exists")
    refused(give(service, traced, "?traceIdMustMatch=true", tag_id=tag_id), 400, 9001, "parameter_invalid")
    refused(give(service, headers | {"If-Match": "*"}, tag_id=tag_id), 400, 9001, "parameter_invalid")
    other = headers | {"X-B3-TraceId": "abc"}
    refused(take(service, other, tag_id=tag_id, traceIdMustMatch="true"), 412, 9412, "condition_failed")
    refused(take(service, headers | {"If-Match": '"x"'}, tag_id=tag_id), 412, 9412, "condition_failed")
    current = {"If-Match": given.headers["ETag"], "Idempotency-Key": "k2"}
    taken, repeated = (take(service, traced | current, tag_id=tag_id, traceIdMustMatch="true") for _ in range(2))

    assert (200, "true") == (taken.status_code, repeated.headers["Idempotent-Replayed"])
    refused(take(service, headers, tag_id=tag_id), 400, 230, "entity_not_found")
    assert 2 == len([entry for entry in service.entries() if entry["resource"].startswith("chain-user/")])


def test_repeat_by_value(service: Service) -> None:
    """A repeat means the tag that had the value the first time, whatever has the value now."""
    headers = prepare(service)
    tag_id = add(service, headers, value="gold")
    keyed, taking = headers | {"Idempotency-Key": "k1"}, headers | {"Idempotency-Key": "k2"}
    given = give(service, keyed, value="gold")
    body = {"id": tag_id, "value": "old gold"}
    assert 200 == service.client.post("/auth/alter-tag", json=body, headers=headers).status_code
    again = give(service, keyed, value="gold")
    add(service, headers, value="gold")

    for repeated in (again, give(service, keyed, value="gold")):
        assert (200, "true") == (repeated.status_code, repeated.headers["Idempotent-Replayed"])
        assert given.headers["ETag"] == repeated.headers["ETag"]
    assert [tag_id] == ids(service, headers)

    assert 200 == take(service, taking, value="old gold").status_code
    assert 200 == service.client.delete(f"/auth/delete-tag?id={tag_id}", headers=headers).status_code
    repeated = take(service, taking, value="old gold")
    assert (200, "true") == (repeated.status_code, repeated.headers["Idempotent-Replayed"])


def test_taken_by_a_body(service: Service) -> None:
    """A removal takes the body of the other call too; in a body and as parameters at once it is refused."""
    headers = prepare(service)
    tag_id = add(service, headers)
    give(service, headers, tag_id=tag_id)
    body = {**USER, "tag_id": tag_id}

    both = service.client.delete(f"/auth/delete-user-tag?tag_id={tag_id}", json=body, headers=headers)
    taken = service.client.delete("/auth/delete-user-tag", json=body, headers=headers)

    refused(both, 400, 9001, "parameter_invalid")
    assert 200 == taken.status_code
    assert [] == ids(service, headers)


def test_tags_that_are_not_in_use(service: Service) -> None:
    """A deleted tag is set on nobody and still listed and taken; `exclude_inactive` leaves such tags out."""
    headers = prepare(service)
    first, second = add(service, headers, "a"), add(service, headers, "b")
    for tag_id in (first, second):
        give(service, headers, tag_id=tag_id)
    service.client.post("/auth/alter-tag", json={"id": first, "active": False}, headers=headers)
    service.client.delete(f"/auth/delete-tag?id={second}", headers=headers)

    assert [first, second] == ids(service, headers)
    assert [] == ids(service, headers, exclude_inactive="true")
    assert 200 == give(service, headers, value="a", user_id=78).status_code
    refused(give(service, headers, tag_id=second, user_id=78), 400, 9002, "tag_deleted")
    refused(give(service, headers, value="b", user_id=78), 400, 230, "entity_not_found")
    assert 200 == take(service, headers, tag_id=second).status_code


def test_looking_back(service: Service) -> None:
    """A user's tags are shown as they stood, with what they then were called."""
    headers = prepare(service)
    first, second = add(service, headers, "a"), add(service, headers, "b")

    def later() -> datetime:
        moment = now()
        while now() <= moment:
            """Until the next millisecond."""
        return moment

    give(service, headers, tag_id=first)
    given = later()
    give(service, headers, tag_id=second)
    service.client.post("/auth/alter-tag", json={"id": first, "value": "c"}, headers=headers)
    both = later()
    take(service, headers, tag_id=first)

    def at(moment: datetime) -> list[str]:
        return [tag["value"] for tag in listed(service, headers, at=moment.isoformat(timespec="milliseconds"))["tags"]]

    assert [["a"], ["c", "b"], []] == [at(given), at(both), at(given - timedelta(hours=1))]
    assert ["b"] == [tag["value"] for tag in listed(service, headers)["tags"]]


@pytest.mark.parametrize(
    ("granted", "statuses"),
    [
        ({1: {Access.READ}}, [403, 403, 200, 200]),
        ({1: {Access.WRITE}}, [200, 403, 403, 403]),
        ({1: {Access.DELETE}}, [403, 200, 403, 403]),
        ({2: set(Access)}, [403, 403, 403, 403]),
        ({1: {Access.READ}, 2: set(Access)}, [403, 403, 200, 200]),
    ],
    ids=["read", "write", "delete", "all of another chain", "read, and all of another chain"],
)
def test_who_may(service: Service, granted: dict[int, set[Access]], statuses: list[int]) -> None:
    """Setting takes WRITE on the chain, taking DELETE, listing READ; another chain's is as if it were not there."""
    headers = prepare(service)
    tag_id = add(service, headers)
    give(service, headers, tag_id=tag_id)
    own = log_in(service, {chain: frozenset(access) for chain, access in granted.items()}, user="8")

    answers = [
        give(service, own, tag_id=tag_id, user_id=78),
        take(service, own, tag_id=tag_id),
        service.client.get("/auth/get-user-tags", query_string=USER, headers=own),
        service.client.get(f"/auth/get-tag-users?id={tag_id}", headers=own),
    ]

    assert statuses == [answer.status_code for answer in answers]
    for answer in answers:
        if answer.status_code == 403:
            refused(answer, 403, 68, "permission_denied_or_non_existent")


@pytest.mark.parametrize(
    ("body", "code", "name"),
    [
        ({"user_id": 77, "tag_id": 1}, 52, "missing_necessary_parameters"),
        ({"chain_id": 1, "user_id": 77}, 52, "missing_necessary_parameters"),
        ({"chain_id": 1, "tag_id": 1}, 52, "missing_necessary_parameters"),
        ({**USER, "tag_id": 1, "value": "x"}, 9001, "parameter_invalid"),
        ({**USER, "tag_id": 1, "email_address": "a@b"}, 9001, "parameter_invalid"),
        ({**USER, "tag_id": "1"}, 9001, "parameter_invalid"),
        ({"chain_id": 1, "tag_id": 1, "user_id": "77"}, 9001, "parameter_invalid"),
        ({"chain_id": 1, "tag_id": 1, "entity_code": ""}, 9001, "parameter_invalid"),
        ({"chain_id": 1, "tag_id": 1, "entity_code": "x" * 129}, 9001, "parameter_invalid"),
        ({"chain_id": 1, "tag_id": 1, "entity_code": "a\nb"}, 9001, "parameter_invalid"),
        ({**USER, "tag_id": 99}, 230, "entity_not_found"),
        ({**USER, "tag_id": 2}, 230, "entity_not_found"),
        ({**USER, "value": "unheard"}, 230, "entity_not_found"),
        ({**USER, "value": "twice"}, 9001, "parameter_invalid"),
    ],
    ids=str,
)
def test_refusals(asked: Service, body: dict[str, Any], code: int, name: str) -> None:
    """What names no user, no tag or more than one is refused, and a tag of another chain is none of this one; nothing changes."""
    refused(asked.client.post("/auth/add-user-tag", json=body, headers=prepare(asked)), 400, code, name)
    assert 0 == asked.database.tags.count_documents({"kind": "chain-user"})


def test_a_cursor_is_no_guess(service: Service) -> None:
    """A cursor that no page gave is refused."""
    headers = prepare(service)
    tag_id = add(service, headers)

    for cursor in ("x", "1.nobody.2", "1.user_id.x", "a.user_id.1"):
        answer = service.client.get("/auth/get-tag-users", query_string={"id": tag_id, "cursor": cursor}, headers=headers)
        refused(answer, 400, 9001, "parameter_invalid")


def test_a_user_is_spelt_in_one_way() -> None:
    """What the trail calls a user leads back to the user, dots in its identifier too."""
    for user in (ChainUser(1, Identifier.USER_ID, 7), ChainUser(12, Identifier.EMAIL_ADDRESS, "a.b@example.com")):
        assert user == ChainUser.of(user.id)


def test_set_at_once(real: Service) -> None:
    """Of 32 who set one tag on one user at once one does, and tags that different callers set at once are all there."""
    headers = prepare(real)
    tags = [add(real, headers) for _ in range(5)]
    body = {**USER, "tag_id": tags[0]}
    post = [
        partial(real.app.test_client().post, "/auth/add-user-tag", json=body | more, headers=headers)
        for more in [*[{}] * 16, *({"tag_id": tag_id} for tag_id in tags[1:] * 4)]
    ]

    answers = at_once(post)

    assert 5 == sum(answer.status_code == 200 for answer in answers)
    assert {200, 409} == {answer.status_code for answer in answers}
    assert sorted(tags) == sorted(ids(real, headers))
    real.entries()
    assert not list(check(real.database, "default"))


def test_users_are_found_by_an_index(real: Service) -> None:
    """A page of a tag's users, and a chain's page of tags beside many users, are read from indexes alone."""
    headers = prepare(real)
    tag_id, other = add(real, headers), add(real, headers)
    for number in range(1, 21):
        give(real, headers, tag_id=tag_id if number % 10 == 0 else other, user_id=number)
    database = real.database.tags.database
    database.command("profile", 2)
    assert 2 == len(users(real, headers, tag_id)["users"])
    service_tags = real.client.get("/auth/get-tags?chain_id=1", headers=headers).json or {}
    assert 2 == len(service_tags["results"]["tags"])
    assert 200 == real.client.get("/auth/get-user-tags", query_string=USER, headers=headers).status_code
    database.command("profile", 0)

    reads = list(database["system.profile"].find({"op": "query", "ns": {"$regex": "tags$"}}))
    assert reads
    assert all(read["docsExamined"] <= 2 and not read.get("hasSortStage") for read in reads), [
        (read["planSummary"], read["docsExamined"]) for read in reads
    ]


def test_the_feed_tells_of_them(service: Service) -> None:
    """The feed of events has what is set on users, as the trail has it."""
    headers = prepare(service)
    give(service, headers, tag_id=add(service, headers))
    position = service.entries()[-1]["position"]

    with service.client.get(f"/api/dms/tags/events?after={position - 1}") as answer:
        text = next(part for part in answer.iter_encoded() if b"chain-user" in part)
    assert b"chain-user/1.user_id.77" in text
