"""What the grammar takes and what it says of the rest (API.md section 3)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given

from dms_tags.errors import InvalidQuery
from dms_tags.query import parse, render
from dms_tags.query.parser import MAX_DEPTH, MAX_LENGTH, MAX_PREDICATES, MAX_VALUES
from dms_tags.query.statement import (
    And,
    Compare,
    Function,
    Holds,
    Member,
    Not,
    ObjectIdIn,
    Operator,
    Or,
    Order,
    Present,
    Statement,
)
from tests.query.strategies import MUTATED, STATEMENTS

STATE_1 = Compare(Member.STATE, Operator.EQ, 1)
WHERE = "SELECT * FROM x WHERE "
PUBLIC_CLIENT = (
    "SELECT * FROM document WHERE system:tags[analysis].(state=1 AND (creationDate=YESTERDAY() OR creationDate=TODAY()))"
)


def _refusal(text: str) -> str:
    with pytest.raises(InvalidQuery) as refused:
        parse(text)
    return refused.value.detail


@given(STATEMENTS)
def test_a_rendered_statement_reads_back_as_the_same_statement(statement: Statement) -> None:
    """Rendering and parsing are inverse to each other, for every statement."""
    assert statement == parse(render(statement))


def test_the_statement_of_the_public_client_is_read_as_one_condition_on_one_tag() -> None:
    """The statement that a public client of the DMS sends is understood."""
    days = Or(
        (
            Compare(Member.CREATION_DATE, Operator.EQ, Function.YESTERDAY),
            Compare(Member.CREATION_DATE, Operator.EQ, Function.TODAY),
        )
    )

    assert Statement("document", Holds("analysis", And((STATE_1, days)))) == parse(PUBLIC_CLIENT)


@pytest.mark.parametrize(
    "text",
    [
        "select * from document where system:tags[ocr].state=1",
        'SELECT*FROM document WHERE system:tags["ocr"].state = 1',
        "SELECT * FROM document\n\tWHERE system:tags[ 'ocr' ] . state=1",
        "SELECT * FROM document WHERE ((system:tags[ocr].(state=1)))",
    ],
)
def test_case_space_quotes_and_parentheses_do_not_matter(text: str) -> None:
    """Keywords are so in any case, names may be quoted, and space is free."""
    assert Statement("document", Holds("ocr", STATE_1)) == parse(text)


def test_words_of_the_language_can_be_names_of_tags_and_types() -> None:
    """A tag called `and` and a type called `where` are no keywords where they stand."""
    assert Statement("where", Holds("and", STATE_1), Order("order", Member.STATE, descending=True)) == parse(
        "SELECT * FROM where WHERE system:tags[and].state=1 ORDER BY system:tags[order].state DESC"
    )


def test_not_binds_closer_than_and_which_binds_closer_than_or() -> None:
    """Precedence is SQL's."""
    a, b, c = Present("a"), Present("b"), Present("c")

    assert (
        Or((And((Not(a), b)), c))
        == parse(
            "SELECT * FROM x WHERE NOT system:tags[a] IS NOT NULL AND system:tags[b] IS NOT NULL OR system:tags[c] IS NOT NULL"
        ).condition
    )


def test_both_spellings_of_the_trace_id_and_any_offset_of_a_time_are_taken() -> None:
    """`traceId` and `traceid` are one column, and a time is one whatever its offset."""
    statement = "SELECT * FROM x WHERE system:tags[a].(creationDate >= '2020-02-20T03:20:20.2209+01:00' AND {}='0a')"
    since = Compare(Member.CREATION_DATE, Operator.GE, datetime(2020, 2, 20, 2, 20, 20, 220_900, tzinfo=UTC))
    traced = Compare(Member.TRACE_ID, Operator.EQ, "0a")

    assert Holds("a", And((since, traced))) == parse(statement.format("traceId")).condition
    assert parse(statement.format("traceId")) == parse(statement.format("traceid"))


def test_columns_a_semicolon_and_the_old_spelling_of_a_state_are_taken() -> None:
    """Which columns are named makes no difference, a closing `;` neither, and a tag alone is its state."""
    usual = parse("SELECT * FROM x WHERE system:tags[a].state > 2 ORDER BY system:objectId")

    for columns in ("*", "system:objectId", "system:objectId, system:tags[a].state, name"):
        assert usual == parse(f"SELECT {columns} FROM x WHERE system:tags[a] > 2 ORDER BY system:objectId ;")  # noqa: S608


def test_ids_of_objects_are_compared_one_by_one_or_in_a_list() -> None:
    """`system:objectId` takes `=` and `IN`."""
    assert ObjectIdIn(("a-1",)) == parse("SELECT * FROM x WHERE system:objectId='a-1'").condition
    assert ObjectIdIn(("a", "b")) == parse("SELECT * FROM x WHERE system:objectId IN ('a', 'b')").condition


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1, column 1: expected SELECT, found the end"),
        ("SELECT * FROM", "line 1, column 14: expected a type, found the end"),
        ("SELECT FROM x", "line 1, column 13: expected FROM or a comma, found 'x'"),
        ("SELECT * FROM x WHERE system:versionNumber=1", "system:versionNumber is none of them: this service keeps tags"),
        ("SELECT * FROM x WHERE system:createdBy > 'a'", "column 40: expected <>, = or IN"),
        ("SELECT * FROM x ORDER BY own:amount", "own:amount is none of them: this service keeps tags"),
        (
            "SELECT * FROM x\nWHERE foo=1",
            "line 2, column 7: expected (, NOT, system:createdBy, system:objectTypeId, system:baseTypeId, system:creationDate, system:objectId or system:tags, found 'foo'",
        ),
        ("SELECT * FROM x WHERE system:tags[a].state ! 1", "column 44: expected <, <=, <>, =, >, >=, BETWEEN or IN, found '!'"),
        ("SELECT * FROM x WHERE system:tags[a].state=1 ORDER", "line 1, column 51: expected BY, found the end"),
        ("SELECT * FROM x WHERE system:tags[a].state=1;;", "line 1, column 46: expected the end, found ';'"),
        ("SELECT * FROM x WHERE system:tags[A].state=1", "line 1, column 35: a tag name matches"),
        ("SELECT * FROM x WHERE system:tags[a].state=3000000000", "line 1, column 44: a state is a whole number from"),
        ("SELECT * FROM x WHERE system:tags[a].creationDate>'2020-01-01T00:00:00'", "%2B"),
        ("SELECT * FROM x WHERE system:tags[a].creationDate>'9999-12-31T23:59:59-14:00'", "line 1, column 51"),
        ("SELECT * FROM x WHERE system:tags[a].creationDate='9999-12-31T23:59:59.999Z'", "there is no later time"),
        ("SELECT * FROM x WHERE system:tags[a].traceId='XYZ'", "line 1, column 46: a trace id is"),
        ("SELECT * FROM x WHERE system:tags[a].traceId<>'a'", "line 1, column 45: expected =, found '<>'"),
        ("SELECT * FROM x WHERE system:objectId='\ud800'", "line 1, column 39: an object id is"),
        ("SELECT * FROM x WHERE \ud800", "found '\\ud800'"),
    ],
)
def test_an_error_names_its_place_and_what_was_expected_there(text: str, says: str) -> None:
    """A statement outside the grammar is refused with line, column and what would be right."""
    assert says in _refusal(text)


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("NOT " * (MAX_DEPTH + 1) + "system:tags[a] IS NULL", "nest at most"),
        ("(" * 9_000 + "system:tags[a] IS NULL" + ")" * 9_000, "nest at most"),
        ("system:tags[a].state IN (" + "1," * MAX_VALUES + "1)", "IN takes at most 1,000 values"),
        ("system:tags[a] IS NULL OR " * MAX_PREDICATES + "system:tags[a] IS NULL", "at most 200"),
        (" " * MAX_LENGTH + "system:tags[a] IS NULL", "at most 50,000 characters"),
    ],
)
def test_what_is_too_deep_too_many_or_too_long_is_refused(condition: str, says: str) -> None:
    """Nesting, lists, comparisons and length have bounds."""
    assert says in _refusal(WHERE + condition)


@given(MUTATED)
def test_a_mutated_statement_is_read_or_refused_and_nothing_else(text: str) -> None:
    """Whatever the text, the parser gives a statement or `InvalidQuery`."""
    try:
        read = parse(text)
    except InvalidQuery as error:
        refusal = error.detail
    else:
        refusal = ""
        assert read == parse(render(read))

    assert refusal == "" or refusal.startswith("line ")
