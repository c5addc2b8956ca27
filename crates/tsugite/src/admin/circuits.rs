//! `/v1/circuits`: the circuits of services and of their instances, and what an operator may do to them.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tsugite_base::Now;
use tsugite_base::Timestamp;
use tsugite_traffic::{CircuitReport, Override, State};

use super::answer::{Answer, Links, Problem, document, with_links};
use super::resource::encode;
use super::{Admin, Query, Store};
use crate::config::text;

pub(super) fn list<S: Store>(admin: &Admin<S>, query: &Query) -> Result<Answer, Problem> {
    let now = admin.world.now();
    let wanted = query.get("state");
    let states = State::ALL.map(State::as_str);
    if let Some(unknown) = wanted.filter(|wanted| !states.contains(wanted)) {
        return Err(Problem::invalid(format!(
            "`state`: {unknown} is no state of a circuit; the states are {}",
            states.join(", ")
        )));
    }
    let reports = admin.gateway.circuits();
    let circuits: Vec<Value> = reports
        .iter()
        .filter(|report| {
            // A service whose instance is in the wanted state is shown too.
            let mut states = [*report].into_iter().chain(&report.endpoints);
            wanted.is_none_or(|wanted| states.any(|one| one.state.as_str() == wanted))
        })
        .map(|report| {
            let mut body = circuit_body(report, now);
            body["endpoints"] = report.endpoints.iter().map(|e| endpoint_body(e, now)).collect();
            with_links(body, links(&report.id))
        })
        .collect();
    let links = vec![
        ("self", "/v1/circuits".into()),
        ("find", "/v1/circuits/{circuit}".into()),
        ("open", "/v1/circuits?state=open".into()),
        ("index", "/v1".into()),
    ];
    Ok(document(StatusCode::OK, json!({ "circuits": circuits }), links))
}

pub(super) fn get<S: Store>(admin: &Admin<S>, id: &str) -> Result<Answer, Problem> {
    show(admin, id, admin.gateway.circuit(id))
}

/// The circuit as it is now, or that there is none.
fn show<S: Store>(admin: &Admin<S>, id: &str, report: Option<CircuitReport>) -> Result<Answer, Problem> {
    if admin.addresses.gateway.is_none() {
        return Err(Problem::role_off("gateway"));
    }
    let report = report.ok_or_else(|| {
        Problem::not_found(format!(
            "no circuit `{id}`; circuits are named like orders.internal, one for each service, and \
             orders.internal/i-1, one for each of its instances"
        ))
    })?;
    let now = admin.world.now();
    let mut body = circuit_body(&report, now);
    body["transitions"] = report
        .transitions
        .iter()
        .map(|(age, change)| {
            json!({
                "at": ago(now, *age),
                "from": change.from.as_str(),
                "to": change.to.as_str(),
                "reason": change.reason.as_str(),
                "failure_rate": share(change.rates.failure_rate),
                "slow_rate": share(change.rates.slow_rate),
                "calls": change.rates.calls,
            })
        })
        .collect();
    let mut links = links(id);
    let service = id.split_once('/').map_or(id, |(service, _)| service);
    if service == id {
        body["endpoints"] = report.endpoints.iter().map(|e| endpoint_body(e, now)).collect();
    } else {
        links.push(("up", format!("/v1/circuits/{}", encode(service))));
    }
    if let Some((service, namespace)) = service.split_once('.') {
        links.push(("service", super::services::service_path(namespace, service)));
    }
    links.push(("circuits", "/v1/circuits".into()));
    Ok(document(StatusCode::OK, body, links))
}

/// What an operator wishes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    state: String,
    /// A moment in UTC, like 2026-01-31T12:00:00Z; never if absent.
    #[serde(default)]
    expires_at: Option<String>,
    #[serde(default)]
    note: Option<String>,
}

pub(super) fn put_override<S: Store>(admin: &Admin<S>, id: &str, body: &[u8]) -> Result<Answer, Problem> {
    let wish: Wish = serde_json::from_slice(body).map_err(|error| {
        Problem::invalid(format!(
            "{error}; the body looks like {{\"state\": \"forced_open\"}}"
        ))
    })?;
    let what = Override::parse(&wish.state).ok_or_else(|| {
        let detail = format!(
            "state: `{}` is unknown; it can be forced_open, disabled or observe",
            wish.state
        );
        Problem::invalid(detail)
    })?;
    let until = match wish.expires_at.as_deref() {
        None => None,
        Some(moment) => Some(time_until(moment, admin.world.now())?),
    };
    let note = wish.note.unwrap_or_default();
    let report = admin.gateway.override_circuit(id, what, until, &note);
    if report.is_some() {
        let state = what.as_str();
        tracing::warn!(
            circuit = id,
            state,
            note,
            "a circuit was overridden through the admin API"
        );
    }
    show(admin, id, report)
}

pub(super) fn delete_override<S: Store>(admin: &Admin<S>, id: &str) -> Result<Answer, Problem> {
    let report = admin.gateway.lift_override(id);
    if report.is_some() {
        tracing::warn!(
            circuit = id,
            "the override of a circuit was lifted through the admin API"
        );
    }
    show(admin, id, report)
}

/// Lifts any override and closes the circuit with an empty window.
pub(super) fn reset<S: Store>(admin: &Admin<S>, id: &str) -> Result<Answer, Problem> {
    admin.gateway.lift_override(id);
    let report = admin.gateway.reset_circuit(id);
    if report.is_some() {
        tracing::warn!(circuit = id, "a circuit was reset through the admin API");
    }
    show(admin, id, report)
}

/// An instance's circuit in the list of its service's.
fn endpoint_body(report: &CircuitReport, now: Now) -> Value {
    let body = json!({
        "circuit": report.id,
        "instance": report.id.split_once('/').map(|(_, instance)| instance),
        "state": report.state.as_str(),
        "since": ago(now, report.since),
        "until": report.until.map(|left| (now.wall + left).iso_millis()),
        "reason": report.reason.map(|reason| reason.as_str()),
        "window": { "calls": report.rates.calls, "failed": report.rates.failed, "slow": report.rates.slow },
        "openings_in_a_row": report.openings_in_a_row,
        "override": report.override_.as_ref().map(|wish| wish.what.as_str()),
    });
    with_links(body, links(&report.id))
}

fn circuit_body(report: &CircuitReport, now: Now) -> Value {
    let rates = &report.rates;
    let totals = &report.totals;
    json!({
        "circuit": report.id,
        "state": report.state.as_str(),
        "since": ago(now, report.since),
        "until": report.until.map(|left| (now.wall + left).iso_millis()),
        "reason": report.reason.map(|reason| reason.as_str()),
        "override": report.override_.as_ref().map(|wish| json!({
            "state": wish.what.as_str(),
            "expires_at": wish.until.map(|left| (now.wall + left).iso_millis()),
            "note": wish.note,
        })),
        "window": {
            "calls": rates.calls,
            "failed": rates.failed,
            "slow": rates.slow,
            "failure_rate": share(rates.failure_rate),
            "slow_rate": share(rates.slow_rate),
        },
        "totals": {
            "success": totals.success,
            "failure": totals.failure,
            "slow_success": totals.slow_success,
            "slow_failure": totals.slow_failure,
            "overload": totals.overload,
            "ignored": totals.ignored,
        },
        "rejected": {
            "open": report.rejected.open,
            "half_open": report.rejected.half_open,
            "forced_open": report.rejected.forced_open,
        },
        "permits": { "left": report.permits_left, "upstream": report.trials_upstream },
        "openings_in_a_row": report.openings_in_a_row,
        "healthy_median": report.healthy_median.map(text::show_duration),
    })
}

/// Three decimals are more than any decision needs.
fn share(rate: f64) -> f64 {
    (rate * 1000.0).round() / 1000.0
}

fn ago(now: Now, age: Duration) -> String {
    (now.wall - age).iso_millis()
}

pub(super) fn circuit_path(service: &str, namespace: &str) -> String {
    format!("/v1/circuits/{}.{}", encode(service), encode(namespace))
}

fn links(id: &str) -> Links {
    let path = format!("/v1/circuits/{}", encode(id));
    vec![
        ("override", format!("{path}/override")),
        ("reset", format!("{path}/reset")),
        ("self", path),
    ]
}

/// The time from now to a moment like `2026-01-31T12:00:00Z`.
fn time_until(moment: &str, now: Now) -> Result<Duration, Problem> {
    let at = Timestamp::from_iso(moment).ok_or_else(|| {
        let detail = format!("expires_at: `{moment}` is not a moment in UTC, like 2026-01-31T12:00:00Z");
        Problem::invalid(detail)
    })?;
    if at <= now.wall {
        return Err(Problem::invalid(format!("expires_at: {moment} is over")));
    }
    Ok(at.since(now.wall))
}
