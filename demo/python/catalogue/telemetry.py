"""OpenTelemetry's three signals with one resource, and structured logs on stdout.

The exporters read OTEL_EXPORTER_OTLP_ENDPOINT and the SDK's other standard variables. Intervals are short: a demo is
watched live.
"""

import json
import logging
import os
import sys
import uuid
from datetime import UTC, datetime

from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider, TraceBasedExemplarFilter
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

VERSION = "1.0.0"
BATCH_DELAY_MS = 1000
METRIC_INTERVAL_MS = 5000
# The bounds that the conventions advise for durations, in seconds.
SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]

_providers = []


def start():
    """Sets the global providers and the root logger. Call it once, before the application is made."""
    # The stable HTTP conventions (http.server.request.duration, http.route): the instrumentation's default is the old ones.
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    resource = Resource.create(
        {
            "service.name": "catalogue",
            "service.version": VERSION,
            "service.instance.id": str(uuid.uuid4()),
            "deployment.environment.name": "demo",
        }
    )
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=BATCH_DELAY_MS))
    trace.set_tracer_provider(traces)

    reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=METRIC_INTERVAL_MS)
    meters = MeterProvider(resource=resource, metric_readers=[reader], exemplar_filter=TraceBasedExemplarFilter())
    metrics.set_meter_provider(meters)
    SystemMetricsInstrumentor(
        config={"process.memory.usage": None, "process.cpu.time": ["user", "system"], "process.thread.count": None}
    ).instrument()

    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(), schedule_delay_millis=BATCH_DELAY_MS))
    set_logger_provider(logs)
    stdout = logging.StreamHandler(sys.stdout)
    stdout.setFormatter(JsonLines())
    root = logging.getLogger()  # not by basicConfig: that would give OTLP's handler a text format for its bodies
    root.setLevel(logging.INFO)
    otlp = LoggingHandler(logger_provider=logs)
    # What the SDK says about exporting is for stdout only: it must not be exported.
    otlp.addFilter(lambda record: not record.name.startswith("opentelemetry"))
    for handler in (otlp, stdout):
        handler.addFilter(plain)
        root.addHandler(handler)
    _providers.extend([traces, meters, logs])


def stop():
    """Sends what is left."""
    for provider in _providers:
        provider.shutdown()


def plain(record):
    """uvicorn's records bring their message a second time, for terminals."""
    vars(record).pop("color_message", None)
    return True


class JsonLines(logging.Formatter):
    """One JSON object a line, with the ids of the current span and whatever `extra` brought."""

    _usual = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def format(self, record):
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {k: v for k, v in vars(record).items() if k not in self._usual}
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line |= {"trace_id": trace.format_trace_id(span.trace_id), "span_id": trace.format_span_id(span.span_id)}
        if record.exc_info:
            line["exception.stacktrace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
