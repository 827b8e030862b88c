"""Names and reasons that were erased by the time of a backup: sets from before still have them, and a restore does not bring them back.

What was ordered is in the trail itself: of an actor by its commitment, of a reason by its position (`dms_tags.audit.erasure`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from dms_tags.audit.export.manifest import Manifest, entries_of
from dms_tags.audit.trail.commitments import actor_id
from dms_tags.audit.trail.entry import Entry
from dms_tags.backup.folder import Set, trail_file
from dms_tags.model import Action, Kind

_ORDERED = Action.ACTOR_ERASED.name.encode()


@dataclass(frozen=True, slots=True)
class Erasures:
    """The orders of one tenant: the ids of the actors, and the positions of the entries whose reasons are erased."""

    actors: set[str] = field(default_factory=set)
    reasons: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, sets: Sequence[Set], tenant: str) -> Erasures:
        """Those that any of the sets tells of.  Raises `ValueError` for a line that is none."""
        erasures = cls()
        for kept in sets:
            part = kept.trails.get(tenant)
            if part is None or part.last <= part.after:
                continue
            file = kept.folder / trail_file(tenant)
            for line in entries_of(file, Manifest.read(file).begin):
                if _ORDERED in line:
                    erasures._take(json.loads(line))
        return erasures

    def _take(self, entry: Entry) -> None:
        if entry["action"] != Action.ACTOR_ERASED:
            return
        if entry["resource"].startswith(f"{Kind.ACTOR}/"):
            self.actors.add(entry["objectId"])
        else:
            self.reasons.add(entry["state"]["position"])

    def carry_out(self, entry: Entry) -> None:
        """Takes from an entry what was erased of it."""
        committed = entry.get("actorCommitment")
        gone = {
            *({"createdBy"} if committed is not None and actor_id(committed) in self.actors else ()),
            *({"reason"} if entry["position"] in self.reasons and entry.get("reasonCommitment") is not None else ()),
        }
        if gone:
            entry.update(dict.fromkeys(gone), erased=sorted({*(entry["erased"] or ()), *gone}))
        if "reason" in gone:
            entry.pop("reasonKey", None)
