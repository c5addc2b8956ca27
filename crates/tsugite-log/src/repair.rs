//! Making a damaged store open again with everything that can be read: `tsugite repair DIR`.
//!
//! The result is a fresh checkpoint behind everything that was ever written, and an empty segment for the log to go on
//! in: the next start reads no damaged part. Nothing that was there is overwritten or deleted: a file that is replaced or
//! no longer needed is kept as `NAME.damaged-N`, which is no name of a store. The checkpoint is what counts, so a
//! repair that is interrupted before it is written can be begun anew, and one after it is done but for names.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use tsugite_base::{Sheaf, World};

use crate::checkpoint::{self, Needs};
use crate::disk::{Disk, File, read_exact};
use crate::format::{SEGMENT_HEADER, SegmentHeader, align_up, checkpoint_name, segment_name};
use crate::listing::Listing;
use crate::open_error::OpenError;
use crate::options::Sizes;
use crate::repaired::Repaired;
use crate::salvage::{Piece, Salvage, salvage};
use crate::state::State;
use crate::verify::look;

/// Being made under this name.
const UNFINISHED: &str = "segment.tmp";
/// How much is copied at once.
const COPY: u64 = 1 << 20;

/// Repairs a store that no process has open; a sound one is left as it is. An error says why it could not be done:
/// then no file that was there has been changed.
pub fn repair(disk: &dyn Disk, world: &World, sizes: &Sizes) -> Result<Repaired, OpenError> {
    let location = disk.location();
    let failed = |what: &str| {
        let what = format!("{what} in {location}");
        move |error: io::Error| OpenError::Io { what, error }
    };
    let _guard = disk.lock().map_err(|why| OpenError::Locked {
        location: location.clone(),
        why,
    })?;
    let report = look(disk)?;
    let mut repaired = Repaired {
        location: location.clone(),
        damage: report.damage,
        messages: report.messages,
        ..Repaired::default()
    };
    if repaired.was_sound() {
        return Ok(repaired);
    }
    let listing = Listing::read(disk).map_err(failed("reading the directory"))?;
    let salvage = salvage(disk, &listing, world.now())?;
    let plan = Plan::of(disk, &listing, &salvage).map_err(failed("reading the directory"))?;
    repaired.set_aside =
        write(disk, &listing, &salvage, &plan, sizes).map_err(failed("writing the repaired store"))?;
    repaired.messages = salvage.state.broker.stored().count() as u64;
    repaired.lost = salvage.lost;
    repaired.gaps = salvage.gaps;
    let after = look(disk)?;
    match after.damage.into_iter().next() {
        None => Ok(repaired),
        Some(damage) => Err(OpenError::Hopeless {
            location,
            why: format!("it was repaired as far as possible and still is not sound: {damage}"),
        }),
    }
}

/// What the repaired store consists of.
struct Plan {
    /// Where the log goes on.
    end: u64,
    /// Segments with stored messages in them: base and end.
    kept: BTreeMap<u64, u64>,
    /// The number of this repair, in the names of files that are set aside.
    number: u32,
}

impl Plan {
    fn of(disk: &dyn Disk, listing: &Listing, salvage: &Salvage) -> io::Result<Plan> {
        // Behind everything, and under no name that is taken.
        let mut end = listing.checkpoints.iter().map(|lsn| lsn + 1).max().unwrap_or(1);
        for &base in &listing.segments {
            let len = disk.open(&segment_name(base))?.len()?;
            end = end.max(base + len.saturating_sub(SEGMENT_HEADER as u64).max(1));
        }
        for gap in &salvage.gaps {
            end = end.max(gap.to.unwrap_or(gap.from));
        }
        let mut kept = BTreeMap::new();
        for place in salvage.state.broker.stored().flat_map(|stowed| stowed.places()) {
            let after = salvage.pieces.partition_point(|p| p.segment.base <= place.lsn);
            if let Some(piece) = after.checked_sub(1).and_then(|at| salvage.pieces.get(at)) {
                let end = kept.entry(piece.segment.base).or_insert(piece.end);
                *end = place.end().max(*end);
            }
        }
        let names = disk.list()?;
        let taken = |n: u32| names.iter().any(|name| name.ends_with(&aside("", n)));
        let number = (1..).find(|n| !taken(*n)).unwrap_or(u32::MAX);
        Ok(Plan {
            end: align_up(end),
            kept,
            number,
        })
    }
}

fn aside(name: &str, number: u32) -> String {
    format!("{name}.damaged-{number}")
}

/// Writes the store anew; returns the names of the files that were set aside.
fn write(
    disk: &dyn Disk,
    listing: &Listing,
    salvage: &Salvage,
    plan: &Plan,
    sizes: &Sizes,
) -> io::Result<Vec<String>> {
    let mut set_aside = Vec::new();
    let headless = |piece: &&Piece| piece.headless && plan.kept.contains_key(&piece.segment.base);
    for piece in salvage.pieces.iter().filter(headless) {
        set_aside.push(mend(disk, piece, salvage.log_id, plan.number)?);
    }
    let header = SegmentHeader {
        recycled: false,
        log_id: salvage.log_id,
        base: plan.end,
    };
    let file = disk.create(UNFINISHED)?;
    file.write_at(0, &header.encode())?;
    file.allocate(SEGMENT_HEADER as u64 + sizes.first_segment)?;
    file.sync()?;
    disk.rename(UNFINISHED, &segment_name(plan.end))?;
    disk.sync_dir()?;
    let needs = Needs {
        lsn: plan.end,
        holder: plan.end,
        kept: plan.kept.iter().map(|(base, end)| (*base, *end)).collect(),
    };
    let mut snapshot = Sheaf::default();
    salvage.state.snapshot(&mut snapshot);
    // From here on the store is the repaired one.
    checkpoint::write(disk, salvage.log_id, &needs, snapshot, || ())?;
    let unneeded = listing
        .segments
        .iter()
        .filter(|base| !plan.kept.contains_key(base));
    let checkpoints = listing.checkpoints.iter().map(|lsn| checkpoint_name(*lsn));
    let names = checkpoints.chain(unneeded.map(|base| segment_name(*base)));
    for name in names {
        disk.rename(&name, &aside(&name, plan.number))?;
        set_aside.push(aside(&name, plan.number));
    }
    disk.sync_dir()?;
    Ok(set_aside)
}

/// Gives a segment its header again; the file as it was is kept beside.
fn mend(disk: &dyn Disk, piece: &Piece, log_id: u64, number: u32) -> io::Result<String> {
    let name = segment_name(piece.segment.base);
    let kept = aside(&name, number);
    let original = &piece.segment.file;
    copy(original, &disk.create(&kept)?, 0)?;
    disk.sync_dir()?;
    let mended = disk.create(UNFINISHED)?;
    let header = SegmentHeader {
        recycled: true,
        log_id,
        base: piece.segment.base,
    };
    mended.write_at(0, &header.encode())?;
    copy(original, &mended, SEGMENT_HEADER as u64)?;
    disk.rename(UNFINISHED, &name)?;
    disk.sync_dir()?;
    Ok(kept)
}

fn copy(from: &Arc<dyn File>, to: &Arc<dyn File>, mut at: u64) -> io::Result<()> {
    let len = from.len()?;
    while at < len {
        let mut bytes = vec![0; COPY.min(len - at) as usize];
        read_exact(&**from, at, &mut bytes)?;
        to.write_at(at, &bytes)?;
        at += bytes.len() as u64;
    }
    to.sync()
}
