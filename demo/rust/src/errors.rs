//! An error with its causes: recorded on the current span and logged, once, where it is answered.

use std::error::Error;

use opentelemetry::KeyValue;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// `kind` is the error's type by name. Rust's errors know no stack; their chain of causes stands in its place.
pub fn report(kind: &str, error: &dyn Error) {
    let message = line(error);
    let chain = format!("{kind}: {}", causes(error).join("\ncaused by: "));
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
        name: "exception",
        { exception.type = kind, exception.message = message, exception.stacktrace = chain },
        "{message}"
    );
}

/// An error and its causes in one line.
pub fn line(error: &dyn Error) -> String {
    causes(error).join(": ")
}

fn causes(error: &dyn Error) -> Vec<String> {
    let mut words = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(e) = cause {
        words.push(e.to_string());
        cause = e.source();
    }
    words
}
