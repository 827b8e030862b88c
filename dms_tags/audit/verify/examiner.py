"""Looking at entries in order of position: are they dense, does each resource's history add up, does time run forwards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dms_tags.audit.verify.replay import Replayed, apply
from dms_tags.audit.verify.seals import Seals
from dms_tags.model import Action

MALFORMED = "is no entry of an audit trail"


class Broken(Exception):
    """The run of entries ends here: what follows cannot be told apart any more; the text says what is wrong."""


class Examiner:
    """Takes the entries of one tenant's trail, from the one behind position `after` on, each with its canonical JSON.

    Where `after` is not 0 and `standings` does not tell how resources stood there, it is learnt from what the entries say of it,
    and `seals` recomputes none of those that it meets.
    """

    def __init__(self, after: int = 0, tenant: str | None = None, standings: dict[str, Replayed] | None = None) -> None:
        self.position = after
        self.fault: tuple[int, str] | None = None
        self.tenant = tenant
        self.standings: dict[str, Replayed] = {} if standings is None else standings
        self._whole = after == 0 or standings is not None
        self.seals = Seals(self.standings, after, whole=self._whole)
        self._newest = ""
        self._met: set[tuple[str, str]] = set()

    def take(self, leaf: bytes, told: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """Takes the next entry, and gives it back.  Raises `Broken` where it is none, or not the next.

        `told` is the entry where the leaf was read already.
        """
        try:
            entry: Mapping[str, Any] = json.loads(leaf.decode()) if told is None else told
            position, resource, recorded = entry["position"], entry["resource"], entry["recordedAt"]
            if self.tenant is None:
                self.tenant = entry["tenant"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise Broken(MALFORMED) from error
        expected = self.position + 1
        if position != expected or type(position) is not int:
            raise Broken(_not_next(position, expected))
        if self.fault is not None:
            self.position = expected
            return entry
        try:
            wrong = self._apply(entry, resource)
            if entry["tenant"] != self.tenant:
                wrong = f"belongs to the tenant {entry['tenant']!r}, not to {self.tenant!r}"
            elif recorded < self._newest:
                wrong = f"recordedAt runs backwards, from {self._newest} to {recorded}"
            elif wrong is None and entry["action"] == Action.TRAIL_SEALED:
                wrong = self.seals.wrong(entry, expected)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise Broken(MALFORMED) from error
        self.position = expected
        self._newest = recorded
        if wrong is not None:
            self.fault = (expected, wrong)
        return entry

    def _apply(self, entry: Mapping[str, Any], resource: str) -> str | None:
        standing = self.standings.get(resource)
        if standing is None:
            standing = self.standings[resource] = Replayed()
            if not self._whole:
                standing.revision = entry["revision"] - 1
        if not self._whole and (resource, entry["name"]) not in self._met:
            self._met.add((resource, entry["name"]))
            if entry["previousTraceId"] is not None:
                standing.tags[entry["name"]] = {"state": entry["previousState"], "traceId": entry["previousTraceId"]}
        self.seals.moved(standing, standing.position)
        return apply(standing, entry)


def _not_next(position: object, expected: int) -> str:
    if not isinstance(position, int):
        return MALFORMED
    if position > expected:
        return f"is missing; position {position} stands here"
    return f"is missing; position {position} stands here, a second time or out of order"
