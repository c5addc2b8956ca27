//! Judges histories of calls on queues.
//!
//! [`check`] takes what clients asked and were told ([`Event`]s, from a simulation or from a recorder beside a real
//! server) and counts every broken promise under its own [`Class`]. It knows the promises and nothing of
//! the server. Calls without a reply are unknown: they may have taken effect at any time until the next crash, or
//! never, and whatever can be explained so is no mistake. Deliveries of one message, deletes, purges, leases, moves
//! and groups are compared by the spans in which they took effect, so concurrent calls may have had any order.

mod event;
mod facts;
mod fifo;
mod messages;
mod quiet;
mod receives;
mod report;
mod state;
mod timeline;

pub use event::{Call, Entry, Event, Queue, Received, Reply, SentResult, What};
pub use report::{Class, Report, Violation};

use facts::Outcome;
use state::View;
use timeline::Timeline;

/// How exact the observer's clock is, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The observer's clock and the server's may differ by so much.
    pub slack: u64,
    /// What is due must have come, and what expired must be gone, after this time.
    pub grace: u64,
    /// The window of deduplication and of receive attempts.
    pub window: u64,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            slack: 1,
            grace: 60_000,
            window: 300_000,
        }
    }
}

/// Judges a history.
pub fn check(events: &[Event], rules: Rules) -> Report {
    let mut report = Report::default();
    let timeline = Timeline::new(events, &mut report);
    report.done = timeline
        .ops
        .iter()
        .filter(|op| matches!(op.outcome, Outcome::Done(_)))
        .count();
    report.unknown = timeline
        .ops
        .iter()
        .filter(|op| matches!(op.outcome, Outcome::Unknown))
        .count();
    let view = View {
        timeline: &timeline,
        rules,
    };
    messages::judge(&view, &mut report);
    receives::judge(&view, &mut report);
    fifo::judge(&view, &mut report);
    quiet::judge(&view, events, &mut report);
    report.violations.sort_by_key(|v| (v.event, v.class));
    report
}

/// A history as JSON lines, which [`parse`] reads.
///
/// # Errors
/// An event that is no JSON; there is none.
pub fn render(events: &[Event]) -> Result<String, String> {
    let lines: Result<Vec<String>, _> = events.iter().map(serde_json::to_string).collect();
    Ok(lines.map_err(|e| e.to_string())?.join("\n"))
}

/// Reads a history from JSON lines.
///
/// # Errors
/// The number of the first line that is no event, and why.
pub fn parse(text: &str) -> Result<Vec<Event>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
    let parsed =
        lines.map(|(n, line)| serde_json::from_str(line).map_err(|e| format!("line {}: {e}", n + 1)));
    parsed.collect()
}
