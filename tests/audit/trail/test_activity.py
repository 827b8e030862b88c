"""What was recorded in each span of time, told by positions."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dms_tags.audit.trail.activity import Activities
from dms_tags.audit.trail.trail import Trail
from dms_tags.store.database import Database
from tests.support.trails import BEGIN, fill


@pytest.mark.parametrize("cut", [0, 37])
def test_spans(memory: Database, cut: int) -> None:
    """Each span has the entries recorded in it, whatever times are asked for; what was archived counts as none."""
    made = fill(memory, 300)[cut:]
    memory.trail.delete_many({"position": {"$lte": cut}})
    memory.collection("trail_heads").insert_one({"_id": "default", "cut": cut, "recordedAt": BEGIN})
    activities = Activities(Trail(memory))
    for seconds in ([0, 150], [1, 2, 3, 40, 299, 300, 301], [-5, -4], [5000, 6000], [36, 37, 38, 39]):
        moments = [BEGIN + timedelta(seconds=second) for second in seconds]
        ends = [*moments[1:], BEGIN + timedelta(days=9)]
        expected = [sum(begin <= entry["recordedAt"] < end for entry in made) for begin, end in zip(moments, ends, strict=True)]
        counted = activities.between("default", moments)

        assert expected == list(counted.spans), seconds
        assert sum(expected) == counted.total == sum(counted.by_action.values())


def test_nothing(memory: Database) -> None:
    """A tenant without a trail has recorded nothing."""
    assert (0, 0) == Activities(Trail(memory)).between("nobody", [BEGIN, BEGIN + timedelta(hours=1)]).spans
