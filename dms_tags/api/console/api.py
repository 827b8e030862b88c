"""What every page of the console shares: how it is made, who may see it, and what a refusal looks like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote, urlencode

from flask import Request, Response, g, redirect, request
from jinja2 import Environment, PackageLoader, StrictUndefined

from dms_tags.api.console import spelling
from dms_tags.api.console.session import Session
from dms_tags.api.endpoint import Api
from dms_tags.api.links import here
from dms_tags.api.problems import failure
from dms_tags.api.services import Services
from dms_tags.errors import Unauthenticated
from dms_tags.identity.model import Identity, Permission

ROOT: Final = "/console"
ASSETS: Final = files("dms_tags.api.console") / "assets"

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # not no-referrer, with which a browser says of a form that is sent that it is of no origin at all
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
CHALLENGE: Final = 'Cookie realm="dms-tags"'
"""What a 401 of the console asks for: with Bearer or Basic a browser would put a window of its own before the page."""

PAGE: Final[Mapping[str, Any]] = {"description": "A page", "content": {"text/html": {"schema": {"type": "string"}}}}
LEADS: Final[Mapping[str, Any]] = {"description": "Leads to the page; to the sign-in page where nobody has signed in"}

_next_page = re.compile(r"/console(?:[/?][!-\[\]-~]*)?").fullmatch


def identify(services: Services, call: Request) -> Identity:
    """Whose session it is."""
    return services.console.of(call).identity


def render(error: Exception) -> Response:
    """A refusal as a page; where nobody has signed in, and it is a page that was asked for, the way to the sign-in page."""
    told = failure(error)
    if isinstance(error, Unauthenticated):
        if request.method == "GET" and request.headers.get("Sec-Fetch-Dest", "document") == "document":
            if request.headers.get("Sec-Fetch-Site") == "cross-site":
                # a link from elsewhere: the browser kept the cookie back, and sends it when this page leads on
                return page("onward.html", target=here(asked_for()))
            return to(f"{ROOT}/sign-in", next=asked_for())
        response = page("sign_in.html", status=401, problem=told.detail, next=request.form.get("next", ROOT))
        response.headers["WWW-Authenticate"] = CHALLENGE
        return response
    response = page("refusal.html", status=told.problem.status, problem=told.problem, detail=told.detail)
    response.headers.update(told.headers)
    return response


api = Api(
    "console",
    ROOT,
    render,
    {"type": "string"},
    "text/html",
    security=("console",),
    identify=identify,
    forms=True,
)


def asked_for() -> str:
    """Path and query of the request, as the page is returned to after signing in."""
    query = request.query_string.decode("latin-1")
    return f"{quote(request.path, safe='/:@!$&()*+,;=~')}{f'?{query}' if query else ''}"


def next_page(text: str | None) -> str:
    """The page of the console that `text` names; its first one for anything else, so that nobody is led away."""
    return (
        text if text is not None and _next_page(text) and not text.startswith((f"{ROOT}/sign-", "/console/trail/live")) else ROOT
    )


def to(path: str, **query: str) -> Response:
    """Leads to another page, by GET."""
    location = here(path) + (f"?{urlencode(query)}" if query else "")
    return redirect(location, 303)  # type: ignore[return-value]


def session() -> Session | None:
    """The session of the request that is being answered; None on the pages that need none."""
    told: Session | None = g.get("console")
    return told


def page(template: str, *, status: int = 200, **content: Any) -> Response:
    """A page of a template; everything in it is escaped."""
    response = Response(html(template, **content), status, mimetype="text/html")
    response.headers.update(SECURITY_HEADERS)
    return response


def html(template: str, **content: Any) -> str:
    """The text of a page, or of a part of one."""
    current = session()

    def may(*permissions: str) -> bool:
        return current is not None and not current.identity.permissions.isdisjoint(map(Permission, permissions))

    shown = {"root": here(""), "path": request.path, "session": current, "may": may, **content}
    return environment().get_template(template).render(shown)


@cache
def environment() -> Environment:
    """The templates."""
    made = Environment(
        loader=PackageLoader("dms_tags.api.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "moment": spelling.moment,
        "ago": spelling.ago,
        "span": spelling.span,
        "state": spelling.state,
        "colour": spelling.colour,
        "grouped": spelling.grouped,
        "action": spelling.action,
        "segment": spelling.segment,
    }
    return made
