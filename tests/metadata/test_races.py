"""Writers that race, on a real MongoDB: what spans documents holds all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice, product
from typing import Any

import pytest
from werkzeug.test import TestResponse

from dms_tags.app import create_app
from dms_tags.audit.verify.replay import check
from dms_tags.errors import DefinitionNotFound
from dms_tags.metadata.service import MetadataService
from dms_tags.model import Actor, Change, Changed, Kind, Terms
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.support.app import Service, running
from tests.support.at_once import at_once
from tests.support.metadata import SITE, body_of, define


@pytest.fixture
def service(settings: Settings) -> Iterator[Service]:
    """The application on a real MongoDB."""
    with running(settings) as found:
        yield found


def put(service: Service, path: str, value: str, kind: str = "site") -> Callable[[], TestResponse]:
    """The seed's call, made by a client of its own."""
    return partial(service.app.test_client().put, path, json={"correlation_type": kind, "value": value})


def spellings(word: str) -> Iterator[str]:
    """The word with all ways to choose between small and large letters."""
    return map("".join, product(*({letter.lower(), letter.upper()} for letter in word)))


def test_64_puts_of_one_value(service: Service) -> None:
    """64 racing PUTs of one value all succeed; the last in the trail is the value that stands, with its time."""
    tag_id = define(service)
    path = f"/tags/{tag_id}/values/{SITE}"

    answers = at_once([put(service, path, f"v{number}") for number in range(64)])

    values = [body_of(answer) for answer in answers]
    [standing] = body_of(service.client.get(f"/tags/{tag_id}/values"))
    entries = [entry for entry in service.entries() if entry["resource"] == f"site/{SITE}"]
    assert list(range(1, 65)) == [entry["revision"] for entry in entries]
    assert {f"v{number}" for number in range(64)} == {entry["state"] for entry in entries}
    assert [entry["state"] for entry in entries[:-1]] == [entry["previousState"] for entry in entries[1:]]
    assert (entries[-1]["state"], max(value["updated_at"] for value in values)) == (standing["value"], standing["updated_at"])
    assert {standing["created_at"]} == {value["created_at"] for value in values}
    assert 64 == len({answer.headers["ETag"] for answer in answers})
    assert [] == check(service.database, "default")


def test_one_spelling(service: Service) -> None:
    """Of racing values that differ only in letter case one spelling wins, on every resource."""
    tag_id = define(service)

    answers = at_once(
        [put(service, f"/tags/{tag_id}/values/s{number}", word) for number, word in enumerate(islice(spellings("region"), 64))]
    )

    told = {body_of(answer)["value"] for answer in answers}
    assert 1 == len(told)
    assert told == {value["value"] for value in body_of(service.client.get(f"/tags/{tag_id}/values"))}


def test_one_type(service: Service) -> None:
    """A resource that is tagged as of four types at once is of one; the others are refused and leave nothing."""
    tag_id = define(service)
    kinds = ["site", "user", "wan", "account"] * 8

    answers = at_once([put(service, f"/tags/{tag_id}/values/{SITE}", "x", kind) for kind in kinds])

    succeeded = {kind for kind, answer in zip(kinds, answers, strict=True) if answer.status_code == 200}
    assert 1 == len(succeeded)
    assert {200, 400} == {answer.status_code for answer in answers}
    assert succeeded == {value["correlation_type"] for value in body_of(service.client.get(f"/tags/{tag_id}/values"))}


@pytest.mark.parametrize("force", ["true", "false"])
def test_no_orphan(service: Service, settings: Settings, force: str) -> None:
    """A definition that one process deletes while others set values leaves none behind, or stays with all of them."""
    tag_id = define(service)
    other = create_app(settings, database=service.database)
    gone = False

    def write(number: int) -> list[TestResponse]:
        answers: list[TestResponse] = []
        while not gone:
            answers.append(put(service, f"/tags/{tag_id}/values/s{number}-{len(answers)}", "x")())
        return answers

    def delete() -> list[TestResponse]:
        nonlocal gone
        try:
            return [other.test_client().delete(f"/tags/{tag_id}?force={force}")]
        finally:
            gone = True

    calls: list[Callable[[], list[TestResponse]]] = [*(partial(write, number) for number in range(4)), delete]
    *written, [deleted] = at_once(calls)

    statuses = {answer.status_code for answers in written for answer in answers}
    left = _left(service, tag_id)
    assert statuses <= {200, 404}
    if deleted.status_code == 204:
        assert [] == left
        assert 404 == service.client.get(f"/tags/{tag_id}").status_code
    else:
        assert ("false", 409) == (force, deleted.status_code)
        assert sum(answer.status_code == 200 for answers in written for answer in answers) == len(left)
    assert [] == check(service.database, "default")


class Late(TagStore):
    """A store whose first change is made only after something else was done."""

    def __init__(self, database: Database, first: Callable[[], None]) -> None:
        super().__init__(database)
        self._first: list[Callable[[], None]] = [first]

    def change(self, change: Change) -> Changed:
        while self._first:
            self._first.pop()()
        return super().change(change)


def test_late_writer(service: Service) -> None:
    """A value whose write took so long that its definition went meanwhile is taken back, and its writer told."""
    tag_id = define(service)
    deleted: list[TestResponse] = []
    late = Late(service.database, lambda: deleted.append(service.client.delete(f"/tags/{tag_id}")))

    with pytest.raises(DefinitionNotFound):
        MetadataService(service.database, late).set("default", tag_id, SITE, Kind.SITE, "x", Terms(Actor("late", "none")))

    assert [204] == [answer.status_code for answer in deleted]
    assert [] == _left(service, tag_id)
    assert ["OBJECT_TAG_CREATED", "OBJECT_TAG_DELETED"] == [
        entry["actionName"] for entry in service.entries() if entry["resource"] == f"site/{SITE}"
    ]


def _left(service: Service, tag_id: str) -> list[Any]:
    return list(service.database.tags.find({"tags.name": tag_id}, {"_id": 1}))
