//! Faults that can be switched on to be found again in the telemetry. Only this host may: a demo's switch is no API.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use axum::{
    Json,
    extract::{ConnectInfo, Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;
use tracing::warn;

use crate::App;

#[derive(Default)]
pub struct Faults {
    /// The ledger has lost an index: queries in one currency take 1.5 to 2.5 s.
    pub slow_query: AtomicBool,
}

impl Faults {
    fn named(&self, name: &str) -> Option<&AtomicBool> {
        (name == "slow-query").then_some(&self.slow_query)
    }
    fn state(&self) -> Json<BTreeMap<&'static str, bool>> {
        Json(BTreeMap::from([("slow-query", self.slow_query.load(Relaxed))]))
    }
}

#[derive(Deserialize)]
pub struct Switch {
    on: bool,
}

pub async fn list(State(app): State<App>, ConnectInfo(peer): ConnectInfo<SocketAddr>) -> Response {
    match allowed(peer) {
        Ok(()) => app.faults.state().into_response(),
        Err(refusal) => refusal,
    }
}

pub async fn switch(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(name): Path<String>,
    Json(to): Json<Switch>,
) -> Response {
    if let Err(refusal) = allowed(peer) {
        return refusal;
    }
    let Some(fault) = app.faults.named(&name) else {
        return (StatusCode::NOT_FOUND, Json(json!({"error": format!("payments has no fault {name:?}")})))
            .into_response();
    };
    fault.store(to.on, Relaxed);
    warn!(name: "fault", fault = name, on = to.on, "fault {name} is {}", if to.on { "on" } else { "off" });
    app.faults.state().into_response()
}

fn allowed(peer: SocketAddr) -> Result<(), Response> {
    if peer.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err((StatusCode::FORBIDDEN, Json(json!({"error": "faults are switched from this host only"}))).into_response())
}
