"""Many changes in one request: each as if it were sent alone (API.md section 3)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from dms_tags.model import Actor, Change, Kind, Resource, Verb, now
from dms_tags.serving.mongod import Client
from dms_tags.store.database import Database
from dms_tags.store.documents import new_document
from dms_tags.tags.batch import Batches
from dms_tags.tags.definitions import Definitions
from dms_tags.tags.service import TagService
from dms_tags.tags.store import TagStore
from dms_tags.tags.writes import MAX_OUTBOX
from tests.support.app import Service
from tests.support.workflow import claim, post, row_of, rows, run_out, tag

ACTOR = Actor("alice", "token")


def batch(service: Service, *changes: Any, **request: Any) -> list[dict[str, Any]]:
    """The results of these changes."""
    results: list[dict[str, Any]] = post(service, "/objects/tags", json={"changes": list(changes)}, **request)["results"]
    return results


def change(object_id: str, action: str = "set", state: int | None = 1, name: str = "ocr", **members: Any) -> dict[str, Any]:
    """One change."""
    found = {"objectId": object_id, "name": name, "action": action, **members}
    return found if state is None else {**found, "state": state}


def told(results: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Each result's status, and the state that it gave or the problem that it is."""
    return [
        (
            result["status"],
            result["problem"]["type"].rpartition("/")[2] if "problem" in result else str(result.get("tag", ["", ""])[1]),
        )
        for result in results
    ]


def test_each_change_has_its_own_result_in_the_order_asked_for(service: Service) -> None:
    """What fails says so as if it had been sent alone, and hinders no other."""
    tag(service, "there")

    results = batch(
        service,
        change("new", "add", 5),
        change("there", "add", 5),
        change("there", "update", 6),
        change("missing", "update", 6),
        change("missing", "delete", None),
        change("set", "set", 7),
        change("..", "set", 7),
        change("bad", "set", 7, name="A"),
        change("bad", "set", 2**31),
        change("bad", "frob"),
        change("bad", "set", 1, traceIdMustMatch=True),
        change("bad", "add", 1, expectedState=3),
        change("bad", "set", 1, typo=3),
        7,
        change("there", "delete", None),
    )

    assert [
        (200, "5"),
        (409, "tag-exists"),
        (200, "6"),
        (404, "tag-not-found"),
        (404, "tag-not-found"),
        (200, "7"),
        (400, "invalid-object-id"),
        (400, "invalid-tag-name"),
        (400, "invalid-state"),
        (400, "invalid-body"),
        (400, "trace-id-required"),
        (400, "invalid-parameter"),
        (400, "invalid-body"),
        (400, "invalid-body"),
        (200, ""),
    ] == told(results)
    assert rows(service, "new")["ocr"] == results[0]["tag"]
    assert {} == rows(service, "there")
    etag = service.client.get("/api/dms/objects/new/tags/ocr").headers["ETag"]
    assert f'"{results[0]["etag"]}"' == etag


def test_changes_of_one_object_are_made_in_the_order_given(service: Service) -> None:
    """Also where other objects lie between them, and where one of them fails."""
    steps = [("add", 1), ("update", 2), ("add", 3), ("update", 4), ("delete", None), ("set", 5)]
    mixed = [change(f"object-{number}", action, state) for action, state in steps for number in range(6)]

    results = batch(service, *mixed)

    assert [200, 200, 409, 200, 200, 200] == [results[index * 6]["status"] for index in range(6)]
    for number in range(6):
        assert 5 == rows(service, f"object-{number}")["ocr"][1]
        recorded = [entry["state"] for entry in service.entries() if entry["objectId"] == f"object-{number}"]
        assert [1, 2, 4, 4, 5] == recorded


def test_the_conditions_of_a_change_hold_in_its_own_write(service: Service) -> None:
    """Trace id, ETag and expected state lock as they do alone; a lost lock has the tag as it stands."""
    for number in range(6):
        service.client.post(f"/api/dms/objects/object-{number}/tags/ocr/state/1", headers={"X-B3-TraceId": "00abc"})
    etag = service.client.get("/api/dms/objects/object-4/tags/ocr").headers["ETag"]

    results = batch(
        service,
        change("object-0", "update", 2, traceId="abc", traceIdMustMatch=True),
        change("object-1", "update", 2, traceId="abd", traceIdMustMatch=True),
        change("object-2", "update", 2, expectedState=7),
        change("object-3", "delete", None, ifMatch="0123"),
        change("object-4", "update", 2, ifMatch=etag),
        change("object-5", "update", 2, traceIdMustMatch=True),
        headers={"X-B3-TraceId": "abc"},
    )

    assert [
        (200, "2"), (412, "trace-mismatch"), (412, "state-mismatch"), (412, "revision-mismatch"), (200, "2"), (200, "2"),
    ] == told(results)  # fmt: skip
    assert "00abc" == results[0]["tag"][3]
    assert 1 == results[1]["problem"]["current"]["state"]


def test_a_batch_sent_again_under_its_idempotency_keys_changes_nothing(service: Service) -> None:
    """Each change is answered as the first time, also those that were made by the first wave and those that were not."""
    changes = [change(f"object-{number}", "set", 2, idempotencyKey=f"key-{number}") for number in range(5)]
    first = batch(service, *changes)
    entries = service.entries()

    again = batch(service, *changes)

    assert [result | {"replayed": True} for result in first] == again
    assert entries == service.entries()
    reused = batch(service, *(change(f"object-{number}", "set", 3, idempotencyKey=f"key-{number}") for number in range(5)))
    assert {(422, "idempotency-key-reused")} == set(told(reused))


def test_a_leased_tag_is_changed_by_its_holder_and_by_nobody_who_is_late(service: Service) -> None:
    """A batch respects leases as a single change does."""
    for number in range(6):
        tag(service, f"object-{number}")
    held = {found["system:objectId"]["value"]: found for found in claim(service, limit=6, leaseSeconds=60)}
    run_out(service, "object-0")

    results = batch(
        service,
        *(
            change(f"object-{number}", "update", 3, traceId=row_of(held[f"object-{number}"])[3], traceIdMustMatch=True)
            for number in range(6)
        ),
    )

    assert [412, 200, 200, 200, 200, 200] == [result["status"] for result in results]


@pytest.mark.parametrize("others", [0, 5], ids=["alone", "in a wave"])
def test_an_object_whose_outbox_is_full_hinders_no_other(service: Service, others: int) -> None:
    """Its change is a 503 of its own; the changes of other objects, also in later waves, are made."""
    service.database.tags.insert_one(
        {
            **new_document(Resource("default", Kind.OBJECT, "full"), now()),
            "outbox": [{"id": f"{number}"} for number in range(MAX_OUTBOX)],
            # so that the relay finds nothing that it could move
            "tenant": "full",
        }
    )
    changes = [
        change(object_id, state=state)
        for state in (1, 2)
        for object_id in ("full", "free", *(f"object-{number}" for number in range(others)))
    ]

    results = told(batch(service, *changes))

    wave = [(503, "store-unavailable"), *([(200, "1")] * (1 + others))]
    assert [*wave, wave[0], *([(200, "2")] * (1 + others))] == results
    service.database.tags.delete_one({"id": "full"})


def test_once_mongodb_does_not_answer_nothing_more_of_a_batch_is_tried(database: Database, mongo_client: Client) -> None:
    """One change is told that it may have been made, the others that they were not tried: no waiting in turn."""
    store = TagStore(database)
    objects = [Resource("default", Kind.OBJECT, f"object-{number}") for number in range(3)]
    for resource in objects:
        store.change(Change(resource, "ocr", Verb.ADD, ACTOR, 1))
    batches = Batches(database, TagService(store, Definitions(database, store)), store.groups)
    fault = {"failCommands": ["update"], "writeConcernError": {"code": 64, "errmsg": "lost"}, "appName": "dms-tags"}
    mongo_client.admin.command("configureFailPoint", "failCommand", mode={"times": 1}, data=fault)
    try:
        outcomes = batches.apply([Change(resource, "ocr", Verb.SET, ACTOR, 2) for resource in objects])
    finally:
        mongo_client.admin.command("configureFailPoint", "failCommand", mode="off")

    assert [False, True, True] == ["not tried" in str(outcome) for outcome in outcomes]
    assert [2, 1, 1] == [tag.state for resource in objects for tag in store.read(resource)]


@pytest.mark.parametrize("body", [None, [], {}, {"changes": {}}, {"changes": [{}] * 1001}])
def test_a_body_that_is_no_batch_is_refused(shared: Service, body: Any) -> None:
    """400 `invalid-body`, and more than 1,000 changes are too many."""
    assert "/problems/invalid-body" == post(shared, "/objects/tags", 400, json=body)["type"]


CHANGES = st.lists(
    st.builds(
        change,
        st.sampled_from([f"object-{number}" for number in range(5)]),
        st.sampled_from(["add", "update", "set", "delete"]),
        st.integers(1, 3),
        st.sampled_from(["ocr", "b"]),
        expectedState=st.none() | st.integers(1, 3),
    ).map(lambda made: {member: value for member, value in made.items() if value is not None}),
    min_size=1,
    max_size=25,
)


def alone(service: Service, one: dict[str, Any], tenant: dict[str, str]) -> int:
    """The status of the change sent alone; what only a batch can say is sent as a batch of one."""
    path = f"/api/dms/objects/{one['objectId']}/tags/{one['name']}"
    query = {"expectedState": str(one["expectedState"])} if "expectedState" in one else {}
    if one["action"] in ("set", "delete") or (one["action"] == "add" and query):
        return int(batch(service, one, headers=tenant)[0]["status"])
    if one["action"] == "update":
        query["overwrite"] = "true"
    return service.client.post(f"{path}/state/{one['state']}", query_string=query, headers=tenant).status_code


def made(service: Service, tenant: str) -> dict[str, list[tuple[str, int, int]]]:
    """What was recorded of each object, in order."""
    found: dict[str, list[tuple[str, int, int]]] = {}
    for entry in service.entries(tenant):
        found.setdefault(entry["objectId"], []).append((entry["name"], entry["action"], entry["state"]))
    return found


TENANTS = itertools.count()


@how(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)
@given(changes=CHANGES)
def test_a_batch_comes_to_what_its_changes_come_to_one_by_one(real: Service, changes: list[dict[str, Any]]) -> None:
    """Same statuses, same entries in the same order: only the round trips differ."""
    number = next(TENANTS)
    one_by_one = [alone(real, each, {"X-ID-TENANT-NAME": f"alone-{number}"}) for each in changes]

    together = batch(real, *changes, headers={"X-ID-TENANT-NAME": f"together-{number}"})

    assert one_by_one == [result["status"] for result in together]
    assert made(real, f"alone-{number}") == made(real, f"together-{number}")
