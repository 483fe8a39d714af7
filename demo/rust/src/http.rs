//! The SERVER span and `http.server.request.duration` of every request, by the stable HTTP conventions. axum has no
//! instrumentation of OpenTelemetry's own, so this is ours: one middleware.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use opentelemetry::{KeyValue, global, metrics::Histogram};
use opentelemetry_http::HeaderExtractor;
use tracing::{Instrument, field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The bounds that the conventions advise for durations of requests, in seconds.
pub const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

pub struct Server {
    duration: Histogram<f64>,
}

impl Server {
    pub fn new() -> Self {
        let duration = global::meter("payments")
            .f64_histogram("http.server.request.duration")
            .with_unit("s")
            .with_description("Duration of HTTP server requests.")
            .with_boundaries(SECONDS.to_vec())
            .build();
        Self { duration }
    }
}

/// Wraps each request in its span and measures it. A request whose client hangs up is dropped by axum in the middle of
/// an await: `Measured` then ends the measurement with `error.type="cancelled"`.
pub async fn observe(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let method = request.method().to_string();
    let route = request.extensions().get::<MatchedPath>().map(|p| p.as_str().to_owned());
    let name = route.as_ref().map_or(method.clone(), |r| format!("{method} {r}"));
    let span = info_span!(
        "request",
        "otel.name" = name,
        "otel.kind" = "server",
        "otel.status_code" = Empty,
        "http.request.method" = method,
        "http.route" = route,
        "http.response.status_code" = Empty,
        "error.type" = Empty,
        "url.path" = request.uri().path(),
        "url.scheme" = "http",
        "user_agent.original" = request.headers().get("user-agent").and_then(|v| v.to_str().ok()),
    );
    let caller = global::get_text_map_propagator(|p| p.extract(&HeaderExtractor(request.headers())));
    let _ = span.set_parent(caller); // fails only when tracing is off

    let mut attributes = vec![KeyValue::new("http.request.method", method), KeyValue::new("url.scheme", "http")];
    attributes.extend(route.map(|r| KeyValue::new("http.route", r)));
    let mut measured = Measured { server, span: span.clone(), started: Instant::now(), attributes, status: None };
    let response = next.run(request).instrument(span).await;
    measured.status = Some(response.status().as_u16());
    response
}

struct Measured {
    server: Arc<Server>,
    span: tracing::Span,
    started: Instant,
    attributes: Vec<KeyValue>,
    status: Option<u16>,
}

impl Drop for Measured {
    fn drop(&mut self) {
        let _entered = self.span.enter(); // the measurement belongs to this span: an SDK with exemplars would link it
        let error = match self.status {
            Some(code) => {
                self.span.record("http.response.status_code", code);
                self.attributes.push(KeyValue::new("http.response.status_code", i64::from(code)));
                (code >= 500).then(|| code.to_string())
            }
            None => Some("cancelled".into()),
        };
        if let Some(error) = error {
            self.span.record("error.type", error.as_str());
            self.span.record("otel.status_code", "ERROR");
            self.attributes.push(KeyValue::new("error.type", error));
        }
        self.server.duration.record(self.started.elapsed().as_secs_f64(), &self.attributes);
    }
}
