"""What the DMS tells of an object: nothing of it is lost to another's telling, and nothing is made of a call that was refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from dms_tags.errors import RevisionMismatch
from dms_tags.model import Actor, Change, Conditions, Kind, Properties, Resource, Terms
from dms_tags.objects.model import Asked, Manner
from dms_tags.objects.store import ObjectStore
from tests.support.app import Service
from tests.support.objects import ROOT, body, patch, patch_many, properties_of

ACTOR = Actor("ann", "token")
OBJECT = Resource("default", Kind.OBJECT, "o1")


def unruled(change: Change) -> Change:
    """No definition rules the tags."""
    return change


def once(what: Callable[[], object]) -> Callable[[], None]:
    """Does it the first time that it is called."""
    calls: Iterator[Callable[[], object]] = iter([what])

    def call() -> None:
        next(calls, lambda: None)()

    return call


def tell(store: ObjectStore, told: Properties, before_write: Callable[[], None] = lambda: None) -> None:
    store.change(Asked(OBJECT, Manner.SET, told=told), Terms(ACTOR), unruled, before_write)


def test_two_who_tell_at_once(service: Service) -> None:
    """Each tells another thing, the one between the other's look and write: both are kept, beside tags that change meanwhile."""
    store = ObjectStore(service.database, service.services.store)
    patch(service.client, "o1", ["ocr", 1])

    tell(store, Properties(type="invoice"), once(lambda: tell(store, Properties(base="system:document"))))
    store.change(
        Asked(OBJECT, Manner.SET, (("ocr", 2),)), Terms(ACTOR), unruled, once(lambda: tell(store, Properties(created_by="bob")))
    )

    told = store.read(OBJECT).told
    assert told is not None
    assert ("invoice", "system:document", "bob") == (told.type, told.base, told.created_by)


def test_one_makes_it_known_under_if_none_match(service: Service) -> None:
    """Of two who make an object known, that has tags already, only where it is not, one does."""
    store = ObjectStore(service.database, service.services.store)
    patch(service.client, "o1", ["ocr", 1])

    def make(created_by: str, before_write: Callable[[], None] = lambda: None) -> None:
        asked = Asked(OBJECT, Manner.MAKE, told=Properties(created_by=created_by))
        store.change(asked, Terms(ACTOR, conditions=Conditions(absent=True)), unruled, before_write)

    with pytest.raises(RevisionMismatch, match="known already"):
        make("late", once(lambda: make("first")))
    told = store.read(OBJECT).told
    assert told is not None
    assert "first" == told.created_by


def test_a_creator_who_was_erased_is_nobody_else(service: Service) -> None:
    """What is told later of the object does not make its teller the creator."""
    service.client.post(ROOT, json=body(("o1", []), **{"system:createdBy": "mallory"}))
    service.database.tags.update_one({"_id": OBJECT.key}, {"$set": {"known.by": None}})

    told = properties_of(patch(service.client, "o1", ["ocr", 1]))
    changed = properties_of(service.client.patch(f"{ROOT}/o1", json=body((None, []), **{"system:objectTypeId": "invoice"})))

    assert "system:createdBy" not in told
    assert ("invoice", False) == (changed["system:objectTypeId"], "system:createdBy" in changed)


def test_a_refused_call_tells_no_type(service: Service) -> None:
    """Statements of the tenant are read as before, as long as no object has a type."""
    patch(service.client, "o1", ["ocr", 1])
    typed = {"system:objectTypeId": "invoice"}
    locked = {"If-Match": '"x"'}
    refused = [
        service.client.patch(f"{ROOT}/o1", json=body((None, [["ocr", 2]]), **typed), headers=locked),
        service.client.patch(ROOT, json=body(("o1", [["ocr", 2]]), ("o2", []), **typed), headers=locked),
        service.client.post(ROOT, json=body(("o1", [["ocr", 2]]), **typed)),
    ]
    search = {"query": {"statement": "SELECT * FROM letter"}}

    assert [412, 412, 409] == [answer.status_code for answer in refused]
    assert 1 == (service.client.post(f"{ROOT}/search", json=search).json or {})["numItems"]
    assert 200 == patch_many(service.client, {"o1": [["ocr", 2]], "o2": [["ocr", 2]]}).status_code
    assert 200 == service.client.patch(ROOT, json=body(("o1", []), ("o2", []), **typed)).status_code
    assert 0 == (service.client.post(f"{ROOT}/search", json=search).json or {})["numItems"]
