"""Spans for OpenTelemetry: of requests, of what they ask of MongoDB, of the relay's batches.

Off unless `DMS_TAGS_TRACING` is true.  Which collector the spans go to, and how many there are of them, the OTEL_* variables
of the OpenTelemetry SDK say.  The trace that a span belongs to is the caller's, by `traceparent` or by B3 headers.  The trace id
that locks a tag is another thing, though a caller may use one id for both: it is read from its header alone, and is an attribute
here.  Who called is none, since what is kept of a person is kept in the trail, from where it can be erased.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from dms_tags.errors import CannotStart
from dms_tags.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

SERVICE: Final = "dms-tags"
MISSING: Final = "DMS_TAGS_TRACING=true needs the packages of the extra `tracing`: pip install 'dms-tags[tracing]'"


PACKAGES: Final = (
    "opentelemetry.sdk.trace",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.propagators.b3",
)


def require_packages() -> None:
    """Raises `CannotStart` where a package is missing; loads none of them whole."""
    for name in PACKAGES:
        try:
            there = find_spec(name) is not None
        except ModuleNotFoundError:
            there = False
        if not there:
            raise CannotStart(f"{MISSING} ({name} is not here)")


class Tracing:
    """Makes spans and hands them to `exporter`: the collector that OTEL_EXPORTER_OTLP_ENDPOINT names, if none is given.

    Raises `CannotStart` where the packages are missing.
    """

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        require_packages()
        from opentelemetry import context, trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.propagators.b3 import B3MultiFormat
        from opentelemetry.propagators.composite import CompositePropagator
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._context, self._trace = context, trace
        # The later counts where a request has both; B3's reads the single `b3` header too
        self._propagator = CompositePropagator([B3MultiFormat(), TraceContextTextMapPropagator()])
        named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        resource = Resource.create({"service.version": __version__} | ({} if named else {"service.name": SERVICE}))
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(SERVICE, __version__)

    def span(self, name: str, **attributes: int | str) -> AbstractContextManager[Any]:
        """A span of the service's own work, which ends with the context."""
        return self._tracer.start_as_current_span(name, attributes=attributes)

    def inject(self, headers: MutableMapping[str, str]) -> None:
        """Adds the headers that tell another service which span calls it."""
        self._propagator.inject(headers)

    @property
    def commands(self) -> CommandListener:
        """What the driver tells of each command that it sends."""
        return _Commands(self)

    def command(self, name: str, database: str, collection: str | None) -> Span | None:
        """A span of a command to MongoDB, to be ended; None outside of a span that is recorded."""
        if not self._trace.get_current_span().is_recording():
            return None
        attributes = {"db.system.name": "mongodb", "db.namespace": database, "db.operation.name": name}
        if collection is not None:
            attributes["db.collection.name"] = collection
        title = name if collection is None else f"{name} {collection}"
        return self._tracer.start_span(title, kind=self._trace.SpanKind.CLIENT, attributes=attributes)

    def fail(self, span: Span, what: str) -> None:
        """Says of a span that what it tells of failed."""
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, what))

    def receive(self, method: str, headers: Any | None) -> tuple[Span, Any]:
        """Begins the span of a request under its caller's, as the current one; with it comes what `answered` needs.

        `headers` give one by its name in any case; None: none of them names a span.
        """
        parent = self._context.Context() if headers is None else self._propagator.extract(headers)
        span = self._tracer.start_span(method, parent, self._trace.SpanKind.SERVER)
        return span, self._context.attach(self._trace.set_span_in_context(span, parent))

    def answered(self, span: Span, token: Any) -> None:
        """Ends the span of a request."""
        self._context.detach(token)
        span.end()


class _Commands(CommandListener):
    """Spans of the commands that are sent within one that is recorded."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self._open: dict[int, Span] = {}

    def started(self, event: CommandStartedEvent) -> None:
        """A command is sent."""
        named = event.command.get(event.command_name)
        span = self._tracing.command(event.command_name, event.database_name, named if isinstance(named, str) else None)
        if span is not None:
            self._open[event.request_id] = span

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """It was answered."""
        span = self._open.pop(event.request_id, None)
        if span is not None:
            span.end()

    def failed(self, event: CommandFailedEvent) -> None:
        """It was not, or with an error."""
        span = self._open.pop(event.request_id, None)
        if span is not None:
            self._tracing.fail(span, str(event.failure.get("codeName", "failed")))
            span.end()


_tracing: Tracing | None = None


def begin(exporter: SpanExporter | None = None) -> Tracing:
    """Has this process make spans from now on.  Raises `CannotStart`."""
    global _tracing
    _tracing = Tracing(exporter)
    return _tracing


def current() -> Tracing | None:
    """What makes this process's spans; None: nothing does."""
    return _tracing


def span(name: str, **attributes: int | str) -> AbstractContextManager[Any]:
    """A span of the service's own work, where any are made."""
    return nullcontext() if _tracing is None else _tracing.span(name, **attributes)


def outgoing(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a call to another service, with those that tell which span makes it, where spans are made."""
    told = dict(headers)
    if _tracing is not None:
        _tracing.inject(told)
    return told
