"""From the text of a statement to what it says.

The parser is LALR and keeps its own stack, and values are checked as they are read, so neither a long nor a deeply nested
text can exhaust the process; the bounds below keep what is handed on small enough for MongoDB.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NoReturn, TypeVar

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from dms_tags import names
from dms_tags.errors import InvalidQuery, Malformed
from dms_tags.query.moments import LATEST
from dms_tags.query.statement import (
    Absent,
    And,
    Between,
    Compare,
    Function,
    Holds,
    Known,
    KnownIn,
    Member,
    Not,
    ObjectIdIn,
    OneOf,
    Operator,
    Or,
    Order,
    Present,
    Property,
    Statement,
)

T = TypeVar("T")

MAX_LENGTH: Final = 50_000
"""Characters of a statement, at most."""
SHORT: Final = 1_000
"""A statement of so many characters is remembered, since workers ask the same ones again and again; a longer one takes long
to read, some 4 ms for 1,000 characters."""
MAX_DEPTH: Final = 20
"""Parentheses and NOTs within each other, at most."""
MAX_VALUES: Final = 1_000
"""Values of one IN, at most."""
MAX_TEXT: Final = 256
"""Characters of a text that is compared, at most: no longer one is kept."""
MAX_PREDICATES: Final = 200
"""Comparisons and other predicates of one statement, at most."""

_COLUMN: Final = re.compile(r"[A-Za-z]\w*:\w+").match

_PUNCTUATION: Final = {
    "STAR": "*", "SEMICOLON": ";", "LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]", "DOT": ".", "COMMA": ",",
    "EQ": "=", "NE": "<>", "LT": "<", "LE": "<=", "GT": ">", "GE": ">=",
}  # fmt: skip
SHOWN: Final[Mapping[str, str]] = {
    **_PUNCTUATION,
    "TYPE": "a type",
    "COLUMN": "a column",
    "COMMA": "a comma",
    "TAG_NAME": "a tag name",
    "STRING": "a text in quotes",
    "INTEGER": "a whole number",
    "OBJECT_ID": "system:objectId",
    "CREATED": "system:creationDate",
    "TEXT_PROPERTY": "system:createdBy, system:objectTypeId, system:baseTypeId",
    "TAGS": "system:tags",
    "STATE": "state",
    "CREATION_DATE": "creationDate",
    "TRACE_ID": "traceId",
    "$END": "the end",
}


@lru_cache(maxsize=512)
def parse(text: str) -> Statement:
    """What the statement says.

    Raises `InvalidQuery`, naming line, column and what was expected there, for a text outside the grammar or beyond
    the bounds of this module.
    """
    return _parse_once(text) if len(text) <= SHORT else _parse(text)


def _parse(text: str) -> Statement:
    if len(text) > MAX_LENGTH:
        raise InvalidQuery(f"a statement has at most {MAX_LENGTH:,} characters, this one {len(text):,}")
    try:
        statement: Any = _parser().parse(text)
    except UnexpectedInput as error:
        raise InvalidQuery(explain(text, error)) from error
    if not isinstance(statement, Statement):
        raise TypeError(f"the grammar gave a {type(statement).__name__}")
    return statement


_parse_once = lru_cache(maxsize=256)(_parse)


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark.open(
        "grammar.lark", rel_to=__file__, parser="lalr", start="statement", maybe_placeholders=True, transformer=_Builder()
    )


def explain(text: str, error: UnexpectedInput, shown: Mapping[str, str] = SHOWN) -> str:
    """What was expected where in the text, and what stands there; `shown` names the grammar's terminals."""
    if isinstance(error, UnexpectedToken):
        expected = error.accepts or error.expected
        met = "the end" if error.token.type == "$END" else ascii(str(error.token))
    elif isinstance(error, UnexpectedCharacters):
        expected = error.allowed or set()
        met = ascii(text[error.pos_in_stream or 0])
    else:
        expected, met = set(), "something else"
    line, column = error.line, error.column
    if line < 1 or met == "the end":
        line, column = text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1
    column_met = _COLUMN(text, _offset(text, line, column))
    if column_met is not None and "TAGS" in expected:
        met += f"; {column_met[0]} is none of them: this service keeps tags, and no other metadata of a DMS"
    wanted = sorted(shown.get(name, name) for name in expected if name not in ("WS", "SEMICOLON"))
    *others, last = wanted or ["something else"]
    return f"line {line}, column {column}: expected {', '.join(others) + ' or ' if others else ''}{last}, found {met}"


def _offset(text: str, line: int, column: int) -> int:
    return sum(len(before) + 1 for before in text.split("\n")[: line - 1]) + column - 1


def refuse(token: Token, reason: str) -> NoReturn:
    """Raises `InvalidQuery` with the token's place."""
    raise InvalidQuery(f"line {token.line}, column {token.column}: {reason}")


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the condition, how deep it nests and how many predicates it has."""

    node: Any
    depth: int = 0
    size: int = 1


def _unquoted(token: Token) -> str:
    return token[1:-1] if token.type == "STRING" else str(token)


def checked(token: Token, check: Callable[[str], T]) -> T:
    """What `check` makes of the token's text; what it refuses is an error at the token's place."""
    try:
        return check(_unquoted(token))
    except Malformed as error:
        refuse(token, error.detail)


def _bounded(first: Token, values: list[Any]) -> list[Any]:
    if len(values) > MAX_VALUES:
        refuse(first, f"IN takes at most {MAX_VALUES:,} values, here are {len(values):,}")
    return values


def _text(token: Token) -> str:
    text = _unquoted(token)
    if len(text) > MAX_TEXT:
        refuse(token, f"a text has at most {MAX_TEXT} characters, this one {len(text):,}")
    return text


def _deeper(token: Token, part: _Part) -> int:
    if part.depth >= MAX_DEPTH:
        refuse(token, f"parentheses and NOTs nest at most {MAX_DEPTH} deep")
    return part.depth + 1


class _Builder(Transformer[Token, Any]):
    """Makes the nodes while the parser reads; each method is called with what its rule in the grammar names."""

    def statement(self, items: list[Any]) -> Statement:
        type_, condition, order, direction = items[3], items[5], items[8], items[9]
        if order is not None and direction is not None and direction.type == "DESC":
            order = replace(order, descending=True)
        return Statement(str(type_), condition.node if condition is not None else None, order)

    def columns(self, _: list[Any]) -> None:
        """Those that are named are in every answer anyway."""

    def any_of(self, items: list[Any]) -> _Part:
        return self._combined(Or, items)

    def all_of(self, items: list[Any]) -> _Part:
        return self._combined(And, items)

    def _combined(self, combine: type[Or[Any] | And[Any]], items: list[Any]) -> _Part:
        parts = items[::2]
        size = sum(part.size for part in parts)
        if size > MAX_PREDICATES:
            refuse(items[1], f"a statement has at most {MAX_PREDICATES} comparisons")
        return _Part(combine(tuple(part.node for part in parts)), max(part.depth for part in parts), size)

    def negate(self, items: list[Any]) -> _Part:
        word, part = items
        return _Part(Not(part.node), _deeper(word, part), part.size)

    def nested(self, items: list[Any]) -> _Part:
        parenthesis, part, _ = items
        return _Part(part.node, _deeper(parenthesis, part), part.size)

    def is_null(self, items: list[Any]) -> _Part:
        return _Part(Absent(items[0]))

    def is_not_null(self, items: list[Any]) -> _Part:
        return _Part(Present(items[0]))

    def holds(self, items: list[Any]) -> _Part:
        name, _, part = items
        return _Part(Holds(name, part.node))

    def holds_state(self, items: list[Any]) -> _Part:
        name, operator, value = items
        return _Part(Holds(name, Compare(Member.STATE, operator, self._value(value))))

    def holds_group(self, items: list[Any]) -> _Part:
        name, _, parenthesis, part, _ = items
        return _Part(Holds(name, part.node), _deeper(parenthesis, part), part.size)

    def object_id_is(self, items: list[Any]) -> _Part:
        return _Part(ObjectIdIn((checked(items[2], names.object_id),)))

    def object_id_in(self, items: list[Any]) -> _Part:
        return _Part(ObjectIdIn(tuple(checked(item, names.object_id) for item in _bounded(items[0], items[3:-1:2]))))

    def text_is(self, items: list[Any]) -> _Part:
        property_, operator, text = items
        return _Part(Known(Property(property_), Operator(operator), _text(text)))

    def text_in(self, items: list[Any]) -> _Part:
        return _Part(KnownIn(Property(items[0]), tuple(map(_text, _bounded(items[0], items[3:-1:2])))))

    def created(self, items: list[Any]) -> _Part:
        return _Part(Known(Property.CREATION_DATE, items[1], items[2]))

    def created_in(self, items: list[Any]) -> _Part:
        return _Part(KnownIn(Property.CREATION_DATE, tuple(_bounded(items[0], items[3:-1:2]))))

    def created_between(self, items: list[Any]) -> _Part:
        low, high = (
            Known(Property.CREATION_DATE, operator, value)
            for operator, value in ((Operator.GE, items[2]), (Operator.LE, items[4]))
        )
        return _Part(And((low, high)), size=2)

    def by_property(self, items: list[Any]) -> Order:
        return Order(known=Property(items[0]))

    def compare(self, items: list[Any]) -> _Part:
        column, operator, value = items
        return _Part(Compare(self._member(column), operator, self._value(value)))

    def one_of(self, items: list[Any]) -> _Part:
        column = items[0]
        return _Part(OneOf(self._member(column), tuple(map(self._value, _bounded(column, items[3:-1:2])))))

    def between(self, items: list[Any]) -> _Part:
        return _Part(Between(self._member(items[0]), self._value(items[2]), self._value(items[4])))

    def trace_id_is(self, items: list[Any]) -> _Part:
        return _Part(Compare(Member.TRACE_ID, Operator.EQ, checked(items[2], names.trace_id)))

    def by_object_id(self, _: list[Any]) -> Order:
        return Order()

    def by_tag(self, items: list[Any]) -> Order:
        return Order(items[0], self._member(items[2]))

    def tag(self, items: list[Any]) -> str:
        return checked(items[2], names.tag_name)

    def operator(self, items: list[Any]) -> Operator:
        return Operator(items[0])

    def time(self, items: list[Any]) -> datetime:
        moment = checked(items[0], names.time)
        if moment > LATEST:
            refuse(items[0], "there is no later time to compare with")
        return moment

    def function(self, items: list[Any]) -> Function:
        return Function(items[0].upper())

    def _member(self, column: Token) -> Member:
        return Member.STATE if column.type == "STATE" else Member.CREATION_DATE

    def _value(self, value: Any) -> Any:
        return checked(value, names.state) if isinstance(value, Token) else value
