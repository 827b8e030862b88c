"""Verifying a trail in its database: every tampering behind a checkpoint is found, at the right position."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dms_tags.audit.log.keys import SigningKey
from dms_tags.audit.log.note import Signer
from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.trail.entry import flat
from dms_tags.audit.verify.database import verify_database
from dms_tags.audit.verify.replay import Replayed, apply, compare
from dms_tags.audit.verify.report import Report
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.trails import BEGIN, entries, fill, keyed, place_tags

COUNT = 300


def signed(folder: Path) -> tuple[Database, Checkpointer]:
    """A trail of 300 entries, signed at 100 and at 300, in memory and without the indexes that would hinder a forger."""
    database = Database.connect(Settings(mongo_uri="mongomock://"))
    made = list(entries(COUNT))
    checkpointer = Checkpointer.of(database, keyed(Settings(), folder))
    database.trail.insert_many(made[:100])
    checkpointer.checkpoint("default")
    database.trail.insert_many(made[100:])
    checkpointer.checkpoint("default")
    place_tags(database, made)
    return database, checkpointer


def verify(database: Database, checkpointer: Checkpointer, kept: str | None = None) -> Report:
    identity = checkpointer.identities.current()
    assert identity is not None
    return verify_database(database, "default", [identity.verifier("default")], kept, lambda _done, _total: None)


def test_holds(tmp_path: Path) -> None:
    """An untouched trail holds, also against a checkpoint kept outside and with entries that are not covered yet."""
    database, checkpointer = signed(tmp_path)
    kept = database.collection("log_checkpoints").find_one({"size": 100})
    assert kept is not None
    longer = list(entries(COUNT + 20))
    database.trail.insert_many(longer[COUNT:])
    database.tags.delete_many({})
    place_tags(database, longer)
    report = verify(database, checkpointer, kept["note"])

    assert (0, COUNT + 20, 1, COUNT + 20) == (report.status, report.entries, report.first, report.last)
    assert ["20 entries after position 300 are not covered by a checkpoint yet"] == report.remarks


def test_nothing_there_is_not_good(tmp_path: Path) -> None:
    """Where nothing was ever signed there is nothing to hold the trail against: not 0."""
    database = Database.connect(Settings(mongo_uri="mongomock://"))
    checkpointer = Checkpointer.of(database, keyed(Settings(), tmp_path))

    assert 2 == verify_database(database, "default", [], None, lambda _done, _total: None).status
    fill(database, 3)
    checkpointer.checkpoint("default")
    assert 2 == verify_database(database, "other", [], None, lambda _done, _total: None).status
    assert "taken from the database itself" in verify_database(database, "default", [], None, lambda _d, _t: None).remarks[0]


Tampering = Callable[[Database, random.Random], int | None]


def changed(database: Database, chance: random.Random) -> int:
    position = chance.randint(1, COUNT)
    entry = database.trail.find_one({"position": position})
    assert entry is not None
    member = chance.choice([name for name in entry if name not in ("_id", "position")])
    value = entry[member]
    other: Any = (
        value + 1
        if isinstance(value, int)
        else f"{value}x"
        if isinstance(value, str)
        else "x"
        if value is None
        else value[:-1] + bytes([value[-1] ^ 1])
        if isinstance(value, bytes)
        else value.replace(year=2031)
    )
    update = {"$unset": {member: ""}} if chance.random() < 0.2 and member != "tenant" else {"$set": {member: other}}
    database.trail.update_one({"_id": entry["_id"]}, update)
    return position


def removed(database: Database, chance: random.Random) -> int:
    position = chance.randint(1, COUNT)
    database.trail.delete_one({"position": position})
    return position


def removed_and_closed_up(database: Database, chance: random.Random) -> int:
    position = removed(database, chance)
    database.trail.update_many({"position": {"$gt": position}}, {"$inc": {"position": -1}})
    return position


def doubled(database: Database, chance: random.Random) -> int:
    position = chance.randint(1, COUNT)
    entry = database.trail.find_one({"position": position})
    assert entry is not None
    database.trail.insert_one(entry | {"_id": "copy"})
    return position + 1


def swapped(database: Database, chance: random.Random) -> int:
    first, second = sorted(chance.sample(range(1, COUNT + 1), 2))
    ids = {position: (database.trail.find_one({"position": position}) or {})["_id"] for position in (first, second)}
    database.trail.update_one({"_id": ids[first]}, {"$set": {"position": second}})
    database.trail.update_one({"_id": ids[second]}, {"$set": {"position": first}})
    return first


def inserted(database: Database, chance: random.Random) -> int:
    position = chance.randint(1, COUNT)
    entry = database.trail.find_one({"position": position})
    assert entry is not None
    database.trail.update_many({"position": {"$gte": position}}, {"$inc": {"position": 1}})
    database.trail.insert_one(entry | {"_id": "forged", "createdBy": "nobody"})
    return position


def cut_off(database: Database, chance: random.Random) -> int:
    position = chance.randint(1, COUNT)
    database.trail.delete_many({"position": {"$gte": position}})
    return position


def altered_tile(database: Database, chance: random.Random) -> None:
    tiles = database.collection("log_tiles")
    tile = chance.choice(list(tiles.find({"level": 0})))
    hashes = bytearray(tile["hashes"])
    hashes[chance.randrange(len(hashes))] ^= 1
    tiles.update_one({"_id": tile["_id"]}, {"$set": {"hashes": bytes(hashes)}})


def altered_checkpoint(database: Database, chance: random.Random) -> None:
    checkpoints = database.collection("log_checkpoints")
    one = chance.choice(list(checkpoints.find()))
    note = one["note"]
    at = chance.randrange(note.index("\n\n") - 1)
    checkpoints.update_one({"_id": one["_id"]}, {"$set": {"note": note[:at] + chr(ord(note[at]) ^ 1) + note[at + 1 :]}})


TAMPERINGS: list[Tampering] = [
    changed,
    removed,
    removed_and_closed_up,
    doubled,
    swapped,
    inserted,
    cut_off,
    altered_tile,
    altered_checkpoint,
]


@pytest.mark.thorough
@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_tampered_database(tmp_path: Path, tampering: Tampering) -> None:
    """Every random tampering is detected, and the first bad position is named right."""
    database, checkpointer = signed(tmp_path)
    pristine = {name: list(database.collection(name).find()) for name in ("audit_trail", "log_tiles", "log_checkpoints")}
    for seed in range(8):
        expected = tampering(database, random.Random(f"{tampering.__name__} {seed}"))
        report = verify(database, checkpointer)

        assert 1 == report.status, (seed, report)
        assert report.worst is not None
        assert expected == report.worst.position, (seed, expected, report.findings)
        for name, documents in pristine.items():
            database.collection(name).delete_many({})
            database.collection(name).insert_many(documents)


@pytest.mark.parametrize("position", [1, 255, 256, 257, 299, 300])
def test_doubled_at_the_edges(tmp_path: Path, position: int) -> None:
    """An entry that stands twice is found at the edges of tiles and of the trail too."""
    database, checkpointer = signed(tmp_path)
    entry = database.trail.find_one({"position": position})
    assert entry is not None
    database.trail.insert_one(entry | {"_id": "copy"})
    report = verify(database, checkpointer)

    assert report.worst is not None
    assert position + 1 == report.worst.position


def test_rolled_back_and_signed_anew(tmp_path: Path) -> None:
    """A trail rolled back behind a checkpoint kept outside, then grown again otherwise and signed anew, is found out."""
    database, checkpointer = signed(tmp_path)
    kept = database.collection("log_checkpoints").find_one({"size": COUNT})
    assert kept is not None
    database.trail.delete_many({"position": {"$gt": 100}})
    database.collection("log_tiles").delete_many({})
    database.collection("log_checkpoints").delete_many({"size": COUNT})
    (tmp_path / "signing.key.seen").unlink()
    shorter = verify(database, checkpointer, kept["note"])
    another = list(entries(COUNT + 50, by="another"))
    database.trail.insert_many(another[100:])
    database.tags.delete_many({})
    place_tags(database, another)
    Checkpointer.of(database, keyed(Settings(), tmp_path)).checkpoint("default")

    assert 0 == verify(database, checkpointer).status
    report = verify(database, checkpointer, kept["note"])
    assert 1 == report.status
    assert "entries 1 to 300 are not those of the checkpoint kept outside" in str(report.worst)
    assert shorter.worst is not None
    assert 101 == shorter.worst.position


def test_signed_with_another_key(tmp_path: Path) -> None:
    """A trail altered and signed anew with another key is refused."""
    database, checkpointer = signed(tmp_path)
    other = SigningKey.create(tmp_path / "other.key")
    for one in database.collection("log_checkpoints").find():
        note = Signer(one["log"], other.private).sign(one["note"].rpartition("\n\n")[0] + "\n")
        database.collection("log_checkpoints").update_one({"_id": one["_id"]}, {"$set": {"note": note}})

    assert "not signed by the key" in str(verify(database, checkpointer).worst)


def tag_changed(database: Database) -> None:
    database.tags.update_one({"tags.0.name": {"$exists": True}}, {"$set": {"tags.0.state": 4711}})


def tag_removed(database: Database) -> None:
    database.tags.update_one({"tags.0.name": {"$exists": True}}, {"$set": {"tags": []}})


def document_removed(database: Database) -> None:
    database.tags.delete_one({})


def document_added(database: Database) -> None:
    document = database.tags.find_one({}) or {}
    database.tags.insert_one(document | {"_id": "default/object/forged", "id": "forged"})


def document_malformed(database: Database) -> None:
    database.tags.update_one({}, {"$set": {"tags": 5}})


def count_changed(database: Database) -> None:
    database.tags.update_one({}, {"$inc": {"seq": 1}})


def level_altered(database: Database) -> None:
    database.collection("log_tiles").update_one({"level": 1}, {"$set": {"hashes": b"\1" * 32}})


def level_deleted(database: Database) -> None:
    database.collection("log_tiles").delete_many({"level": 1})


def tile_deleted(database: Database) -> None:
    database.collection("log_tiles").delete_one({"level": 0, "number": 0})


def width_altered(database: Database) -> None:
    database.collection("log_tiles").update_one({"level": 0, "number": 1}, {"$set": {"width": 7}})


def older_signature_broken(database: Database) -> None:
    checkpoints = database.collection("log_checkpoints")
    note = (checkpoints.find_one({"size": 100}) or {})["note"]
    signature = note.rstrip("\n")
    checkpoints.update_one(
        {"size": 100}, {"$set": {"note": signature[:-6] + ("A" if signature[-6] != "A" else "B") + signature[-5:] + "\n"}}
    )


BESIDE: dict[Callable[[Database], None], str] = {
    tag_changed: "changed behind the trail's back",
    tag_removed: "changed behind the trail's back",
    document_removed: "its document is not among the tags",
    document_added: "changes are in the trail by its document",
    document_malformed: "its document lacks a member",
    count_changed: "its document counts",
    level_altered: "tile 1/0 was altered",
    level_deleted: "tile 1/0 is missing",
    tile_deleted: "hash of position 1 was altered",
    width_altered: "told to be 7 hashes wide",
    older_signature_broken: "checkpoint number 1",
}


@pytest.mark.parametrize(("tampering", "words"), BESIDE.items())
def test_beside_the_entries(tmp_path: Path, tampering: Callable[[Database], None], words: str) -> None:
    """What is altered beside the entries is found too: tags, tiles of every level and their widths, older signatures."""
    database, checkpointer = signed(tmp_path)
    tampering(database)
    report = verify(database, checkpointer)

    assert 1 == report.status
    assert [finding for finding in report.findings if words in finding.what], report.findings


def test_changes_on_their_way_are_no_fault(tmp_path: Path) -> None:
    """A change that is in the tags and not yet in the trail is no tampering: the outbox tells of it."""
    database, checkpointer = signed(tmp_path)
    document = next(document for document in database.tags.find() if document["tags"])
    record = {"id": "new", "action": 310, "name": document["tags"][0]["name"], "traceid": "e" * 16, "at": document["lastAt"]}
    late = record | {"state": 99, "by": "anna", "byKind": "token"}
    row = {"tags.0.state": 99, "tags.0.traceid": "e" * 16, "tags.0.creationDate": document["lastAt"]}
    update = {"$set": row | {"outbox": [late]}, "$inc": {"seq": 1}}
    database.tags.update_one({"_id": document["_id"]}, update)

    assert COUNT == checkpointer.log.trail.head("default")
    assert [] == list(compare(database, "default", replayed_trail(database)))


def replayed_trail(database: Database) -> dict[str, Replayed]:
    standings: dict[str, Replayed] = {}
    for entry in database.trail.find(sort=[("position", 1)]):
        apply(standings.setdefault(entry["resource"], Replayed()), flat(entry))
    return standings


@pytest.mark.parametrize("cut", [1, 256, COUNT])
@pytest.mark.parametrize("baselines", [False, True])
def test_pretended_archive(tmp_path: Path, cut: int, baselines: bool) -> None:
    """Entries that are gone without an order that stands in the log were taken away, whatever the head document says."""
    database, checkpointer = signed(tmp_path)
    if baselines:
        for resource, replayed in replayed_trail(database).items():
            database.collection("trail_baselines").insert_one(
                {"tenant": "default", "resource": resource, "cut": cut, "revision": replayed.revision, "tags": []}
            )
    database.trail.delete_many({"position": {"$lte": cut}})
    database.collection("trail_heads").insert_one({"_id": "default", "cut": cut, "recordedAt": BEGIN})
    report = verify(database, checkpointer)

    assert 1 == report.status
    assert [finding for finding in report.findings if "no order to archive them" in finding.what], report.findings
    database.trail.delete_many({})
    database.tags.delete_many({})
    assert 1 == verify(database, checkpointer).status


def test_everything_deleted(tmp_path: Path) -> None:
    """Where all is gone, or all but the checkpoints, it does not hold."""
    database, checkpointer = signed(tmp_path)
    database.trail.delete_many({})
    assert 1 == verify(database, checkpointer).status
    database.collection("log_checkpoints").delete_many({})
    assert 2 == verify(database, checkpointer).status
