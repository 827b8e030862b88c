"""Requests that are sent twice: one after the other while a majority of MongoDB has nothing yet, and two at the same moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

from pymongo import WriteConcern

from dms_tags.app import create_app
from dms_tags.serving.mongod import eventually
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.proofs.caller import Answer, once
from tests.support.at_once import at_once
from tests.support.mongo import ReplicaSet

QUEUED: Final = quote("SELECT * FROM document WHERE system:tags[ocr].state=1")
CATCH_UP_SECONDS: Final = 30.0


def repeat_before_a_majority_has_it(nodes: ReplicaSet) -> None:
    """Sends a batch, a single change and a claim twice while both secondaries stand still, then fails over.

    No repeat is told "done" before the change is safe; after the secondaries go on each is answered, and made once.
    """
    settings = Settings(mongo_uri=nodes.uri, database="repeats", auth="none")
    database = Database.connect(settings)
    database.prepare()
    impatient = database.tags.with_options(write_concern=WriteConcern("majority", j=True, wtimeout=500))
    database.tags = impatient
    client = create_app(settings, database=database).test_client()
    try:
        for number in range(3):
            assert client.post(f"/api/dms/objects/queued-{number}/tags/ocr/state/1").status_code == 200
        requests: dict[str, Callable[[], Any]] = {
            "batch": lambda: client.post("/api/dms/objects/tags", json={"changes": [_add(number) for number in range(5)]}),
            "change": lambda: client.post("/api/dms/objects/o9/tags/ocr/state/3", headers={"Idempotency-Key": "k"}),
            "claim": lambda: client.post(f"/api/dms/objects/tags/ocr/state/2?query={QUEUED}", headers={"Idempotency-Key": "k"}),
        }
        with standing_still(nodes):
            for name, request in requests.items():
                first, again = _statuses(request()), _statuses(request())
                assert set(first) == {503}, (name, first)
                assert set(again) == {503}, (name, "was told to be done while only the primary has it", again)
        for name, request in requests.items():
            assert eventually(lambda request=request: set(_statuses(request())) == {200}, CATCH_UP_SECONDS), name  # type: ignore[misc]
        assert database.tags.count_documents({"tags": {"$elemMatch": {"name": "ocr", "state": 2}}}) == 1
        assert database.tags.count_documents({"tags": {"$elemMatch": {"name": "ocr", "state": 7}}}) == 5
        assert {document["seq"] for document in database.tags.find({"tags.state": 7}, {"seq": 1})} == {1}
    finally:
        database.close()


def claim_twice_at_once(ports: list[int], *, keys: int, at_a_time: int = 8) -> Counter[int]:
    """Sends each of so many keyed claims to two services at the same moment; asserts that a key took one object, and says so twice.

    How many answers had which status: one that asks to be sent again is sent again.
    """
    statuses: Counter[int] = Counter()
    for number in range(keys * 3):
        assert once(ports[0], "POST", f"/api/dms/objects/queued-{number}/tags/ocr/state/1").status == 200

    def claim(port: int, key: str) -> str:
        while True:
            answer = once(port, "POST", f"/api/dms/objects/tags/ocr/state/2?query={QUEUED}", {"Idempotency-Key": key})
            statuses[answer.status] += 1
            if answer.status == 200:
                return _object_of(answer)

    taken: dict[str, str] = {}
    for first in range(0, keys, at_a_time):
        chosen = [f"key-{number}" for number in range(first, min(first + at_a_time, keys))]
        told = at_once([lambda port=port, key=key: (key, claim(port, key)) for key in chosen for port in ports[:2]])  # type: ignore[misc]
        for key, object_id in told:
            assert taken.setdefault(key, object_id) == object_id, f"{key} took {taken[key]} and {object_id}"
    assert len(set(taken.values())) == keys, "two keys were told the same object"
    return statuses


@contextmanager
def standing_still(nodes: ReplicaSet) -> Iterator[None]:
    """Both secondaries stop replicating, and go on at the end."""
    primary = nodes.primary()
    followers = [node for node in nodes.nodes if node is not primary]
    for node in followers:
        with node.client() as client:
            client.admin.command({"configureFailPoint": "stopReplProducer", "mode": "alwaysOn"})
    try:
        yield
    finally:
        for node in followers:
            with node.client() as client:
                client.admin.command({"configureFailPoint": "stopReplProducer", "mode": "off"})


def _add(number: int) -> Mapping[str, Any]:
    return {"objectId": f"batch-{number}", "name": "ocr", "state": 7, "action": "add", "idempotencyKey": f"b{number}"}


def _statuses(answer: Any) -> list[int]:
    """The status of an answer; of a batch those of its results."""
    if answer.status_code == 200 and "results" in answer.json:
        return [result["status"] for result in answer.json["results"]]
    return [answer.status_code]


def _object_of(answer: Answer) -> str:
    (claimed,) = answer.json["objects"]
    return str(claimed["properties"]["system:objectId"]["value"])
