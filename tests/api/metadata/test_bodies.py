"""Bodies of all sorts: what is not right is a 4xx in the seed's error shape, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dms_tags.settings import Settings
from tests.support.app import Service, running
from tests.support.metadata import SITE, body_of, define, put, refused

JSON = "application/json"
INVALID, MISSING, BODY = "parameter_invalid", "parameter_missing", "body_invalid"


@pytest.fixture
def service() -> Iterator[Service]:
    """The application in memory: what is refused here never reaches a store, and what is kept is tried on both elsewhere."""
    with running(Settings(mongo_uri="mongomock://", auth="none")) as found:
        yield found


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"", JSON, 400, BODY),
        (b"{", JSON, 400, BODY),
        (b"null", JSON, 400, BODY),
        (b"[]", JSON, 400, BODY),
        (b'"site"', JSON, 400, BODY),
        (b'{"correlation_type": "site", "value": NaN}', JSON, 400, BODY),
        (b'{"correlation_type": "site", "value": "\xff"}', JSON, 400, BODY),
        (b'{"correlation_type": "site", "value": "\\ud800"}', JSON, 400, BODY),
        ('{"correlation_type": "site", "value": "x"}'.encode("utf-16"), JSON, 400, BODY),
        (b"[" * 100_000, JSON, 400, BODY),
        (b'{"correlation_type":"site","value":"x"}', "text/plain", 415, "unsupported_media_type"),
        (b"correlation_type=site&value=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b'{"correlation_type":"site","value":"' + b"x" * 2_000_000 + b'"}', JSON, 413, "too_large"),
    ],
    ids=range(13),
)
def test_bodies(service: Service, body: bytes, kind: str, status: int, code: str) -> None:
    """What is no JSON object of the right type and size is refused."""
    tag_id = define(service)

    answer = service.client.put(f"/tags/{tag_id}/values/{SITE}", data=body, content_type=kind)

    refused(answer, status, "invalid_request_error", code)
    assert 1 == len(service.entries())


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"value": "x"}, MISSING),
        ({"correlation_type": "site"}, MISSING),
        ({"correlation_type": "site", "value": None}, MISSING),
        ({"correlation_type": "site", "value": ""}, INVALID),
        ({"correlation_type": "site", "value": "x" * 256}, INVALID),
        ({"correlation_type": "site", "value": "a\0b"}, INVALID),
        ({"correlation_type": "site", "value": 7}, INVALID),
        ({"correlation_type": "site", "value": True}, INVALID),
        ({"correlation_type": "site", "value": ["x"]}, INVALID),
        ({"correlation_type": "site", "value": {"$gt": ""}}, INVALID),
        ({"correlation_type": "tree", "value": "x"}, INVALID),
        ({"correlation_type": "Site", "value": "x"}, INVALID),
        ({"correlation_type": ["site"], "value": "x"}, INVALID),
        ({"correlation_type": {"a": 1}, "value": "x"}, INVALID),
        ({"correlation_type": 1, "value": "x"}, INVALID),
        ({"correlation_type": "site", "value": "x", "traceIdMustMatch": True}, INVALID),
    ],
)
def test_members_of_a_value(service: Service, members: dict[str, Any], code: str) -> None:
    """A member that is missing or wrong is refused by name, of the seed's call and of POST alike."""
    tag_id = define(service)

    for answer in (
        service.client.put(f"/tags/{tag_id}/values/{SITE}", json=members),
        service.client.post(f"/tags/{tag_id}/values", json={"correlation_id": SITE, **members}),
    ):
        refused(answer, 400, "invalid_request_error", code)
    assert 1 == len(service.entries())


@pytest.mark.parametrize("correlation_id", [None, "", "a b", 7, "..", "x" * 129, "\N{GRINNING FACE}"])
def test_resource_of_a_value(service: Service, correlation_id: Any) -> None:
    """A resource is named by 1 to 128 plain characters."""
    body = {"correlation_id": correlation_id, "correlation_type": "site", "value": "x"}

    answer = service.client.post(f"/tags/{define(service)}/values", json=body)

    refused(answer, 400, "invalid_request_error", MISSING if correlation_id is None else INVALID)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"color": "#3F51B5"}, MISSING),
        ({"key": "Region"}, MISSING),
        ({"key": "", "color": "#3F51B5"}, INVALID),
        ({"key": "x" * 101, "color": "#3F51B5"}, INVALID),
        ({"key": 7, "color": "#3F51B5"}, INVALID),
        ({"key": "Region", "color": "red"}, INVALID),
        ({"key": "Region", "color": "#3F51B5\n"}, INVALID),
        ({"key": "Region", "color": 0}, INVALID),
        ({"key": "Region", "color": "#3F51B5", "mandatory_on": "site"}, INVALID),
        ({"key": "Region", "color": "#3F51B5", "mandatoryOn": ["site"]}, INVALID),
        ({"key": "Region", "color": "#3F51B5", "mandatory_on": ["tree"]}, INVALID),
        ({"key": "Region", "color": "#3F51B5", "mandatory_on": [["site"]]}, INVALID),
    ],
)
def test_members_of_a_definition(service: Service, members: dict[str, Any], code: str) -> None:
    """A definition with a member that is missing or wrong is neither made nor changed."""
    tag_id = define(service)

    refused(service.client.post("/tags", json=members), 400, "invalid_request_error", code)
    refused(service.client.put(f"/tags/{tag_id}", json=members), 400, "invalid_request_error", code)
    assert 1 == len(service.entries())


@pytest.mark.parametrize("value", ["x" * 255, "\N{GRINNING FACE}" * 255, " ", "a\nb", "ocr$.x", "東京"])
def test_values_of_all_scripts(service: Service, value: str) -> None:
    """A value is any text of up to 255 characters, whatever its script, and comes back as it was sent."""
    tag_id = define(service)

    assert value == body_of(put(service, tag_id, SITE, value))["value"]
    found = service.client.get(f"/tags/{tag_id}/resources", query_string={"value": value})
    assert [SITE] == [one["correlation_id"] for one in body_of(found)]


def test_what_was_read_may_be_sent_back(service: Service) -> None:
    """A value or a definition that was read may be sent back as it is; one of another resource or label is refused."""
    tag_id = define(service)
    value = body_of(put(service, tag_id, SITE, "APAC"))
    definition = (service.client.get(f"/tags/{tag_id}").json or {}) | {"key": "Area"}

    changed = service.client.put(f"/tags/{tag_id}/values/{SITE}", json=value | {"value": "EMEA"})
    renamed = service.client.put(f"/tags/{tag_id}", json=definition)
    elsewhere = service.client.put(f"/tags/{tag_id}/values/{SITE}", json=value | {"correlation_id": "another"})

    assert "EMEA" == body_of(changed)["value"]
    assert "Area" == body_of(renamed)["key"]
    refused(elsewhere, 400, "invalid_request_error", INVALID)
