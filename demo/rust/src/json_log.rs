//! Log lines on stdout: one JSON object a line, with the ids of the current span.

use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use opentelemetry::trace::TraceContextExt;
use serde_json::{Map, Value};
use tracing::{Event, Subscriber, field::Field, field::Visit};
use tracing_subscriber::{Layer, layer::Context};

pub struct JsonLog;

impl<S: Subscriber> Layer<S> for JsonLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Fields(Map::new());
        line.put("time", now());
        line.put("level", event.metadata().level().as_str());
        line.put("logger", event.metadata().target());
        event.record(&mut line);
        let cx = opentelemetry::Context::current();
        let span = cx.span().span_context().clone();
        if span.is_valid() {
            line.put("trace_id", span.trace_id().to_string());
            line.put("span_id", span.span_id().to_string());
        }
        // A closed stdout is no reason to stop charging.
        let _ = writeln!(std::io::stdout().lock(), "{}", Value::Object(line.0));
    }
}

/// RFC 3339 in UTC with microseconds.
fn now() -> String {
    let t = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (year, month, day) = civil(t.as_secs() / 86_400);
    let s = t.as_secs() % 86_400;
    let (hour, minute, second) = (s / 3600, s / 60 % 60, s % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", t.subsec_micros())
}

/// Year, month and day of a count of days since 1970-01-01. Years begin in March here, so that the leap day is the
/// last of its year, and repeat every 400 years (146,097 days).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468; // from 0000-03-01
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153; // months since March
    let month = if march < 10 { march + 3 } else { march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, of_year - (153 * march + 2) / 5 + 1)
}

struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field.name(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value);
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn days_have_their_dates() {
        for (days, date) in [(0, (1970, 1, 1)), (59, (1970, 3, 1)), (11_016, (2000, 2, 29)), (20_779, (2026, 11, 22))] {
            assert_eq!(super::civil(days), date);
        }
    }
}
