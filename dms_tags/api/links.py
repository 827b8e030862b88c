"""Where clients reach this service: what links in answers begin with."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Response, current_app, request


def here(path: str) -> str:
    """The path as a client asks for it: below the prefix under which a proxy that is trusted serves it, if any."""
    return f"{request.script_root}{path}"


def absolute(path: str) -> str:
    """The address of a path: under `DMS_TAGS_ORIGIN`, else under the host that the request names."""
    return f"{current_app.config['ORIGIN'] or request.host_url.rstrip('/')}{here(path)}"


def paged(response: Response, cursor: str | None) -> Response:
    """The answer to a request with the address of the next page, where there may be one (RFC 8288)."""
    if cursor is not None:
        query = {name: given for name, given in request.args.items() if name != "cursor"} | {"cursor": cursor}
        response.headers["Link"] = f'<{absolute(request.path)}?{urlencode(query)}>; rel="next"'
    return response
