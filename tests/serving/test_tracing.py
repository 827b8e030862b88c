"""A service that makes spans, and a collector that takes them by OTLP, as an operator has both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from dms_tags.serving.mongod import eventually
from tests.support.beside import answering
from tests.support.service import service

CALLER: Final = "0af7651916cd43dd8448eb211c80319c"
SPAN: Final = "b7ad6b7169203331"
LOCK: Final = "1234567887654321"
ADD: Final = "/api/dms/objects/doc1/tags/ocr/state/1"


class Spans:
    """What the collector was sent: each span's name, ids and attributes."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []
        self.services: set[str] = set()

    def take(self, body: bytes) -> None:
        """Takes one request of OTLP."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.services |= {each.value.string_value for each in resource.resource.attributes if each.key == "service.name"}
            for scope in resource.scope_spans:
                self.all += [
                    {
                        "name": span.name,
                        "trace": span.trace_id.hex(),
                        "id": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "failed": span.status.code == 2,
                        **{each.key: each.value.string_value or each.value.int_value for each in span.attributes},
                    }
                    for span in scope.spans
                ]

    def named(self, name: str) -> list[dict[str, Any]]:
        """Those of a name."""
        return [span for span in self.all if span["name"] == name]


@contextmanager
def collector() -> Iterator[tuple[Spans, str]]:
    """A collector of spans and its address, for as long as the context lasts."""
    spans = Spans()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            spans.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with answering(server) as address:
        yield spans, address


def test_a_call_is_one_trace_from_its_caller_to_mongodb(
    mongo_uri: str, database_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller's trace goes on in the service; the trace id that locks is kept apart, and joined by an attribute."""
    with collector() as (spans, address):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        settings = {"DMS_TAGS_MONGO_URI": mongo_uri, "DMS_TAGS_DATABASE": database_name, "DMS_TAGS_TRACING": "true"}
        with service(tmp_path, settings) as running, httpx.Client(base_url=running.url, trust_env=False) as client:
            w3c = {"traceparent": f"00-{CALLER}-{SPAN}-01", "X-B3-TraceId": LOCK}
            assert 200 == client.post(ADD, headers=w3c).status_code
            # both in one id: what B3 callers send
            b3 = {"X-B3-TraceId": LOCK, "X-B3-SpanId": SPAN, "X-B3-Sampled": "1"}
            assert 200 == client.get("/api/dms/objects/doc1/tags/ocr", headers=b3).status_code
            assert 404 == client.get("/api/dms/objects/doc2/tags/ocr", headers={"b3": f"{CALLER}-{SPAN}-0"}).status_code
            assert 404 == client.get("/nowhere").status_code
            wanted = {
                "POST /api/dms/objects/<objectId>/tags/<name>/state/<state>",
                "GET /api/dms/objects/<objectId>/tags/<name>",
                "GET",
                "relay batch",
            }
            assert eventually(lambda: wanted <= {span["name"] for span in spans.all}, 20), spans.all

    assert {"dms-tags"} == spans.services
    (added,) = spans.named("POST /api/dms/objects/<objectId>/tags/<name>/state/<state>")
    assert (CALLER, SPAN) == (added["trace"], added["parent"])
    assert (LOCK, 200, "default") == (
        added["dms_tags.tag_trace_id"],
        added["http.response.status_code"],
        added["dms_tags.tenant"],
    )
    below = {span["name"]: span for span in spans.all if span["parent"] == added["id"]}
    assert {"insert tags"} <= below.keys()
    assert {CALLER} == {span["trace"] for span in below.values()}
    (read,) = spans.named("GET /api/dms/objects/<objectId>/tags/<name>")  # the one that its caller did not want is not there
    assert (LOCK.zfill(32), SPAN) == (read["trace"], read["parent"])
    batch = spans.named("relay batch")[0]
    assert {"insert audit_trail"} <= {span["name"] for span in spans.all if span["parent"] == batch["id"]}
    assert not [span for span in spans.all if "anonymous" in map(str, span.values())]


def test_spans_without_their_packages_are_refused_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says which are missing, before anything listens."""
    (tmp_path / "shadow" / "opentelemetry").mkdir(parents=True)
    (tmp_path / "shadow" / "opentelemetry" / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "shadow"))
    settings = {"DMS_TAGS_MONGO_URI": "mongomock://", "DMS_TAGS_TRACING": "true"}
    with service(tmp_path, settings, ready=False) as refused:
        assert 2 == refused.process.wait(60)
        assert "DMS_TAGS_TRACING=true needs the packages of the extra `tracing`" in refused.err.read_text()
        assert "listens" not in refused.out.read_text()
