"""Restoring on a real MongoDB: into an empty database alone, wholly, and the log goes on only where that is honest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from bson import encode

from dms_tags.audit.archive import Archiver
from dms_tags.audit.erasure import Eraser
from dms_tags.audit.log.keys import SigningKey
from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.trail.relay import Relay
from dms_tags.audit.trail.timetravel import Past
from dms_tags.audit.trail.trail import Trail
from dms_tags.audit.verify.database import verify_database
from dms_tags.audit.verify.report import HOLDS
from dms_tags.backup import folder as backups
from dms_tags.backup import target as place
from dms_tags.backup.restorer import Restorer
from dms_tags.backup.writer import Backup
from dms_tags.errors import CannotStart
from dms_tags.model import Actor, Change, Idempotency, Kind, Resource, Verb
from dms_tags.serving.mongod import Client, eventually
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.backup.conftest import Command
from tests.support.backups import contents
from tests.support.trails import BEGIN, fill

COUNT = 700


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def saved(database: Database, signing: Settings, folder: Path) -> list[backups.Set]:
    """A backup of a trail in two tenants."""
    fill(database, COUNT)
    fill(database, 30, tenant="second", seed=2)
    Backup(database, Checkpointer.of(database, signing), TagStore(database)).make(folder)
    return backups.sets(folder)


@pytest.fixture
def target(elsewhere: Settings) -> Iterator[Database]:
    database = Database.connect(elsewhere)
    yield database
    database.close()


def in_trail(database: Database) -> int:
    return database.trail.count_documents({})


def verdict(database: Database, tenant: str = "default") -> str:
    return verify_database(database, tenant, [], None, lambda _done, _total: None).verdict


def test_only_into_an_empty_database(saved: list[backups.Set], target: Database) -> None:
    """A database that has anything is left as it is; one that a service has merely prepared is empty."""
    target.prepare()
    target.collection("counters").insert_one({"_id": "default/chain-tag", "value": 3})
    with pytest.raises(CannotStart, match="the database is not empty, counters has documents"):
        Restorer(target).restore(saved)
    assert 0 == in_trail(target)

    target.collection("counters").delete_many({})
    restored = Restorer(target).restore(saved)
    assert (COUNT + 30, {"default": COUNT, "second": 30}, False) == (restored.entries, restored.tenants, restored.anew)
    with pytest.raises(CannotStart, match=r"the database is not empty, \w+ has documents"):
        Restorer(target).restore(saved)


def test_not_beside_a_service(saved: list[backups.Set], target: Database) -> None:
    """While a relay is at work on the database nothing is restored into it."""
    target.prepare()
    Relay(target).run_once()

    with pytest.raises(CannotStart, match="a service is running on this database: stop it first"):
        Restorer(target).restore(saved)


@pytest.mark.parametrize("step", ["trail", "tags", "end"])
def test_a_restore_that_is_cut_off(
    saved: list[backups.Set], target: Database, mongo_client: Client, signing: Settings, step: str
) -> None:
    """Whichever step is the last: the database serves nobody, of any version, says so, and is restored anew by the same order."""

    def cut(name: str) -> None:
        if name == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Restorer(target, step=cut).restore(saved)
    with pytest.raises(CannotStart, match="being restored from a backup, or a restore was cut off"):
        target.prepare()
    version = target.collection("schema").find_one({"_id": "version"})
    assert version is not None
    assert version["version"] > 1_000_000  # what an older version goes by

    assert Restorer(target).restore(saved).anew
    target.prepare()
    names = mongo_client[signing.database].list_collection_names()
    assert {"audit_trail", "tags"} <= set(names)
    before, after = (contents(mongo_client, database) for database in (signing.database, target.tags.database.name))
    assert before["audit_trail"] == after["audit_trail"]
    assert HOLDS == verify_database(target, "second", [], None, lambda _done, _total: None).status


def test_what_was_erased_stays_erased(database: Database, signing: Settings, folder: Path, target: Database) -> None:
    """Names and reasons that were erased between two backups are in the sets of before, and not in what is restored."""
    store, relay, checkpointer = TagStore(database), Relay(database), Checkpointer.of(database, signing)

    def settle(tenant: str = "default") -> None:
        Trail(database).wait_for(tenant, move=relay.run_once)

    for number in range(3):
        for actor in (Actor("mallory", "token"), Actor("mallory", "jwt"), Actor("bob", "token")):
            of = Resource("default", Kind.OBJECT, f"o{number}")
            store.change(Change(of, "ocr", Verb.SET, actor, number, reason=f"by {actor.kind} of {actor.name}"))
    settle()
    Backup(database, checkpointer, store).make(folder)
    eraser = Eraser(database, store, settle)
    eraser.erase("default", "mallory", "token", Actor("root", "cli"))
    (position,) = (entry["position"] for entry in database.trail.find({"createdBy": "bob", "state": 1}))
    eraser.erase_reason("default", position, Actor("root", "cli"))
    settle()
    Backup(database, checkpointer, store).make(folder)
    relay.release()

    Restorer(target).restore(backups.sets(folder))

    before, after = ({entry["_id"]: entry for entry in each.trail.find()} for each in (database, target))
    assert before == after
    assert 3 == sum(entry["erased"] == ["createdBy"] for entry in after.values())
    assert {"mallory": 3, "bob": 3} == Counter(
        entry["createdBy"] for entry in after.values() if entry["createdBy"] in ("mallory", "bob")
    )
    assert HOLDS == verify_database(target, "default", [], None, lambda _done, _total: None).status


@pytest.mark.parametrize("order", ["actor", "reason"])
def test_an_erasure_beside_a_backup(database: Database, signing: Settings, folder: Path, order: str) -> None:
    """Entries that lost a name once the moment of the backup was over, without the order for it, make no set; the next one is whole."""
    store, relay, checkpointer = TagStore(database), Relay(database), Checkpointer.of(database, signing)
    mallory, root = Actor("mallory", "token"), Actor("root", "cli")

    def settle(tenant: str = "default") -> None:
        Trail(database).wait_for(tenant, move=relay.run_once)

    def meanwhile(step: str) -> None:
        eraser = Eraser(database, store, settle)
        if step == "trail" and order == "actor":
            eraser.erase("default", "mallory", "token", root)
        elif step == "trail":
            eraser.erase_reason("default", 1, root)

    store.change(Change(Resource("default", Kind.OBJECT, "o"), "ocr", Verb.SET, mallory, 1, reason="since she said so"))
    settle()
    with pytest.raises(CannotStart, match="something was erased in default meanwhile: nothing was written; give the order again"):
        Backup(database, checkpointer, store, step=meanwhile).make(folder)
    assert [] == backups.sets(folder)

    assert 2 == Backup(database, checkpointer, store).make(folder).entries
    relay.release()


@pytest.mark.parametrize("step", ["mark", "entries", "answers", "key", "pending"])
def test_a_backup_in_the_middle_of_an_erasure(
    database: Database, signing: Settings, elsewhere: Settings, folder: Path, target: Database, step: str
) -> None:
    """A set made when the order stood in the trail and the name was not gone yet: what is restored has the name nowhere.

    Where a change by the actor was pending its key stays, marked, until the order is given again.
    """
    store, relay, checkpointer = TagStore(database), Relay(database), Checkpointer.of(database, signing)
    mallory, root = Actor("mallory.smith", "token"), Actor("root", "cli")

    def settle(tenant: str = "default") -> None:
        Trail(database).wait_for(tenant, move=relay.run_once)

    def change(object_id: str) -> None:
        of = Resource("default", Kind.OBJECT, object_id)
        store.change(Change(of, "ocr", Verb.SET, mallory, 1, idempotency=Idempotency("k", "f")))

    def save(name: str) -> None:
        if name == ("answers" if step == "pending" else step):
            if step == "mark":
                settle()
            if step == "pending":
                change("o2")
            Backup(database, checkpointer, store).make(folder)

    change("o1")
    settle()
    Eraser(database, store, settle, step=save).erase("default", mallory.name, None, root)
    relay.release()

    restored = Restorer(target).restore(backups.sets(folder))

    assert {"default": [mallory] if step == "pending" else []} == restored.half_erased
    if step == "pending":
        afterwards = Relay(target)
        Eraser(target, TagStore(target), lambda tenant: Trail(target).wait_for(tenant, move=afterwards.run_once)).erase(
            "default", mallory.name, None, root
        )
        afterwards.release()
        assert 2 == target.trail.count_documents({"erased": ["createdBy"]})
    inner = target.client[elsewhere.database]
    assert [] == [name for name in inner.list_collection_names() for each in inner[name].find() if b"mallory" in encode(each)]
    assert verdict(target).startswith("holds"), verdict(target)


def test_two_at_once(saved: list[backups.Set], target: Database) -> None:
    """While one restore is at work another is refused, and the first one comes to its end."""

    def meanwhile(name: str) -> None:
        if name == "tags":
            with pytest.raises(CannotStart, match="another restore into this database is at work"):
                Restorer(target).restore(saved)

    Restorer(target, step=meanwhile).restore(saved)
    assert COUNT + 30 == in_trail(target)


def test_a_restore_that_lost_its_turn_ends(saved: list[backups.Set], target: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that stood still until another began writes nothing any more."""
    monkeypatch.setattr(place, "RENEW_SECONDS", 0.01)

    def stand_still(name: str) -> None:
        if name == "tags":
            taken = {"holder": "another", "until": target.now() + timedelta(seconds=60)}
            target.collection("leases").update_one({"_id": "restore"}, {"$set": taken})
            assert eventually(lambda: restorer.target.lost, 20)

    restorer = Restorer(target, step=stand_still)
    with pytest.raises(CannotStart, match="another restore into this database has begun: this one ends"):
        restorer.restore(saved)
    assert 0 == target.tags.count_documents({})
    kept = target.collection("leases").find_one({"_id": "restore"})
    assert kept is not None
    assert "another" == kept["holder"]


def test_an_altered_backup_changes_nothing(saved: list[backups.Set], target: Database, folder: Path) -> None:
    """What is missing or altered is named before anything is written."""
    (folder / "000001" / "tags-second.bson").unlink()

    with pytest.raises(CannotStart, match=r"tags-second\.bson is missing; nothing was changed"):
        Restorer(target).restore(saved)
    assert [] == target.collections()


def test_what_was_not_signed_serves_nobody(saved: list[backups.Set], target: Database, folder: Path) -> None:
    """Entries that were exchanged together with every sum do not give the tree that was signed."""
    file = folder / "000001" / "trail-default.ndjson"
    text = file.read_bytes()
    file.write_bytes(text.replace(b'"state":5', b'"state":6', 1))
    sets = [replace(saved[0], files={**saved[0].files, file.name: (len(text), backups.sum_of(file))})]

    with pytest.raises(CannotStart, match="the entries of default are not those of its checkpoint at 700"):
        Restorer(target).restore(sets)
    with pytest.raises(CannotStart, match="being restored"):
        target.prepare()


def test_a_newer_backup_is_left_to_a_newer_version(saved: list[backups.Set], target: Database) -> None:
    """A backup with a schema or a collection that this version does not know is not restored in part."""
    with pytest.raises(CannotStart, match=r"the backup has schema version 99, which this version does not know"):
        Restorer(target).restore([replace(saved[0], schema=99)])
    with pytest.raises(CannotStart, match=r"the backup has the file wishes\.bson, which this version does not know"):
        Restorer(target).restore([replace(saved[0], files={**saved[0].files, "wishes.bson": (0, "")})])


def test_an_archived_trail(
    database: Database, signing: Settings, target: Database, elsewhere: Settings, folder: Path, tmp_path: Path
) -> None:
    """What was archived before the backup stays away, between two backups too; the past, the proof and the tags are as they were."""
    fill(database, COUNT)
    checkpointer = Checkpointer.of(database, signing)
    archiver, backup = Archiver(database, checkpointer, TagStore(database)), Backup(database, checkpointer, TagStore(database))

    relay = Relay(database)

    def archive(upto: int) -> None:
        at = BEGIN + timedelta(seconds=upto)
        archiver.archive("default", at, tmp_path / f"{upto}.ndjson", Actor("operator", "cli"))
        while relay.run_once():
            pass

    archive(300)
    backup.make(folder)
    archive(600)
    backup.make(folder)
    objects = [Resource("default", Kind.OBJECT, str(number)) for number in range(7)]
    instants = [BEGIN + timedelta(seconds=seconds) for seconds in (520, 650, COUNT)]
    past = [Past(database).tags_at(of, at) for of in objects for at in instants]

    Restorer(target).restore(backups.sets(folder))

    assert past == [Past(target).tags_at(of, at) for of in objects for at in instants]
    assert 512 == Checkpointer.of(target, elsewhere).log.trail.cut("default")
    assert verdict(target).startswith("holds"), verdict(target)
    documents = [list(store.tags.find({}, {"replies": 0}, sort=[("_id", 1)])) for store in (database, target)]
    assert documents[0] == documents[1]
    assert "holds" == verdict(database).split(";")[0]


Run = Callable[..., str]


@pytest.fixture
def restore(command: Command, folder: Path, saved: list[backups.Set], capsys: pytest.CaptureFixture[str]) -> Run:
    """Restores the backup with these settings; what the command says."""
    assert saved

    def run(settings: Settings, *more: str) -> str:
        assert 0 == command(settings, "restore", "--from", str(folder), *more)
        return capsys.readouterr().err

    return run


def origins(database: Database, settings: Settings) -> list[str]:
    identity = Checkpointer.of(database, settings).identities.current()
    assert identity is not None
    return [identity.origin, *(before.origin for before in identity.earlier)]


def test_under_the_same_key_the_log_goes_on(restore: Run, target: Database, elsewhere: Settings) -> None:
    """The key that signed goes on signing, in the same line of checkpoints; nothing is left to be told."""
    assert "the log is signed up to here" in restore(elsewhere)
    assert ["log.example/audit"] == origins(target, elsewhere)
    assert Checkpointer.of(target, elsewhere).unsigned_since_restore() is None
    assert verdict(target).startswith("holds")


def test_under_another_key_it_begins_anew(restore: Run, target: Database, elsewhere: Settings, tmp_path: Path) -> None:
    """Another key signs from a new origin on, whose first entry names the old one and its key."""
    other = replace(elsewhere, signing_key_file=SigningKey.create(tmp_path / "other.key").file, log_origin=None)

    assert "the logs are log.example/audit/2 from now on" in restore(other)

    assert ["log.example/audit/2", "log.example/audit"] == origins(target, other)
    while Relay(target).run_once():
        pass
    entry = target.trail.find_one({"tenant": "default", "position": COUNT + 1})
    assert entry is not None
    assert "log.example/audit/default" == entry["state"]["previousOrigin"]
    assert entry["state"]["previousKey"].startswith("log.example/audit/default+")


def test_behind_what_was_signed_nothing_is_signed_until_told(
    restore: Run, database: Database, signing: Settings, target: Database, elsewhere: Settings, command: Command
) -> None:
    """A signer that knows a later checkpoint does not sign; the whole command line that it tells mends it."""
    from tests.support.trails import entries

    database.trail.insert_many([entry for entry in entries(COUNT + 5) if entry["position"] > COUNT])
    Checkpointer.of(database, signing).checkpoint("default")

    said = restore(elsewhere)

    told = Checkpointer.of(target, elsewhere).unsigned_since_restore()
    assert told is not None
    assert told in said
    assert f"the trail of default has {COUNT} entries, and its checkpoint at {COUNT + 5} is known" in told
    line = told.split("`")[1]
    assert f"DMS_TAGS_DATABASE={elsewhere.database} DMS_TAGS_SIGNING_KEY_FILE={elsewhere.signing_key_file} " in line
    mend = line.partition("dms-tags ")[2].split()
    assert 0 == command(replace(elsewhere, log_origin=None), *mend)
    assert Checkpointer.of(target, replace(elsewhere, log_origin=None)).unsigned_since_restore() is None


def test_without_a_key_it_is_told_until_someone_signs(restore: Run, target: Database, elsewhere: Settings) -> None:
    """A service without the key tells how the log can go on; the key's owner signs, and nothing is told any more."""
    keyless = replace(elsewhere, signing_key_file=None, log_origin=None)

    said = restore(keyless)

    assert "the trail of default was restored from a backup; with the key that signs log.example/audit" in said
    assert "DMS_TAGS_SIGNING_KEY_FILE=FILE dms-tags audit checkpoint` goes on" in said
    for tenant in ("default", "second"):
        assert Checkpointer.of(target, keyless).unsigned_since_restore() is not None
        Checkpointer.of(target, elsewhere).checkpoint(tenant)
    assert Checkpointer.of(target, keyless).unsigned_since_restore() is None


def test_a_new_origin_on_order(restore: Run, target: Database, elsewhere: Settings) -> None:
    """The new line of checkpoints may be ordered with the restore."""
    restore(replace(elsewhere, log_origin=None), "--new-origin", "log.example/drill")

    assert ["log.example/drill", "log.example/audit"] == origins(target, elsewhere)
