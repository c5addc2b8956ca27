//! The facts that a history is made of: moments and spans, calls with their outcomes, messages with what happened to them.

use crate::event::{Call, Reply};

/// A point of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Milliseconds.
    pub(crate) at: u64,
    /// The number of the event.
    pub(crate) n: usize,
}

pub(crate) const NEVER: Moment = Moment {
    at: u64::MAX,
    n: usize::MAX,
};

/// Something took effect between these two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Moment,
    pub(crate) to: Moment,
}

impl Span {
    /// Surely before `other`.
    pub(crate) const fn before(&self, other: &Span) -> bool {
        self.to.n < other.from.n
    }
}

/// A call with its outcome.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op<'a> {
    pub(crate) span: Span,
    pub(crate) call: &'a Call,
    pub(crate) outcome: Outcome<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome<'a> {
    Done(&'a Reply),
    Refused,
    Unknown,
}

/// A message in one queue. A dead letter or a message that a task moved is another one there, with a parent.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) queue: usize,
    pub(crate) id: String,
    pub(crate) body: String,
    pub(crate) group: Option<String>,
    pub(crate) seq: Option<u64>,
    /// When it was sent, and whether that was acknowledged; absent for a moved one.
    pub(crate) sent: Option<(Span, bool)>,
    pub(crate) delay: u64,
    pub(crate) parent: Option<usize>,
    /// It came by a move task: a new message with a new count.
    pub(crate) by_task: bool,
    /// It may be of an earlier send under the same deduplication id, until it is delivered.
    pub(crate) uncertain: bool,
    /// It was: its place among the sends is not known well enough to compare sequence numbers.
    pub(crate) settled: bool,
    pub(crate) child: Option<usize>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) touches: Vec<Touch>,
}

#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) span: Span,
    pub(crate) visibility: u64,
    pub(crate) handle: String,
    pub(crate) count: u32,
    pub(crate) attempt: Option<String>,
    /// Repeats of the receive by its attempt id: they begin the lease anew.
    pub(crate) renewals: Vec<(Span, u64)>,
}

/// A delete or a change by the handle of a delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touch {
    pub(crate) span: Span,
    pub(crate) delivery: usize,
    /// Milliseconds of the new lease; absent for a delete.
    pub(crate) change: Option<u64>,
    /// It was acknowledged.
    pub(crate) done: bool,
}

/// A text that may lie in a queue under an id that nobody knows yet.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) span: Span,
    pub(crate) acked: bool,
    pub(crate) delay: u64,
    pub(crate) group: Option<String>,
    pub(crate) dedup: Option<String>,
    /// The call, to find the other queues of a publish.
    pub(crate) op: usize,
    pub(crate) claimed: bool,
}
