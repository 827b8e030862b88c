"""Where clients reach this service: what links in answers begin with."""

from __future__ import annotations

from flask import current_app, request


def here(path: str) -> str:
    """The path as a client asks for it: below the prefix under which a proxy that is trusted serves it, if any."""
    return f"{request.script_root}{path}"


def absolute(path: str) -> str:
    """The address of a path: under `DMS_TAGS_ORIGIN`, else under the host that the request names."""
    return f"{current_app.config['ORIGIN'] or request.host_url.rstrip('/')}{here(path)}"
