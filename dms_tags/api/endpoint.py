"""Declaring routes, and what happens to every call before a view sees it.

A route names its permission, its parameters and its answers when it is declared.  From that one declaration come the
checks, which thereby cannot be forgotten, and the OpenAPI document.  A call is identified, then authorised, then read,
then answered; what any step refuses is rendered in the shape of the API that the path belongs to.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final

from flask import Flask, Request, Response, request

from dms_tags import counters, names
from dms_tags.api import bodies, headers, members, parameters
from dms_tags.api.answers import empty_answer
from dms_tags.api.members import Body
from dms_tags.api.parameters import Parameter
from dms_tags.api.services import Services
from dms_tags.errors import CannotStart
from dms_tags.identity.authenticator import NOBODY
from dms_tags.identity.model import Identity, Permission

PUBLIC: Final = frozenset[Permission]()
"""The permission of the few routes that need no identity (API.md section 6)."""

IDENTIFIED: Final = frozenset(Permission)
"""The permission of routes that need no more than an identity of the tenant, whatever it may do."""


READING: Final = frozenset({Permission.READ, Permission.AUDIT})
"""The permissions of calls that change nothing, whatever their method."""

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
    body: Body | None
    body_required: bool
    responses: Mapping[int, Mapping[str, Any]]
    headers: Sequence[str]
    check: Callable[[Identity, Mapping[str, Any]], None] | None
    operation_id: str | None
    section: str
    gives: Sequence[str]

    @property
    def endpoint(self) -> str:
        """The route's name in Flask and its OpenAPI operation id."""
        return self.operation_id or f"{self.api.name}.{self.view.__name__}"

    @property
    def summary(self) -> str:
        """What the call does, in one line: the first of the view's docstring."""
        return self._told[0].rstrip(".")

    @property
    def description(self) -> str:
        """What else there is to know of the call: the rest of the view's docstring."""
        return self._told[2]

    @property
    def _told(self) -> tuple[str, str, str]:
        return (inspect.getdoc(self.view) or "").partition("\n\n")

    @property
    def not_honoured(self) -> tuple[str, ...]:
        """The conditional headers that the call refuses: all that it does not declare, where it writes."""
        if self.method == "GET" or self.permissions <= READING:
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
    route: Route
    parts: Mapping[str, Any]

    @property
    def trace_id(self) -> str | None:
        """The request's trace id.  Raises `InvalidTraceId`."""
        return headers.trace_id(self.request.headers)

    @property
    def reason(self) -> str | None:
        """Why the change is made, as the request says.  Raises `InvalidParameter`."""
        return headers.reason(self.request.headers)

    def entity_tags(self, header: str) -> tuple[str, ...] | None:
        """The entity tags that a header lists; None where it is absent or `*`.  Raises `InvalidParameter`."""
        text = self.request.headers.get(header)
        return None if text is None else headers.entity_tags(text, header)

    @property
    def idempotency_key(self) -> str | None:
        """The `Idempotency-Key`.  Raises `InvalidParameter`."""
        return headers.idempotency_key(self.request.headers)

    def body(self, schema: Body | None = None) -> Any:
        """The request's body, as the route declares it, or as `schema` takes it.

        Raises `UnsupportedMediaType`, `InvalidBody`, or what the schema raises for a member that is not as declared.
        """
        schema = schema or self.route.body
        assert schema is not None  # noqa: S101 - views ask for the body that they declare
        if self.route.api.forms and bodies.is_form(self.request):
            return members.load(schema, members.typed(schema, bodies.form(self.request)))
        return members.load(schema, bodies.json_object(self.request))


@dataclass(slots=True)
class Api:
    """One of the service's APIs: a prefix, its routes and the shape of its errors.

    `render` turns a domain error or one of werkzeug's into an answer, of media type `error_type` and shape `error_schema`.
    `security` names the OpenAPI security schemes that identify a caller; `identify` does it where the guard does not.
    `roots` are the paths below which errors have the API's shape, where they are not all below one prefix.
    `parameters` are taken by every call; `forms` says whether bodies may come as forms too; `note` ends every description.
    """

    name: str
    prefix: str
    render: Callable[[Exception], Response]
    error_schema: Mapping[str, Any]
    error_type: str = "application/json"
    security: Sequence[str] = ("bearer", "basic")
    identify: Callable[[Services, Request], Identity] | None = None
    roots: Sequence[str] = ()
    parameters: Sequence[Parameter] = ()
    forms: bool = False
    note: str = ""
    routes: list[Route] = field(default_factory=list)

    def route(
        self,
        method: str,
        path: str,
        *,
        permission: Permission | frozenset[Permission],
        parameters: Sequence[Parameter] = (),
        path_parameters: Mapping[str, PathParameter] | None = None,
        scope: Permission | None = None,
        body: Body | None = None,
        body_required: bool = True,
        responses: Mapping[int, Mapping[str, Any]],
        headers: Sequence[str] = (),
        check: Callable[[Identity, Mapping[str, Any]], None] | None = None,
        operation_id: str | None = None,
        section: str | None = None,
        gives: Sequence[str] = (),
    ) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
        """Declares a view; its docstring is what OpenAPI tells of the call.

        `path` has its variable parts as `{objectId}`; `permission` is one, or several of which any suffices, or `PUBLIC`.
        `scope` is the permission whose tag-name prefixes must cover the path's `{name}`.
        `responses` maps statuses to JSON schemas (or OpenAPI response objects, which have a `description`).
        `body` is the schema of the body that the view reads by `Call.body`, `body_required` whether there has to be one.
        `headers` names the request headers that the call honours, for OpenAPI, and so that no other condition is dropped.
        `check` is one more check of the identity and the path.
        `operation_id` is OpenAPI's, where it is not the view's name; `section` is where the documents list the call.
        `gives` names the headers of its answers that do not follow from what it honours.
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
                    {parameter.name: parameter for parameter in (*parameters, *self.parameters)},
                    {name: available[name] for name in used},
                    body,
                    body_required,
                    responses,
                    headers,
                    check,
                    operation_id,
                    section or self.name,
                    gives,
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
    refused, reads = route.not_honoured, route.method == "GET"
    spelled = {name: re.sub(r"(?=[A-Z])", "_", name).lower() for name in readers}

    def answer(**path: str) -> Response:
        started = perf_counter()
        response = respond(path)
        counters.observe_request(route.method, route.full_path, response.status_code, perf_counter() - started)
        return response

    def respond(path: Mapping[str, str]) -> Response:
        try:
            received = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - itself: each look through Flask's proxy is a search
            identity = NOBODY if public else identify(services, received)
            if not public:
                if route.permissions != IDENTIFIED:
                    identity.require(*needs)
                services.prepare()
            parts = {name: readers[name](text) for name, text in path.items()}
            if route.scope is not None:
                identity.require_name(route.scope, parts["name"])
            if route.check is not None:
                route.check(identity, parts)
            headers.refuse(received.headers, refused)
            call = Call(received, services, identity, parameters.read(declared, received.args), route, parts)
            response = route.view(call, **{spelled[name]: value for name, value in parts.items()})
            return _not_modified(call, response) if reads and "If-None-Match" in received.headers else response
        except Exception as error:  # noqa: BLE001 - every API answers in its own shape, also what nobody expected; it is logged
            return render(error)

    return answer


def _not_modified(call: Call, response: Response) -> Response:
    """The answer, or 304 where the client has it already; whichever call gives an entity tag (RFC 9110, section 13.1.2)."""
    etag = response.headers.get("ETag")
    if etag is None and "If-None-Match" not in call.route.headers:
        return response
    if not headers.known(call.request.headers, None if etag is None else etag.strip('"')):
        return response
    unchanged = empty_answer(304)
    for name in ("ETag", headers.TRACE_HEADER, "Cache-Control", "Vary"):
        if name in response.headers:
            unchanged.headers[name] = response.headers[name]
    return unchanged


def _by_guard(services: Services, call: Request) -> Identity:
    return services.guard.identify(call)
