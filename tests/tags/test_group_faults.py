"""Groups in which something goes wrong: what is told is true, and no more than the ones concerned are told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from pymongo.errors import AutoReconnect, ServerSelectionTimeoutError

from dms_tags.model import Change, Conditions, Kind, Resource, Verb, now
from dms_tags.serving.mongod import Client
from dms_tags.tags.writes import Write, compose
from tests.support.groups import ACTOR, Grouped, Send, recorded, states, told

STALE = Conditions(etags=("0" * 32,))
NEVER_RAN = {"failCommands": ["update"], "closeConnection": True}
UNCONFIRMED = {"failCommands": ["update"], "writeConcernError": {"code": 64, "errmsg": "lost"}}
SENT_AGAIN = {
    "failCommands": ["update"], "writeConcernError": {"code": 91, "errmsg": "lost"}, "errorLabels": ["RetryableWriteError"],
}  # fmt: skip
NO_LOOK = {"failCommands": ["find"], "errorCode": 8000}


@contextmanager
def failing(client: Client, times: int, fault: dict[str, Any]) -> Iterator[None]:
    """While this lasts the service's next so many commands of a kind fail in a way."""
    client.admin.command("configureFailPoint", "failCommand", mode={"times": times}, data={**fault, "appName": "dms-tags"})
    try:
        yield
    finally:
        client.admin.command("configureFailPoint", "failCommand", mode="off")


def three(grouped: Grouped, **last: Any) -> list[Callable[[], Any]]:
    """Three changes of three objects."""
    return [partial(grouped.change, "o0", 1), partial(grouped.change, "o1", 1), partial(grouped.change, "o2", 1, **last)]


def under(client: Client, times: int, fault: dict[str, Any]) -> Callable[[Send, Sequence[Any]], Any]:
    """A bulk that meets so many faults."""

    def bulk(send: Send, operations: Sequence[Any]) -> Any:
        with failing(client, times, fault):
            return send(operations)

    return bulk


def test_a_command_that_never_ran_leaves_all_unsure(grouped: Grouped, mongo_client: Client) -> None:
    """The connection broke, and so it did when the driver sent it again: it may still arrive."""
    grouped.door.bulk = under(mongo_client, 2, NEVER_RAN)

    assert ["unsure"] * 3 == list(map(told, grouped.together(*three(grouped))))
    assert [0, 0, 0, 0, 0] == states(grouped)


def test_a_command_that_the_driver_sends_again_is_made_once(grouped: Grouped, mongo_client: Client) -> None:
    """Whether it had run or not: each change is in the trail once."""
    for state, fault in ((1, NEVER_RAN), (2, SENT_AGAIN)):
        grouped.door.bulk = under(mongo_client, 1, fault)
        outcomes = grouped.together(*(partial(grouped.change, f"o{number}", state) for number in range(3)))
        assert ["made"] * 3 == list(map(told, outcomes))

    assert [[0, 1, 2]] * 3 == [recorded(grouped, f"o{number}") for number in range(3)]


def test_what_was_not_confirmed_in_time_is_looked_for(grouped: Grouped, mongo_client: Client) -> None:
    """What a majority is seen to have was made; of what is not seen nobody knows, be it that its query did not match."""
    grouped.door.bulk = under(mongo_client, 1, UNCONFIRMED)

    assert ["made", "made", "unsure"] == list(map(told, grouped.together(*three(grouped, conditions=STALE))))
    assert [1, 1, 0, 0, 0] == states(grouped)


def test_a_reply_that_is_lost_is_looked_for(grouped: Grouped) -> None:
    """Those of whom the look finds nothing are told that they may have been made: what is on its way may arrive."""

    def lost(send: Send, operations: Sequence[Any]) -> Any:
        send(operations[:2])
        raise AutoReconnect("the reply is lost")

    grouped.door.bulk = lost

    assert ["made", "made", "unsure"] == list(map(told, grouped.together(*three(grouped))))


def test_where_nothing_was_sent_all_are_told_so(grouped: Grouped) -> None:
    """No server answered: nothing was changed."""

    def away(_send: Send, _operations: Sequence[Any]) -> Any:
        raise ServerSelectionTimeoutError("no server")

    grouped.door.bulk = away

    assert ["not made"] * 3 == list(map(told, grouped.together(*three(grouped))))


def test_a_look_that_fails_leaves_all_unsure(grouped: Grouped, mongo_client: Client) -> None:
    """MongoDB made two of three and then does not tell which."""

    def bulk(send: Send, operations: Sequence[Any]) -> Any:
        made = send(operations)
        fault = {**NO_LOOK, "appName": "dms-tags"}
        mongo_client.admin.command("configureFailPoint", "failCommand", mode={"times": 1}, data=fault)
        return made

    grouped.door.bulk = bulk
    outcomes = grouped.together(*three(grouped, conditions=STALE))
    mongo_client.admin.command("configureFailPoint", "failCommand", mode="off")

    assert ["unsure"] * 3 == list(map(told, outcomes))


def test_one_groups_failure_is_not_anothers(grouped: Grouped, mongo_client: Client) -> None:
    """Whoever gathers behind a group that fails is made."""
    grouped.door.bulk = under(mongo_client, 2, NEVER_RAN)
    outcomes = grouped.together(*three(grouped))
    behind = grouped.together(*three(grouped))

    assert (["unsure"] * 3, ["made"] * 3) == (list(map(told, outcomes)), list(map(told, behind)))


def written(object_id: str, state: Any) -> Write:
    """The write of a change of an object."""
    change = Change(Resource("default", Kind.OBJECT, object_id), "ocr", Verb.UPDATE, ACTOR, state)
    return compose(change, Verb.UPDATE, now())


def test_a_member_that_mongodb_refuses_hinders_no_other(grouped: Grouped) -> None:
    """It is told so as it would be alone."""
    wrong = written("o1", 1)
    wrong = replace(wrong, update={**wrong.update, "$unset": {"lastAt": ""}})
    alone = grouped.store.groups.together([wrong])
    outcomes = grouped.store.groups.together([written("o0", 1), wrong, written("o2", 1)])

    assert [True, True] == [outcomes[0], outcomes[2]]
    assert [("unsure", str(alone[0]))] == [(told(outcomes[1]), str(outcomes[1]))]
    assert [1, 0, 1, 0, 0] == states(grouped)


def test_a_member_that_cannot_be_sent_hinders_no_other(grouped: Grouped) -> None:
    """A state that BSON does not know is its own caller's fault, as it would be alone."""
    calls = [partial(grouped.change, f"o{number}", 2**70 if number == 2 else 1) for number in range(5)]

    assert ["made", "made", "OverflowError", "made", "made"] == list(map(told, grouped.together(*calls)))
    assert [[0, 1], [0, 1], [0], [0, 1], [0, 1]] == [recorded(grouped, f"o{number}") for number in range(5)]
