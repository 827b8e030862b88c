"""The shapes of the calls for tags of users, as they come in, go out and stand in OpenAPI (API.md section 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final
from unicodedata import category

from marshmallow import ValidationError, post_load

from dms_tags.api.chains import schemas
from dms_tags.api.members import Text, Whole
from dms_tags.api.parameters import Parameter, integer
from dms_tags.chains.model import MAX_ID, MAX_IDENTIFIER, MAX_VALUE, ChainUser, Identifier, UserTag
from dms_tags.chains.users import Wanted
from dms_tags.errors import InvalidParameter, ParameterMissing
from dms_tags.model import Tag
from dms_tags.names import composed

TEXTS: Final = tuple(kind for kind in Identifier if kind is not Identifier.USER_ID)
ONE_USER: Final = f"one of {', '.join(Identifier)}"
_NEEDED: Final = f"a text of 1 to {MAX_IDENTIFIER} characters without control characters is needed"


def _is_identifier(text: str) -> bool:
    return 1 <= len(text) <= MAX_IDENTIFIER and not any(category(character).startswith("C") for character in text)


def _identifier(text: str) -> str:
    text = composed(text)
    if not _is_identifier(text):
        raise ValidationError(_NEEDED)
    return text


class UserTagBody(schemas.Parameters):
    """A user and a tag of its chain."""

    EXAMPLE: ClassVar = {"chain_id": 1, "tag_id": 1, "user_id": 77}

    chain_id = Whole(1, MAX_ID, required=True)
    tag_id = Whole(1, MAX_ID, metadata={"description": "the tag, or else its value"})
    value = Text(0, MAX_VALUE)
    user_id = Whole(1, MAX_ID, metadata={"description": f"who: {ONE_USER}"})
    entity_code, email_address, phone_number, member_number, authentication_point_identifier = (
        Text(parse=_identifier, metadata={"minLength": 1, "maxLength": MAX_IDENTIFIER}) for _ in range(5)
    )

    @post_load
    def _user_tag(self, given: Mapping[str, Any], **_: Any) -> tuple[ChainUser, Wanted]:
        if ("tag_id" in given) == ("value" in given):
            raise (InvalidParameter if "tag_id" in given else ParameterMissing)("which tag: tag_id or value, one of them")
        return user(given), Wanted(given.get("tag_id"), given.get("value"))


USER_TAG: Final = UserTagBody()


def user(given: Mapping[str, Any]) -> ChainUser:
    """The user that members or parameters name.  Raises `ParameterMissing`, and `InvalidParameter` for several."""
    named = [kind for kind in Identifier if given.get(kind) is not None]
    if not named:
        raise ParameterMissing(f"who: {ONE_USER} is required for this request")
    if len(named) > 1:
        raise InvalidParameter(f"{named[1]}: a user is named by {named[0]} already; {ONE_USER} is right")
    return ChainUser(given["chain_id"], named[0], given[named[0]])


def _text(name: str, least: int, most: int, parse: Callable[[str], str]) -> Parameter:
    def checked(text: str) -> str:
        try:
            return parse(text)
        except ValidationError as error:
            raise InvalidParameter(f"{name}: {error.messages[0]}") from error

    return Parameter(name, checked, {"type": "string", "minLength": least, "maxLength": most}, f"who: {ONE_USER}")


WHO: Final = (
    integer("user_id", 1, MAX_ID, f"who: {ONE_USER}"),
    *(_text(name, 1, MAX_IDENTIFIER, _identifier) for name in TEXTS),
)
WHICH: Final = (
    integer("chain_id", 1, MAX_ID, "the chain's id"),
    integer("tag_id", 1, MAX_ID, "the tag, or else its value"),
    Parameter("value", str, {"type": "string", "maxLength": MAX_VALUE}, "the tag's value, in place of tag_id"),
)
USERS_LIMIT: Final = integer("limit", 1, 1000, "users on a page", 100)


def _cursor(text: str) -> str:
    try:
        return ChainUser.of(text).id
    except ValueError as error:
        raise InvalidParameter("cursor is the `next` of the page before, and nothing else") from error


CURSOR: Final = Parameter("cursor", _cursor, {"type": "string", "minLength": 1}, "`next` of the page before")

_ANYONE: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["chain_id"],
    "properties": {
        "chain_id": {"type": "integer"},
        "user_id": {"type": "integer"},
        **{str(name): {"type": "string"} for name in TEXTS},
    },
}
_SET: Final = {"added_date": {"type": "string", "format": "date-time"}, "etag": {"type": "string"}}
_EXAMPLE_SET: Final = {"added_date": "2025-01-23T13:53:39+00:00", "etag": "01a2262b374a23d0ba82f26f3d77c08d"}
_EXAMPLE_USER: Final = {"chain_id": 1, "user_id": 77}
USER_TAGS: Final = schemas.envelope_schema(
    "get-user-tags",
    {
        "user": _ANYONE,
        "tags": {
            "type": "array",
            "items": {
                **schemas.TAG,
                "required": [*schemas.TAG["required"], *_SET],
                "properties": {**schemas.TAG["properties"], **_SET},
            },
        },
    },
    {"user": _EXAMPLE_USER, "tags": [{**schemas.EXAMPLE_TAG, **_EXAMPLE_SET}]},
)
TAG_USERS: Final = schemas.envelope_schema(
    "get-tag-users",
    {
        "limit": {"type": "integer"},
        "next": {"type": "string", "nullable": True, "description": "cursor of the page that follows"},
        "users": {
            "type": "array",
            "items": {**_ANYONE, "required": ["chain_id", *_SET], "properties": {**_ANYONE["properties"], **_SET}},
        },
    },
    {"limit": 100, "next": None, "users": [{**_EXAMPLE_USER, **_EXAMPLE_SET}]},
)


def changed(call_name: str) -> dict[str, Any]:
    """The schema of an answer to a change: the tag, and the user."""
    return schemas.envelope_schema(
        call_name, {"tag": schemas.TAG, "user": _ANYONE}, {"tag": schemas.EXAMPLE_TAG, "user": _EXAMPLE_USER}
    )


def user_document(user: ChainUser, mark: Tag | None = None) -> dict[str, Any]:
    """A user as it goes out, with `mark` since when it has a tag."""
    return {"chain_id": user.chain, str(user.identifier): user.value, **({} if mark is None else _set(mark))}


def user_tag_document(user_tag: UserTag) -> dict[str, Any]:
    """A user's tag as it goes out: the chain's tag, and since when the user has it."""
    return {**schemas.tag_document(user_tag.tag), **_set(user_tag.mark)}


def _set(mark: Tag) -> dict[str, Any]:
    return {"added_date": schemas.spell(mark.since), "etag": mark.etag}
