"""A key is one definition's in a tenant: for racing writers, for earlier databases, however accents are spelt."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest

from dms_tags.metadata.definitions import LabelDefinitions
from dms_tags.metadata.model import Draft
from dms_tags.metadata.service import MetadataService
from dms_tags.model import Actor, Terms
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.support.app import Service, running
from tests.support.at_once import at_once
from tests.support.metadata import SITE, body_of, define, put, refused

COMPOSED, APART = "R\N{LATIN SMALL LETTER E WITH ACUTE}gion", "Re\N{COMBINING ACUTE ACCENT}gion"
BODY = {"key": "Region", "color": "#3F51B5"}
TAKEN = (409, "conflict_error", "in_use")


def keys(service: Service) -> list[str]:
    return [definition["key"] for definition in body_of(service.client.get("/tags"))]


@pytest.mark.parametrize("again", ["Region", "REGION", "region", "rEGION"])
def test_made_twice(service: Service, again: str) -> None:
    """A second definition with the key, letter case aside, is refused; another tenant may have it too."""
    define(service, "Region")

    refused(service.client.post("/tags", json=BODY | {"key": again}), *TAKEN)
    assert ["Region"] == keys(service)
    assert 201 == service.client.post("/tags", json=BODY, headers={"X-ID-TENANT-NAME": "other"}).status_code


def test_spelling_of_accents(service: Service) -> None:
    """Keys and values are kept in the composed form; the other spelling names the same one."""
    tag_id = define(service, APART)

    assert [COMPOSED] == keys(service)
    refused(service.client.post("/tags", json=BODY | {"key": COMPOSED.upper()}), *TAKEN)
    assert COMPOSED == body_of(put(service, tag_id, SITE, APART))["value"]
    assert COMPOSED == body_of(put(service, tag_id, "site_2", APART.upper()))["value"]
    for value in (COMPOSED, APART):
        assert 2 == len(body_of(service.client.get(f"/tags/{tag_id}/resources", query_string={"value": value})))


def test_longer_when_composed(service: Service) -> None:
    """The few characters whose composed form is longer count as what is kept."""
    long = "\N{HEBREW LETTER SHIN WITH DAGESH AND SHIN DOT}" * 100

    refused(service.client.post("/tags", json=BODY | {"key": long}), 400, "invalid_request_error", "parameter_invalid")
    tag_id = define(service)
    refused(put(service, tag_id, SITE, long), 400, "invalid_request_error", "parameter_invalid")


def test_life_of_a_key(service: Service) -> None:
    """A definition keeps its key when it is changed, gives it up for another one, and lets it go when it is deleted."""
    region, tier = define(service, "Region"), define(service, "Tier")

    assert 200 == service.client.put(f"/tags/{region}", json=BODY | {"key": "REGION"}).status_code
    refused(service.client.put(f"/tags/{tier}", json=BODY), *TAKEN)
    assert ["REGION", "Tier"] == sorted(keys(service))
    assert 200 == service.client.put(f"/tags/{region}", json=BODY | {"key": "Area"}).status_code
    assert 200 == service.client.put(f"/tags/{tier}", json=BODY).status_code
    assert 204 == service.client.delete(f"/tags/{region}").status_code
    assert 201 == service.client.post("/tags", json=BODY | {"key": "area"}).status_code
    assert ["Region", "area"] == sorted(keys(service))


def test_repeat(service: Service) -> None:
    """A repeat under an idempotency key is answered as the first time, not as a second definition."""
    first, second = (service.client.post("/tags", json=BODY, headers={"Idempotency-Key": "k"}) for _ in range(2))

    assert body_of(first, 201) == body_of(second, 201)
    assert "true" == second.headers["Idempotent-Replayed"]
    refused(service.client.post("/tags", json=BODY, headers={"Idempotency-Key": "l"}), *TAKEN)


def test_conditions_come_first(service: Service) -> None:
    """A change whose condition does not hold is told of that, also where its key is taken."""
    define(service, "Region")
    tier = define(service, "Tier")

    stale = service.client.put(f"/tags/{tier}", json=BODY, headers={"If-Match": '"a"'})
    refused(stale, 412, "precondition_error", "revision_mismatch")


def test_of_64_makers_one_wins(real: Service) -> None:
    """64 services that make a definition with one key at once: one wins, the others are told, and the trail has one entry."""
    terms = Terms(Actor("caller", "none"))

    def make(number: int) -> int:
        definitions = MetadataService(real.database, real.services.store).definitions if number % 2 else None
        if definitions is None:
            return real.app.test_client().post("/tags", json=BODY | {"key": "region" if number % 4 else "REGION"}).status_code
        try:
            definitions.create("default", Draft("Region", "#000000"), terms)
        except Exception as error:  # noqa: BLE001 - compared by its name
            return {"InUse": 409}.get(type(error).__name__, 500)
        return 201

    statuses = at_once([partial(make, number) for number in range(64)])

    assert {201: 1, 409: 63} == Counter(statuses)
    assert 1 == len(keys(real)) == len(real.entries())


def test_of_64_that_take_one_key_one_wins(real: Service) -> None:
    """64 definitions that are given one key at once: one has it, the others keep their own."""
    made = [define(real) for _ in range(64)]

    answers = at_once([partial(real.app.test_client().put, f"/tags/{tag_id}", json=BODY) for tag_id in made])

    assert {200: 1, 409: 63} == Counter(answer.status_code for answer in answers)
    assert 64 == len({key.casefold() for key in keys(real)})


def earlier(service: Service, *tag_ids: str, **changes: Any) -> None:
    """Makes definitions such as version 0.1.0 left them: holding no key, with other states where they are given."""
    for tag_id in tag_ids:
        update: dict[str, Any] = {"$unset": {"holds": ""}, "$inc": {"seq": 1}}
        if changes:
            update["$set"] = {f"tags.0.state.{member}": value for member, value in changes.items()}
        service.database.tags.update_one({"_id": f"default/definition/{tag_id}"}, update)


def test_earlier_definitions(service: Service) -> None:
    """Definitions of an earlier version have their keys; of two with one key the older has it, and both stay."""
    region, tier, second = sorted(define(service) for _ in range(3))  # of one millisecond the order is chance
    earlier(service, region, second, key="Region")
    earlier(service, tier, key="Tier")
    service.database.prepare()
    renewed = LabelDefinitions(service.database, service.services.store, service.services.metadata._spellings)  # noqa: SLF001 - a service that starts
    service.services.metadata.definitions = renewed

    refused(service.client.post("/tags", json=BODY | {"key": "tier"}), *TAKEN)
    refused(service.client.post("/tags", json=BODY), *TAKEN)
    assert ["Region", "Tier", "Region"] == keys(service)
    assert 200 == service.client.put(f"/tags/{region}", json=BODY | {"color": "#000000"}).status_code
    refused(service.client.put(f"/tags/{second}", json=BODY | {"color": "#000000"}), *TAKEN)
    assert "APAC" == body_of(put(service, second, SITE, "APAC"))["value"]
    assert 200 == service.client.put(f"/tags/{second}", json=BODY | {"key": "Area"}).status_code
    assert ["Region", "Tier", "Area"] == keys(service)


def test_an_earlier_service_beside(service: Service) -> None:
    """What a service of an earlier version changes or deletes meanwhile leaves no key taken, and no key free, for long."""
    region, tier = define(service, "Region"), define(service, "Tier")
    document = {"_id": f"default/definition/{region}"}
    service.database.tags.update_one(document, {"$set": {"tags": []}, "$inc": {"seq": 1}})
    service.database.tags.update_one(
        {"_id": f"default/definition/{tier}"}, {"$set": {"tags.0.state.key": "Area"}, "$inc": {"seq": 1}}
    )
    service.services.metadata.definitions._keys._settled.clear()  # noqa: SLF001 - as after a minute

    refused(service.client.post("/tags", json=BODY | {"key": "area"}), *TAKEN)
    assert 201 == service.client.post("/tags", json=BODY).status_code
    assert 201 == service.client.post("/tags", json=BODY | {"key": "Tier"}).status_code


def test_a_database_with_doubled_keys_starts(settings: Settings) -> None:
    """A database in which definitions share a key is brought up to date and served."""
    with running(settings, Database.connect(settings)) as service:
        made = [define(service) for _ in range(2)]
        earlier(service, *made, key="Region")
        service.database.tags.drop_index("holds")
    with running(settings, Database.connect(settings)) as service:
        assert ["Region", "Region"] == keys(service)
        assert service.database.tags.index_information()["holds"]["unique"]
        refused(service.client.post("/tags", json=BODY), *TAKEN)
