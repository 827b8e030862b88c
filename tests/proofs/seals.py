"""Exports of one object, held against seals: by whoever holds the key of the log entries are left out, and another seal is told.

Every manifest here is signed by the log's own key, its counts and sums made to fit: nothing but the seal can tell.
"""

from __future__ import annotations

import json
import random
import resource
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any, Final, NamedTuple

from dms_tags.audit.export.exporter import Exporter
from dms_tags.audit.export.manifest import manifest_name, seal, signed_text
from dms_tags.audit.log import merkle
from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.sealer import Sealer
from dms_tags.audit.trail.actors import ActorKeys
from dms_tags.audit.trail.filters import Filters
from dms_tags.audit.trail.relay import Relay
from dms_tags.audit.verify.report import FAILS
from dms_tags.model import Action, Change, Kind, Resource, Verb
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.proofs.forgeries import ACTOR, AnyPosition, Base, Lines, Tally
from tests.support.trails import BEGIN

OBJECTS: Final = 7
LATER: Final = 60


class Sealed(Base):
    """The trail of 300 entries, sealed; then changed and sealed again, and changed once more."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.sealer = Sealer(self.database, self.store)
        self.seal()
        self.change(LATER)
        self.seal()
        self.change(LATER // 4)

    def seal(self) -> None:
        """Seals the trail as it stands."""
        assert self.sealer.seal("default", ACTOR) is not None
        self.settle()

    def change(self, count: int) -> None:
        """Changes tags of the objects, in turn, and of three chain tags."""
        for number in range(count):
            of = Resource("default", Kind.OBJECT, str(number % OBJECTS))
            self.store.change(Change(of, "ocr", Verb.SET, ACTOR, state=number))
        for number in range(count // 10):
            of = Resource("default", Kind.CHAIN_TAG, str(number % 3), within="chain/1")
            self.store.change(Change(of, "tag", Verb.SET, ACTOR, state={"value": str(number)}))
        self.settle()

    def signed(self, lines: Lines, members: dict[str, Any]) -> Lines:
        """The lines under a manifest with these members, all made to fit, signed by the log."""
        document = json.loads(lines[-1])["manifest"] | members
        kept = [json.loads(line)["position"] for line in lines[:-1]]
        document |= {"count": len(kept), "first": kept[0] if kept else 0, "last": kept[-1] if kept else 0}
        document["sha256"] = sha256(b"".join(lines[:-1])).hexdigest()
        signature = self.checkpointer.sign(manifest_name(self.verifier.name), signed_text(document))
        return [*lines[:-1], seal(document | {"signature": signature})]


def lie(base: Base, state: dict[str, Any]) -> None:
    """Records a false seal, as a service that was tampered with would."""
    of, action = Resource("default", Kind.TRAIL, "default"), Action.TRAIL_SEALED
    base.store.change(Change(of, "seal", Verb.SET, ACTOR, state=state, action=action, max_tags=None))
    base.settle()


class Told(NamedTuple):
    """An honest export of one object, and what its manifest tells of it."""

    lines: Lines
    earlier: Lines
    up_to: int
    last: int

    @property
    def sealed(self) -> list[int]:
        """The positions of the entries that the seal covers."""
        return [position for position in map(_position, self.lines[:-1]) if position <= self.up_to]


def fill(database: Database, resources: int, entries: int) -> None:
    """Puts a trail into the database, without its tags: `entries` entries, in turn on so many resources."""
    for begin in range(0, entries, 10_000):
        database.trail.insert_many(
            [_entry(position, resources) for position in range(begin + 1, min(begin + 10_000, entries) + 1)], ordered=False
        )


def _entry(position: int, resources: int) -> dict[str, Any]:
    turn, number = divmod(position - 1, resources)
    moment = BEGIN + timedelta(milliseconds=position)
    return {
        "_id": f"{position:032x}",
        "schema": 1,
        "tenant": "default",
        "position": position,
        "resource": f"object/{number:08x}",
        "objectId": f"{number:08x}",
        "within": None,
        "revision": turn + 1,
        "action": 310 if turn else 110,
        "actionName": "OBJECT_TAG_UPDATED" if turn else "OBJECT_TAG_CREATED",
        "name": "ocr",
        "state": turn,
        "previousState": turn - 1 if turn else None,
        "traceId": "0000000000000001",
        "previousTraceId": "0000000000000001" if turn else None,
        "createdBy": "ann",
        "actorKind": "token",
        "creationDate": moment,
        "recordedAt": moment,
    }


class Measured(NamedTuple):
    """Seconds that a seal took, and an export of one object; the most memory, in MB, that the process had by then."""

    seal: float
    export: float
    memory: float


def at_size(database: Database, settings: Settings) -> Measured:
    """Seals the trail of a database, and exports one object of it, which then verifies; signs it first."""
    checkpointer, store = Checkpointer.of(database, settings), TagStore(database)
    checkpointer.checkpoint("default")
    began = monotonic()
    assert Sealer(database, store).seal("default", ACTOR) is not None
    sealed = monotonic()
    relay = Relay(database)
    while relay.run_once():
        pass
    checkpointer.checkpoint("default")
    exporter = Exporter(checkpointer, store, ActorKeys(database))
    asked = monotonic()
    export = exporter.begin("default", Filters(object_id="00000fff"), ACTOR, form="ndjson", proofs=True)
    lines = b"".join(exporter.ndjson(export)).splitlines()
    done = monotonic()
    assert "lines" in json.loads(lines[-1])["manifest"]["seal"], lines[-1][:2000]
    return Measured(sealed - began, done - asked, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _position(line: bytes) -> int:
    return int(json.loads(line)["position"])


def told(base: Sealed, number: int) -> Told:
    """The exports of an object with the newest seal, and with the one before."""
    lines = base.export(Filters(object_id=str(number)), proofs=True)
    second = json.loads(lines[-1])["manifest"]["seal"]["entry"]["position"]
    earlier = base.export(Filters(object_id=str(number), before=second), proofs=True)
    up_to = json.loads(lines[-1])["manifest"]["seal"]["entry"]["state"]["upTo"]
    return Told(lines, earlier, up_to, max(p for p in map(_position, lines[:-1]) if p <= up_to))


Forged = tuple[Lines, dict[str, Any], object]
"""The lines with the old manifest, what the new one has otherwise, and the first bad position."""


def at_the_end(export: Told, chance: random.Random) -> Forged:
    """The last entries that the seal covers are left out, and all behind them."""
    kept = chance.randrange(1, len(export.sealed))
    return [*export.lines[:kept], export.lines[-1]], {}, export.last


def in_the_middle(export: Told, chance: random.Random) -> Forged:
    """Some entries are left out, with others before and behind them."""
    first, behind = sorted(chance.sample(range(1, len(export.lines) - 1), 2))
    return [*export.lines[:first], *export.lines[behind:]], {}, _position(export.lines[behind])


def at_the_beginning(export: Told, chance: random.Random) -> Forged:
    """The first entries are left out."""
    kept = chance.randrange(1, len(export.sealed))
    return export.lines[kept:], {}, _position(export.lines[kept])


def all_that_is_sealed(export: Told, chance: random.Random) -> Forged:
    """All entries that the seal covers are left out, or all that there are."""
    kept = len(export.sealed) if chance.random() < 0.5 else len(export.lines) - 1
    return export.lines[kept:], {}, export.last


def under_an_earlier_seal(export: Told, chance: random.Random) -> Forged:
    """Entries that the seal before covers are left out at the end; the manifest tells that seal."""
    earlier = json.loads(export.earlier[-1])["manifest"]["seal"]
    up_to = earlier["entry"]["state"]["upTo"]
    of_log = json.loads(export.earlier[-1])["manifest"]["checkpoint"]
    positions = [position for position in map(_position, export.earlier[:-1]) if position <= up_to]
    kept = chance.randrange(1, len(positions))
    return [*export.earlier[:kept], export.earlier[-1]], {"seal": earlier, "checkpoint": of_log}, positions[-1]


def under_a_seal_of_ones_own(export: Told, chance: random.Random) -> Forged:
    """The manifest tells of a seal that was made up for the entries that are left, and is not in the log."""
    kept = chance.randrange(1, len(export.sealed))
    lines = [*export.lines[:kept], export.lines[-1]]
    last = json.loads(lines[-2])
    of = json.loads(export.lines[-1])["manifest"]["seal"]
    root = merkle.leaf_hash(f"{last['resource']}\n{last['revision']}\n{last['position']}\n".encode())
    entry = of["entry"] | {"state": {"size": 1, "root": b64encode(root).decode(), "upTo": of["entry"]["state"]["upTo"]}}
    line = {name: last[name] for name in ("resource", "revision", "position")}
    return lines, {"seal": of | {"entry": entry, "lines": [line | {"index": 0, "proof": []}]}}, AnyPosition


def with_a_false_line(export: Told, chance: random.Random) -> Forged:
    """The line of the resource tells of what is left, or is taken away, or is another's."""
    kept = chance.randrange(1, len(export.sealed))
    lines = [*export.lines[:kept], export.lines[-1]]
    last = json.loads(lines[-2])
    of = json.loads(export.lines[-1])["manifest"]["seal"]
    line = chance.choice(
        [
            [of["lines"][0] | {"revision": last["revision"], "position": last["position"]}],
            [of["lines"][0] | {"resource": "object/other"}],
            [of["lines"][0] | {"index": of["lines"][0]["index"] + 1}],
            [],
        ]
    )
    return lines, {"seal": of | {"lines": line}}, AnyPosition


def under_what_is_no_seal(export: Told, chance: random.Random) -> Forged:
    """An entry of another kind, with its own proof, stands in place of the seal's; or what is told is malformed."""
    kept = chance.randrange(1, len(export.sealed))
    lines = [*export.lines[:kept], export.lines[-1]]
    of = json.loads(export.lines[-1])["manifest"]["seal"]
    other = json.loads(export.lines[-2])
    proof = other.pop("proof")
    beside = ("createdBy", "reason", "erased", "actorKey", "reasonKey")
    leaf = {name: value for name, value in other.items() if name not in beside or other["schema"] == 1}
    told = chance.choice(
        [
            of | {"entry": leaf, "proof": proof},
            {"entry": 5},
            of | {"proof": of["proof"][1:]},
            of | {"lines": {}},
            of | {"entry": []},
            {},
        ]
    )
    return lines, {"seal": told}, AnyPosition


FORGED: Final[tuple[Callable[[Told, random.Random], Forged], ...]] = (
    at_the_end,
    in_the_middle,
    at_the_beginning,
    all_that_is_sealed,
    under_an_earlier_seal,
    under_a_seal_of_ones_own,
    with_a_false_line,
    under_what_is_no_seal,
)


def forged_exports(base: Sealed, count: int) -> Iterator[tuple[int, str, Lines, object]]:
    """`count` exports of one object under signed manifests: the seed, the kind, the lines, and the first bad position."""
    exports = [told(base, number) for number in range(OBJECTS)]
    for seed in range(count):
        chance, forge = random.Random(seed), FORGED[seed % len(FORGED)]
        lines, members, expected = forge(chance.choice(exports), chance)
        yield seed, forge.__name__, base.signed(lines, members), expected


def honest_exports(base: Sealed) -> Iterator[tuple[str, Lines]]:
    """Honest exports of histories: whole ones, ranges of them, of what has none, of whole trails with seals."""
    for number in range(OBJECTS):
        yield f"object {number}", base.export(Filters(object_id=str(number)), proofs=True)
    for after, before in ((40, None), (300, None), (301, None), (330, None), (370, None), (None, 340), (200, 340)):
        yield f"object 3 {after} {before}", base.export(Filters(object_id="3", after=after, before=before), proofs=True)
    yield "before any seal", base.export(Filters(object_id="3", before=120), proofs=True)
    for name in ("object/00", "object/99", "a/1", "zz/1", "trail/default"):
        yield name.replace("/", "-"), base.export(Filters(resource=name), proofs=True)
    yield "within", base.export(Filters(within="chain/1"), proofs=True)
    yield "whole with seals", base.export(Filters(), proofs=False)


def forge(folder: Path, count: int) -> dict[str, Tally]:
    """Makes `count` dishonest exports of one object, of every kind; what came of them, by kind.  No honest one is refused."""
    base, file = Sealed(folder), folder / "export"
    for kind, lines in honest_exports(base):
        file.write_bytes(b"".join(lines))
        report = base.verify_file(file)
        assert not report.findings, f"false alarm over {kind}: {report}"
        assert not kind.startswith("object ") or "complete as of the seal" in report.verdict or not report.entries, (kind, report)
    tallies: dict[str, Tally] = {}
    for seed, kind, lines, expected in forged_exports(base, count):
        file.write_bytes(b"".join(lines))
        report = base.verify_file(file)
        named = report.worst.position if report.worst is not None else None
        right = report.status == FAILS and expected in (AnyPosition, named)
        tallies.setdefault(kind, Tally()).take(report, right=right, seed=seed)
    return tallies
