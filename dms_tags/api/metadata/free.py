"""Free metadata: `/metadata…` (API.md section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from flask import Response
from marshmallow import ValidationError

from dms_tags import names
from dms_tags.api import headers, locks
from dms_tags.api.answers import empty_answer, json_answer
from dms_tags.api.endpoint import Call, PathParameter
from dms_tags.api.links import paged
from dms_tags.api.locks import CHANGE_HEADERS
from dms_tags.api.members import Named, Text
from dms_tags.api.metadata import schemas
from dms_tags.api.metadata.api import api
from dms_tags.api.metadata.parameters import page_of
from dms_tags.api.parameters import TRACE_ID_MUST_MATCH, moment
from dms_tags.errors import Forbidden, InvalidParameter
from dms_tags.identity.model import Permission
from dms_tags.metadata.free import KEY_PATTERN, MAX_KEYS, Free, absent, is_key
from dms_tags.metadata.model import MAX_VALUE
from dms_tags.model import Tag
from dms_tags.objects.model import Standing

_EXAMPLE: Final = {"resource_id": schemas.EXAMPLE_SITE, "metadata": {"contact": "ann@example.com", "floor": "3"}}
_ID: Final = {"type": "string", "pattern": f"^{names.OBJECT_ID_PATTERN}$"}
PATH: Final = {"resourceId": PathParameter(schemas.correlation_id, _ID, schemas.EXAMPLE_SITE)}
FREE: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["resource_id", "metadata"],
    "properties": {
        "resource_id": _ID,
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": MAX_KEYS},
    },
    "example": _EXAMPLE,
}


def _key(text: str) -> str:
    if not is_key(text):
        raise ValidationError("a key is 1 to 64 of A-Z a-z 0-9 _ : -")
    return text


class FreeBody(schemas.Parameters):
    """The whole metadata of a resource that the path names."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {"metadata": _EXAMPLE["metadata"]}

    resource_id = Text(parse=schemas.correlation_id, metadata=schemas.SHOWN)
    metadata = Named(
        Text(parse=_key, metadata={"pattern": f"^{KEY_PATTERN}$"}),
        Text(1, MAX_VALUE),
        f"an object of 1 to {MAX_KEYS} keys is needed; DELETE removes all",
        least=1,
        most=MAX_KEYS,
        required=True,
    )


class NewFreeBody(FreeBody):
    """The whole metadata of a resource, and which it is."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = _EXAMPLE

    resource_id = Text(parse=schemas.correlation_id, required=True, metadata={"pattern": _ID["pattern"]})


@api.route(
    "GET",
    "/metadata",
    permission=Permission.READ,
    parameters=page_of("resources", 100, schemas.correlation_id),
    gives=("Link",),
    responses={200: {"type": "array", "items": FREE}},
)
def list_metadata(call: Call) -> Response:
    """The metadata of all resources.

    In order of their ids.
    """
    limit, prefixes = call.arguments["limit"], call.identity.read_prefixes
    # Not one without a readable key: the cursor would tell its id
    page = call.services.free_metadata.page(
        call.identity.tenant, after=call.arguments["cursor"] or "", limit=limit, prefixes=prefixes
    )
    response = json_answer([_document(free.id, _readable(call, free.tags)) for free in page])
    return paged(response, page[-1].id if len(page) == limit else None)


@api.route(
    "POST",
    "/metadata",
    permission=Permission.WRITE,
    parameters=(TRACE_ID_MUST_MATCH,),
    body=NewFreeBody(),
    responses={201: FREE},
    headers=CHANGE_HEADERS,
)
def create_metadata(call: Call) -> Response:
    """Set the metadata of a resource.

    In place of any that it has, all of it in one write; with If-None-Match: * only where it has none.
    """
    given = call.body()
    return _replaced(call, given["resource_id"], given, 201)


@api.route(
    "GET",
    "/metadata/{resourceId}",
    permission=Permission.READ,
    path_parameters=PATH,
    parameters=(moment("at", "the metadata as it stood at this time"),),
    responses={200: FREE},
    headers=("If-None-Match",),
)
def read_metadata(call: Call, resource_id: str) -> Response:
    """The metadata of a resource."""
    at = call.arguments["at"]
    free = call.services.free_metadata.get(call.identity.tenant, resource_id, at)
    tags = _readable(call, free.tags)
    if not tags:  # whether there are keys that the caller may not read is not told
        raise absent(resource_id)
    response = json_answer(_document(resource_id, tags))
    return response if at is not None else _marked(response, Free(resource_id, tuple(tags)).etag, None)


@api.route(
    "PUT",
    "/metadata/{resourceId}",
    permission=Permission.WRITE,
    path_parameters=PATH,
    parameters=(TRACE_ID_MUST_MATCH,),
    body=FreeBody(),
    responses={200: FREE},
    headers=CHANGE_HEADERS,
)
def update_metadata(call: Call, resource_id: str) -> Response:
    """Replace the metadata of a resource.

    Keys that are not given go, values that are as given stay; all of it in one write.
    """
    given = call.body()
    if given.get("resource_id", resource_id) != resource_id:
        raise InvalidParameter(f"resource_id: {given['resource_id']} is not {resource_id}, which the path names")
    return _replaced(call, resource_id, given, 200)


@api.route(
    "DELETE",
    "/metadata/{resourceId}",
    permission=Permission.WRITE,
    path_parameters=PATH,
    parameters=(TRACE_ID_MUST_MATCH,),
    responses={204: {"description": "The metadata is gone."}},
    headers=CHANGE_HEADERS,
)
def delete_metadata(call: Call, resource_id: str) -> Response:
    """Remove the metadata of a resource."""
    _require_every_key(call)
    standing = call.services.free_metadata.remove(call.identity.tenant, resource_id, locks.terms(call))
    return _marked(empty_answer(204), None, standing)


def _replaced(call: Call, resource_id: str, given: Mapping[str, Any], status: int) -> Response:
    _require_every_key(call)
    terms = locks.terms(call, {**given, "resource_id": resource_id})
    standing = call.services.free_metadata.replace(call.identity.tenant, resource_id, given["metadata"], terms)
    response = json_answer(_document(resource_id, standing.tags), status)
    return _marked(response, Free(resource_id, standing.tags).etag, standing)


def _require_every_key(call: Call) -> None:
    """Keys that are not named go: the call needs the permission for any, or it would tell of those that it may not touch."""
    if call.identity.write_prefixes is not None:
        raise Forbidden("metadata is written as a whole: it needs the permission to write tags of any name")


def _readable(call: Call, tags: Iterable[Tag]) -> list[Tag]:
    return [tag for tag in tags if call.identity.covers(Permission.READ, tag.name)]


def _document(resource_id: str, tags: Iterable[Tag]) -> dict[str, Any]:
    return {"resource_id": resource_id, "metadata": {tag.name: tag.state for tag in tags}}


def _marked(response: Response, etag: str | None, standing: Standing | None) -> Response:
    """The answer with the ETag of the whole and, to a change, the trace id that it was recorded under."""
    if etag is not None:
        response.headers["ETag"] = headers.entity_tag(etag)
    if standing is not None and standing.trace_id is not None:
        response.headers[headers.TRACE_HEADER] = standing.trace_id
    if standing is not None and standing.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response
