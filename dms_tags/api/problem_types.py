"""Every type of problem: its status and number, in one place (API.md section 1).

The numbers and types are for programs to branch on and never change; the texts are for people and may.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Problem:
    """A type of problem: the last part of its URI, its HTTP status, its number; what it means to a person, and what helps."""

    slug: str
    status: int
    code: int
    title: str
    explanation: str
    remedy: str


PROBLEMS: Final[Mapping[str, Problem]] = {
    problem.slug: problem
    for problem in (
        Problem(
            "invalid-object-id",
            400,
            2001,
            "Object id is malformed",
            "Ids have 1 to 128 of A-Z a-z 0-9 . _ ~ - and are neither . nor .. .",
            "Send the id as the DMS gives it; percent-encode nothing, since no character of an id needs it.",
        ),
        Problem(
            "invalid-tag-name",
            400,
            2002,
            "Tag name is malformed",
            "Names are lower-case words that colons may join, such as ocr or index:resistant.",
            "Spell the name in lower case, begin it and each part behind a colon with a letter.",
        ),
        Problem(
            "invalid-state",
            400,
            2003,
            "State is malformed",
            "A state is a whole number of 32 bits in ASCII digits.",
            "Send digits, with a minus in front for a negative state: -2147483648 to 2147483647.",
        ),
        Problem(
            "invalid-trace-id",
            400,
            2004,
            "Trace id is malformed",
            "X-B3-TraceId has 1 to 32 lower-case hexadecimal characters.",
            "Send 1 to 32 of 0-9 a-f, or leave the header out: the service then makes a trace id.",
        ),
        Problem(
            "trace-id-required",
            400,
            2005,
            "Trace id is missing",
            "traceIdMustMatch=true compares the trace id of the header X-B3-TraceId: send it.",
            "Read the tag, and send the X-B3-TraceId of that answer with the change.",
        ),
        Problem(
            "invalid-parameter",
            400,
            2006,
            "Parameter is malformed",
            "A query parameter or header is unknown, given twice, or of the wrong form.",
            "The detail names the parameter and what it takes; /docs lists those of each call. Nothing was done.",
        ),
        Problem(
            "invalid-body",
            400,
            2007,
            "Body is malformed",
            "The body is not the JSON document that the call takes.",
            "The detail names the member. Send each member once, spelled as /docs has it, in UTF-8.",
        ),
        Problem(
            "invalid-query",
            400,
            2008,
            "Statement cannot be run",
            "The statement cannot be parsed, is out of bounds or runs for too long.",
            "The detail names the place. A statement that takes too long wants a tag's name and state in its condition.",
        ),
        Problem(
            "bad-request",
            400,
            2009,
            "Request is malformed",
            "The request is not what HTTP or this service understands.",
            "Look at the request line and the headers as they are sent, for instance with curl -v.",
        ),
        Problem(
            "unauthenticated",
            401,
            2101,
            "No valid identity",
            "Send a valid token: Authorization: Bearer, or Basic with the token's name.",
            "Check that the token is whole, not revoked and not run out: dms-tags token list shows it.",
        ),
        Problem(
            "forbidden",
            403,
            2103,
            "Not permitted",
            "The identity is valid and lacks the permission for this call.",
            "Ask whoever keeps the tokens for one with this permission, or with a prefix that covers the tag's name.",
        ),
        Problem(
            "not-found",
            404,
            2204,
            "Not found",
            "There is nothing under this path.",
            "Compare the path with /docs; a slash too many counts.",
        ),
        Problem(
            "tag-not-found",
            404,
            2205,
            "Tag not found",
            "The object has no tag of this name. A POST without overwrite=true adds one.",
            "To add it, leave overwrite away. Where another client may have removed it, read the object's tags again.",
        ),
        Problem(
            "object-not-found",
            404,
            2208,
            "Object not found",
            "The object never had a tag here, and nobody made it known.",
            "Compare the id with the one that the DMS gives; POST /api/dms/objects makes an object known.",
        ),
        Problem(
            "definition-not-found",
            404,
            2207,
            "Definition not found",
            "There is no definition of tags with this id, or it was deleted.",
            "List the definitions; one that was deleted does not come back under its id.",
        ),
        Problem(
            "method-not-allowed",
            405,
            2206,
            "Method not allowed",
            "The path exists, but not for this method; the header Allow names those it has.",
            "Use one of the methods of the header Allow.",
        ),
        Problem(
            "conflict",
            409,
            2300,
            "Conflict",
            "The resource as it stands does not allow the change.",
            "Read the resource again and decide anew.",
        ),
        Problem(
            "tag-exists",
            409,
            2301,
            "Tag exists",
            "The object has this tag already. overwrite=true updates it.",
            "Send overwrite=true to update it, best with traceIdMustMatch=true or If-Match.",
        ),
        Problem(
            "too-many-tags",
            409,
            2302,
            "Too many tags",
            "An object carries at most 50 tags. Remove one first.",
            "Remove a tag that nobody needs any more, then send the request again.",
        ),
        Problem(
            "transition-not-allowed",
            409,
            2303,
            "Transition not allowed",
            "The definition of the tag does not know this step.",
            "GET the definition of the tag: it lists the states that may follow. Setting the state it has is always allowed.",
        ),
        Problem(
            "not-leased",
            409,
            2304,
            "Tag is not leased",
            "Only a lease that has not run out can be extended or given back.",
            "The work was given back or taken by another worker. Do not finish it; claim again.",
        ),
        Problem(
            "tag-deleted",
            409,
            2306,
            "Tag was deleted",
            "A deleted chain tag stays readable and cannot be changed any more.",
            "Add a new chain tag.",
        ),
        Problem(
            "in-use",
            409,
            2305,
            "In use",
            "It is still in use, or its name or key is taken.",
            "Remove what uses it first, or choose a new name: names of tokens are never used twice, a key is one definition's.",
        ),
        Problem(
            "gone",
            410,
            2310,
            "Archived",
            "The trail no longer reaches back that far; the member first is the oldest position it holds.",
            "Ask from the position in first on, or look into the archive that the trail names (action 10500).",
        ),
        Problem(
            "precondition-failed",
            412,
            2400,
            "A condition did not hold",
            "A condition of the request did not hold; nothing was changed.",
            "Read the resource again and decide whether the change is still wanted.",
        ),
        Problem(
            "trace-mismatch",
            412,
            2412,
            "Trace id does not match",
            "The trace id of the request is not the tag's own; nothing was changed.",
            "Somebody else owns the tag now. Read it, and decide whether your change is still right.",
        ),
        Problem(
            "revision-mismatch",
            412,
            2413,
            "Entity tag does not match",
            "The tag was changed since its ETag was read; nothing was changed.",
            "Read the tag again: the member current, where the caller may read it, has its state and ETag.",
        ),
        Problem(
            "state-mismatch",
            412,
            2414,
            "State does not match",
            "The tag is not in the expected state; nothing was changed.",
            "Another writer was first. The member current, where the caller may read it, has the state as it is.",
        ),
        Problem(
            "too-large",
            413,
            2501,
            "Too large",
            "The request is larger than the service takes.",
            "Send less at once: a body may have DMS_TAGS_BODY_LIMIT bytes, a batch 1000 changes.",
        ),
        Problem(
            "unsupported-media-type",
            415,
            2502,
            "Unsupported media type",
            "The body is of a type that the call does not take; send application/json.",
            "Send Content-Type: application/json, and the body as it is, not compressed.",
        ),
        Problem(
            "unprocessable",
            422,
            2600,
            "Not possible",
            "The request is well formed and still impossible.",
            "The detail says what cannot be; another request is needed.",
        ),
        Problem(
            "unknown-state",
            422,
            2601,
            "Unknown state",
            "The enforced definition of the tag does not name this state.",
            "GET the definition of the tag: it lists the states by number.",
        ),
        Problem(
            "reason-required",
            422,
            2603,
            "Reason required",
            "The definition of the tag lets nobody set this state without saying why.",
            "Say why in the header X-Change-Reason, or in the member reason of the body. GET the definition: reasonRequired lists the states.",
        ),
        Problem(
            "idempotency-key-reused",
            422,
            2602,
            "Idempotency key reused",
            "The key came with another request before. Use a new one.",
            "Make a new key for each new request; send the same key only with the very same one.",
        ),
        Problem(
            "rate-limited",
            429,
            2701,
            "Too many requests",
            "The identity sends more than its share. Retry-After says when to go on.",
            "Wait the seconds of Retry-After. Many changes travel better in one batch.",
        ),
        Problem(
            "internal-error",
            500,
            2900,
            "Internal error",
            "The service failed; the log has the reason under the time of the answer.",
            "Tell whoever runs the service, with the time of the answer. Read the tag before trying again.",
        ),
        Problem(
            "store-unavailable",
            503,
            2903,
            "Store unavailable",
            "MongoDB does not answer. A change was made wholly or not at all; try again after Retry-After.",
            "Wait the seconds of Retry-After and send it again; under an Idempotency-Key that is safe in any case.",
        ),
    )
}
