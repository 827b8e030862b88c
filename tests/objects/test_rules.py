"""What holds of single changes holds of those of whole objects: leases, bounds, permissions, verification (API.md section 8)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from dms_tags.audit.verify import replay
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.writes import MAX_OUTBOX
from tests.support.app import Service, running
from tests.support.identity import ADMIN
from tests.support.objects import ROOT, body, patch, patch_many, problem, properties_of, stands, states
from tests.support.workflow import claim, ids, run_out, tag

READ, WRITE = Permission.READ, Permission.WRITE


def lease(service: Service, object_id: str, seconds: int = 3600) -> str:
    """Leases the tag `ocr` of an object; its trace id."""
    tag(service, object_id, "ocr", 1)
    statement = " ".join(["SELECT * FROM document WHERE system:objectId =", f"'{object_id}'"])
    (taken,) = claim(service, statement, leaseSeconds=seconds)
    trace_id: str = taken["system:tags"]["value"][0][3]
    return trace_id


def test_a_lease_that_runs(service: Service) -> None:
    """A leased tag that the call names or takes away is no longer leased; the lease of another one stays as it is."""
    for object_id in ("o1", "o2", "o3"):
        lease(service, object_id)

    assert {"ocr": 2, "other": 1} == states(patch(service.client, "o1", ["other", 1]))
    assert {"ocr": 3, "other": 1} == states(patch(service.client, "o2", ["ocr", 3], ["other", 1]))
    patch_many(service.client, {"o3": [["ocr", 3]], "o4": [["ocr", 3]]})

    leased = {document["id"]: document["tags"][0].get("lease") is not None for document in service.database.tags.find({})}
    assert {"o1": True, "o2": False, "o3": False, "o4": False} == leased
    assert {} == states(service.client.post(f"{ROOT}/o1/versions"))


def test_a_lease_that_has_run_out(service: Service) -> None:
    """A late holder no longer changes anything: the tag goes back first, with a trace id of its own."""
    holder = {object_id: lease(service, object_id) for object_id in ("o1", "o2")}
    for object_id in holder:
        run_out(service, object_id)
    query = "?traceIdMustMatch=true"

    alone = patch(service.client, "o1", ["ocr", 3], query=query, X_B3_TraceId=holder["o1"])
    many = patch_many(service.client, {"o2": [["ocr", 3]]} | {"o3": [["ocr", 3]]}, X_B3_TraceId=holder["o2"])

    assert (412, "trace-mismatch") == problem(alone)
    assert {"ocr": 1} == stands(service.client, "o1")
    assert many.status_code == 200
    taken_back = [entry for entry in service.entries() if entry["createdBy"] == "system:lease"]
    assert ["o1", "o2"] == [entry["objectId"] for entry in taken_back]
    assert {"ocr": 3} == stands(service.client, "o2")


def test_an_outbox_that_is_full(service: Service) -> None:
    """An object whose changes the relay does not move takes no more than 1,000 of them, those of one call counted each."""
    patch(service.client, "o1", ["a", 1], ["b", 1])
    service.entries()
    record = {"name": "z", "at": datetime(2100, 1, 1, tzinfo=UTC)}
    stuck = [{**record, "id": f"stuck-{number}"} for number in range(MAX_OUTBOX - 1)]
    # Of no tenant that a relay knows, and so it stays
    service.database.tags.update_one({"id": "o1"}, {"$set": {"outbox": stuck, "tenant": ""}})

    assert (503, "store-unavailable") == problem(patch(service.client, "o1", ["a", 2], ["b", 2]))
    assert (503, "store-unavailable") == problem(patch_many(service.client, {"o1": [["a", 2], ["b", 2]], "o2": [["a", 2]]}))
    assert {"a": 2, "b": 1} == states(patch(service.client, "o1", ["a", 2]))
    assert 404 == service.client.get(f"{ROOT}/o2").status_code


def test_time_never_runs_backwards(service: Service) -> None:
    """Where another service's clock was ahead, a change takes the time of the last one."""
    patch(service.client, "o1", ["a", 1])
    ahead = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    service.database.tags.update_one({"id": "o1"}, {"$set": {"lastAt": ahead}})

    alone = properties_of(patch(service.client, "o1", ["a", 2]))
    many: Any = patch_many(service.client, {"o1": [["a", 3]], "o2": [["a", 3]]}).json

    told = f"{ahead.isoformat()[:19]}.000Z"
    assert told == alone["system:tags"][0][2]
    assert told == many["objects"][0]["properties"]["system:tags"]["value"][0][2]


def test_what_a_caller_may_not_read_or_write(database: Database, settings: Settings) -> None:
    """Rows of other names are neither set nor shown; what takes away unnamed tags needs the right to all, whatever is there."""
    application = Settings(mongo_uri=settings.mongo_uri, database=settings.database, auth="tokens")
    with running(application) as service:
        tokens = TokenStore(database, service.services.store)

        def caller(name: str, *permissions: Permission, **limits: Any) -> dict[str, str]:
            token = tokens.create("default", name, Grant(frozenset(permissions), **limits), ADMIN)
            return {"Authorization": f"Bearer {token}"}

        every = caller("all", READ, WRITE)
        limited = caller("limited", READ, WRITE, read_prefixes=("ocr",), write_prefixes=("ocr",))
        blind = caller("blind", WRITE)
        reader = caller("reader", READ)
        patch(service.client, "o1", ["ocr", 1], ["secret", 7], **every)

        assert {"ocr": 2} == states(patch(service.client, "o1", ["ocr", 2], **limited))
        assert {"ocr": 2} == states(service.client.get(f"{ROOT}/o1", headers=limited))
        assert {} == states(patch(service.client, "o1", ["ocr", 3], **blind))
        assert (403, "forbidden") == problem(patch(service.client, "o1", ["ocr", 2], ["secret", 1], **limited))
        assert (403, "forbidden") == problem(patch(service.client, "o1", ["ocr", 2], **reader))
        for method, path in (("POST", "/o1"), ("POST", "/o1/versions"), ("DELETE", "/o1"), ("DELETE", "/nothing")):
            answer = service.client.open(f"{ROOT}{path}", method=method, headers=limited, json=body((None, [["ocr", 1]])))
            assert (403, "forbidden") == problem(answer)
        patch(service.client, "o2", ["secret", 7], **every)
        hidden = [service.client.get(f"{ROOT}/{name}", headers=limited) for name in ("o2", "never")]
        hidden += [patch(service.client, name, **who) for name in ("o2", "never") for who in (limited, blind)]
        assert [(404, "object-not-found")] * 6 == [problem(answer) for answer in hidden]
        alike = [patch(service.client, "o2", ["secret", state], **blind) for state in (7, 8)]
        assert [True, True] == ["X-B3-TraceId" in answer.headers for answer in alike]
        refused = patch(service.client, "o1", ["ocr", 4], X_B3_TraceId="ab", query="?traceIdMustMatch=true", **blind)
        assert (412, "trace-mismatch") == problem(refused)
        assert "current" not in (refused.json or {})
        assert {"ocr": 3, "secret": 7} == states(service.client.get(f"{ROOT}/o1", headers=every))


def test_verification_knows_objects_without_tags(service: Service) -> None:
    """An object that was made known without a tag is no fault of the trail, and is found by its id."""
    service.client.post(ROOT, json=body(("o1", [])))
    patch(service.client, "o2", ["a", 1])
    service.entries()

    assert [] == replay.check(service.database, "default")
    assert ["o1"] == ids(claim(service, "SELECT * FROM document WHERE system:objectId='o1' AND system:tags[ocr] IS NULL"))
