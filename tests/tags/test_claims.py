"""Claiming by statement (API.md section 3)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dms_tags.errors import StoreUnavailable
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.app import Service, running
from tests.support.identity import ADMIN
from tests.support.workflow import QUEUED, claim, ids, post, row_of, rows, run_out, search, tag


def test_a_claim_sets_the_tag_and_answers_with_all_rows_of_the_object(service: Service) -> None:
    """The object comes with its id, every row, their entity tags and the number of attempts."""
    tag(service, "a", "ocr", 1)
    tag(service, "a", "other", 7)

    response = service.client.post(
        "/api/dms/objects/tags/ocr/state/2", query_string={"query": QUEUED}, headers={"X-B3-TraceId": "abc"}
    )

    assert 200 == response.status_code
    assert response.json is not None
    (found,) = (found["properties"] for found in response.json["objects"])
    assert ["a"] == ids([found])
    assert ["ocr", 2] == row_of(found)[:2]
    assert 7 == row_of(found, "other")[1]
    assert 2 == len(found["dms:etags"]["value"])
    assert f'"{found["dms:etags"]["value"][0]}"' == response.headers["ETag"]
    assert row_of(found)[3] == response.headers["X-B3-TraceId"]
    assert {"value": 1} == found["dms:attempts"]
    assert rows(service, "a")["ocr"] == row_of(found)


def test_a_claim_that_finds_nothing_answers_with_an_empty_list(service: Service) -> None:
    """`{"objects": []}`, also after everything was claimed."""
    tag(service, "a")

    assert ["a"] == ids(claim(service))
    assert [] == claim(service)
    assert {"objects": []} == post(service, "/objects/tags/ocr/state/2", query_string={"query": QUEUED})


def test_a_claim_sees_what_was_queued_since_the_last_look(service: Service) -> None:
    """What was acknowledged before the claim is found by it, however lately."""
    for number in range(5):
        tag(service, f"object-{number}")
        assert [f"object-{number}"] == ids(claim(service))
        assert [] == claim(service)


def test_a_claim_adds_the_tag_where_it_is_missing(service: Service) -> None:
    """A claim of objects without a tag gives them the tag, and records an add."""
    tag(service, "a", "imported", 1)

    (found,) = claim(service, "SELECT * FROM document WHERE system:tags[imported].state=1 AND system:tags[ocr] IS NULL")

    assert 2 == row_of(found)[1]
    assert ["OBJECT_TAG_CREATED", "OBJECT_TAG_CREATED"] == [entry["actionName"] for entry in service.entries()]


def test_a_claim_takes_up_to_the_limit(service: Service) -> None:
    """`limit` objects are claimed, or as many as there are."""
    for number in range(7):
        tag(service, f"object-{number}")

    assert 5 == len(set(ids(claim(service, limit=5))))
    assert 2 == len(set(ids(claim(service, limit=5))))
    assert [] == claim(service, limit=5)


def test_the_statement_may_be_sent_as_the_body_of_a_search(service: Service) -> None:
    """Without the parameter `query` the statement is that of the body; with it the body is ignored."""
    tag(service, "a")

    answer = post(service, "/objects/tags/ocr/state/2", json={"query": {"statement": QUEUED}})
    assert "a" == answer["objects"][0]["properties"]["system:objectId"]["value"]

    ignored = post(service, "/objects/tags/ocr/state/2", query_string={"query": QUEUED}, data="nonsense")
    assert {"objects": []} == ignored


@pytest.mark.parametrize(
    ("query", "slug"),
    [
        ({}, "invalid-parameter"),
        ({"query": "SELECT"}, "invalid-query"),
        ({"query": QUEUED, "limit": "101"}, "invalid-parameter"),
        ({"query": QUEUED, "leaseSeconds": "0"}, "invalid-parameter"),
        ({"query": QUEUED, "overwrite": "true"}, "invalid-parameter"),
    ],
)
def test_a_malformed_claim_is_refused_and_claims_nothing(shared: Service, query: dict[str, str], slug: str) -> None:
    """What is unknown, out of bounds or no statement is a 400 that says so."""
    if not rows(shared, "a"):
        tag(shared, "a")

    problem = post(shared, "/objects/tags/ocr/state/2", 400, query_string=query)

    assert f"/problems/{slug}" == problem["type"]
    assert 1 == rows(shared, "a")["ocr"][1]


def test_a_claim_repeated_under_its_idempotency_key_gets_the_same_objects(service: Service) -> None:
    """The answer that was lost is given again, though others have written since, and nothing more is claimed."""
    for number in range(3):
        tag(service, f"object-{number}")
    request = {"query_string": {"query": QUEUED}, "headers": {"Idempotency-Key": "key-1"}}
    first = service.client.post("/api/dms/objects/tags/ocr/state/2", **request)
    assert first.json is not None
    (claimed,) = first.json["objects"]
    tag(service, claimed["properties"]["system:objectId"]["value"], state=3, overwrite="true")

    again = service.client.post("/api/dms/objects/tags/ocr/state/2", **request)

    assert first.json == again.json
    assert "true" == again.headers["Idempotent-Replayed"]
    assert first.headers["ETag"] == again.headers["ETag"]
    assert 2 == search(service, QUEUED)["totalNumItems"]
    reused = service.client.post("/api/dms/objects/tags/ocr/state/9", **request)
    assert (422, "/problems/idempotency-key-reused") == (reused.status_code, (reused.json or {})["type"])


def test_objects_come_about_in_the_order_asked_for(real: Service) -> None:
    """A claim takes one of the first few hundred in the statement's order, so the end of a long queue waits."""
    changes = [{"objectId": f"object-{number:04}", "name": "ocr", "state": number, "action": "add"} for number in range(1000)]
    post(real, "/objects/tags", json={"changes": changes})

    found = ids(
        claim(real, "SELECT * FROM x WHERE system:tags[ocr].state > -1 ORDER BY system:tags[ocr].state DESC", state=-5, limit=20)
    )

    assert 20 == len(set(found))
    assert all(ident >= "object-0400" for ident in found)


def test_many_workers_on_one_queue_never_get_the_same_object(real: Service, mongo_uri: str, database_name: str) -> None:
    """Every object is claimed exactly once, by 16 workers, through two services, and none is left."""
    queued = [f"object-{number}" for number in range(300)]
    changes = [{"objectId": object_id, "name": "ocr", "state": 1, "action": "add"} for object_id in queued]
    post(real, "/objects/tags", json={"changes": changes})

    def work(service: Service) -> list[str]:
        got: list[str] = []
        while found := claim(service):
            got += ids(found)
        return got

    other = running(Settings(mongo_uri=mongo_uri, database=database_name, auth="none"))
    with other as second, ThreadPoolExecutor(16) as workers:
        claimed = [ident for got in workers.map(work, [real, second] * 8) for ident in got]

    assert sorted(queued) == sorted(claimed)
    entries = [entry for entry in real.entries() if entry["action"] == 310]
    assert {(1, 2)} == {(entry["previousState"], entry["state"]) for entry in entries}
    assert 300 == len(entries)


@pytest.mark.parametrize(
    ("statement", "state"), [(QUEUED, 2), ("SELECT * FROM x WHERE system:tags[done] IS NULL", 1)], ids=["queue", "no queue"]
)
def test_nothing_waits_for_ever_where_work_keeps_coming(service: Service, statement: str, state: int) -> None:
    """An object is claimed though a new one that would come before it by id is queued with every claim."""
    name = "ocr" if statement == QUEUED else "done"
    for number in range(60):
        tag(service, f"z-{number}")

    for number in range(400):
        tag(service, f"a-{number}")
        if ids(claim(service, statement, name, state)) == ["z-0"]:
            break

    assert state == rows(service, "z-0")[name][1]


PINNED = "SELECT * FROM document WHERE system:objectId='{}'"


def test_a_claim_for_good_leaves_the_tag_to_the_trace_that_owns_it(service: Service) -> None:
    """The owner, who made the tag under its trace, goes on owning it; a claim that adds takes the header's trace id."""
    service.client.post("/api/dms/objects/a/tags/ocr/state/1", headers={"X-B3-TraceId": "aa"})

    (updated,) = claim(service, headers={"X-B3-TraceId": "bb"})
    (leased,) = claim(service, PINNED.format("a"), headers={"X-B3-TraceId": "cc"}, leaseSeconds=60)
    (added,) = claim(service, PINNED.format("new"), headers={"X-B3-TraceId": "dd"})

    assert ["aa", "cc", "dd"] == [row_of(found)[3].lstrip("0") for found in (updated, leased, added)]


def test_an_object_that_nobody_ever_tagged_is_found_where_its_id_is_named(service: Service) -> None:
    """A statement that pins ids takes new objects too, as far as one without tags satisfies it, each once."""
    tag(service, "b", "other", 7)
    three = "SELECT * FROM document WHERE system:objectId IN ('a','b','c') AND system:tags[ocr] IS NULL"

    assert [["b"], ["a", "c"], []] == [ids(claim(service, three, limit=limit)) for limit in (1, 5, 5)]
    assert [] == claim(service, "SELECT * FROM document WHERE system:objectId='d' AND system:tags[ocr].state=1")
    assert [] == ids(search(service, PINNED.format("d"))["objects"])
    assert ["OBJECT_TAG_CREATED"] * 4 == [entry["actionName"] for entry in service.entries()]


def test_a_lease_on_a_new_object_ends_as_any_other(service: Service) -> None:
    """What the claim added goes when the lease runs out, and may be claimed again, with its attempts counted."""
    (first,) = claim(service, PINNED.format("a"), leaseSeconds=60)
    assert [] == claim(service, f"{PINNED.format('a')} AND system:tags[ocr] IS NULL")
    run_out(service, "a")

    (second,) = claim(service, PINNED.format("a"), leaseSeconds=60)

    assert [1, 2] == [found["dms:attempts"]["value"] for found in (first, second)]


def test_a_key_takes_a_new_object_once(service: Service) -> None:
    """A repetition is answered as the first time, and takes nothing more."""
    answers = [claim(service, PINNED.format("a"), headers={"Idempotency-Key": "k"}) for _ in range(2)]

    assert answers[0] == answers[1]
    assert 1 == len(service.entries())


def test_many_claim_one_new_object_at_once(real: Service) -> None:
    """Each sets its own tag, and none is lost; of those who want the same tag of it added one wins."""
    names = [f"{letter}:{other}" for letter in "abcdef" for other in "abcd"]
    with ThreadPoolExecutor(24) as pool:
        own = list(
            pool.map(lambda name: post(real, f"/objects/tags/{name}/state/1", query_string={"query": PINNED.format("a")}), names)
        )
        same = f"{PINNED.format('b')} AND system:tags[ocr] IS NULL"
        one = list(pool.map(lambda _: post(real, "/objects/tags/ocr/state/1", query_string={"query": same}), range(24)))

    assert [1] * 24 == [len(answer["objects"]) for answer in own]
    assert 1 == sum(len(answer["objects"]) for answer in one)
    assert 25 == len(real.entries())


@pytest.mark.parametrize("where", ["", " AND system:tags[ocr] IS NOT NULL"])
def test_equal_claims_under_one_key_at_once_take_one_object(real: Service, where: str) -> None:
    """Also where the object still is a match after the claim, and where it no longer is: one change, one answer for all."""
    for number in range(8):
        object_id = f"o{number}"
        if where:
            tag(real, object_id)
        asked: dict[str, Any] = {
            "query_string": {"query": PINNED.format(object_id) + where},
            "headers": {"Idempotency-Key": f"k{number}"},
        }
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: post(real, "/objects/tags/ocr/state/2", **asked), range(6)))  # noqa: B023

        assert all(answer["objects"] for answer in answers)
        assert 1 == len({answer["objects"][0]["properties"]["dms:etags"]["value"][0] for answer in answers})
    assert (16 if where else 8) == len(real.entries())


def test_a_claim_takes_an_object_once_however_many_it_may_take(service: Service) -> None:
    """One that is a match still is not taken again by the same claim."""
    tag(service, "a")

    assert ["a", "b"] == sorted(ids(claim(service, "SELECT * FROM document WHERE system:objectId IN ('a','b')", limit=5)))


def test_a_claim_tells_no_trace_id_to_who_may_not_read_the_tag(memory: Database, token_store: TokenStore) -> None:
    """The trace id of a tag's owner is its lock: it is neither in the rows nor in a header."""
    with running(Settings(mongo_uri="mongomock://", auth="tokens"), memory) as service:
        owner, blind = (
            {"Authorization": f"Bearer {token_store.create('default', name, grant, ADMIN)}"}
            for name, grant in (
                ("owner", Grant(frozenset(Permission))),
                ("blind", Grant(frozenset({Permission.READ, Permission.WRITE}), read_prefixes=("a:",))),
            )
        )
        service.client.post("/api/dms/objects/a/tags/ocr/state/1", headers={**owner, "X-B3-TraceId": "5ec2e75ec2e7"})

        answer = service.client.post(
            "/api/dms/objects/tags/ocr/state/2", query_string={"query": PINNED.format("a")}, headers=blind
        )

    assert 200 == answer.status_code
    assert "5ec2e7" not in f"{answer.headers}{answer.text}"


def test_a_key_stands_for_a_statement_however_it_is_spelt(service: Service) -> None:
    """Keywords in another case, columns, a semicolon, the statement in the body: the same request."""
    tag(service, "a")
    headers = {"Idempotency-Key": "k"}
    first = claim(service, headers=headers)

    again = claim(service, "select system:objectId from object where system:tags[ocr].state = 1;", headers=headers)
    in_body = post(service, "/objects/tags/ocr/state/2", json={"query": {"statement": QUEUED}}, headers=headers)

    assert ids(first) == ids(again) == [found["properties"]["system:objectId"]["value"] for found in in_body["objects"]]


def test_what_is_claimed_is_told_where_more_cannot_be(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """MongoDB goes away in the middle of a claim of several: what was taken is the answer; where that is unsure, it is said."""
    groups = service.services.claims._groups  # noqa: SLF001 - the seam of all writes
    make = groups.make

    def fail_second(uncertain: bool) -> None:
        made: list[object] = []

        def failing(change: Any) -> bool:
            made.append(change)
            if len(made) > 1:
                raise StoreUnavailable("MongoDB does not answer", uncertain=uncertain)
            return make(change)

        monkeypatch.setattr(groups, "make", failing)

    for uncertain in (False, True):
        for object_id in "ab":
            tag(service, f"{object_id}{uncertain}".lower())
        fail_second(uncertain)
        if uncertain:
            refused = post(service, "/objects/tags/ocr/state/2", 503, query_string={"query": QUEUED, "limit": 5})
            assert "1 objects were claimed" in refused["detail"]
        else:
            assert 1 == len(claim(service, limit=5))
        monkeypatch.undo()
        claim(service, limit=5)
