//! `/v1/clock`: what time it is for queues and leases, and with `--virtual-clock` the way to let it pass.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tsugite_base::Timestamp;

use super::answer::{Answer, Links, Problem, document};
use super::{Admin, Store};

/// The last moment that a date of four digits can name: 9999-12-31T23:59:59Z.
const LAST: Timestamp = Timestamp(253_402_300_799_000);

pub(super) fn get<S: Store>(admin: &Admin<S>) -> Answer {
    document(StatusCode::OK, body(admin), links(admin))
}

/// How far to go.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    seconds: Option<f64>,
    /// A moment in UTC, like 2026-01-31T12:00:00Z.
    #[serde(default)]
    until: Option<String>,
}

/// Moves the clock ahead; whatever falls due on the way has happened when the answer leaves.
pub(super) fn advance<S: Store>(admin: &Admin<S>, body_text: &[u8]) -> Result<Answer, Problem> {
    let clock = admin.movable.as_ref().ok_or_else(Problem::clock_not_virtual)?;
    let wish: Wish = serde_json::from_slice(body_text).map_err(|error| {
        Problem::invalid(format!(
            "{error}; the body looks like {{\"seconds\": 43200}} or {{\"until\": \"2026-01-31T12:00:00Z\"}}"
        ))
    })?;
    let now = admin.world.now().wall;
    let by = match (wish.seconds, wish.until) {
        (Some(seconds), None) => Duration::try_from_secs_f64(seconds).map_err(|_| {
            Problem::invalid(format!(
                "seconds: {seconds} cannot be; the clock only moves ahead"
            ))
        })?,
        (None, Some(until)) => time_until(&until, now)?,
        _ => {
            let detail = "say either `seconds` or `until`, and not both";
            return Err(Problem::invalid(detail));
        }
    };
    if by > LAST.since(now) {
        return Err(Problem::invalid(
            "that is beyond the year 9999, where this calendar ends",
        ));
    }
    clock.advance(by);
    admin.store.clock_moved();
    tracing::info!(
        seconds = by.as_secs_f64(),
        now = admin.world.now().wall.iso_millis(),
        "the virtual clock was moved ahead through the admin API"
    );
    Ok(get(admin))
}

fn time_until(until: &str, now: Timestamp) -> Result<Duration, Problem> {
    let at = Timestamp::from_iso(until).ok_or_else(|| {
        let detail = format!("until: `{until}` is not a moment in UTC, like 2026-01-31T12:00:00Z");
        Problem::invalid(detail)
    })?;
    if at < now {
        let now = now.iso_millis();
        return Err(Problem::invalid(format!(
            "until: {until} is over, it is {now}; the clock only moves ahead"
        )));
    }
    Ok(at.since(now))
}

fn body<S: Store>(admin: &Admin<S>) -> Value {
    json!({
        "now": admin.world.now().wall.iso_millis(),
        "virtual": admin.movable.is_some(),
        "ahead_seconds": admin.movable.as_ref().map_or(0.0, |clock| clock.ahead().as_secs_f64()),
    })
}

fn links<S: Store>(admin: &Admin<S>) -> Links {
    let mut links: Links = vec![("self", "/v1/clock".into()), ("index", "/v1".into())];
    if admin.movable.is_some() {
        links.push(("advance", "/v1/clock/advance".into()));
    }
    links
}
