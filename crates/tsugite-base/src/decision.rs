//! The shape in which a durable machine answers: records to append, a reply, and what the reply waits for.

/// Where a record lies in the log: its position in the endless byte stream, and its length.
///
/// A machine keeps the place of a record instead of the bytes that it may need again (message bodies);
/// the store reads them back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place {
    /// Byte position (log sequence number) of the record's first byte.
    pub lsn: u64,
    /// Length of the record in bytes.
    pub len: u32,
}

impl Place {
    /// The position after the record's last byte: once everything below it is synced, the record is durable.
    pub const fn end(self) -> u64 {
        self.lsn + self.len as u64
    }
}

/// What must be durable before a reply may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The records of this decision, or, if it has none, everything that it may have seen.
    Own,
    /// Everything below this log position; the decision's own records are written but not waited for.
    UpTo(u64),
}

/// What a durable machine decided about one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<Record, Reply> {
    /// Appended in one frame, all or nothing, and applied in order.
    pub records: Vec<Record>,
    /// Sent to the client once `wait` is satisfied.
    pub reply: Reply,
    /// What `reply` waits for.
    pub wait: Wait,
}

impl<Record, Reply> Decision<Record, Reply> {
    /// A decision that changes nothing.
    pub const fn unchanged(reply: Reply) -> Self {
        Decision {
            records: Vec::new(),
            reply,
            wait: Wait::Own,
        }
    }

    /// A decision whose reply waits for its own records.
    pub const fn record(records: Vec<Record>, reply: Reply) -> Self {
        Decision {
            records,
            reply,
            wait: Wait::Own,
        }
    }
}
