//! Recent frames kept in memory, so that a fresh message is delivered without reading the disk.
//!
//! Frames have every size there is. Each kept as it was allocated, they would leave an allocator with many half-empty
//! pages: a quarter more memory than they have bytes. So they are copied, one behind the other, into blocks of one size.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use tsugite_base::Place;

use crate::batch::Frame;

/// Bytes of a block; the window is given back block by block.
const BLOCK: usize = 4 * 1024 * 1024;
/// A longer frame is a block of its own.
const COPIED: usize = BLOCK / 4;
/// What one frame costs beside its bytes: queue entry, reference count, allocator.
const OVERHEAD: u64 = 128;

/// A window on the end of the log. The newest frame is always in it, so an unsynced frame is never missing.
pub(crate) struct Hot {
    frames: VecDeque<(u64, Bytes)>,
    /// Of each block, how many frames are in it, and what it costs.
    blocks: VecDeque<(usize, u64)>,
    /// The room left in the block that is being filled.
    open: BytesMut,
    cost: u64,
    budget: u64,
    block: usize,
}

impl Hot {
    pub(crate) fn new(budget: u64) -> Hot {
        Hot {
            frames: VecDeque::new(),
            blocks: VecDeque::new(),
            open: BytesMut::new(),
            cost: 0,
            budget,
            // A small window has small blocks.
            block: BLOCK.min(budget as usize / 8),
        }
    }

    pub(crate) fn push(&mut self, frame: &Frame) {
        let len = frame.bytes.len();
        let bytes = if len > self.block.min(COPIED) {
            self.leave_rest();
            self.begin(frame.memory as u64);
            frame.bytes.clone()
        } else {
            if self.open.capacity() < len {
                self.leave_rest();
                self.open = BytesMut::with_capacity(self.block);
                self.begin(self.block as u64);
            }
            self.open.extend_from_slice(&frame.bytes);
            self.open.split().freeze()
        };
        self.frames.push_back((frame.start, bytes));
        if let Some((frames, cost)) = self.blocks.back_mut() {
            *frames += 1;
            *cost += OVERHEAD;
        }
        self.cost += OVERHEAD;
        while self.cost > self.budget && self.blocks.len() > 1 {
            if let Some((frames, cost)) = self.blocks.pop_front() {
                self.frames.drain(..frames);
                self.cost -= cost;
            }
        }
    }

    /// Ends the open block. The rest of it is memory that nobody has touched, and costs nothing.
    fn leave_rest(&mut self) {
        let rest = std::mem::take(&mut self.open).capacity() as u64;
        if let Some((_, cost)) = self.blocks.back_mut() {
            *cost -= rest;
            self.cost -= rest;
        }
    }

    fn begin(&mut self, cost: u64) {
        self.blocks.push_back((0, cost));
        self.cost += cost;
    }

    pub(crate) fn get(&self, place: Place) -> Option<Bytes> {
        let after = self.frames.partition_point(|(start, _)| *start <= place.lsn);
        let (start, bytes) = self.frames.get(after.checked_sub(1)?)?;
        let from = usize::try_from(place.lsn - start).ok()?;
        let to = from.checked_add(place.len as usize)?;
        (to <= bytes.len()).then(|| bytes.slice(from..to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(start: u64, len: usize) -> Frame {
        Frame {
            start,
            bytes: vec![start as u8; len].into(),
            memory: len,
        }
    }

    const fn place(lsn: u64) -> Place {
        Place { lsn, len: 4 }
    }

    #[test]
    fn the_oldest_frames_leave_first_and_the_newest_stays() {
        let mut hot = Hot::new(300);
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

    #[test]
    fn the_window_keeps_to_its_budget_and_close_to_it() {
        const BUDGET: u64 = 48 * 1024 * 1024;
        let mut hot = Hot::new(BUDGET);
        let mut start = 0;
        for n in 0..3_000 {
            let len = [64, 10_000, 200_000, 3_000_000][(n * 7 + n / 5) % 4] / 64 * 64;
            hot.push(&frame(start, len));
            assert!(hot.cost <= BUDGET);
            let frames: usize = hot.blocks.iter().map(|(frames, _)| frames).sum();
            assert_eq!(hot.frames.len(), frames);
            assert_eq!(hot.get(place(start)).unwrap(), [start as u8; 4].as_slice());
            start += len as u64;
        }
        let held: usize = hot.frames.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(held as u64 > BUDGET / 10 * 7, "{held}");
        let (oldest, bytes) = &hot.frames[0];
        assert_eq!(hot.get(place(*oldest)).unwrap(), bytes[..4]);
    }
}
