"""What a manifest says of a seal: the lines in it of the resources that the export is of.  `dms_tags.audit.verify.whole` reads it.

    seal
        entry proof     the seal's entry, as its leaf has it, and its inclusion proof in the tree of the checkpoint
        lines           lines of the seal, in order, each with its resource, revision and position, its index and its inclusion
                        proof: those of the resources; of a resource that has none its two neighbours', or the one at the end
        untold          instead of all that, why no line is told

Only an export of whole histories has it: one whose filters name a resource, or what resources belong to, and no entries of them.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Collection, Sequence
from typing import Any, Final

from dms_tags.audit.log.seal import Proven, Prover, Seal, Standing
from dms_tags.audit.log.store import Log
from dms_tags.audit.trail.entry import Entry, flat, leaf_of
from dms_tags.audit.trail.standings import standings
from dms_tags.errors import Busy

MOST: Final = 1_000
"""Resources of an export whose lines its manifest tells."""

TOO_MANY: Final = f"the export is of more than {MOST} resources"
ARCHIVED: Final = "what the newest seal was made from was archived: seal again, then export again"
OTHERWISE: Final = "the newest seal is not that of the trail: `dms-tags audit verify --database` tells more"


def sealed(log: Log, tenant: str, entry: Entry, size: int, resources: Collection[str]) -> dict[str, Any]:
    """The member for the resources; `entry` is the seal's, `size` that of the checkpoint.  Raises `StoreUnavailable`."""
    seal = Seal.read(entry["state"])
    if seal is None:
        return {"untold": OTHERWISE}
    if len(resources) > MOST:
        return {"untold": TOO_MANY}

    def prove(cut: int) -> tuple[Seal, Sequence[Proven]] | str:
        if cut > seal.up_to:
            return ARCHIVED
        reached = map(Standing._make, standings(log.trail, tenant, seal.up_to, cut))
        return Prover(seal.size, resources).run(reached, seal.up_to)

    try:
        proven = log.trail.while_cut_stands(tenant, prove)
    except Busy:
        proven = ARCHIVED
    if isinstance(proven, str):
        return {"untold": proven}
    if proven[0] != seal:
        return {"untold": OTHERWISE}
    return {
        "entry": json.loads(leaf_of(flat(entry))),
        "proof": _texts(log.tree(tenant).inclusion(entry["position"] - 1, size)),
        "lines": [{**standing._asdict(), "index": index, "proof": _texts(proof)} for standing, index, proof in proven[1]],
    }


def _texts(hashes: Sequence[bytes]) -> list[str]:
    return [b64encode(digest).decode() for digest in hashes]
