//! Bytes that are collected quickly and written later: a snapshot on its way to the disk.
//!
//! What changes is copied into blocks, what does not is shared. So a large state is collected within the moment in
//! which nothing may change, without a buffer of the size of the whole, and is given back block by block as it is
//! written.

use std::sync::Arc;

/// A block that holds this many bytes of its own gets no more, ...
const COPIED: usize = 256 * 1024;
/// ... nor one that shares this many.
const SHARED: usize = 1024 * 1024;

/// The bytes, in order.
#[derive(Clone, Debug, Default)]
pub struct Sheaf(Vec<Block>);

#[derive(Clone, Debug, Default)]
struct Block {
    copied: Vec<u8>,
    /// Slices, each behind so many of the copied bytes.
    shared: Vec<(usize, Arc<[u8]>)>,
    /// Bytes of all of them.
    shared_len: usize,
}

impl Sheaf {
    /// Where to append bytes that are copied; to be asked for anew every few of them.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.open().copied
    }

    /// Appends bytes that nobody will change.
    pub fn share(&mut self, bytes: &Arc<[u8]>) {
        let block = self.open();
        block.shared.push((block.copied.len(), bytes.clone()));
        block.shared_len += bytes.len();
    }

    /// Appends what another holds.
    pub fn append(&mut self, other: Sheaf) {
        self.0.extend(other.0);
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        let len = |block: &Block| block.copied.len() + block.shared_len;
        self.0.iter().map(len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        for piece in self.pieces() {
            out.extend_from_slice(piece);
        }
        out
    }

    /// The bytes, piece by piece.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().flat_map(|block| {
            let mut from = 0;
            let shared = block.shared.iter().flat_map(move |(at, bytes)| {
                let before = &block.copied[std::mem::replace(&mut from, *at)..*at];
                [before, &**bytes]
            });
            let last = block.shared.last().map_or(0, |(at, _)| *at);
            shared.chain([&block.copied[last..]])
        })
    }

    /// The same bytes as many small sheaves, so that each can be dropped once it is written.
    pub fn into_blocks(self) -> impl Iterator<Item = Sheaf> {
        self.0.into_iter().map(|block| Sheaf(vec![block]))
    }

    fn open(&mut self) -> &mut Block {
        let last = self.0.last();
        if last.is_none_or(|block| block.copied.len() >= COPIED || block.shared_len >= SHARED) {
            // The first block is most often the only one, and those that share copy little.
            let much = last.is_some_and(|block| block.copied.len() >= COPIED);
            self.0.push(Block {
                copied: Vec::with_capacity(if much { COPIED + COPIED / 8 } else { 0 }),
                ..Block::default()
            });
        }
        let last = self.0.len() - 1;
        &mut self.0[last]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SplitMix64;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut rng = SplitMix64::new(1);
        let (mut sheaf, mut model) = (Sheaf::default(), Vec::new());
        assert!(sheaf.is_empty() && sheaf.to_vec().is_empty());
        for n in 0..20_000_u32 {
            let bytes = vec![n as u8; rng.below(100) as usize];
            match rng.below(20) {
                0..=9 => sheaf.bytes().extend_from_slice(&bytes),
                10..=18 => sheaf.share(&bytes.clone().into()),
                _ => {
                    let mut other = Sheaf::default();
                    other.bytes().extend_from_slice(&bytes);
                    sheaf.append(other);
                }
            }
            model.extend_from_slice(&bytes);
        }
        assert_eq!(sheaf.len(), model.len());
        assert!(sheaf.to_vec() == model);
        let blocks: Vec<u8> = sheaf.into_blocks().flat_map(|block| block.to_vec()).collect();
        assert!(blocks == model);
    }

    #[test]
    fn blocks_stay_small_and_shared_bytes_are_not_copied() {
        let mut sheaf = Sheaf::default();
        let large: Arc<[u8]> = vec![7; 10 * COPIED].into();
        (0..3).for_each(|_| sheaf.share(&large));
        assert_eq!(Arc::strong_count(&large), 4);
        for _ in 0..COPIED {
            sheaf.bytes().extend_from_slice(b"0123");
        }
        assert!(sheaf.0.iter().all(|block| block.copied.capacity() <= 2 * COPIED));
        assert_eq!(sheaf.len(), 30 * COPIED + 4 * COPIED);
    }
}
