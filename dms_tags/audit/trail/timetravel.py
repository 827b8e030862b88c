"""Looking back: the tags of an object as they stood at a time, told by the trail alone (API.md section 2, `?at=`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from dms_tags.audit.trail.entry import Entry, removes
from dms_tags.audit.trail.query import bisect
from dms_tags.audit.trail.trail import Trail, Vanished
from dms_tags.errors import Gone
from dms_tags.model import Resource, Tag
from dms_tags.store.database import Database, store_errors


class Past:
    """Resources as they stood.  Every method raises `StoreUnavailable` where MongoDB does not answer.

    A tag's own `creationDate` decides, which never runs backwards within a resource; its cost goes with the tags that the
    resource ever had, not with its changes.
    """

    def __init__(self, database: Database) -> None:
        self._trail = Trail(database)

    def tags_at(self, resource: Resource, at: datetime) -> list[Tag]:
        """The resource's tags at the end of the instant `at`, in the order in which they were added.

        Raises `Gone` where the entries that would tell were archived away.
        """
        self._trail.wait_for(resource.tenant, resource)
        return self._trail.while_cut_stands(resource.tenant, lambda cut: self._tags_at(resource, at, cut))

    def _tags_at(self, resource: Resource, at: datetime, cut: int) -> list[Tag]:
        of = {"tenant": resource.tenant, "resource": resource.name}
        base = self._trail.baseline(resource, cut)
        begins = base["revision"] if base is not None else 0
        last = self._last(of)
        revision = bisect(begins, last, lambda number: self._when(of, number) <= at) if last > begins else begins
        if base is not None and revision == begins and base["at"] > at:
            raise Gone(f"what happened before position {cut + 1} was archived", cut + 1)
        upto = {"$gt": begins, "$lte": revision}
        newest = {entry["name"]: entry for entry in self._newest(of, upto)} if revision > begins else {}
        kept = {tag["name"]: tag for tag in base["tags"]} if base is not None else {}
        tags = []
        for name in kept.keys() | newest.keys():
            entry = newest.get(name)
            if entry is None:
                tags.append((kept[name]["order"], _tag_kept(kept[name])))
            elif not removes(entry):
                order, since = self._added(of, entry, kept.get(name), begins)
                tags.append((order, _tag(entry, since)))
        return [tag for _, tag in sorted(tags, key=lambda added: added[0])]

    def _last(self, of: Mapping[str, Any]) -> int:
        with store_errors():
            entries = self._trail.entries.find(dict(of), {"revision": 1}, sort=[("revision", -1)], limit=1, hint="revision")
            return next((int(entry["revision"]) for entry in entries), 0)

    def _when(self, of: Mapping[str, Any], revision: int) -> datetime:
        with store_errors():
            entries = self._trail.entries.find({**of, "revision": revision}, {"creationDate": 1}, limit=1, hint="revision")
            for entry in entries:
                moment: datetime = entry["creationDate"]
                return moment
        raise Vanished

    def _newest(self, of: Mapping[str, Any], revisions: Mapping[str, int]) -> Iterator[Entry]:
        """The newest entry of each tag within a range of revisions: one look-up a tag, from name to name along the index."""
        last = self._position(of, revisions["$lte"])
        first = self._position(of, revisions["$gt"] + 1)
        after = ""
        while True:
            with store_errors():
                named = self._trail.entries.find(
                    {**of, "name": {"$gt": after}},
                    {"name": 1},
                    sort=[("name", 1), ("position", 1)],
                    limit=1,
                    hint="resource_name",
                )
                after = next((entry["name"] for entry in named), "")
                if not after:
                    return
                where = {**of, "name": after, "position": {"$gte": first, "$lte": last}}
                newest = self._trail.entries.find(where, sort=[("position", -1)], limit=1, hint="resource_name")
                yield from newest

    def _position(self, of: Mapping[str, Any], revision: int) -> int:
        with store_errors():
            for entry in self._trail.entries.find({**of, "revision": revision}, {"position": 1}, limit=1, hint="revision"):
                return int(entry["position"])
        raise Vanished

    def _added(self, of: Mapping[str, Any], entry: Entry, kept: Mapping[str, Any] | None, begins: int) -> tuple[int, datetime]:
        """At which revision, and when, the tag that `entry` left was added."""
        where = {
            **of,
            "name": entry["name"],
            "position": {"$lte": entry["position"]},
            "previousTraceId": None,
            "revision": {"$gt": begins},
        }
        with store_errors():
            added = next(iter(self._trail.entries.find(where, sort=[("position", -1)], limit=1, hint="resource_name")), None)
        if added is not None:
            return added["revision"], added["creationDate"]
        if kept is None:  # a tag that is there was added, in the trail or before the cut
            raise Vanished
        return kept["order"], kept["since"]


def _tag(entry: Entry, since: datetime) -> Tag:
    return Tag(entry["name"], entry["state"], entry["traceId"], entry["creationDate"], entry["_id"], since)


def _tag_kept(kept: Mapping[str, Any]) -> Tag:
    return Tag(kept["name"], kept["state"], kept["traceId"], kept["changed"], kept["etag"], kept["since"])
