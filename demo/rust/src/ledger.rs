//! The ledger's database, simulated: each statement is a CLIENT span with `db.*` attributes, a measurement, and a sleep
//! where a real driver would wait.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use opentelemetry::{KeyValue, global, metrics::Histogram};
use tracing::{Instrument, field::Empty, info_span, warn};

use crate::{faults::Faults, http::SECONDS};

/// The currency whose index the fault `slow-query` takes away.
const SLOW_CURRENCY: &str = "GBP";
const SLOW: Duration = Duration::from_secs(1);

pub struct Ledger {
    faults: Arc<Faults>,
    balances: Mutex<HashMap<String, i64>>, // minor units by currency
    duration: Histogram<f64>,
}

/// What the database says when a row breaks a rule of its table.
#[derive(Debug)]
pub struct ConstraintViolation {
    constraint: &'static str,
    amount: i64,
}

impl fmt::Display for ConstraintViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "new row of \"entries\" violates check constraint \"{}\": amount = {}", self.constraint, self.amount)
    }
}
impl std::error::Error for ConstraintViolation {}

impl Ledger {
    pub fn new(faults: Arc<Faults>) -> Self {
        let duration = global::meter("payments")
            .f64_histogram("db.client.operation.duration")
            .with_unit("s")
            .with_description("Duration of database client operations.")
            .with_boundaries(SECONDS.to_vec())
            .build();
        Self { faults, balances: Mutex::default(), duration }
    }

    /// The balance in one currency, in minor units. This is the query that loses its index under `slow-query`.
    pub async fn balance(&self, currency: &str) -> i64 {
        let slow = currency == SLOW_CURRENCY && self.faults.slow_query.load(Relaxed);
        let (text, took) = if slow {
            (
                "SELECT sum(amount) FROM entries WHERE upper(currency) = $1 -- seq scan: no index on upper(currency)",
                1.5 + fastrand::f64(),
            )
        } else {
            ("SELECT sum(amount) FROM entries WHERE currency = $1", usual(0.006))
        };
        self.statement("SELECT", text, currency, took).await;
        *self.balances().get(currency).unwrap_or(&0)
    }

    /// Writes one entry. The table refuses amounts that are not positive.
    pub async fn insert(&self, currency: &str, amount: i64) -> Result<(), ConstraintViolation> {
        let text = "INSERT INTO entries (id, order_id, currency, amount) VALUES ($1, $2, $3, $4)";
        self.statement("INSERT", text, currency, usual(0.012)).await;
        if amount <= 0 {
            return Err(ConstraintViolation { constraint: "entries_amount_positive", amount });
        }
        *self.balances().entry(currency.to_owned()).or_default() += amount;
        Ok(())
    }

    fn balances(&self) -> std::sync::MutexGuard<'_, HashMap<String, i64>> {
        self.balances.lock().unwrap_or_else(|e| e.into_inner())
    }

    async fn statement(&self, operation: &'static str, text: &'static str, currency: &str, seconds: f64) {
        let span = info_span!(
            "statement",
            "otel.name" = format!("{operation} entries"),
            "otel.kind" = "client",
            "db.system.name" = "postgresql",
            "db.namespace" = "ledger",
            "db.collection.name" = "entries",
            "db.operation.name" = operation,
            "db.query.text" = text,
            "db.query.parameter.currency" = currency,
            "server.address" = "ledger-db",
            "server.port" = 5432,
            "shop.ledger.slow" = Empty,
        );
        async {
            let started = Instant::now();
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            let took = started.elapsed();
            let attributes = [
                KeyValue::new("db.system.name", "postgresql"),
                KeyValue::new("db.operation.name", operation),
                KeyValue::new("db.collection.name", "entries"),
            ];
            self.duration.record(took.as_secs_f64(), &attributes);
            if took >= SLOW {
                tracing::Span::current().record("shop.ledger.slow", true);
                warn!(
                    name: "ledger.slow",
                    { db.query.text = text, currency, duration_ms = took.as_millis() as u64 },
                    "slow ledger query"
                );
            }
        }
        .instrument(span)
        .await;
    }
}

/// A database's usual time: around `median` seconds with a tail, never under a third of it.
fn usual(median: f64) -> f64 {
    let spread: f64 = (0..4).map(|_| fastrand::f64()).sum::<f64>() - 2.0; // close to normal, sigma 0.58
    median * (1.2 * spread).exp().clamp(0.35, 8.0)
}
