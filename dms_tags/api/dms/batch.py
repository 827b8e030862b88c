"""Many changes in one request, read one by one: what is wrong with one says nothing of the others (API.md section 3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from flask import Response

from dms_tags import names
from dms_tags.api import headers, locks, members
from dms_tags.api.answers import json_answer
from dms_tags.api.dms import schemas, workflow_schemas
from dms_tags.api.dms.api import api
from dms_tags.api.endpoint import Call
from dms_tags.api.members import Body, Choice, Each, Flag, Part, Reason, Text, Whole
from dms_tags.api.problems import problem_document
from dms_tags.errors import InvalidState, TagsError, TraceIdRequired
from dms_tags.identity.model import Permission
from dms_tags.model import Change, Changed, Conditions, Idempotency, Kind, Resource, Terms, Verb
from dms_tags.tags.batch import MAX_CHANGES

STATE: Final = (names.MIN_STATE, names.MAX_STATE)


class ChangeBody(Body):
    """One change of a batch."""

    LOCKS = frozenset({"traceIdMustMatch", "ifMatch", "expectedState", "idempotencyKey"})

    object_id = Text(parse=names.object_id, required=True, data_key="objectId")
    name = Text(parse=names.tag_name, required=True)
    action = Choice([verb.value for verb in Verb], required=True)
    state = Whole(*STATE, metadata={"description": "needed but for delete, which takes none"})
    trace_id = Text(parse=names.trace_id, data_key="traceId", metadata={"description": "absent: the request's own"})
    must_match = Flag(data_key="traceIdMustMatch", load_default=False)
    if_match = Text(
        parse=headers.bare_entity_tags, data_key="ifMatch", metadata={"description": "ETags, in quotes or bare, or *"}
    )
    expected = Whole(*STATE, data_key="expectedState")
    key = Text(1, 64, parse=headers.valid_key, data_key="idempotencyKey")
    reason = Reason(metadata={"description": "why; absent: the batch's own, or the request's"})

    def refusal(self, member: str, reason: str) -> Any:
        """The error for a member that is not as declared."""
        return InvalidState(f"{member}: {reason}") if member in ("state", "expectedState") else super().refusal(member, reason)


class Changes(Body):
    """A batch."""

    changes = Each(Part(ChangeBody), MAX_CHANGES, required=True)
    reason = Reason(metadata={"description": "why; for the changes that tell no reason of their own"})


class Unread(Body):
    """A batch whose changes are not read yet: each may be wrong for itself."""

    changes = Each(members.Anything(), MAX_CHANGES, required=True)
    reason = Reason()


CHANGE: Final = ChangeBody()
UNREAD: Final = Unread()


@api.route(
    "POST",
    "/objects/tags",
    section="workflow",
    permission=Permission.WRITE,
    body=Changes(),
    responses={200: workflow_schemas.RESULTS},
    headers=(headers.TRACE_HEADER, headers.REASON_HEADER),
)
def change_many(call: Call) -> Response:
    """Many changes in one request, each with its own result.

    Changes of one object are made in the order given. Each stands alone and is audited as if sent alone.
    """
    trace_id, body = call.trace_id, call.body(UNREAD)
    reason = body.get("reason", call.reason)
    asked = [read(call, item, trace_id, reason) for item in body["changes"]]
    made = iter(call.services.batches.apply([change for change in asked if isinstance(change, Change)]))
    return json_answer({"results": [_result(call, next(made) if isinstance(change, Change) else change) for change in asked]})


def read(call: Call, item: Any, trace_id: str | None, reason: str | None) -> Change | TagsError:
    """The change that an item asks for, or what is wrong with it; trace id and reason are the batch's, for an item without."""
    try:
        return _read(call, members.load(CHANGE, item), trace_id, reason)
    except TagsError as error:
        return error


def _read(call: Call, item: dict[str, Any], trace_id: str | None, reason: str | None) -> Change:
    name, verb = item["name"], Verb(item["action"])
    call.identity.require_name(Permission.WRITE, name)
    state = None if verb is Verb.DELETE else item.get("state")
    if state is None and verb is not Verb.DELETE:
        raise InvalidState(f"state: a whole number from {names.MIN_STATE} to {names.MAX_STATE} is needed")
    trace_id = item.get("trace_id", trace_id)
    if item["must_match"] and trace_id is None:
        raise TraceIdRequired("traceIdMustMatch needs a traceId, of the change or of the request")
    conditions = Conditions(
        trace_id=trace_id if item["must_match"] else None,
        etags=item.get("if_match"),
        present="if_match" in item,
        state=item.get("expected"),
    )
    reason = item.get("reason", reason)
    terms = Terms(call.identity.actor, trace_id, conditions, reason=reason)
    if verb is Verb.ADD:
        locks.of_new(terms)
    if "key" in item:
        asked = ("batch", item["object_id"], name, verb.value, state, locks.meaning(conditions), *locks.why(reason))
        terms = replace(terms, idempotency=Idempotency(item["key"], locks.fingerprint(call.identity.actor, asked)))
    return terms.change(Resource(call.identity.tenant, Kind.OBJECT, item["object_id"]), name, verb, state)


def _result(call: Call, outcome: Changed | TagsError) -> dict[str, Any]:
    """The result of one change of a batch, or its problem as if it had been sent alone."""
    if isinstance(outcome, TagsError):
        problem, failure = problem_document(outcome, call.identity.tenant)
        return {"status": failure.problem.status, "problem": problem}
    result: dict[str, Any] = {"status": 200, "traceId": outcome.trace_id}
    if outcome.tag is not None:
        result |= {"tag": schemas.row(outcome.tag), "etag": outcome.tag.etag}
    return result | ({"replayed": True} if outcome.replayed else {})
