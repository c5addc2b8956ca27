//! What a repair found lost and what it did, for people and programs.

use std::fmt;

use tsugite_base::Uuid;

use crate::open_error::Corruption;

/// What `tsugite repair` did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Where the store is.
    pub location: String,
    /// The damage; none: the store was sound and nothing was changed.
    pub damage: Vec<Corruption>,
    /// Stored messages that were removed because their bytes are lost.
    pub lost: Vec<LostMessage>,
    /// Stretches of the log whose records are lost.
    pub gaps: Vec<Gap>,
    /// Messages that are stored now.
    pub messages: u64,
    /// The names under which the files as they were are kept.
    pub set_aside: Vec<String>,
}

/// A stored message whose bytes are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostMessage {
    /// ARN of its queue.
    pub queue: String,
    /// Its number there.
    pub number: u64,
    /// Its id, as it stands in what is left of it.
    pub id: Option<Uuid>,
    /// What is wrong with its bytes.
    pub why: String,
}

/// A stretch of the log whose records are lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// The file in which it begins.
    pub file: String,
    /// Log position of its beginning.
    pub from: u64,
    /// Log position after it; `None` if nothing is left behind it.
    pub to: Option<u64>,
    /// Numbers of messages that no readable record stores, and none behind the gap deletes.
    pub missing: Vec<Missing>,
    /// Queues whose creation is lost: their number, and how many messages behind the gap went to them.
    pub strangers: Vec<(u32, u64)>,
}

/// A run of numbers of lost messages. A queue leaves out a number now and then, so it is at most as many messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// ARN of the queue.
    pub queue: String,
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
}

impl Missing {
    /// How many messages it is at most.
    pub const fn most(&self) -> u64 {
        self.last - self.first + 1
    }
}

impl Gap {
    /// Bytes of log that are lost.
    pub fn bytes(&self) -> Option<u64> {
        self.to.map(|to| to - self.from)
    }
}

impl Repaired {
    /// Whether there was nothing to repair.
    pub fn was_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.was_sound() {
            return write!(
                f,
                "nothing to repair: the store in {} is sound; nothing was changed",
                self.location
            );
        }
        for damage in &self.damage {
            writeln!(f, "DAMAGED {damage}")?;
        }
        for lost in &self.lost {
            write!(f, "LOST message number {} of {}", lost.number, lost.queue)?;
            if let Some(id) = lost.id {
                write!(f, ", message id {id}")?;
            }
            writeln!(f, ": {}", lost.why)?;
        }
        self.gaps.iter().try_for_each(|gap| gap.fmt(f))?;
        if !self.gaps.is_empty() {
            writeln!(
                f,
                "What else stood in a gap cannot be known: of every queue the last messages before it may be lost without a \
                 number that tells. Deletes and receives in it are undone, so messages may come again; changes of queues, \
                 topics and services in it are undone too."
            )?;
        }
        for name in &self.set_aside {
            writeln!(f, "set aside: {name}")?;
        }
        write!(
            f,
            "repaired: {} messages are stored in {}",
            self.messages, self.location
        )
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.to, self.bytes()) {
            (Some(to), Some(bytes)) => writeln!(
                f,
                "GAP of {bytes} bytes from log position {:#x} to {to:#x}, beginning in {}",
                self.from, self.file
            )?,
            _ => writeln!(
                f,
                "GAP from log position {:#x} to the end of the log, beginning in {}",
                self.from, self.file
            )?,
        }
        for missing in &self.missing {
            let Missing { queue, first, last } = missing;
            let most = missing.most();
            writeln!(
                f,
                "LOST up to {most} messages of {queue}: numbers {first} to {last}"
            )?;
        }
        for (queue, messages) in &self.strangers {
            writeln!(
                f,
                "LOST queue number {queue}, created in the gap, and {messages} messages that were sent to it later"
            )?;
        }
        Ok(())
    }
}
