"""Everything the client raises, at a glance.

    DmsTagsError
    ├── Unreachable               no answer before the deadline; a change may have been made or not
    ├── UnexpectedAnswer          an answer that is none of the API's
    └── Problem                   the service said no: `status`, `detail`, `type` and the rest of its problem document
        ├── BadRequest
        ├── Unauthenticated
        ├── Forbidden
        ├── RateLimited
        ├── NotFound
        │   ├── TagNotFound
        │   └── Gone              `first` is the oldest position that the trail still holds
        ├── Conflict
        │   ├── TagExists
        │   ├── TooManyTags
        │   ├── TransitionNotAllowed
        │   └── NotLeased
        ├── LockLost              `current` is the tag as it stands
        │   ├── TraceMismatch
        │   ├── RevisionMismatch
        │   └── StateMismatch
        ├── Unprocessable
        │   ├── UnknownState
        │   ├── ReasonRequired
        │   └── IdempotencyKeyReused
        └── Unavailable           the service cannot reach its store, now

A problem type that this version does not know raises the class of its status, or `Problem` itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Current:
    """A tag as it stands when a lock did not hold: all but its trace id, which is the owner's secret."""

    state: int
    changed: datetime
    etag: str


class DmsTagsError(Exception):
    """Anything that keeps a call from its result.  `transient` says that the same call may work a little later."""

    transient: ClassVar[bool] = False
    retry_after: float | None = None


class Unreachable(DmsTagsError):
    """No answer before the deadline: the service could not be reached, or the connection broke.

    A change may have been made or not; sending it again with the same `idempotency_key` finds out and does not double it.
    """

    transient = True


class UnexpectedAnswer(DmsTagsError):
    """An answer that is none of the API's: another service, a proxy's page, a redirect."""


class Problem(DmsTagsError):
    """The service's refusal, from its problem document (API.md section 1).

    `status` is the HTTP status, `type` the last part of the problem type, `detail` the sentence that says what was wrong,
    `current` the tag as it stands where a lock did not hold, `retry_after` in seconds, `document` the whole document.
    """

    status_codes: ClassVar[frozenset[int]] = frozenset()
    slug: ClassVar[str | None] = None

    def __init__(
        self,
        detail: str,
        *,
        status: int,
        type: str = "",  # noqa: A002 - the member's name in RFC 9457
        document: Mapping[str, Any] | None = None,
        current: Current | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.type = type
        self.document = document or {}
        self.current = current
        self.retry_after = retry_after


class BadRequest(Problem):
    """The request is malformed; `detail` says what would be right."""

    status_codes = frozenset({400, 405, 413, 415})


class Unauthenticated(Problem):
    """No token, or one that does not hold."""

    status_codes = frozenset({401})


class Forbidden(Problem):
    """The identity lacks the permission."""

    status_codes = frozenset({403})


class RateLimited(Problem):
    """The identity sends more than its share, also after waiting as asked."""

    status_codes = frozenset({429})
    transient = True


class NotFound(Problem):
    """What is asked for is not there."""

    status_codes = frozenset({404})


class TagNotFound(NotFound):
    """The object has no such tag."""

    slug = "tag-not-found"


class Gone(NotFound):
    """Older than the trail still reaches; `first` is the oldest position that it holds."""

    status_codes = frozenset({410})
    slug = "gone"

    @property
    def first(self) -> int:
        """The oldest position that the trail still holds."""
        return int(self.document.get("first", 1))


class Conflict(Problem):
    """The resource as it stands does not allow the change."""

    status_codes = frozenset({409})


class TagExists(Conflict):
    """The object has such a tag already."""

    slug = "tag-exists"


class TooManyTags(Conflict):
    """One tag more than an object may carry."""

    slug = "too-many-tags"


class TransitionNotAllowed(Conflict):
    """A step that the tag's definition does not know."""

    slug = "transition-not-allowed"


class NotLeased(Conflict):
    """There is no lease to extend or to give back."""

    slug = "not-leased"


class LockLost(Problem):
    """A condition did not hold and nothing was changed; `current` is the tag as it stands."""

    status_codes = frozenset({412})


class TraceMismatch(LockLost):
    """The trace id is not the tag's own."""

    slug = "trace-mismatch"


class RevisionMismatch(LockLost):
    """The ETag is not the tag's own."""

    slug = "revision-mismatch"


class StateMismatch(LockLost):
    """The tag is not in the expected state."""

    slug = "state-mismatch"


class Unprocessable(Problem):
    """Well formed, and still impossible."""

    status_codes = frozenset({422})


class ReasonRequired(Unprocessable):
    """The definition lets nobody set this state without a reason."""

    slug = "reason-required"


class UnknownState(Unprocessable):
    """A state that the tag's definition does not name."""

    slug = "unknown-state"


class IdempotencyKeyReused(Unprocessable):
    """An idempotency key that came with another request before."""

    slug = "idempotency-key-reused"


class Unavailable(Problem):
    """The service, or a proxy before it, cannot answer now; the change was made wholly or not at all."""

    status_codes = frozenset({502, 503, 504})
    transient = True


def class_of(slug: str, status: int) -> type[Problem]:
    """The class for a problem type; one that is not known falls back to that of the status."""
    known = tuple(_all_problems())
    for problem in known:
        if problem.slug == slug:
            return problem
    for problem in known:
        if status in problem.status_codes:
            return problem
    return Problem


def _all_problems(parent: type[Problem] = Problem) -> Iterator[type[Problem]]:
    for child in parent.__subclasses__():
        yield child
        yield from _all_problems(child)
