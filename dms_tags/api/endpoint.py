"""Declaring routes, and what happens to every call before a view sees it.

A route names its permission, its parameters and its answers when it is declared.  From that one declaration come the
checks, which thereby cannot be forgotten, and the OpenAPI document.  A call is identified, then authorised, then read,
then answered; what any step refuses is rendered in the shape of the API that the path belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final

from flask import Flask, Request, Response, request
from marshmallow import Schema, ValidationError

from dms_tags import counters, names
from dms_tags.api import bodies, headers, parameters
from dms_tags.api.parameters import Parameter
from dms_tags.api.services import Services
from dms_tags.errors import CannotStart, InvalidBody
from dms_tags.identity.authenticator import NOBODY
from dms_tags.identity.model import Identity, Permission

PUBLIC: Final = frozenset[Permission]()
"""The permission of the few routes that need no identity (API.md section 6)."""

IDENTIFIED: Final = frozenset(Permission)
"""The permission of routes that need no more than an identity of the tenant, whatever it may do."""


CONDITIONAL: Final = ("If-Match", "If-None-Match", "Idempotency-Key")
"""Headers that a caller rests on: a call that writes honours each, or refuses it by name."""


@dataclass(frozen=True, slots=True)
class PathParameter:
    """A part of a path: how it is read, and how OpenAPI describes it; one that `spans` may contain slashes."""

    parse: Callable[[str], Any]
    schema: Mapping[str, Any]
    example: Any = None
    spans: bool = False


PATH_PARAMETERS: Final[dict[str, PathParameter]] = {
    "objectId": PathParameter(names.object_id, {"type": "string", "pattern": f"^{names.OBJECT_ID_PATTERN}$"}, "8f2c"),
    "name": PathParameter(
        names.tag_name, {"type": "string", "maxLength": names.MAX_NAME, "pattern": f"^{names.TAG_NAME_PATTERN}$"}, "tag1"
    ),
    "state": PathParameter(names.state, {"type": "integer", "minimum": names.MIN_STATE, "maximum": names.MAX_STATE}, 9999),
}
"""The parts of paths that every API reads alike; a route may bring its own."""


@dataclass(frozen=True, slots=True)
class Route:
    """One declared route; see `Api.route` for the members."""

    api: Api
    method: str
    path: str
    view: Callable[..., Response]
    permissions: frozenset[Permission]
    scope: Permission | None
    parameters: Mapping[str, Parameter]
    path_parameters: Mapping[str, PathParameter]
    body: type[Schema] | Mapping[str, Any] | None
    summary: str
    description: str
    responses: Mapping[int, Mapping[str, Any]]
    headers: Sequence[str]
    check: Callable[[Identity, Mapping[str, Any]], None] | None
    operation_id: str | None

    @property
    def endpoint(self) -> str:
        """The route's name in Flask and its OpenAPI operation id."""
        return self.operation_id or f"{self.api.name}.{self.view.__name__}"

    @property
    def not_honoured(self) -> tuple[str, ...]:
        """The conditional headers that the call refuses: all that it does not declare, where it writes."""
        if self.method == "GET" or self.permissions in (PUBLIC, frozenset({Permission.READ})):
            return ()
        return tuple(header for header in CONDITIONAL if header not in self.headers)

    @property
    def full_path(self) -> str:
        """The path in OpenAPI's spelling, `/api/dms/objects/{objectId}/tags`."""
        return self.api.prefix + self.path


@dataclass(slots=True)
class Call:
    """A call that was identified and authorised, and whose path and query were read."""

    request: Request
    services: Services
    identity: Identity
    arguments: Mapping[str, Any]

    @property
    def trace_id(self) -> str | None:
        """The request's trace id.  Raises `InvalidTraceId`."""
        return headers.trace_id(self.request.headers)

    @property
    def if_match(self) -> tuple[str, ...] | None:
        """The entity tags of `If-Match`.  Raises `InvalidParameter`."""
        return headers.if_match(self.request.headers)

    @property
    def idempotency_key(self) -> str | None:
        """The `Idempotency-Key`.  Raises `InvalidParameter`."""
        return headers.idempotency_key(self.request.headers)

    def body(self, schema: Schema) -> Any:
        """The request's JSON body, loaded by `schema`.  Raises `InvalidBody`, naming the member at fault."""
        document = bodies.json_document(self.request)
        if not isinstance(document, dict) and not schema.many:
            raise InvalidBody("the body is a JSON object")
        try:
            return schema.load(document)
        except ValidationError as error:
            member, reason = first_error(error.messages)
            raise InvalidBody(f"{member}: {reason}" if member else reason, member) from error


@dataclass(slots=True)
class Api:
    """One of the service's APIs: a prefix, its routes and the shape of its errors.

    `render` turns a domain error or one of werkzeug's into an answer, of media type `error_type` and shape `error_schema`.
    `security` names the OpenAPI security schemes that identify a caller; `identify` does it where the guard does not.
    `roots` are the paths below which errors have the API's shape, where they are not all below one prefix.
    """

    name: str
    prefix: str
    render: Callable[[Exception], Response]
    error_schema: Mapping[str, Any]
    error_type: str = "application/json"
    security: Sequence[str] = ("bearer", "basic")
    identify: Callable[[Services, Request], Identity] | None = None
    roots: Sequence[str] = ()
    routes: list[Route] = field(default_factory=list)

    def route(
        self,
        method: str,
        path: str,
        *,
        permission: Permission | frozenset[Permission],
        summary: str,
        description: str = "",
        parameters: Sequence[Parameter] = (),
        path_parameters: Mapping[str, PathParameter] | None = None,
        scope: Permission | None = None,
        body: type[Schema] | Mapping[str, Any] | None = None,
        responses: Mapping[int, Mapping[str, Any]],
        headers: Sequence[str] = (),
        check: Callable[[Identity, Mapping[str, Any]], None] | None = None,
        operation_id: str | None = None,
    ) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
        """Declares a view.

        `path` has its variable parts as `{objectId}`; `permission` is one, or several of which any suffices, or `PUBLIC`.
        `scope` is the permission whose tag-name prefixes must cover the path's `{name}`.
        `responses` maps statuses to JSON schemas (or OpenAPI response objects, which have a `description`).
        `body` is a schema of a JSON body, or an OpenAPI request body object.
        `headers` names the request headers that the call honours, for OpenAPI, and so that no other condition is dropped; `check` is one more check of the identity and the path.
        `operation_id` is OpenAPI's, where it is not the view's name.
        """

        def declare(view: Callable[..., Response]) -> Callable[..., Response]:
            permissions = frozenset({permission}) if isinstance(permission, Permission) else permission
            used = re.findall(r"{(\w+)}", path)
            available = PATH_PARAMETERS | dict(path_parameters or {})
            self.routes.append(
                Route(
                    self,
                    method,
                    path,
                    view,
                    permissions,
                    scope,
                    {parameter.name: parameter for parameter in parameters},
                    {name: available[name] for name in used},
                    body,
                    summary,
                    description,
                    responses,
                    headers,
                    check,
                    operation_id,
                )
            )
            return view

        return declare

    def register(self, app: Flask, services: Services) -> None:
        """Adds the routes to the application.  Raises `CannotStart` for one without a declared permission."""
        for route in self.routes:
            if not isinstance(route.permissions, frozenset):
                raise CannotStart(f"{route.method} {route.full_path} declares no permission")
            app.add_url_rule(
                _rule(route),
                endpoint=route.endpoint,
                view_func=_dispatch(route, services),
                methods=[route.method],
                provide_automatic_options=False,
            )


def _rule(route: Route) -> str:
    """The path as Flask is told it."""

    def part(match: re.Match[str]) -> str:
        return f"<path:{match[1]}>" if route.path_parameters[match[1]].spans else f"<{match[1]}>"

    return re.sub(r"{(\w+)}", part, route.full_path)


def _dispatch(route: Route, services: Services) -> Callable[..., Response]:
    declared, public, render = route.parameters, route.permissions == PUBLIC, route.api.render
    needs = tuple(route.permissions)
    identify = route.api.identify or _by_guard
    readers = {name: part.parse for name, part in route.path_parameters.items()}
    refused = route.not_honoured
    spelled = {name: re.sub(r"(?=[A-Z])", "_", name).lower() for name in readers}

    def answer(**path: str) -> Response:
        started = perf_counter()
        response = respond(path)
        counters.observe_request(route.method, route.full_path, response.status_code, perf_counter() - started)
        return response

    def respond(path: Mapping[str, str]) -> Response:
        try:
            identity = NOBODY if public else identify(services, request)
            if not public:
                if route.permissions != IDENTIFIED:
                    identity.require(*needs)
                services.prepare()
            parts = {name: readers[name](text) for name, text in path.items()}
            if route.scope is not None:
                identity.require_name(route.scope, parts["name"])
            if route.check is not None:
                route.check(identity, parts)
            headers.refuse(request.headers, refused)
            call = Call(request, services, identity, parameters.read(declared, request.args))
            return route.view(call, **{spelled[name]: value for name, value in parts.items()})
        except Exception as error:  # noqa: BLE001 - every API answers in its own shape, also what nobody expected; it is logged
            return render(error)

    return answer


def _by_guard(services: Services, call: Request) -> Identity:
    return services.guard.identify(call)


def first_error(messages: Any, path: str = "") -> tuple[str, str]:
    """The first of marshmallow's messages: the member's path, and what is wrong with it."""
    if isinstance(messages, Mapping):
        key, inner = next(iter(messages.items()))
        step = "" if key == "_schema" else str(key)
        return first_error(inner, f"{path}.{step}".strip("."))
    if isinstance(messages, (list, tuple)):
        return first_error(messages[0], path)
    return path, str(messages)
