"""`/api/dms/audit` (API.md section 2)."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from itertools import chain
from typing import Any, Final

from flask import Response

from dms_tags.api.dms import audit_parameters, audit_schemas
from dms_tags.api.endpoint import IDENTIFIED, Api, Call, PathParameter
from dms_tags.api.parameters import whole
from dms_tags.api.problems import MEDIA_TYPE, PROBLEM_SCHEMA, render_problem
from dms_tags.audit.export.exporter import COMPLETE_HEADER, HEAD_HEADER, OLDEST_HEADER
from dms_tags.audit.log import merkle
from dms_tags.audit.log.merkle import HASH_SIZE
from dms_tags.audit.log.store import bundle
from dms_tags.audit.log.tiles import WIDTH, TileName
from dms_tags.audit.trail.entry import canonical, flat
from dms_tags.audit.trail.query import gone
from dms_tags.errors import NotFound
from dms_tags.identity.model import Permission

api = Api("audit", "/api/dms/audit", render_problem, PROBLEM_SCHEMA, MEDIA_TYPE)

TEXT: Final = "text/plain; charset=utf-8"
FOR_EVER: Final = "private, max-age=31536000, immutable"
POSITION: Final = PathParameter(whole("position", 1, 10**15 - 1), {"type": "integer", "minimum": 1}, 1234)
LEVEL: Final = PathParameter(whole("level", 0, 63), {"type": "integer", "minimum": 0, "maximum": 63}, 0)
TILE: Final = PathParameter(str, {"type": "string"}, "x001/x234/067", spans=True)


@api.route(
    "GET",
    "",
    permission=Permission.AUDIT,
    summary="Questions to the audit trail",
    description="Filters are combined with AND; a page of any depth costs what the first does.",
    parameters=(*audit_parameters.FILTERS, audit_parameters.ORDER, audit_parameters.LIMIT, audit_parameters.CURSOR),
    responses={200: audit_schemas.PAGE},
)
def query(call: Call) -> Response:
    """One page of entries, newest first unless asked otherwise."""
    asked = call.arguments
    page = call.services.audit.page(
        call.identity.tenant,
        audit_parameters.filters(asked),
        descending=asked["order"] == "desc",
        limit=asked["limit"],
        cursor=asked["cursor"],
    )
    return _json(
        {
            "entries": [flat(entry) for entry in page.entries],
            "next": page.next,
            "head": page.head,
            "first": page.first,
            "complete": page.complete,
        }
    )


@api.route(
    "GET",
    "/export",
    permission=Permission.AUDIT,
    summary="Everything that matches, streamed",
    description="NDJSON ends with a manifest line: count, range, sum and a signed checkpoint. The export is itself recorded in the trail.",
    parameters=(*audit_parameters.FILTERS, audit_parameters.FORMAT, audit_parameters.PROOFS),
    responses={200: audit_schemas.media("The entries in order of position, one a line", "application/x-ndjson", "text/csv")},
)
def export(call: Call) -> Response:
    """A stream of constant memory; one that breaks off lacks its manifest."""
    asked = call.arguments
    exporter, form = call.services.exporter, asked["format"]
    begun = exporter.begin(
        call.identity.tenant,
        audit_parameters.filters(asked),
        call.identity.actor,
        form=form,
        proofs=asked["proofs"] and form == "ndjson",
    )
    chunks = exporter.csv(begun) if form == "csv" else exporter.ndjson(begun)
    first = next(chunks, b"")  # what keeps a stream from beginning is answered with its status, not in the middle of a 200
    media_type = "text/csv; charset=utf-8; header=present" if form == "csv" else "application/x-ndjson"
    response = Response(chain([first], chunks), content_type=media_type)
    response.headers[HEAD_HEADER] = str(begun.head)
    response.headers[OLDEST_HEADER] = str(begun.cut + 1)
    response.headers[COMPLETE_HEADER] = str(begun.complete).lower()
    response.headers["Content-Disposition"] = f'attachment; filename="audit-{call.identity.tenant}.{form}"'
    return response


@api.route(
    "GET",
    "/{position}/proof",
    permission=Permission.AUDIT,
    summary="Proof that an entry is in the signed log",
    path_parameters={"position": POSITION},
    responses={200: audit_schemas.PROOF},
)
def proof(call: Call, position: int) -> Response:
    """The entry, its RFC 9162 inclusion proof and the checkpoint that it leads to."""
    tenant, log = call.identity.tenant, call.services.checkpointer.log
    log.trail.wait_for(tenant)
    entries = _entries(call, position - 1, position)
    checkpoint = call.services.checkpointer.cover(tenant, position)
    if checkpoint is None:
        raise NotFound(f"no checkpoint covers position {position} yet, and this service cannot sign one")
    path = log.tree(tenant).inclusion(position - 1, checkpoint["size"])
    return _json(
        {
            "position": position,
            "index": position - 1,
            "size": checkpoint["size"],
            "leafHash": b64encode(merkle.leaf_hash(canonical(entries[0]))).decode(),
            "proof": [b64encode(digest).decode() for digest in path],
            "entry": entries[0],
            "checkpoint": checkpoint["note"],
        }
    )


@api.route(
    "GET",
    "/log/checkpoint",
    permission=IDENTIFIED,
    summary="The newest signed checkpoint",
    responses={200: audit_schemas.media("A C2SP checkpoint", "text/plain")},
)
def checkpoint(call: Call) -> Response:
    """What the log commits to, as it was signed last."""
    newest = call.services.checkpointer.newest(call.identity.tenant)
    if newest is None:
        raise NotFound("no checkpoint of this log was signed yet")
    response = Response(newest["note"], content_type=TEXT)
    response.headers["Cache-Control"] = "no-cache"
    return response


@api.route(
    "GET",
    "/log/key",
    permission=IDENTIFIED,
    summary="The public key of the log",
    responses={200: audit_schemas.media("A C2SP verifier key", "text/plain")},
)
def key(call: Call) -> Response:
    """The key that checkpoints are verified with, in one line."""
    identity = call.services.checkpointer.identities.current()
    if identity is None:
        raise NotFound("this database has no signing key yet: `dms-tags audit keygen` makes one")
    return Response(f"{identity.verifier(call.identity.tenant)}\n", content_type=TEXT)


@api.route(
    "GET",
    "/log/tile/{level}/{tile}",
    permission=IDENTIFIED,
    summary="A tile of the log's Merkle tree",
    path_parameters={"level": LEVEL, "tile": TILE},
    responses={200: audit_schemas.media("Up to 256 hashes (C2SP tlog-tiles)", "application/octet-stream")},
)
def hash_tile(call: Call, level: int, tile: str) -> Response:
    """The hashes of a tile, full or the first so many."""
    name = _tile(f"{level}/{tile}")
    wanted = (level, name.number)
    hashes = call.services.checkpointer.log.tiles(call.identity.tenant, [wanted]).get(wanted, b"")
    if len(hashes) < name.width * HASH_SIZE:
        raise NotFound(f"the log has no tile {name}")
    return _bytes(hashes[: name.width * HASH_SIZE])


@api.route(
    "GET",
    "/log/tile/entries/{tile}",
    permission=Permission.AUDIT,
    summary="A bundle of the log's entries",
    path_parameters={"tile": TILE},
    responses={
        200: audit_schemas.media("Up to 256 entries, each after its length (C2SP tlog-tiles)", "application/octet-stream")
    },
)
def entry_tile(call: Call, tile: str) -> Response:
    """The canonical entries whose hashes the tile of level 0 has."""
    name = _tile(f"entries/{tile}")
    begin = name.number * WIDTH
    return _bytes(bundle([canonical(entry) for entry in _entries(call, begin, begin + name.width)]))


def _entries(call: Call, begin: int, end: int) -> list[dict[str, Any]]:
    """The entries at the positions `begin + 1 … end`, all of them.  Raises `Gone`, `NotFound`."""
    trail, tenant = call.services.trail, call.identity.tenant
    found = trail.run(tenant, begin, end)
    cut = trail.cut(tenant)
    if begin < cut:
        raise gone(cut)
    if len(found) < end - begin:
        raise NotFound(f"the trail has no position {begin + len(found) + 1} yet")
    return [flat(entry) for entry in found]


def _tile(path: str) -> TileName:
    name = TileName.parse(path)
    if name is None:
        raise NotFound(f"{path[:80]!r} names no tile")
    return name


def _bytes(content: bytes) -> Response:
    response = Response(content, content_type="application/octet-stream")
    response.headers["Cache-Control"] = FOR_EVER
    return response


def _json(document: Mapping[str, Any]) -> Response:
    return Response(json.dumps(document, ensure_ascii=False), mimetype="application/json")
