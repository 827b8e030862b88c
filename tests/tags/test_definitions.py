"""Tag definitions: states and steps, enforced in the same write (API.md section 3)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dms_tags.tags.definitions import Definitions
from tests.support.app import Service
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
