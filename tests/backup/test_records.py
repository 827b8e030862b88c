"""Entries in a backup: whatever members they have, what comes back is what was there."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson.int64 import Int64
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dms_tags.audit.trail.entry import canonical, flat
from dms_tags.backup import records
from tests.support.trails import entries

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.binary() | st.integers(-9, 9).map(Int64),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc.$", min_size=1), inner),
    max_leaves=6,
)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(more=st.dictionaries(st.text("xyz_", min_size=1), VALUES), left_out=st.sets(st.sampled_from(["reason", "key"])))
def test_an_entry_comes_back_as_it_was(more: dict[str, Any], left_out: set[str]) -> None:
    """Members that this version knows nothing of, of any kind, come back; what only the line has does not."""
    (entry,) = entries(1)
    entry |= more
    spelt = {name: value for name, value in flat(entry).items() if _is_json(value)}
    line = canonical(spelt | dict.fromkeys(left_out - entry.keys(), "told")) + b"\n"

    back = records.entry_of(line, records.beside(entry, line))

    assert repr(sorted(entry.items())) == repr(sorted(back.items()))


def test_what_the_line_tells_is_not_kept_twice() -> None:
    """Beside the line stand the id of an entry of schema 1, and the key of a reason: what the line does not tell, or not so."""
    for entry in entries(50):
        expected = {name: entry[name] for name in (("_id",) if entry["schema"] == 1 else ("reasonKey",)) if name in entry}
        assert expected == records.beside(entry, canonical(flat(entry)) + b"\n")


def test_a_file_that_is_cut_off_is_no_shorter_one(tmp_path: Path) -> None:
    """Documents come back with their kinds and times; a file that ends within one is refused."""
    documents = [{"_id": number, "at": datetime(2026, 1, 1, tzinfo=UTC), "hash": b"\0" * number} for number in range(3)]
    file = tmp_path / "some.bson"
    with file.open("wb") as stream:
        assert 3 == records.write(stream, documents)
    assert documents == list(records.read(file))

    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="cut off"):
        list(itertools.islice(records.read(file), 3))


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    return all(map(_is_json, value)) if isinstance(value, list) else not isinstance(value, bytes)
