"""What a definition asks for: the values that it allows, and which resources lack a mandatory one (API.md section 4)."""

from __future__ import annotations

from time import monotonic
from typing import Any

import pytest

from dms_tags.app import create_app
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.metadata import store
from dms_tags.metadata.definitions import HOLD_SECONDS
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.app import Service, running
from tests.support.identity import ADMIN
from tests.support.metadata import body_of, define, put, refused
from tests.support.openapi import documented

REGIONS = ["APAC", "EMEA"]


def change(service: Service, tag_id: str, **members: Any) -> Any:
    """Changes what a definition says; the definition."""
    answer = service.client.put(f"/tags/{tag_id}", json={"key": f"of {tag_id}", "color": "#000000", **members})
    return body_of(documented(answer))


def value_of(service: Service, tag_id: str) -> list[str]:
    return [value["value"] for value in body_of(service.client.get(f"/tags/{tag_id}/values"))]


def test_only_allowed_values_are_set(service: Service) -> None:
    """A listed value is set as it is spelt there; any other is a 400 that names the right ones, and changes nothing."""
    tag_id = define(service, allowed_values=REGIONS)

    assert REGIONS == body_of(documented(service.client.get(f"/tags/{tag_id}")))["allowed_values"]
    assert "APAC" == body_of(put(service, tag_id, "site-1", "apac"))["value"]
    error = refused(put(service, tag_id, "site-1", "Mars"), 400, "invalid_request_error", "parameter_invalid")
    assert "APAC, EMEA" in error["message"]
    body = {"correlation_id": "site-2", "correlation_type": "site", "value": "Mars"}
    refused(service.client.post(f"/tags/{tag_id}/values", json=body), 400, "invalid_request_error", "parameter_invalid")
    assert ["APAC"] == value_of(service, tag_id)


def test_the_list_changes(service: Service) -> None:
    """An update without a list keeps it, an empty one lifts it, a new one holds for what is set from then on; values stay."""
    tag_id = define(service, allowed_values=REGIONS)
    keyed = {"Idempotency_Key": "k1"}
    first = put(service, tag_id, "site-1", "EMEA", **keyed)

    assert REGIONS == change(service, tag_id)["allowed_values"]
    assert ["APAC"] == change(service, tag_id, allowed_values=["APAC"])["allowed_values"]
    refused(put(service, tag_id, "site-2", "EMEA"), 400, "invalid_request_error", "parameter_invalid")
    again = put(service, tag_id, "site-1", "EMEA", **keyed)
    assert (first.json, "true") == (again.json, again.headers["Idempotent-Replayed"])
    assert ["EMEA"] == value_of(service, tag_id)
    assert "allowed_values" not in change(service, tag_id, allowed_values=[])
    assert 200 == put(service, tag_id, "site-2", "Mars").status_code


def test_the_list_decides_how_values_are_spelt(service: Service) -> None:
    """A value that was set in another spelling before takes that of the list from then on."""
    tag_id = define(service)
    put(service, tag_id, "site-1", "apac")
    change(service, tag_id, allowed_values=["APAC"])

    assert "APAC" == body_of(put(service, tag_id, "site-2", "aPac"))["value"]


def test_a_changed_list_holds_soon(service: Service) -> None:
    """Another process, which knows the old list, goes by the new one soon."""
    settings = Settings(mongo_uri="mongomock://", auth="none")
    other = create_app(settings, database=service.database).test_client()
    tag_id = define(service, allowed_values=REGIONS)
    path, body = f"/tags/{tag_id}/values/site-1", {"correlation_type": "site", "value": "APAC"}
    assert 200 == other.put(path, json=body).status_code
    change(service, tag_id, allowed_values=["EMEA"])

    give_up = monotonic() + 10 * HOLD_SECONDS
    while other.put(path, json=body).status_code == 200:
        assert monotonic() < give_up
    refused(other.put(path, json=body), 400, "invalid_request_error", "parameter_invalid")


@pytest.mark.parametrize("allowed", ["APAC", [1], [""], ["x" * 256], ["a", "A"], ["é", "e\u0301"], ["a"] * 101], ids=str)
def test_what_is_no_list(service: Service, allowed: Any) -> None:
    """A list has up to 100 texts of which no two differ in letter case or spelling of accents alone."""
    body = {"key": "Bad list", "color": "#000000", "allowed_values": allowed}

    refused(service.client.post("/tags", json=body), 400, "invalid_request_error", "parameter_invalid")


def pages(service: Service, path: str) -> list[list[str]]:
    """The ids of each page of a report."""
    listed = []
    while path:
        answer = documented(service.client.get(path))
        listed.append([resource["correlation_id"] for resource in body_of(answer)])
        assert {"site"} >= {resource["correlation_type"] for resource in answer.json or ()}
        link = answer.headers.get("Link", "")
        path = link[1 : link.index(">")] if link else ""
    return listed


def test_who_lacks_a_mandatory_tag(service: Service) -> None:
    """The report has each resource of the type that lacks the tag, once, page by page, also one that lost its last tag."""
    region, other = define(service, mandatory_on=["site"]), define(service)
    for number in range(6):
        put(service, region if number % 2 else other, f"site-{number}", "x")
    put(service, other, "user-1", "x", "user")
    service.client.delete(f"/tags/{region}/values/site-5")
    path = f"/tags/{region}/missing?correlation_type=site"

    assert [["site-0", "site-2", "site-4", "site-5"]] == pages(service, path)
    assert [["site-0", "site-2", "site-4"], ["site-5"]] == pages(service, f"{path}&limit=3")
    refused(service.client.get(f"/tags/{region}/missing"), 400, "invalid_request_error", "parameter_missing")
    refused(service.client.get(f"/tags/{region}/missing?correlation_type=wan"), 400, "invalid_request_error", "parameter_invalid")
    refused(service.client.get(f"/tags/tag_{'0' * 26}/missing?correlation_type=site"), 404, "not_found_error", "tag_not_found")


def test_what_is_missing_tells_nothing_of_other_tags(memory: Database, token_store: TokenStore) -> None:
    """Of tags that the caller may not read it is not told either which a resource lacks, and thereby which it has."""
    with running(Settings(mongo_uri="mongomock://", auth="none"), memory) as service:
        shown, hidden = (define(service, mandatory_on=["site"]) for _ in range(2))
        put(service, hidden, "site-1", "x")
        grant = Grant(frozenset({Permission.READ}), (shown,))
        reader = {"Authorization": f"Bearer {token_store.create('default', 'reader', grant, ADMIN)}"}
        client = create_app(Settings(mongo_uri="mongomock://", auth="tokens"), database=memory).test_client()
        told = {
            site: client.get(f"/resources/{site}/tags?correlation_type=site", headers=reader).headers["X-Missing-Tags"]
            for site in ("site-1", "site-2")
        }

    assert {"site-1": shown, "site-2": shown} == told


def test_a_page_looks_at_so_many_and_no_more(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few lack the tag, a page looks at a bounded number of resources, and leads on where it ended."""
    region, other = define(service, mandatory_on=["site"]), define(service)
    for number in range(7):
        put(service, other if number == 5 else region, f"site-{number}", "x")
    monkeypatch.setattr(store, "LOOKED_AT", 2)

    assert [[], [], ["site-5"], []] == pages(service, f"/tags/{region}/missing?correlation_type=site")


def test_the_report_is_read_along_the_ids(real: Service) -> None:
    """MongoDB reads the report along `_id`, within the type, and sorts nothing."""
    region = define(real, mandatory_on=["site"])
    for number in range(3):
        put(real, region, f"site-{number}", "x")
        put(real, region, f"user-{number}", "x", "user")
    database = real.database.tags.database
    database.command("profile", 2)
    assert [[]] == pages(real, f"/tags/{region}/missing?correlation_type=site")
    database.command("profile", 0)

    read = database["system.profile"].find_one({"command.filter._id.$gt": {"$regex": "/site/"}})
    assert read is not None
    assert ("IXSCAN { _id: 1 }", 3, False) == (read["planSummary"], read["docsExamined"], read.get("hasSortStage", False))
