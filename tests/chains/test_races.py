"""Writers that race, on a real MongoDB, and the trail that all three APIs share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import pytest
from werkzeug.test import TestResponse

from dms_tags.app import create_app
from dms_tags.audit.verify.replay import check
from dms_tags.settings import Settings
from tests.support.app import Service, running
from tests.support.at_once import at_once
from tests.support.chains import Headers, add, prepare, refused, tag_of

TRACE = "463ac35c9f6413ad"


@pytest.fixture
def service(settings: Settings) -> Iterator[Service]:
    """The application on a real MongoDB."""
    with running(settings) as found:
        yield found


def post(service: Service, headers: Headers, call: str, **members: object) -> Callable[[], TestResponse]:
    """A call, made by a client of its own."""
    return partial(service.app.test_client().post, f"/auth/{call}", json=members, headers=headers)


def test_64_added_at_once(service: Service, settings: Settings) -> None:
    """64 tags that two services add at once have 64 different ids, the smallest that there are."""
    headers = prepare(service)
    other = create_app(settings, database=service.database)
    body = {"chain_id": 1, "value": "x", "model_class": "user"}

    answers = at_once(
        [
            partial((service.app, other)[number % 2].test_client().post, "/auth/add-tag", json=body, headers=headers)
            for number in range(64)
        ]
    )

    assert list(range(1, 65)) == sorted(tag_of(answer, "add-tag")["id"] for answer in answers)


def test_added_at_once_under_one_key(service: Service) -> None:
    """Calls under one idempotency key add one tag, however many of them come at once."""
    headers = prepare(service) | {"Idempotency-Key": "k1"}

    answers = at_once([post(service, headers, "add-tag", chain_id=1, value="x", model_class="user") for _ in range(16)])

    assert 1 == len({tag_of(answer, "add-tag")["id"] for answer in answers})
    assert 1 == service.database.tags.count_documents({"kind": "chain-tag"})


def test_altered_in_part_at_once(service: Service) -> None:
    """Of racing alterations of the value and of the flag none undoes another's part."""
    headers = prepare(service)
    add(service, headers)

    answers = at_once(
        [post(service, headers, "alter-tag", id=1, value=f"v{number}") for number in range(8)]
        + [post(service, headers, "alter-tag", id=1, active=False) for _ in range(8)]
    )

    states = [entry["state"] for entry in service.entries() if entry["resource"] == "chain-tag/1"]
    assert {200} == {answer.status_code for answer in answers}
    assert 17 == len(states)
    assert all(
        (before["value"] == after["value"]) != (before["active"] == after["active"]) or before == after
        for before, after in pairwise(states)
    )
    assert [] == check(service.database, "default")


def test_altered_while_deleted(service: Service) -> None:
    """Of alterations that race with a deletion those after it are refused: nothing follows it in the trail."""
    headers = prepare(service)
    add(service, headers)
    delete: Callable[[], TestResponse] = partial(service.app.test_client().delete, "/auth/delete-tag?id=1", headers=headers)

    calls = [delete, *(post(service, headers, "alter-tag", id=1, value=f"v{number}", active=True) for number in range(15))]

    deleted, *altered = at_once(calls)

    entries = [entry for entry in service.entries() if entry["resource"] == "chain-tag/1"]
    assert 200 == deleted.status_code
    assert [entry["state"]["deleted"] for entry in entries] == [False] * (len(entries) - 1) + [True]
    assert len(entries) == 2 + sum(answer.status_code == 200 for answer in altered)
    for answer in altered:
        if answer.status_code != 200:
            refused(answer, 400, 9002, "tag_deleted")


def test_one_trace_over_three_apis(service: Service) -> None:
    """A document's, a site's and a chain's tag that changed in one trace stand beside each other in the audit trail."""
    headers = prepare(service) | {"X-B3-TraceId": TRACE}
    tag_id = (service.client.post("/tags", json={"key": "Region", "color": "#3F51B5"}).json or {})["id"]
    number = add(service, headers | {"X-B3-TraceId": "1"})

    service.client.post("/api/dms/objects/o1/tags/ocr/state/2", headers=headers)
    service.client.put(f"/tags/{tag_id}/values/s1", json={"correlation_type": "site", "value": "APAC"}, headers=headers)
    service.client.post("/auth/alter-tag", json={"id": number, "value": "y", "active": True}, headers=headers)

    found = (service.client.get(f"/api/dms/audit?traceId={TRACE}&order=asc").json or {})["entries"]
    assert [
        ("object/o1", "ocr", 2, None),
        ("site/s1", tag_id, "APAC", None),
        (f"chain-tag/{number}", "tag", {"value": "y", "active": True, "deleted": False}, "chain/1"),
    ] == [(entry["resource"], entry["name"], entry["state"], entry["within"]) for entry in found]
    for query in ("resource=site/s1", "within=chain/1", f"resource=chain-tag/{number}", "resource=chain/1"):
        assert (service.client.get(f"/api/dms/audit?{query}").json or {})["entries"], query
