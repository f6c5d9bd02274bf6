"""OpenTelemetry export, as an option: without an endpoint every span is nothing and costs nothing.

Each span is a child of the request's W3C `traceparent`, which travels in every message of a job.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

_tracer: Tracer | None = None


class TelemetryMissing(Exception):
    """Export was asked for and its packages are not installed."""


def configure(process: str, endpoint: str | None) -> None:
    """endpoint: base URL of an OTLP/HTTP collector, such as http://127.0.0.1:4318; None = no export."""
    global _tracer
    if endpoint is None:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TelemetryMissing(
            "WHISPERFLEET_OTLP_ENDPOINT is set, but OpenTelemetry is not installed. Install whisperfleet[telemetry]."
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": f"whisperfleet-{process}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))
    _tracer = provider.get_tracer("whisperfleet")


@contextmanager
def span(name: str, traceparent: str, **attributes: str | int | float) -> Iterator[None]:
    """A span under the job's trace. Attributes never hold audio, text or keys."""
    if _tracer is None:
        yield
        return
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    parent = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
    with _tracer.start_as_current_span(name, context=parent, attributes=dict(attributes)):
        yield
