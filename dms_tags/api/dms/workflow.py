"""`/api/dms/objects/tags`, `…/search`, `…/lease` and `/api/dms/tag-definitions` (API.md section 3)."""

from __future__ import annotations

from typing import Any, Final

from flask import Response

from dms_tags.api import bodies, headers, locks
from dms_tags.api.dms import batch, definitions, statements, workflow_schemas
from dms_tags.api.dms import schemas as dms
from dms_tags.api.dms.tags import answer, answer_change
from dms_tags.api.endpoint import Api, Call
from dms_tags.api.parameters import WAIT_FOR_SEARCH, Parameter, integer
from dms_tags.api.problems import MEDIA_TYPE, PROBLEM_SCHEMA, problem_document, render_problem
from dms_tags.errors import InvalidParameter, TagsError, TraceIdRequired
from dms_tags.identity.model import Permission
from dms_tags.model import Change, Changed, Kind, Resource, Tag
from dms_tags.tags.claims import MAX_LEASE_SECONDS, MAX_LIMIT, Claim, Claimed
from dms_tags.tags.definitions import document

QUERY: Final = Parameter(
    "query",
    str,
    {"type": "string"},
    "which objects; may also be sent as the body of a search",
    example="SELECT * FROM document WHERE system:tags[ocr].state=1",
)

api = Api("workflow", "/api/dms", render_problem, PROBLEM_SCHEMA, MEDIA_TYPE)


@api.route(
    "POST",
    "/objects/tags/{name}/state/{state}",
    permission=Permission.WRITE,
    scope=Permission.WRITE,
    summary="Claim: set the tag on the first object of a statement, adding it where it is missing",
    description="Two callers never get the same match. With leaseSeconds the tag goes back by itself unless it is changed in time.",
    parameters=(
        QUERY,
        integer("limit", 1, MAX_LIMIT, "objects to claim, at most", 1),
        integer("leaseSeconds", 1, MAX_LEASE_SECONDS, "the claim ends by itself after so many seconds"),
        WAIT_FOR_SEARCH,
    ),
    body=workflow_schemas.request_body(workflow_schemas.SEARCH_BODY, required=False),
    responses={200: workflow_schemas.CLAIMED},
    headers=(headers.TRACE_HEADER, "Idempotency-Key"),
)
def claim(call: Call, name: str, state: int) -> Response:
    """Claims up to `limit` objects."""
    call.identity.require(Permission.READ)
    if "If-Match" in call.request.headers:
        raise InvalidParameter("If-Match is a condition on one tag; a claim takes whichever object its statement finds")
    statement = statements.claimed(call)
    claimed = call.services.claims.claim(
        Claim(
            call.identity.tenant,
            statement,
            name,
            state,
            call.identity.actor,
            call.trace_id,
            call.arguments["limit"],
            call.arguments["leaseSeconds"],
            locks.idempotency(call, repr(statement)),
        )
    )
    response = answer({"objects": [{"properties": _claimed(call, one)} for one in claimed]})
    if len(claimed) == 1:
        tag = claimed[0].tag
        return locks.stamp(response, Changed(tag, tag.trace_id, replayed=claimed[0].replayed))
    if claimed and claimed[0].replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


@api.route(
    "POST",
    "/objects/{objectId}/tags/{name}/lease",
    permission=Permission.WRITE,
    scope=Permission.WRITE,
    summary="Extend a lease",
    parameters=(integer("seconds", 1, MAX_LEASE_SECONDS, "from now", required=True),),
    responses={200: dms.TAGS},
    headers=(headers.TRACE_HEADER, "If-Match"),
)
def extend_lease(call: Call, object_id: str, name: str) -> Response:
    """Lets a lease run on; the tag and its ETag stay as they are."""
    resource = Resource(call.identity.tenant, Kind.OBJECT, object_id)
    tag = call.services.leases.extend(resource, name, _holder(call), call.arguments["seconds"], call.if_match)
    return _answer_holder(call, Changed(tag, tag.trace_id))


@api.route(
    "DELETE",
    "/objects/{objectId}/tags/{name}/lease",
    permission=Permission.WRITE,
    scope=Permission.WRITE,
    summary="Give a lease back at once",
    responses={200: dms.TAGS},
    headers=(headers.TRACE_HEADER, "If-Match"),
)
def give_lease_back(call: Call, object_id: str, name: str) -> Response:
    """Ends a lease; the answer is the tag's row, or empty where the claim had added the tag."""
    resource = Resource(call.identity.tenant, Kind.OBJECT, object_id)
    return _answer_holder(call, call.services.leases.give_back(resource, name, _holder(call), call.identity.actor, call.if_match))


@api.route(
    "POST",
    "/objects/search",
    permission=Permission.READ,
    summary="The objects of a statement",
    parameters=(WAIT_FOR_SEARCH,),
    body=workflow_schemas.request_body(workflow_schemas.SEARCH_BODY),
    responses={200: workflow_schemas.FOUND},
)
def search(call: Call) -> Response:
    """One page of the objects of a statement."""
    page = call.services.search.page(call.identity.tenant, *statements.searched(call))
    found: dict[str, Any] = {
        "objects": [
            {"properties": workflow_schemas.object_properties(object_id, _readable(call, tags))}
            for object_id, tags in page.objects
        ],
        "numItems": len(page.objects),
        "hasMoreItems": page.more,
        "totalNumItems": page.total,
    }
    return answer(found | ({"totalNumItemsIsLowerBound": True} if page.bounded else {}))


@api.route(
    "POST",
    "/objects/tags",
    permission=Permission.WRITE,
    summary="Many changes in one request, each with its own result",
    parameters=(WAIT_FOR_SEARCH,),
    description="Changes of one object are made in the order given. Each stands alone and is audited as if sent alone.",
    body=workflow_schemas.request_body(workflow_schemas.CHANGES),
    responses={200: workflow_schemas.RESULTS},
    headers=(headers.TRACE_HEADER,),
)
def change_many(call: Call) -> Response:
    """Makes up to 1,000 changes."""
    trace_id = call.trace_id
    read = [batch.read(call, item, trace_id) for item in batch.items_of(call)]
    made = iter(call.services.batches.apply([one for one in read if isinstance(one, Change)]))
    return answer({"results": [_result(call, next(made) if isinstance(one, Change) else one) for one in read]})


@api.route(
    "GET",
    "/tag-definitions",
    permission=Permission.READ,
    summary="All tag definitions",
    responses={200: workflow_schemas.DEFINITIONS},
)
def list_definitions(call: Call) -> Response:
    """The definitions of the tags that the caller may read."""
    listed = [
        one for one in call.services.definitions.all(call.identity.tenant) if call.identity.covers(Permission.READ, one.name)
    ]
    return answer({"definitions": [{"name": one.name, **document(one)} for one in listed]})


@api.route(
    "GET",
    "/tag-definitions/{name}",
    permission=Permission.READ,
    scope=Permission.READ,
    summary="One tag definition",
    responses={200: workflow_schemas.DEFINITION},
)
def read_definition(call: Call, name: str) -> Response:
    """The definition of tags called `name`."""
    return answer(document(call.services.definitions.get(call.identity.tenant, name)))


@api.route(
    "PUT",
    "/tag-definitions/{name}",
    permission=Permission.ADMIN,
    summary="Set a tag definition; it holds everywhere within 2 s",
    body=workflow_schemas.request_body(workflow_schemas.DEFINITION),
    responses={200: workflow_schemas.DEFINITION},
    headers=(headers.TRACE_HEADER,),
)
def write_definition(call: Call, name: str) -> Response:
    """Defines tags called `name`."""
    definition = definitions.read(name, bodies.json_object(call.request))
    call.services.definitions.put(call.identity.tenant, definition, call.identity.actor, call.trace_id)
    return answer(document(definition))


@api.route(
    "DELETE",
    "/tag-definitions/{name}",
    permission=Permission.ADMIN,
    summary="Remove a tag definition; its tags stay",
    responses={200: {"description": "The definition is removed; the body is empty."}},
    headers=(headers.TRACE_HEADER,),
)
def delete_definition(call: Call, name: str) -> Response:
    """Removes the definition of tags called `name`."""
    call.services.definitions.delete(call.identity.tenant, name, call.identity.actor, call.trace_id)
    return Response(b"", mimetype="application/json")


def _holder(call: Call) -> str:
    if call.trace_id is None:
        raise TraceIdRequired("only the holder of a lease may do this: send its trace id in the header X-B3-TraceId")
    return call.trace_id


def _answer_holder(call: Call, changed: Changed) -> Response:
    """What came of a lease: its row only to who may read the tag, since it goes back to a state that its holder did not set."""
    if changed.tag is None or _readable(call, (changed.tag,)):
        return answer_change(changed)
    return locks.stamp(answer(dms.rows([])), changed)


def _readable(call: Call, tags: tuple[Tag, ...]) -> list[Tag]:
    return [tag for tag in tags if call.identity.covers(Permission.READ, tag.name)]


def _claimed(call: Call, claimed: Claimed) -> dict[str, Any]:
    properties = workflow_schemas.object_properties(claimed.object_id, _readable(call, claimed.tags))
    return {**properties, "dms:attempts": {"value": claimed.attempts}}


def _result(call: Call, outcome: Changed | TagsError) -> dict[str, Any]:
    """The result of one change of a batch, or its problem as if it had been sent alone."""
    if isinstance(outcome, TagsError):
        problem, found = problem_document(outcome, call.identity.tenant)
        return {"status": found.problem.status, "problem": problem}
    result: dict[str, Any] = {"status": 200, "traceId": outcome.trace_id}
    if outcome.tag is not None:
        result |= {"tag": dms.row(outcome.tag), "etag": outcome.tag.etag}
    return result | ({"replayed": True} if outcome.replayed else {})
