"""Leases: they end by themselves, and nobody writes under one that has ended (API.md section 3)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from dms_tags.model import now
from dms_tags.serving.keeper import Keeper, duties
from dms_tags.settings import Settings
from dms_tags.store.clock import DatabaseClock
from dms_tags.store.database import Database
from dms_tags.tags.leases import Leases
from dms_tags.tags.store import TagStore
from tests.support.app import Service
from tests.support.workflow import QUEUED, claim, eventually, ids, row_of, rows, run_out, search, tag

LEASE = "/api/dms/objects/a/tags/ocr/lease"


def leased(service: Service, seconds: int = 3600) -> dict[str, Any]:
    """The object `a`, claimed from state 1 to 2 under a lease."""
    tag(service, "a")
    (found,) = claim(service, leaseSeconds=seconds)
    return found


def lock(found: dict[str, Any]) -> dict[str, str]:
    """The holder's trace id, as a header."""
    return {"X-B3-TraceId": row_of(found)[3]}


def test_a_lease_that_runs_out_goes_back_with_a_new_trace_id_and_etag(service: Service) -> None:
    """The tag returns to the state it had, by `system:lease`, under a lock that the late worker does not know."""
    found = leased(service)
    run_out(service, "a")

    response = service.client.get("/api/dms/objects/a/tags/ocr")

    assert response.json is not None
    ((name, state, _, trace_id),) = response.json["objects"][0]["properties"]["system:tags"]["value"]
    assert ("ocr", 1) == (name, state)
    assert row_of(found)[3] != trace_id
    assert f'"{found["dms:etags"]["value"][0]}"' != response.headers["ETag"]
    last = service.entries()[-1]
    assert ("OBJECT_TAG_UPDATED", 1, 2, "system:lease", "system") == (
        last["actionName"],
        last["state"],
        last["previousState"],
        last["createdBy"],
        last["actorKind"],
    )


def test_a_tag_that_the_claim_had_added_is_removed_when_its_lease_runs_out(service: Service) -> None:
    """Back is where it was: not there."""
    tag(service, "a", "imported", 1)
    claim(service, "SELECT * FROM x WHERE system:tags[ocr] IS NULL", leaseSeconds=60)
    run_out(service, "a")

    assert ["imported"] == list(rows(service, "a"))
    assert "OBJECT_TAG_DELETED" == service.entries()[-1]["actionName"]


@pytest.mark.parametrize("by", ["trace id", "etag", "both"])
@pytest.mark.parametrize("taken_back", [True, False])
def test_a_late_worker_is_refused_under_either_lock(service: Service, by: str, taken_back: bool) -> None:
    """A lease that has run out no longer lets its holder write, also before it was taken back."""
    found = leased(service)
    run_out(service, "a")
    if taken_back:
        rows(service, "a")
    query = {"overwrite": "true"} | ({"traceIdMustMatch": "true"} if by != "etag" else {})
    headers = lock(found) | ({"If-Match": f'"{found["dms:etags"]["value"][0]}"'} if by != "trace id" else {})

    late = service.client.post("/api/dms/objects/a/tags/ocr/state/3", query_string=query, headers=headers)

    assert 412 == late.status_code
    assert 1 == rows(service, "a")["ocr"][1]
    removal = service.client.delete("/api/dms/objects/a/tags/ocr", query_string={"traceIdMustMatch": "true"}, headers=lock(found))
    assert 412 == removal.status_code


@pytest.mark.parametrize("method", ["post", "delete"])
def test_a_late_worker_can_neither_extend_nor_give_back(service: Service, method: str) -> None:
    """Extension and return need a lease that runs."""
    found = leased(service)
    run_out(service, "a")

    query = {"seconds": "60"} if method == "post" else {}
    late = getattr(service.client, method)(LEASE, query_string=query, headers=lock(found))

    assert (412, "/problems/trace-mismatch") == (late.status_code, late.json["type"])


def test_the_holder_writes_while_the_lease_runs_and_thereby_ends_it(service: Service) -> None:
    """A change finishes the work: the tag keeps its state however much time passes."""
    found = leased(service)

    done = service.client.post(
        "/api/dms/objects/a/tags/ocr/state/3",
        query_string={"overwrite": "true", "traceIdMustMatch": "true"},
        headers=lock(found) | {"If-Match": f'"{found["dms:etags"]["value"][0]}"'},
    )

    assert 200 == done.status_code
    assert service.database.tags.find_one({"tags.lease": {"$ne": None}}) is None
    assert 3 == rows(service, "a")["ocr"][1]


def test_extending_moves_the_end_and_nothing_else(service: Service) -> None:
    """The row and its ETag stay, no entry is made, and the end is so many seconds from now."""
    found = leased(service, seconds=5)
    before = service.entries()

    response = service.client.post(LEASE, query_string={"seconds": "600"}, headers=lock(found))

    assert 200 == response.status_code
    assert response.json is not None
    assert [row_of(found)] == response.json["objects"][0]["properties"]["system:tags"]["value"]
    assert f'"{found["dms:etags"]["value"][0]}"' == response.headers["ETag"]
    assert before == service.entries()
    kept = service.database.tags.find_one({"id": "a"})
    assert kept is not None
    left = kept["tags"][0]["lease"]["until"] - service.database.now()
    assert timedelta(seconds=550) < left <= timedelta(seconds=600)


def test_giving_back_returns_the_tag_at_once(service: Service) -> None:
    """The tag is in its old state under a new lock, and the caller is who gave it back."""
    found = leased(service)

    response = service.client.delete(LEASE, headers=lock(found))

    assert 200 == response.status_code
    assert response.json is not None
    ((_, state, _, trace_id),) = response.json["objects"][0]["properties"]["system:tags"]["value"]
    assert 1 == state
    assert row_of(found)[3] != trace_id
    assert "anonymous" == service.entries()[-1]["createdBy"]
    assert ["a"] == ids(claim(service))


@pytest.mark.parametrize(
    ("headers", "status", "slug"),
    [({}, 400, "trace-id-required"), ({"X-B3-TraceId": "dead"}, 412, "trace-mismatch")],
)
def test_only_the_holder_extends_or_gives_back(service: Service, headers: dict[str, str], status: int, slug: str) -> None:
    """Without the matching trace id neither is done."""
    leased(service)

    for response in (
        service.client.post(LEASE, query_string={"seconds": "60"}, headers=headers),
        service.client.delete(LEASE, headers=headers),
    ):
        assert (status, f"/problems/{slug}") == (response.status_code, (response.json or {})["type"])


def test_a_tag_without_a_lease_has_none_to_extend(service: Service) -> None:
    """409 `not-leased`, and 404 where the tag is not there."""
    trace_id = tag(service, "a")[3]

    not_leased = service.client.delete(LEASE, headers={"X-B3-TraceId": trace_id})
    missing = service.client.post("/api/dms/objects/b/tags/ocr/lease?seconds=1", headers={"X-B3-TraceId": trace_id})

    assert (409, "/problems/not-leased") == (not_leased.status_code, (not_leased.json or {})["type"])
    assert (404, "/problems/tag-not-found") == (missing.status_code, (missing.json or {})["type"])


def test_attempts_count_claims_in_a_row_that_were_not_finished(service: Service) -> None:
    """Running out and giving back count; finishing begins anew."""
    found = leased(service)
    run_out(service, "a")
    (second,) = claim(service, leaseSeconds=60)
    service.client.delete(LEASE, headers=lock(second))
    (third,) = claim(service, leaseSeconds=60)
    tag(service, "a", state=1, overwrite="true")
    (after,) = claim(service, leaseSeconds=60)

    assert [1, 2, 3, 1] == [each["dms:attempts"]["value"] for each in (found, second, third, after)]


def test_attempts_are_counted_for_a_tag_that_the_claim_adds(service: Service) -> None:
    """The count outlives the tag's removal when the lease runs out."""
    tag(service, "a", "imported")
    statement = "SELECT * FROM x WHERE system:tags[ocr] IS NULL"

    for expected in (1, 2, 3):
        (found,) = claim(service, statement, leaseSeconds=60)
        assert {"value": expected} == found["dms:attempts"]
        run_out(service, "a")


def test_a_claim_finds_what_a_dead_worker_held(service: Service) -> None:
    """No reaper need have come by."""
    leased(service)
    assert [] == claim(service)

    run_out(service, "a")

    assert ["a"] == ids(claim(service))


def test_a_claim_does_not_take_what_another_holds(service: Service) -> None:
    """Whatever the statement says, a tag under a lease that runs is not claimed."""
    leased(service)

    assert [] == claim(service, "SELECT * FROM x WHERE system:tags[ocr] IS NOT NULL", state=9)


def test_a_search_does_not_find_a_state_that_no_longer_holds(service: Service) -> None:
    """A lease that has run out is taken back before its object is searched."""
    leased(service)
    run_out(service, "a")

    assert 0 == search(service, "SELECT * FROM x WHERE system:tags[ocr].state=2")["totalNumItems"]
    assert 1 == search(service, QUEUED)["totalNumItems"]


def test_anyone_may_change_a_leased_tag_without_a_lock(service: Service) -> None:
    """A plain update ends the lease, as it ends any other state of affairs."""
    found = leased(service)

    tag(service, "a", state=5, overwrite="true")

    late = service.client.post(LEASE, query_string={"seconds": "60"}, headers=lock(found))
    assert 412 == late.status_code
    assert 5 == rows(service, "a")["ocr"][1]


def test_of_a_late_write_and_a_new_claim_only_the_claim_succeeds(real: Service) -> None:
    """The worker whose lease ran out and the one that claims anew race, again and again: the late write is always refused."""
    for number in range(15):
        tag(real, f"object-{number}")
        (found,) = claim(real, leaseSeconds=3600)
        run_out(real, f"object-{number}")

        def late(held: dict[str, Any] = found, path: str = f"/api/dms/objects/object-{number}/tags/ocr/state/3") -> int:
            query = {"overwrite": "true", "traceIdMustMatch": "true"}
            return real.app.test_client().post(path, query_string=query, headers=lock(held)).status_code

        with ThreadPoolExecutor(4) as workers:
            writes = [workers.submit(late) for _ in range(3)]
            taken = workers.submit(claim, real, leaseSeconds=3600)

        assert {412} == {write.result() for write in writes}
        assert [f"object-{number}"] == ids(taken.result())
        assert 2 == rows(real, f"object-{number}")["ocr"][1]


def test_a_lease_is_judged_by_the_database_and_not_by_a_service_whose_clock_is_wrong(database: Database) -> None:
    """A service an hour ahead ends no lease early, and one an hour behind gives none for longer."""
    for hours in (1, -1):
        wrong = TagStore(database, lambda hours=hours: now() + timedelta(hours=hours))  # type: ignore[misc]
        clock = DatabaseClock(database.now, lambda hours=hours: now() + timedelta(hours=hours))  # type: ignore[misc]

        until = Leases(database, wrong, clock).until(60)

        assert timedelta(seconds=55) < until - database.now() < timedelta(seconds=65)


def test_the_keeper_takes_back_what_has_run_out_while_every_service_was_down(
    mongo_uri: str, database_name: str, real: Service
) -> None:
    """Leases end with nobody watching, and are taken back when a keeper comes up."""
    leased(real)
    run_out(real, "a")
    keeper = Keeper(duties(Settings(mongo_uri=mongo_uri, database=database_name), real.database))

    keeper.start()
    try:
        eventually(lambda: real.database.tags.find_one({"id": "a", "tags.state": 1}) is not None)
    finally:
        keeper.stop()


def test_what_cannot_be_taken_back_is_no_work_that_waits(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that ran out on an object whose outbox is full counts for nothing: the keeper pauses instead of spinning."""
    leased(service)
    run_out(service, "a")
    monkeypatch.setattr(service.services.store.groups, "make", lambda _: False)

    assert 0 == service.services.leases.take_back()

    monkeypatch.undo()
    assert 1 == service.services.leases.take_back()
