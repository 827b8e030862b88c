"""Archiving on a real MongoDB: what is old leaves as a provable file, what remains stays whole."""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from dms_tags.audit.archive import Archived, Archiver
from dms_tags.audit.export.exporter import Exporter
from dms_tags.audit.log.signer import Checkpointer, NotSigned
from dms_tags.audit.trail.filters import Filters
from dms_tags.audit.trail.relay import Relay
from dms_tags.audit.verify.database import verify_database
from dms_tags.audit.verify.file import verify_file
from dms_tags.errors import CannotStart, Gone
from dms_tags.model import Actor, Kind, Resource
from dms_tags.serving.mongod import Client
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.store.turn import Turn
from dms_tags.tags.store import TagStore
from tests.support.app import Service, running
from tests.support.trails import BEGIN, fill, keyed

COUNT = 1000
ACTOR = Actor("operator", "cli")
AUDIT = "/api/dms/audit"


@pytest.fixture
def service(settings: Settings, database: Database, tmp_path: Path) -> Iterator[Service]:
    fill(database, COUNT)
    with running(keyed(settings, tmp_path)) as service:
        yield service


def archiver(service: Service, **seams: Any) -> Archiver:
    return Archiver(service.database, service.services.checkpointer, service.services.store, **seams)


def at(position: int) -> datetime:
    return BEGIN + timedelta(seconds=position)


def test_archive(service: Service, tmp_path: Path) -> None:
    """The file verifies alone; the trail begins anew at a whole tile; what remains verifies, with kept checkpoints; the order is recorded."""
    objects = [Resource("default", Kind.OBJECT, str(number)) for number in range(7)]
    checkpointer, past = service.services.checkpointer, service.services.past
    note = (checkpointer.checkpoint("default") or {})["note"]
    instants = [at(position) for position in (512, 520, 700, 1000)]
    before = [past.tags_at(one, instant) for one in objects for instant in instants]
    question = f"{AUDIT}?from=2026-01-01T00:10:00Z&to=2026-01-01T00:12:00Z&name=ocr"
    asked = (service.client.get(question).json or {})["entries"]

    assert Archived(1, 256) == archiver(service).archive("default", at(300), tmp_path / "one", ACTOR)
    assert Archived(257, 512) == archiver(service).archive("default", at(600), tmp_path / "two", ACTOR)
    identity = checkpointer.identities.current()
    assert identity is not None
    for name in ("one", "two"):
        report = verify_file(tmp_path / name, [identity.verifier("default")], None, lambda _done, _total: None)
        assert (0, 256) == (report.status, report.entries)
    assert 513 == service.entries()[0]["position"]
    assert before == [past.tags_at(one, instant) for one in objects for instant in instants]
    assert asked == (service.client.get(question).json or {})["entries"]
    checkpointer.checkpoint("default")
    report = verify_database(service.database, "default", [identity.verifier("default")], note, lambda _done, _total: None)
    assert (0, 513, COUNT + 2) == (report.status, report.first, report.last), report
    assert ["TRAIL_ARCHIVED"] * 2 == [entry["actionName"] for entry in service.entries()[-2:]]
    recorded = service.entries()[-1]["state"]
    assert (257, 512, "2026-01-01T00:10:00.000Z") == tuple(recorded[member] for member in ("first", "last", "before"))
    assert sha256((tmp_path / "two").read_bytes()).hexdigest() == recorded["sha256"]
    assert checkpointer.log.tree("default").root(512) == b64decode(recorded["root"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (AUDIT, 200),
        (f"{AUDIT}?order=asc", 200),
        (f"{AUDIT}?after=512", 200),
        (f"{AUDIT}?from=2026-01-01T00:08:33Z", 200),
        (f"{AUDIT}?after=511", 410),
        (f"{AUDIT}?before=513", 410),
        (f"{AUDIT}?from=2026-01-01T00:00:00Z", 410),
        (f"{AUDIT}?to=2026-01-01T00:00:10Z", 410),
        (f"{AUDIT}/export?after=3", 410),
        (f"{AUDIT}/512/proof", 410),
        (f"{AUDIT}/513/proof", 200),
        (f"{AUDIT}/log/tile/entries/001", 410),
        (f"{AUDIT}/log/tile/entries/002", 200),
        (f"{AUDIT}/log/tile/0/001", 200),
        ("/api/dms/objects/1/tags?at=2026-01-01T00:00:10Z", 410),
        ("/api/dms/objects/1/tags?at=2026-01-01T00:09:00Z", 200),
    ],
)
def test_what_is_older_is_gone(archived: Service, path: str, status: int) -> None:
    """Asks for what is older are answered 410 with the position where the trail now begins; all else is answered as before."""
    answer = archived.client.get(path)

    assert status == answer.status_code, answer.text
    if status == 410:
        assert answer.json is not None
        assert 513 == answer.json["first"]


@pytest.fixture(scope="module")
def archived(mongo_uri: str, mongo_client: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("archived")
    settings = keyed(Settings(mongo_uri=mongo_uri, database="test_archived", data=folder), folder)
    database = Database.connect(settings)
    database.prepare()
    fill(database, COUNT)
    with running(settings, database) as service:
        archiver(service).archive("default", at(600), folder / "out", ACTOR)
        yield service
    mongo_client.drop_database("test_archived")


def test_what_is_missing_is_said(archived: Service) -> None:
    """An unbounded question is answered from what is held, and says that archived entries could have matched."""
    asked = archived.client.get(f"{AUDIT}?name=ocr").json or {}
    bounded = archived.client.get(f"{AUDIT}?name=ocr&after=512").json or {}
    untouched = archived.client.get(f"{AUDIT}?resource=trail/default").json or {}

    assert (513, False) == (asked["first"], asked["complete"])
    assert (513, True) == (bounded["first"], bounded["complete"])
    assert untouched["complete"]


def test_history_of_an_archived_object(archived: Service) -> None:
    """History tells what is held, that older entries were archived, and 410 for a page of those alone."""
    history = archived.client.get("/api/dms/objects/1/history?size=1000").json or {}
    beyond = archived.client.get("/api/dms/objects/1/history?size=100&page=1")

    assert (False, False) == (history["hasMoreItems"], history["complete"])
    assert all(entry["properties"]["position"]["value"] > 512 for entry in history["objects"])
    assert (410, 513) == (beyond.status_code, (beyond.json or {})["first"])


@pytest.mark.parametrize("cursor", ["9223372036854775808.1", "1_0.1", " 3 .1", "-5.1", "3.-5", "3", "3.1.2"])
def test_a_cursor_that_is_none(archived: Service, cursor: str) -> None:
    """A cursor with a position that is none is a 400, with the right digest too."""
    made = (archived.client.get(f"{AUDIT}?limit=1").json or {})["next"]
    digest = urlsafe_b64decode(made + "=" * (-len(made) % 4)).decode().rpartition(".")[2]
    forged = urlsafe_b64encode(f"{cursor}.{digest}".encode()).decode().rstrip("=")

    assert 400 == archived.client.get(AUDIT, query_string={"limit": 1, "cursor": forged}).status_code
    assert 200 == archived.client.get(AUDIT, query_string={"limit": 1, "cursor": made}).status_code


@pytest.mark.parametrize("form", ["ndjson", "csv"])
@pytest.mark.parametrize(("upto", "whole"), [(600, True), (1400, False)])
def test_archive_while_an_export_streams(service: Service, tmp_path: Path, form: str, upto: int, *, whole: bool) -> None:
    """A stream breaks off where what was still to come is archived between two chunks, and goes on where that was given already."""
    service.database.trail.delete_many({})
    service.database.tags.delete_many({})
    fill(service.database, 2300)
    exporter = service.services.exporter
    begun = exporter.begin("default", Filters(), ACTOR, form=form)
    chunks = exporter.ndjson(begun) if form == "ndjson" else exporter.csv(begun)
    parts = [next(chunks) for _ in range(1 if form == "ndjson" else 2)]
    archiver(service).archive("default", at(upto), tmp_path / "out", ACTOR)

    if whole:
        (tmp_path / "export").write_bytes(b"".join([*parts, *chunks]))
        lines = (tmp_path / "export").read_bytes().splitlines()
        assert 2300 + 1 == len(lines)  # and the manifest, or the names
    else:
        with pytest.raises(Gone) as broken_off:
            next(chunks)
        assert 1281 == broken_off.value.first


@pytest.mark.parametrize(("filters", "whole"), [(Filters(), False), (Filters(after=700), True)])
def test_archive_before_the_first_chunk(service: Service, tmp_path: Path, filters: Filters, *, whole: bool) -> None:
    """What is archived between the order of an export and its first chunk is not left out in silence either."""
    exporter = service.services.exporter
    chunks = exporter.ndjson(exporter.begin("default", filters, ACTOR, form="ndjson"))
    archiver(service).archive("default", at(600), tmp_path / "out", ACTOR)

    if whole:
        assert COUNT - 700 + 1 == len(b"".join(chunks).splitlines())
    else:
        with pytest.raises(Gone):
            next(chunks)


def test_archive_before_the_first_chunk_is_answered_410(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export that cannot begin any more is a 410 with the position where the trail now begins, no stream that breaks off."""
    begin = Exporter.begin

    def archived_meanwhile(self: Exporter, *order: Any, **more: Any) -> Any:
        begun = begin(self, *order, **more)
        archiver(service).archive("default", at(600), tmp_path / "out", ACTOR)
        return begun

    monkeypatch.setattr(Exporter, "begin", archived_meanwhile)
    answer = service.client.get(f"{AUDIT}/export")

    assert (410, 513) == (answer.status_code, (answer.json or {})["first"])


def test_never_the_last_hour(service: Service, tmp_path: Path) -> None:
    """Nothing of the last hour is archived, whatever date is asked for; nothing old enough, nothing done."""
    archive = archiver(service, clock=lambda: at(400) + timedelta(hours=1))

    assert 256 == archive.cut_for("default", datetime(2030, 1, 1, tzinfo=UTC))
    assert Archived(1, 0) == archive.archive("default", at(100), tmp_path / "out", ACTOR)
    assert not (tmp_path / "out").exists()


def test_nothing_is_removed_before_the_file_is_safe(
    service: Service, settings: Settings, database: Database, tmp_path: Path
) -> None:
    """Where the file is there already, or nothing can be signed, nothing is removed."""
    (tmp_path / "there").write_text("mine")
    with pytest.raises(CannotStart, match="nothing was removed"):
        archiver(service).archive("default", at(600), tmp_path / "there", ACTOR)
    database.collection("log_checkpoints").delete_many({})
    unable = Archiver(database, Checkpointer(database, settings, None, patience=0.05), TagStore(database))
    with pytest.raises(CannotStart, match="none can be signed"):
        unable.archive("default", at(600), tmp_path / "new", ACTOR)

    assert "mine" == (tmp_path / "there").read_text()
    assert COUNT == database.trail.count_documents({"position": {"$lte": COUNT}})


@pytest.mark.parametrize("fatal", ["baselines", "record", "entry", "cut"])
def test_failed_order_leaves_no_file(service: Service, tmp_path: Path, fatal: str) -> None:
    """An order that fails before the cut moves takes its file away, so that the same order can be given again."""

    def fails(step: str) -> None:
        if step == fatal:
            raise CannotStart("no space left")

    with pytest.raises(CannotStart, match="no space left"):
        archiver(service, step=fails).archive("default", at(600), tmp_path / "out", ACTOR)
    assert [] == list(tmp_path.glob("*out*"))

    assert Archived(1, 512) == archiver(service).archive("default", at(600), tmp_path / "out", ACTOR)


def test_full_disk_leaves_no_file(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order that met a full disk says so, and leaves nothing that blocks the next try."""

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(CannotStart, match="No space left on device; nothing was removed"):
            archiver(service).archive("default", at(600), tmp_path / "out", ACTOR)
    assert [] == list(tmp_path.glob("*out*"))

    assert Archived(1, 512) == archiver(service).archive("default", at(600), tmp_path / "out", ACTOR)


def test_long_verification_keeps_the_turn(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the file is verified the order's turn is renewed, so that no other order takes it for dead."""
    take, taken = Turn.take, 0
    seen: list[int] = []

    def counted(turn: Turn) -> str | None:
        nonlocal taken
        taken += 1
        return take(turn)

    monkeypatch.setattr("dms_tags.audit.archive.TURN", timedelta(seconds=0.9))
    monkeypatch.setattr("dms_tags.audit.verify.lines.PROGRESS_EVERY", 100)
    monkeypatch.setattr(Turn, "take", counted)
    archiver(service).archive("default", at(600), tmp_path / "out", ACTOR, lambda _done, _total: seen.append(taken))

    assert len(seen) > 2
    assert sorted(set(seen)) == seen


def test_order_that_was_cut_off(service: Service, tmp_path: Path) -> None:
    """Whatever instant an order is cut off at, the same order given again completes it."""
    past = service.services.past
    resource = Resource("default", Kind.OBJECT, "2")
    expected = past.tags_at(resource, at(900))
    for fatal in ("baselines", "record", "cut", "remove"):

        def dies(step: str, fatal: str = fatal) -> None:
            if step == fatal:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            archiver(service, step=dies).archive("default", at(600), tmp_path / fatal, ACTOR)
        assert expected == past.tags_at(resource, at(900))
    archiver(service).archive("default", at(600), tmp_path / "again", ACTOR)

    assert 513 == service.entries()[0]["position"]
    assert expected == past.tags_at(resource, at(900))


def test_a_log_begun_anew_while_an_order_is_at_work(service: Service, database: Database, tmp_path: Path) -> None:
    """No entries are removed whose hashes are gone: the order to begin anew waits for the other, and ends one that seems dead."""
    checkpointer = service.services.checkpointer
    refused: list[str] = []

    def start_anew(step: str) -> None:
        if step != "cut":
            return
        with pytest.raises(NotSigned, match="at work") as caught:
            checkpointer.start_anew("log.example/anew")
        refused.append(str(caught.value))
        database.collection("leases").delete_many({"_id": "archive/default"})  # as if it had halted for long
        checkpointer.start_anew("log.example/anew")

    with pytest.raises(CannotStart, match="later order"):
        archiver(service, step=start_anew).archive("default", at(600), tmp_path / "out", ACTOR)

    assert 1 == len(refused)
    assert COUNT == database.trail.count_documents({"position": {"$lte": COUNT}})
    anew = Checkpointer(database, Settings(), checkpointer._key)  # noqa: SLF001 - under the origin that the database has now
    anew.checkpoint("default")
    identity = anew.identities.current()
    assert identity is not None
    assert 0 == verify_database(database, "default", identity.verifiers("default"), None, lambda _done, _total: None).status


def test_goes_on_after_all_is_archived(settings: Settings, database: Database, tmp_path: Path) -> None:
    """A trail that was archived to its end goes on with the next position."""
    fill(database, 512)
    checkpointer = Checkpointer.of(database, keyed(settings, tmp_path))
    Archiver(database, checkpointer, TagStore(database)).archive("default", at(600), tmp_path / "all", ACTOR)
    while Relay(database).run_once():
        pass

    assert [513] == [entry["position"] for entry in database.trail.find()]
    checkpointer.checkpoint("default")
    assert 0 == verify_database(database, "default", [], None, lambda _done, _total: None).status
