"""Bodies of all sorts: what is not right is a 4xx in the API's envelope, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dms_tags.settings import Settings
from tests.support.app import Service, running
from tests.support.chains import add, prepare, refused, tag_of

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
MISSING, NOT_BOOLEAN, INVALID = (
    (52, "missing_necessary_parameters"),
    (316, "parameter_supplied_not_boolean"),
    (9001, "parameter_invalid"),
)


@pytest.fixture
def service() -> Iterator[Service]:
    """The application in memory: what is refused here never reaches a store, and what is kept is tried on both elsewhere."""
    with running(Settings(mongo_uri="mongomock://", auth="none")) as found:
        yield found


@pytest.mark.parametrize(
    ("body", "kind", "status", "error"),
    [
        (b"", JSON, 400, INVALID),
        (b"{", JSON, 400, INVALID),
        (b"null", JSON, 400, INVALID),
        (b'[{"id": 1}]', JSON, 400, INVALID),
        (b'{"id": NaN}', JSON, 400, INVALID),
        (b'{"id": 1, "value": "\xff"}', JSON, 400, INVALID),
        (b'{"id": 1, "value": "\\udfff"}', JSON, 400, INVALID),
        (b'{"id": ' + b"9" * 5000 + b"}", JSON, 400, INVALID),
        (b"[" * 100_000, JSON, 400, INVALID),
        (b"", FORM, 400, MISSING),
        (b"", "", 400, MISSING),
        (b"id=1&id=2", FORM, 400, INVALID),
        (b"id=1&value=%FF", FORM, 400, INVALID),
        (b"id=1&value=\xff", FORM, 400, INVALID),
        (b"id=1&" + b"x=1&" * 200, FORM, 400, INVALID),
        (b"id=1&value=x", "text/plain", 415, (9415, "unsupported_media_type")),
        (b'{"id": 1}', "multipart/form-data; boundary=x", 415, (9415, "unsupported_media_type")),
        (b'{"id": 1, "value": "' + b"x" * 2_000_000 + b'"}', JSON, 413, (9413, "too_large")),
        (b"id=1&value=" + b"x" * 2_000_000, FORM, 413, (9413, "too_large")),
    ],
    ids=range(19),
)
def test_bodies(service: Service, body: bytes, kind: str, status: int, error: tuple[int, str]) -> None:
    """What is neither a JSON object nor a form of the right size is refused."""
    headers = prepare(service)
    add(service, headers)
    before = len(service.entries())

    answer = service.client.post("/auth/alter-tag", data=body, content_type=kind or None, headers=headers)

    refused(answer, status, *error)
    assert before == len(service.entries())


@pytest.mark.parametrize("members", [{"id": 1.0}, {"id": 1, "value": None}, {"id": 1, "active": None, "value": None}])
def test_null_is_absent_and_an_integer_may_be_spelt_with_a_point(service: Service, members: dict[str, Any]) -> None:
    """`null` is as if the member were absent, and 1.0 is the integer 1: the call tells the tag as it is."""
    headers = prepare(service)
    add(service, headers)
    before = len(service.entries())

    answer = service.client.post("/auth/alter-tag", json=members, headers=headers)

    assert 200 == answer.status_code, answer.text
    assert before == len(service.entries())


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({}, MISSING),
        ({"id": 1, "vlaue": "x"}, INVALID),
        ({"id": None}, MISSING),
        ({"id": "1"}, INVALID),
        ({"id": 1.5}, INVALID),
        ({"id": True}, INVALID),
        ({"id": [1]}, INVALID),
        ({"id": {"$gt": 0}}, INVALID),
        ({"id": 0}, INVALID),
        ({"id": -1}, INVALID),
        ({"id": 2**63}, INVALID),
        ({"id": 1, "value": "x" * 256}, INVALID),
        ({"id": 1, "value": "a\0b"}, INVALID),
        ({"id": 1, "value": 7}, INVALID),
        ({"id": 1, "value": ["x"]}, INVALID),
        ({"id": 1, "active": "true"}, NOT_BOOLEAN),
        ({"id": 1, "active": 1}, NOT_BOOLEAN),
        ({"id": 1, "active": []}, NOT_BOOLEAN),
        ({"id": 1, "traceIdMustMatch": True}, INVALID),
    ],
)
def test_members_of_alter_tag(service: Service, members: dict[str, Any], error: tuple[int, str]) -> None:
    """A member that is missing or wrong is refused."""
    headers = prepare(service)
    add(service, headers)
    before = len(service.entries())

    refused(service.client.post("/auth/alter-tag", json=members, headers=headers), 400, *error)

    assert before == len(service.entries())


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"value": "x", "model_class": "user"}, MISSING),
        ({"chain_id": 1, "model_class": "user"}, MISSING),
        ({"chain_id": 1, "value": "x"}, MISSING),
        ({"chain_id": "1", "value": "x", "model_class": "user"}, INVALID),
        ({"chain_id": 1, "value": "x" * 256, "model_class": "user"}, INVALID),
        ({"chain_id": 1, "value": "x", "model_class": "x" * 65}, INVALID),
        ({"chain_id": 1, "value": "x", "model_class": ""}, INVALID),
        ({"chain_id": 1, "value": "x", "model_class": 7}, INVALID),
    ],
)
def test_members_of_add_tag(service: Service, members: dict[str, Any], error: tuple[int, str]) -> None:
    """A tag with a member that is missing or wrong is not added, and takes no id."""
    headers = prepare(service)

    refused(service.client.post("/auth/add-tag", json=members, headers=headers), 400, *error)

    assert 1 == add(service, headers)


@pytest.mark.parametrize(("text", "active"), [("true", True), ("TRUE", True), ("1", True), ("false", False), ("0", False)])
def test_booleans_of_a_form(service: Service, text: str, active: bool) -> None:
    """In a form a boolean is `true`, `false`, `1` or `0`."""
    headers = prepare(service)
    add(service, headers)

    answer = service.client.post("/auth/alter-tag", data={"id": "1", "active": text}, headers=headers)

    assert active is tag_of(answer, "alter-tag")["active"]


@pytest.mark.parametrize("value", ["", "x" * 255, "\N{GRINNING FACE}" * 255, "a\nb", "$x.y", "東京 & co"])
def test_values_of_all_scripts(service: Service, value: str) -> None:
    """A value is any text of up to 255 characters, as JSON and as a form, and comes back as it was sent."""
    headers = prepare(service)
    add(service, headers)

    assert (
        value
        == tag_of(service.client.post("/auth/alter-tag", json={"id": 1, "value": value}, headers=headers), "alter-tag")["value"]
    )
    assert (
        value
        == tag_of(service.client.post("/auth/alter-tag", data={"id": "1", "value": value}, headers=headers), "alter-tag")["value"]
    )
