"""Declaring bodies: one marshmallow schema is the check of a body and its description in the OpenAPI document.

Each member is read strictly: a text of digits is no number, 1.0 is the integer 1, `null` is as if the member were absent,
and a member that is none of the schema's is refused by name (API.md, "Common to all").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar, Final

from marshmallow import Schema, ValidationError, fields, pre_load, validate

from dms_tags import names
from dms_tags.errors import InvalidBody, InvalidParameter, Malformed
from dms_tags.names import MAX_REASON

TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False}
"""How forms and queries of the chain tags API spell a boolean."""


class Missing(str):
    """What is said of a member that is needed and absent."""

    __slots__ = ()


NEEDED: Final = Missing("it is required")


class Body(Schema):
    """A JSON object of a request; `LOCKS` are the members that a caller rests on, for which null is a mistake."""

    LOCKS: ClassVar[frozenset[str]] = frozenset()
    EXAMPLE: ClassVar[Mapping[str, Any] | None] = None

    def refusal(self, member: str, reason: str) -> Malformed:
        """The error for a member that is not as declared."""
        return InvalidBody(f"{member}: {reason}" if member else reason, member or None)

    @cached_property
    def known(self) -> list[str]:
        """The members' names, as they are declared."""
        return [field.data_key or name for name, field in self.fields.items()]

    @pre_load
    def _declared_members(self, given: Any, **_: Any) -> Any:
        if not isinstance(given, Mapping):
            raise ValidationError("a JSON object is needed")
        known = self.known
        for name in given:
            if name not in known:
                advice = ", ".join(known)
                if name.lower() == "traceidmustmatch":
                    advice += "; traceIdMustMatch is a parameter of the query"
                raise ValidationError({name: [f"is no member here; there are: {advice}"]})
        for name in self.LOCKS:
            if name in given and given[name] is None:
                raise ValidationError({name: ["null is no condition: leave it out, or give one"]})
        return {name: value for name, value in given.items() if value is not None}


def load(schema: Body, document: Any) -> Any:
    """What a document says, by the attributes of the schema.

    Raises the schema's `refusal` for the first member that is wrong, or that member's own error.
    """
    try:
        return schema.load(document)
    except ValidationError as error:
        member, reason = _first(error.messages)
        raise schema.refusal(member, reason) from error


def typed(schema: Body, form: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a form as the members that they spell; what spells none stays a text, which the schema then refuses."""
    return {name: _typed(schema.fields.get(name), text) for name, text in form.items()}


def _typed(field: fields.Field[Any] | None, text: str) -> Any:
    if isinstance(field, Whole) and text.isascii() and text.isdigit() and len(text) <= 15:
        return int(text)
    if isinstance(field, Flag):
        return TRUTHS.get(text.lower(), text)
    return text


def _first(messages: Any, path: str = "") -> tuple[str, str]:
    """The first of marshmallow's messages: the member's path, and what is wrong with it."""
    if isinstance(messages, Mapping):
        key, inner = next(iter(messages.items()))
        step = "" if key in ("_schema", "key", "value") else str(key)
        return _first(inner, f"{path}.{step}".strip("."))
    return path, NEEDED if messages[0] == fields.Field.default_error_messages["required"] else messages[0]


class Text(fields.String):
    """A text, or where a length is given one of `least` to `most` characters without NUL.

    `parse` reads it further and may raise an error of its own.
    """

    def __init__(
        self, least: int = 0, most: int | None = None, *, parse: Callable[[str], Any] | None = None, **described: Any
    ) -> None:
        self._bounds: Final = (least, most)
        self._parse: Final = parse
        bounds = validate.Length(min=least or None, max=most, error=self._needed()) if least or most else None
        super().__init__(validate=bounds, **described)

    def _needed(self) -> str:
        least, most = self._bounds
        return "a text" if most is None else f"a text of {least} to {most} characters, none of them NUL"

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        least, most = self._bounds
        if not isinstance(value, str) or (most is not None and not (least <= len(value) <= most and "\0" not in value)):
            raise ValidationError(f"{self._needed()} is needed")
        return value if self._parse is None else self._parse(value)

    def _validate(self, value: Any) -> None:
        """Its length was looked at before it was parsed."""


class Reason(Text):
    """Why a change is made."""

    def __init__(self, **described: Any) -> None:
        super().__init__(1, MAX_REASON, **described)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        try:
            return names.reason(super()._deserialize(value))
        except InvalidParameter as error:
            raise ValidationError(error.detail) from error


class Whole(fields.Integer):
    """A whole number from `least` to `most`, 1.0 too."""

    def __init__(self, least: int, most: int, **described: Any) -> None:
        needed = f"a whole number from {least} to {most} is needed"
        super().__init__(
            strict=True, validate=validate.Range(least, most, error=needed), error_messages={"invalid": needed}, **described
        )

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        return super()._deserialize(int(value) if isinstance(value, float) and value.is_integer() else value, *_, **__)


class Flag(fields.Boolean):
    """`true` or `false`, and nothing that only looks so."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("true or false is needed")
        return value


class Choice(fields.String):
    """One of some texts."""

    def __init__(self, choices: list[str], **described: Any) -> None:
        self._choices: Final = choices
        super().__init__(validate=validate.OneOf(choices), **described)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str) or value not in self._choices:
            raise ValidationError(f"one of {', '.join(self._choices)} is needed")
        return value


class Each(fields.List[Any]):
    """A list of which each member is as declared."""

    def __init__(self, member: fields.Field[Any], most: int | None = None, **described: Any) -> None:
        needed = "a list is needed" if most is None else f"a list of at most {most:,} is needed"
        bounds = None if most is None else validate.Length(max=most, error=needed)
        super().__init__(member, validate=bounds, error_messages={"invalid": needed}, **described)
        self._most: Final = most

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> list[Any]:
        if self._most is not None and isinstance(value, list) and len(value) > self._most:
            raise self.make_error("invalid")  # before any of a hundred thousand members is read
        return super()._deserialize(value, *_, **__)


class Named(fields.Dict):
    """An object whose members' names and values are as declared; two names that mean the same are refused."""

    def __init__(
        self,
        names: fields.Field[Any],
        values: fields.Field[Any],
        needed: str,
        *,
        least: int = 0,
        most: int | None = None,
        **described: Any,
    ) -> None:
        needed = needed.replace("{", "{{").replace("}", "}}")  # marshmallow takes messages for format strings
        super().__init__(
            keys=names,
            values=values,
            validate=validate.Length(least, most, error=needed),
            error_messages={"invalid": needed},
            **described,
        )
        self._names: Final = names

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        loaded: dict[Any, Any] = super()._deserialize(value, *_, **__)  # type: ignore[no-untyped-call]
        if len(loaded) < len(value):
            met: dict[Any, str] = {}
            for name in value:
                other = met.setdefault(self._names.deserialize(name), name)
                if other != name:
                    raise ValidationError(f'"{other}" and "{name}" mean the same; once is right')
        return loaded


class Anything(fields.Raw):
    """What is read later."""


class Part(fields.Nested):
    """An object within a body."""
