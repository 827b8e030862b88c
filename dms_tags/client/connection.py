"""Where the service is and how a caller proves who it is; what both clients hand to httpx."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.request import getproxies, proxy_bypass

import httpx

from dms_tags.client.errors import Unreachable
from dms_tags.client.stream import SILENCE_SECONDS, Following
from dms_tags.client.wire import Call, Reply
from dms_tags.version import __version__

DEFAULT_URL: Final = "http://127.0.0.1:8080"
CONNECT_SECONDS: Final = 5.0
LOOPBACK: Final = ("localhost", "::1")


@dataclass(frozen=True, slots=True)
class Connection:
    """The service's address and the headers that every request carries."""

    url: str
    headers: dict[str, str]

    @classmethod
    def to(cls, url: str | None, token: str | None, tenant: str | None) -> Self:
        """What is not given comes from `DMS_TAGS_URL`, `DMS_TAGS_TOKEN` or the file that `DMS_TAGS_TOKEN_FILE` names.

        Raises ValueError for an address that is none, and for a token that cannot be read or is none.
        """
        url = url or os.environ.get("DMS_TAGS_URL") or DEFAULT_URL
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is no address of a service: it begins with http:// or https://")
        headers = {"User-Agent": f"dms-tags/{__version__}", "Accept": "application/json"}
        token = token or _token_of_environment()
        if token:
            if not (token.isascii() and token.isprintable()) or " " in token:
                raise ValueError(
                    "the token has blanks, line ends or letters that are no ASCII: no token has those; was more than it copied?"
                )
            headers["Authorization"] = f"Bearer {token}"
        if tenant:
            headers["X-ID-TENANT-NAME"] = tenant
        return cls(url, headers)

    @property
    def http(self) -> dict[str, Any]:
        """The arguments of httpx's clients.  A service on this machine is not asked through a proxy, which cannot reach it."""
        host = httpx.URL(self.url).host
        mounts = {f"all://[{host}]" if ":" in host else f"all://{host}": None} if _is_loopback(host) else {}
        return {"base_url": self.url, "headers": self.headers, "mounts": mounts}

    @property
    def proxy(self) -> str | None:
        """The proxy that the environment names for the service's address, without credentials; None: there is none."""
        url = httpx.URL(self.url)
        proxies = getproxies()
        proxy = proxies.get(url.scheme) or proxies.get("all")
        if not proxy or _is_loopback(url.host) or proxy_bypass(url.host):
            return None
        return str(httpx.URL(proxy if "://" in proxy else f"http://{proxy}").copy_with(userinfo=b""))

    def unreachable(self, error: httpx.RequestError) -> Unreachable:
        """httpx's error as the client's own; names the proxy where one stands between."""
        by_way_of = f" through the proxy {self.proxy} (HTTP_PROXY, NO_PROXY)" if self.proxy is not None else ""
        lost = Unreachable(f"{error.request.url.host}{by_way_of}: {str(error) or type(error).__name__}")
        lost.__cause__ = error
        return lost

    def request(self, call: Call[Any], timeout: float) -> dict[str, Any]:
        """The arguments of httpx's `build_request` for a call that may take `timeout` seconds."""
        return {
            "method": call.method,
            "url": call.path,
            "params": dict(call.query),
            "headers": dict(call.headers),
            "json": call.json,
            "timeout": httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
        }

    def following(self, following: Following) -> dict[str, Any]:
        """The arguments of httpx's `stream` for the event feed."""
        return {
            "method": "GET",
            "url": following.path,
            "params": following.query,
            "headers": following.headers,
            "timeout": httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
        }


def reply_of(answer: httpx.Response) -> Reply:
    """An answer of httpx that was read whole."""
    return Reply(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, answer.content)


def _is_loopback(host: str) -> bool:
    return host in LOOPBACK or host.startswith("127.")


def _token_of_environment() -> str | None:
    file = os.environ.get("DMS_TAGS_TOKEN_FILE")
    if not file:
        return os.environ.get("DMS_TAGS_TOKEN", "").strip()
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"DMS_TAGS_TOKEN_FILE={file} cannot be read: {error}") from error
