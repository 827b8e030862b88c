"""Two tenants that use the same names for everything never notice each other.

What a tenant is answered in a service that it shares is compared with what it is answered, to the same calls, in one that
it has for itself.  Any trace of the other, in content, counts, error texts, ETags, positions or events, is a difference.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug import Response

from dms_tags.api.endpoint import PUBLIC
from dms_tags.app import APIS, EXTENSION, create_app
from dms_tags.audit.log.keys import SigningKey
from dms_tags.audit.trail.relay import Relay
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.model import new_id
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.support.identity import ADMIN

TENANTS: Final = ("Acme.de", "acme.de")
RANDOM_ID: Final = re.compile(r"\b(?:[0-9a-f]{16}|[0-9a-f]{32}|tag_[0-9A-HJKMNP-TV-Z]{26})\b")
HASH: Final = re.compile(r'\b[0-9a-f]{64}\b|[A-Za-z0-9+/]{43,}={0,2}|(?<="marks":")[^"]*')
TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)")

OBJECTS: Final = st.sampled_from(["o1", "o2"])
NAMES: Final = st.sampled_from(["ocr", "ocr:done"])
STATES: Final = st.sampled_from([1, 2])
TRACES: Final = st.sampled_from(["aa1", "bb2"])
READABLE: Final = [
    route.full_path
    for api in APIS
    for route in api.routes
    if route.method == "GET" and route.permissions != PUBLIC and "events" not in route.path
]
"""Every call that reads, so that one that is added is among them.  Events are read to their end at the end."""


@dataclass(frozen=True)
class Step:
    """One call: `etag` says whose ETag its If-Match holds, the caller's own last one or the other's."""

    tenant: str
    method: str
    path: str
    body: Any = None
    trace: str = "aa1"
    etag: str | None = None
    key: str | None = None


def writes(method: str, path: str, query: st.SearchStrategy[str]) -> st.SearchStrategy[Step]:
    """Calls that change one tag of one object."""
    target = st.builds(lambda o, n, s, q: path.format(o=o, n=n, s=s) + q, OBJECTS, NAMES, STATES, query)
    keys = st.sampled_from([None, None, "k1", "k2"])
    return st.builds(
        Step, TENANT, st.just(method), target, st.none(), TRACES, st.sampled_from([None, None, "own", "other"]), keys
    )


def sends(method: str, path: str, body: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    """Calls with a body."""
    return st.builds(Step, TENANT, st.just(method), st.just(path), body, TRACES)


TENANT: Final = st.sampled_from(TENANTS)
OVERWRITE: Final = st.sampled_from(
    ["?overwrite=true", "?overwrite=true&traceIdMustMatch=true", "?overwrite=true&expectedState=1"]
)
BATCHES: Final = st.lists(
    st.fixed_dictionaries(
        {"objectId": st.just("o1"), "name": NAMES, "state": STATES, "action": st.sampled_from(["add", "set", "update"])}
    ),
    min_size=1,
    max_size=3,
).map(lambda changes: {"changes": changes})
SEARCH: Final = st.just({"query": {"statement": "SELECT * FROM x ORDER BY system:objectId", "maxItems": 50}})
DEFINITIONS: Final = st.sampled_from([{"states": {"1": "queued", "2": "done"}}, {"states": {"1": "queued"}, "enforce": True}])
CLAIM: Final = "/api/dms/objects/tags/ocr/state/2?query=SELECT * FROM x WHERE system:objectId='o1' AND system:tags[ocr].state=1"
"""Of several objects a claim takes any, and changes of several at once are recorded in any order: so it asks for one."""

AUDITS: Final = st.sampled_from(
    ["", "?order=asc", "?objectId=o1", "?after=1", "?before=3", "?createdBy=worker", "?traceId=aa1", "?limit=2"]
)

STEPS: Final = st.one_of(
    writes("POST", "/api/dms/objects/{o}/tags/{n}/state/{s}", st.just("")),
    writes("POST", "/api/dms/objects/{o}/tags/{n}/state/{s}", OVERWRITE),
    writes("DELETE", "/api/dms/objects/{o}/tags/{n}", st.sampled_from(["", "?traceIdMustMatch=true"])),
    st.builds(Step, TENANT, st.just("GET"), st.sampled_from(READABLE)),
    st.builds(Step, TENANT, st.just("GET"), AUDITS.map(lambda query: f"/api/dms/audit{query}")),
    sends("POST", "/api/dms/objects/tags", BATCHES),
    sends("POST", "/api/dms/objects/search", SEARCH),
    sends("POST", CLAIM, st.none()),
    sends("POST", f"{CLAIM}&leaseSeconds=100", st.none()),
    sends("PUT", "/api/dms/tag-definitions/ocr", DEFINITIONS),
    sends("DELETE", "/api/dms/tag-definitions/ocr", st.none()),
    sends("POST", "/tags", st.just({"key": "region", "color": "#112233", "mandatory_on": ["site"]})),
    sends(
        "PUT", "/tags/{tagId}/values/o1", st.sampled_from([{"correlation_type": "site", "value": value} for value in ("A", "b")])
    ),
    sends("DELETE", "/tags/{tagId}/values/o1", st.none()),
)


class Service:
    """A service in memory with a token for each tenant, and what each was answered, in the words of `Spelling`."""

    def __init__(self, key_file: Path) -> None:
        own_key_file = key_file.with_name(secrets.token_hex(8))  # what a signer has seen it keeps beside its key
        shutil.copy(key_file, own_key_file)
        settings = Settings(mongo_uri="mongomock://", auth="tokens", signing_key_file=own_key_file, log_origin="tags.example")
        self.database = Database.connect(settings)
        self.app = create_app(settings, database=self.database)
        self.client = self.app.test_client()
        store = TokenStore(self.database, TagStore(self.database))
        self.relay = Relay(self.database)
        self.secrets: dict[str, str] = {}
        for tenant in TENANTS:
            self.secrets[tenant] = store.create(tenant, "worker", Grant(frozenset(Permission)), ADMIN)
        self.etags = dict.fromkeys(TENANTS, "0" * 32)
        self.made: dict[str, str] = dict.fromkeys(TENANTS, "")
        self.answers: dict[str, list[str]] = {tenant: [] for tenant in TENANTS}
        self.spellings = {tenant: Spelling() for tenant in TENANTS}
        self.settle()

    def settle(self) -> None:
        """Moves what is pending into the trail."""
        while self.relay.run_once():
            """One batch after the other."""

    def take(self, step: Step) -> None:
        """Makes the call and keeps its answer."""
        headers = {"Authorization": f"Bearer {self.secrets[step.tenant]}", "X-B3-TraceId": step.trace}
        if step.etag is not None:
            other = next(tenant for tenant in TENANTS if tenant != step.tenant)
            headers["If-Match"] = f'"{self.etags[step.tenant if step.etag == "own" else other]}"'
        if step.key is not None:
            headers["Idempotency-Key"] = step.key
        path = step.path.format(
            objectId="o1",
            name="ocr",
            position="1",
            correlationId="o1",
            resource="object/o1",
            resourceId="o1",
            traceId="a",
            tagId=self.made[step.tenant] or "tag_0",
            level="0",
            tile="000.p/1",
        )
        if "/audit/" in path:
            self.app.extensions[EXTENSION].checkpointer.checkpoint(step.tenant)
        with self.client.open(path, method=step.method, headers=headers, json=step.body) as answer:
            told = f"{answer.status_code} {_text(answer)}"
            if "ETag" in answer.headers:
                self.etags[step.tenant] = answer.headers["ETag"].strip('"')
            if path == "/tags" and answer.status_code == 201:
                self.made[step.tenant] = json.loads(answer.data)["id"]
        self.answers[step.tenant].append(self.spellings[step.tenant](told))
        self.settle()

    def events(self, tenant: str) -> list[str]:
        """The tenant's events from the first one on, as many as the trail has entries of its objects."""
        headers = {"Authorization": f"Bearer {self.secrets[tenant]}"}
        count = self.database.trail.count_documents({"tenant": tenant, "resource": {"$regex": "^object/"}})
        told = ""
        with self.client.get("/api/dms/tags/events?after=0", headers=headers) as answer:
            stream = answer.iter_encoded()
            while told.count("\ndata:") < count:
                told += next(stream).decode()
        return [
            HASH.sub("HASH", TIME.sub("TIME", RANDOM_ID.sub("ID", block))) for block in told.split("\n\n") if "data:" in block
        ]


def _text(answer: Response) -> str:
    """The body; of hashes in binary, which hold times, only how many there are."""
    return str(len(answer.data)) if answer.mimetype == "application/octet-stream" else answer.get_data(as_text=True)


class Spelling:
    """Replaces what is random or tells the time, each id by the order in which the tenant first saw it."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        text = HASH.sub("HASH", TIME.sub("TIME", text))
        return RANDOM_ID.sub(lambda found: self._ids.setdefault(found[0], f"ID{len(self._ids)}"), text)


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("key") / "signing.key"
    SigningKey.create(file)
    return file


@pytest.mark.thorough
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEPS, min_size=8, max_size=30))
def test_neither_notices_the_other(key_file: Path, steps: list[Step]) -> None:
    """Each tenant is answered, call by call, what it is answered when it is alone."""
    shared = Service(key_file)
    for step in steps:
        shared.take(step)

    for tenant in TENANTS:
        alone = Service(key_file)
        other = next(name for name in TENANTS if name != tenant)
        for step in (step for step in steps if step.tenant == tenant):
            alone.etags[other] = new_id()
            alone.take(step)

        assert alone.answers[tenant] == shared.answers[tenant]
        assert alone.events(tenant) == shared.events(tenant)
