"""Statements on what is known of objects besides their tags (API.md section 3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.model import Actor
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.app import Service, running
from tests.support.objects import ROOT, body
from tests.support.workflow import claim, ids, post, search, tag


def make(service: Service, object_id: str, *rows: list[Any], **properties: Any) -> None:
    """Makes an object known."""
    answer = service.client.post(ROOT, json=body((object_id, rows), **properties))
    assert answer.status_code == 200, answer.text


def found(service: Service, condition: str, type_: str = "document", order: str = "") -> list[str]:
    """The ids that a search finds, in order of id unless another is asked for."""
    where = f" WHERE {condition}" if condition else ""
    statement = " ".join(["SELECT * FROM", f"{type_}{where}", "ORDER BY", order or "system:objectId"])
    return ids([each["properties"] for each in search(service, statement)["objects"]])


def test_what_was_told(service: Service) -> None:
    """Type, base type, creator and creation date of objects that were told are asked for as they were told."""
    make(service, "a", ["ocr", 1], objectTypeId="mail", createdBy="jane", creationDate="2020-02-20T02:20:20.220Z")
    make(service, "b", ["ocr", 1], objectTypeId="invoice", baseTypeId="document", createdBy="O'Neill")
    make(service, "c", ["ocr", 2])

    assert ["a"] == found(service, "system:objectTypeId='mail' AND system:tags[ocr].state=1")
    assert ["a", "b"] == found(service, "system:objectTypeId IN ('mail', 'invoice')")
    assert ["b"] == found(service, "system:objectTypeId <> 'mail'")
    assert ["b", "c"] == found(service, "NOT system:objectTypeId = 'mail'")
    assert ["b"] == found(service, 'system:createdBy = "O\'Neill"')
    assert ["b"] == found(service, "system:baseTypeId='document'")
    assert ["a"] == found(service, "system:creationDate BETWEEN '2020-02-20T00:00:00Z' AND '2020-02-20T02:20:20.220Z'")
    assert ["b", "c"] == found(service, "system:creationDate=TODAY()")
    assert ["a", "b", "c"] == found(service, "", order="system:creationDate")
    assert ["b", "a", "c"] == found(service, "", order="system:objectTypeId")
    assert ["a", "b", "c"] == found(service, "", order="system:objectTypeId DESC")


def test_what_was_told_is_shown(service: Service) -> None:
    """A search and a claim, sent again too, answer what was told of an object as a GET of it does, and nothing where nothing was."""
    make(service, "a", ["ocr", 1], objectTypeId="mail", createdBy="jane", creationDate="2020-02-20T02:20:20.220Z")
    tag(service, "b")
    (told,) = (service.client.get(f"{ROOT}/a").json or {})["objects"]
    kept = {name: told["properties"][f"system:{name}"] for name in ("objectTypeId", "createdBy", "creationDate")}

    by_search = search(service, "SELECT * FROM document ORDER BY system:objectId")["objects"]
    by_claim = [
        claim(service, "SELECT * FROM mail WHERE system:tags[ocr].state = 1", headers={"Idempotency-Key": "k"}) for _ in range(2)
    ]
    (other,) = claim(service, "SELECT * FROM document WHERE system:objectId = 'b'")

    for properties in (by_search[0]["properties"], *(claimed[0] for claimed in by_claim)):
        assert kept == {name: properties[f"system:{name}"] for name in kept}
    assert told == by_search[0]
    assert {"system:objectId", "system:tags", "dms:etags"} == by_search[1]["properties"].keys()
    assert {"system:objectId", "system:tags", "dms:etags", "dms:attempts"} == other.keys()


def test_of_an_object_that_was_not_told(service: Service) -> None:
    """They are those of its first tag, also when that is gone; and it has no type."""
    tag(service, "a", "first", 1)
    before = service.database.tags.find_one({"id": "a"})
    assert before is not None
    tag(service, "a", "second", 1)
    service.client.delete("/api/dms/objects/a/tags/first")
    at = before["known"]["at"].isoformat(timespec="milliseconds").replace("+00:00", "Z")

    assert ["a"] == found(service, f"system:creationDate = '{at}' AND system:createdBy = 'anonymous'")
    assert [] == found(service, f"system:creationDate > '{at}'")
    assert [] == found(service, "system:objectTypeId <> 'x'")


def test_from_a_type_once_there_is_one(service: Service) -> None:
    """`FROM <type>` means nothing until an object of the tenant has a type, then it asks for it; three words are of every type."""
    make(service, "a", ["ocr", 1])
    assert ["a"] == found(service, "", "mail")
    make(service, "b", ["ocr", 1], objectTypeId="mail")

    assert ["b"] == found(service, "", "mail") == found(service, "system:tags[ocr].state=1", "mail")
    assert [["a", "b"]] * 3 == [found(service, "", type_) for type_ in ("document", "system:object", "system:document")]
    assert [] == found(service, "", "invoice")
    assert [] == claim(service, "SELECT * FROM invoice WHERE system:objectId='fresh'")
    assert ["b"] == ids(claim(service, "SELECT * FROM mail WHERE system:tags[ocr].state=1", limit=5))
    service.client.delete(f"{ROOT}/b")
    assert [] == found(service, "", "mail")


def test_a_claim_of_what_was_made_today(service: Service) -> None:
    """The DMS's own example: objects of today that lack a tag, the oldest of them first."""
    old = datetime.now(UTC) - timedelta(days=3)
    make(service, "old", creationDate=old.isoformat(timespec="milliseconds"))
    for name in ("b", "a"):
        make(service, name)
    statement = "SELECT * FROM document WHERE system:tags[done] IS NULL AND system:creationDate=TODAY()"

    taken = [ids(claim(service, statement, "done", 1)) for _ in range(3)]

    assert [["a"], ["b"], []] == sorted(taken[:2]) + taken[2:]


def test_fresh_objects_have_no_metadata(service: Service) -> None:
    """An object that was never heard of is not taken where a statement asks for what is known of it."""
    assert [] == claim(service, "SELECT * FROM document WHERE system:objectId='x' AND system:creationDate=TODAY()")
    assert ["x"] == ids(claim(service, "SELECT * FROM document WHERE system:objectId='x' AND NOT system:createdBy='me'"))


def test_what_is_hidden_is_not_asked_about(mongo_uri: str, database_name: str, database: Database) -> None:
    """A caller who may not read every tag is not told when, or by whom, an object got its first one."""
    with running(Settings(mongo_uri=mongo_uri, database=database_name, auth="tokens")) as service:
        grant = Grant(frozenset({Permission.READ, Permission.WRITE}), read_prefixes=("ocr",))
        token = TokenStore(database, service.services.store).create("default", "worker", grant, Actor("tests", "cli"))
        service.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"

        for text in ("WHERE system:createdBy='a'", "WHERE NOT system:creationDate=TODAY()", "ORDER BY system:creationDate"):
            post(service, "/objects/search", 403, json={"query": {"statement": " ".join(["SELECT * FROM x", text])}})
        post(service, "/objects/search", 200, json={"query": {"statement": "SELECT * FROM x WHERE system:objectTypeId='a'"}})


@pytest.mark.parametrize(
    ("condition", "index"), [("system:creationDate=TODAY()", "created"), ("system:objectTypeId='rare'", "type")]
)
def test_an_index_serves_them(real: Service, condition: str, index: str) -> None:
    """What was made within a time, and what is of a rare type, is read from an index and not from all objects."""
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    known = {"at": long_ago, "by": "x", "type": "common"}
    common = {"tenant": "default", "kind": "object", "seq": 0, "tags": [], "known": known, "lastAt": long_ago, "outbox": []}
    tags = real.database.tags
    make(real, "z", objectTypeId="rare")
    tags.insert_many([{**common, "_id": f"default/object/o{number}", "id": f"o{number}"} for number in range(2000)])
    tags.database.command("profile", 2)

    taken = claim(real, " ".join(["SELECT * FROM document WHERE", condition, "AND system:tags[ocr] IS NULL"]))

    tags.database.command("profile", 0)
    (read,) = tags.database["system.profile"].find(
        {"ns": tags.full_name, "command.filter.$and": {"$exists": True}, "nreturned": 1}
    )
    assert ["z"] == ids(taken)
    assert f"'indexName': '{index}'" in repr(read["execStats"])
    assert read["keysExamined"] <= 3
