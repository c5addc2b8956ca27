//! The settings of a circuit breaker, for all services or for one.

use std::time::Duration;

use tsugite_traffic::settings::MAX_PERMITS;
use tsugite_traffic::{CircuitSettings, EjectionSettings, HalfOpenSettings, OpenSettings};

use super::declared::{count, positive, whole};
use super::error::Place;
use super::raw;
use super::reader::Reader;
use super::text;

/// A service's circuit breaker. Rates are fractions from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Circuit {
    /// Over which calls are counted.
    pub window: Duration,
    /// Fewer calls than this in the window never open the circuit.
    pub min_calls: u32,
    /// Share of failed calls that opens it.
    pub failure_rate: f64,
    /// A call that takes longer is slow; half of the route's timeout, but at most 5 s, if absent.
    pub slow_call_duration: Option<Duration>,
    /// Share of slow calls that opens it.
    pub slow_call_rate: f64,
    /// How long it stays open the first time; doubles each time after.
    pub open_base: Duration,
    /// How long it stays open at most.
    pub open_max: Duration,
    /// Probe calls of one half-open period.
    pub permits: u32,
    /// Probe calls at the same time.
    pub concurrent: u32,
    /// A half-open period that did not decide by then opens again.
    pub half_open_max: Duration,
    /// The circuits of its endpoints.
    pub ejection: EjectionSettings,
}

impl Default for Circuit {
    fn default() -> Circuit {
        let settings = CircuitSettings::default();
        Circuit {
            window: settings.window,
            min_calls: settings.min_calls,
            failure_rate: settings.failure_rate,
            slow_call_duration: None,
            slow_call_rate: settings.slow_call_rate,
            open_base: settings.open.base,
            open_max: settings.open.max,
            permits: settings.half_open.permits.into(),
            concurrent: settings.half_open.concurrent.into(),
            half_open_max: settings.half_open.max_duration,
            ejection: EjectionSettings::default(),
        }
    }
}

impl Circuit {
    /// The settings of a circuit whose calls are given up after `timeout`.
    pub fn settings(&self, timeout: Option<Duration>) -> CircuitSettings {
        let narrow = |count: u32| u16::try_from(count).unwrap_or(MAX_PERMITS).min(MAX_PERMITS);
        let default = CircuitSettings::for_timeout(timeout);
        CircuitSettings {
            window: self.window,
            min_calls: self.min_calls,
            failure_rate: self.failure_rate,
            slow_call_duration: self.slow_call_duration.unwrap_or(default.slow_call_duration),
            slow_call_rate: self.slow_call_rate,
            open: OpenSettings {
                base: self.open_base,
                max: self.open_max,
                ..default.open
            },
            half_open: HalfOpenSettings {
                permits: narrow(self.permits),
                concurrent: narrow(self.concurrent),
                max_duration: self.half_open_max,
            },
            ..default
        }
    }
}

pub(super) fn circuit(r: &mut Reader, raw: raw::Circuit, base: Circuit) -> Circuit {
    let positive = |text: String| positive(&text);
    let permits = |value| count(value, MAX_PERMITS.into());
    let count = |value| count(value, 1_000_000);
    let built = Circuit {
        window: r.maybe(raw.window, positive).unwrap_or(base.window),
        min_calls: r.maybe(raw.min_calls, count).unwrap_or(base.min_calls),
        failure_rate: r.maybe(raw.failure_rate, rate).unwrap_or(base.failure_rate),
        slow_call_duration: r
            .maybe(raw.slow_call_duration, positive)
            .or(base.slow_call_duration),
        slow_call_rate: r.maybe(raw.slow_call_rate, rate).unwrap_or(base.slow_call_rate),
        open_base: r.maybe(raw.open.base.clone(), positive).unwrap_or(base.open_base),
        open_max: r.maybe(raw.open.max, positive).unwrap_or(base.open_max),
        permits: r.maybe(raw.half_open.permits, permits).unwrap_or(base.permits),
        concurrent: r
            .maybe(raw.half_open.concurrent, permits)
            .unwrap_or(base.concurrent),
        half_open_max: r
            .maybe(raw.half_open.max_duration, positive)
            .unwrap_or(base.half_open_max),
        ejection: ejection(r, raw.ejection, base.ejection),
    };
    if let Some(value) = raw.open.base.filter(|_| built.open_base > built.open_max) {
        let place = r.place(&value);
        let (least, most) = (
            text::show_duration(built.open_base),
            text::show_duration(built.open_max),
        );
        r.refuse(place, format!("open.base {least} is longer than open.max {most}"));
    } else if let Err(invalid) = built.settings(None).check() {
        // The remaining rules bound each value alone; the setting is named, its place is not known here.
        r.refuse(Place::Nowhere, format!("circuit: {invalid}"));
    }
    built
}

fn ejection(r: &mut Reader, raw: raw::Ejection, base: EjectionSettings) -> EjectionSettings {
    let positive = |text: String| positive(&text);
    let row = |value| whole(value, 10_000);
    let built = EjectionSettings {
        enabled: raw.enabled.map_or(base.enabled, |enabled| enabled.value),
        consecutive_failures: r
            .maybe(raw.consecutive_failures, row)
            .unwrap_or(base.consecutive_failures),
        consecutive_connect_failures: r
            .maybe(raw.consecutive_connect_failures, row)
            .unwrap_or(base.consecutive_connect_failures),
        base: r.maybe(raw.base.clone(), positive).unwrap_or(base.base),
        max: r.maybe(raw.max, positive).unwrap_or(base.max),
        min_available_percent: r
            .maybe(raw.min_available_percent, percent)
            .unwrap_or(base.min_available_percent),
        slow_start: r
            .maybe(raw.slow_start, |text| text::duration(&text))
            .unwrap_or(base.slow_start),
    };
    if let Some(value) = raw.base.filter(|_| built.base > built.max) {
        let place = r.place(&value);
        let (least, most) = (text::show_duration(built.base), text::show_duration(built.max));
        r.refuse(
            place,
            format!("ejection.base {least} is longer than ejection.max {most}"),
        );
    }
    built
}

fn percent(value: u64) -> Result<u8, String> {
    match u8::try_from(value) {
        Ok(percent) if percent <= 100 => Ok(percent),
        _ => Err(format!("{value} is out of range; a percentage is 0 to 100")),
    }
}

fn rate(value: f64) -> Result<f64, String> {
    if value > 0.0 && value <= 1.0 {
        Ok(value)
    } else {
        Err(format!(
            "{value} is not a share; write a number above 0 and up to 1, like 0.5"
        ))
    }
}
