"""The seed's call, alter-tag, held against the seed's own sample."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from dms_tags.chains.model import Access
from tests.support.app import Service
from tests.support.chains import Headers, add, log_in, prepare, refused, tag_of
from tests.support.faults import Faulty, breakable_service

SAMPLE = {"id": 1, "value": "baby_club_march_2025", "active": True}
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")


@pytest.fixture
def breakable() -> tuple[Service, Faulty, Headers]:
    """The application with a tag that it has read, on a store that fails when told to."""
    service, switch = breakable_service()
    headers = prepare(service)
    add(service, headers)
    assert 200 == service.client.get("/auth/get-tag?id=1", headers=headers).status_code
    return service, switch, headers


@pytest.mark.parametrize("form", [False, True])
def test_sample_of_the_seed(service: Service, form: bool) -> None:
    """The seed's sample request, as JSON and as a form, is answered with the seed's sample response, member by member."""
    headers = prepare(service)
    add(service, headers)
    body: dict[str, Any] = {"data": {"id": "1", "value": SAMPLE["value"], "active": "true"}} if form else {"json": SAMPLE}

    answer = service.client.post("/auth/alter-tag", headers=headers, **body)

    tag = tag_of(answer, "alter-tag")
    assert {"result", "results"} == (answer.json or {}).keys()
    assert DATE.fullmatch(tag["created_date"])
    assert DATE.fullmatch(tag["last_modified_date"])
    assert {
        "active": True,
        "chain": {"email_address": "info@foo.com", "id": 1, "name": "FOO Chain, inc.", "phone_number": "01 1234 4321"},
        "created_date": tag["created_date"],
        "deleted": False,
        "id": 1,
        "last_modified_date": tag["last_modified_date"],
        "model_class": "user",
        "value": "baby_club_march_2025",
    } == tag


@pytest.mark.parametrize("form", [False, True])
@pytest.mark.parametrize(
    ("body", "status", "code", "name"),
    [
        ({"value": "x"}, 400, 52, "missing_necessary_parameters"),
        ({"id": "other", "value": "x"}, 403, 68, "permission_denied_or_non_existent"),
        ({"id": 10**9, "value": "x"}, 400, 230, "entity_not_found"),
        ({"id": "own", "active": "perhaps"}, 400, 316, "parameter_supplied_not_boolean"),
    ],
)
def test_errors_of_the_seed(shared: Service, form: bool, body: dict[Any, Any], status: int, code: int, name: str) -> None:
    """The seed's errors have the seed's codes, names and statuses, and change nothing."""
    headers = prepare(shared)
    own = add(shared, headers)
    other = add(shared, log_in(shared, {2: frozenset({Access.WRITE})}), chain_id=2)
    members = {member: {"own": own, "other": other}.get(given, given) for member, given in body.items()}
    before = len(shared.entries())

    answer = shared.client.post("/auth/alter-tag", headers=headers, **{"data" if form else "json": members})

    refused(answer, status, code, name)
    assert before == len(shared.entries())


def test_no_session(service: Service) -> None:
    """Without a session the seed's code is 6 and the status 401."""
    prepare(service)

    refused(service.client.post("/auth/alter-tag", json=SAMPLE), 401, 6, "no_valid_session")


def test_failing_store(breakable: tuple[Service, Faulty, Headers]) -> None:
    """A store that does not answer is a 503 in the API's envelope and says when to try again."""
    service, switch, headers = breakable
    switch.error = AutoReconnect("gone")

    answer = service.client.post("/auth/alter-tag", json=SAMPLE, headers=headers)

    refused(answer, 503, 9503, "store_unavailable")
    assert "1" == answer.headers["Retry-After"]


def test_internal_error(breakable: tuple[Service, Faulty, Headers]) -> None:
    """What nobody expected is a 500 in the API's envelope, without a word of the failure's own."""
    service, switch, headers = breakable
    switch.error = RuntimeError("secret detail")

    answer = service.client.post("/auth/alter-tag", json=SAMPLE, headers=headers)

    refused(answer, 500, 9500, "internal_error")
    assert "secret" not in answer.text
