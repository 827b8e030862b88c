"""A service under some load, with a key: one that has something to tell of everything."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import pytest

from dms_tags.audit.log.keys import SigningKey
from dms_tags.serving.mongod import eventually, free_port
from tests.support.metrics import samples
from tests.support.service import Service, service

DEFINITION = {"states": {"1": "to do", "2": "at it", "3": "done"}, "enforce": True}
CLAIM = {"query": "SELECT * FROM document WHERE system:tags[ocr].state=1", "leaseSeconds": "600"}


@pytest.fixture(scope="session")
def loaded(mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("loaded")
    SigningKey.create(folder / "signing.key")
    settings = {
        "DMS_TAGS_MONGO_URI": mongo_uri,
        "DMS_TAGS_DATABASE": f"loaded_{uuid.uuid4().hex}",
        "DMS_TAGS_SIGNING_KEY_FILE": str(folder / "signing.key"),
        "DMS_TAGS_CHECKPOINT_SECONDS": "1",
        "DMS_TAGS_WITNESS_FILE": str(folder / "witness"),
        "DMS_TAGS_WEBHOOK_NETWORKS": "127.0.0.0/8",
    }
    with service(folder, settings) as running, httpx.Client(base_url=running.url, trust_env=False, timeout=20) as client:
        client.put("/api/dms/tag-definitions/ocr", json=DEFINITION).raise_for_status()
        for number in range(5):
            client.post(f"/api/dms/objects/doc{number}/tags/ocr/state/1").raise_for_status()
        client.post("/api/dms/objects/tags/ocr/state/2", params=CLAIM).raise_for_status()
        nobody = {"url": f"http://127.0.0.1:{free_port()}", "after": 0}
        client.put("/api/dms/subscriptions/siem", json=nobody).raise_for_status()
        with client.stream("GET", "/api/dms/tags/events", params={"after": "0"}) as stream:
            next(stream.iter_bytes())
        late = {
            "dms_tags_checkpoint_age_seconds",
            "dms_tags_queue_depth",
            "dms_tags_subscription_paused",
            "dms_tags_deliveries_total",
        }
        assert eventually(lambda: late <= samples(client.get("/metrics").text).keys(), 40)
        yield running
