"""Signing in and out."""

from __future__ import annotations

from typing import Any, Final

from flask import Response, request
from marshmallow import fields

from dms_tags.api.console.api import LEADS, PAGE, ROOT, api, next_page, page, to
from dms_tags.api.console.session import COOKIE, LASTS
from dms_tags.api.endpoint import PUBLIC, Call
from dms_tags.api.links import here
from dms_tags.api.members import Body
from dms_tags.api.parameters import Parameter

NEXT: Final = Parameter("next", str, {"type": "string"}, "the page to lead to after signing in", ROOT, example=ROOT)


class SignIn(Body):
    """What the form of the sign-in page sends."""

    token = fields.String(required=True, metadata={"description": "an API token or a JWT"})
    next = fields.String(load_default=ROOT, metadata={"description": "the page to lead to"})


@api.route("GET", "/sign-in", permission=PUBLIC, parameters=(NEXT,), responses={200: PAGE, 303: LEADS})
def sign_in_page(call: Call) -> Response:
    """Where one signs in."""
    following = next_page(call.arguments["next"])
    if not call.services.console.asks:
        return to(following)
    return page("sign_in.html", problem=None, next=following)


@api.route("POST", "/sign-in", permission=PUBLIC, body=SignIn(), responses={303: LEADS, 401: PAGE, 429: PAGE, 503: PAGE})
def sign_in(call: Call) -> Response:
    """Sign in to the console with an API token or a JWT.

    The answer sets a cookie for eight hours; it ends with what it was begun with.
    """
    console, body = call.services.console, call.body()
    if not console.asks:
        return to(ROOT)
    call.services.prepare()
    sealed = console.begin(call.request, body["token"].strip())
    response = to(next_page(body["next"]))
    response.set_cookie(COOKIE, sealed, max_age=int(LASTS.total_seconds()), **_attributes(call))
    return response


@api.route("POST", "/sign-out", permission=PUBLIC, responses={303: LEADS})
def sign_out(call: Call) -> Response:
    """Sign out of the console: the cookie goes."""
    call.services.guard.require_own(call.request)
    response = to(f"{ROOT}/sign-in")
    response.delete_cookie(COOKIE, **_attributes(call))
    return response


def _attributes(call: Call) -> dict[str, Any]:
    secure = request.is_secure or (call.services.settings.origin or "").startswith("https:")
    return {"httponly": True, "samesite": "Strict", "secure": secure, "path": here(ROOT)}
