"""Why a change is made: said in a header or a body, kept in the trail, demanded by definitions (API.md sections 1 to 3)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.support.app import Service

HEADER = "X-Change-Reason"
TAG = "/api/dms/objects/a/tags/ocr"
DEFINED = {"states": {"1": "queued", "2": "running", "3": "done"}, "reasonRequired": [3]}
CLAIM = {"query": {"statement": "SELECT * FROM document WHERE system:tags[ocr].state=1"}}


def reasons(service: Service) -> list[Any]:
    """The reasons of all entries, in order."""
    return [entry["reason"] for entry in service.entries()]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("scanned again", "scanned again"),
        ("neu%20gepr%C3%BCft", "neu geprüft"),
        ("50% done", "50% done"),
        ("100%25 sure", "100% sure"),
        (quote("\N{GRINNING FACE}" * 500), "\N{GRINNING FACE}" * 500),
    ],
)
def test_a_reason_is_kept_with_the_entry(service: Service, sent: str, kept: str) -> None:
    """Percent-encoded or plain; history, audit query and table show it."""
    assert 200 == service.client.post(f"{TAG}/state/1", headers={HEADER: sent}).status_code

    assert [kept] == reasons(service)
    (item,) = service.client.get("/api/dms/objects/a/history").json["objects"]  # type: ignore[index]
    assert {"value": kept} == item["properties"]["dms:reason"]
    assert kept == service.client.get("/api/dms/audit").json["entries"][0]["reason"]  # type: ignore[index]
    assert kept in service.client.get("/api/dms/audit/export?format=csv").text


@pytest.mark.parametrize("text", ["", " ", "a%00b", "%C3", "x" * 501, "tab%09", "ü", "%ED%A0%80"])
def test_what_is_no_reason_changes_nothing(service: Service, text: str) -> None:
    """A 400 that names the header; the same of a member of a body."""
    refused = service.client.post(f"{TAG}/state/1", headers={HEADER: text})

    assert (400, "/problems/invalid-parameter") == (refused.status_code, refused.json["type"])  # type: ignore[index]
    assert HEADER in refused.json["detail"]  # type: ignore[index]
    assert [] == service.entries()


def test_a_batch_tells_reasons(service: Service) -> None:
    """Each change its own, else the batch's, else the request's; a wrong one is wrong for itself alone."""
    changes = [
        {"objectId": "a", "name": "ocr", "state": 1, "action": "add", "reason": "its own"},
        {"objectId": "b", "name": "ocr", "state": 1, "action": "add"},
        {"objectId": "c", "name": "ocr", "state": 1, "action": "add", "reason": "\x01"},
        {"objectId": "d", "name": "ocr", "state": 1, "action": "add", "reason": 7},
    ]
    answer = service.client.post("/api/dms/objects/tags", json={"changes": changes, "reason": "all of it"}).json
    service.client.post("/api/dms/objects/tags", json={"changes": [changes[1] | {"objectId": "e"}]}, headers={HEADER: "sent"})

    assert [200, 200, 400, 400] == [result["status"] for result in answer["results"]]  # type: ignore[index]
    assert ["all of it", "its own", "sent"] == sorted(reasons(service))


def test_every_api_takes_the_header(service: Service) -> None:
    """Labels, definitions, claims and a lease that is given back too; one that runs out by itself needs none."""
    why = {HEADER: "because"}
    service.client.put("/api/dms/tag-definitions/ocr", json=DEFINED, headers=why)
    service.client.post(f"{TAG}/state/1", headers=why)
    service.client.post("/api/dms/objects/tags/ocr/state/2?leaseSeconds=60", json=CLAIM | {"reason": "because"})
    trace = service.client.get(TAG).headers["X-B3-TraceId"]
    service.client.delete(f"{TAG}/lease", headers=why | {"X-B3-TraceId": trace})
    service.client.delete(TAG, headers=why)

    assert ["because"] * 5 == reasons(service)


def test_a_definition_demands_a_reason(service: Service) -> None:
    """Of changes, batches and claims that set the state; without one nothing is changed, and what does not set it needs none."""
    service.client.put("/api/dms/tag-definitions/ocr", json=DEFINED)
    assert DEFINED | {"enforce": True} == service.client.get("/api/dms/tag-definitions/ocr").json
    service.client.post(f"{TAG}/state/1")
    change = {"objectId": "a", "name": "ocr", "state": 3, "action": "set"}
    refused = [
        service.client.post(f"{TAG}/state/3?overwrite=true"),
        service.client.post("/api/dms/objects/b/tags/ocr/state/3"),
        service.client.post("/api/dms/objects/tags/ocr/state/3", json=CLAIM),
    ]
    batch = service.client.post("/api/dms/objects/tags", json={"changes": [change]}).json

    assert [(422, "/problems/reason-required")] * 3 == [(each.status_code, each.json["type"]) for each in refused]  # type: ignore[index]
    assert "reason-required" in batch["results"][0]["problem"]["type"]  # type: ignore[index]
    assert 2 == len(service.entries())
    assert 200 == service.client.post("/api/dms/objects/tags/ocr/state/3", json=CLAIM, headers={HEADER: "done"}).status_code
    assert 200 == service.client.post(f"{TAG}/state/2?overwrite=true").status_code
    assert 200 == service.client.delete(TAG).status_code
    assert 400 == service.client.put("/api/dms/tag-definitions/ocr", json=DEFINED | {"reasonRequired": [9]}).status_code


def test_a_definition_that_is_not_enforced_demands_none(service: Service) -> None:
    """It only names the states."""
    service.client.put("/api/dms/tag-definitions/ocr", json=DEFINED | {"enforce": False})

    assert 200 == service.client.post(f"{TAG}/state/3").status_code


def test_a_reason_is_part_of_what_an_idempotency_key_stands_for(service: Service) -> None:
    """By its meaning, not its spelling; a repetition is answered also when a definition demands a reason by now."""
    keyed = {"Idempotency-Key": "k"}
    service.client.post(f"{TAG}/state/3", headers=keyed | {HEADER: "so be it"})
    again = service.client.post(f"{TAG}/state/3", headers=keyed | {HEADER: "so%20be%20it"})
    other = service.client.post(f"{TAG}/state/3", headers=keyed | {HEADER: "or not"})
    without = service.client.post("/api/dms/objects/b/tags/ocr/state/3", headers=keyed)
    service.client.put("/api/dms/tag-definitions/ocr", json=DEFINED)

    assert ("true", 422) == (again.headers["Idempotent-Replayed"], other.status_code)
    repeated = service.client.post("/api/dms/objects/b/tags/ocr/state/3", headers=keyed)
    assert (200, "true") == (repeated.status_code, repeated.headers["Idempotent-Replayed"])
    assert without.json == repeated.json


def test_a_state_too_long_for_an_entry_is_refused(service: Service) -> None:
    """By the write, with a 4xx that says so: an entry that the log has no room for never comes into being."""
    states = {str(number): "x" * 255 for number in range(200)}
    refused = service.client.put("/api/dms/tag-definitions/ocr", json={"states": states})

    assert (400, "/problems/invalid-body") == (refused.status_code, refused.json["type"])  # type: ignore[index]
    assert "an entry of the audit trail has room for 31,000" in refused.json["detail"]  # type: ignore[index]
    assert [] == service.entries()
