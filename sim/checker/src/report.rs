//! What the checker found: classes of mistakes, each counted on its own.

use std::collections::BTreeMap;
use std::fmt;

/// A class of mistakes. The numbers are those of the invariants in the behaviour sheet (section 24).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// An acknowledged or seen message is gone, and nobody deleted, purged or outlived it (1).
    Lost,
    /// Delivered within another delivery's lease (3).
    DuplicatedInLease,
    /// Delivered after its delete or a purge was acknowledged (2).
    DeliveredAfterDelete,
    /// A group's messages, or a queue's sequence numbers, not in the order of their sends (4).
    OutOfOrder,
    /// Delivered while an earlier message of the group was in flight (4).
    TwoHolders,
    /// Two messages for one deduplication id within its window, or a send dropped outside of it (5).
    Deduplication,
    /// Delivered before its delay was over (10).
    Early,
    /// Not delivered although long due, or delivered long after it expired (10).
    Late,
    /// Counters of a quiescent queue that no possible state explains (9).
    Counters,
    /// Results of a batch that are not one to one with its entries (8).
    Batch,
    /// A receive count that is not the number of deliveries (6).
    ReceiveCount,
    /// A move or a fan-out half done: in both queues or in neither (7).
    TornMove,
    /// A repeated receive attempt that did not give the same messages and handles.
    Attempt,
    /// A message that nobody sent, or with another text (12).
    Phantom,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its class.
    pub class: Class,
    /// Number of the event at which it showed, from 0.
    pub event: usize,
    /// What is wrong, naming messages and calls.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at event {}: {}", self.class, self.event, self.what)
    }
}

/// The result of [`crate::check`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Everything that is wrong, in the order of the events.
    pub violations: Vec<Violation>,
    /// Messages that were delivered, with repeats.
    pub deliveries: usize,
    /// Calls whose outcome is unknown. They are never mistakes.
    pub unknown: usize,
    /// Calls that succeeded.
    pub done: usize,
}

impl Report {
    /// How many mistakes of each class there are.
    pub fn classes(&self) -> BTreeMap<Class, usize> {
        let mut classes = BTreeMap::new();
        for violation in &self.violations {
            *classes.entry(violation.class).or_insert(0) += 1;
        }
        classes
    }

    pub(crate) fn add(&mut self, class: Class, event: usize, what: String) {
        self.violations.push(Violation { class, event, what });
    }
}
