"""`/api/dms/subscriptions`: making, changing, reading and removing subscriptions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dms_tags.app import create_app
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.model import Change, Changed, Kind, Verb
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.subscriptions.model import MAX_SUBSCRIPTIONS
from dms_tags.tags.store import TagStore
from tests.support.app import Service
from tests.support.identity import ADMIN

PATH = "/api/dms/subscriptions"
URL = "https://siem.example.com/hook"


def put(service: Service, name: str = "siem", /, headers: dict[str, str] | None = None, **body: Any) -> Any:
    return service.client.put(f"{PATH}/{name}", json={"url": URL, **body}, headers=headers or {})


def renew(service: Service) -> str:
    renewed: Any = service.client.post(f"{PATH}/siem/secret").json
    return str(renewed["secret"])


def get(service: Service, path: str) -> Any:
    return service.client.get(path).json


def administration(service: Service) -> list[tuple[int, str, dict[str, Any]]]:
    """Action, actor and state of what the trail has of the subscription."""
    return [
        (entry["action"], entry["createdBy"], entry["state"])
        for entry in service.entries()
        if entry["resource"] == "subscription/siem"
    ]


def test_put_and_get(service: Service) -> None:
    """The secret is in the first answer alone; what was asked for is read back, with how far it is."""
    made = put(service, names=["ocr"], states=[3, -1], actions=[310], proofs=True)
    again = put(service, names=["ocr"], states=[3, -1], actions=[310], proofs=True)
    shown = get(service, f"{PATH}/siem")

    assert (200, 200) == (made.status_code, again.status_code)
    assert made.json["secret"].startswith("whsec_")
    assert "secret" not in again.json
    assert {**again.json, "state": {}} == {**shown, "state": {}}
    assert {
        "name": "siem",
        "url": URL,
        "names": ["ocr"],
        "states": [3, -1],
        "actions": [310],
        "proofs": True,
        "after": 0,
        "paused": False,
        "etag": again.headers["ETag"].strip('"'),
    } == {member: value for member, value in shown.items() if member != "state"}
    assert None is shown["state"]["delivered"] is shown["state"]["error"] is shown["state"]["pausedReason"]


def test_list_is_in_order_of_name(service: Service) -> None:
    """All of them, without secrets."""
    put(service, "b")
    put(service, "a")
    listed = get(service, PATH)["subscriptions"]

    assert ["a", "b"] == [each["name"] for each in listed]
    assert not any("secret" in each for each in listed)


def test_begins_with_what_comes(service: Service) -> None:
    """A new subscription begins at the head, or after the position that it names; a change leaves it there, unless it names one."""
    service.client.post("/api/dms/objects/8f2c/tags/ocr/state/1")
    head = len(service.entries())

    assert head == put(service).json["after"]
    assert head == put(service, names=["ocr"]).json["after"]
    assert 0 == put(service, after=0).json["after"]
    assert 0 == put(service).json["after"]


def test_is_in_the_trail(service: Service) -> None:
    """Making, changing, renewing and removing are entries, which have the ids of secrets, not the secrets."""
    secret = put(service).json["secret"]
    put(service, paused=True)
    renewed = renew(service)
    service.client.delete(f"{PATH}/siem")
    told = administration(service)

    assert [10110, 10310, 10310, 10210] == [action for action, _, _ in told]
    assert [False, True, True, True] == [state["paused"] for _, _, state in told]
    assert [1, 1, 2, 2] == [len(state["secrets"]) for _, _, state in told]
    for spelt in (secret, renewed):
        assert spelt.removeprefix("whsec_") not in str(told)


def test_delete(service: Service) -> None:
    """What is removed is gone, with its secrets and its cursor; made again it is a new one."""
    first = put(service, after=0).json["secret"]
    assert 200 == service.client.delete(f"{PATH}/siem").status_code

    assert 404 == service.client.get(f"{PATH}/siem").status_code == service.client.delete(f"{PATH}/siem").status_code
    assert 404 == service.client.post(f"{PATH}/siem/secret").status_code
    assert 0 == service.database.collection("subscription_secrets").count_documents({})
    assert first != put(service).json["secret"]


def test_secrets_that_no_tag_names_go(service: Service) -> None:
    """What calls that were cut off have left goes with the next secret or the subscription, also where that is gone already.

    One that was made a moment ago stays: its call may be about to name it.
    """
    kept = service.database.collection("subscription_secrets")
    put(service)

    def left() -> set[str]:
        return {document["_id"] for document in kept.find()} & {"of an earlier version", "long ago", "just now"}

    def leave() -> None:
        of_siem = {"tenant": "default", "name": "siem", "value": b"x"}
        moment = service.database.clock.now()
        kept.delete_many({"_id": "just now"})
        kept.insert_many(
            [
                {"_id": "of an earlier version", **of_siem},
                {"_id": "long ago", **of_siem, "at": moment - timedelta(minutes=2)},
                {"_id": "just now", **of_siem, "at": moment},
            ]
        )

    for call in (lambda: renew(service), lambda: service.client.delete(f"{PATH}/siem")):
        leave()
        call()
        assert {"just now"} == left()
    leave()
    assert 404 == service.client.delete(f"{PATH}/siem").status_code
    assert {"just now"} == left()
    leave()
    put(service)
    assert {"just now"} == left()
    assert 2 == kept.count_documents({})


def test_the_secret_is_told_whatever_others_do_meanwhile(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subscription that is removed before its first answer is on its way: the answer says what was made all the same."""
    change, removals = TagStore.change, []

    def and_remove(store: TagStore, wanted: Change) -> Changed:
        changed = change(store, wanted)
        if changed.added and wanted.resource.kind is Kind.SUBSCRIPTION:
            removals.append(change(store, replace(wanted, verb=Verb.DELETE)))
        return changed

    monkeypatch.setattr(TagStore, "change", and_remove)
    made = put(service)

    assert (200, 1) == (made.status_code, len(removals))
    assert made.json["secret"].startswith("whsec_")
    assert f'"{made.json["etag"]}"' == made.headers["ETag"]


def test_conditions(service: Service) -> None:
    """If-Match and If-None-Match hold in the write; an idempotency key is refused, since an answer has a secret."""
    missing = put(service, headers={"If-Match": '"x"'})
    made = put(service, headers={"If-None-Match": "*"})
    etag = made.headers["ETag"]

    assert 412 == missing.status_code
    assert 200 == made.status_code
    assert 412 == put(service, headers={"If-None-Match": "*"}).status_code
    assert 200 == put(service, headers={"If-Match": etag}, paused=True).status_code
    assert 412 == put(service, headers={"If-Match": etag}).status_code
    assert 412 == service.client.delete(f"{PATH}/siem", headers={"If-Match": etag}).status_code
    assert 412 == service.client.post(f"{PATH}/siem/secret", headers={"If-Match": etag}).status_code
    assert 200 == put(service, headers={"If-Match": "*"}).status_code
    refused = put(service, headers={"Idempotency-Key": "k"})
    assert (400, True) == (refused.status_code, "Idempotency-Key" in refused.json["detail"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"url": "http://h.example/"}, "DMS_TAGS_WEBHOOK_NETWORKS"),
        ({"url": "https://127.0.0.1/"}, "127.0.0.1 is no public address"),
        ({"url": "https://u:p@h.example/"}, "without a name or password"),
        ({"url": f"https://h.example/{'x' * 2000}"}, "1 to 2000 characters"),
        ({"names": []}, "names: an empty list"),
        ({"names": ["No Name"]}, "names.0"),
        ({"states": [2**40]}, "states.0"),
        ({"actions": [111]}, "actions: 111 is none of 110, 210, 310"),
        ({"actions": [10110]}, "actions.0"),
        ({"after": 99}, "after: the position 99 is beyond the trail"),
        ({"after": -1}, "after"),
        ({"paused": "no"}, "paused"),
        ({"secret": "whsec_x"}, "secret: is no member"),
    ],
)
def test_refused(shared: Service, body: dict[str, Any], said: str) -> None:
    """What cannot be is a 400 that says what is wrong; nothing is made."""
    refused = put(shared, "refused", **body)

    assert (400, True) == (refused.status_code, said in refused.json["detail"]), refused.json
    assert 404 == shared.client.get(f"{PATH}/refused").status_code


@pytest.mark.parametrize("name", ["-a", "a b", "a%2Fb", "x" * 65, "ä"])
def test_names(shared: Service, name: str) -> None:
    """A name that is none is a 400."""
    assert 400 == put(shared, name).status_code


def test_there_is_a_most(service: Service) -> None:
    """One more than there may be is a 409; the others can be changed."""
    for number in range(MAX_SUBSCRIPTIONS):
        assert 200 == put(service, f"s{number}").status_code

    assert 409 == put(service, "more").status_code
    assert 200 == put(service, "s0", paused=True).status_code


def test_an_archived_place_is_gone(service: Service) -> None:
    """A position that the trail no longer holds is 410, with the first that it does."""
    service.database.collection("trail_heads").insert_one({"_id": "default", "cut": 256})
    refused = put(service, after=255)

    assert (410, 257) == (refused.status_code, refused.json["first"])


def test_an_identity_that_reads_some_names(memory: Database, token_store: TokenStore) -> None:
    """Whose reading is limited to some names has nothing sent of others."""
    grant = Grant(frozenset({Permission.ADMIN, Permission.READ}), read_prefixes=("ocr",))
    secret = token_store.create("default", "limited", grant, ADMIN)
    client = create_app(Settings(mongo_uri="mongomock://", auth="tokens"), database=memory).test_client()

    def status(**body: Any) -> int:
        headers = {"Authorization": f"Bearer {secret}"}
        return client.put(f"{PATH}/siem", json={"url": URL, **body}, headers=headers).status_code

    assert (403, 403, 200) == (status(), status(names=["ocr", "index"]), status(names=["ocr", "ocr:page"]))
