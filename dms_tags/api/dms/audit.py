"""`/api/dms/audit` (API.md section 2)."""

from __future__ import annotations

from base64 import b64encode
from functools import partial
from itertools import chain
from typing import Any, Final

from flask import Response

from dms_tags.api.answers import json_answer
from dms_tags.api.dms import audit_parameters, audit_schemas
from dms_tags.api.dms.api import api
from dms_tags.api.endpoint import IDENTIFIED, Call, PathParameter
from dms_tags.api.parameters import whole
from dms_tags.audit.export.exporter import COMPLETE_HEADER, HEAD_HEADER, OLDEST_HEADER
from dms_tags.audit.log import merkle
from dms_tags.audit.log.merkle import HASH_SIZE
from dms_tags.audit.log.store import bundle
from dms_tags.audit.log.tiles import WIDTH, TileName
from dms_tags.audit.trail.entry import flat, leaf_of
from dms_tags.audit.trail.filters import Filters
from dms_tags.audit.trail.query import gone
from dms_tags.errors import InvalidParameter, NotFound
from dms_tags.identity.model import Permission
from dms_tags.identity.names import in_file_name

route = partial(api.route, section="audit")

TEXT: Final = "text/plain; charset=utf-8"
FOR_EVER: Final = "private, max-age=31536000, immutable"
POSITION: Final = PathParameter(whole("position", 1, 10**15 - 1), {"type": "integer", "minimum": 1}, 1234)
LEVEL: Final = PathParameter(whole("level", 0, 63), {"type": "integer", "minimum": 0, "maximum": 63}, 0)
TILE: Final = PathParameter(str, {"type": "string"}, "x001/x234/067", spans=True)


@route(
    "GET",
    "/audit",
    permission=Permission.AUDIT,
    parameters=(
        *audit_parameters.FILTERS,
        audit_parameters.ORDER,
        audit_parameters.LIMIT,
        audit_parameters.CURSOR,
        audit_parameters.KEYS,
    ),
    responses={200: audit_schemas.PAGE},
)
def query(call: Call) -> Response:
    """Questions to the audit trail.

    Filters are combined with AND; a page of any depth costs what the first does.
    """
    asked = call.arguments
    page = call.services.audit.page(
        call.identity.tenant,
        audit_parameters.filters(asked),
        descending=asked["order"] == "desc",
        limit=asked["limit"],
        cursor=asked["cursor"],
    )
    return json_answer(
        {
            "entries": list(call.services.exporter.opened(call.identity.tenant, page.entries))
            if asked["keys"]
            else [flat(entry) for entry in page.entries],
            "next": page.next,
            "head": page.head,
            "first": page.first,
            "complete": page.complete,
        }
    )


@route(
    "GET",
    "/audit/export",
    permission=Permission.AUDIT,
    parameters=(*audit_parameters.FILTERS, audit_parameters.FORMAT, audit_parameters.PROOFS),
    responses={200: audit_schemas.media("The entries in order of position, one a line", "application/x-ndjson", "text/csv")},
    gives=(HEAD_HEADER, OLDEST_HEADER, COMPLETE_HEADER),
)
def export(call: Call) -> Response:
    """Everything that matches, streamed.

    NDJSON ends with a manifest line: count, range, sum and a signed checkpoint. The export is itself recorded in
    the trail.
    """
    asked = call.arguments
    return stream_export(call, audit_parameters.filters(asked), asked["format"], proofs=asked["proofs"])


def stream_export(call: Call, filters: Filters, form: str, *, proofs: bool) -> Response:
    """An export as it streams, `form` being `ndjson` or `csv`.  Raises what `Exporter.begin` does."""
    exporter = call.services.exporter
    begun = exporter.begin(call.identity.tenant, filters, call.identity.actor, form=form, proofs=proofs and form == "ndjson")
    chunks = exporter.csv(begun) if form == "csv" else exporter.ndjson(begun)
    first = next(chunks, b"")  # what keeps a stream from beginning is answered with its status, not in the middle of a 200
    media_type = "text/csv; charset=utf-8; header=present" if form == "csv" else "application/x-ndjson"
    response = Response(chain([first], chunks), content_type=media_type)
    response.headers[HEAD_HEADER] = str(begun.head)
    response.headers[OLDEST_HEADER] = str(begun.cut + 1)
    response.headers[COMPLETE_HEADER] = str(begun.complete).lower()
    response.headers["Content-Disposition"] = f'attachment; filename="audit-{in_file_name(call.identity.tenant)}.{form}"'
    return response


@route(
    "GET",
    "/audit/{position}/proof",
    permission=Permission.AUDIT,
    path_parameters={"position": POSITION},
    responses={200: audit_schemas.PROOF},
)
def proof(call: Call, position: int) -> Response:
    """Proof that an entry is in the signed log."""
    return json_answer(prove(call, position))


def prove(call: Call, position: int) -> dict[str, Any]:
    """The proof that the entry at `position` is in the signed log.  Raises `Gone`, `NotFound`, `StoreUnavailable`."""
    tenant, log = call.identity.tenant, call.services.checkpointer.log
    log.trail.wait_for(tenant)
    entries = _entries(call, position - 1, position)
    checkpoint = call.services.checkpointer.cover(tenant, position)
    if checkpoint is None:
        raise NotFound(f"no checkpoint covers position {position} yet, and this service cannot sign one")
    path = log.tree(tenant).inclusion(position - 1, checkpoint["size"])
    return {
        "position": position,
        "index": position - 1,
        "size": checkpoint["size"],
        "leafHash": b64encode(merkle.leaf_hash(leaf_of(entries[0]))).decode(),
        "proof": [b64encode(digest).decode() for digest in path],
        "entry": entries[0],
        "checkpoint": checkpoint["note"],
    }


@route(
    "GET",
    "/audit/log/checkpoint",
    permission=IDENTIFIED,
    responses={200: audit_schemas.media("A C2SP checkpoint", "text/plain")},
)
def checkpoint(call: Call) -> Response:
    """The newest signed checkpoint."""
    newest = call.services.checkpointer.newest(call.identity.tenant)
    if newest is None:
        raise NotFound("no checkpoint of this log was signed yet")
    response = Response(newest["note"], content_type=TEXT)
    response.headers["Cache-Control"] = "no-cache"
    return response


@route(
    "GET",
    "/audit/log/key",
    permission=IDENTIFIED,
    responses={200: audit_schemas.media("A C2SP verifier key", "text/plain")},
)
def key(call: Call) -> Response:
    """The public key of the log."""
    identity = call.services.checkpointer.identities.current()
    if identity is None:
        raise NotFound("this database has no signing key yet: `dms-tags audit keygen` makes one")
    return Response(f"{identity.verifier(call.identity.tenant)}\n", content_type=TEXT)


@route(
    "GET",
    "/audit/log/consistency",
    permission=IDENTIFIED,
    parameters=(audit_parameters.SMALLER, audit_parameters.LARGER),
    responses={200: audit_schemas.CONSISTENCY},
)
def consistency(call: Call) -> Response:
    """Proof that the log of one size is the beginning of the log of another."""
    smaller, larger = call.arguments["from"], call.arguments["to"]
    if smaller > larger:
        raise InvalidParameter(f"from is the smaller size: {smaller} is more than {larger}")
    log, tenant = call.services.checkpointer.log, call.identity.tenant
    if larger > log.size(tenant):
        raise NotFound(f"the log does not cover {larger} entries yet")
    path = log.tree(tenant).consistency(smaller, larger) if smaller < larger else []
    return json_answer({"from": smaller, "to": larger, "proof": [b64encode(digest).decode() for digest in path]})


@route(
    "GET",
    "/audit/log/tile/{level}/{tile}",
    permission=IDENTIFIED,
    path_parameters={"level": LEVEL, "tile": TILE},
    responses={200: audit_schemas.media("Up to 256 hashes (C2SP tlog-tiles)", "application/octet-stream")},
)
def hash_tile(call: Call, level: int, tile: str) -> Response:
    """A tile of the log's Merkle tree."""
    name = _tile(f"{level}/{tile}")
    wanted = (level, name.number)
    hashes = call.services.checkpointer.log.tiles(call.identity.tenant, [wanted]).get(wanted, b"")
    if len(hashes) < name.width * HASH_SIZE:
        raise NotFound(f"the log has no tile {name}")
    return _bytes(hashes[: name.width * HASH_SIZE])


@route(
    "GET",
    "/audit/log/tile/entries/{tile}",
    permission=Permission.AUDIT,
    path_parameters={"tile": TILE},
    responses={
        200: audit_schemas.media("Up to 256 entries, each after its length (C2SP tlog-tiles)", "application/octet-stream")
    },
)
def entry_tile(call: Call, tile: str) -> Response:
    """A bundle of the log's entries."""
    name = _tile(f"entries/{tile}")
    begin = name.number * WIDTH
    return _bytes(bundle([leaf_of(entry) for entry in _entries(call, begin, begin + name.width)]))


def _entries(call: Call, begin: int, end: int) -> list[dict[str, Any]]:
    """The entries at the positions `begin + 1 … end`, all of them.  Raises `Gone`, `NotFound`."""
    trail, tenant = call.services.trail, call.identity.tenant
    entries = trail.run(tenant, begin, end)
    cut = trail.cut(tenant)
    if begin < cut:
        raise gone(cut)
    if len(entries) < end - begin:
        raise NotFound(f"the trail has no position {begin + len(entries) + 1} yet")
    return [flat(entry) for entry in entries]


def _tile(path: str) -> TileName:
    name = TileName.parse(path)
    if name is None:
        raise NotFound(f"{path[:80]!r} names no tile")
    return name


def _bytes(content: bytes) -> Response:
    response = Response(content, content_type="application/octet-stream")
    response.headers["Cache-Control"] = FOR_EVER
    return response
