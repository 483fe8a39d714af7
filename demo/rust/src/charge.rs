//! Charges: the work of this service, and its business metric.

use std::{error::Error, fmt};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use opentelemetry::{KeyValue, global, metrics::Counter};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::{Instrument, info, warn};

use crate::{App, errors, ledger::ConstraintViolation};

const DECLINED_SHARE: f64 = 0.02;

pub struct Charges {
    charged: Counter<u64>,
}

impl Charges {
    pub fn new() -> Self {
        let charged = global::meter("payments")
            .u64_counter("shop.payments.charged")
            .with_unit("{payment}")
            .with_description("Charges by their outcome.")
            .build();
        Self { charged }
    }

    fn count(&self, outcome: &'static str, currency: &str) {
        let labels = [KeyValue::new("outcome", outcome), KeyValue::new("currency", currency.to_owned())];
        self.charged.add(1, &labels);
    }
}

#[derive(Deserialize)]
pub struct Request {
    order_id: String,
    amount: i64, // minor units
    currency: String,
}

#[derive(Serialize)]
struct Receipt {
    payment_id: String,
    outcome: &'static str,
}

/// Why a charge was not made. The ledger's own error is its cause.
#[derive(Debug)]
struct ChargeError {
    order_id: String,
    source: ConstraintViolation,
}

impl fmt::Display for ChargeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "order {} cannot be charged", self.order_id)
    }
}
impl Error for ChargeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// Runs to its end even if the caller hangs up: half a charge is worse than one that nobody waited for. So the work is
/// a task of its own, in the request's span.
pub async fn charge(State(app): State<App>, Json(request): Json<Request>) -> Response {
    if request.currency.len() != 3 || request.order_id.is_empty() || request.order_id.len() > 64 {
        return failure(StatusCode::BAD_REQUEST, "an order_id and a currency of three letters are needed");
    }
    match tokio::spawn(settle(app, request).in_current_span()).await {
        Ok(response) => response,
        Err(e) => failure(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()), // it panicked
    }
}

async fn settle(app: App, r: Request) -> Response {
    app.ledger.balance(&r.currency).await;
    if fastrand::f64() < DECLINED_SHARE {
        app.charges.count("declined", &r.currency);
        warn!(name: "payment.declined", order_id = r.order_id, currency = r.currency, amount = r.amount, "card declined");
        return (StatusCode::PAYMENT_REQUIRED, Json(json!({"error": "card declined", "outcome": "declined"})))
            .into_response();
    }
    if let Err(source) = app.ledger.insert(&r.currency, r.amount).await {
        app.charges.count("failed", &r.currency);
        let error = ChargeError { order_id: r.order_id, source };
        errors::report("ChargeError", &error);
        return failure(StatusCode::INTERNAL_SERVER_ERROR, &errors::line(&error));
    }
    app.charges.count("accepted", &r.currency);
    let payment_id = format!("pay_{:016x}", fastrand::u64(..));
    info!(name: "payment.charged", order_id = r.order_id, payment_id, currency = r.currency, amount = r.amount, "charged");
    Json(Receipt { payment_id, outcome: "accepted" }).into_response()
}

pub async fn balance(State(app): State<App>) -> Json<Value> {
    let balance = app.ledger.balance("EUR").await;
    info!(name: "ledger.balance", balance, currency = "EUR", "balance read");
    Json(json!({"currency": "EUR", "balance": balance}))
}

/// Fails on purpose: a number that is none, with the parser's error as the cause.
pub async fn error() -> Response {
    #[derive(Debug)]
    struct FeeTableError(std::num::ParseIntError);
    impl fmt::Display for FeeTableError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "the fee table cannot be read")
        }
    }
    impl Error for FeeTableError {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
    match "2,5".parse::<i64>().map_err(FeeTableError) {
        Ok(fee) => Json(json!({"fee": fee})).into_response(),
        Err(e) => {
            errors::report("FeeTableError", &e);
            failure(StatusCode::INTERNAL_SERVER_ERROR, &errors::line(&e))
        }
    }
}

fn failure(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"error": message}))).into_response()
}
