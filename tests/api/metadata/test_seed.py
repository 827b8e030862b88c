"""The seed's call, updateTagOnResource, held against the seed's own schemas."""

from __future__ import annotations

import pytest
from pymongo.errors import AutoReconnect

from tests.support.app import Service
from tests.support.faults import Faulty, breakable_service
from tests.support.metadata import SITE, TRACE, body_of, define, put, refused
from tests.support.openapi import valid

TAG_VALUE = {
    "type": "object",
    "required": ["tag_id", "correlation_id", "correlation_type", "value", "created_at", "updated_at"],
    "additionalProperties": False,
    "properties": {
        "tag_id": {"type": "string"},
        "correlation_id": {"type": "string"},
        "correlation_type": {"type": "string", "enum": ["site", "user", "wan", "account"]},
        "value": {"type": "string"},
        "created_at": {"type": "string", "format": "date-time"},
        "updated_at": {"type": "string", "format": "date-time"},
    },
}
ERROR_RESPONSE = {
    "type": "object",
    "required": ["type", "code", "message", "doc_url"],
    "additionalProperties": False,
    "properties": {name: {"type": "string"} for name in ("type", "code", "message", "doc_url")},
}


@pytest.fixture
def breakable() -> tuple[Service, Faulty]:
    """The application on a store that fails when told to."""
    return breakable_service()


def test_request_of_the_seed(service: Service) -> None:
    """The seed's request sets the value and is answered with a TagValue."""
    tag_id = define(service)

    value = body_of(put(service, tag_id, SITE, "Decommissioned"))

    valid(TAG_VALUE, value)
    assert (tag_id, SITE, "site", "Decommissioned") == tuple(
        value[name] for name in ("tag_id", "correlation_id", "correlation_type", "value")
    )
    assert value["created_at"] == value["updated_at"]


def test_overwriting(service: Service) -> None:
    """An existing value is overwritten: `created_at` stays, `updated_at` moves."""
    tag_id = define(service)
    first = body_of(put(service, tag_id, SITE, "APAC"))

    second = body_of(put(service, tag_id, SITE, "EMEA"))

    valid(TAG_VALUE, second)
    assert ("EMEA", first["created_at"]) == (second["value"], second["created_at"])
    assert second["updated_at"] >= first["updated_at"]


def test_bad_request_of_the_seed(service: Service) -> None:
    """A request without a required member is a 400 with an ErrorResponse."""
    answer = service.client.put(f"/tags/{define(service)}/values/{SITE}", json={"correlation_type": "site"})

    valid(ERROR_RESPONSE, answer.json)
    refused(answer, 400, "invalid_request_error", "parameter_missing")


def test_failing_store(breakable: tuple[Service, Faulty]) -> None:
    """A store that does not answer is a 503 with an ErrorResponse and says when to try again."""
    service, switch = breakable
    tag_id = define(service)
    switch.error = AutoReconnect("gone")

    answer = put(service, tag_id, SITE, "APAC")

    valid(ERROR_RESPONSE, answer.json)
    refused(answer, 503, "api_error", "store_unavailable")
    assert "1" == answer.headers["Retry-After"]


def test_internal_error(breakable: tuple[Service, Faulty]) -> None:
    """What nobody expected is a 500 with an ErrorResponse, without a word of the failure's own."""
    service, switch = breakable
    tag_id = define(service)
    switch.error = RuntimeError("secret detail")

    answer = put(service, tag_id, SITE, "APAC")

    valid(ERROR_RESPONSE, answer.json)
    refused(answer, 500, "api_error", "internal_error")
    assert "secret" not in answer.text


def test_locks_of_the_service(service: Service) -> None:
    """Trace id and ETag lock a value as they lock a tag of an object, and are told with it."""
    tag_id = define(service)
    first = put(service, tag_id, SITE, "APAC", X_B3_TraceId=TRACE)
    assert TRACE == first.headers["X-B3-TraceId"]

    path = f"/tags/{tag_id}/values/{SITE}?traceIdMustMatch=true"
    body = {"correlation_type": "site", "value": "EMEA"}
    other = service.client.put(path, json=body, headers={"X-B3-TraceId": "abc"})
    lost = refused(other, 412, "precondition_error", "trace_mismatch")
    assert ("APAC", first.headers["ETag"]) == (lost["current"]["state"], f'"{lost["current"]["etag"]}"')
    same = service.client.put(path, json=body, headers={"X-B3-TraceId": TRACE.zfill(32)})
    assert ("EMEA", TRACE) == (body_of(same)["value"], same.headers["X-B3-TraceId"])

    refused(put(service, tag_id, SITE, "AMER", If_Match=first.headers["ETag"]), 412, "precondition_error", "revision_mismatch")
    assert "AMER" == body_of(put(service, tag_id, SITE, "AMER", If_Match=same.headers["ETag"]))["value"]
    assert "LATAM" == body_of(put(service, tag_id, SITE, "LATAM", If_Match="*"))["value"]


@pytest.mark.parametrize("if_match", ["*", '"01a2"'])
def test_condition_on_what_is_not_there(service: Service, if_match: str) -> None:
    """A condition on a value that is not there fails and settles neither the resource's type nor the spelling."""
    tag_id = define(service)

    refused(put(service, tag_id, SITE, "apac", If_Match=if_match), 412, "precondition_error", "revision_mismatch")

    assert "user" == body_of(put(service, tag_id, SITE, "APAC", "user"))["correlation_type"]
    assert "APAC" == body_of(put(service, tag_id, SITE, "Apac", "user"))["value"]


def test_idempotency_key(service: Service) -> None:
    """A repeated request under the same key is answered as the first time and changes nothing."""
    tag_id = define(service)
    first = put(service, tag_id, SITE, "APAC", Idempotency_Key="k1")
    put(service, tag_id, SITE, "EMEA")

    again = put(service, tag_id, SITE, "APAC", Idempotency_Key="k1")

    assert (first.json, first.headers["ETag"], "true") == (
        again.json,
        again.headers["ETag"],
        again.headers["Idempotent-Replayed"],
    )
    refused(put(service, tag_id, SITE, "AMER", Idempotency_Key="k1"), 422, "invalid_request_error", "idempotency_key_reused")
    assert ["APAC", "EMEA"] == [entry["state"] for entry in service.entries() if entry["resource"] == f"site/{SITE}"]
