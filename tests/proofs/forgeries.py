"""Forged files and databases, made up at random by kind: each must be found out, and the first bad position named right."""

from __future__ import annotations

import gzip
import json
import random
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dms_tags.audit.export.exporter import Exporter
from dms_tags.audit.export.manifest import manifest_beside, seal
from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.trail.actors import ActorKeys
from dms_tags.audit.trail.entry import removes
from dms_tags.audit.trail.filters import Filters
from dms_tags.audit.trail.relay import Relay
from dms_tags.audit.verify.database import verify_database
from dms_tags.audit.verify.file import verify_file
from dms_tags.audit.verify.report import HOLDS, Report
from dms_tags.model import Action, Actor, Change, Kind, Resource, Verb, now
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.audit.export.test_exporter import MUTATIONS, as_csv, summed
from tests.audit.verify.test_database import BESIDE, TAMPERINGS
from tests.support.trails import BEGIN, entries, keyed, place_tags

COUNT: Final = 300
ACTOR: Final = Actor("auditor", "token")
COLLECTIONS: Final = ("audit_trail", "tags", "log_tiles", "log_checkpoints", "trail_heads", "trail_baselines")

Lines = list[bytes]
Members = dict[str, Any]
AnyPosition = object()


@dataclass(slots=True)
class Tally:
    """What came of the forgeries of one kind; `missed` tells of each that was taken for good, or named at a wrong place."""

    made: int = 0
    detected: int = 0
    placed: int = 0
    verdicts: set[str] = field(default_factory=set)
    missed: list[str] = field(default_factory=list)

    def take(self, report: Report, *, right: bool, seed: int) -> None:
        """Counts one forgery; `right` says whether the position named is the right one."""
        self.made += 1
        self.detected += report.status != HOLDS
        self.placed += right
        worst = report.worst
        self.verdicts.add(worst.what[:60] if worst is not None else "; ".join(report.unknown)[:60])
        if report.status == HOLDS or not right:
            self.missed.append(f"{seed}: {report}")

    def __str__(self) -> str:
        """One line: how many, and an example of the verdict."""
        return f"{self.detected}/{self.made} detected, {self.placed} placed; {min(self.verdicts, default='')}"


class Base:
    """An honest trail of 300 entries in memory, signed at 100 and at 300; `archived`: 256 of them are in an archive."""

    def __init__(self, folder: Path, *, archived: bool = False) -> None:
        self.folder = folder
        self.database = Database.connect(Settings(mongo_uri="mongomock://"))
        self.checkpointer = Checkpointer.of(self.database, keyed(Settings(), folder))
        made = list(entries(COUNT))
        self.database.trail.insert_many(made[:100])
        self.checkpointer.checkpoint("default")
        self.database.trail.insert_many(made[100:])
        self.checkpointer.checkpoint("default")
        place_tags(self.database, made)
        self.store = TagStore(self.database)
        identity = self.checkpointer.identities.current()
        assert identity is not None
        self.verifier = identity.verifier("default")
        if archived:
            self._archive(256)
            self.settle()

    def _archive(self, cut: int) -> None:
        """What an order to archive leaves: the in-memory stand-in cannot carry one out."""
        baselines: dict[str, dict[str, Any]] = {}
        for entry in self.database.trail.find({"position": {"$lte": cut}}, sort=[("position", 1)]):
            fresh = {"tenant": "default", "resource": entry["resource"], "cut": cut, "tags": []}
            base = baselines.setdefault(entry["resource"], fresh)
            base |= {"revision": entry["revision"], "at": entry["creationDate"]}
            base["tags"] = [tag for tag in base["tags"] if tag["name"] != entry["name"]]
            if not removes(entry):
                row = {"name": entry["name"], "state": entry["state"], "traceId": entry["traceId"]}
                base["tags"].append(row | {"changed": entry["creationDate"]})
        self.database.collection("trail_baselines").insert_many(baselines.values())
        root = b64encode(self.checkpointer.log.tree("default").root(cut)).decode()
        of, state = Resource("default", Kind.TRAIL, "default"), {"first": 1, "last": cut, "root": root}
        action = Action.TRAIL_ARCHIVED
        self.store.change(Change(of, "archive", Verb.SET, ACTOR, state=state, action=action, max_tags=None))
        self.database.collection("trail_heads").insert_one({"_id": "default", "cut": cut, "recordedAt": BEGIN})
        self.database.trail.delete_many({"position": {"$lte": cut}})

    def settle(self) -> None:
        """Moves what is pending to the trail, and signs it."""
        relay = Relay(self.database)
        while relay.run_once():
            pass
        relay.release()
        self.checkpointer.checkpoint("default")

    def export(self, filters: Filters, *, proofs: bool) -> Lines:
        """The lines of an honest export, the manifest last; the record of it is taken away again."""
        exporter = Exporter(self.checkpointer, self.store, ActorKeys(self.database))
        export = exporter.begin("default", filters, ACTOR, form="ndjson", proofs=proofs)
        text = b"".join(exporter.ndjson(export))
        self.database.tags.delete_one({"kind": "trail"})
        return text.splitlines(keepends=True)

    def verify_file(self, file: Path) -> Report:
        """The verdict over a file, with the honest key."""
        return verify_file(file, [self.verifier], None, _silent)

    def verify(self) -> Report:
        """The verdict over the database, with the honest key."""
        return verify_database(self.database, "default", [self.verifier], None, _silent)

    def contents(self) -> dict[str, list[dict[str, Any]]]:
        """All that a forger may lay hands on."""
        return {name: list(self.database.collection(name).find()) for name in COLLECTIONS}

    def restore(self, contents: dict[str, list[dict[str, Any]]]) -> None:
        """Undoes a forgery."""
        for name, documents in contents.items():
            self.database.collection(name).delete_many({})
            if documents:
                self.database.collection(name).insert_many(documents)


def honest_exports(base: Base) -> Iterator[tuple[str, Lines]]:
    """Honest exports of every kind."""
    yield "whole", base.export(Filters(), proofs=False)
    yield "whole, proofs", base.export(Filters(), proofs=True)
    yield "before", base.export(Filters(before=200), proofs=False)
    yield "object, proofs", base.export(Filters(object_id="3"), proofs=True)
    yield "name, proofs", base.export(Filters(name="ocr"), proofs=True)
    yield "action, proofs", base.export(Filters(action=(310, 210), after=40), proofs=True)


LONGER: Final[Members] = {"head": COUNT + 7}
FALSE_MEMBERS: Final[Sequence[Members]] = (
    {"tenant": "other"},
    LONGER,
    {"head": 3},
    {"filters": {"objectId": "99"}},
    {"filters": {"createdBy": "nobody"}},
    {"filters": {"from": "2030-01-01T00:00:00.000Z"}},
    {"filters": {"before": 2}},
    {"filters": {"unheard": 1}},
    {"count": 1e999},
    {"count": float("inf")},
    {"first": 7},
    {"oldest": 7},
    {"oldest": "1"},
    {"last": COUNT + 1},
    {"checkpoint": 5},
    {"checkpoint": "no note"},
    {"filters": []},
    {"run": 3},
    {"signature": 4},
    {"signature": "\N{EM DASH} log.example/audit/default/manifest AAAAAAAA"},
)


def false_manifest(lines: Lines, chance: random.Random) -> Lines:
    """A member of the manifest tells what is not so; signed no more, or under the old signature."""
    members = chance.choice(FALSE_MEMBERS)
    # how far the trail went is nowhere in the entries: of an unsigned run the verdict says that it is not told, and holds
    unsigned = chance.random() < 0.5 and members != LONGER
    return [*lines[:-1], seal(_manifest(lines, unsigned=unsigned) | members)]


def without_run(lines: Lines, chance: random.Random) -> Lines:
    """Lines are taken out, and what proves the run of positions too."""
    manifest = _manifest(lines, unsigned=True)
    manifest.pop("run", None)
    at = chance.randrange(len(lines) - 2)
    return summed([*lines[:at], *lines[at + 1 + chance.randrange(5) : -1], seal(manifest)])


def shortened(lines: Lines, chance: random.Random) -> Lines:
    """The first or last lines are taken off, the manifest made to fit and not signed."""
    count = chance.randint(1, 5)
    kept = lines[count:-1] if chance.random() < 0.5 else lines[: -1 - count]
    ends = {"first": json.loads(kept[0])["position"], "last": json.loads(kept[-1])["position"]}
    return summed([*kept, seal(_manifest(lines, unsigned=True) | ends)])


def member_twice(lines: Lines, chance: random.Random) -> Lines:
    """A member stands twice in the manifest, or in a line."""
    at = chance.choice([-1, chance.randrange(len(lines) - 1)])
    name = b'"tenant":'
    changed = lines[at].replace(name, b'"tenant":"x",' + name)
    return summed([*lines[:at], changed, *lines[at + 1 :]]) if at >= 0 else [*lines[:-1], changed]


def malformed_line(lines: Lines, chance: random.Random) -> Lines:
    """A line is no entry."""
    at = chance.randrange(len(lines) - 1)
    entry = json.loads(lines[at])
    entry[chance.choice(["position", "revision", "resource", "recordedAt"])] = chance.choice([None, "text", [], {}, 1e999, -1])
    line = chance.choice([json.dumps(entry).encode(), b"[" * 5_000, b"", b"null", b"\xff"])
    return summed([*lines[:at], line + b"\n", *lines[at + 1 :]])


def compressed(lines: Lines, chance: random.Random) -> Lines:  # noqa: ARG001 - kinds are all called alike
    """The file is compressed."""
    return [gzip.compress(b"".join(lines))]


def _manifest(lines: Lines, *, unsigned: bool) -> Members:
    manifest: Members = json.loads(lines[-1])["manifest"]
    if unsigned:
        manifest.pop("signature", None)
    return manifest


SAID: Final[Sequence[Callable[[Lines, random.Random], Lines]]] = (
    false_manifest,
    without_run,
    shortened,
    member_twice,
    malformed_line,
    compressed,
)


def forge_files(folder: Path, count: int) -> dict[str, Tally]:
    """Makes `count` forged files, of every kind and of exports of every kind; what came of them, by kind."""
    base = Base(folder)
    exports = list(honest_exports(base))
    file = folder / "forged"
    for name, lines in exports:
        file.write_bytes(b"".join(lines))
        assert base.verify_file(file).status == HOLDS, f"false alarm over {name}: {base.verify_file(file)}"
    tallies: dict[str, Tally] = {}
    for seed, kind, forged, expected in forged_exports(exports, count):
        file.write_bytes(b"".join(forged))
        report = base.verify_file(file)
        named = report.worst.position if report.worst is not None else None
        right = expected in (AnyPosition, named)
        tallies.setdefault(kind, Tally()).take(report, right=right, seed=seed)
    _forge_tables(base, exports[0][1], tallies.setdefault("table", Tally()), max(8, count // 20))
    return tallies


def forged_exports(exports: Sequence[tuple[str, Lines]], count: int) -> Iterator[tuple[int, str, Lines, object]]:
    """Up to `count` forged files of these exports: the seed, the kind, the lines, and the first bad position where it is known."""
    kinds = [(mutation.__name__, mutation) for mutation in MUTATIONS] + [(said.__name__, said) for said in SAID]
    for seed in range(count):
        chance = random.Random(seed)
        kind, forge = kinds[seed % len(kinds)]
        of, lines = chance.choice(exports)
        forged: Any = forge(list(lines), chance)
        expected: object = AnyPosition
        if isinstance(forged, tuple):
            forged, expected = forged if of.startswith(("whole", "before")) else (forged[0], AnyPosition)
        if forged != lines:
            yield seed, kind, forged, expected


def _forge_tables(base: Base, lines: Lines, tally: Tally, count: int) -> None:
    """Forged tables: a byte of a row is another one."""
    file = as_csv(lines, base.folder / "table.csv")
    assert base.verify_file(file).status == HOLDS, f"false alarm over a table: {base.verify_file(file)}"
    text = file.read_bytes()
    begin = text.index(b"\n") + 1
    for seed in range(count):
        chance = random.Random(seed)
        at = chance.randrange(begin, len(text))
        file.write_bytes(text[:at] + bytes([text[at] ^ (1 << chance.randrange(7))]) + text[at + 1 :])
        tally.take(base.verify_file(file), right=True, seed=seed)
    file.unlink()
    manifest_beside(file).unlink()


def cut_raised(database: Database, chance: random.Random) -> None:
    cut = chance.randint(1, COUNT - 1)
    database.trail.delete_many({"position": {"$lte": cut}})
    database.collection("trail_heads").update_one({"_id": "default"}, {"$set": {"cut": cut, "recordedAt": now()}}, upsert=True)


def order_deleted(database: Database, chance: random.Random) -> None:  # noqa: ARG001 - kinds are all called alike
    database.trail.delete_many({"action": 10500})


def baseline_altered(database: Database, chance: random.Random) -> None:
    base = chance.choice(list(database.collection("trail_baselines").find({"tags.0": {"$exists": True}})))
    member, value = chance.choice([("tags.0.state", 4711), ("tags.0.traceId", "f" * 16), ("revision", base["revision"] + 1)])
    database.collection("trail_baselines").update_one({"_id": base["_id"]}, {"$set": {member: value}})


def baseline_deleted(database: Database, chance: random.Random) -> None:
    base = chance.choice(list(database.collection("trail_baselines").find()))
    database.collection("trail_baselines").delete_one({"_id": base["_id"]})


def all_deleted(database: Database, chance: random.Random) -> None:
    database.trail.delete_many({})
    if chance.random() < 0.5:
        database.tags.delete_many({})


ARCHIVED: Final = (cut_raised, order_deleted, baseline_altered, baseline_deleted, all_deleted)


def forge_databases(folder: Path, count: int) -> dict[str, Tally]:
    """Makes `count` forged databases, of every kind; what came of them, by kind."""
    (folder / "archived").mkdir()
    whole, archived = Base(folder), Base(folder / "archived", archived=True)
    kept = {id(base): base.contents() for base in (whole, archived)}
    for base in (whole, archived):
        assert base.verify().status == HOLDS, f"false alarm: {base.verify()}"
    kinds: list[tuple[Base, Callable[..., Any]]] = [
        *((whole, tampering) for tampering in TAMPERINGS),
        *((whole, beside) for beside in BESIDE),
        *((archived, forge) for forge in ARCHIVED),
    ]
    tallies: dict[str, Tally] = {}
    for seed in range(count):
        base, forge = kinds[seed % len(kinds)]
        chance = random.Random(seed)
        placed = forge in TAMPERINGS
        expected = forge(base.database) if forge in BESIDE else forge(base.database, chance)
        report = base.verify()
        named = report.worst.position if report.worst is not None else None
        tallies.setdefault(forge.__name__, Tally()).take(report, right=not placed or expected == named, seed=seed)
        base.restore(kept[id(base)])
    return tallies


def _silent(_done: int, _total: int) -> None:
    """No progress is shown."""
