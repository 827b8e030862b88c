"""`/api/dms/audit` over HTTP, on a real MongoDB."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dms_tags.audit.log import merkle
from dms_tags.audit.log.checkpoint import Checkpoint
from dms_tags.audit.log.note import Verifier
from dms_tags.audit.trail.entry import flat, leaf_of
from dms_tags.audit.verify.file import verify_file
from dms_tags.audit.verify.live import CannotLook, verify_live
from dms_tags.audit.verify.report import Report
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.app import Service, running
from tests.support.trails import fill, keyed

COUNT = 520
AUDIT = "/api/dms/audit"


@pytest.fixture
def service(settings: Settings, database: Database, tmp_path: Path) -> Iterator[Service]:
    fill(database, COUNT)
    with running(keyed(settings, tmp_path)) as service:
        yield service


def asked(service: Service, path: str, **query: object) -> Any:
    """The JSON document that a GET is answered with."""
    answer = service.client.get(path, query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.json


def key_of(service: Service) -> Verifier:
    return Verifier.parse(service.client.get(f"{AUDIT}/log/key").text)


def test_query(service: Service) -> None:
    """A page has flat entries, newest first, a cursor to the next and the head of the trail."""
    first = asked(service, AUDIT, name="ocr", limit=5)
    second = asked(service, AUDIT, name="ocr", limit=5, cursor=first["next"])
    expected = [flat(entry) for entry in service.entries() if entry["name"] == "ocr"][::-1]

    assert expected[:10] == first["entries"] + second["entries"]
    assert COUNT == first["head"]


def test_times_finer_than_the_trail_s_lie_between_them(service: Service) -> None:
    """A bound half a millisecond after an entry leaves it out as `from` and lets it in as `to`."""
    middle = flat(service.entries()[COUNT // 2])["recordedAt"]
    after = f"{middle[:-1]}5Z"

    def times(**bound: str) -> set[str]:
        return {entry["recordedAt"] for entry in asked(service, AUDIT, limit=1000, **bound)["entries"]}

    assert middle in times(**{"from": middle}) - times(**{"from": after})
    assert middle in times(to=after) - times(to=middle)


def test_malformed_question(service: Service) -> None:
    """What is not a question is a 400."""
    questions = [
        "limit=0",
        "limit=1001",
        "order=up",
        "from=yesterday",
        "objectId=a/b",
        "unknown=1",
        "name=a&name=b",
        "cursor=x",
        "resource=x",
    ]
    for question in questions:
        assert 400 == service.client.get(f"{AUDIT}?{question}").status_code, question


def test_log_over_http(service: Service) -> None:
    """Checkpoint, tiles and entries as C2SP lays them out: anyone can rebuild the tree from them."""
    assert 404 == service.client.get(f"{AUDIT}/log/checkpoint").status_code
    service.services.checkpointer.checkpoint("default")
    checkpoint = Checkpoint.open(service.client.get(f"{AUDIT}/log/checkpoint").text, [key_of(service)])
    leaves: list[bytes] = []
    for name in ("entries/000", "entries/001", "entries/002.p/8"):
        answer = service.client.get(f"{AUDIT}/log/tile/{name}")
        assert "immutable" in answer.headers["Cache-Control"]
        bundle, at = answer.data, 0
        while at < len(bundle):
            length = int.from_bytes(bundle[at : at + 2], "big")
            leaves.append(bundle[at + 2 : at + 2 + length])
            at += 2 + length
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]

    assert [leaf_of(flat(entry)) for entry in service.entries()] == leaves
    assert ("log.example/audit/default", COUNT, merkle.root_of(hashes)) == (checkpoint.origin, checkpoint.size, checkpoint.root)
    assert b"".join(hashes[512:]) == service.client.get(f"{AUDIT}/log/tile/0/002.p/8").data
    assert merkle.root_of(hashes[256:512]) == service.client.get(f"{AUDIT}/log/tile/1/000.p/2").data[32:]
    for name in ("0/003", "0/002", "2/000", "0/2", "entries/002.p/9", "x", "1/000.p/3"):
        assert 404 == service.client.get(f"{AUDIT}/log/tile/{name}").status_code, name


def test_proof(service: Service) -> None:
    """A proof leads from the entry to the root that was signed, also for an entry that no checkpoint covered yet."""
    for position in (1, 300, COUNT):
        proof = asked(service, f"{AUDIT}/{position}/proof")
        checkpoint = Checkpoint.open(proof["checkpoint"], [key_of(service)])
        path = [base64.b64decode(digest) for digest in proof["proof"]]

        assert position == proof["entry"]["position"]
        merkle.verify_inclusion(merkle.leaf_hash(leaf_of(proof["entry"])), position - 1, checkpoint.size, path, checkpoint.root)
    assert 404 == service.client.get(f"{AUDIT}/{COUNT + 1}/proof").status_code


def test_consistency(service: Service) -> None:
    """One size is proven to be the beginning of another; what the log does not cover, or does not begin with, is refused."""
    service.services.checkpointer.checkpoint("default")
    tree = service.services.checkpointer.log.tree("default")
    for smaller, larger in ((1, COUNT), (256, 300), (300, 300), (COUNT, COUNT)):
        told = asked(service, f"{AUDIT}/log/consistency", **{"from": smaller, "to": larger})
        path = [base64.b64decode(digest) for digest in told["proof"]]

        assert (smaller, larger) == (told["from"], told["to"])
        merkle.verify_consistency(smaller, tree.root(smaller), larger, tree.root(larger), path)
    for question, status in (("from=2&to=1", 400), ("from=0&to=1", 400), ("from=1", 400), (f"from=1&to={COUNT + 1}", 404)):
        assert status == service.client.get(f"{AUDIT}/log/consistency?{question}").status_code


def test_export(service: Service, tmp_path: Path) -> None:
    """An export verifies offline; it is itself recorded, with what was asked for."""
    file = tmp_path / "export.ndjson"
    file.write_bytes(service.client.get(f"{AUDIT}/export?objectId=3&proofs=true").data)
    report = verify_file(file, [key_of(service)], None, lambda _done, _total: None)
    record = service.entries()[-1]

    assert (0, True) == (report.status, report.entries > 10)
    assert ("trail/default", "TRAIL_EXPORTED", "anonymous") == (record["resource"], record["actionName"], record["createdBy"])
    assert {"format": "ndjson", "head": COUNT, "proofs": True, "filters": {"objectId": "3"}} == record["state"]
    file.write_bytes(service.client.get(f"{AUDIT}/export").data)
    assert 0 == verify_file(file, [key_of(service)], None, lambda _done, _total: None).status


def test_export_as_csv(service: Service, database: Database) -> None:
    """CSV has a line of names first, one entry a line, and no cell that a spreadsheet would run."""
    database.trail.update_one(
        {"position": 2}, {"$set": {"createdBy": '=HYPERLINK("http://x","y")', "traceId": "-1+1", "state": -5}}
    )
    answer = service.client.get(f"{AUDIT}/export?format=csv&before=4")
    rows = list(csv.DictReader(io.StringIO(answer.text)))

    assert ["1", "2", "3"] == [row["position"] for row in rows]
    assert ('\'=HYPERLINK("http://x","y")', "'-1+1", "-5", "") == (
        rows[1]["createdBy"],
        rows[1]["traceId"],
        rows[1]["state"],
        rows[1]["within"],
    )


def live(service: Service, kept: str | None = None) -> Report:
    with httpx.Client(transport=httpx.WSGITransport(app=service.app), base_url="http://localhost") as client:
        return verify_live(client, [], kept, lambda _done, _total: None)


def test_verify_live(service: Service, database: Database) -> None:
    """A live service is verified through its tiles; an altered entry is named."""
    with pytest.raises(CannotLook, match="404"):
        live(service)
    note = (service.services.checkpointer.checkpoint("default") or {})["note"]
    report = live(service, note)
    assert (0, COUNT) == (report.status, report.entries)
    database.trail.update_one({"position": 400}, {"$set": {"createdBy": "nobody"}})

    report = live(service, note)
    assert 1 == report.status
    assert report.worst is not None
    assert 400 == report.worst.position


def test_past_over_http(service: Service) -> None:
    """The rows of an object as they stood at a time."""
    answer = asked(service, "/api/dms/objects/3/tags", at="2026-01-01T00:02:00Z")
    expected: dict[str, list[object]] = {}
    for entry in service.entries()[:120]:
        if entry["objectId"] == "3":
            shown = flat(entry)
            expected.pop(entry["name"], None) if entry["action"] != 310 else None
            if entry["action"] != 210:
                expected[entry["name"]] = [entry["name"], entry["state"], shown["creationDate"], entry["traceId"]]

    assert list(expected.values()) == answer["objects"][0]["properties"]["system:tags"]["value"]


def test_stream_that_ends_with_a_manifest(service: Service) -> None:
    """The export is streamed in parts of bounded size, the manifest last."""
    parts = [part for part in service.client.get(f"{AUDIT}/export", buffered=False).response if isinstance(part, bytes)]

    assert len(parts) > 1
    assert "manifest" in json.loads(b"".join(parts).splitlines()[-1])
