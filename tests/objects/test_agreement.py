"""Any sequence of calls on objects equals a naive model, the trail and the past included (API.md section 8)."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import HealthCheck, example, given, settings

from tests.objects.agreement import agree
from tests.objects.naive import Call, sequences
from tests.support.app import Service


@settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(sequences(12))
@example(
    [
        Call("make", ("one", "two"), (("a", 1), ("a:resistant", 1))),
        Call("patch", ("one", "two"), (("a", 2), ("b", 0)), "00a1", listed=("a",)),
        Call("version", ("one",), trace="b2"),
        Call("delete", ("one",), trace="b2"),
        Call("add", ("one",), (("a", 1),)),
        Call("patch", ("one",), (("a", 2),), "00a1", locked=True),
    ]
)
def test_any_sequence_of_calls(shared: Service, calls: Sequence[Call]) -> None:
    """Each answer's status, each object, its trail and how it stood after each call are those of the naive objects."""
    agree(shared, calls)
