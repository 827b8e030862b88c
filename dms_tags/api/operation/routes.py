"""`/`, `/health/*`, `/metrics`, `/openapi.json`, `/docs` and `/problems/*` (API.md section 7)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from flask import Response, redirect, render_template

from dms_tags.api import metrics
from dms_tags.api.endpoint import PUBLIC, Api, Call, PathParameter
from dms_tags.api.problems import MEDIA_TYPE, PROBLEM_SCHEMA, PROBLEMS, render_problem
from dms_tags.errors import NotFound, StoreUnavailable
from dms_tags.identity.model import Permission

STATUS: Final[Mapping[str, Any]] = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}
PAGE: Final[Mapping[str, Any]] = {"description": "A page", "content": {"text/html": {"schema": {"type": "string"}}}}
SLUG: Final = {"slug": PathParameter(str, {"type": "string", "enum": sorted(PROBLEMS)}, "trace-mismatch")}

api = Api("operation", "", render_problem, PROBLEM_SCHEMA, MEDIA_TYPE)


@api.route("GET", "/", permission=PUBLIC, summary="Leads to the documentation", responses={302: {"description": "See /docs"}})
def index(_: Call) -> Response:
    """Leads to the documentation."""
    return redirect("/docs")  # type: ignore[return-value]


@api.route("GET", "/health/live", permission=PUBLIC, summary="Whether the process runs", responses={200: STATUS})
def live(_: Call) -> Response:
    """The process runs."""
    return _json({"status": "ok"})


@api.route(
    "GET",
    "/health/ready",
    permission=PUBLIC,
    summary="Whether the service can do its work",
    responses={200: STATUS, 503: {"description": "MongoDB does not answer", "content": {MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}}}},
)
def ready(call: Call) -> Response:
    """MongoDB answers and the database is prepared."""
    if not call.services.ready():
        raise StoreUnavailable("MongoDB does not answer")
    return _json({"status": "ok"})


@api.route(
    "GET",
    "/metrics",
    permission=PUBLIC,
    summary="Metrics for Prometheus; from another machine with the permission read",
    responses={200: {"description": "Metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def read_metrics(call: Call) -> Response:
    """Counters of all processes, gauges of the trail."""
    guard = call.services.guard
    if not guard.is_local(call.request):
        guard.identify(call.request).require(Permission.READ)
    return Response(metrics.exposition(call.services.trail), content_type="text/plain; version=0.0.4; charset=utf-8")


@api.route(
    "GET",
    "/openapi.json",
    permission=PUBLIC,
    summary="This API as an OpenAPI document",
    responses={200: {"type": "object", "required": ["openapi", "paths"]}},
)
def openapi(call: Call) -> Response:
    """The OpenAPI document."""
    return _json(call.services.openapi())


@api.route("GET", "/docs", permission=PUBLIC, summary="This API for people", responses={200: PAGE})
def docs(call: Call) -> Response:
    """Every call, its parameters and its answers, on one page that asks no other host for anything."""
    return Response(render_template("docs.html", document=call.services.openapi(), methods=("get", "post", "put", "delete")))


@api.route("GET", "/problems", permission=PUBLIC, summary="All problems, with their numbers", responses={200: PAGE})
def problems(_: Call) -> Response:
    """Every type of problem."""
    return Response(render_template("problems.html", problems=PROBLEMS.values()))


@api.route(
    "GET",
    "/problems/{slug}",
    permission=PUBLIC,
    path_parameters=SLUG,
    summary="One problem, explained",
    responses={200: PAGE, 404: PAGE},
)
def problem(_: Call, slug: str) -> Response:
    """What a problem means and what helps."""
    found = PROBLEMS.get(slug)
    if found is None:
        raise NotFound(f"there is no problem called {slug!r}; /problems lists all")
    return Response(render_template("problems.html", problems=[found]))


def _json(document: Mapping[str, Any]) -> Response:
    return Response(json.dumps(document), mimetype="application/json")
