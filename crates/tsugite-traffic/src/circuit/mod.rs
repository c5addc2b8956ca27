//! The circuit breaker: counts calls, opens when too many fail or are slow, tries again, closes.
//!
//! A [`Breaker`] has two halves.
//!
//! * The **data path** ([`Breaker::admit`], [`Ticket`]) runs on every core. It reads one shared word (state and
//!   generation) and writes only to the core's own shard, so cores do not disturb each other. No locks, no
//!   allocation. Half-open permits are taken by compare-and-swap from one shared word: half-open is rare.
//! * The **control path** ([`Breaker::tick`]) runs every 50 ms or sooner on one thread. It drains the shards into the
//!   pure machine [`Circuit`], lets its timers fire, and publishes the new state.
//!
//! # The merge rule and its error bound
//!
//! *The merged circuit behaves exactly like one sequential circuit that receives all outcomes of a tick at the
//! moment of that tick, and judges them once.* With one core and a tick after every outcome it is the sequential
//! circuit. It follows that, with ticks at most `T` apart (50 ms when the gateway drives it):
//!
//! * no outcome is lost or counted twice, on any interleaving: a shard's counter carries its generation in the
//!   same atomic word, so that an outcome of an old generation can never reach the current one;
//! * an outcome enters the window at most `T` late, so at a bucket's edge it may lie one bucket (a tenth of the
//!   window) later than it would sequentially, and leave as much later: at any tick, the counts of the merged window
//!   lie between those of the sequential window at that moment and those of the sequential window `T` earlier, for
//!   outcomes that lie at an edge, and are equal for all others;
//! * a threshold that is reached and still holds at the next tick opens the circuit at that tick; an excursion
//!   that begins and ends between two ticks is not seen; calls admitted before the tick run on: at most `T` of traffic;
//! * a hung call counts as slow when the slice of time in which it started (at most 67 ms, or an eighth of the
//!   threshold if that is shorter) has wholly passed the threshold: at most slice + `T` late, never early;
//! * failures in a row are exact over all cores, in the order in which their ends were noted: one shared word counts
//!   them, which successes only read. The row that reaches its limit takes an endpoint out of the choice at once
//!   ([`Breaker::standing`]); the circuit opens with the next tick.
//!
//! # What a path through the states looks like
//!
//! ```text
//!            rate reached                     wait over                 first trial calls fail
//!   closed ---------------> open (n=1, 5 s) ------------> half_open ------------------------> open (n=2, 10 s) …
//!      ^                                                      | enough trial calls succeed
//!      +------------------------------------------------------+
//! ```

mod breaker;
mod gate;
mod machine;
mod shard;
mod ticket;
mod window;

#[cfg(test)]
mod concurrency_tests;
#[cfg(test)]
mod reference_tests;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use tsugite_base::Mono;

pub use breaker::{Admission, Breaker, Standing};
pub use machine::Circuit;
pub use machine::Wish;
pub use shard::Rejected;
pub use ticket::Ticket;
pub use window::{Batch, Counts, Rates};

/// What a circuit does with a call right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Traffic flows and is counted.
    Closed,
    /// Calls are refused until the wait is over.
    Open,
    /// A few trial calls flow, all others are refused.
    HalfOpen,
    /// Refused by an operator.
    ForcedOpen,
    /// Traffic flows uncounted, by an operator's wish.
    Disabled,
}

impl State {
    /// All states, for one-hot metrics.
    pub const ALL: [State; 5] = [
        State::Closed,
        State::Open,
        State::HalfOpen,
        State::ForcedOpen,
        State::Disabled,
    ];

    /// As the API and metrics spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Closed => "closed",
            State::Open => "open",
            State::HalfOpen => "half_open",
            State::ForcedOpen => "forced_open",
            State::Disabled => "disabled",
        }
    }
}

/// An operator's wish that stands above the circuit's own judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Override {
    /// Refuse every call.
    ForcedOpen,
    /// Let every call through, count nothing.
    Disabled,
    /// Count and change state as usual, but never refuse a call.
    Observe,
}

impl Override {
    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Override::ForcedOpen => "forced_open",
            Override::Disabled => "disabled",
            Override::Observe => "observe",
        }
    }

    /// Reads the API's spelling.
    pub fn parse(text: &str) -> Option<Override> {
        [Override::ForcedOpen, Override::Disabled, Override::Observe]
            .into_iter()
            .find(|o| o.as_str() == text)
    }
}

/// Why a circuit changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// Too many failures in a row.
    Consecutive = 1,
    /// Too many connect failures in a row.
    Connect = 2,
    /// The failure rate reached its threshold.
    FailureRate = 3,
    /// The slow-call rate reached its threshold.
    SlowRate = 4,
    /// The share of slow or failed calls reached its threshold.
    Combined = 5,
    /// A trial call was answered with "too much".
    Overload = 6,
    /// The trial calls gave no verdict in time.
    TrialTimeout = 7,
    /// The wait was over.
    Timer = 8,
    /// The trial calls succeeded.
    TrialSucceeded = 9,
    /// An operator set or lifted an override, or reset the circuit.
    Manual = 10,
    /// An override reached its end.
    OverrideExpired = 11,
    /// An endpoint was several times slower than its peers.
    Latency = 12,
    /// An endpoint's success rate lay far below that of its peers.
    SuccessRate = 13,
}

impl Reason {
    const ALL: [Reason; 13] = [
        Reason::Consecutive,
        Reason::Connect,
        Reason::FailureRate,
        Reason::SlowRate,
        Reason::Combined,
        Reason::Overload,
        Reason::TrialTimeout,
        Reason::Timer,
        Reason::TrialSucceeded,
        Reason::Manual,
        Reason::OverrideExpired,
        Reason::Latency,
        Reason::SuccessRate,
    ];

    /// As the API and metrics spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Consecutive => "consecutive",
            Reason::Connect => "connect",
            Reason::FailureRate => "failure_rate",
            Reason::SlowRate => "slow_rate",
            Reason::Combined => "combined",
            Reason::Overload => "overload",
            Reason::TrialTimeout => "trial_timeout",
            Reason::Timer => "timer",
            Reason::TrialSucceeded => "trial_succeeded",
            Reason::Manual => "manual",
            Reason::OverrideExpired => "override_expired",
            Reason::Latency => "latency",
            Reason::SuccessRate => "success_rate",
        }
    }

    fn from_code(code: u8) -> Reason {
        Reason::ALL
            .into_iter()
            .find(|r| *r as u8 == code)
            .unwrap_or(Reason::Manual)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refused call: what the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// `Open`, `HalfOpen` or `ForcedOpen`.
    pub state: State,
    /// Why the circuit opened.
    pub reason: Reason,
    /// When to try again; `None` if no one knows (forced open without an end).
    pub retry_after: Option<Duration>,
}

/// One change of state.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// When.
    pub at: Mono,
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why.
    pub reason: Reason,
    /// The generation that begins with this change.
    pub generation: u32,
    /// Calls and rates that led to it: of the window if the circuit was closed, of the trial calls if half-open.
    pub rates: Rates,
}
