"""Claims and leases: a state as queue and lock of workflow engines (API.md section 3)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Final

from flask import Response

from dms_tags.api import headers, locks
from dms_tags.api.answers import json_answer, stamp
from dms_tags.api.dms import objects_schemas, statements, workflow_schemas
from dms_tags.api.dms import schemas as dms
from dms_tags.api.dms.api import api
from dms_tags.api.dms.tags import answer_change
from dms_tags.api.endpoint import Call
from dms_tags.api.parameters import Parameter, integer
from dms_tags.errors import InvalidParameter, TraceIdRequired
from dms_tags.identity.model import Permission
from dms_tags.model import Changed, Kind, Resource
from dms_tags.tags.claim_keys import MAX_LIMIT, Claim, Claimed
from dms_tags.tags.claims import MAX_LEASE_SECONDS

QUERY: Final = Parameter(
    "query",
    str,
    {"type": "string"},
    "which objects; may also be sent as the body of a search",
    example="SELECT * FROM document WHERE system:tags[ocr].state=1",
)

route = partial(api.route, section="workflow")


@route(
    "POST",
    "/objects/tags/{name}/state/{state}",
    permission=Permission.WRITE,
    scope=Permission.WRITE,
    parameters=(
        QUERY,
        integer("limit", 1, MAX_LIMIT, "objects to claim, at most", 1),
        integer("leaseSeconds", 1, MAX_LEASE_SECONDS, "the claim ends by itself after so many seconds"),
    ),
    body=statements.CLAIM,
    body_required=False,
    responses={200: workflow_schemas.CLAIMED},
    headers=(headers.TRACE_HEADER, headers.REASON_HEADER, "Idempotency-Key"),
)
def claim(call: Call, name: str, state: int) -> Response:
    """Claim: set the tag on the first object of a statement, adding it where it is missing.

    Two callers never get the same match. With leaseSeconds the tag goes back by itself unless it is changed in
    time.
    """
    call.identity.require(Permission.READ)
    if "If-Match" in call.request.headers:
        raise InvalidParameter("If-Match is a condition on one tag; a claim takes whichever object its statement finds")
    statement, reason = statements.claimed(call)
    asked_type = statement.type if call.services.types.asked_by(call.identity.tenant, statement) else ""
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
            # The statement as it was understood, and not as it was spelt or where it stood
            locks.idempotency(call, repr(replace(statement, type=asked_type)), *locks.why(reason), without=("query",)),
            reason,
        )
    )
    response = json_answer({"objects": [{"properties": _claimed(call, each)} for each in claimed]})
    if len(claimed) == 1 and call.identity.covers(Permission.READ, name):
        tag = claimed[0].tag
        return stamp(response, Changed(tag, tag.trace_id, replayed=claimed[0].replayed))
    if claimed and claimed[0].replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


@route(
    "POST",
    "/objects/{objectId}/tags/{name}/lease",
    permission=Permission.WRITE,
    scope=Permission.WRITE,
    parameters=(integer("seconds", 1, MAX_LEASE_SECONDS, "from now", required=True),),
    responses={200: dms.TAGS},
    headers=(headers.TRACE_HEADER, "If-Match"),
)
def extend_lease(call: Call, object_id: str, name: str) -> Response:
    """Extend a lease."""
    resource = Resource(call.identity.tenant, Kind.OBJECT, object_id)
    tag = call.services.leases.extend(resource, name, _holder(call), call.arguments["seconds"], call.entity_tags("If-Match"))
    return _answer_holder(call, Changed(tag, tag.trace_id))


@route(
    "DELETE",
    "/objects/{objectId}/tags/{name}/lease",
    permission=Permission.WRITE,
    scope=Permission.WRITE,
    responses={200: dms.TAGS},
    headers=(headers.TRACE_HEADER, headers.REASON_HEADER, "If-Match"),
)
def give_lease_back(call: Call, object_id: str, name: str) -> Response:
    """Give a lease back at once."""
    resource, etags = Resource(call.identity.tenant, Kind.OBJECT, object_id), call.entity_tags("If-Match")
    actor, reason = call.identity.actor, call.reason
    return _answer_holder(call, call.services.leases.give_back(resource, name, _holder(call), actor, etags, reason=reason))


def _holder(call: Call) -> str:
    if call.trace_id is None:
        raise TraceIdRequired("only the holder of a lease may do this: send its trace id in the header X-B3-TraceId")
    return call.trace_id


def _answer_holder(call: Call, changed: Changed) -> Response:
    """What came of a lease: its row only to who may read the tag, since it goes back to a state that its holder did not set."""
    if changed.tag is None or statements.may_see(call, (changed.tag,)):
        return answer_change(changed)
    return stamp(json_answer(dms.rows([])), changed)


def _claimed(call: Call, claimed: Claimed) -> dict[str, Any]:
    properties = objects_schemas.properties(claimed.object_id, statements.may_see(call, claimed.tags), claimed.told)
    return {**properties, "dms:attempts": {"value": claimed.attempts}}
