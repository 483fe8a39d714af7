//! payments: takes charges and writes them into a ledger. The last service of the shop's flow
//! (storefront -> orders -> catalogue and payments).
//!
//! | route | what |
//! | --- | --- |
//! | `GET /` | health |
//! | `POST /charge` | `{"order_id","amount","currency"}`, amount in minor units (cents) -> `{"payment_id","outcome"}` |
//! | `GET /data` | the ledger's balance, by a simulated database query |
//! | `GET /error` | fails: 500, an exception on the span, an ERROR log |
//! | `GET /fault`, `POST /fault/slow-query` | the fault to look for, from this host only |
//!
//! Environment: `HOST`, `PORT`, `CORS_ORIGINS`, `OTEL_EXPORTER_OTLP_ENDPOINT` and the SDK's other standard variables.

mod charge;
mod errors;
mod faults;
mod http;
mod json_log;
mod ledger;
mod process;
mod telemetry;

use std::{env, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    http::{HeaderName, HeaderValue, Method, header::CONTENT_TYPE},
    middleware,
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tower_http::cors::CorsLayer;
use tracing::info;

use crate::{charge::Charges, faults::Faults, ledger::Ledger};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What every handler may reach.
#[derive(Clone)]
struct App {
    faults: Arc<Faults>,
    ledger: Arc<Ledger>,
    charges: Arc<Charges>,
}

fn main() -> Result<(), Failure> {
    // Before the runtime: the exporters' HTTP client blocks, and may not be made on an async thread.
    let telemetry = telemetry::start()?;
    let served = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(serve());
    telemetry.stop(); // the last spans and logs go out
    served
}

async fn serve() -> Result<(), Failure> {
    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".into());
    let port = env::var("PORT").unwrap_or_else(|_| "8003".into());
    let listener = tokio::net::TcpListener::bind(format!("{host}:{port}")).await?;
    info!(name: "start", "payments listens on {}", listener.local_addr()?);
    axum::serve(listener, router()?.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(stop_asked())
        .await?;
    info!(name: "stop", "payments stops");
    Ok(())
}

fn router() -> Result<Router, Failure> {
    let faults = Arc::new(Faults::default());
    let ledger = Arc::new(Ledger::new(faults.clone()));
    let app = App { faults, ledger, charges: Arc::new(Charges::new()) };
    Ok(Router::new()
        .route("/", get(health))
        .route("/charge", post(charge::charge))
        .route("/data", get(charge::balance))
        .route("/error", get(charge::error))
        .route("/fault", get(faults::list))
        .route("/fault/{name}", post(faults::switch))
        .with_state(app)
        .layer(middleware::from_fn_with_state(Arc::new(http::Server::new()), http::observe))
        .layer(cors()?))
}

async fn health() -> Json<Value> {
    Json(json!({"service": "payments", "status": "ok"}))
}

/// The front end's page may call this service, and may pass its trace on.
fn cors() -> Result<CorsLayer, Failure> {
    let origins = env::var("CORS_ORIGINS").unwrap_or_else(|_| "http://localhost:3001,http://127.0.0.1:3001".into());
    let origins = origins.split(',').map(HeaderValue::from_str).collect::<Result<Vec<_>, _>>()?;
    let trace = ["traceparent", "tracestate", "baggage"].map(HeaderName::from_static);
    Ok(CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([CONTENT_TYPE].into_iter().chain(trace).collect::<Vec<_>>())
        .max_age(Duration::from_secs(600)))
}

async fn stop_asked() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await; // no handlers: the signals' own defaults end the process
    };
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
}
