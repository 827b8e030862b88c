"""Calls that were made up at random from the service's own OpenAPI document, sent to all of its routes."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

from dms_tags.settings import Settings
from dms_tags.store.database import Database
from tests.proofs import oracle
from tests.proofs.caller import Caller, Unanswered, once

STREAMS: Final = {"/api/dms/tags/events": "after", "/console/trail/live": "since"}
"""The routes whose answers have no end, with a parameter by which they are asked only for what is refused at once."""

IDS: Final = [f"object-{number}" for number in range(40)]
NAMES: Final = ("ocr", "index:resistant", "a", "approved")
TRACES: Final = ("1234567887654321", "a", "00000000000000000a", "463ac35c9f6413ad")
ODD: Final = (
    "", " ", "0", "-1", "05", "1e9", "2147483648", "9223372036854775808", "true", "TRUE", "null", "*", '"x"', 'W/"x"', "a" * 200,
    "é", "\u0000", "\ud7ff", "%", "%2F", "..", "/", "tag_", "1_0", "2020-02-20T02:20:20Z", "2020-02-20T02:20:20+00:00", "NaN",
    "SELECT * FROM document WHERE system:tags[ocr].state=1", "=1+1", "<b>", "'; --", "{}", "[]", "\r\nX: y",
)  # fmt: skip
"""Texts that somebody may send for anything."""

HOSTILE: Final = (
    b"", b"{", b"[]", b"null", b"1", b'"x"', b"{}", b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b'{"a":1,"a":2}', b"[" * 60_000,
    b'{"states":{"1":"\\ud800"}}', b'{"changes":[{}]}', b'{"changes":null}', b'{"value":"\\u0000"}', b'{"id":1e400}', b"a=1&a=2",
    b"\xff\xfe", b'{"query":{"statement":null}}', b'{"id":NaN}',
)  # fmt: skip
"""Bodies that are none, or hardly one."""

BROKEN_BY_CALLER: Final = 0.25
"""The part of the values that are taken from `ODD` rather than from what a call is declared with."""


@dataclass(slots=True)
class Told:
    """What the calls were answered with, by route and status, and what should not have been."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def call_at_random(ports: Sequence[int], *, calls: int, headers: Mapping[str, str], callers: int = 8, seed: int = 1) -> Told:
    """Sends so many calls, spread over all routes; asserts that none was a 5xx other than a 503, and none went unanswered."""
    routes = _routes(once(ports[0], "GET", "/openapi.json").json)
    told, lock = Told(), threading.Lock()

    def work(number: int) -> None:
        chance = random.Random(seed * 1000 + number)
        caller = Caller(ports[number % len(ports)])
        for _ in range(calls // callers):
            route = chance.choice(routes)
            method, path, sent, body = route.made_up(chance)
            line = f"{method} {path} {sent} {body[:300]!r}"
            try:
                answer = caller.call(method, path, {**headers, **sent}, body=body)
            except Unanswered as error:
                fault = f"unanswered ({error}): {line}"
            else:
                fault = f"{answer.status}: {line} {answer.body[:300]!r}" if answer.status in (500, 501, 502) else ""
                with lock:
                    told.statuses[f"{route.method} {route.path}", answer.status] += 1
            if fault:
                with lock:
                    told.faults.append(fault)
        caller.close()

    with ThreadPoolExecutor(callers) as pool:
        for done in [pool.submit(work, number) for number in range(callers)]:
            done.result()
    assert told.faults == [], told.faults[:3]
    answered = {name for name, status in told.statuses if status < 400}
    missing = {
        "GET /api/dms/objects/{objectId}/history",
        "GET /tags",
        "POST /api/dms/objects/tags",
        "POST /auth/add-tag",
    } - answered
    assert not missing, f"hardly anything was done: no call of {missing} was answered"
    return told


@dataclass(frozen=True, slots=True)
class _Route:
    method: str
    path: str
    operation: Mapping[str, Any]
    schemas: Mapping[str, Any]

    def made_up(self, chance: random.Random) -> tuple[str, str, dict[str, str], bytes]:
        """A call of this route: method, path with its query, headers, body."""
        path, query, sent = self.path, [], {}
        for parameter in self.operation.get("parameters", ()):
            name, place = parameter["name"], parameter["in"]
            if place == "path":
                path = path.replace(
                    f"{{{name}}}", quote(_value(chance, name, parameter["schema"]), safe=chance.choice(("", "/")))
                )
            elif place == "query" and chance.random() < (0.9 if parameter["required"] else 0.3):
                query += [(name, _value(chance, name, parameter["schema"]))] * chance.choice((1, 1, 1, 1, 2))
            elif place == "header" and chance.random() < 0.3:
                sent[name] = _value(chance, name, parameter["schema"])
        if chance.random() < 0.05:
            query.append((chance.choice(("traceidMustMatch", "x", "")), "true"))
        if self.path in STREAMS:
            query = [(STREAMS[self.path], "-5")]
        body = self._body(chance, sent)
        headers = {name: text for name, text in sent.items() if text.isprintable() and text.isascii()}
        return self.method, path + (f"?{urlencode(query)}" if query else ""), headers, body

    def _body(self, chance: random.Random, sent: dict[str, str]) -> bytes:
        content = self.operation.get("requestBody", {}).get("content", {})
        if not content:
            return chance.choice(HOSTILE) if chance.random() < 0.1 else b""
        media_type, described = chance.choice(list(content.items()))
        sent["Content-Type"] = chance.choice(("text/plain", "application/xml", "")) if chance.random() < 0.05 else media_type
        if chance.random() < 0.15:
            return chance.choice(HOSTILE)
        document = _document(chance, "", described.get("schema", {}), self.schemas)
        if "form" in media_type and isinstance(document, dict):
            return urlencode({name: str(value) for name, value in document.items()}).encode()
        text = json.dumps(document)
        if chance.random() < 0.05:
            at = chance.randrange(len(text))
            text = text[:at] + text[at + 1 :]
        return text.encode()


def at_random(settings: Settings, database: Database, ports: Sequence[int], *, calls: int) -> Told:
    """Sends so many calls, and asserts beside that every change is in the trail and every entry is a change."""
    environment = {"DMS_TAGS_MONGO_URI": settings.mongo_uri or "", "DMS_TAGS_DATABASE": settings.database}
    told = call_at_random(ports, calls=calls, headers=session_headers(environment))
    oracle.wait_until_drained(database)
    oracle.trail_at_rest(database)
    return told


def session_headers(environment: Mapping[str, str]) -> dict[str, str]:
    """Makes a chain and a session for it with the service's own commands; the headers that open the chain tags API."""
    _command(environment, "chain", "add", "--id", "1", "--name", "FOO Chain")
    key = _command(environment, "session", "create", "--user", "7", "--chain", "1:read,write,delete").splitlines()[-1]
    return {"X-Spaaza-Session-User-Id": "7", "X-Spaaza-Session-Key": key}


def _command(environment: Mapping[str, str], *words: str) -> str:
    command = [sys.executable, "-m", "dms_tags.cli.main", *words]
    return subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True, text=True).stdout


def _routes(document: Mapping[str, Any]) -> list[_Route]:
    schemas = document["components"]["schemas"]
    return [
        _Route(method.upper(), path, operation, schemas)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in ("get", "post", "put", "patch", "delete")
    ]


STATEMENT: Final = "SELECT * FROM document WHERE system:tags[{}].state={}"

FITTING: Final[Mapping[str, Callable[[random.Random], Any]]] = {
    "objectId": lambda chance: chance.choice(IDS),
    "name": lambda chance: chance.choice(NAMES),
    "state": lambda chance: chance.randrange(-2, 5),
    "correlationId": lambda chance: chance.choice(IDS),
    "X-B3-TraceId": lambda chance: chance.choice(TRACES),
    "traceId": lambda chance: chance.choice(TRACES),
    "Idempotency-Key": lambda chance: f"key-{chance.randrange(200)}",
    "If-Match": lambda chance: chance.choice(("*", '"x"', f'"{chance.randrange(1 << 64):032x}"')),
    "query": lambda chance: STATEMENT.format(chance.choice(NAMES), chance.randrange(4)),
    "statement": lambda chance: STATEMENT.format(chance.choice(NAMES), chance.randrange(4)),
    "leaseSeconds": lambda chance: chance.choice((1, 2, 60)),
    "key": lambda chance: f"label {chance.randrange(30)}",
    "id": lambda chance: chance.randrange(1, 40),
    "chain_id": lambda _: 1,
    "model_class": lambda _: "user",
}
"""What mostly fits, so that many calls do something: by the name of the parameter or member."""


def _value(chance: random.Random, name: str, schema: Mapping[str, Any]) -> str:
    if chance.random() < BROKEN_BY_CALLER:
        return chance.choice(ODD)
    value = _document(chance, name, schema, {})
    return str(value).lower() if isinstance(value, bool) else str(value)


def _document(chance: random.Random, name: str, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    if chance.random() < 0.04:
        return chance.choice((None, True, -1, 1.5, 1 << 70, "", [], {}, *ODD[:20]))
    if name in FITTING and chance.random() < 0.9:
        return FITTING[name](chance)
    if "$ref" in schema:
        return _document(chance, name, schemas[schema["$ref"].rpartition("/")[2]], schemas)
    for several in ("oneOf", "anyOf", "allOf"):
        if several in schema:
            return _document(chance, name, chance.choice(schema[several]), schemas)
    if "enum" in schema:
        return chance.choice(schema["enum"])
    if "example" in schema and chance.random() < 0.5:
        return schema["example"]
    match schema.get("type"):
        case "object":
            members = schema.get("properties", {})
            needed = schema.get("required", ())
            wanted = [member for member in members if member in needed or chance.random() < 0.5]
            return {member: _document(chance, member, members[member], schemas) for member in wanted}
        case "array":
            return [_document(chance, name, schema.get("items", {}), schemas) for _ in range(chance.randrange(4))]
        case "integer" | "number":
            least, most = schema.get("minimum", 0), schema.get("maximum", 1000)
            with suppress(TypeError):
                return chance.choice((least, most, chance.randint(int(least), min(int(most), int(least) + 1000))))
            return 1
        case "boolean":
            return chance.random() < 0.5
        case _:
            return chance.choice(("x", "Decommissioned", "APAC", *ODD))
