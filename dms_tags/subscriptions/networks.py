"""Where events may be sent: to public addresses over HTTPS, and into the networks that the operator names.

A service that sends wherever an administrator of one tenant says would otherwise be a way into the network that it stands in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final
from urllib.parse import SplitResult, urlsplit

from dms_tags.errors import InvalidBody

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL: Final = 2_000
VARIABLE: Final = "DMS_TAGS_WEBHOOK_NETWORKS"
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv6 addresses that end in the IPv4 address which they lead to."""


class NotAllowed(Exception):
    """An address that nothing is sent to; the text says why."""


class Networks:
    """The networks, beside public ones, that events may be sent into, over HTTP too."""

    def __init__(self, named: Iterable[str]) -> None:
        self._named = tuple(map(ipaddress.ip_network, named))

    def require(self, address: str, *, tls: bool) -> None:
        """Raises `NotAllowed` unless events may be sent to the address, in the clear where `tls` is false."""
        ip = ipaddress.ip_address(address.partition("%")[0])
        ways = _ways(ip)
        if any(way in network for network in self._named for way in ways):
            return
        if not all(map(_is_public, ways)):
            raise NotAllowed(f"{address} is no public address, and {VARIABLE} does not name it")
        if not tls:
            raise NotAllowed(f"{address} is reached over http, which is for the networks in {VARIABLE} only; use https")

    def check(self, url: str) -> str:
        """`url`, if events may be sent there as far as can be told without looking names up; else `InvalidBody`."""
        parts = _parts(url)
        if parts.scheme == "http" and not self._named:
            raise InvalidBody(f"url: https is needed; http only for the networks in {VARIABLE}", "url")
        try:
            self.require(parts.hostname or "", tls=parts.scheme == "https")
        except NotAllowed as error:
            raise InvalidBody(f"url: {error}", "url") from error
        except ValueError:
            return url  # a name: its addresses are looked at with each connection
        return url


def _parts(url: str) -> SplitResult:
    wrong = "url: an address such as https://host/path is needed, without a name or password and without #"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidBody(wrong, "url") from error
    plain = url.isascii() and all("!" <= character <= "~" for character in url) and "\\" not in url and "#" not in url
    if not plain or parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or port == 0:
        raise InvalidBody(wrong, "url")
    return parts


def _is_public(ip: Address) -> bool:
    local = ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_loopback or ip.is_link_local
    return ip.is_global and not local and not (isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local)


def _ways(ip: Address) -> tuple[Address, ...]:
    """The addresses that are reached by way of `ip`: of an IPv6 address that stands for an IPv4 one, that one."""
    if isinstance(ip, ipaddress.IPv4Address):
        return (ip,)
    if ip.ipv4_mapped is not None:
        return (ip.ipv4_mapped,)
    if ip in _NAT64:
        return (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF),)
    return (ip,) if ip.sixtofour is None else (ip, ip.sixtofour)
