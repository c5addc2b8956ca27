//! Where the next bytes of the log go: the room left in the segment, the next segment, and a full disk.
//!
//! A segment is never written beyond the space that was allocated for it, so a commit cannot run out of disk.
//! The keeper prepares the next segment when the current one is half full; if it cannot, growing commands are
//! refused once only twice the reserve is left: half of that serves relocations that empty a segment, and what is
//! left then serves what makes the store smaller.

use std::sync::Arc;

use crate::batch::Batch;
use crate::disk::File;
use crate::options::Sizes;
use crate::state::Growth;

/// A segment file that is allocated and waits for its place in the log.
pub(crate) struct Prepared {
    pub(crate) name: String,
    pub(crate) capacity: u64,
    pub(crate) recycled: bool,
    pub(crate) file: Arc<dyn File>,
}

/// Whether there is a next segment.
pub(crate) enum Next {
    /// Not asked for yet.
    Absent,
    /// The keeper is at it.
    Preparing,
    /// Ready for use.
    Ready(Prepared),
    /// The disk has no room for it, for the reason given; the keeper tries again.
    Full(String),
}

/// The room in the log.
pub(crate) struct Room {
    /// End of the current segment's space.
    limit: u64,
    /// From here on, a next segment is wanted.
    low: u64,
    /// Capacity of the current segment.
    pub(crate) capacity: u64,
    pub(crate) next: Next,
}

/// Whether a command may be decided now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Yes.
    Go,
    /// After the committer or the keeper has made room.
    Wait,
}

impl Room {
    /// The room in a segment that begins at `base`.
    pub(crate) const fn new(base: u64, capacity: u64) -> Room {
        let limit = base + capacity;
        Room {
            limit,
            low: limit - capacity / 2,
            capacity,
            next: Next::Absent,
        }
    }

    /// Whether the keeper should start on the next segment, the log having reached `lsn`.
    pub(crate) const fn wants_next(&self, lsn: u64) -> bool {
        matches!(self.next, Next::Absent) && lsn > self.low
    }

    /// Whether a decision of any allowed size would find room.
    pub(crate) fn admission(&self, batch: &Batch, sizes: &Sizes) -> Admission {
        if batch.frame_len() > sizes.max_batch {
            return Admission::Wait;
        }
        match self.next {
            Next::Ready(_) | Next::Full(_) => Admission::Go,
            Next::Absent | Next::Preparing => {
                // The decision may bring the frame's header and padding too: 128 bytes are ample for both.
                if batch.start() + batch.frame_len() + sizes.reserve + 128 <= self.limit {
                    Admission::Go
                } else {
                    Admission::Wait
                }
            }
        }
    }

    /// Whether the batch, now of `len` bytes, still has its place; if not, why.
    pub(crate) fn fits(&self, start: u64, len: u64, growth: Growth, sizes: &Sizes) -> Result<(), String> {
        let here = start + len <= self.limit;
        let untouched = match growth {
            Growth::Frees => 0,
            Growth::Moves => sizes.reserve,
            Growth::Grows => 2 * sizes.reserve,
        };
        match &self.next {
            Next::Ready(next) if here || len <= next.capacity => Ok(()),
            Next::Full(why) if untouched > 0 && start + len + untouched > self.limit => Err(why.clone()),
            Next::Full(why) if !here => Err(format!("{why}; the reserve is used up too")),
            _ if here => Ok(()),
            _ => Err(format!(
                "one command would write more than {} bytes",
                sizes.reserve
            )),
        }
    }

    /// Bytes that [`Growth::Moves`] may still take at `end` while there is no next segment; `None` while there is no
    /// want of room.
    pub(crate) fn left_to_move(&self, end: u64, sizes: &Sizes) -> Option<u64> {
        let full = matches!(self.next, Next::Full(_));
        full.then(|| self.limit.saturating_sub(end + sizes.reserve + 128))
    }

    /// Gives a frame its place: in the current segment, or in the next one, which becomes the current one.
    pub(crate) fn place(&mut self, start: u64, len: u64) -> Option<Prepared> {
        if start + len <= self.limit {
            return None;
        }
        match std::mem::replace(&mut self.next, Next::Absent) {
            Next::Ready(next) => {
                *self = Room::new(start, next.capacity);
                Some(next)
            }
            // Cannot happen, since `fits` was asked; if it did, the file would simply grow.
            other => {
                self.next = other;
                None
            }
        }
    }
}
