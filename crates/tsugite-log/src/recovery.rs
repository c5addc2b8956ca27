//! Opening a log: the newest valid checkpoint, the frames after it, and a judgement on how the log ends.
//!
//! Only one frame is ever in flight, and it is not acknowledged before it is synced. So an invalid frame with
//! nothing valid behind it is what an interrupted write leaves: it is cut off, and said so. An invalid frame with
//! a valid one anywhere behind it was synced once and is damaged now: the store does not open.

use std::io;
use std::sync::Arc;

use tsugite_base::World;

use crate::checkpoint::{self, Checkpoint, Needs, Unusable};
use crate::disk::{Disk, read_exact};
use crate::format::{
    ALIGN, BadHeader, SEGMENT_HEADER, SegmentHeader, checkpoint_name, records, segment_name, spare_name,
};
use crate::listing::Listing;
use crate::log::Start;
use crate::open_error::{Corruption, OpenError};
use crate::options::{Options, Sizes};
use crate::room::Room;
use crate::segment::{Found, Segment, Segments, Walk};
use crate::state::State;

/// Being made under this name; becomes the first segment.
const FIRST: &str = "segment.tmp";

/// What opening found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Position of the checkpoint that was used.
    pub checkpoint: Option<u64>,
    /// Frames replayed after it.
    pub frames: u64,
    /// Records replayed after it.
    pub records: u64,
    /// Where the log ends; the next frame goes here.
    pub end: u64,
    /// What was cut off.
    pub torn: Option<Torn>,
}

/// The rest of a write that was interrupted and never acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment file.
    pub file: String,
    /// Byte offset in it.
    pub offset: u64,
    /// Bytes cut off.
    pub len: u64,
}

/// A recovered log, and what the keeper starts from.
pub(crate) struct Recovered<S> {
    pub(crate) start: Start<S>,
    pub(crate) current: Arc<Segment>,
    pub(crate) spares: Vec<String>,
    pub(crate) next_spare: u64,
    pub(crate) report: Recovery,
}

/// Opens what the disk holds. Changes nothing before it is sure that the log is whole.
pub(crate) fn recover<S: State>(
    options: &Options<S::Settings>,
    disk: &dyn Disk,
) -> Result<Recovered<S>, OpenError> {
    let listing = Listing::read(disk).map_err(io("reading the directory", disk))?;
    let (checkpoint, unusable) = newest_checkpoint(disk, &listing)?;
    if listing.segments.is_empty() && checkpoint.is_none() && unusable.is_none() {
        clean_up(disk, &listing, &Needs::default(), false, &options.sizes)?;
        create_first(disk, &options.world, &options.sizes).map_err(io("creating the log", disk))?;
        return recover(options, disk);
    }
    let needs = checkpoint.as_ref().map(|c| c.needs.clone()).unwrap_or_default();
    let from = needs.lsn;
    let first = check_present(disk, &listing, &needs, unusable)?;
    let log_id = checkpoint.as_ref().map(|c| c.log_id);
    let (log_id, segments) = open_segments(disk, &listing, &needs, log_id)?;

    let now = options.world.now();
    let snapshot = checkpoint.as_ref().map(Checkpoint::snapshot);
    let state = S::restore(&options.settings, snapshot, now);
    let mut state = state.map_err(|e| {
        let (file, what) = (
            checkpoint_name(from),
            format!("{e} in a snapshot with a valid checksum"),
        );
        corrupt(
            disk,
            file,
            from,
            0,
            what,
            "a different program may have written it".into(),
        )
    })?;
    let mut report = Recovery {
        checkpoint: checkpoint.map(|c| c.needs.lsn),
        ..Recovery::default()
    };
    report.end = replay(disk, &segments[first..], log_id, from, &mut state, &mut report)?;

    state.recovered(now);

    let current = segments[segments.len() - 1].clone();
    settle_tail(disk, &current, log_id, &mut report)?;
    let used = report.checkpoint.is_some();
    let (spares, next_spare) = clean_up(disk, &listing, &needs, used, &options.sizes)?;
    let map = Segments::default();
    for segment in segments {
        match needs.end_of(segment.base) {
            Some(end) => map.insert_closed(segment, end),
            None => map.insert(segment),
        }
    }
    let start = Start {
        state,
        end: report.end,
        checkpoint_lsn: from,
        segments: map,
        room: Room::new(current.base, current.capacity),
        log_id,
    };
    Ok(Recovered {
        start,
        current,
        spares,
        next_spare,
        report,
    })
}

fn io<'a>(what: &'a str, disk: &'a dyn Disk) -> impl Fn(io::Error) -> OpenError + 'a {
    move |error| OpenError::Io {
        what: format!("{what} in {}", disk.location()),
        error,
    }
}

fn corrupt(disk: &dyn Disk, file: String, lsn: u64, offset: u64, what: String, follows: String) -> OpenError {
    OpenError::Corrupt(Corruption {
        location: disk.location(),
        file,
        lsn,
        offset,
        what,
        follows,
    })
}

/// The newest usable checkpoint; and what is wrong with a newer one, if so.
fn newest_checkpoint(
    disk: &dyn Disk,
    listing: &Listing,
) -> Result<(Option<Checkpoint>, Option<String>), OpenError> {
    let mut unusable = None;
    for &lsn in &listing.checkpoints {
        let file = checkpoint_name(lsn);
        match checkpoint::read(disk, lsn) {
            Ok(found) => return Ok((Some(found), unusable)),
            Err(Unusable::Newer(version)) => return Err(OpenError::Newer { file, version }),
            Err(Unusable::Older(version)) => return Err(OpenError::Older { file, version }),
            Err(Unusable::Io(error)) => {
                let what = format!("reading {file} in {}", disk.location());
                return Err(OpenError::Io { what, error });
            }
            Err(Unusable::Damaged(what)) => {
                tracing::error!("{}/{file} is damaged: {what}", disk.location());
                unusable = unusable.or(Some(format!("{file} is damaged: {what}")));
            }
        }
    }
    Ok((None, unusable))
}

/// Opens all segments that are needed and checks that they belong to one log.
fn open_segments(
    disk: &dyn Disk,
    listing: &Listing,
    needs: &Needs,
    mut log_id: Option<u64>,
) -> Result<(u64, Vec<Arc<Segment>>), OpenError> {
    let mut segments = Vec::with_capacity(listing.segments.len());
    for &base in listing.segments.iter().filter(|base| needs.wants(**base)) {
        let name = segment_name(base);
        let damaged = |what: String| {
            let follows = "a segment gets its name only once its header is durable".into();
            corrupt(disk, name.clone(), base, 0, what, follows)
        };
        let opened = open_segment(disk, base).map_err(io(&format!("opening {name}"), disk))?;
        let (header, segment) = match opened {
            Ok(opened) => opened,
            Err(BadHeader::Newer(version)) => return Err(OpenError::Newer { file: name, version }),
            Err(BadHeader::Older(version)) => return Err(OpenError::Older { file: name, version }),
            Err(BadHeader::Invalid) => return Err(damaged("its header is not valid".into())),
        };
        let id = *log_id.get_or_insert(header.log_id);
        if header.log_id != id {
            return Err(damaged(format!(
                "it belongs to log {:016x}, the others to log {id:016x}",
                header.log_id
            )));
        }
        if needs.reach(base) > segment.limit() {
            return Err(damaged("it is shorter than what was written to it".into()));
        }
        segments.push(Arc::new(segment));
    }
    Ok((log_id.unwrap_or_default(), segments))
}

/// Opens one segment and reads its header.
pub(crate) fn open_segment(
    disk: &dyn Disk,
    base: u64,
) -> io::Result<Result<(SegmentHeader, Segment), BadHeader>> {
    let file = disk.open(&segment_name(base))?;
    let len = file.len()?;
    if len < SEGMENT_HEADER as u64 {
        return Ok(Err(BadHeader::Invalid));
    }
    let mut bytes = [0; SEGMENT_HEADER];
    read_exact(&*file, 0, &mut bytes)?;
    Ok(match SegmentHeader::decode(&bytes) {
        Ok(header) if header.base == base => Ok((
            header,
            Segment {
                base,
                capacity: len - SEGMENT_HEADER as u64,
                recycled: header.recycled,
                file,
            },
        )),
        Ok(_) => Err(BadHeader::Invalid),
        Err(bad) => Err(bad),
    })
}

/// Checks that no needed segment is missing; returns the index of the one in which replay starts, among those that
/// are needed.
fn check_present(
    disk: &dyn Disk,
    listing: &Listing,
    needs: &Needs,
    unusable: Option<String>,
) -> Result<usize, OpenError> {
    let is_there = |base: u64| listing.segments.binary_search(&base).is_ok();
    if let Some((base, end)) = needs.kept.iter().find(|(base, _)| !is_there(*base)) {
        let what = format!("the file is missing; it held positions {base:#x} to {end:#x}");
        let follows = format!("{} refers to messages in it", checkpoint_name(needs.lsn));
        return Err(corrupt(disk, segment_name(*base), *base, 0, what, follows));
    }
    if !is_there(needs.holder) {
        let from = needs.lsn;
        let what = format!("no segment holds position {from:#x}, where replay has to start");
        let follows = unusable.unwrap_or_else(|| "segment files are missing".into());
        return Err(corrupt(disk, segment_name(needs.holder), from, 0, what, follows));
    }
    Ok(needs.kept.len())
}

/// Applies every frame from `from` on; returns where the log ends.
fn replay<S: State>(
    disk: &dyn Disk,
    segments: &[Arc<Segment>],
    log_id: u64,
    from: u64,
    state: &mut S,
    report: &mut Recovery,
) -> Result<u64, OpenError> {
    let mut at = from;
    for (i, segment) in segments.iter().enumerate() {
        let name = segment_name(segment.base);
        let reading = format!("reading {name}");
        let mut walk = Walk::new(segment, log_id, at);
        while let Found::Frame(header) = walk.look().map_err(io(&reading, disk))? {
            let (lsn, payload) = walk.payload(header).map_err(io(&reading, disk))?;
            apply(state, lsn, payload, report).map_err(|(lsn, what)| {
                let follows = "its frame's checksum is valid: a different program may have written it";
                corrupt(disk, name.clone(), lsn, segment.offset(lsn), what, follows.into())
            })?;
            report.frames += 1;
            walk.pass(header);
        }
        at = walk.at();
        if let Some(next) = segments.get(i + 1).filter(|next| next.base != at) {
            let what = "no valid frame begins here".to_owned();
            let follows = match walk.seek().map_err(io(&reading, disk))? {
                Some(frame) => format!("a valid frame follows at byte {}", segment.offset(frame.lsn)),
                None => format!("the log goes on in {}", segment_name(next.base)),
            };
            return Err(corrupt(disk, name, at, segment.offset(at), what, follows));
        }
    }
    Ok(at)
}

fn apply<S: State>(
    state: &mut S,
    lsn: u64,
    payload: &[u8],
    report: &mut Recovery,
) -> Result<(), (u64, String)> {
    let mut at = lsn;
    for record in records(lsn, payload) {
        let record = record.map_err(|e| (at, e.to_string()))?;
        at = record.place.end();
        let decoded = S::decode(record.payload).map_err(|e| (record.place.lsn, e.to_string()))?;
        state.apply(decoded, record.place);
        report.records += 1;
    }
    Ok(())
}

/// Looks at what stands after the last valid frame: refuses the log, cuts the rest of an interrupted write off,
/// or finds nothing. Then makes durable what was read, since a killed process leaves it in the page cache only
/// and it is about to be shown.
fn settle_tail(
    disk: &dyn Disk,
    segment: &Segment,
    log_id: u64,
    report: &mut Recovery,
) -> Result<(), OpenError> {
    let name = segment_name(segment.base);
    let (reading, cutting) = (format!("reading {name}"), format!("cutting the end of {name}"));
    let at = report.end;
    let mut walk = Walk::new(segment, log_id, at);
    let found = walk.look().map_err(io(&reading, disk))?;
    if let Some(frame) = walk.seek().map_err(io(&reading, disk))? {
        let what = "no valid frame begins here".into();
        let follows = format!("a valid frame follows at byte {}", segment.offset(frame.lsn));
        return Err(corrupt(disk, name, at, segment.offset(at), what, follows));
    }
    if let Some(torn) = torn(segment, log_id, at, found).map_err(io(&reading, disk))? {
        tracing::warn!(
            "the log ends in an interrupted write that was never acknowledged: {} bytes cut off at byte {} of {}/{}",
            torn.len,
            torn.offset,
            disk.location(),
            torn.file
        );
        let zeros = vec![0; torn.len as usize];
        segment
            .file
            .write_at(torn.offset, &zeros)
            .map_err(io(&cutting, disk))?;
        report.torn = Some(torn);
    }
    segment.file.sync().map_err(io(&cutting, disk))?;
    disk.sync_dir().map_err(io("syncing the directory", disk))
}

/// The rest of an interrupted write after the last frame of the log.
pub(crate) fn torn(segment: &Segment, log_id: u64, at: u64, found: Found) -> io::Result<Option<Torn>> {
    let end = match found {
        Found::Damaged(header) => header.next().min(segment.limit()),
        // Its length is unknown, and what follows may be of an earlier use of the file.
        Found::BadHeader if segment.recycled => (at + ALIGN).min(segment.limit()),
        _ if segment.recycled => at,
        _ => Walk::new(segment, log_id, at).end_of_data(at)?,
    };
    Ok((end > at).then(|| Torn {
        file: segment_name(segment.base),
        offset: segment.offset(at),
        len: end - at,
    }))
}

/// Removes what is left of interrupted work (`used`: the checkpoint that the needs are from stays); returns the spare segments that can be used, and the highest
/// number among them.
fn clean_up(
    disk: &dyn Disk,
    listing: &Listing,
    needs: &Needs,
    used: bool,
    sizes: &Sizes,
) -> Result<(Vec<String>, u64), OpenError> {
    let mut dead = listing.unfinished.clone();
    let others = listing
        .checkpoints
        .iter()
        .filter(|&&lsn| !used || lsn != needs.lsn);
    dead.extend(others.map(|&lsn| checkpoint_name(lsn)));
    let unwanted = listing.segments.iter().filter(|&&base| !needs.wants(base));
    dead.extend(unwanted.map(|&base| segment_name(base)));
    let mut spares = Vec::new();
    for &number in &listing.spares {
        let name = spare_name(number);
        let len = disk.open(&name).and_then(|file| file.len());
        let whole =
            len.map_err(io(&format!("opening {name}"), disk))? == SEGMENT_HEADER as u64 + sizes.segment;
        if whole && spares.len() < sizes.spares {
            spares.push(name);
        } else {
            dead.push(name);
        }
    }
    for name in &dead {
        disk.remove(name).map_err(io(&format!("removing {name}"), disk))?;
    }
    if !dead.is_empty() {
        disk.sync_dir().map_err(io("syncing the directory", disk))?;
    }
    Ok((spares, listing.spares.last().copied().unwrap_or(0)))
}

/// Makes the first segment of a new log.
fn create_first(disk: &dyn Disk, world: &World, sizes: &Sizes) -> io::Result<()> {
    let header = SegmentHeader {
        recycled: false,
        log_id: world.random_u64(),
        base: 0,
    };
    let file = disk.create(FIRST)?;
    file.write_at(0, &header.encode())?;
    file.allocate(SEGMENT_HEADER as u64 + sizes.first_segment)?;
    file.sync()?;
    disk.rename(FIRST, &segment_name(0))?;
    disk.sync_dir()
}
