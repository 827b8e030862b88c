"""One address for the DMS and this service: nginx, with the rules of the guide as they are printed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from dms_tags.identity.model import Permission
from dms_tags.serving.mongod import free_port
from tests.dms_clients.conftest import OWN_BASE, Shop
from tests.dms_clients.wire import JSON, Answer, Content, Okhttp
from tests.support.commands import served
from tests.support.nginx import nginx, proxying

GUIDE = Path(__file__).parent.parent.parent / "dms_tags" / "docs" / "CLIENTS.md"
BASES = ("/api/dms", "/dms-core", "/api-web/api/dms")

pytestmark = pytest.mark.skipif(not nginx(), reason="nginx is not here")


def of_the_dms(request: httpx.Request) -> httpx.Response:
    """What a DMS answers here: which call it got."""
    return httpx.Response(200, json={"dms": f"{request.method} {request.url.raw_path.decode()}"})


@pytest.fixture(scope="module")
def client(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Okhttp]:
    """A client whose base address is the proxy."""
    rules = re.findall(r"^```nginx\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert 1 == len(rules)
    port = free_port()
    with served(of_the_dms) as dms:
        places = {
            "dms.example:80": urlsplit(dms).netloc,
            "10.0.0.5:8080": urlsplit(shop.url).netloc,
            "listen 80;": f"listen 127.0.0.1:{port};",
        }
        http = rules[0]
        for printed, place in places.items():
            assert 1 == http.count(printed)
            http = http.replace(printed, place)
        with proxying(tmp_path_factory.mktemp("proxy") / "nginx", http, port):
            client = Okhttp(f"http://127.0.0.1:{port}", "clients", shop.token("proxied", *Permission), "proxied")
            yield client
            client.close()


def got_by_the_dms(answer: Answer) -> str:
    """The call that the DMS got; empty: the answer is not the DMS's."""
    return str(json.loads(answer.content or b"{}").get("dms", ""))


@pytest.mark.parametrize("base", BASES)
def test_tags_come_here(client: Okhttp, base: str) -> None:
    """Adding, updating, reading, claiming, extending a lease and removing are answered by this service, below every base."""
    tags = f"{base}/objects/o{base.replace('/', '.')}/tags"
    statement = f"SELECT * FROM document WHERE system:tags[ocr].(state=2 AND creationDate=TODAY()) AND system:objectId='{tags.split('/')[-2]}'"  # noqa: S608 - not SQL

    assert [["ocr", 1]] == [row[:2] for row in client.call("POST", f"{tags}/ocr/state/1").properties()["system:tags"]]
    assert 200 == client.call("POST", f"{tags}/ocr/state/2?overwrite=true").status
    claimed = client.call("POST", f"{base}/objects/tags/ocr/state/3?leaseSeconds=60&query={statement}").properties()
    trace_id = claimed["system:tags"][0][3]
    assert 200 == client.call("POST", f"{tags}/ocr/lease?seconds=90", X_B3_TraceId=trace_id).status
    assert [["ocr", 3]] == [row[:2] for row in client.call("GET", tags).properties()["system:tags"]]
    assert 412 == client.call("DELETE", f"{tags}/ocr?traceIdMustMatch=true", X_B3_TraceId="ab").status
    assert 200 == client.call("DELETE", f"{tags}/ocr?traceIdMustMatch=true", X_B3_TraceId=trace_id).status


def test_what_only_this_service_has(client: Okhttp) -> None:
    """Batches, the trail, definitions, subscriptions and events come here; a time with an encoded plus is still one."""
    change = {"objectId": "o1", "name": "ocr", "action": "set", "state": 1}
    changes = Content(json.dumps({"changes": [change]}).encode(), JSON)

    assert [200] == [each["status"] for each in client.call("POST", "/api/dms/objects/tags", changes).json()["results"]]
    entries = client.call("GET", "/api/dms/audit?objectId=o1&from=2020-01-01T00:00:00%2B01:00").json()["entries"]
    assert ["o1"] == [entry["objectId"] for entry in entries]
    assert [] == client.call("GET", "/api/dms/tag-definitions").json()["definitions"]
    assert 200 == client.call("GET", "/api/dms/subscriptions").status
    assert 400 == client.call("GET", "/api/dms/tags/events?state=none").status


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(
    "call",
    [
        "POST /objects",
        "POST /objects?waitForSearchConsistency=true",
        "GET /objects/o1",
        "PATCH /objects/o1",
        "POST /objects/o1/contents/file",
        "GET /objects/o1/contents/file",
        "GET /objects/o1/versions/2",
        "GET /objects/o1/history?size=50",
        "POST /objects/search",
        "DELETE /objects/o1",
        "GET /objects/tagsofother",
    ],
)
def test_the_rest_is_the_dms_s(client: Okhttp, base: str, call: str) -> None:
    """Documents, their content, history and searches go to the DMS, as they came."""
    method, path = call.split()

    assert f"{method} {base}{path}" == got_by_the_dms(client.call(method, f"{base}{path}"))


def test_a_base_of_its_own(client: Okhttp) -> None:
    """Who asks by tags finds everything below the base for that: search, audit view, history, versions, deletion."""
    client.call("POST", "/api/dms/objects/o9/tags/index/state/7")
    client.call("POST", "/api/dms/objects/o9/tags/index:resistant/state/8")
    by_tag, view = (
        Content(json.dumps({"query": {"statement": statement}}).encode(), JSON)
        for statement in (
            "SELECT * FROM document WHERE system:tags[index].state = 7",
            "SELECT * FROM system:audit WHERE system:referredObjectId = 'o9'",
        )
    )

    assert "o9" == client.call("POST", f"{OWN_BASE}/objects/search", by_tag).properties()["system:objectId"]
    version = client.call("POST", f"{OWN_BASE}/objects/o9/versions").properties()
    assert [["index:resistant", 8]] == [row[:2] for row in version["system:tags"]]
    assert 200 == client.call("DELETE", f"{OWN_BASE}/objects/o9").status
    history = client.call("GET", f"{OWN_BASE}/objects/o9/history").json()["objects"]
    assert history == client.call("POST", f"{OWN_BASE}/objects/search", view).json()["objects"]
    assert 4 == len(history)
