"""`/health/*`, `/metrics` and `/openapi.json` (API.md section 7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask import Response

from dms_tags.api import metrics
from dms_tags.api.answers import json_answer
from dms_tags.api.endpoint import PUBLIC, Api, Call
from dms_tags.api.problems import MEDIA_TYPE, PROBLEM_SCHEMA, render_problem
from dms_tags.identity.model import Permission

STATUS: Final[Mapping[str, Any]] = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}

REFUSED: Final = {
    "description": "Who calls is not known here, or comes too often",
    "content": {MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}},
}
AWAY: Final = {"description": "MongoDB does not answer", "content": REFUSED["content"]}

api = Api("operation", "", render_problem, PROBLEM_SCHEMA, MEDIA_TYPE)


@api.route("GET", "/health/live", permission=PUBLIC, responses={200: STATUS})
def live(_: Call) -> Response:
    """Whether the process runs."""
    return json_answer({"status": "ok"})


@api.route(
    "GET",
    "/health/ready",
    permission=PUBLIC,
    responses={
        200: {
            **STATUS,
            "properties": {"status": {"type": "string"}, "warnings": {"type": "array", "items": {"type": "string"}}},
        },
        503: {
            "description": "MongoDB does not answer, the relay stands still, or the service is about to stop",
            "content": {MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}},
        },
    },
)
def ready(call: Call) -> Response:
    """Whether the service can do its work."""
    warnings = call.services.require_ready()
    return json_answer({"status": "ok"} | ({"warnings": warnings} if warnings else {}))


@api.route(
    "GET",
    "/metrics",
    permission=PUBLIC,
    responses={
        200: {"description": "Metrics", "content": {"text/plain": {"schema": {"type": "string"}}}},
        401: REFUSED,
        429: REFUSED,
        503: AWAY,
    },
)
def read_metrics(call: Call) -> Response:
    """Metrics for Prometheus.

    All of them to callers on this machine and with the token of DMS_TAGS_METRICS_TOKEN; to an identity with the permission
    read those that name no tenant, with admin those of its own tenant too.
    """
    guard, tenants = call.services.guard, None
    if not guard.watches(call.request):
        identity = guard.identify(call.request)
        identity.require(Permission.READ, Permission.ADMIN)
        tenants = frozenset({identity.tenant} if Permission.ADMIN in identity.permissions else ())
    return Response(metrics.exposition(call.services.measuring, tenants), content_type="text/plain; version=0.0.4; charset=utf-8")


@api.route(
    "GET",
    "/openapi.json",
    permission=PUBLIC,
    responses={200: {"type": "object", "required": ["openapi", "paths"]}},
)
def openapi(call: Call) -> Response:
    """This API as an OpenAPI document."""
    return json_answer(call.services.openapi())
