//! An error with its causes: recorded on the current span and logged, once, where it is answered.

use std::{error::Error, fmt::Write};

use opentelemetry::KeyValue;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// `kind` is the error's type by name. Rust's errors know no stack; their chain of causes stands in its place.
pub fn report(kind: &str, error: &dyn Error) {
    let message = error.to_string();
    let chain = chain(kind, error);
    let span = tracing::Span::current();
    span.add_event(
        "exception",
        vec![
            KeyValue::new("exception.type", kind.to_owned()),
            KeyValue::new("exception.message", message.clone()),
            KeyValue::new("exception.stacktrace", chain.clone()),
        ],
    );
    span.set_status(opentelemetry::trace::Status::error(message.clone()));
    tracing::error!(
        "exception.type" = kind,
        "exception.message" = message,
        "exception.stacktrace" = chain,
        "{message}"
    );
}

fn chain(kind: &str, error: &dyn Error) -> String {
    let mut text = format!("{kind}: {error}");
    let mut cause = error.source();
    while let Some(e) = cause {
        let _ = write!(text, "\ncaused by: {e}"); // writing to a String cannot fail
        cause = e.source();
    }
    text
}
