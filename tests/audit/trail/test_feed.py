"""The feed: from any position on, without gap or repeat, to each only what it asked for."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator

import pytest

from dms_tags.audit.trail import feed as feed_module
from dms_tags.audit.trail.tail import Interest
from dms_tags.errors import Gone, InvalidParameter, RateLimited
from dms_tags.store.database import Database
from tests.support.events import Recorded, Standing, Stream


@pytest.fixture
def trail() -> Recorded:
    return Recorded()


@pytest.fixture
def long_trail(database: Database) -> Recorded:
    """One on the real server, which finds a page among thousands of entries quickly."""
    return Recorded(database)


@pytest.fixture(autouse=True)
def _no_tail_left() -> Iterator[None]:
    """Every test ends its streams, and with them the reading of the trail."""
    yield
    _await_the_end_of_tails()


def _await_the_end_of_tails() -> None:
    end = time.monotonic() + 20
    while any(thread.name.startswith("feed of") for thread in threading.enumerate()):
        assert time.monotonic() < end, "a tail goes on reading without listeners"
        time.sleep(0.02)


def test_without_a_position_a_stream_begins_now(trail: Recorded) -> None:
    """What was recorded before is not told; the first block says where the stream began."""
    trail.record(3)
    with Stream(trail.feed(), None) as stream:
        assert (stream.opened.id, stream.opened.data) == ("3", "")
        trail.record()

        assert stream.positions(1) == [4]


def test_an_event_is_the_entry_as_a_cloud_event(trail: Recorded) -> None:
    """The id is the position, the event the action's name, the data a CloudEvents 1.0 document with the flat entry."""
    trail.record(name="ocr", state=7)
    with Stream(trail.feed(), 0) as stream:
        block = stream.block()

    document = json.loads(block.data)
    assert (block.id, block.event) == ("1", "OBJECT_TAG_UPDATED")
    assert (document["specversion"], document["id"], document["source"]) == ("1.0", "1", "/dms-tags/default")
    assert (document["type"], document["subject"]) == ("OBJECT_TAG_UPDATED", "object/doc")
    assert document["time"] == document["data"]["creationDate"]
    assert (document["data"]["name"], document["data"]["state"], document["data"]["position"]) == ("ocr", 7, 1)


@pytest.mark.parametrize("missed", [1, 500, 1_700])
def test_what_was_missed_comes_before_what_is_new(long_trail: Recorded, missed: int) -> None:
    """However much a client missed, it sees all of it in order and then goes on with what happens."""
    trail = long_trail
    trail.record(5 + missed)
    with Stream(trail.feed(), 5) as stream:
        assert stream.positions(missed) == list(range(6, 6 + missed))
        trail.record(2)
        assert stream.positions(2) == [6 + missed, 7 + missed]


def test_many_streams_share_one_reading(trail: Recorded) -> None:
    """One tail per tenant reads the trail, however many listen, and ends with the last of them."""
    feed = trail.feed()
    streams = [Stream(feed, 0) for _ in range(5)]
    trail.record(3)

    assert [stream.positions(3) for stream in streams] == [[1, 2, 3]] * 5
    assert [thread.name for thread in threading.enumerate()].count("feed of default") == 1
    for stream in streams:
        stream.close()


@pytest.mark.parametrize("missed", [True, False])
@pytest.mark.parametrize(
    ("interest", "expected"),
    [
        (Interest(), [1, 2, 3, 4]),
        (Interest(name="ocr"), [1, 2, 4]),
        (Interest(state=1), [1, 3, 4]),
        (Interest(object_id="a"), [1, 2, 3]),
        (Interest(name="ocr", state=1, object_id="b"), [4]),
        (Interest(prefixes=("che", "x")), [3]),
        (Interest(name="ocr", prefixes=("che",)), []),
    ],
)
def test_a_client_hears_only_what_it_asked_for(trail: Recorded, interest: Interest, expected: list[int], missed: bool) -> None:
    """Name, state and object each narrow the stream, also all at once, in what was missed and in what is new."""

    def happen() -> None:
        trail.record(resource="object/a", name="ocr", state=1)
        trail.record(resource="object/a", name="ocr", state=2)
        trail.record(resource="object/a", name="check", state=1)
        trail.record(resource="object/b", name="ocr", state=1)

    feed = trail.feed(keep_alive=0.1)
    if missed:
        happen()
    with Stream(feed, 0, interest) as stream:
        if not missed:
            stream.block()  # a sign of life: from here on the tail tells it
            happen()
        seen = []
        while (block := stream.block()).id != "4" or block.data:
            if block.data:
                seen.append(int(block.id or 0))

    assert seen == expected


def test_new_events_reach_only_those_who_asked(trail: Recorded) -> None:
    """A client that waits for something else is told nothing but how far the trail is."""
    feed = trail.feed(keep_alive=0.2)
    with Stream(feed, None, Interest(name="never")) as other, Stream(feed, None, Interest(name="ocr", state=5)) as stream:
        trail.record(40)
        last = trail.record(state=5)

        assert stream.positions(1) == [last]
        block = other.block()
        while block.id != str(last):
            block = other.block()
        assert block.data == ""


@pytest.mark.parametrize("missed", [True, False])
def test_tags_of_all_three_apis_are_told(trail: Recorded, missed: bool) -> None:
    """Values of sites and tags of chains are told like tags of objects; asked for by object id or state, only objects are."""

    def happen() -> None:
        trail.record(resource="site/1", name="tag_01E8Z4Q6J7B6A5P4E3D2C1B0A9", state="APAC")
        trail.record(resource="chain-tag/1", name="tag", state={"value": "x", "active": True, "deleted": False})
        trail.record(resource="object/1", name="ocr", state=1)

    feed = trail.feed(keep_alive=0.1)
    if missed:
        happen()
    with Stream(feed, 0) as every, Stream(feed, 0, Interest(object_id="1")) as one, Stream(feed, 0, Interest(state=1)) as state:
        if not missed:
            for stream in (every, one, state):
                stream.block()
            happen()

        assert [1, 2, 3] == every.positions(3)
        assert [3] == one.positions(1)
        assert [3] == state.positions(1)


def test_what_happens_to_other_things_is_no_event(trail: Recorded) -> None:
    """Tokens, definitions and chains are administration: only an auditor reads of them."""
    trail.record(resource="token/worker", name="token", state={"allow": ["read"]})
    trail.record(resource="definition/ocr", name="definition", state={})
    trail.record()
    feed = trail.feed()
    with Stream(feed, 0) as stream:
        assert stream.positions(1) == [3]
        trail.record(resource="token/worker", name="token", state={"allow": []})
        trail.record()
        assert stream.positions(1) == [5]


def test_another_tenants_events_are_not_told(trail: Recorded) -> None:
    """A stream is of one tenant."""
    with Stream(trail.feed(), 0) as stream:
        trail.record(tenant="other")
        trail.record()

        assert stream.positions(1) == [2]


def test_a_filtered_client_is_told_the_position_it_missed_up_to(long_trail: Recorded) -> None:
    """Catching up over things of no interest moves the client on, so that it never has to do so again."""
    long_trail.record(1_200)
    with Stream(long_trail.feed(), 0, Interest(name="never")) as stream:
        block = stream.block()
        while block.id != "1200":
            block = stream.block()

        assert block.data == ""


def test_an_idle_stream_is_kept_alive(trail: Recorded) -> None:
    """A sign of life comes again and again, with the position reached and no data."""
    trail.record(2)
    with Stream(trail.feed(keep_alive=0.1), None) as stream:
        assert [(block.id, block.data) for block in (stream.block(), stream.block())] == [("2", "")] * 2


@pytest.mark.thorough
def test_a_slow_client_is_cut_off_and_told_so(trail: Recorded) -> None:
    """What was queued still comes, then a last event that says why; the position in it is the one to resume from."""
    feed = trail.feed(bound=10)
    with Stream(feed, 0) as slow, Stream(feed, 0) as quick:
        trail.record()
        assert quick.positions(1) == slow.positions(1) == [1]
        for _ in range(12):
            trail.record()
            quick.positions(1)
        *events, end = slow.rest()

        assert [int(json.loads(block.data)["data"]["position"]) for block in events] == list(range(2, 12))
        assert end.event == "cut-off"
        assert end.id == "11"
        assert "connect again" in json.loads(end.data)["detail"]


def test_a_stream_ends_when_its_identity_does(trail: Recorded) -> None:
    """A revoked token does not go on listening through a stream that it opened before."""
    revoked: list[bool] = []
    feed = trail.feed()
    with Stream(feed, None, permit=Standing((revoked,))) as stream, Stream(feed, None) as other:
        revoked.append(True)
        (end,) = stream.rest()

        assert end.event == "revoked"
        trail.record()
        assert other.positions(1) == [1]


def test_a_closing_service_ends_its_streams(trail: Recorded) -> None:
    """The last event says that the client should come back."""
    feed = trail.feed()
    with Stream(feed, 0) as stream:
        trail.record()
        stream.positions(1)
        feed.close()

        assert [block.event for block in stream.rest()] == ["closing"]
    with Stream(feed, 0) as again:
        assert again.positions(1) == [1]


def test_what_was_archived_is_gone(trail: Recorded) -> None:
    """A position before the trail's beginning is refused with the oldest one; the one just before it is served."""
    trail.record(10)
    trail.archive(6)
    feed = trail.feed()
    with pytest.raises(Gone) as caught:
        feed.start("default", 5)

    assert caught.value.first == 7
    with Stream(feed, 6) as stream:
        assert stream.positions(4) == [7, 8, 9, 10]


def test_a_stream_that_is_overtaken_by_archiving_says_so(long_trail: Recorded) -> None:
    """A client that reads so slowly that what it has not seen is archived learns that it missed something."""
    long_trail.record(1_500)
    with Stream(long_trail.feed(), 0) as stream:
        assert stream.positions(500) == list(range(1, 501))
        long_trail.archive(1_200)

        assert [block.event for block in stream.rest() if block.data] == ["gone"]


def test_a_position_beyond_the_trail_is_refused(trail: Recorded) -> None:
    """After a restore a client would otherwise miss, in silence, all up to where it was."""
    trail.record(3)
    with pytest.raises(InvalidParameter, match="reaches to 3"):
        trail.feed().start("default", 4)


@pytest.mark.thorough
def test_clients_that_come_and_go_see_every_event_once(long_trail: Recorded) -> None:
    """Twelve clients disconnect at random while the trail grows; none misses or repeats anything."""
    total, feed = 1_500, long_trail.feed()
    seen: list[list[int]] = [[] for _ in range(12)]
    chance = random.Random(6)

    def follow(mine: list[int], stays: list[int]) -> None:
        while len(mine) < total:
            with Stream(feed, mine[-1] if mine else 0) as stream:
                mine.extend(stream.positions(min(stays.pop() if stays else total, total - len(mine))))

    clients = [
        threading.Thread(target=follow, args=(mine, [chance.randint(1, 80) for _ in range(20)]), daemon=True) for mine in seen
    ]
    for client in clients:
        client.start()
    while long_trail.head < total:
        long_trail.record(min(chance.randint(1, 40), total - long_trail.head))
    for client in clients:
        client.join(60)

    assert seen == [list(range(1, total + 1))] * 12


def test_tenants_that_nobody_listens_to_are_forgotten(trail: Recorded) -> None:
    """What a process keeps of a tenant's streams goes with the last of them: callers can invent tenants."""
    feed = trail.feed()
    for number in range(5):
        trail.record(tenant=f"t{number}")
        with Stream(feed, 0, tenant=f"t{number}") as stream:
            stream.positions(1)
        _await_the_end_of_tails()

    assert ["t4"] == list(feed._tails)  # noqa: SLF001 - what is kept shows nowhere else


def test_one_holder_has_a_bounded_number_of_streams(trail: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has as many streams as one may is told to end one first; then there is room again."""
    monkeypatch.setattr(feed_module, "STREAMS", 2)
    feed = trail.feed()
    trail.record()
    with Stream(feed, 0), Stream(feed, 0), pytest.raises(RateLimited):
        feed.require_place(Standing())
    feed.require_place(Standing())
