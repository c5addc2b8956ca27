//! Parts of the log that were read from disk lately: who receives an old message will want its neighbours next.

use std::collections::VecDeque;

use bytes::Bytes;
use tsugite_base::Place;

/// How much is read at once.
const BLOCK: u64 = 32 * 1024;
/// Blocks kept.
const BLOCKS: usize = 64;

/// The blocks, the one that was used last first. What a position of the log holds never changes, so they are never
/// wrong.
#[derive(Default)]
pub(crate) struct Cold(VecDeque<(u64, Bytes)>);

impl Cold {
    pub(crate) fn get(&mut self, place: Place) -> Option<Bytes> {
        let at = self.0.iter().position(|(start, bytes)| {
            (*start..=start + bytes.len() as u64).contains(&place.lsn)
                && place.end() <= start + bytes.len() as u64
        })?;
        if at > 0 {
            self.0.swap(0, at);
        }
        let (start, bytes) = self.0.front()?;
        let from = (place.lsn - start) as usize;
        Some(bytes.slice(from..from + place.len as usize))
    }

    pub(crate) fn put(&mut self, start: u64, bytes: Bytes) {
        self.0.retain(|(other, _)| *other != start);
        self.0.truncate(BLOCKS - 1);
        self.0.push_front((start, bytes));
    }

    /// The block around a place, within what was written of its segment.
    pub(crate) fn block(place: Place, written: std::ops::Range<u64>) -> Place {
        let start = (place.lsn / BLOCK * BLOCK).max(written.start);
        let end = (place.lsn / BLOCK * BLOCK + BLOCK)
            .min(written.end)
            .max(place.end());
        Place {
            lsn: start,
            len: (end - start) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_their_places_and_the_oldest_goes() {
        let place = |lsn, len| Place { lsn, len };
        assert_eq!(Cold::block(place(40_000, 10), 0..1 << 30), place(32_768, 32_768));
        assert_eq!(
            Cold::block(place(40_000, 10), 35_000..50_000),
            place(35_000, 15_000)
        );
        assert_eq!(
            Cold::block(place(65_530, 100_000), 0..1 << 30),
            place(32_768, 132_762)
        );
        let mut cold = Cold::default();
        for n in 0..=BLOCKS as u64 {
            cold.put(n * 10, Bytes::from(vec![n as u8; 10]));
            assert_eq!(
                cold.get(place(10, 10)).is_some(),
                n > 0,
                "used each time, so never the oldest"
            );
        }
        assert_eq!(cold.get(place(0, 1)), None);
        assert_eq!(cold.get(place(25, 5)), Some(Bytes::from_static(&[2; 5])));
        assert_eq!(cold.get(place(25, 6)), None, "across two blocks");
    }
}
