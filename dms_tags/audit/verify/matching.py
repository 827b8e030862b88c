"""Holding the entries of an export against the filters that its manifest tells of: what it does not ask for is not in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from dms_tags.audit.export.manifest import Manifest
from dms_tags.names import same_trace

Check = Callable[[Mapping[str, Any], Any], bool]


CHECKS: Final[Mapping[str, Check]] = {
    "objectId": lambda entry, value: bool(entry["resource"] == f"object/{value}"),
    "resource": lambda entry, value: bool(entry["resource"] == value),
    "within": lambda entry, value: bool(entry["within"] == value),
    "name": lambda entry, value: bool(entry["name"] == value),
    "action": lambda entry, value: entry["action"] in value,
    "state": lambda entry, value: str(entry["state"]) == str(value),
    "traceId": lambda entry, value: same_trace(str(entry["traceId"]), str(value)),
    "createdBy": lambda entry, value: bool(entry["createdBy"] == value),
    "from": lambda entry, value: bool(entry["recordedAt"] >= value),
    "to": lambda entry, value: bool(entry["recordedAt"] < value),
    "after": lambda entry, value: bool(entry["position"] > value),
    "before": lambda entry, value: bool(entry["position"] < value),
}


class Matching:
    """The filters of a manifest.  `unknown` names those that say nothing, since no service ever wrote them."""

    def __init__(self, filters: Mapping[str, Any]) -> None:
        self.unknown = sorted(filters.keys() - CHECKS.keys())
        self._checks = [(name, CHECKS[name], value) for name, value in filters.items() if name in CHECKS]

    def wrong(self, entry: Mapping[str, Any]) -> str | None:
        """What of the filters the entry contradicts; None where it matches all."""
        for name, check, value in self._checks:
            try:
                fits = check(entry, value)
            except (TypeError, KeyError):
                fits = False
            if not fits:
                return f"does not match the filter {name}={value} that the manifest tells of"
        return None


def ends(manifest: Manifest) -> tuple[int | None, int | None]:
    """Where a run of positions must begin and end by its manifest; None where its filters leave it open."""
    after, before = manifest.filters.get("after"), manifest.filters.get("before")
    first: int | None = None
    if type(after) is int and "from" not in manifest.filters:
        first = after + 1
    elif not manifest.filters.keys() & {"after", "from"}:
        first = manifest.oldest or (1 if manifest.complete else None)
    last = None if "to" in manifest.filters else manifest.head
    if last is not None and before is not None:
        last = min(last, before - 1) if type(before) is int else None
    return first, last
