"""The DMS's web client: what it sends of tags, from a browser, through both of the DMS's APIs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dms_tags.identity.model import Permission
from tests.dms_clients.conftest import Shop
from tests.dms_clients.wire import Browser, Content, Part, form

WEB = "/api-web/api/dms"
PREPARED = "appclient:dlm:prepare"
"""The tag under which the client keeps objects that are not classified yet."""


@pytest.fixture(scope="module")
def browser(shop: Shop) -> Iterator[Browser]:
    client = Browser(shop.url, shop.token("web", Permission.READ, Permission.WRITE))
    yield client
    client.close()


def created(browser: Browser, **properties: Any) -> dict[str, Any]:
    """Creates an object of the properties alone, as the client sends them in a form."""
    data = Content(json.dumps(properties).encode(), "application/json")
    body = form("----WebKitFormBoundaryABcdEF0123456789", [Part("data", "blob", data)])
    return browser.upload("POST", f"{WEB}/objects?ngsw-bypass=1", body).properties()


def set_by_query(browser: Browser, object_id: str, name: str, state: int, base: str = "/api/dms") -> Any:
    """Sets a tag as the client does where it sets one: by a statement that names the object."""
    statement = f"SELECT * FROM system:object WHERE system:objectId='{object_id}'"  # noqa: S608 - not SQL
    return browser.call("POST", f"{base}/objects/tags/{name}/state/{state}?query={statement}", {}).json()["objects"]


def audited(browser: Browser, object_id: str, *filters: dict[str, Any], **paging: int) -> dict[str, Any]:
    """A page of the audit view, asked for in the short form alone."""
    of_object = {"f": "system:referredObjectId", "o": "eq", "v1": object_id}
    sort = [{"field": "system:creationDate", "order": "desc"}]
    query = {"size": 50, **paging, "types": ["system:audit"], "filters": [of_object, *filters], "sort": sort}
    page: dict[str, Any] = browser.call("POST", f"{WEB}/objects/search", query).json()
    return page


def details(page: dict[str, Any]) -> list[str]:
    """What the client shows of each entry; it reads all these members."""
    read = ("system:action", "system:detail", "system:versionNumber", "system:creationDate", "system:createdBy")
    shown = [[entry["properties"][name]["value"] for name in read] for entry in page["objects"]]
    return [detail for _, detail, *_ in shown]


def test_created_in_two_steps(browser: Browser) -> None:
    """An object is created with a tag, listed by it, classified, and listed no more."""
    made = created(browser, **{"system:objectTypeId": "mail", "system:tags": [[PREPARED, 0]], "title": "Offer"})
    object_id = made["system:objectId"]
    waiting = {"size": 50, "filters": [{"f": f"system:tags[{PREPARED}].state", "o": "eq", "v1": 0}], "fields": ["title"]}

    listed = browser.call("POST", f"{WEB}/objects/search", waiting).properties()
    updated = browser.call("POST", f"/api/dms/objects/{object_id}/tags/{PREPARED}/state/1?overwrite=true", {}).properties()
    none = browser.call("POST", f"{WEB}/objects/search", waiting).json()

    assert ["title"] == made["dms:ignored"]
    assert (object_id, "mail", "clients") == tuple(listed[f"system:{name}"] for name in ("objectId", "objectTypeId", "createdBy"))
    assert [[PREPARED, 0]] == [row[:2] for row in listed["system:tags"]]
    assert [[PREPARED, 1]] == [row[:2] for row in updated["system:tags"]]
    assert ([], 0, False) == (none["objects"], none["numItems"], none["hasMoreItems"])


@pytest.mark.parametrize("base", ["/api/dms", "/dms-core"])
def test_set_by_query(browser: Browser, base: str) -> None:
    """The client's one way to set a tag adds it to an object that was never heard of, and changes it where it is."""
    object_id = f"fresh{base.replace('/', '.')}"

    first, second = (set_by_query(browser, object_id, "checked", state, base) for state in (1, 2))
    read = browser.call("GET", f"{WEB}/objects/{object_id}").properties()

    assert [1, 2] == [objects[0]["properties"]["system:tags"]["value"][0][1] for objects in (first, second)]
    assert [["checked", 2]] == [row[:2] for row in read["system:tags"]]


def test_patched(browser: Browser) -> None:
    """Properties that are sent alone set the tags among them; what only looks so is refused."""
    object_id = created(browser, **{"system:objectTypeId": "mail", "system:tags": [["index:resistant", 0]]})["system:objectId"]
    rows = [["index:resistant", 1], ["validate:resistant", 0]]

    patched = browser.call("PATCH", f"{WEB}/objects/{object_id}", {"system:tags": rows, "title": "Order"}).properties()
    misspelt = browser.call("PATCH", f"{WEB}/objects/{object_id}", {"object": [{"properties": {"system:tags": rows}}]})

    assert rows == [row[:2] for row in patched["system:tags"]]
    assert 400 == misspelt.status
    assert "object" in json.loads(misspelt.content)["detail"]


def test_audit_view(browser: Browser) -> None:
    """The view asks which custom entries there are, then for the entries, filtered and by pages; a deletion is in them."""
    object_id = created(browser, **{"system:objectTypeId": "mail", "system:tags": [["checked", 0]]})["system:objectId"]
    for state in (1, 2):
        set_by_query(browser, object_id, "checked", state)
    kinds = f"SELECT subaction FROM system:audit WHERE action=10000 AND referredObjectId='{object_id}' GROUP BY subaction"  # noqa: S608 - not SQL
    custom = browser.call("POST", "/api/dms/objects/search", {"query": {"statement": kinds}}).json()
    assert 200 == browser.call("DELETE", f"{WEB}/objects/{object_id}").status

    everything = audited(browser, object_id)
    second = audited(browser, object_id, {"f": "system:action", "o": "in", "v1": ["110", "310"]}, size=2, **{"from": 2})
    today = audited(browser, object_id, {"f": "system:creationDate", "o": "gte", "v1": "2020-01-01T00:00:00.000Z"})
    history = browser.call("GET", f"/dms-core/objects/{object_id}/history?size=50&page=0").json()

    assert [] == custom["objects"]
    assert [
        "OBJECT_TAG_DELETED: [checked, 2]",
        "OBJECT_TAG_UPDATED: [checked, 2]",
        "OBJECT_TAG_UPDATED: [checked, 1]",
        "OBJECT_TAG_CREATED: [checked, 0]",
    ] == details(everything)
    assert ["OBJECT_TAG_CREATED: [checked, 0]"] == details(second)
    assert not second["hasMoreItems"]
    assert everything["objects"] == today["objects"] == history["objects"]
