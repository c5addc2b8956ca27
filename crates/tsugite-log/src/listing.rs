//! What a directory holds, by name.

use std::io;

use crate::disk::Disk;
use crate::format::Name;

/// The files of a store.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Base positions of segments, ascending.
    pub(crate) segments: Vec<u64>,
    /// Positions of checkpoints, newest first.
    pub(crate) checkpoints: Vec<u64>,
    /// Numbers of spare segments.
    pub(crate) spares: Vec<u64>,
    /// Files that were being written.
    pub(crate) unfinished: Vec<String>,
}

impl Listing {
    pub(crate) fn read(disk: &dyn Disk) -> io::Result<Listing> {
        let mut listing = Listing::default();
        for name in disk.list()? {
            match Name::parse(&name) {
                Name::Segment(base) => listing.segments.push(base),
                Name::Checkpoint(lsn) => listing.checkpoints.push(lsn),
                Name::Spare(number) => listing.spares.push(number),
                Name::Unfinished => listing.unfinished.push(name),
                Name::Other => {}
            }
        }
        listing.segments.sort_unstable();
        listing.checkpoints.sort_unstable_by(|a, b| b.cmp(a));
        listing.spares.sort_unstable();
        listing.unfinished.sort_unstable();
        Ok(listing)
    }
}
