//! OpenTelemetry's three signals with one resource, and how `tracing` feeds two of them.
//!
//! `tracing` spans become OpenTelemetry spans, `tracing` events become OTLP logs and JSON lines; metrics use the
//! OpenTelemetry API as it is. While a span is entered it is also OpenTelemetry's current span, so that logs carry its
//! ids. Intervals are short: a demo is watched live.

use std::time::Duration;

use opentelemetry::{KeyValue, global, trace::TracerProvider};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter};
use opentelemetry_sdk::{
    Resource, logs, logs::SdkLoggerProvider, metrics::PeriodicReader, metrics::SdkMeterProvider,
    propagation::TraceContextPropagator, trace, trace::SdkTracerProvider,
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer,
    filter::{Targets, filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::{Failure, json_log::JsonLog, process};

const BATCH_DELAY: Duration = Duration::from_secs(1);
const METRIC_INTERVAL: Duration = Duration::from_secs(5);

pub struct Telemetry {
    traces: SdkTracerProvider,
    metrics: SdkMeterProvider,
    logs: SdkLoggerProvider,
}

pub fn start() -> Result<Telemetry, Failure> {
    let resource = Resource::builder() // begins with what OTEL_RESOURCE_ATTRIBUTES says
        .with_service_name("payments")
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance_id()),
            KeyValue::new("deployment.environment.name", "demo"),
        ])
        .build();

    let batch = trace::BatchConfigBuilder::default().with_scheduled_delay(BATCH_DELAY).build();
    let spans = SpanExporter::builder().with_http().build()?;
    let traces = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_span_processor(trace::BatchSpanProcessor::builder(spans).with_batch_config(batch).build())
        .build();

    let reader =
        PeriodicReader::builder(MetricExporter::builder().with_http().build()?).with_interval(METRIC_INTERVAL).build();
    let metrics = SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(reader).build();

    let batch = logs::BatchConfigBuilder::default().with_scheduled_delay(BATCH_DELAY).build();
    let records = LogExporter::builder().with_http().build()?;
    let logs = SdkLoggerProvider::builder()
        .with_resource(resource)
        .with_log_processor(logs::BatchLogProcessor::builder(records).with_batch_config(batch).build())
        .build();

    global::set_text_map_propagator(TraceContextPropagator::new());
    global::set_tracer_provider(traces.clone());
    global::set_meter_provider(metrics.clone());
    subscribe(&traces, &logs);
    process::observe();
    Ok(Telemetry { traces, metrics, logs })
}

/// Our own events only go to OTLP: what the exporter's HTTP client says about exporting must not be exported. Events
/// are not repeated on spans, they find each other by their ids; exceptions are (see `errors`). Events have names, since
/// the appender sends their names, and `tracing` names an event after its line of source.
fn subscribe(traces: &SdkTracerProvider, logs: &SdkLoggerProvider) {
    let ours = || Targets::new().with_target("payments", LevelFilter::INFO);
    let spans = tracing_opentelemetry::layer()
        .with_tracer(traces.tracer("payments"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(filter_fn(|m| m.is_span() && m.target().starts_with("payments")));
    tracing_subscriber::registry()
        .with(spans)
        .with(OpenTelemetryTracingBridge::new(logs).with_filter(ours()))
        .with(JsonLog.with_filter(ours().with_default(LevelFilter::WARN)))
        .init();
}

/// A random UUID, as the conventions ask: one a process.
fn instance_id() -> String {
    let mut b = fastrand::u128(..);
    b = b & !(0xf << 76) | 4 << 76; // version 4
    b = b & !(0x3 << 62) | 2 << 62; // variant 1
    let h = format!("{b:032x}");
    format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..])
}

impl Telemetry {
    /// Sends what is left. A backend that is gone must not keep the service from stopping: errors are only printed.
    pub fn stop(&self) {
        let results = [self.traces.shutdown(), self.logs.shutdown(), self.metrics.shutdown()];
        for error in results.into_iter().filter_map(Result::err) {
            eprintln!("telemetry: {error}");
        }
    }
}
