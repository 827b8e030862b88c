"""The short form of a statement, as the DMS's web clients send it: types, filters that must all hold, and an order.

It is another spelling and no other language: it is written out as a statement, which is then read as any other, within the
same bounds (API.md section 3).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from dms_tags.errors import InvalidQuery
from dms_tags.names import MAX_NAME

MAX_FILTERS: Final = 50
COMPARED: Final = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
BETWEEN: Final = {"gtlt": ("gt", "lt"), "gtelt": ("gte", "lt"), "gtlte": ("gt", "lte"), "gtelte": ("gte", "lte")}
"""Operators with two ends, as the clients spell a range."""
OPERATORS: Final = [*COMPARED, "in", *BETWEEN]
ANY_TYPE: Final = "system:object"

_tag: Final = re.compile(rf"system:tags\[(\"?)([^\s\"'\[\]]{{1,{MAX_NAME}}})\1\](\.[A-Za-z]{{1,20}})?").fullmatch
_column: Final = re.compile(r"[A-Za-z]\w{0,63}(?::\w{1,64})?", re.ASCII).fullmatch
_type: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_:.-]{0,127}").fullmatch
_number: Final = re.compile(r"-?[0-9]{1,10}").fullmatch
_numeric: Final = re.compile(r".*\.state|(?:system:)?(?:sub)?action").fullmatch


@dataclass(frozen=True, slots=True)
class Filter:
    """`field operator value`; a range has a `second` value."""

    field: str
    operator: str
    value: Any
    second: Any = None


@dataclass(frozen=True, slots=True)
class Sort:
    """What to order by, and whether the highest comes first."""

    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class ShortQuery:
    """A statement in its short form."""

    types: Sequence[str] = ()
    filters: Sequence[Filter] = ()
    sort: Sequence[Sort] = ()

    def statement(self) -> str:
        """The statement that it stands for.  Raises `InvalidQuery` for what no statement says."""
        if len(self.types) > 1 or len(self.sort) > 1:
            raise InvalidQuery("types and sort take one each: a statement has one type and one order")
        type_ = self.types[0] if self.types else ANY_TYPE
        if not _type(type_):
            raise InvalidQuery(f"types: {type_[:40]!r} is no type of objects")
        conditions = [condition for each in self.filters for condition in _conditions(each)]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        order = "".join(f" ORDER BY {_field(by.field, 'sort.field')} {'DESC' if by.descending else 'ASC'}" for by in self.sort)
        return f"SELECT * FROM {type_}{where}{order}"  # noqa: S608 - not SQL, and never sent to a database


def _conditions(given: Filter) -> list[str]:
    field = _field(given.field, "filters.f")
    if given.operator in BETWEEN:
        low, high = BETWEEN[given.operator]
        return [
            f"{field} {COMPARED[operator]} {_literal(field, value, name)}"
            for operator, value, name in ((low, given.value, "v1"), (high, given.second, "v2"))
        ]
    if given.second is not None:
        raise InvalidQuery(f"filters.v2: {given.operator!r} takes one value, v1; a range is one of {', '.join(BETWEEN)}")
    if given.operator == "in":
        values = given.value if isinstance(given.value, list) else [given.value]
        return [f"{field} IN ({', '.join(_literal(field, value, 'v1') for value in values)})"]
    return [f"{field} {COMPARED[given.operator]} {_literal(field, given.value, 'v1')}"]


def _field(text: str, member: str) -> str:
    """A column as a statement spells it; of a tag without more its state is meant."""
    tag = _tag(text)
    if tag is not None:
        return f'system:tags["{tag[2]}"]{tag[3] or ".state"}'
    if not _column(text):
        raise InvalidQuery(
            f"{member}: {text[:60]!r} is no column; columns are system:objectId and system:tags[ocr].state, for instance"
        )
    return text


def _literal(field: str, value: Any, member: str) -> str:
    """A value as a statement spells it; clients send numbers as texts too."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise InvalidQuery(f"filters.{member}: a text or a whole number is needed for {field}")
    if _numeric(field) and _number(value):
        return value
    quote = '"' if "'" in value else "'"
    if quote in value or "\n" in value:
        raise InvalidQuery(f"filters.{member}: a text has no line end, and not both kinds of quotes")
    return f"{quote}{value}{quote}"
