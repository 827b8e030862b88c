"""The OpenAPI document, made from the declared routes, so that it cannot tell what the service does not do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import fields

from dms_tags.api import bodies
from dms_tags.api.console.session import COOKIE
from dms_tags.api.endpoint import PUBLIC, Api, Route
from dms_tags.api.gate.admission import REQUEST_ID_HEADER
from dms_tags.api.headers import REASON_HEADER
from dms_tags.api.members import Body
from dms_tags.audit.export.exporter import COMPLETE_HEADER, HEAD_HEADER, OLDEST_HEADER
from dms_tags.identity.model import Permission
from dms_tags.version import __version__

ENTITY_TAGS: Final = r'^(?:\*|(?:W/)?"[!#-~]*"(?: *, *(?:W/)?"[!#-~]*")*)$'

HEADERS: Final[Mapping[str, tuple[str, Mapping[str, Any], Any]]] = {
    "X-B3-TraceId": ("the trace id of the call", {"type": "string", "pattern": "^[0-9a-f]{1,32}$"}, "1234567887654321"),
    "If-Match": (
        "change it only if its ETag is one of these; *: in whichever revision",
        {"type": "string", "pattern": ENTITY_TAGS},
        '"01a2262b374a23d0ba82f26f3d77c08d"',
    ),
    "If-None-Match": (
        "of a GET: answer 304 if the ETag is one of these; of a change: `*`, change it only if it is not there",
        {"type": "string", "pattern": ENTITY_TAGS},
        "*",
    ),
    "Idempotency-Key": (
        "the same key again is answered as the first time and changes nothing",
        {"type": "string", "pattern": "^[\\x21-\\x7e]{1,64}$"},
        "import-7",
    ),
    REASON_HEADER: (
        "why the change is made, for its entry in the trail: 1 to 500 characters, UTF-8 percent-encoded, or plain ASCII",
        {"type": "string", "minLength": 1, "pattern": "^[ -~]+$"},
        "scanned%20again",
    ),
    "Last-Event-ID": ("resume after this position", {"type": "string", "pattern": "^[0-9]{1,15}$"}, "1234"),
}

GIVEN: Final[Mapping[str, tuple[str, str]]] = {
    REQUEST_ID_HEADER: ("the call's id: the caller's own, or one made for it; also in the service's log", "string"),
    "ETag": ("what If-Match and If-None-Match name it by; it changes with every change", "string"),
    "X-B3-TraceId": ("the trace id that it has now, or of a refusal the request's own", "string"),
    "Idempotent-Replayed": ("true: this is the kept answer to an earlier request with the same key", "string"),
    "Retry-After": ("seconds after which to try again", "integer"),
    "Link": ("rel=next: the address of the next page, where there may be one", "string"),
    "X-Missing-Tags": ("ids of the mandatory labels that the resource lacks, with commas", "string"),
    HEAD_HEADER: ("the highest position of the trail when the export began", "integer"),
    OLDEST_HEADER: ("the oldest position that is not archived", "integer"),
    COMPLETE_HEADER: ("false: some of what was asked for is archived", "string"),
}
"""Headers of answers."""

LATER: Final = frozenset({429, 503})

SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "basic": {"type": "http", "scheme": "basic", "description": "token name and token"},
    "console": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "the session of the console"},
    "session_user": {"type": "apiKey", "in": "header", "name": "X-Spaaza-Session-User-Id"},
    "session_key": {"type": "apiKey", "in": "header", "name": "X-Spaaza-Session-Key"},
}

ERRORS: Final = {
    400: "The request is malformed",
    401: "No valid identity",
    403: "Not permitted",
    404: "Not found",
    405: "The path takes other methods, which Allow names",
    409: "The resource as it stands does not allow it",
    410: "Archived",
    412: "A condition did not hold",
    413: "Too large",
    415: "Unsupported media type",
    422: "Well formed, and not possible",
    429: "Too many requests; Retry-After says when to go on",
    500: "Internal error",
    503: "MongoDB does not answer; Retry-After says when to try again",
}

BY_SERVER: Final = {414: "The path and query are too long", 431: "The headers are too large"}
"""What is refused before any API sees it, and thus in one shape for all (RFC 9457)."""

PLAIN_PROBLEM: Final = {"type": "object", "required": ["type", "title", "status", "detail"]}

OF_CHANGES: Final = frozenset({409, 412, 422})
"""The errors that only a change can give."""

OF_ANY: Final = frozenset({400, 403, 405, 413, 415, 500})
"""The errors of requests that are refused whatever they ask for: also calls that ask for no identity can give them."""


def document(apis: Iterable[Api]) -> dict[str, Any]:
    """The OpenAPI 3.0.3 document of the APIs."""
    plugin = MarshmallowPlugin()
    spec = APISpec(
        "dms-tags",
        __version__,
        "3.0.3",
        plugins=[plugin],
        info={
            "description": "Tags on DMS objects, locked by trace id, every change in a provable audit trail.",
            "license": {"name": "MIT"},
        },
    )
    assert plugin.converter is not None  # noqa: S101 - it has one once it belongs to a document
    plugin.converter.add_attribute_function(_null_is_absent)  # type: ignore[no-untyped-call]
    for name, scheme in SECURITY.items():
        spec.components.security_scheme(name, dict(scheme))
    for api in apis:
        spec.components.schema(f"{api.name}-error", dict(api.error_schema))
        for route in api.routes:
            spec.path(route.full_path, operations={route.method.lower(): _operation(route)})
    return spec.to_dict()


def _null_is_absent(_: Any, field: fields.Field[Any], **__: Any) -> dict[str, Any]:
    """What a member that may be left out may also be; a lock that is null is refused instead."""
    lock = isinstance(field.parent, Body) and (field.data_key or field.name) in field.parent.LOCKS
    return {} if field.required or lock or not isinstance(field.parent, Body) else {"nullable": True}


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.endpoint,
        "tags": [route.section],
        "summary": route.summary,
        "parameters": [*_path(route), *_query(route), *_headers(route)],
        "responses": {str(status): _response(answer) for status, answer in route.responses.items()},
        "security": [] if route.permissions == PUBLIC else _security(route.api),
    }
    description = route.description
    if route.api.note:
        description += f"\n\n{route.api.note}"
    if route.permissions:
        description += f"\n\nPermission: {' or '.join(sorted(route.permissions))}."
    if description.strip():
        operation["description"] = description.strip()
    if route.body is not None:
        content: dict[str, Any] = {"schema": route.body}
        if route.body.EXAMPLE is not None:
            content["example"] = route.body.EXAMPLE
        types = ("application/json", bodies.FORM) if route.api.forms else ("application/json",)
        operation["requestBody"] = {"required": route.body_required, "content": dict.fromkeys(types, content)}
    if route.method == "GET" and "If-None-Match" in route.headers:
        operation["responses"]["304"] = {"description": "The client has it already"}
    error = {"content": {route.api.error_type: {"schema": {"$ref": f"#/components/schemas/{route.api.name}-error"}}}}
    for status in possible(route):
        operation["responses"].setdefault(str(status), {"description": ERRORS[status], **error})
    plain = {"content": {"application/problem+json": {"schema": PLAIN_PROBLEM}}}
    for status, meaning in BY_SERVER.items():
        operation["responses"].setdefault(str(status), {"description": meaning, **plain})
    for status, response in operation["responses"].items():
        response["headers"] = _given(route, int(status))
    return operation


def _given(route: Route, status: int) -> dict[str, Any]:
    """The headers of the route's answers with a status."""
    if status in BY_SERVER:
        return {}
    names = [REQUEST_ID_HEADER]
    tells_tag = "Idempotency-Key" in route.headers or "If-None-Match" in route.headers or "If-Match" in route.headers
    if status < 400:
        names += route.gives
        names += ["ETag", "X-B3-TraceId"] if tells_tag else []
        names += ["Idempotent-Replayed"] if "Idempotency-Key" in route.headers and status != 304 else []
    else:
        names += ["X-B3-TraceId"] if "X-B3-TraceId" in route.headers else []
        names += ["Retry-After"] if status in LATER else []
    return {name: {"description": GIVEN[name][0], "schema": {"type": GIVEN[name][1]}} for name in names}


def possible(route: Route) -> list[int]:
    """The errors that a call can give: one that changes nothing loses no lock, and only some look at what may be archived."""
    if route.permissions == PUBLIC:
        return sorted(OF_ANY)
    reads = route.method == "GET" or route.permissions == {Permission.READ}
    looks_back = Permission.AUDIT in route.permissions or {"at", "after"} & route.parameters.keys()
    never = (OF_CHANGES if reads else frozenset()) | (frozenset() if looks_back else {410})
    return [status for status in ERRORS if status not in never]


def _security(api: Api) -> list[dict[str, list[str]]]:
    if "session_key" in api.security:
        return [{name: [] for name in api.security}]
    return [{name: []} for name in api.security]


def _path(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": dict(part.schema)}
        | ({"example": part.example} if part.example is not None else {})
        for name in re.findall(r"{(\w+)}", route.path)
        for part in (route.path_parameters[name],)
    ]


def _query(route: Route) -> list[dict[str, Any]]:
    listed = []
    for parameter in route.parameters.values():
        schema: dict[str, Any] = dict(parameter.schema)
        if parameter.repeatable:
            schema = {"type": "array", "items": schema}
        described = {
            "name": parameter.name,
            "in": "query",
            "required": parameter.required,
            "description": parameter.description,
            "schema": schema,
        }
        if parameter.example is not None:
            described["example"] = parameter.example
        listed.append(described)
    return listed


def _headers(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": HEADERS[name][0],
            "schema": dict(HEADERS[name][1]),
            "example": HEADERS[name][2],
        }
        for name in route.headers
    ]


def _response(answer: Mapping[str, Any]) -> dict[str, Any]:
    if "description" in answer and "type" not in answer:
        return dict(answer)
    return {"description": "Done", "content": {"application/json": {"schema": dict(answer)}}}
