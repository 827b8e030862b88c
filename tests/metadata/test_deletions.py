"""Deletions of definitions that are cut short, overtaken or doubled, on a real MongoDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from dms_tags.audit.verify.replay import check
from dms_tags.errors import DefinitionNotFound, InUse, StoreUnavailable
from dms_tags.metadata.definitions import Hold, LabelDefinitions
from dms_tags.metadata.service import MetadataService
from dms_tags.model import Actor, Change, Changed, Kind, Terms, Verb
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.support.app import Service, running
from tests.support.at_once import at_once
from tests.support.metadata import SITE, body_of, define, put, refused

DELETER = Terms(Actor("deleter", "none"))


class Seam(TagStore):
    """A store that does something before or after each change of a definition."""

    def __init__(
        self, database: Database, before: Callable[[Verb], None] = lambda _: None, after: Callable[[Verb], None] = lambda _: None
    ) -> None:
        super().__init__(database)
        self._before = before
        self._after = after

    def change(self, change: Change) -> Changed:
        if change.resource.kind is not Kind.DEFINITION:
            return super().change(change)
        self._before(change.verb)
        changed = super().change(change)
        self._after(change.verb)
        return changed


@pytest.fixture
def service(settings: Settings) -> Iterator[Service]:
    """The application on a real MongoDB."""
    with running(settings) as found:
        yield found


def values(service: Service) -> list[Any]:
    return list(service.database.tags.find({"kind": "site", "tags.0": {"$exists": True}}, {"_id": 1}))


def test_cut_short(service: Service) -> None:
    """A deletion that was cut short leaves a definition that nobody sees or sets any more, and the next one finishes it."""
    tag_id = define(service)
    put(service, tag_id, SITE, "APAC")

    def fail(verb: Verb) -> None:
        if verb is Verb.DELETE:
            raise StoreUnavailable("gone")

    with pytest.raises(StoreUnavailable):
        MetadataService(service.database, Seam(service.database, before=fail)).definitions.delete(
            "default", tag_id, DELETER, force=True
        )

    refused(service.client.get(f"/tags/{tag_id}"), 404, "not_found_error", "tag_not_found")
    assert [] == body_of(service.client.get("/tags"))
    changed = service.client.put(f"/tags/{tag_id}", json={"key": "Area", "color": "#000000"})
    refused(changed, 404, "not_found_error", "tag_not_found")
    assert 204 == service.client.delete(f"/tags/{tag_id}").status_code
    assert [] == check(service.database, "default")


@pytest.mark.parametrize("force", [False, True])
def test_value_that_slips_in(service: Service, force: bool) -> None:
    """A value that is set just as its definition is marked keeps the definition, unless the deletion is forced."""
    tag_id = define(service)
    writer = MetadataService(service.database, service.services.store)
    marked: list[bool] = []

    def before(_: Verb) -> None:
        if not marked:
            writer.definitions.hold("default", tag_id)

    def after(_: Verb) -> None:
        if not marked:
            with suppress(DefinitionNotFound):  # on a machine so slow that the hold has run out
                writer.set("default", tag_id, SITE, Kind.SITE, "x", DELETER)
            marked.append(bool(values(service)))

    definitions = MetadataService(service.database, Seam(service.database, before, after)).definitions
    kept = False
    try:
        definitions.delete("default", tag_id, DELETER, force=force)
    except InUse:
        kept = True

    assert (marked[0] and not force) == kept
    assert [SITE] * kept == [value["_id"].rpartition("/")[2] for value in values(service)]
    assert (200 if kept else 404) == service.client.get(f"/tags/{tag_id}").status_code
    assert [] == check(service.database, "default")


def test_deleted_by_many(service: Service) -> None:
    """Of deletions that race one succeeds, the others are told of it, and nothing is left."""
    tag_id = define(service)
    for number in range(3):
        put(service, tag_id, f"s{number}", "APAC")

    answers = at_once([partial(service.app.test_client().delete, f"/tags/{tag_id}?force=true") for _ in range(6)])

    statuses = [answer.status_code for answer in answers]
    assert 1 == statuses.count(204)
    assert {204, 404, 409} >= set(statuses)
    assert [] == values(service)
    assert 404 == service.client.get(f"/tags/{tag_id}").status_code
    assert [] == check(service.database, "default")


@pytest.mark.parametrize("call", ["put", "delete"])
def test_a_repeat_after_the_deletion_is_answered_as_before(service: Service, call: str) -> None:
    """The answer to a change under a key stands also where the definition was deleted since, as with any other change."""
    tag_id = define(service)
    path = f"/tags/{tag_id}/values/{SITE}"
    if call == "delete":
        put(service, tag_id, SITE, "APAC")

    def asked(key: str) -> Any:
        body = {"json": {"correlation_type": "site", "value": "APAC"}} if call == "put" else {}
        return service.client.open(path, method=call, headers={"Idempotency-Key": key}, **body)  # type: ignore[arg-type]

    first = asked("k")
    assert 204 == service.client.delete(f"/tags/{tag_id}?force=true").status_code
    again = asked("k")

    assert (first.status_code, first.data) == (again.status_code, again.data)
    assert first.headers["X-B3-TraceId"] == again.headers["X-B3-TraceId"]
    refused(asked("another"), 404, "not_found_error", "tag_not_found")
    assert [] == values(service)


def test_a_value_that_was_taken_back_was_never_set(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was told that the definition is gone is told so again: the value, which was there for a moment, has left no answer."""
    tag_id = define(service)
    confirm, gone = LabelDefinitions.confirm, []

    def delete_first(definitions: LabelDefinitions, hold: Hold) -> None:
        gone.append(service.client.delete(f"/tags/{tag_id}?force=true").status_code)
        confirm(definitions, replace(hold, until=0.0))

    monkeypatch.setattr(LabelDefinitions, "confirm", delete_first)
    for _ in range(2):
        refused(put(service, tag_id, SITE, "APAC", Idempotency_Key="k"), 404, "not_found_error", "tag_not_found")

    assert [204] == gone
    assert [] == values(service)
    assert [] == check(service.database, "default")
