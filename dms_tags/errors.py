"""Every error of the domain, at a glance.

    TagsError
    ├── Malformed                  the request cannot be understood
    │   ├── InvalidObjectId
    │   ├── InvalidTagName
    │   ├── InvalidState
    │   ├── InvalidTraceId
    │   ├── TraceIdRequired
    │   ├── InvalidParameter
    │   │   ├── ParameterMissing
    │   │   └── NotBoolean
    │   ├── InvalidBody
    │   ├── UnsupportedMediaType
    │   └── InvalidQuery
    ├── Refused                    the caller may not
    │   ├── Unauthenticated
    │   ├── Forbidden
    │   └── RateLimited
    ├── Missing                    what is asked for is not there
    │   ├── TagNotFound
    │   ├── ObjectNotFound
    │   ├── DefinitionNotFound
    │   ├── NotFound
    │   └── Gone
    ├── Conflict                   the resource's state does not allow it
    │   ├── TagExists
    │   ├── TooManyTags
    │   ├── TransitionNotAllowed
    │   ├── NotLeased
    │   ├── TagDeleted
    │   └── InUse
    ├── LockLost                   a condition of the request did not hold
    │   ├── TraceMismatch
    │   ├── RevisionMismatch
    │   └── StateMismatch
    ├── Unprocessable
    │   ├── UnknownState
    │   ├── ReasonRequired
    │   └── IdempotencyKeyReused
    └── StoreUnavailable           MongoDB does not answer, or not in time
        └── Busy                   MongoDB answers; what is asked for has its hands full

None of them knows HTTP: `dms_tags.api` gives each its status and its shape.  Errors that stop the service from
starting are `CannotStart`, and need no more than their one line; what a proof does not bear out is `Unproven`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from dms_tags.model import Tag


class TagsError(Exception):
    """Anything the domain refuses; its text says what was wrong and what would be right.

    `slug` is the error's name on the wire, the last part of its problem type (API.md section 1).
    """

    slug: ClassVar[str] = "error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Malformed(TagsError):
    """The request cannot be understood as it stands."""

    slug = "invalid-parameter"


class InvalidObjectId(Malformed):
    """An object id outside 1-128 of `A-Z a-z 0-9 . _ ~ -`, or `.` or `..`."""

    slug = "invalid-object-id"


class InvalidTagName(Malformed):
    """A tag name outside the grammar, or over 128 characters."""

    slug = "invalid-tag-name"


class InvalidState(Malformed):
    """A state that is no 32-bit integer in ASCII digits."""

    slug = "invalid-state"


class InvalidTraceId(Malformed):
    """A trace id outside 1-32 lower-case hexadecimal characters."""

    slug = "invalid-trace-id"


class TraceIdRequired(Malformed):
    """`traceIdMustMatch=true` without a trace id to match."""

    slug = "trace-id-required"


class InvalidParameter(Malformed):
    """A parameter or header that is unknown, given twice, or of the wrong form."""

    slug = "invalid-parameter"


class ParameterMissing(InvalidParameter):
    """A parameter, or a member of the body, that the call cannot do without."""


class NotBoolean(InvalidParameter):
    """A parameter that is neither true nor false."""


class UnsupportedMediaType(Malformed):
    """A body of a type that the call does not take."""

    slug = "unsupported-media-type"


class InvalidBody(Malformed):
    """A request body that is not what the call takes.  `member` is the name of the member at fault, if one is."""

    slug = "invalid-body"

    def __init__(self, detail: str, member: str | None = None) -> None:
        super().__init__(detail)
        self.member = member


class InvalidQuery(Malformed):
    """A statement that cannot be parsed, is out of bounds, or runs for too long."""

    slug = "invalid-query"


class Refused(TagsError):
    """The caller may not do this."""

    slug = "forbidden"


class Unauthenticated(Refused):
    """No identity, or one that does not hold."""

    slug = "unauthenticated"


class Forbidden(Refused):
    """The identity lacks the permission."""

    slug = "forbidden"


class RateLimited(Refused):
    """The identity sends more than its share; `retry_after` is in seconds."""

    slug = "rate-limited"

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Missing(TagsError):
    """What is asked for is not there."""

    slug = "not-found"


class TagNotFound(Missing):
    """An update, a removal or a read of a tag that the resource does not have."""

    slug = "tag-not-found"


class ObjectNotFound(Missing):
    """An object that never had a tag and that nobody made known."""

    slug = "object-not-found"


class DefinitionNotFound(Missing):
    """A definition of tags that there is none of, or none any more."""

    slug = "definition-not-found"


class NotFound(Missing):
    """Any other thing that is not there."""

    slug = "not-found"


class Gone(Missing):
    """Older than the trail still reaches; `first` is the oldest position it holds."""

    slug = "gone"

    def __init__(self, detail: str, first: int) -> None:
        super().__init__(detail)
        self.first = first


class Conflict(TagsError):
    """The resource as it stands does not allow the change."""

    slug = "conflict"


class TagExists(Conflict):
    """An add of a tag that the resource has already."""

    slug = "tag-exists"


class TooManyTags(Conflict):
    """One tag more than a resource may carry."""

    slug = "too-many-tags"


class TransitionNotAllowed(Conflict):
    """A step that the tag's definition does not know.

    `name` is the tag's, where `detail` tells the state it is in; `discreet` is what a caller is told that may not read it.
    """

    slug = "transition-not-allowed"

    def __init__(self, detail: str, name: str | None = None, discreet: str = "") -> None:
        super().__init__(detail)
        self.name = name
        self.discreet = discreet or detail


class NotLeased(Conflict):
    """A lease is to be extended or given back where there is none."""

    slug = "not-leased"


class TagDeleted(Conflict):
    """A change of a chain tag that was deleted."""

    slug = "tag-deleted"


class InUse(Conflict):
    """A definition that still has values, or a name that was used before."""

    slug = "in-use"


class LockLost(TagsError):
    """A condition of the request did not hold; nothing was changed.

    `current` is the tag as it stands; `discreet` is what a caller is told that may not read it.
    """

    slug = "precondition-failed"

    def __init__(self, detail: str, current: Tag | None = None, discreet: str = "") -> None:
        super().__init__(detail)
        self.current = current
        self.discreet = discreet or detail

    @property
    def name(self) -> str | None:
        """The name of the tag whose state the error tells, None where it tells none."""
        return None if self.current is None else self.current.name


class TraceMismatch(LockLost):
    """The request's trace id is not the tag's own."""

    slug = "trace-mismatch"


class RevisionMismatch(LockLost):
    """None of the entity tags of `If-Match` is the tag's own."""

    slug = "revision-mismatch"


class StateMismatch(LockLost):
    """The tag is not in the expected state."""

    slug = "state-mismatch"


class Unprocessable(TagsError):
    """Well formed, and still impossible."""

    slug = "unprocessable"


class UnknownState(Unprocessable):
    """A state that the tag's enforced definition does not name."""

    slug = "unknown-state"


class ReasonRequired(Unprocessable):
    """A state that the tag's enforced definition lets nobody set without saying why."""

    slug = "reason-required"


class IdempotencyKeyReused(Unprocessable):
    """An `Idempotency-Key` that came with another request before."""

    slug = "idempotency-key-reused"


class StoreUnavailable(TagsError):
    """MongoDB does not answer, or not in time.

    `retry_after` is in seconds.  `uncertain` says that the change may have been made: wholly or not at all.
    """

    slug = "store-unavailable"

    def __init__(self, detail: str, *, retry_after: int = 1, uncertain: bool = False) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.uncertain = uncertain


class Busy(StoreUnavailable):
    """MongoDB answers, and what is asked for has its hands full: other resources, other calls go on."""


class CannotStart(Exception):
    """The service or a command cannot start; the text is the one line that says why and what to do."""


class Unproven(Exception):
    """What was handed over is not what was signed, or is malformed; the text is the one line that says what is wrong."""
