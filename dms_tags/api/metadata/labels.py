"""Labels: `/tags…` and `/resources…` (API.md section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response

from dms_tags.api import locks
from dms_tags.api.answers import empty_answer, json_answer, stamp
from dms_tags.api.endpoint import Call
from dms_tags.api.links import paged
from dms_tags.api.locks import ADD_HEADERS, CHANGE_HEADERS
from dms_tags.api.metadata import schemas
from dms_tags.api.metadata.api import api
from dms_tags.api.metadata.parameters import AT, FORCE, LACKING_PAGE, LACKING_TYPE, PATH, TAG_PAGE, TYPE, VALUE, VALUE_PAGE
from dms_tags.api.parameters import TRACE_ID_MUST_MATCH
from dms_tags.errors import InvalidParameter
from dms_tags.identity.model import Identity, Permission
from dms_tags.metadata.model import LabelDefinition, Value
from dms_tags.model import Changed, Kind, Resource


def _may_read(identity: Identity, parts: Mapping[str, Any]) -> None:
    identity.require_name(Permission.READ, parts["tagId"])


def _may_write(identity: Identity, parts: Mapping[str, Any]) -> None:
    identity.require_name(Permission.WRITE, parts["tagId"])


@api.route(
    "GET",
    "/tags",
    permission=Permission.READ,
    parameters=TAG_PAGE,
    gives=("Link",),
    responses={200: {"type": "array", "items": schemas.DEFINITION_WITH_VALUES}},
)
def list_definitions(call: Call) -> Response:
    """All definitions with their values.

    A definition shows its first 1000 values.
    """
    tenant, limit = call.identity.tenant, call.arguments["limit"]
    reader = call.services.metadata.reader
    page = reader.definitions(tenant, after=call.arguments["cursor"] or "", limit=limit)
    response = json_answer([_with_values(call, listed) for listed in page if call.identity.covers(Permission.READ, listed.id)])
    return paged(response, page[-1].id if len(page) == limit else None)


@api.route(
    "POST",
    "/tags",
    permission=Permission.WRITE,
    parameters=(TRACE_ID_MUST_MATCH,),
    body=schemas.LabelBody(),
    responses={201: schemas.DEFINITION},
    headers=ADD_HEADERS,
)
def create_definition(call: Call) -> Response:
    """Make a definition."""
    call.identity.require_name(Permission.WRITE, "tag_")
    draft = call.body()
    terms = locks.of_new(locks.terms(call, draft))
    tag_id, changed = call.services.metadata.definitions.create(call.identity.tenant, draft, terms)
    return _changed_definition(tag_id, changed, 201)


@api.route(
    "GET",
    "/tags/{tagId}",
    permission=Permission.READ,
    path_parameters=PATH,
    check=_may_read,
    responses={200: schemas.DEFINITION_WITH_VALUES},
    headers=("If-None-Match",),
)
def read_definition(call: Call, tag_id: str) -> Response:
    """One definition with its values.

    It shows its first 1000 values.
    """
    definition = call.services.metadata.definitions.get(call.identity.tenant, tag_id)
    return stamp(json_answer(_with_values(call, definition)), Changed(definition.tag, definition.tag.trace_id))


@api.route(
    "PUT",
    "/tags/{tagId}",
    permission=Permission.WRITE,
    path_parameters=PATH,
    check=_may_write,
    parameters=(TRACE_ID_MUST_MATCH,),
    body=schemas.LabelBody(),
    responses={200: schemas.DEFINITION},
    headers=CHANGE_HEADERS,
)
def update_definition(call: Call, tag_id: str) -> Response:
    """Change a definition."""
    draft = call.body()
    changed = call.services.metadata.definitions.update(call.identity.tenant, tag_id, draft, locks.terms(call, draft))
    return _changed_definition(tag_id, changed, 200)


@api.route(
    "DELETE",
    "/tags/{tagId}",
    permission=Permission.WRITE,
    path_parameters=PATH,
    check=_may_write,
    parameters=(TRACE_ID_MUST_MATCH, FORCE),
    responses={204: {"description": "The definition is gone."}},
    headers=CHANGE_HEADERS,
)
def delete_definition(call: Call, tag_id: str) -> Response:
    """Delete a definition.

    409 while it has values, unless force=true. From the moment it begins no value is set any more.
    """
    definitions = call.services.metadata.definitions
    changed = definitions.delete(call.identity.tenant, tag_id, locks.terms(call), force=call.arguments["force"])
    return stamp(empty_answer(204), changed)


@api.route(
    "GET",
    "/tags/{tagId}/values",
    permission=Permission.READ,
    path_parameters=PATH,
    check=_may_read,
    parameters=VALUE_PAGE,
    gives=("Link",),
    responses={200: schemas.VALUES},
)
def list_values(call: Call, tag_id: str) -> Response:
    """The values of a definition."""
    return _values(call, tag_id, None)


@api.route(
    "POST",
    "/tags/{tagId}/values",
    permission=Permission.WRITE,
    path_parameters=PATH,
    check=_may_write,
    parameters=(TRACE_ID_MUST_MATCH,),
    body=schemas.ApplyBody(),
    responses={201: schemas.VALUE},
    headers=CHANGE_HEADERS,
)
def apply_value(call: Call, tag_id: str) -> Response:
    """Apply a tag to a resource.

    A value that differs from one of the definition only in letter case takes the spelling that is there.
    """
    given = call.body()
    return _set(call, tag_id, given["correlation_id"], given, 201)


@api.route(
    "PUT",
    "/tags/{tagId}/values/{correlationId}",
    operation_id="updateTagOnResource",
    permission=Permission.WRITE,
    path_parameters=PATH,
    check=_may_write,
    parameters=(TRACE_ID_MUST_MATCH,),
    body=schemas.ValueBody(),
    responses={200: schemas.VALUE},
    headers=CHANGE_HEADERS,
)
def update_value(call: Call, tag_id: str, correlation_id: str) -> Response:
    """Update a tag on a resource.

    Sets the value of a tag on a resource, in place of any that it has; `created_at` then stays.
    """
    return _set(call, tag_id, correlation_id, call.body(), 200)


@api.route(
    "DELETE",
    "/tags/{tagId}/values/{correlationId}",
    permission=Permission.WRITE,
    path_parameters=PATH,
    check=_may_write,
    parameters=(TRACE_ID_MUST_MATCH,),
    responses={204: {"description": "The value is gone."}},
    headers=CHANGE_HEADERS,
)
def delete_value(call: Call, tag_id: str, correlation_id: str) -> Response:
    """Remove a tag from a resource."""
    changed = call.services.metadata.remove(call.identity.tenant, tag_id, correlation_id, locks.terms(call))
    return stamp(empty_answer(204), changed)


@api.route(
    "GET",
    "/tags/{tagId}/resources",
    permission=Permission.READ,
    path_parameters=PATH,
    check=_may_read,
    parameters=(VALUE, *VALUE_PAGE),
    gives=("Link",),
    responses={200: schemas.VALUES},
)
def find_resources(call: Call, tag_id: str) -> Response:
    """Find resources by a tag's value."""
    return _values(call, tag_id, call.arguments["value"])


@api.route(
    "GET",
    "/tags/{tagId}/missing",
    permission=Permission.READ,
    path_parameters=PATH,
    check=_may_read,
    parameters=(LACKING_TYPE, *LACKING_PAGE),
    gives=("Link",),
    responses={200: schemas.LACKING},
)
def list_lacking(call: Call, tag_id: str) -> Response:
    """The resources of a type that lack a mandatory tag.

    A page looks at 2000 resources and no more: it may have few of them, or none, although the Link leads to others.
    """
    asked = call.arguments
    kind = asked["correlation_type"]
    lacking, following = call.services.metadata.lacking(
        call.identity.tenant, tag_id, kind, after=asked["cursor"] or "", limit=asked["limit"]
    )
    listed = [{"correlation_id": correlation_id, "correlation_type": str(kind)} for correlation_id in lacking]
    return paged(json_answer(listed), following)


@api.route(
    "GET",
    "/resources/{correlationId}/tags",
    permission=Permission.READ,
    path_parameters=PATH,
    parameters=(TYPE, AT),
    gives=("X-Missing-Tags",),
    responses={200: schemas.LABELS},
)
def list_labels(call: Call, correlation_id: str) -> Response:
    """The tags of a resource."""
    tenant, kind = call.identity.tenant, call.arguments["correlation_type"]
    metadata = call.services.metadata
    at = call.arguments["at"]
    labels = metadata.labels(tenant, correlation_id, kind)
    missing = None if kind is None or at is not None else metadata.missing(tenant, kind, labels)
    if at is not None:
        labels = metadata.labels_at(tenant, correlation_id, at)
    readable = [(definition, label) for definition, label in labels if call.identity.covers(Permission.READ, definition.id)]
    response = json_answer([schemas.label_document(definition, label) for definition, label in readable])
    if missing is not None:  # of a tag that the caller may not read its absence is not told either
        response.headers["X-Missing-Tags"] = ",".join(each for each in missing if call.identity.covers(Permission.READ, each))
    return response


def _set(call: Call, tag_id: str, correlation_id: str, given: Mapping[str, Any], status: int) -> Response:
    kind, tenant = Kind(given["correlation_type"]), call.identity.tenant
    _require_same(given, "tag_id", tag_id)
    _require_same(given, "correlation_id", correlation_id)
    changed = call.services.metadata.set(tenant, tag_id, correlation_id, kind, given["value"], locks.terms(call, given))
    assert changed.tag is not None  # noqa: S101 - what was set is there
    value = Value(Resource(tenant, kind, correlation_id), changed.tag)
    return stamp(json_answer(schemas.value_document(value), status), changed)


def _require_same(given: Mapping[str, Any], member: str, of_path: str) -> None:
    """Raises `InvalidParameter` for a document of something else than the path names: it was not meant for it."""
    if given.get(member, of_path) != of_path:
        raise InvalidParameter(f"{member}: {given[member]} is not {of_path}, which the path names; nothing was changed")


def _values(call: Call, tag_id: str, value: str | None) -> Response:
    tenant, limit = call.identity.tenant, call.arguments["limit"]
    call.services.metadata.definitions.get(tenant, tag_id)
    page = call.services.metadata.reader.values(tenant, tag_id, after=call.arguments["cursor"], limit=limit, value=value)
    last = page[-1].resource.name if len(page) == limit else None
    return paged(json_answer([schemas.value_document(listed) for listed in page]), last)


def _with_values(call: Call, definition: LabelDefinition) -> dict[str, Any]:
    values = call.services.metadata.reader.values(call.identity.tenant, definition.id, limit=schemas.EMBEDDED + 1)
    return schemas.definition_document(definition, values)


def _changed_definition(tag_id: str, changed: Changed, status: int) -> Response:
    assert changed.tag is not None  # noqa: S101 - what was made or changed is there
    return stamp(json_answer(schemas.definition_document(LabelDefinition.of(tag_id, changed.tag)), status), changed)
