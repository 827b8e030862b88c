"""Sealing on a real MongoDB: the seal is that of the entries, by whichever way, also across archives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dms_tags.audit.archive import Archiver
from dms_tags.audit.log.merkle import leaf_hash, root_of
from dms_tags.audit.log.seal import Seal
from dms_tags.audit.sealer import BY_TIME, Sealer
from dms_tags.audit.trail.filters import Filters
from dms_tags.audit.verify.database import verify_database
from dms_tags.audit.verify.file import verify_file
from dms_tags.audit.verify.report import Report
from dms_tags.errors import StoreUnavailable
from dms_tags.model import Action, Actor, Change, Kind, Resource, Verb
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.app import Service, running
from tests.support.trails import BEGIN, fill, keyed

COUNT = 1000
ACTOR = Actor("operator", "cli")
ODD = ("object/~", "metadata/é", "metadata/\U0001f600", "metadata/\uffee")
"""Names that UTF-8 and other spellings put in another order."""


@pytest.fixture
def service(settings: Settings, database: Database, tmp_path: Path) -> Iterator[Service]:
    fill(database, COUNT)
    with running(keyed(settings, tmp_path)) as service:
        for name in ODD:
            change(service, name)
        yield service


def change(service: Service, resource: str, state: int = 1) -> None:
    kind, _, key = resource.partition("/")
    service.services.store.change(Change(Resource("default", Kind(kind), key), "ocr", Verb.SET, ACTOR, state=state))


def sealer(service: Service, hours: int = 24) -> Sealer:
    return Sealer(service.database, service.services.store, hours)


def archive(service: Service, folder: Path, position: int) -> None:
    archiver = Archiver(service.database, service.services.checkpointer, service.services.store)
    archiver.archive("default", BEGIN + timedelta(seconds=position), folder / f"to-{position}", ACTOR)


def expected(entries: list[dict[str, Any]], up_to: int) -> Seal:
    """The seal by its definition, from entries."""
    last = {entry["resource"].encode(): entry for entry in entries if entry["position"] <= up_to}
    lines = [b"%s\n%d\n%d\n" % (resource, last[resource]["revision"], last[resource]["position"]) for resource in sorted(last)]
    return Seal(len(lines), root_of(map(leaf_hash, lines)), up_to)


def verify(service: Service) -> Report:
    service.services.checkpointer.checkpoint("default")
    identity = service.services.checkpointer.identities.current()
    assert identity is not None
    return verify_database(service.database, "default", [identity.verifier("default")], None, lambda _done, _total: None)


def export(service: Service, folder: Path, filters: Filters) -> Report:
    exporter = service.services.exporter
    begun = exporter.begin("default", filters, ACTOR, form="ndjson", proofs=True)
    (folder / "export").write_bytes(b"".join(exporter.ndjson(begun)))
    identity = service.services.checkpointer.identities.current()
    assert identity is not None
    return verify_file(folder / "export", [identity.verifier("default")], None, lambda _done, _total: None)


def test_seal_by_its_definition(service: Service) -> None:
    """A seal is the tree over the last entries of all resources; it is an entry, and nothing is sealed twice."""
    entries = service.entries()
    seal = sealer(service).seal("default", ACTOR)

    assert expected(entries, COUNT + len(ODD)) == seal
    recorded = service.entries()[-1]
    assert (10600, "trail/default", seal.state) == (recorded["action"], recorded["resource"], recorded["state"])
    assert sealer(service).seal("default", ACTOR) is None
    change(service, "object/3")
    again = sealer(service).seal("default", ACTOR)
    assert again == expected(service.entries(), COUNT + len(ODD) + 2)
    assert "sealed: each of 2 seals" in verify(service).verdict


def test_across_archives(service: Service, tmp_path: Path) -> None:
    """What was archived counts as it did before, also where an earlier version archived it and kept no positions; exports hold."""
    entries = service.entries()
    assert sealer(service).seal("default", ACTOR) == expected(entries, COUNT + len(ODD))
    archive(service, tmp_path, 300)
    archive(service, tmp_path, 600)
    seal = sealer(service).seal("default", ACTOR)

    assert seal == expected(entries + service.entries(), seal.up_to if seal else 0)
    assert "sealed: each of 2 seals" in verify(service).verdict
    report = export(service, tmp_path, Filters(object_id="3"))
    assert "nothing of object/3 is missing from its first entry here on" in report.verdict, report
    service.database.collection("trail_baselines").update_many({}, {"$unset": {"position": ""}})
    change(service, "object/3")
    assert sealer(service).seal("default", ACTOR) is not None
    assert "sealed: each of 3 seals" in verify(service).verdict


def test_archived_away_by_an_earlier_version(service: Service, tmp_path: Path) -> None:
    """The position of a resource that is wholly behind the cut of an earlier version is told as 0."""
    service.database.trail.update_many({"resource": "object/3", "position": {"$gt": 512}}, {"$set": {"resource": "object/x"}})
    archive(service, tmp_path, 600)
    service.database.collection("trail_baselines").update_many({}, {"$unset": {"position": ""}})
    seal = sealer(service).seal("default", ACTOR)
    assert seal is not None
    report = export(service, tmp_path, Filters(object_id="3"))

    assert ["by the seal at position 1006 all entries lie before those that were asked for of object/3 up to position 1005"] == [
        remark for remark in report.remarks if remark.startswith("by the seal")
    ]


@pytest.mark.parametrize("members", [{"size": 3}, {"root": "A" * 43 + "="}, {"upTo": 2000}, {"upTo": 7}, {"size": "1"}])
def test_false_seal(service: Service, members: dict[str, Any]) -> None:
    """A seal with another root, size or end than that of the entries is a finding, at its position."""
    sealed = expected(service.entries(), COUNT + len(ODD))
    of, action = Resource("default", Kind.TRAIL, "default"), Action.TRAIL_SEALED
    state = sealed.state | members
    service.services.store.change(Change(of, "seal", Verb.SET, ACTOR, state=state, action=action, max_tags=None))
    position = service.entries()[-1]["position"]
    report = verify(service)

    assert report.worst is not None
    assert (1, position) == (report.status, report.worst.position)
    assert "is a seal that" in report.worst.what


def test_by_time(service: Service) -> None:
    """What is due is sealed in the second look, not before, once, by one service; what is not, or has not changed, is left alone."""
    stop, first, second = threading.Event(), sealer(service), sealer(service)

    def seals() -> list[str]:
        return [entry["createdBy"] for entry in service.entries() if entry["action"] == Action.TRAIL_SEALED]

    first.run_once(stop)
    assert [] == seals()
    first.run_once(stop)
    assert [BY_TIME.name] == seals()
    change(service, "object/3")
    second.run_once(stop)
    second.run_once(stop)
    assert 1 == len(seals())
    service.database.trail.update_many({"action": Action.TRAIL_SEALED}, {"$set": {"recordedAt": BEGIN}})
    stop.set()
    second.run_once(stop)
    assert 1 == len(seals())
    stop.clear()
    second.run_once(stop)
    assert 2 == len(seals())
    service.database.trail.update_many({"action": Action.TRAIL_SEALED}, {"$set": {"recordedAt": BEGIN}})
    second.run_once(stop)
    assert 2 == len(seals())


def test_one_that_cannot_be_sealed(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps one trail from being sealed is told, and keeps no other from it."""
    service.services.store.change(Change(Resource("another", Kind.OBJECT, "1"), "ocr", Verb.SET, ACTOR, state=1))
    service.entries()
    due, seal = sealer(service, hours=0), Sealer.seal

    def stuck(own: Sealer, tenant: str, *arguments: Any) -> Seal | None:
        if tenant == "another":
            raise StoreUnavailable("the audit trail is behind")
        return seal(own, tenant, *arguments)

    monkeypatch.setattr(Sealer, "seal", stuck)
    due.run_once(threading.Event())
    with pytest.raises(StoreUnavailable, match="behind"):
        due.run_once(threading.Event())

    assert [BY_TIME.name] == [entry["createdBy"] for entry in service.entries() if entry["action"] == Action.TRAIL_SEALED]


def test_under_writing(service: Service, tmp_path: Path) -> None:
    """Seals and exports that are made while others write hold."""
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            number += 1
            change(service, f"object/{number % 9}", number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            assert sealer(service).seal("default", ACTOR) is not None
            for number in (3, 8):
                report = export(service, tmp_path, Filters(object_id=str(number)))
                assert 0 == report.status, report
                assert "complete as of the seal" in report.verdict
    finally:
        done.set()
        writer.join()
    assert "sealed: each of 5 seals" in verify(service).verdict
