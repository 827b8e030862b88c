"""Requests as certain clients send them: their headers in their order, their bodies, one connection that is kept."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any, Final
from urllib.parse import urlsplit

JSON: Final = "application/json; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"

_SPELT: Final = str.maketrans({" ": "%20", "'": "%27", '"': "%22", "<": "%3C", ">": "%3E", "#": "%23"})
"""What okhttp and browsers encode in a query; brackets, colons, commas and stars they leave as they are."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, its body as it was before it was compressed."""

    status: int
    content: bytes

    def json(self) -> Any:
        """The body, of an answer that is 200."""
        assert self.status == 200, (self.status, self.content[:500])
        return json.loads(self.content)

    def properties(self) -> dict[str, Any]:
        """The values of the properties of the one object of the answer."""
        (only,) = self.json()["objects"]
        return {name: member["value"] for name, member in only["properties"].items()}


@dataclass(frozen=True, slots=True)
class Content:
    """A body, with its media type where it has one."""

    data: bytes
    media: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a form."""

    name: str
    filename: str
    content: Content


def form(boundary: str, parts: Sequence[Part], kind: str = "form-data", *, lengths: bool = False) -> Content:
    """A multipart body; with `lengths` each part tells its own, as those of okhttp do."""
    data = b""
    for part in parts:
        disposition = f'Content-Disposition: form-data; name="{part.name}"; filename="{part.filename}"'
        length = f"Content-Length: {len(part.content.data)}\r\n" if lengths else ""
        data += f"--{boundary}\r\n{disposition}\r\nContent-Type: {part.content.media}\r\n{length}\r\n".encode()
        data += part.content.data + b"\r\n"
    return Content(data + f"--{boundary}--\r\n".encode(), f"multipart/{kind}; boundary={boundary}")


class Client:
    """A client at `url`, and how it sends a request."""

    def __init__(self, url: str) -> None:
        self.host = urlsplit(url).netloc
        self._connection = HTTPConnection(self.host, timeout=30)

    def close(self) -> None:
        """Ends its connection."""
        self._connection.close()

    def send(self, method: str, target: str, headers: Sequence[tuple[str, str]], content: Content | None) -> Answer:
        """Sends a request with just these headers."""
        self._connection.putrequest(method, target.translate(_SPELT), skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            self._connection.putheader(name, value)
        self._connection.endheaders(None if content is None else content.data)
        response = self._connection.getresponse()
        body = response.read()
        return Answer(response.status, gzip.decompress(body) if response.getheader("Content-Encoding") == "gzip" else body)


class Okhttp(Client):
    """okhttp 3.12, as the vendor's tutorial uses it: Basic credentials and a tenant with every call."""

    def __init__(self, url: str, user: str, password: str, tenant: str) -> None:
        super().__init__(url)
        credentials = b64encode(f"{user}:{password}".encode()).decode()
        self._always = [("Authorization", f"Basic {credentials}"), ("X-ID-TENANT-NAME", tenant)]

    def call(self, method: str, target: str, content: Content | None = None, **own: str) -> Answer:
        """A call with further headers of its own; what is no GET has a body, though it may be empty."""
        if content is None and method != "GET":
            content = Content(b"")
        of_the_body = []
        if content is not None:
            of_the_body = [] if content.media is None else [("Content-Type", content.media)]
            of_the_body.append(("Content-Length", str(len(content.data))))
        headers = [
            *self._always,
            *((name.replace("_", "-"), value) for name, value in own.items()),
            *of_the_body,
            ("Host", self.host),
            ("Connection", "Keep-Alive"),
            ("Accept-Encoding", "gzip"),
            ("User-Agent", "okhttp/3.12.0"),
        ]
        return self.send(method, target, headers, content)


class Browser(Client):
    """A browser with the DMS's web client, from the same origin: a bearer token, a cookie of the DMS, its own headers."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(url)
        self._token = token

    def call(self, method: str, target: str, body: Any = None) -> Answer:
        """A call whose body, if any, is sent as JSON."""
        content = None if body is None else Content(json.dumps(body, separators=(",", ":")).encode(), "application/json")
        own = [("X-os-include-links", "false"), ("X-os-include-actions", "false"), ("X-os-sync-index", "true")]
        if content is None:
            own.append(("Content-Type", "application/json"))
        return self.upload(method, target, content, [*own, ("Access-Control-Allow-Origin", "*")])

    def upload(self, method: str, target: str, content: Content | None, own: Sequence[tuple[str, str]] = ()) -> Answer:
        """A call with a body as it is."""
        length = "0" if content is None else str(len(content.data))
        headers = [
            ("Host", self.host),
            ("Connection", "keep-alive"),
            *([] if method == "GET" else [("Content-Length", length)]),
            ("sec-ch-ua-platform", '"Linux"'),
            ("Authorization", f"Bearer {self._token}"),
            *own,
            ("Accept", "application/json, text/plain, */*"),
            *([] if content is None else [("Content-Type", content.media or "")]),
            (
                "User-Agent",
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
            ),
            *([] if method == "GET" else [("Origin", f"http://{self.host}")]),
            ("Sec-Fetch-Site", "same-origin"),
            ("Sec-Fetch-Mode", "cors"),
            ("Sec-Fetch-Dest", "empty"),
            ("Referer", f"http://{self.host}/object/1"),
            ("Accept-Encoding", "gzip, deflate, br, zstd"),
            ("Accept-Language", "de-DE,de;q=0.9,en;q=0.8"),
            ("Cookie", "i18next=de; GWSESSIONID=6f1ed002ab5595859014ebf0951522d9"),
        ]
        return self.send(method, target, headers, content)
