"""What stands beside the leaves: a line is parted into its leaf and the rest, and names and reasons are held against it."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from dms_tags.audit.log.tiles import WIDTH
from dms_tags.audit.trail.commitments import KEY_BYTES, actor_id, commitment
from dms_tags.audit.trail.entry import canonical, leaf_of
from dms_tags.audit.verify.examiner import MALFORMED, Broken
from dms_tags.audit.verify.report import Report
from dms_tags.model import Action

SPELLING: Final = "is not spelt in canonical JSON"
REMEMBERED: Final = 10_000

ERASABLE: Final = frozenset({"createdBy", "reason"})

_PARTED: Final = ("actorKey", "createdBy", "erased", "reason", "reasonKey")
"""What a line of schema 2 has besides its leaf, in canonical order: none is its first member, and none its last."""


def part(line: bytes) -> tuple[dict[str, Any], bytes]:
    """The members of a line of an export without its end, and its leaf.  Raises `Broken` where it is no entry.

    The leaf is the line less what stands beside: so whatever else is in the line is under the leaf's hash, one way or another.
    """
    try:
        entry: dict[str, Any] = json.loads(line.decode())
        if entry["schema"] == 1:
            return entry, line
        if isinstance(entry["previousState"], dict):
            # a state that is a document may have members of these names, so what stands where is not told by looking for it
            if canonical(entry) != line:
                raise Broken(SPELLING)
            return entry, leaf_of(entry)
        key, name, erased, reason, reason_key = (entry[member] for member in _PARTED)
        if erased is None and reason is None and reason_key is None and type(key) is type(name) is str:
            beside = _spelt_actor(key, name)
        else:
            beside = tuple(_spelt(member, entry[member]) for member in _PARTED)
        leaf = line
        for spelt in beside:
            shorter = leaf.replace(spelt, b"", 1)
            if len(shorter) == len(leaf):
                raise Broken(SPELLING)
            leaf = shorter
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Broken(MALFORMED) from error
    return entry, leaf


@lru_cache(REMEMBERED)
def _spelt_actor(key: str, name: str) -> tuple[bytes, ...]:
    """What stands beside the leaf of an entry without a reason of which nothing was erased: nearly all are such."""
    return tuple(map(_spelt, _PARTED, (key, name, None, None, None)))


@lru_cache(REMEMBERED)
def _spelt_text(name: str, value: str | None) -> bytes:
    return canonical({name: value})[1:-1] + b","


def _spelt(name: str, value: Any) -> bytes:
    """The member of an object that is not its last, in canonical JSON."""
    if value is None or type(value) is str:
        return _spelt_text(name, value)
    return canonical({name: value})[1:-1] + b","


class Openings:
    """Holds the names and reasons of entries against their commitments; `erased` counts what was erased, by member."""

    def __init__(self) -> None:
        self.erased: Counter[str] = Counter()
        self.faults: list[tuple[int, str]] = []
        self._nameless: set[str] = set()
        self._ordered: set[str] = set()
        self._good: set[tuple[Any, Any, Any]] = set()

    def wrong(self, entry: Mapping[str, Any]) -> str | None:
        """What of an exported entry is not what was committed to; None: all is."""
        try:
            if entry["schema"] == 1:
                return None
            erased = entry["erased"]
            opened = (entry["actorKey"], entry["createdBy"], entry["actorCommitment"])
            without_reason = entry["reason"] is None and entry["reasonCommitment"] is None and entry["reasonKey"] is None
            if erased is None and without_reason and opened in self._good:
                return None
            if erased is not None and (type(erased) is not list or not erased or not ERASABLE.issuperset(erased)):
                return "tells of something else than its name or reason that it was erased"
            wrong = self._member(entry, "createdBy", "actorCommitment", "actorKey")
            if wrong is None and opened[1] is not None and len(self._good) < REMEMBERED:
                self._good.add(opened)
            return wrong or self._member(entry, "reason", "reasonCommitment", "reasonKey")
        except (KeyError, TypeError):
            return MALFORMED

    def take(self, entry: Mapping[str, Any]) -> None:
        """Takes the next entry; only orders to erase an actor matter."""
        if entry["action"] == Action.ACTOR_ERASED:
            self._ordered.add(entry["objectId"])

    def judge(self, report: Report, ordered: Callable[[str], bool]) -> None:
        """Tells whether each actor whose name is gone was erased by an order that stands in the log.

        `ordered` tells of an order that has come since the verification began, by the id of its resource.
        """
        missing = {actor_id(committed) for committed in self._nameless} - self._ordered
        without = sum(not ordered(actor) for actor in missing)
        if without:
            report.found(None, f"the names of {without} actors were taken away, and no order to erase them stands in the log")

    def remarks(self) -> list[str]:
        """What is to be said of it in the end."""
        names = {"createdBy": "the actor's name", "reason": "the reason"}
        return [
            f"of {count} entries {names[member]} was erased; their commitments hold"
            for member, count in sorted(self.erased.items())
        ]

    def leaves(self, entries: Iterable[Mapping[str, Any]]) -> dict[int, list[bytes]]:
        """The leaves of exported entries, by the number of the tile that each says it stands in; `faults` are added to.

        What is no entry has an empty leaf.
        """
        by_tile: dict[int, list[bytes]] = {}
        for entry in entries:
            try:
                leaf = leaf_of(entry)
                wrong = self.wrong(entry)
            except (TypeError, KeyError, ValueError):
                leaf, wrong = b"", None  # a member was taken away or is of another kind
            # by their own account of where they stand: what is missing or doubled must not move the others to another tile
            by_tile.setdefault((entry["position"] - 1) // WIDTH, []).append(leaf)
            if wrong is not None:
                self.faults.append((entry["position"], wrong))
        return by_tile

    def _member(self, entry: Mapping[str, Any], member: str, committed: str, keyed: str) -> str | None:
        text, promised, key = entry[member], entry[committed], entry[keyed]
        if text is None:
            if key is not None:
                return f"has a {keyed} and no {member}"
            if member in (entry["erased"] or ()):
                self.erased[member] += 1
                if member == "createdBy" and isinstance(promised, str):
                    self._nameless.add(promised)
                return None if promised is not None else f"had no {member} that could be erased"
            return None if promised is None else f"its {member} was taken away, and nothing says that it was erased"
        if member in (entry["erased"] or ()):
            return f"has a {member} that it tells was erased"
        if type(text) is not str or type(key) is not str or type(promised) is not str:
            return f"its {member} cannot be held against the log: {keyed} or {committed} was taken away"
        if _commitment(key, text) != promised:
            return f"its {member} is not the one that was committed to when it was written"
        return None


def _commitment(key: str, text: str) -> str | None:
    try:
        spelt = b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return None
    return commitment(spelt, text) if len(spelt) == KEY_BYTES else None
