"""Objects as anybody would write them down who has one thread and no database: what the service must agree with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from hypothesis import strategies as st

NAMES: Final = ("a", "b", "a:resistant", "resistant")
OBJECTS: Final = ("one", "two", "three")
TRACES: Final = ("a1", "00a1", "b2")

Tag = tuple[int, str]
"""State and trace id."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call: `verb` of up to three objects, with the same rows for each.

    `locked`: under traceIdMustMatch.  `listed`: If-Match lists the ETags of the tags that have these names, as far as the objects
    have them, else one of nobody; None: there is no If-Match.
    """

    verb: str
    objects: tuple[str, ...]
    rows: tuple[tuple[str, int], ...] = ()
    trace: str = TRACES[0]
    locked: bool = False
    listed: tuple[str, ...] | None = None


_rows = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2), max_size=3).map(lambda rows: tuple(rows.items()))
_some = st.lists(st.sampled_from(OBJECTS), min_size=1, max_size=3, unique=True).map(tuple)
_one = st.sampled_from(OBJECTS).map(lambda name: (name,))
_trace = st.sampled_from(TRACES)
_listed = st.none() | st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True).map(tuple)
_row = st.tuples(st.sampled_from(NAMES), st.integers(0, 2)).map(lambda row: (row,))

CALLS: Final = st.one_of(
    st.builds(Call, st.just("make"), _some, _rows, _trace),
    st.builds(Call, st.just("patch"), _some, _rows, _trace, st.booleans(), _listed),
    st.builds(Call, st.just("replace"), _one, _rows, _trace, st.booleans(), _listed),
    st.builds(Call, st.sampled_from(["version", "delete"]), _one, st.just(()), _trace, st.booleans(), _listed),
    st.builds(Call, st.sampled_from(["add", "update", "remove"]), _one, _row, _trace),
)


@dataclass(slots=True)
class Naive:
    """All objects, each its tags in the order in which they were added; and the trail, of each object by name what happened."""

    objects: dict[str, dict[str, Tag]] = field(default_factory=dict)
    trail: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def make(self, call: Call) -> int:
        """Makes the call, or not; the status of its answer."""
        if call.verb in ("add", "update", "remove"):
            return self._single(call)
        for name in call.objects:
            status = self._refuses(call, name)
            if status is not None:
                return status
        everything = [self.objects.get(name, {}) for name in call.objects]
        if call.listed is not None and not all(any(tag in tags for tags in everything) for tag in call.listed):
            return 412
        if call.verb == "make" and any(tags.get(tag, (state,))[0] != state for tags in everything for tag, state in call.rows):
            return 409
        for name in call.objects:
            self._change(call, name)
        return 200

    def _goes(self, call: Call, name: str) -> list[str]:
        if call.verb not in ("replace", "version", "delete"):
            return []
        named = [tag for tag, _ in call.rows]
        tags = [tag for tag in self.objects.get(name, {}) if tag not in named]
        return tags if call.verb == "delete" else [tag for tag in tags if not tag.endswith(":resistant")]

    def _refuses(self, call: Call, name: str) -> int | None:
        tags = self.objects.get(name)
        if tags is None and call.verb != "make" and not call.rows:
            return 404
        touched = [*self._goes(call, name), *(tag for tag, _ in call.rows)]
        owners = [None if tags is None or tag not in tags else tags[tag][1].lstrip("0") for tag in touched]
        return 412 if call.locked and any(owner != call.trace.lstrip("0") for owner in owners) else None

    def _change(self, call: Call, name: str) -> None:
        tags = self.objects.setdefault(name, {})
        trail = self.trail.setdefault(name, [])
        for tag in self._goes(call, name):
            del tags[tag]
            trail.append(("removed", tag))
        for tag, state in call.rows:
            before = tags.get(tag)
            if before is None or before[0] != state:
                tags[tag] = (state, call.trace if before is None or not call.locked else before[1])
                trail.append(("added" if before is None else "updated", tag))

    def _single(self, call: Call) -> int:
        ((tag, state),), (name,) = call.rows, call.objects
        there = tag in self.objects.get(name, {})
        if call.verb == "add" and there:
            return 409
        if call.verb != "add" and not there:
            return 404
        tags = self.objects.setdefault(name, {})
        if call.verb == "remove":
            del tags[tag]
        else:
            tags[tag] = (state, call.trace)
        done = {"add": "added", "update": "updated", "remove": "removed"}[call.verb]
        self.trail.setdefault(name, []).append((done, tag))
        return 200


def standing(naive: Naive, name: str) -> list[tuple[str, int, str]]:
    """The tags of an object, in order, with state and trace id."""
    return [(tag, state, trace) for tag, (state, trace) in naive.objects.get(name, {}).items()]


def sequences(most: int) -> st.SearchStrategy[Sequence[Call]]:
    """Sequences of calls."""
    return st.lists(CALLS, min_size=1, max_size=most)
