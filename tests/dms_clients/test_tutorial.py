"""The vendor's tutorial on tags, request by request as its Java program sends them."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from dms_tags.identity.model import Permission
from tests.dms_clients.conftest import Shop
from tests.dms_clients.wire import JSON, TEXT, Answer, Content, Okhttp, Part, form

TODAYS = "SELECT * FROM system:object WHERE system:tags[analysis].(state=1 AND creationDate=TODAY())"
RECENT = "SELECT * FROM document WHERE system:tags[analysis].(state=1 AND (creationDate=YESTERDAY() OR creationDate=TODAY()))"
FIRST_EDITION = "SELECT * FROM system:object where system:creationDate=Today()"
IMPORTED = {
    "objects": [
        {
            "properties": {"objectTypeId": {"value": "document"}, "Name": {"value": "Invoice"}},
            "contentStreams": [{"mimeType": "text/plain", "fileName": "invoice.txt", "cid": "cid_1"}],
        }
    ]
}


def document(body: Any) -> Content:
    """A body that is read from a file of the program."""
    return Content(json.dumps(body, indent=2).encode(), JSON)


def imported(client: Okhttp, base: str, kind: str = "form-data") -> Answer:
    """Imports an object with content."""
    parts = [
        Part("data", "metadata.json", document(IMPORTED)),
        Part("cid_1", "invoice.txt", Content(b"One invoice.\n", TEXT)),
    ]
    return client.call("POST", f"{base}/objects", form("1f0c2a9e-5f8b-4f7e-9c57-3d7a8b1c2d3e", parts, kind, lengths=True))


def states(answer: Answer) -> dict[str, int]:
    """The tags of the one object of an answer, with their states."""
    return {row[0]: row[1] for row in answer.properties()["system:tags"]}


@pytest.mark.parametrize(
    ("base", "statement"), [("/api/dms", RECENT), ("/dms-core", TODAYS), ("/api-web/api/dms", FIRST_EDITION)]
)
def test_tutorial(shop: Shop, base: str, statement: str) -> None:
    """Import, tags, the claim, trace ids, metadata with tags, a new content, deletion: each is answered as the program reads it."""
    tenant = base.strip("/").replace("/", "-")
    client = Okhttp(shop.url, "clients", shop.token(tenant, Permission.READ, Permission.WRITE), tenant)

    made = imported(client, base).properties()
    object_id = made["system:objectId"]
    tags = f"{base}/objects/{object_id}/tags"

    assert isinstance(object_id, str)
    assert ("document", "clients", []) == (made["system:objectTypeId"], made["system:createdBy"], made["system:tags"])
    assert {"Name", "contentStreams", "cid_1"} == set(made["dms:ignored"])

    for name, state in (("analysis", 1), ("testtag", 7)):
        assert {name: state} == states(client.call("POST", f"{tags}/{name}/state/{state}"))
    before = client.call("GET", tags).properties()["system:tags"]
    assert [["analysis", 1], ["testtag", 7]] == [row[:2] for row in before]
    assert all(len(row) == 4 and row[2].endswith("Z") and len(row[3]) == 16 for row in before)

    claimed = client.call("POST", f"{base}/objects/tags/analysis/state/2?query={statement}").properties()
    assert (object_id, "document") == (claimed["system:objectId"], claimed["system:objectTypeId"])
    assert [["analysis", 2], ["testtag", 7]] == [row[:2] for row in claimed["system:tags"]]
    assert {"analysis": 3} == states(client.call("POST", f"{tags}/analysis/state/3?overwrite=true"))

    trace_id = f"{random.Random(base).getrandbits(64):016x}"
    added = client.call("POST", f"{tags}/tracingprocess/state/1", X_B3_TraceId=trace_id)
    updated = client.call("POST", f"{tags}/tracingprocess/state/2?overwrite=true&traceIdMustMatch=true", X_B3_TraceId=trace_id)
    assert [1, 2] == [states(answer)["tracingprocess"] for answer in (added, updated)]
    assert {trace_id} == {answer.properties()["system:tags"][0][3] for answer in (added, updated)}
    gone = client.call("DELETE", f"{tags}/tracingprocess?traceIdMustMatch=true", X_B3_TraceId=trace_id)
    assert (200, b"") == (gone.status, gone.content)

    rows = [["analysis", 4], ["contentprocessing:resistant", 13]]
    patch = document({"objects": [{"properties": {"Name": {"value": "Paid"}, "system:tags": {"value": rows}}}]})
    patched = client.call("PATCH", f"{base}/objects/{object_id}", patch)
    assert {"analysis": 4, "testtag": 7, "contentprocessing:resistant": 13} == states(patched)

    content = client.call(
        "POST",
        f"{base}/objects/{object_id}/contents/file",
        Content(b"Another invoice.\n", TEXT),
        Content_Disposition='attachment; filename="other.txt"',
    )
    assert {"contentprocessing:resistant": 13} == states(content)

    metadata = document({"objects": [{"properties": {"Name": {"value": "Filed"}}}]})
    assert {"contentprocessing:resistant": 13} == states(client.call("POST", f"{base}/objects/{object_id}", metadata))

    assert 200 == client.call("DELETE", f"{base}/objects/{object_id}").status
    assert [] == client.call("GET", tags).properties()["system:tags"]

    history = client.call("GET", f"{base}/objects/{object_id}/history").json()["objects"]
    told = [entry["properties"]["detail"]["value"] for entry in reversed(history)]
    client.close()
    assert [
        "OBJECT_TAG_CREATED: [analysis, 1]",
        "OBJECT_TAG_CREATED: [testtag, 7]",
        "OBJECT_TAG_UPDATED: [analysis, 2]",
        "OBJECT_TAG_UPDATED: [analysis, 3]",
        "OBJECT_TAG_CREATED: [tracingprocess, 1]",
        "OBJECT_TAG_UPDATED: [tracingprocess, 2]",
        "OBJECT_TAG_DELETED: [tracingprocess, 2]",
        "OBJECT_TAG_UPDATED: [analysis, 4]",
        "OBJECT_TAG_CREATED: [contentprocessing:resistant, 13]",
        "OBJECT_TAG_DELETED: [analysis, 4]",
        "OBJECT_TAG_DELETED: [testtag, 7]",
        "OBJECT_TAG_DELETED: [contentprocessing:resistant, 13]",
    ] == told
    assert {"clients"} == {entry["properties"]["system:createdBy"]["value"] for entry in history}


def test_parts_of_the_other_kind(shop: Shop) -> None:
    """An import as multipart/mixed, okhttp's own default, is the same."""
    client = Okhttp(shop.url, "clients", shop.token("mixed", Permission.READ, Permission.WRITE), "mixed")

    made = imported(client, "/api/dms", "mixed").properties()
    read = client.call("GET", f"/api/dms/objects/{made['system:objectId']}").properties()
    client.close()

    assert {"Name", "contentStreams", "cid_1"} == set(made.pop("dms:ignored"))
    assert made == read


def test_another_tenant(shop: Shop) -> None:
    """A tenant that is not the token's is refused, and says so."""
    client = Okhttp(shop.url, "clients", shop.token("mine", Permission.READ, Permission.WRITE), "theirs")

    answer = client.call("GET", "/api/dms/objects/o1/tags")
    client.close()

    assert 403 == answer.status, answer.content
    assert "tenant" in json.loads(answer.content)["detail"]
