"""What every log line of a call says of it: request id, trace id, actor and tenant, as far as each is known."""

from __future__ import annotations

import logging
from typing import Any, Final

from flask import g, has_request_context, request

from dms_tags.api import headers
from dms_tags.api.gate.admission import request_id
from dms_tags.errors import InvalidTraceId
from dms_tags.identity.model import Identity

ENVIRON_KEY: Final = "dms_tags.call"
"""Where the server, which logs a request once it was answered, finds the fields."""


def of_call() -> dict[str, Any]:
    """The fields of the call that is being answered."""
    identity: Identity | None = g.get("identity")
    fields: dict[str, Any] = {"request_id": request_id(request)}
    try:
        trace_id = headers.trace_id(request.headers)
    except InvalidTraceId:
        trace_id = None
    if trace_id is not None:
        fields["trace_id"] = trace_id
    if identity is not None:
        fields |= {"actor": identity.actor.name, "actor_kind": identity.actor.kind, "tenant": identity.tenant}
    return fields


class OfCall(logging.Filter):
    """Puts the fields of the call that is being answered, if any is, into each line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Every line passes."""
        if has_request_context():
            record.fields = of_call() | getattr(record, "fields", {})
        return True
