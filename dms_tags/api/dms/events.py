"""`/api/dms/tags/events` (API.md section 3)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from flask import Response

from dms_tags import names
from dms_tags.api.dms.api import api
from dms_tags.api.endpoint import Call
from dms_tags.api.gate.guard import Guard
from dms_tags.api.parameters import Parameter, integer, whole
from dms_tags.audit.trail.tail import Interest
from dms_tags.errors import Refused, StoreUnavailable
from dms_tags.identity.model import Identity, Permission
from dms_tags.identity.names import TENANT_HEADER

LAST_EVENT_ID = "Last-Event-ID"
MAX_POSITION = 10**15 - 1

_position = whole(LAST_EVENT_ID, 0, MAX_POSITION)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a stream was opened with; it goes on only as long as this still stands for the same identity."""

    guard: Guard
    authorization: str | None
    tenant: str | None
    identity: Identity

    @property
    def holder(self) -> Hashable:
        """The identity's tenant and actor."""
        return self.identity.tenant, self.identity.actor

    def holds(self) -> bool:
        """False once the token was revoked or has run out; with MongoDB away nothing is known, and no event comes."""
        try:
            return self.guard.confirm(self.authorization, self.tenant) == self.identity
        except Refused:
            return False
        except StoreUnavailable:
            return True


@api.route(
    "GET",
    "/tags/events",
    section="events",
    permission=Permission.READ,
    parameters=(
        Parameter("name", names.tag_name, {"type": "string"}, "only tags of this name", example="ocr"),
        Parameter(
            "state",
            names.state,
            {"type": "integer", "minimum": names.MIN_STATE, "maximum": names.MAX_STATE},
            "only changes to this state, and removals from it",
        ),
        Parameter("objectId", names.object_id, {"type": "string"}, "only tags of this object"),
        integer("after", 0, MAX_POSITION, "the position after which to begin; absent: from now on"),
    ),
    responses={
        200: {
            "description": "The stream: data is a CloudEvents 1.0 JSON document; a block without data tells the position reached.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
    headers=(LAST_EVENT_ID,),
)
def stream_events(call: Call) -> Response:
    """Changes of tags as they are recorded, as Server-Sent Events.

    The id of an event is its position; Last-Event-ID, which wins over `after`, resumes without gap or repeat.
    """
    identity, name = call.identity, call.arguments["name"]
    if name is not None:
        identity.require_name(Permission.READ, name)
    last = call.request.headers.get(LAST_EVENT_ID)
    after = _position(last) if last else call.arguments["after"]
    interest = Interest(name, call.arguments["state"], call.arguments["objectId"], identity.read_prefixes)
    credentials = Credentials(
        call.services.guard, call.request.headers.get("Authorization"), call.request.headers.get(TENANT_HEADER), identity
    )
    feed = call.services.feed
    feed.require_place(credentials)
    stream = feed.follow(identity.tenant, interest, feed.start(identity.tenant, after), credentials)
    response = Response(stream, mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
    return response
