"""Entries of schema 2: what their leaves hold, what opens the commitments, and that each actor has one key."""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandStartedEvent

from dms_tags.audit.export.opened import Opener
from dms_tags.audit.trail.actors import ActorKeys
from dms_tags.audit.trail.entry import MEMBERS, MEMBERS_1, flat, leaf_of
from dms_tags.audit.trail.relay import Relay
from dms_tags.audit.trail.trail import Trail
from dms_tags.audit.verify.examiner import Broken
from dms_tags.audit.verify.openings import Openings, part
from dms_tags.model import Actor, Change, Kind, Resource, Verb
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.support.app import Service
from tests.support.listener import Listener
from tests.support.trails import entries

ANN, BOB = Actor("ann", "token"), Actor("bob", "jwt")


def opened(database: Database, made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries as exports have them."""
    opener = Opener("default", Trail(database), ActorKeys(database))
    opener.learn(made)
    return [opener.open(entry) for entry in made]


@pytest.fixture
def memory() -> Iterator[Database]:
    database = Database.connect(Settings(mongo_uri="mongomock://"))
    database.prepare()
    yield database
    database.close()


def recorded(database: Database, *changes: tuple[Actor, str, str | None]) -> list[dict[str, Any]]:
    """The entries of changes, each by an actor, in a tenant, for a reason."""
    store = TagStore(database)
    for number, (actor, tenant, reason) in enumerate(changes):
        store.change(Change(Resource(tenant, Kind.OBJECT, str(number)), "ocr", Verb.ADD, actor, 1, reason=reason))
    while Relay(database).run_once():
        pass
    return list(database.trail.find(sort=[("tenant", 1), ("position", 1)]))


def test_a_leaf_tells_of_persons_by_commitments_alone(memory: Database) -> None:
    """It is the canonical JSON without name, reason and what was erased; HMAC-SHA-256 of both stands in it (API.md section 2)."""
    (entry,) = recorded(memory, (ANN, "default", "it was wrong"))
    (line,) = opened(memory, [entry])

    assert [*MEMBERS] == [name for name in MEMBERS if name in flat(entry)]
    without = {name: value for name, value in flat(entry).items() if name not in ("createdBy", "reason", "erased")}
    assert json.dumps(without, sort_keys=True, separators=(",", ":")).encode() == leaf_of(flat(entry)) == leaf_of(line)
    assert (entry["_id"], "ann", "it was wrong", None) == tuple(
        line[name] for name in ("changeId", "createdBy", "reason", "erased")
    )
    for text, key, committed in (("ann", "actorKey", "actorCommitment"), ("it was wrong", "reasonKey", "reasonCommitment")):
        assert b64encode(hmac.digest(b64decode(line[key]), text.encode(), "sha256")).decode() == line[committed]
        assert 32 == len(b64decode(line[key]))
    assert b"ann" not in leaf_of(line)
    assert b"wrong" not in leaf_of(line)


def test_an_actor_has_one_key_in_a_tenant(memory: Database) -> None:
    """All its entries there have one commitment; equal names of another tenant or kind have nothing in common with it."""
    made = recorded(memory, (ANN, "a", None), (ANN, "a", None), (Actor("ann", "jwt"), "a", None), (ANN, "b", None))

    first, second, other_kind, other_tenant = [entry["actorCommitment"] for entry in made]
    assert first == second
    assert 3 == len({first, other_kind, other_tenant})


def test_keys_are_made_once(real: Service) -> None:
    """However many relays meet an actor at the same moment."""
    with ThreadPoolExecutor(8) as at_once:
        keys = list(at_once.map(lambda _: ActorKeys(real.database).make([("default", ANN), ("default", BOB)]), range(8)))

    assert [keys[0]] * 8 == keys
    assert 2 == real.database.collection("actor_keys").count_documents({})


class Looks(Listener):
    """Counts the looks for keys."""

    count = 0

    def started(self, event: CommandStartedEvent) -> None:
        """A command is sent."""
        self.count += event.command_name == "find" and event.command["find"] == "actor_keys"


def test_keys_of_many_tenants_are_looked_up_together(settings: Settings) -> None:
    """One look for a batch, whatever number of tenants it is of: else each of them would cost a round trip, each time."""
    looks = Looks()
    client: MongoClient[dict[str, Any]] = MongoClient(settings.mongo_uri, tz_aware=True, event_listeners=[looks])
    database = Database(client, settings.database)
    database.prepare()
    store, relay = TagStore(database), Relay(database)
    for state in (1, 2):
        for number in range(30):
            of = Resource(f"tenant{number}", Kind.OBJECT, "doc")
            store.change(Change(of, "ocr", Verb.SET, (ANN, BOB)[number % 2], state))
        looks.count = 0
        assert 30 == relay.run_once()
    database.close()

    assert 1 == looks.count


def test_an_earlier_entry_stays_as_it_is() -> None:
    """Its leaf is all of it, and an export adds nothing to it."""
    (entry,) = entries(1, earlier=1)

    assert set(MEMBERS_1) == set(flat(entry))
    assert b'"createdBy"' in leaf_of(flat(entry))


@pytest.mark.parametrize("state", [7, {"reason": None, "reasonKey": None, "createdBy": None, "actorKey": None, "erased": None}])
def test_a_line_is_parted_into_its_leaf_and_the_rest(memory: Database, state: Any) -> None:
    """Also where a state has members of the same names; a line that is spelt otherwise is none."""
    (entry,) = recorded(memory, (ANN, "default", 'he said "reason":null,'))
    entry["previousState"] = state
    (shown,) = opened(memory, [entry])
    line = json.dumps(shown, sort_keys=True, separators=(",", ":")).encode()

    assert (shown, leaf_of(shown)) == part(line)
    for spoilt in (line.replace(b'"erased":null,', b""), line.replace(b'"erased":null,', b'"erased": null,'), b"[]", line[:40]):
        if state == 7 or spoilt[:1] != b"{":
            with pytest.raises(Broken):
                part(spoilt)


@pytest.mark.parametrize(
    ("members", "wrong"),
    [
        ({}, None),
        ({"createdBy": "bob"}, "its createdBy is not the one that was committed to when it was written"),
        ({"reason": "none"}, "its reason is not the one that was committed to when it was written"),
        ({"createdBy": None}, "has a actorKey and no createdBy"),
        ({"createdBy": None, "actorKey": None}, "its createdBy was taken away, and nothing says that it was erased"),
        ({"createdBy": None, "actorKey": None, "erased": ["createdBy"]}, None),
        ({"reason": None, "reasonKey": None, "erased": ["reason"]}, None),
        ({"erased": ["createdBy"]}, "has a createdBy that it tells was erased"),
        ({"erased": ["state"]}, "tells of something else than its name or reason that it was erased"),
        ({"actorKey": None}, "its createdBy cannot be held against the log: actorKey or actorCommitment was taken away"),
        ({"actorKey": b64encode(bytes(31)).decode()}, "its createdBy is not the one that was committed to when it was written"),
        ({"erased": 7}, "tells of something else than its name or reason that it was erased"),
    ],
)
def test_names_and_reasons_are_held_against_the_log(memory: Database, members: dict[str, Any], wrong: str | None) -> None:
    """What stands beside the leaf is what was committed to, or says that it was erased."""
    (entry,) = recorded(memory, (ANN, "default", "why not"))
    (shown,) = opened(memory, [entry])
    openings = Openings()

    assert wrong == openings.wrong(shown | members)
    if wrong is None:
        assert dict.fromkeys(members.get("erased", ()), 1) == openings.erased
