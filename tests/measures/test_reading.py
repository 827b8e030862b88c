"""What is measured of the database, on both stores."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import ServerSelectionTimeoutError

from dms_tags.audit.log import restores
from dms_tags.audit.log.signer import Checkpointer
from dms_tags.audit.log.witness import WitnessFile
from dms_tags.measures import reading
from dms_tags.settings import Settings
from tests.support.app import Service
from tests.support.faults import breakable_service
from tests.support.metrics import Samples, samples, total, value
from tests.support.trails import keyed
from tests.support.workflow import claim, ids, row_of, run_out, tag

TENANT = "X-ID-TENANT-NAME"
OCR = {"tenant": "default", "name": "ocr"}


def measured(service: Service) -> Samples:
    """What `/metrics` tells."""
    answer = service.client.get("/metrics", environ_base={"REMOTE_ADDR": "127.0.0.1"})
    assert 200 == answer.status_code
    return samples(answer.text)


def define(service: Service, name: str, **members: Any) -> None:
    """Defines a tag of three states."""
    definition = {"states": {"1": "to do", "2": "at it", "3": "done"}, **members}
    answer = service.client.put(f"/api/dms/tag-definitions/{name}", json=definition)
    assert 200 <= answer.status_code < 300, answer.text


def made_older(service: Service, object_id: str, name: str, seconds: int) -> None:
    """Moves the last change of a tag into the past."""
    key = {"_id": f"default/object/{object_id}", "tags": {"$elemMatch": {"name": name}}}
    moved = service.database.tags.update_one(
        key, {"$set": {"tags.$.creationDate": service.database.now() - timedelta(seconds=seconds)}}
    )
    assert moved.matched_count


def test_how_full_the_states_of_enforced_definitions_are(service: Service) -> None:
    """Each state of an enforced definition has its depth and the age of its oldest tag; other definitions have none."""
    define(service, "ocr", enforce=True)
    define(service, "named", enforce=False)
    for number in range(3):
        tag(service, f"doc{number}", "ocr", 1)
        tag(service, f"doc{number}", "named", 1)
    tag(service, "doc0", "ocr", 2, overwrite="true")

    told = measured(service)

    assert {("1", 2.0), ("2", 1.0), ("3", 0.0)} == {
        (dict(labels)["state"], depth) for labels, depth in told["dms_tags_queue_depth"].items()
    }
    assert {"ocr"} == {dict(labels)["name"] for labels in told["dms_tags_queue_depth"]}
    assert told["dms_tags_queue_depth"].keys() == told["dms_tags_queue_oldest_seconds"].keys()
    assert 0 < value(told, "dms_tags_queue_oldest_seconds", state="1", **OCR) < 60
    assert 0 == value(told, "dms_tags_queue_oldest_seconds", state="3", **OCR)


def test_the_oldest_is_that_of_the_state(service: Service) -> None:
    """Of an object with several tags the time counts at which the one in the state was changed; the longest wait is told."""
    define(service, "ocr", enforce=True)
    tag(service, "doc0", "ocr", 1)
    tag(service, "doc1", "other", 1)
    tag(service, "doc1", "ocr", 1)
    tag(service, "doc2", "ocr", 2)
    made_older(service, "doc0", "ocr", 100)
    made_older(service, "doc1", "other", 9_000)
    made_older(service, "doc1", "ocr", 500)
    made_older(service, "doc2", "ocr", 9_000)

    assert 500 <= value(measured(service), "dms_tags_queue_oldest_seconds", state="1", **OCR) < 560


def test_there_are_no_more_series_than_there_is_room_for(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bounds tenants and states are counted instead of told."""
    monkeypatch.setattr(reading, "MAX_QUEUES", 4)
    define(service, "first", enforce=True)
    define(service, "second", enforce=True)

    told = measured(service)

    assert 4 == len(told["dms_tags_queue_depth"])
    assert 2 == value(told, "dms_tags_series_left_out")

    monkeypatch.setattr(reading, "MAX_TENANTS", 1)
    assert 200 == service.client.post("/api/dms/objects/o1/tags/t/state/1", headers={TENANT: "zoo"}).status_code
    told = measured(service)

    assert {(("tenant", "default"),)} == set(told["dms_tags_trail_head"])
    assert 3 == value(told, "dms_tags_series_left_out")


def test_the_keeper_looks_at_few_queues_at_a_time(real: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look ends when its time is up, the next goes on from there, and what is known of the others stays."""
    monkeypatch.setattr(reading, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(reading, "QUEUE_SHARE", float("inf"))
    define(real, "first", enforce=True)
    define(real, "second", enforce=True)

    assert [1, 2, 3, 4, 5, 6, 6] == [queues_known(real) for _ in range(7)]


def test_after_a_long_look_the_keeper_rests(real: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queues are left alone for as long as their share of the time demands."""
    monkeypatch.setattr(reading, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(reading, "QUEUE_SHARE", 1e-9)
    define(real, "first", enforce=True)

    assert [1, 1, 1] == [queues_known(real) for _ in range(3)]


def queues_known(service: Service) -> int:
    """How many queues are told after another look of the keeper."""
    measuring = service.services.measuring
    measuring.run_once(threading.Event())
    measures = measuring.kept.last()
    assert measures is not None
    return len(measures.depths)


def test_values_stay_while_mongodb_is_away() -> None:
    """Without an answer the last values are told, and that there is none; once it is back they are new."""
    service, switch = breakable_service()
    service.client.post("/api/dms/objects/o1/tags/t/state/1")
    assert 1 == value(measured(service), "dms_tags_outbox_resources")

    service.client.post("/api/dms/objects/o2/tags/t/state/1")
    switch.error = ServerSelectionTimeoutError("gone")
    away = measured(service)
    switch.error = None
    back = measured(service)

    assert [0, 1] == [value(away, "dms_tags_mongodb_up"), value(away, "dms_tags_outbox_resources")]
    assert {(("tenant", "default"),)} == set(away["dms_tags_trail_head"])
    assert [1, 2] == [value(back, "dms_tags_mongodb_up"), value(back, "dms_tags_outbox_resources")]


def test_a_mongodb_that_never_answered_is_told() -> None:
    """Where nothing was ever measured there is no value but that."""
    service, switch = breakable_service()
    switch.error = ServerSelectionTimeoutError("gone")

    told = measured(service)

    assert 0 == told["dms_tags_mongodb_up"][()]
    assert "dms_tags_outbox_resources" not in told


def test_what_no_checkpoint_covers(service: Service, tmp_path: Path) -> None:
    """A trail tells its head, how much of it is not signed and since when, and the age of its newest checkpoint."""
    tag(service, "doc1", "ocr", 1)
    service.entries()
    unsigned = measured(service)

    signer = Checkpointer.of(service.database, keyed(Settings(), tmp_path))
    signer.checkpoint("default")
    signed = measured(service)
    tag(service, "doc1", "ocr", 2, overwrite="true")
    service.entries()
    behind = measured(service)

    assert 0 == value(unsigned, "dms_tags_signing")
    assert [1, 0, 1] == [value(told, "dms_tags_unsigned_entries", tenant="default") for told in (unsigned, signed, behind)]
    assert [True, False, True] == [
        value(told, "dms_tags_unsigned_seconds", tenant="default") > 0 for told in (unsigned, signed, behind)
    ]
    assert "dms_tags_checkpoint_age_seconds" not in unsigned
    assert 0 <= value(signed, "dms_tags_checkpoint_age_seconds", tenant="default") < 60
    assert [1, 1, 2] == [value(told, "dms_tags_trail_head", tenant="default") for told in (unsigned, signed, behind)]


def test_claims_and_leases_are_counted(real: Service) -> None:
    """What claims win, and find nothing; leases that were granted, extended, given back and run out; those that run."""
    before = measured(real)
    for object_id in ("doc1", "doc2", "doc3"):
        tag(real, object_id)
    leased = [claim(real, leaseSeconds=60)[0] for _ in range(3)]
    assert [] == claim(real)
    held = measured(real)
    (first, second, third), locks = ids(leased), [{"X-B3-TraceId": row_of(properties)[3]} for properties in leased]
    path = "/api/dms/objects/{}/tags/ocr/lease"
    assert 200 == real.client.post(path.format(first), query_string={"seconds": "90"}, headers=locks[0]).status_code
    assert 200 == real.client.delete(path.format(second), headers=locks[1]).status_code
    run_out(real, third)
    real.services.leases.take_back()
    after = measured(real)

    assert 3 == value(held, "dms_tags_leases_held")
    counted = {
        (metric, outcome): total(after, f"dms_tags_{metric}_total", **{label: outcome})
        - total(before, f"dms_tags_{metric}_total", **{label: outcome})
        for metric, label, outcomes in (
            ("claims", "outcome", ("won", "lost", "none")),
            ("leases", "event", ("granted", "extended", "returned", "run_out")),
        )
        for outcome in outcomes
    }
    assert {
        ("claims", "won"): 3,
        ("claims", "lost"): 0,
        ("claims", "none"): 1,
        ("leases", "granted"): 3,
        ("leases", "extended"): 1,
        ("leases", "returned"): 1,
        ("leases", "run_out"): 1,
    } == counted


def test_subscriptions(service: Service) -> None:
    """How far each is behind; one that was paused by hand lacks nothing, one that the service paused says so."""
    subscriptions = service.services.subscriptions
    for name in ("running", "by-hand", "given-up"):
        body = {"url": "https://h.example/", "after": 0, "paused": name == "by-hand"}
        assert 200 == service.client.put(f"/api/dms/subscriptions/{name}", json=body).status_code
    subscriptions.pause(subscriptions.get("default", "given-up").subscription, "the receiver answered 410")
    head = len(service.entries())

    told = measured(service)

    for name, lag, paused in (("running", head, 0), ("by-hand", 0, 0), ("given-up", head, 1)):
        labels = {"tenant": "default", "subscription": name}
        assert lag == value(told, "dms_tags_subscription_lag_positions", **labels)
        assert (lag > 0) == (value(told, "dms_tags_subscription_lag_seconds", **labels) > 0)
        assert paused == value(told, "dms_tags_subscription_paused", **labels)


def test_a_witness_that_takes_nothing_is_told(service: Service, tmp_path: Path) -> None:
    """How many checkpoints it lacks, by its kind; none once it has taken them."""
    signer = Checkpointer.of(service.database, keyed(Settings(), tmp_path))
    witness = WitnessFile(service.database, tmp_path / "away" / "witness")
    service.services.checkpointer.witnesses.append(witness)
    for state in (1, 2):
        tag(service, f"doc{state}", "ocr", state)
        service.entries()
        signer.checkpoint("default")
    identity = signer.identities.current()
    assert identity is not None

    assert not witness.catch_up(identity.log("default"))
    assert 2 == value(measured(service), "dms_tags_witness_behind", tenant="default", witness="file")
    (tmp_path / "away").mkdir()
    assert WitnessFile(service.database, tmp_path / "away" / "witness").catch_up(identity.log("default"))
    assert 0 == value(measured(service), "dms_tags_witness_behind", tenant="default", witness="file")


def test_a_restore_that_nobody_signed_is_told(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that was restored and not signed since is a metric and a warning beside ready, with the command; then no more."""
    monkeypatch.setattr(restores, "BELIEVED_SECONDS", 0)
    tag(service, "doc1", "ocr", 1)
    service.entries()
    signer = Checkpointer.of(service.database, keyed(Settings(), tmp_path))
    signer.checkpoint("default")
    before = measured(service)
    service.database.collection("log_restored").insert_one({"_id": "default", "at": service.database.now(), "upTo": 1})
    restored, ready = measured(service), service.client.get("/health/ready")
    Checkpointer.of(service.database, keyed(Settings(), tmp_path)).checkpoint("default")
    signed = measured(service)

    assert [0, 1, 0] == [value(told, "dms_tags_unsigned_since_restore") for told in (before, restored, signed)]
    assert 200 == ready.status_code
    assert ready.json is not None
    (warning,) = ready.json["warnings"]
    assert "the log was not signed since a restore: the trail of default was restored from a backup" in warning
    assert f"`DMS_TAGS_DATABASE={service.services.settings.database} DMS_TAGS_SIGNING_KEY_FILE=FILE dms-tags audit" in warning
