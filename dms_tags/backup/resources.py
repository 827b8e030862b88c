"""Resources in a backup: what replaying the trail does not give of a document of `tags`, and the document made of both.

`replayed` is what the entries of a resource leave, in order of revision, beginning with its baseline where older entries were
archived.  The rest of a document comes in one of two forms:

    { _id, rest: {…}, rows: [ { name, etag, … } ] }    members that are no part of replay; of rows, those of this very revision
    { _id, whole: {…} }                                the document, where it has changes that are not in the trail yet, or none at all
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from dms_tags.audit.trail.entry import Entry, removes
from dms_tags.store.documents import Document

_REPLAYED: Final = frozenset({"_id", "tenant", "kind", "id", "tags", "seq", "lastAt", "outbox", "trail"})
_ROW: Final = frozenset({"name", "state", "traceid", "creationDate", "etag", "since"})


def rest_of(document: Document) -> Document | None:
    """What replay does not give of a document, None where it gives all."""
    if document["outbox"] or not document["seq"]:
        return {"_id": document["_id"], "whole": document}
    rest = {name: value for name, value in document.items() if name not in _REPLAYED}
    rows = [
        {"name": row["name"], "etag": row["etag"], **more}
        for row in document["tags"]
        if (more := {name: value for name, value in row.items() if name not in _ROW})
    ]
    return {"_id": document["_id"], "rest": rest, "rows": rows} if rest or rows else None


def replayed(tenant: str, resource: str, baseline: Mapping[str, Any] | None, entries: Iterable[Entry]) -> Document:
    """The document of a resource as its entries leave it.  Raises `ValueError` where a revision is missing."""
    kind, _, resource_id = resource.partition("/")
    rows: dict[str, Document] = {}
    revision, last_at = 0, None
    if baseline is not None:
        revision, last_at = baseline["revision"], baseline["at"]
        for kept in sorted(baseline["tags"], key=lambda tag: int(tag["order"])):
            rows[kept["name"]] = _row(kept["name"], kept["state"], kept["traceId"], kept["changed"], kept["etag"], kept["since"])
    for entry in entries:
        if entry["revision"] != revision + 1:
            raise ValueError(f"{resource} has revision {entry['revision']} after {revision} in the trail of {tenant}")
        revision, last_at, name = entry["revision"], entry["creationDate"], entry["name"]
        before = rows.pop(name, None) if removes(entry) else rows.get(name)
        if not removes(entry):
            since = entry["creationDate"] if before is None else before["since"]
            rows[name] = _row(name, entry["state"], entry["traceId"], entry["creationDate"], entry["_id"], since)
    return {
        "_id": f"{tenant}/{resource}",
        "tenant": tenant,
        "kind": kind,
        "id": resource_id,
        "tags": list(rows.values()),
        "seq": revision,
        "lastAt": last_at,
        "outbox": [],
        "trail": {
            "revision": revision,
            "tags": {name: {"state": row["state"], "traceid": row["traceid"]} for name, row in rows.items()},
        },
    }


def with_rest(document: Document, rest: Document) -> Document:
    """The document with what replay did not give of it.  Raises `ValueError` where there was nothing to replay and should be."""
    if "whole" in rest:
        whole: Document = rest["whole"]
        return whole
    if not document["seq"]:
        raise ValueError(f"{document['_id']} has no entries in the trail")
    more = {row["etag"]: row for row in rest["rows"]}
    for row in document["tags"]:
        row.update(more.get(row["etag"], {}))
    return {**document, **rest["rest"]}


def _row(name: str, state: Any, trace_id: str, changed: Any, etag: str, since: Any) -> Document:
    return {"name": name, "state": state, "traceid": trace_id, "creationDate": changed, "etag": etag, "since": since}
