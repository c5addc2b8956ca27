//! Recent frames kept in memory, so that a fresh message is delivered without reading the disk.

use std::collections::VecDeque;

use bytes::Bytes;
use tsugite_base::Place;

use crate::batch::Frame;

/// What one frame costs beside its bytes: queue entry, reference count, allocator.
const OVERHEAD: u64 = 128;

/// A window on the end of the log. The newest frame is always in it, so an unsynced frame is never missing.
pub(crate) struct Hot {
    frames: VecDeque<(u64, Bytes, u64)>,
    bytes: u64,
    budget: u64,
}

impl Hot {
    pub(crate) const fn new(budget: u64) -> Hot {
        Hot {
            frames: VecDeque::new(),
            bytes: 0,
            budget,
        }
    }

    pub(crate) fn push(&mut self, frame: &Frame) {
        let cost = frame.memory as u64 + OVERHEAD;
        self.frames.push_back((frame.start, frame.bytes.clone(), cost));
        self.bytes += cost;
        while self.bytes > self.budget && self.frames.len() > 1 {
            if let Some((_, _, cost)) = self.frames.pop_front() {
                self.bytes -= cost;
            }
        }
    }

    pub(crate) fn get(&self, place: Place) -> Option<Bytes> {
        let after = self.frames.partition_point(|(start, ..)| *start <= place.lsn);
        let (start, bytes, _) = self.frames.get(after.checked_sub(1)?)?;
        let from = usize::try_from(place.lsn - start).ok()?;
        let to = from.checked_add(place.len as usize)?;
        (to <= bytes.len()).then(|| bytes.slice(from..to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_frames_leave_first_and_the_newest_stays() {
        let mut hot = Hot::new(300);
        let frame = |start, len| Frame {
            start,
            bytes: vec![start as u8; len].into(),
            memory: len,
        };
        let place = |lsn| Place { lsn, len: 4 };
        hot.push(&frame(64, 64));
        hot.push(&frame(128, 64));
        assert_eq!(hot.get(place(64)), None);
        assert_eq!(hot.get(place(124)), None);
        assert_eq!(hot.get(place(188)).unwrap(), [128; 4].as_slice());
        assert_eq!(hot.get(place(189)), None, "beyond the frame");
        hot.push(&frame(192, 1000));
        assert_eq!(hot.get(place(128)), None);
        assert!(hot.get(place(192)).is_some());
    }
}
