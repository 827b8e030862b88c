"""Is a history whole?  What an export has of its resources is held against the lines of a seal, which the log proves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dms_tags.audit.export.manifest import Manifest, hashes_of
from dms_tags.audit.log import merkle
from dms_tags.audit.log.checkpoint import Checkpoint
from dms_tags.audit.log.seal import Proven, Seal, Standing
from dms_tags.audit.trail.entry import canonical
from dms_tags.audit.verify.examiner import MALFORMED
from dms_tags.audit.verify.report import Report
from dms_tags.errors import Unproven
from dms_tags.model import Action

ALTERED: Final = "the manifest was altered: what it tells of a seal"


@dataclass(slots=True)
class _History:
    """What the export has of a resource: its first entry, the revision of the newest so far, the last entry that the seal covers."""

    first: int
    first_position: int
    newest: int = 0
    revision: int = 0
    position: int = 0


class Histories:
    """The histories in an export whose manifest tells of a seal; nothing is told of others.

    Raises `Unproven` where what the manifest tells of the seal does not hold by itself.
    """

    def __init__(self, manifest: Manifest, checkpoint: Checkpoint | None) -> None:
        self._manifest = manifest
        self._seal: Seal | None = None
        self._at = 0
        self._lines: list[Proven] = []
        self._histories: dict[str, _History] = {}
        self._named = {name: value for name, value in manifest.filters.items() if name in ("objectId", "resource")}
        told = manifest.seal
        if told is None or checkpoint is None or not manifest.intact or not manifest.of_histories:
            return
        try:
            if "untold" not in told:
                self._open(told, checkpoint)
        except (KeyError, TypeError, ValueError) as error:
            raise Unproven(f"{ALTERED} is malformed") from error

    def _open(self, told: Mapping[str, Any], checkpoint: Checkpoint) -> None:
        entry, manifest = told["entry"], self._manifest
        at = self._at = _count(entry["position"])
        try:
            merkle.verify_inclusion(
                merkle.leaf_hash(canonical(entry)), at - 1, checkpoint.size, hashes_of(told["proof"]), checkpoint.root
            )
        except Unproven as error:
            raise Unproven(f"{ALTERED} is not in the log: {error}") from error
        seal = Seal.read(entry["state"])
        of = (manifest.tenant, f"trail/{manifest.tenant}", Action.TRAIL_SEALED)
        if seal is None or (entry["tenant"], entry["resource"], entry["action"]) != of or seal.up_to >= at:
            raise Unproven(f"{ALTERED} is of an entry that is no seal of this trail")
        until, before = manifest.filters.get("to"), manifest.filters.get("before")
        if at > manifest.head or (before is not None and at >= before) or (until is not None and entry["recordedAt"] >= until):
            raise Unproven(f"{ALTERED} lies behind the end of the export")
        self._lines = [_line(line) for line in told["lines"]]
        for standing, index, proof in self._lines:
            try:
                merkle.verify_inclusion(merkle.leaf_hash(standing.line), index, seal.size, proof, seal.root)
            except Unproven as error:
                raise Unproven(f"{ALTERED} is not in the seal, of {standing.resource}: {error}") from error
        self._seal = seal

    def gap(self, entry: Mapping[str, Any]) -> str | None:
        """Takes the next entry; what of its history was left out before it, as far as the others tell."""
        if self._seal is None:
            return None
        revision, position = entry["revision"], entry["position"]
        if not isinstance(entry["resource"], str):
            return MALFORMED
        history = self._histories.get(entry["resource"])
        if history is None:
            history = self._histories[entry["resource"]] = _History(revision, position)
        elif revision != history.newest + 1:
            return f"has revision {revision} after {history.newest}: entries between were left out"
        history.newest = revision
        if position <= self._seal.up_to:
            history.revision, history.position = revision, position
        return None

    def judge(self, report: Report) -> None:
        """Adds what the seal contradicts, at the position where it does."""
        if self._seal is not None:
            for resource in self._resources():
                wrong = self._wrong(resource, self._seal)
                if wrong is not None:
                    report.found(*wrong)

    def tell(self, report: Report) -> None:
        """Tells what the seal shows, where nothing contradicts it."""
        told = self._manifest.seal
        if told is not None and self._manifest.of_histories and "untold" in told:
            report.remarks.append(f"no seal shows whether a history is whole: {told['untold']}")
        if self._seal is None:
            return
        resources = self._resources()
        whose = resources[0] if len(resources) == 1 else f"{len(resources)} resources"
        by = f"the seal at position {self._at}"
        if not report.entries:
            had = any(line.standing.resource in resources for line in self._lines)
            was = "all entries lie before those that were asked for" if had else "there were no entries"
            report.remarks.append(f"by {by} {was} of {whose} up to position {self._seal.up_to}")
            return
        whole = all(self._histories[resource].first == 1 for resource in resources if resource in self._histories)
        since = "" if whole and not self._bounded else " from its first entry here on"
        report.proven.append(f"complete as of {by}: nothing of {whose} is missing{since} up to position {self._seal.up_to}")

    @property
    def _bounded(self) -> bool:
        """Whether what was asked for, or what was held, need not begin with the first entry."""
        filters = self._manifest.filters
        return "after" in filters or "from" in filters or (self._manifest.oldest or 1) > 1

    def _resources(self) -> list[str]:
        named = {f"object/{value}" if name == "objectId" else f"{value}" for name, value in self._named.items()}
        return sorted(named | self._histories.keys())

    def _wrong(self, resource: str, seal: Seal) -> tuple[int | None, str] | None:
        """What the seal contradicts of a history, and at which position."""
        revision, position = self._sealed(resource, seal)
        by = f"by the seal at position {self._at} {resource} had {revision} revisions up to position {seal.up_to}"
        history = self._histories.get(resource) or _History(0, 0)
        if revision < 0:
            return None, f"{ALTERED} does not say how {resource} stands in it"
        if history.revision > revision:
            return history.position, f"has revision {history.revision}: {by}"
        if history.revision == revision and position not in (0, history.position):
            return history.position, f"has revision {revision}, which {by}, the last at position {position}"
        if history.revision < revision and (history.revision or not self._before(position)):
            return position or None, f"is missing: {by}, and the last of them in the file is {history.revision or 'none'}"
        if history.first > 1 and not self._bounded:
            return history.first_position, f"has revision {history.first}: entries before it were left out"
        if history.first and not history.revision and self._from(seal.up_to) and history.first != revision + 1:
            return history.first_position, f"has revision {history.first}: {by}"
        return None

    def _sealed(self, resource: str, seal: Seal) -> tuple[int, int]:
        """Revision and position of the resource's line; (0, 0) where its neighbours show that there is none, (-1, 0): not told."""
        before, after = -1, seal.size
        for standing, index, _ in self._lines:
            if standing.resource == resource:
                return standing.revision, standing.position
            if standing.resource < resource:
                before = max(before, index)
            else:
                after = min(after, index)
        return (0, 0) if after == before + 1 else (-1, 0)

    def _before(self, position: int) -> bool:
        """Whether an entry lies before what was asked for, or before what was held."""
        after = self._manifest.filters.get("after")
        if "from" in self._manifest.filters or position < (self._manifest.oldest or 1):
            return True
        return type(after) is int and position <= after

    def _from(self, position: int) -> bool:
        """Whether all that stands behind the position was asked for, and held."""
        after = self._manifest.filters.get("after", 0)
        held = (self._manifest.oldest or 1) <= position + 1
        return "from" not in self._manifest.filters and type(after) is int and after <= position and held


def _line(told: Mapping[str, Any]) -> Proven:
    resource = told["resource"]
    if not isinstance(resource, str):
        raise TypeError("a text is missing")
    standing = Standing(resource, _count(told["revision"]), _count(told["position"]))
    return Proven(standing, _count(told["index"]), hashes_of(told["proof"]))


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise TypeError("a number is missing")
    return value
