"""A small catalogue service with OpenTelemetry's own SDK: metrics, traces and structured logs over OTLP.

Endpoints: GET / (health), GET /data (a simulated database query), GET /error (a failure on purpose).
The SDK is configured by its standard environment variables: OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_EXPORTER_OTLP_PROTOCOL (grpc or http/protobuf), OTEL_SERVICE_NAME.
"""
import asyncio
import logging
import os
import random

from fastapi import FastAPI, HTTPException
from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc") == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

ITEMS = ["anchor", "buoy", "compass", "davit", "ensign"]


def telemetry():
    """Providers of the three signals with one resource. Short export intervals: a demo is watched live."""
    resource = Resource.create({"service.version": "1.0.0", "deployment.environment.name": "demo"})
    tracing = TracerProvider(resource=resource)
    tracing.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=1000))
    trace.set_tracer_provider(tracing)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=5000)
    metrics.set_meter_provider(MeterProvider(resource=resource, metric_readers=[reader]))
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(), schedule_delay_millis=1000))
    set_logger_provider(logs)
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(LoggingHandler(logger_provider=logs))


telemetry()
log = logging.getLogger("catalogue")
tracer = trace.get_tracer("catalogue")
meter = metrics.get_meter("catalogue")
lookups = meter.create_counter("catalogue.lookups", unit="{lookup}", description="Items looked up")
stock = meter.create_histogram("catalogue.query.duration", unit="s", description="Time of the database query")
app = FastAPI(title="catalogue")


@app.get("/")
async def health():
    return {"status": "ok"}


@app.get("/data")
async def data():
    item = random.choice(ITEMS)
    with tracer.start_as_current_span("SELECT items", kind=trace.SpanKind.CLIENT) as span:
        span.set_attribute("db.system.name", "postgresql")
        span.set_attribute("db.query.text", "SELECT * FROM items WHERE name = $1")
        span.set_attribute("item.name", item)
        took = random.lognormvariate(-4.5, 0.6)
        await asyncio.sleep(took)
        rows = random.randint(1, 20)
        span.set_attribute("db.response.returned_rows", rows)
    stock.record(took, {"item": item})
    lookups.add(1, {"item": item})
    log.info("looked up %s in %.1f ms", item, took * 1000, extra={"item": item, "rows": rows})
    return {"item": item, "rows": rows}


@app.get("/error")
async def error():
    log.error("payment gateway refused the card", extra={"gateway": "sandbox", "code": 402})
    raise HTTPException(status_code=500, detail="payment gateway refused the card")


FastAPIInstrumentor.instrument_app(app)
