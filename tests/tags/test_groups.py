"""Changes that travel together: each caller is told what it would be told alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from dms_tags.model import Change, Conditions, Idempotency, Kind, Resource, Verb
from dms_tags.tags.batch import SMALLEST_WAVE, Batches
from dms_tags.tags.definitions import Definitions
from dms_tags.tags.groups import MOST
from dms_tags.tags.service import TagService
from dms_tags.tags.store import TagStore
from dms_tags.tags.writes import Creation
from tests.support.groups import ACTOR, Grouped, Send, recorded, states, told


def test_a_change_alone_is_a_write_of_its_own(grouped: Grouped) -> None:
    """It waits for nobody, and nothing is bundled."""
    before = grouped.door.alone
    grouped.change("o0", 1)

    assert (before + 1, []) == (grouped.door.alone, grouped.door.bulks)


def test_those_that_come_meanwhile_are_one_round_trip(grouped: Grouped) -> None:
    """Each caller is told of its own change, as it is read afterwards."""
    outcomes = grouped.together(*(partial(grouped.change, f"o{number}", 10 + number) for number in range(5)))

    assert [5] == grouped.door.bulks
    assert [10, 11, 12, 13, 14] == states(grouped)
    for number, changed in enumerate(outcomes):
        (tag,) = grouped.store.read(Resource("default", Kind.OBJECT, f"o{number}"))
        assert (tag.etag, tag.trace_id, tag.changed, tag.state) == (
            changed.tag.etag, changed.trace_id, changed.tag.changed, changed.tag.state,
        )  # fmt: skip


def test_a_group_is_bounded(grouped: Grouped) -> None:
    """No bulk has more than so many operations, or states of more than so many characters; what is larger goes alone."""
    many: list[Callable[[], Any]] = [partial(grouped.change, f"o{number % 5}", number) for number in range(MOST + 20)]
    large = [partial(grouped.change, f"o{number}", "x" * 500_000) for number in range(4)]

    assert {"made"} == set(map(told, grouped.together(*many) + grouped.together(*large)))
    assert [MOST, 20, 2, 2] == grouped.door.bulks
    with grouped.closed_door():
        assert "made" == told(grouped.change("o0", "x" * 990_000))


def test_a_condition_that_does_not_hold_is_told_to_its_caller_alone(grouped: Grouped) -> None:
    """The others of the group are made; the refusal says how the tag stands."""
    (tag,) = grouped.store.read(Resource("default", Kind.OBJECT, "o1"))
    stale = Conditions(etags=("0" * 32,))
    outcomes = grouped.together(
        partial(grouped.change, "o0", 1),
        partial(grouped.change, "o1", 1, verb=Verb.UPDATE, conditions=stale),
        partial(grouped.change, "absent", verb=Verb.DELETE),
        partial(grouped.change, "o2", 1, verb=Verb.ADD),
        partial(grouped.change, "o3", verb=Verb.DELETE),
    )

    assert ["made", "RevisionMismatch", "TagNotFound", "TagExists", "made"] == list(map(told, outcomes))
    assert tag == outcomes[1].current
    assert [1, 0, 0, 0] == states(grouped)


def test_changes_of_one_object_in_one_group_are_made_one_after_the_other(grouped: Grouped) -> None:
    """Those without a condition all, each with an entry; of those under one lock the first."""
    free = grouped.together(*(partial(grouped.change, "o0", state) for state in (1, 2, 3)))
    (tag,) = grouped.store.read(Resource("default", Kind.OBJECT, "o0"))
    locked = grouped.together(
        *(partial(grouped.change, "o0", state, conditions=Conditions(etags=(tag.etag,))) for state in (4, 5, 6))
    )

    assert ["made"] * 3 == list(map(told, free))
    assert ["made", "RevisionMismatch", "RevisionMismatch"] == list(map(told, locked))
    assert locked[0].tag.etag == locked[1].current.etag
    assert [0, 1, 2, 3, 4] == recorded(grouped, "o0")


@pytest.mark.parametrize("state", [1, 2])
def test_what_the_relay_has_moved_already_is_known_to_be_made(grouped: Grouped, state: int) -> None:
    """Also where others have changed or removed the tag since: the trail has the change's id."""

    def relayed(send: Send, operations: Sequence[Any]) -> Any:
        made = send(operations)
        recorded(grouped, "o0")
        other = TagStore(grouped.database)
        other.change(Change(Resource("default", Kind.OBJECT, "o0"), "ocr", Verb.DELETE if state == 1 else Verb.SET, ACTOR, 9))
        return made

    grouped.door.bulk = relayed
    outcomes = grouped.together(
        partial(grouped.change, "o0", state), partial(grouped.change, "o1", 1, conditions=Conditions(etags=("0" * 32,)))
    )

    assert ["made", "RevisionMismatch"] == list(map(told, outcomes))
    assert [0, state] == recorded(grouped, "o0")[:2]


def test_of_what_cannot_be_told_apart_each_caller_is_told_so(grouped: Grouped) -> None:
    """Where fewer ids are seen than changes were made, whoever is not seen may have been made."""

    def forgotten(send: Send, operations: Sequence[Any]) -> Any:
        made = send(operations)
        grouped.database.tags.update_one({"_id": "default/object/o0"}, {"$set": {"outbox": [], "tags": []}})
        return made

    grouped.door.bulk = forgotten
    stale = Conditions(etags=("0" * 32,))
    outcomes = grouped.together(
        partial(grouped.change, "o0", 1), partial(grouped.change, "o1", 1), partial(grouped.change, "o2", 1, conditions=stale)
    )

    assert ["unsure", "made", "unsure"] == list(map(told, outcomes))


def definition(grouped: Grouped, name: str, holds: str) -> Callable[[], Any]:
    """A change of a definition that takes a word."""
    resource = Resource("default", Kind.DEFINITION, name)
    return lambda: grouped.store.change(Change(resource, "label", Verb.SET, ACTOR, {"key": holds}, holds=holds))


@pytest.mark.parametrize("kind", [None, Creation], ids=["updates", "creations"])
def test_a_word_that_is_taken_is_told_to_its_caller_alone(grouped: Grouped, kind: type[Creation] | None) -> None:
    """The unique index is against one member of the bulk: `DuplicateKeyError` for it, the others are made."""
    definition(grouped, "holder", "taken")()
    names = [f"new-{number}" for number in range(3)]
    if kind is None:
        for name in names:
            definition(grouped, name, name)()
    words = ["a", "taken", "c"]
    calls = [definition(grouped, name, word) for name, word in zip(names, words, strict=True)]

    outcomes = grouped.together(*calls) if kind is None else grouped.together(*calls, kind=kind)

    assert ["made", "DuplicateKeyError", "made"] == list(map(told, outcomes))
    assert grouped.database.tags.count_documents({"holds": {"$in": ["default/a", "default/c"]}}) == 2


def test_resources_that_come_into_being_together(grouped: Grouped) -> None:
    """First tags go as one insert; of two of one resource one is told that the tag is there."""
    outcomes = grouped.together(
        *(partial(grouped.change, object_id, 1, verb=Verb.ADD) for object_id in ("n1", "n2", "n1", "n3")), kind=Creation
    )

    assert ["made", "made", "TagExists", "made"] == list(map(told, outcomes))
    assert [4] == grouped.door.bulks[:1]
    assert [1] == recorded(grouped, "n1")


def test_equal_requests_in_one_group_are_made_once(grouped: Grouped) -> None:
    """Under one idempotency key the first is made, the others are answered as it was."""
    outcomes = grouped.together(*(partial(grouped.change, "o0", 1, idempotency=Idempotency("k", "f")) for _ in range(3)))

    assert [False, True, True] == [changed.replayed for changed in outcomes]
    assert 1 == len({changed.tag.etag for changed in outcomes})
    assert [0, 1] == recorded(grouped, "o0")


def test_a_lease_is_judged_in_the_group_by_the_databases_clock(grouped: Grouped) -> None:
    """Of three holders the one whose lease has run out is late."""
    held = timedelta(seconds=60), timedelta(seconds=-1), timedelta(seconds=60)
    traces = []
    for number, length in enumerate(held):
        lease = {"until": grouped.database.now() + length, "back": 0, "attempts": 1}
        grouped.door.find_one_and_update({"_id": f"default/object/o{number}"}, {"$set": {"tags.0.lease": lease}})
        traces.append(grouped.door.find_one({"_id": f"default/object/o{number}"})["tags"][0]["traceid"])

    def finish(number: int) -> Callable[[], Any]:
        return partial(grouped.change, f"o{number}", 7, verb=Verb.UPDATE, conditions=Conditions(trace_id=traces[number]))

    outcomes = grouped.together(*map(finish, range(3)))

    assert ["made", "TraceMismatch", "made"] == list(map(told, outcomes))
    assert [7, 0, 7, 0, 0] == states(grouped)


LABELLED = Resource("default", Kind.SITE, "s1")


def label(store: TagStore, verb: Verb = Verb.SET, value: str = "x") -> Any:
    """Sets or removes a value of a site."""
    return store.change(Change(LABELLED, "label", verb, ACTOR, value, max_tags=None))


def test_since_when_a_value_is_there_is_told_without_reading_it(grouped: Grouped) -> None:
    """The answer tells the time of the first setting, also to a process that has set nothing yet, and after a removal by another."""
    first = label(grouped.store).tag.since
    again = [outcome.tag.since for outcome in grouped.together(*[partial(label, grouped.store)] * 3)]
    other = TagStore(grouped.database)
    elsewhere = label(other).tag.since
    label(other, Verb.DELETE)
    anew = label(other).tag.since
    last = label(grouped.store).tag.since

    assert [first] * 4 == [*again, elsewhere]
    assert first < anew == last
    assert [3] == grouped.door.bulks


@pytest.mark.parametrize("objects", [SMALLEST_WAVE, 2 * SMALLEST_WAVE])
def test_of_a_batch_whose_reply_is_lost_each_change_is_told_the_truth(grouped: Grouped, objects: int) -> None:
    """What a majority has is told as made, of the rest nobody knows; what comes after is not tried."""

    def lost(send: Send, operations: Sequence[Any]) -> Any:
        send(operations[:1])
        raise AutoReconnect("the reply is lost")

    grouped.door.bulk = lost
    batches = Batches(
        grouped.database, TagService(grouped.store, Definitions(grouped.database, grouped.store)), grouped.store.groups
    )
    changes = [Change(Resource("default", Kind.OBJECT, f"n{number}"), "ocr", Verb.ADD, ACTOR, 1) for number in range(objects)]
    there = [Change(Resource("default", Kind.OBJECT, f"o{number}"), "ocr", Verb.SET, ACTOR, 1) for number in range(2)]
    outcomes = batches.apply([*changes, *there])

    assert ["made", *["unsure"] * (objects - 1), "not made", "not made"] == list(map(told, outcomes))
    assert [0] * 5 == states(grouped)
    assert [1] == recorded(grouped, "n0")
