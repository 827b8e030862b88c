"""Tag definitions: states and steps, enforced in the same write (API.md section 3)."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from dms_tags.tags.definitions import Definitions
from tests.support.app import Service
from tests.support.at_once import at_once
from tests.support.workflow import claim, eventually, ids, post, rows, tag

PATH = "/api/dms/tag-definitions/ocr"
STEPS = {
    "states": {"1": "queued", "2": "running", "3": "done"},
    "transitions": {"1": [2], "2": [1, 3]},
    "initial": [1],
    "enforce": True,
}


def define(service: Service, **members: Any) -> None:
    """Defines `ocr`."""
    response = service.client.put(PATH, json=STEPS | members)
    assert 200 == response.status_code, response.text


def attempt(service: Service, state: int, **query: str) -> tuple[int, str]:
    """Sets `ocr` on the object `a`: the status, and what was refused."""
    response = service.client.post(f"/api/dms/objects/a/tags/ocr/state/{state}", query_string=query)
    return response.status_code, (response.json or {}).get("type", "")


def test_a_definition_is_kept_as_it_was_put_and_its_changes_are_in_the_trail(service: Service) -> None:
    """PUT, GET, list and DELETE, each change recorded as administration."""
    define(service)
    service.client.put(PATH, json={"states": {"7": "only"}})

    assert {"states": {"7": "only"}, "enforce": True} == service.client.get(PATH).json
    listed = service.client.get("/api/dms/tag-definitions").json
    assert {"definitions": [{"name": "ocr", "states": {"7": "only"}, "enforce": True}]} == listed
    assert 200 == service.client.delete(PATH).status_code
    assert 404 == service.client.get(PATH).status_code
    assert 404 == service.client.delete(PATH).status_code
    assert ["ADMIN_CREATED", "ADMIN_UPDATED", "ADMIN_DELETED"] == [entry["actionName"] for entry in service.entries()]
    assert {"definition/ocr"} == {entry["resource"] for entry in service.entries()}


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"states": {}},
        {"states": {"x": "queued"}},
        {"states": {"1": 7}},
        {"states": {"1": "a"}, "transitions": {"1": [2]}},
        {"states": {"1": "a"}, "transitions": {"2": [1]}},
        {"states": {"1": "a"}, "transitions": {"1": 1}},
        {"states": {"1": "a"}, "initial": [2]},
        {"states": {"1": "a"}, "initial": ["1"]},
        {"states": {"1": "a"}, "enforce": 1},
        {"states": {"1": "a"}, "enforced": True},
        {"states": {"1": "a", "01": "b"}},
        {"states": {"0": "a", "-0": "b"}},
        {"states": {"1": "a"}, "transitions": {"1": [1], "001": []}},
    ],
)
def test_a_malformed_definition_is_refused(shared: Service, body: Any) -> None:
    """400 `invalid-body`, also for steps between states that are not named."""
    response = shared.client.put(PATH, json=body)

    assert (400, "/problems/invalid-body") == (response.status_code, (response.json or {})["type"])
    assert 404 == shared.client.get(PATH).status_code


def test_states_and_steps_outside_the_definition_are_refused(service: Service) -> None:
    """422 for a state that is not of it, 409 for a step or a beginning that is not."""
    define(service)

    assert (422, "/problems/unknown-state") == attempt(service, 9)
    assert (409, "/problems/transition-not-allowed") == attempt(service, 2)
    assert (200, "") == attempt(service, 1)
    assert (409, "/problems/transition-not-allowed") == attempt(service, 3, overwrite="true")
    assert (422, "/problems/unknown-state") == attempt(service, 9, overwrite="true")
    assert (200, "") == attempt(service, 2, overwrite="true")
    assert (200, "") == attempt(service, 3, overwrite="true")
    assert (409, "/problems/transition-not-allowed") == attempt(service, 1, overwrite="true")
    assert 3 == rows(service, "a")["ocr"][1]


def test_the_same_state_again_removing_and_leaving_an_unknown_state_are_always_allowed(service: Service) -> None:
    """What was there before the definition is not trapped by it."""
    tag(service, "a", state=99)
    define(service)

    assert (200, "") == attempt(service, 99, overwrite="true")
    assert (200, "") == attempt(service, 3, overwrite="true")
    assert (200, "") == attempt(service, 3, overwrite="true")
    assert 200 == service.client.delete("/api/dms/objects/a/tags/ocr").status_code


@pytest.mark.parametrize(
    "members", [{"enforce": False}, {"states": {str(n): "x" for n in range(1, 10)}, "transitions": None, "initial": None}]
)
def test_a_definition_that_only_names_states_forbids_no_step(service: Service, members: dict[str, Any]) -> None:
    """`enforce: false` checks nothing, and without transitions any state may follow any."""
    define(service, **members)

    assert (200, "") == attempt(service, 3)
    assert (200, "") == attempt(service, 9 if members.get("enforce", True) else 77, overwrite="true")


def test_a_batch_and_a_claim_keep_to_the_definition(service: Service) -> None:
    """`set` may not begin where no tag may begin, and a claim passes over objects that may not take the step."""
    define(service)
    changes = [{"objectId": f"object-{number}", "name": "ocr", "action": "set", "state": 3} for number in range(6)]

    refused = post(service, "/objects/tags", json={"changes": changes})["results"]

    assert [409] * 6 == [result["status"] for result in refused]
    tag(service, "b", "imported")
    assert [] == claim(service, "SELECT * FROM x", state=3)
    assert ["b"] == ids(claim(service, "SELECT * FROM x", state=1))
    assert [] == claim(service, "SELECT * FROM x", state=3)
    post(service, "/objects/tags/ocr/state/9", 422, query_string={"query": "SELECT * FROM x"})


def test_a_changed_definition_holds_in_other_services_within_two_seconds(service: Service) -> None:
    """A service that has read the old one sees the new one without being told."""
    other = Definitions(service.database, service.services.store)
    define(service)
    rules = other.rules("default", "ocr")
    assert rules is not None
    assert (3,) == rules.forbidden_from(1)

    define(service, transitions={"1": [2], "2": [3], "3": [1]})

    def changed() -> bool:
        now = other.rules("default", "ocr")
        return now is not None and now.forbidden_from(1) == (2,)

    eventually(changed)


def test_no_illegal_step_gets_through_among_racing_clients(real: Service) -> None:
    """Whoever wins, the trail holds only steps that the definition knows."""
    define(real, transitions={"1": [2], "2": [3], "3": [1]})
    tag(real, "a")

    def push(state: int) -> None:
        client = real.app.test_client()
        for _ in range(8):
            answer = client.post(f"/api/dms/objects/a/tags/ocr/state/{state}", query_string={"overwrite": "true"})
            assert answer.status_code in (200, 409)

    with ThreadPoolExecutor(12) as clients:
        list(clients.map(push, [1, 2, 3] * 4))

    steps = {(entry["previousState"], entry["state"]) for entry in real.entries() if entry["action"] == 310}
    assert steps <= {(1, 2), (2, 3), (3, 1), (1, 1), (2, 2), (3, 3)}
    assert len(steps) > 3


@pytest.mark.parametrize(
    ("body", "spelled"),
    [
        ({"states": {"1": "a", "01": "b"}}, ('"1"', '"01"')),
        ({"states": {"1": "a", "2": "b"}, "transitions": {"2": [1], "1": [2], "+2": [1]}}, ()),
        ({"states": {"1": "a", "2": "b"}, "transitions": {"02": [1], "1": [2], "2": [1]}}, ('"02"', '"2"')),
    ],
)
def test_two_spellings_of_one_state(shared: Service, body: Any, spelled: tuple[str, ...]) -> None:
    """Which of two labels or steps counts would be a guess: 400, and it names both spellings."""
    answer = shared.client.put(PATH, json=body)

    assert 400 == answer.status_code
    assert all(text in (answer.json or {})["detail"] for text in spelled), answer.text


def test_a_definition_has_an_etag(service: Service) -> None:
    """GET and PUT tell it, and it is what If-None-Match on a GET is compared with."""
    made = service.client.put(PATH, json=STEPS, headers={"X-B3-TraceId": "abc"})
    read = service.client.get(PATH)

    assert made.headers["ETag"] == read.headers["ETag"]
    assert "abc" == made.headers["X-B3-TraceId"] == read.headers["X-B3-TraceId"]
    unchanged = service.client.get(PATH, headers={"If-None-Match": read.headers["ETag"]})
    assert (304, b"", read.headers["ETag"]) == (unchanged.status_code, unchanged.data, unchanged.headers["ETag"])
    assert read.headers["ETag"] != service.client.put(PATH, json=STEPS).headers["ETag"]


def test_a_definition_is_changed_only_as_it_was_read(service: Service) -> None:
    """If-Match and If-None-Match: * hold in the very write, or nothing is changed: 412."""
    mismatch = (412, "/problems/revision-mismatch")

    def sent(method: str, **headers: str) -> tuple[int, str]:
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        answer = service.client.open(PATH, method=method, json=STEPS if method == "PUT" else None, headers=given)
        return answer.status_code, (answer.json or {}).get("type", "") if answer.data else ""

    assert mismatch == sent("PUT", If_Match="*")
    assert mismatch == sent("PUT", If_Match='"a"')
    assert (404, "/problems/not-found") == sent("DELETE", If_Match='"a"')
    assert 200 == sent("PUT", If_None_Match="*")[0]
    stale = service.client.get(PATH).headers["ETag"]
    assert mismatch == sent("PUT", If_None_Match="*")
    assert mismatch == sent("PUT", If_Match="*", If_None_Match="*")
    assert 200 == sent("PUT", If_Match=stale)[0]
    assert mismatch == sent("PUT", If_Match=stale)
    assert mismatch == sent("DELETE", If_Match=stale)
    assert 400 == sent("PUT", If_None_Match=stale)[0]
    current = service.client.get(PATH).headers["ETag"]
    assert 200 == sent("PUT", If_Match=f"{stale}, {current}")[0]
    assert 200 == sent("DELETE", If_Match="*")[0]
    assert ["ADMIN_CREATED", "ADMIN_UPDATED", "ADMIN_UPDATED", "ADMIN_DELETED"] == [
        entry["actionName"] for entry in service.entries()
    ]


@pytest.mark.parametrize("condition", ["If-Match", "If-None-Match"])
def test_of_64_definitions_under_one_condition_one_is_made(real: Service, condition: str) -> None:
    """64 writers that rest on the same revision, or on there being none, at once: one wins, the others are told."""
    headers = {"If-None-Match": "*"}
    if condition == "If-Match":
        headers = {"If-Match": real.client.put(PATH, json=STEPS).headers["ETag"]}

    def put(number: int) -> int:
        body = {"states": {"1": f"writer {number}"}}
        return real.app.test_client().put(PATH, json=body, headers=headers).status_code

    statuses = at_once([partial(put, number) for number in range(64)])

    assert {200: 1, 412: 63} == Counter(statuses)
