"""`/tags…` and `/resources…` (API.md section 4)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from flask import Response

from dms_tags.api import bodies, locks
from dms_tags.api.endpoint import Api, Call
from dms_tags.api.locks import CHANGE_HEADERS
from dms_tags.api.metadata import schemas
from dms_tags.api.metadata.errors import ERROR_SCHEMA, render
from dms_tags.api.metadata.parameters import AT, FORCE, PATH, TAG_PAGE, TYPE, VALUE, VALUE_PAGE, correlation_id
from dms_tags.api.parameters import TRACE_ID_MUST_MATCH
from dms_tags.errors import InvalidParameter
from dms_tags.identity.model import Identity, Permission
from dms_tags.metadata.model import Definition, Value
from dms_tags.model import Changed, Resource

api = Api("metadata", "", render, ERROR_SCHEMA, security=("bearer",), roots=("/tags", "/resources"))


def _may_read(identity: Identity, parts: Mapping[str, Any]) -> None:
    identity.require_name(Permission.READ, parts["tagId"])


def _may_write(identity: Identity, parts: Mapping[str, Any]) -> None:
    identity.require_name(Permission.WRITE, parts["tagId"])


@api.route(
    "GET",
    "/tags",
    permission=Permission.READ,
    summary="All definitions with their values",
    description=f"A definition shows its first {schemas.EMBEDDED} values.",
    parameters=TAG_PAGE,
    responses={200: {"type": "array", "items": schemas.DEFINITION_WITH_VALUES}},
)
def list_definitions(call: Call) -> Response:
    """One page of the definitions that the caller may read, in order of their making."""
    tenant, limit = call.identity.tenant, call.arguments["limit"]
    reader = call.services.metadata.reader
    found = reader.definitions(tenant, after=call.arguments["cursor"] or "", limit=limit)
    response = _answer([_with_values(call, one) for one in found if call.identity.covers(Permission.READ, one.id)])
    return _paged(call, response, found[-1].id if len(found) == limit else None)


@api.route(
    "POST",
    "/tags",
    permission=Permission.WRITE,
    summary="Make a definition",
    parameters=(TRACE_ID_MUST_MATCH,),
    body=schemas.DEFINITION_BODY,
    responses={201: schemas.DEFINITION},
    headers=("X-B3-TraceId", "Idempotency-Key"),
)
def create_definition(call: Call) -> Response:
    """Makes a definition; its id is a new one."""
    call.identity.require_name(Permission.WRITE, "tag_")
    document = bodies.json_object(call.request)
    draft = schemas.draft(document)
    terms = locks.terms(call, document)
    if terms.must_exist or terms.conditions.trace_id is not None:
        raise InvalidParameter("traceIdMustMatch=true and If-Match are conditions on what is there: a new definition has none")
    tag_id, changed = call.services.metadata.definitions.create(call.identity.tenant, draft, terms)
    return _changed_definition(tag_id, changed, 201)


@api.route(
    "GET",
    "/tags/{tagId}",
    permission=Permission.READ,
    summary="One definition with its values",
    description=f"It shows its first {schemas.EMBEDDED} values.",
    path_parameters=PATH,
    check=_may_read,
    responses={200: schemas.DEFINITION_WITH_VALUES},
)
def read_definition(call: Call, tag_id: str) -> Response:
    """The definition, with its trace id and ETag as headers."""
    definition = call.services.metadata.definitions.get(call.identity.tenant, tag_id)
    return locks.stamp(_answer(_with_values(call, definition)), Changed(definition.tag, definition.tag.trace_id))


@api.route(
    "PUT",
    "/tags/{tagId}",
    permission=Permission.WRITE,
    summary="Change a definition",
    path_parameters=PATH,
    check=_may_write,
    parameters=(TRACE_ID_MUST_MATCH,),
    body=schemas.DEFINITION_BODY,
    responses={200: schemas.DEFINITION},
    headers=CHANGE_HEADERS,
)
def update_definition(call: Call, tag_id: str) -> Response:
    """Replaces key and colour, and `mandatory_on` where it is given."""
    document = bodies.json_object(call.request)
    draft = schemas.draft(document)
    changed = call.services.metadata.definitions.update(call.identity.tenant, tag_id, draft, locks.terms(call, document))
    return _changed_definition(tag_id, changed, 200)


@api.route(
    "DELETE",
    "/tags/{tagId}",
    permission=Permission.WRITE,
    summary="Delete a definition",
    description="409 while it has values, unless force=true. From the moment it begins no value is set any more.",
    path_parameters=PATH,
    check=_may_write,
    parameters=(TRACE_ID_MUST_MATCH, FORCE),
    responses={204: {"description": "The definition is gone."}},
    headers=CHANGE_HEADERS,
)
def delete_definition(call: Call, tag_id: str) -> Response:
    """Deletes a definition, with force its values too."""
    definitions = call.services.metadata.definitions
    changed = definitions.delete(call.identity.tenant, tag_id, locks.terms(call), force=call.arguments["force"])
    return locks.stamp(Response(status=204), changed)


@api.route(
    "GET",
    "/tags/{tagId}/values",
    permission=Permission.READ,
    summary="The values of a definition",
    path_parameters=PATH,
    check=_may_read,
    parameters=VALUE_PAGE,
    responses={200: schemas.VALUES},
)
def list_values(call: Call, tag_id: str) -> Response:
    """One page of values, in order of type and id of their resources."""
    return _values(call, tag_id, None)


@api.route(
    "POST",
    "/tags/{tagId}/values",
    permission=Permission.WRITE,
    summary="Apply a tag to a resource",
    description="A value that differs from one of the definition only in letter case takes the spelling that is there.",
    path_parameters=PATH,
    check=_may_write,
    parameters=(TRACE_ID_MUST_MATCH,),
    body=schemas.APPLY_BODY,
    responses={201: schemas.VALUE},
    headers=CHANGE_HEADERS,
)
def apply_value(call: Call, tag_id: str) -> Response:
    """Sets the value, in place of any that the resource has."""
    document = bodies.json_object(call.request)
    bodies.require(document, "correlation_id", "correlation_type", "value")
    return _set(call, tag_id, correlation_id(bodies.text(document, "correlation_id", 128)), document, 201)


@api.route(
    "PUT",
    "/tags/{tagId}/values/{correlationId}",
    operation_id="updateTagOnResource",
    permission=Permission.WRITE,
    summary="Update a tag on a resource",
    description="Sets the value of a tag on a resource, in place of any that it has; `created_at` then stays.",
    path_parameters=PATH,
    check=_may_write,
    parameters=(TRACE_ID_MUST_MATCH,),
    body=schemas.UPDATE_BODY,
    responses={200: schemas.VALUE},
    headers=CHANGE_HEADERS,
)
def update_value(call: Call, tag_id: str, correlation_id: str) -> Response:
    """Sets the value (seed: updateTagOnResource)."""
    document = bodies.json_object(call.request)
    bodies.require(document, "correlation_type", "value")
    return _set(call, tag_id, correlation_id, document, 200)


@api.route(
    "DELETE",
    "/tags/{tagId}/values/{correlationId}",
    permission=Permission.WRITE,
    summary="Remove a tag from a resource",
    path_parameters=PATH,
    check=_may_write,
    parameters=(TRACE_ID_MUST_MATCH,),
    responses={204: {"description": "The value is gone."}},
    headers=CHANGE_HEADERS,
)
def delete_value(call: Call, tag_id: str, correlation_id: str) -> Response:
    """Removes the value."""
    changed = call.services.metadata.remove(call.identity.tenant, tag_id, correlation_id, locks.terms(call))
    return locks.stamp(Response(status=204), changed)


@api.route(
    "GET",
    "/tags/{tagId}/resources",
    permission=Permission.READ,
    summary="Find resources by a tag's value",
    path_parameters=PATH,
    check=_may_read,
    parameters=(VALUE, *VALUE_PAGE),
    responses={200: schemas.VALUES},
)
def find_resources(call: Call, tag_id: str) -> Response:
    """One page of the values that are exactly the one asked for."""
    return _values(call, tag_id, call.arguments["value"])


@api.route(
    "GET",
    "/resources/{correlationId}/tags",
    permission=Permission.READ,
    summary="The tags of a resource",
    path_parameters=PATH,
    parameters=(TYPE, AT),
    responses={200: schemas.LABELS},
)
def list_labels(call: Call, correlation_id: str) -> Response:
    """The labels that the caller may read, in order of their setting."""
    tenant, kind = call.identity.tenant, call.arguments["correlation_type"]
    metadata = call.services.metadata
    at = call.arguments["at"]
    labels = metadata.labels(tenant, correlation_id, kind)
    missing = None if kind is None or at is not None else metadata.missing(tenant, kind, labels)
    if at is not None:
        labels = metadata.labels_at(tenant, correlation_id, at)
    readable = [(definition, found) for definition, found in labels if call.identity.covers(Permission.READ, definition.id)]
    response = _answer([schemas.label_document(definition, found) for definition, found in readable])
    if missing is not None:
        response.headers["X-Missing-Tags"] = ",".join(missing)
    return response


def _set(call: Call, tag_id: str, correlation_id: str, document: Mapping[str, Any], status: int) -> Response:
    kind = schemas.correlation_type(document["correlation_type"])
    text = bodies.text(document, "value", 255)
    terms = locks.terms(call, document)
    changed = call.services.metadata.set(call.identity.tenant, tag_id, correlation_id, kind, text, terms)
    assert changed.tag is not None  # noqa: S101 - what was set is there
    found = Value(Resource(call.identity.tenant, kind, correlation_id), changed.tag)
    return locks.stamp(_answer(schemas.value_document(found), status), changed)


def _values(call: Call, tag_id: str, value: str | None) -> Response:
    tenant, limit = call.identity.tenant, call.arguments["limit"]
    call.services.metadata.definitions.get(tenant, tag_id)
    found = call.services.metadata.reader.values(tenant, tag_id, after=call.arguments["cursor"], limit=limit, value=value)
    last = found[-1].resource.name if len(found) == limit else None
    return _paged(call, _answer([schemas.value_document(one) for one in found]), last)


def _with_values(call: Call, definition: Definition) -> dict[str, Any]:
    values = call.services.metadata.reader.values(call.identity.tenant, definition.id, limit=schemas.EMBEDDED + 1)
    return schemas.definition_document(definition, values)


def _changed_definition(tag_id: str, changed: Changed, status: int) -> Response:
    assert changed.tag is not None  # noqa: S101 - what was made or changed is there
    return locks.stamp(_answer(schemas.definition_document(Definition.of(tag_id, changed.tag)), status), changed)


def _answer(document: Mapping[str, Any] | Sequence[Any], status: int = 200) -> Response:
    return Response(json.dumps(document), status, mimetype="application/json")


def _paged(call: Call, response: Response, cursor: str | None) -> Response:
    """The answer with the address of the next page, where there may be one (RFC 8288)."""
    if cursor is not None:
        query = {name: given for name, given in call.request.args.items() if name != "cursor"} | {"cursor": cursor}
        response.headers["Link"] = f'<{call.request.path}?{urlencode(query)}>; rel="next"'
    return response
