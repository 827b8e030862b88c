"""How far each resource of a trail has come by a position: a stream in order of the resources, of bounded memory.

It is read from an index alone, one key an entry; of what was archived from the baselines.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Final

from pymongo import ASCENDING

from dms_tags.audit.trail.entry import Entry
from dms_tags.audit.trail.trail import Trail
from dms_tags.model import Action
from dms_tags.store.database import store_errors

Reached = tuple[str, int, int]
"""A resource, the revision of its last entry, and where that stands: 0 where that is not known."""

BATCH: Final = 5_000
"""Keys that are read at once: between two reads a service does other things."""

_resource = itemgetter(0)


def standings(trail: Trail, tenant: str, position: int, cut: int) -> Iterator[Reached]:
    """All resources with entries up to `position`, in order of their UTF-8 bytes; the cut is not above `position`.

    To be read while the cut stands (`Trail.while_cut_stands`).  Raises `StoreUnavailable`.
    """
    archived = ((base["resource"], base["revision"], base.get("position", 0)) for base in trail.baselines(tenant, cut))
    for resource, parts in groupby(merge(archived, _held(trail, tenant, position, cut), key=_resource), _resource):
        revision = at = 0
        for _, more, last in parts:  # what was archived comes first: its position is the lower one
            revision, at = revision + more, last
        yield resource, revision, at


def _held(trail: Trail, tenant: str, position: int, cut: int) -> Iterator[Reached]:
    """Of each resource how many entries are held, which are as many revisions, and where the last of them stands."""
    where = {"tenant": tenant, "position": {"$gt": cut, "$lte": position}}
    order = [("resource", ASCENDING), ("name", ASCENDING), ("position", ASCENDING)]
    members = {"_id": 0, "resource": 1, "position": 1}
    resource, count, last = "", 0, 0
    with store_errors():
        for key in trail.entries.find(where, members, sort=order, hint="resource_name", batch_size=BATCH):
            if key["resource"] != resource:
                if count:
                    yield resource, count, last
                resource, count, last = key["resource"], 0, 0
            count += 1
            last = max(last, key["position"])
    if count:
        yield resource, count, last


def newest_seal(trail: Trail, tenant: str, position: int, cut: int) -> Entry | None:
    """The entry of the newest seal up to `position` that was not archived.  Raises `StoreUnavailable`."""
    where = {"tenant": tenant, "action": int(Action.TRAIL_SEALED), "position": {"$gt": cut, "$lte": position}}
    with store_errors():
        return next(iter(trail.entries.find(where, sort=[("position", -1)], limit=1, hint="action")), None)
