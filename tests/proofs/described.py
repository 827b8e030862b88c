"""The service held to its own OpenAPI document by schemathesis: examples, edges, made-up calls, calls in sequence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx

from dms_tags.api.console.session import COOKIE
from dms_tags.chains.model import Access
from dms_tags.chains.sessions import SessionStore
from dms_tags.identity.model import Permission
from dms_tags.identity.store import Grant, TokenStore
from dms_tags.model import now
from dms_tags.settings import Settings
from dms_tags.store.database import Database
from dms_tags.tags.store import TagStore
from tests.support.chains import ADMIN, FOO
from tests.support.service import service

CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
    "use_after_free",
    "ensure_resource_availability",
)
"""Not among them: that data which fits the document is accepted.  Conditions that need each other, a statement's grammar and a
cursor's text are beyond what a schema says, and a 400 names them."""

CONFIG: Final = """
# Whose session a made-up cookie is nobody knows: he is led to the sign-in page, whatever is wrong with what he asks for
[[operations]]
include-path-regex = "^/console"
[operations.checks.negative_data_rejection]
expected-statuses = [303, 400, 401, 403, 404, 405, 413, 414, 415, 422, 431, "5xx"]

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 413, 414, 415, 422, 431, "5xx"]
"""

STREAMS: Final = ("/api/dms/tags/events", "/console/trail/live")
BY_ITEM: Final = ("/api/dms/objects/tags", "/api/dms/objects/tags/{name}/state/{state}")
"""A batch refuses its items one by one, in an answer that is 200; a claim whose statement is a parameter reads no body."""


def hold_to_the_document(folder: Path, settings: Settings, database: Database, *, seed: int, examples: int) -> str:
    """Runs schemathesis over every call but the streams; what it said last.  Asserts that it found nothing."""
    store = TagStore(database)
    tokens = TokenStore(database, store)
    token = tokens.create("default", f"caller-{seed}", Grant(frozenset(Permission)), ADMIN)
    sessions = SessionStore(database, store)
    session = sessions.create("default", "7", {FOO.id: frozenset(Access)}, now() + timedelta(days=1), ADMIN).text
    known = {"DMS_TAGS_MONGO_URI": settings.mongo_uri or "", "DMS_TAGS_DATABASE": settings.database}
    with service(folder, {**known, "DMS_TAGS_AUTH": "tokens", "DMS_TAGS_WORKERS": "1"}) as running:
        (folder / "schemathesis.toml").write_text(CONFIG)
        signed_in = httpx.post(f"{running.url}/console/sign-in", data={"token": token}, timeout=20, trust_env=False)
        callers = {
            "Authorization": f"Bearer {token}",
            "X-Spaaza-Session-User-Id": "7",
            "X-Spaaza-Session-Key": session,
        }
        reader = {"Cookie": f"{COOKIE}={signed_in.cookies[COOKIE]}"}
        told = []
        for path, checks, headers in (
            (_paths("--exclude-path", *STREAMS, *BY_ITEM), (*CHECKS, "negative_data_rejection"), callers),
            (_paths("--include-path", *BY_ITEM), CHECKS, callers),
            # A session beside whatever cookie is made up
            (("--include-path-regex", "^/console", *_paths("--exclude-path", *STREAMS)), CHECKS, reader),
        ):
            command = [
                *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{running.url}/openapi.json", "--no-color", *path),
                *("--seed", str(seed), "--max-examples", str(examples), "--checks", ",".join(checks)),
                *_headers(headers),
            ]
            # In the folder: it keeps what it generates beside where it runs
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout.partition("= FAILURES =")[2][:6000] or done.stderr[-2000:]
            told.append(next(line.strip() for line in done.stdout.splitlines() if " generated, " in line))
    return "; ".join(told)


def _paths(option: str, *paths: str) -> Sequence[str]:
    return [part for path in paths for part in (option, path)]


def _headers(headers: dict[str, str]) -> Sequence[str]:
    return [part for name, value in headers.items() for part in ("--header", f"{name}: {value}")]
