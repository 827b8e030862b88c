"""From and to the wire: what a call sends, what an answer says.  Nothing in here does I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar

from dms_tags.client.errors import Current, Problem, UnexpectedAnswer, class_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer that was read whole; the names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> Any:
        """The body's JSON.  Raises `UnexpectedAnswer` where it is none."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise UnexpectedAnswer(f"the answer ({self.status}) is not JSON: {self.body[:80]!r}") from error


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request and the reading of its answer.

    Every call may be sent again after a lost answer: it reads, or is idempotent by nature, or carries an idempotency key.
    """

    method: str
    path: str
    parse: Callable[[Reply], T]
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None

    def result(self, reply: Reply) -> T:
        """The answer, read.  Raises `Problem` for a refusal and `UnexpectedAnswer` for what the API never says."""
        if not 200 <= reply.status < 300:
            raise problem_of(reply)
        try:
            return self.parse(reply)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UnexpectedAnswer(f"the answer to {self.method} {self.path} lacks what it should have: {error!r}") from error


def problem_of(reply: Reply) -> Problem | UnexpectedAnswer:
    """The exception for a refusal; proxies that answer 502-504 or 429 with a page of their own are understood too."""
    try:
        document = json.loads(reply.body)
    except ValueError:
        document = None
    if isinstance(document, dict) and "type" in document:
        return problem_from(document, reply.status, reply.headers.get("retry-after"))
    if reply.status in (429, 502, 503, 504):
        return class_of("", reply.status)(
            f"the service answered {reply.status}", status=reply.status, retry_after=_seconds(reply.headers.get("retry-after"))
        )
    return UnexpectedAnswer(f"the answer {reply.status} is none of the API's: {reply.body[:80]!r}")


def problem_from(document: Mapping[str, Any], status: int, retry_after: str | None = None) -> Problem:
    """The exception for a problem document (RFC 9457)."""
    slug = str(document["type"]).rpartition("/")[2]
    current = document.get("current")
    return class_of(slug, status)(
        str(document.get("detail") or document.get("title") or slug),
        status=status,
        type=slug,
        document=document,
        current=Current(current["state"], moment(current["creationDate"]), current["etag"]) if current else None,
        retry_after=_seconds(retry_after),
    )


def _seconds(text: str | None) -> float | None:
    """`Retry-After` in seconds: a number, or an HTTP date; what is neither is passed over (RFC 9110, section 10.2.3)."""
    if text is None:
        return None
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def moment(text: str) -> datetime:
    """A time of the wire."""
    return datetime.fromisoformat(text).astimezone(UTC)


def wire_time(at: datetime) -> str:
    """A time for the wire.  Raises ValueError for one without a zone, which could mean anything."""
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone")
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
