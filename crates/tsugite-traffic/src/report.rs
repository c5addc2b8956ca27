//! What people and metrics see of a circuit.

use std::time::Duration;

use tsugite_base::Mono;

use crate::circuit::{Circuit, Counts, Override, Rates, Reason, State, Transition};

pub use crate::circuit::Rejected;

/// A circuit at one moment: one element of `GET /v1/circuits`.
///
/// Moments are given as time passed or left, because the machines know no calendar.
#[derive(Clone, Debug, PartialEq)]
pub struct CircuitReport {
    /// The circuit's id: the service as clients write it, `orders.shop`, or an endpoint of it, `orders.shop/i-1`.
    pub id: String,
    /// The state that calls meet.
    pub state: State,
    /// The operator's override, if there is one.
    pub override_: Option<OverrideReport>,
    /// How long the state has lasted.
    pub since: Duration,
    /// When it ends by itself, if that is known.
    pub until: Option<Duration>,
    /// Why the circuit last opened; `None` if it never did.
    pub reason: Option<Reason>,
    /// Calls and rates: of the window if closed, of the trial calls if half-open.
    pub rates: Rates,
    /// Outcomes since the circuit exists.
    pub totals: Counts,
    /// Calls refused since the circuit exists.
    pub rejected: Rejected,
    /// Half-open permits left to take; 0 in other states.
    pub permits_left: u16,
    /// Half-open trial calls upstream now.
    pub trials_upstream: u16,
    /// Openings in a row, which the wait grows with.
    pub openings_in_a_row: u32,
    /// Median latency of healthy calls, if there were any.
    pub healthy_median: Option<Duration>,
    /// Changes of state since the circuit exists.
    pub transition_count: u64,
    /// The last 32 changes of state, newest first, each with its age.
    pub transitions: Vec<(Duration, Transition)>,
    /// Of a service: the circuits of its endpoints.
    pub endpoints: Vec<CircuitReport>,
}

/// An override in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverrideReport {
    /// What is wished.
    pub what: Override,
    /// When it ends by itself; `None` for never.
    pub until: Option<Duration>,
    /// The operator's remark.
    pub note: String,
}

impl CircuitReport {
    pub(crate) fn new(
        id: &str,
        circuit: &mut Circuit,
        rejected: Rejected,
        (permits_left, trials_upstream): (u16, u16),
        healthy_median: Option<Duration>,
        now: Mono,
    ) -> CircuitReport {
        let rates = circuit.rates(now);
        let (transitions, transition_count) = circuit.transitions();
        let state = circuit.state();
        let opened = circuit.streak() > 0 || state == State::ForcedOpen;
        CircuitReport {
            id: id.to_owned(),
            state,
            override_: circuit.wish().map(|wish| OverrideReport {
                what: wish.what,
                until: wish.until.map(|until| until.since(now)),
                note: wish.note.clone(),
            }),
            since: now.since(circuit.since()),
            until: circuit.until().map(|until| until.since(now)),
            reason: opened.then(|| circuit.reason()),
            rates,
            totals: *circuit.totals(),
            rejected,
            permits_left: if state == State::HalfOpen { permits_left } else { 0 },
            trials_upstream,
            openings_in_a_row: circuit.streak(),
            healthy_median,
            transition_count,
            transitions: transitions.rev().map(|t| (now.since(t.at), t.clone())).collect(),
            endpoints: Vec::new(),
        }
    }
}
