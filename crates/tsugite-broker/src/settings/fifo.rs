//! The attributes that only FIFO queues have.

use tsugite_base::Invalid;

use super::boolean;

pub(super) const NAMES: [&str; 4] = [
    "FifoQueue",
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "FifoThroughputLimit",
];

/// The settings of a FIFO queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fifo {
    /// `ContentBasedDeduplication`.
    pub content_based: bool,
    /// `DeduplicationScope` as it is listed.
    pub scope: DeduplicationScope,
    /// The scope that the queue was created with: AWS lists a later change, and goes on deduplicating as before.
    pub enforced: DeduplicationScope,
    /// `FifoThroughputLimit`.
    pub throughput: ThroughputLimit,
}

/// Among which messages a deduplication id counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeduplicationScope {
    /// `queue`.
    #[default]
    Queue,
    /// `messageGroup`.
    MessageGroup,
}

/// What AWS's quotas count for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThroughputLimit {
    /// `perQueue`.
    #[default]
    PerQueue,
    /// `perMessageGroupId`.
    PerMessageGroupId,
}

impl Fifo {
    /// Takes over one attribute of [`NAMES`].
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), Invalid> {
        match name {
            "ContentBasedDeduplication" => self.content_based = boolean(name, value)?,
            "DeduplicationScope" => {
                self.scope = match value {
                    "queue" => DeduplicationScope::Queue,
                    "messageGroup" => DeduplicationScope::MessageGroup,
                    _ => return Err(Invalid::new(name, value, "must be queue or messageGroup")),
                }
            }
            "FifoThroughputLimit" => {
                self.throughput = match value {
                    "perQueue" => ThroughputLimit::PerQueue,
                    "perMessageGroupId" => ThroughputLimit::PerMessageGroupId,
                    _ => return Err(Invalid::new(name, value, "must be perQueue or perMessageGroupId")),
                }
            }
            _ if boolean(name, value)? => {}
            _ => return Err(Invalid::new(name, value, "modifying queue type is not supported")),
        }
        Ok(())
    }

    /// What holds between the attributes.
    pub(super) fn check(self) -> Result<(), Invalid> {
        let by_group = self.throughput == ThroughputLimit::PerMessageGroupId;
        if by_group && self.scope == DeduplicationScope::Queue {
            let rule = "perMessageGroupId needs the DeduplicationScope messageGroup";
            return Err(Invalid::new("FifoThroughputLimit", "perMessageGroupId", rule));
        }
        Ok(())
    }

    pub(super) fn list(self) -> [(&'static str, String); 4] {
        let scope = match self.scope {
            DeduplicationScope::Queue => "queue",
            DeduplicationScope::MessageGroup => "messageGroup",
        };
        let throughput = match self.throughput {
            ThroughputLimit::PerQueue => "perQueue",
            ThroughputLimit::PerMessageGroupId => "perMessageGroupId",
        };
        [
            ("FifoQueue", "true".into()),
            ("ContentBasedDeduplication", self.content_based.to_string()),
            ("DeduplicationScope", scope.into()),
            ("FifoThroughputLimit", throughput.into()),
        ]
    }
}
