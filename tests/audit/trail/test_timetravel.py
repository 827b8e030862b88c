"""Looking back: at any instant the trail tells what stood."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from dms_tags.audit.trail.relay import Relay
from dms_tags.audit.trail.timetravel import Past
from dms_tags.model import Actor, Change, Kind, Resource, Tag, Verb
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.support.trails import BEGIN, fill

ACTOR = Actor("anna", "token")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ocr", "index", "a"]),
        st.integers(0, 3),
        st.sampled_from([Verb.SET, Verb.SET, Verb.DELETE]),
        st.integers(0, 2),
    ),
    max_size=25,
)


@given(STEPS)
@settings(max_examples=25, deadline=None)
def test_at_any_instant(steps: list[tuple[str, int, Verb, int]]) -> None:
    """At any instant the rows are those that were there when it passed, in order of creation, whatever came later."""
    database = Database.connect(Settings(mongo_uri="mongomock://"))
    database.prepare()
    moment = [BEGIN]
    store = TagStore(database, clock=lambda: moment[0])
    resource = Resource("default", Kind.OBJECT, "8f2c")
    stood: dict[datetime, list[Tag]] = {BEGIN - timedelta(seconds=1): []}
    for name, state, verb, milliseconds in steps:
        if verb is Verb.DELETE and name not in {tag.name for tag in store.read(resource)}:
            continue
        moment[0] += timedelta(milliseconds=milliseconds)
        store.change(Change(resource, name, verb, ACTOR, state=state))
        stood[moment[0]] = store.read(resource)
        if state == 0:
            Relay(database).run_once()
    while Relay(database).run_once():
        pass

    past = Past(database)
    for at, tags in stood.items():
        later = min((other for other in stood if other > at), default=at + timedelta(days=1))
        for instant in (at, later - timedelta(microseconds=1)):
            assert tags == past.tags_at(resource, instant)


def test_many_changes_few_reads(database: Database) -> None:
    """Looking back on a real MongoDB reads a number of entries that goes with the tags, not with the changes."""
    made = fill(database, 2000, objects=1)
    past = Past(database)
    for position in (1, 2, 777, 1999, 2000):
        standing: dict[str, tuple[int, str]] = {}
        for entry in made[:position]:
            standing.pop(entry["name"], None)
            if entry["action"] != 210:
                standing[entry["name"]] = (entry["state"], entry["traceId"])
        tags = past.tags_at(Resource("default", Kind.OBJECT, "0"), BEGIN + timedelta(seconds=position + 0.5))

        assert standing == {tag.name: (tag.state, tag.trace_id) for tag in tags}
