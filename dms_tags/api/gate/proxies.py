"""What a reverse proxy says about the client (`X-Forwarded-*`), believed only from addresses that were named.

Without `DMS_TAGS_TRUSTED_PROXIES` none of these headers means anything: anyone can send them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from dms_tags.api.gate.admission import HOST

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_prefix = re.compile(r"(?:/[A-Za-z0-9._~-]+){1,10}").fullmatch
_node = re.compile(r"\[(?P<v6>[^\[\]]+)\](?::[0-9]{1,5})?|(?P<v4>[0-9.]+):[0-9]{1,5}").fullmatch

SCHEMES: Final = ("http", "https")


class TrustedProxies:
    """WSGI middleware: puts the client's address, scheme, host and path prefix where a request's own are looked for."""

    def __init__(self, app: WSGIApplication, networks: Iterable[str]) -> None:
        self._app = app
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._trusted = lru_cache(maxsize=1024)(self._is_trusted)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers the request."""
        if self._trusted(environ.get("REMOTE_ADDR", "")):
            environ["REMOTE_ADDR"] = self._client(environ["REMOTE_ADDR"], environ.get("HTTP_X_FORWARDED_FOR", ""))
            scheme = _last(environ.get("HTTP_X_FORWARDED_PROTO", "")).lower()
            if scheme in SCHEMES:
                environ["wsgi.url_scheme"] = scheme
            host = _last(environ.get("HTTP_X_FORWARDED_HOST", ""))
            if HOST.fullmatch(host):
                environ["HTTP_HOST"] = host
            prefix = _last(environ.get("HTTP_X_FORWARDED_PREFIX", "")).rstrip("/")
            if _prefix(prefix):
                environ["SCRIPT_NAME"] = prefix
        return self._app(environ, start_response)

    def _client(self, peer: str, forwarded: str) -> str:
        """The nearest address that is no trusted proxy: what stands left of it, the client itself may have written."""
        address = peer
        for told in reversed(forwarded.split(",")):
            nearer = _address_in(told)
            if nearer is None:
                break
            address = nearer
            if not self._trusted(address):
                break
        return address

    def _is_trusted(self, address: str) -> bool:
        return _is_address(address) and any(ipaddress.ip_address(address) in network for network in self._networks)


def _address_in(told: str) -> str | None:
    """The address that a member of `X-Forwarded-For` names, in whichever form proxies write it; None: it names none.

    Some add the port, some put quotes or brackets around it, some write IPv4 within IPv6, some the zone of a link.
    """
    text = told.strip().strip('"')
    node = _node(text)
    if node is not None:
        text = node["v6"] or node["v4"]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _last(header: str) -> str:
    """The value that the nearest proxy added."""
    return header.rpartition(",")[2].strip()
