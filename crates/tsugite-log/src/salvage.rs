//! Everything of a damaged store that can still be read: the newest valid checkpoint and every valid frame after it,
//! in order, past those that are damaged.
//!
//! A lost record cannot make a later one mean another message: records that store messages say their numbers. So the
//! numbers that nothing stores tell how many messages a gap took from which queue.

use std::collections::BTreeMap;
use std::io;

use tsugite_base::{Now, Place};
use tsugite_broker::{Numbers, QueueId, Stowed, id_in_payload};

use crate::checkpoint::{self, Needs, Unusable};
use crate::disk::{Disk, read_exact};
use crate::domains::{Domains, Record, Settings};
use crate::format::{
    BadHeader, FRAME_HEADER, FrameHeader, SEGMENT_HEADER, checkpoint_name, records, segment_name,
};
use crate::listing::Listing;
use crate::open_error::OpenError;
use crate::recovery::open_segment;
use crate::repaired::{Gap, LostMessage, Missing};
use crate::segment::{Found, Segment, Walk};
use crate::state::State;
use crate::verify::unreadable;

/// Numbers that are left out for a gap of unknown length.
const UNKNOWN: u64 = 1 << 26;

/// A segment that can be read, at least in part.
pub(crate) struct Piece {
    pub(crate) segment: Segment,
    /// Whether its header has to be written anew.
    pub(crate) headless: bool,
    /// Everything in it that counts lies below.
    pub(crate) end: u64,
}

/// What is left.
pub(crate) struct Salvage {
    pub(crate) log_id: u64,
    pub(crate) state: Domains,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) lost: Vec<LostMessage>,
    /// Numbers that nothing stored, with the index of the gap in which they are lost.
    missing: BTreeMap<(QueueId, u64), usize>,
    /// Queues that nothing created: the gap, and how many messages went to them.
    strangers: BTreeMap<QueueId, (usize, u64)>,
}

fn io_error(what: String) -> impl FnOnce(io::Error) -> OpenError {
    move |error| OpenError::Io { what, error }
}

/// Reads what can be read.
pub(crate) fn salvage(disk: &dyn Disk, listing: &Listing, now: Now) -> Result<Salvage, OpenError> {
    let checkpoint = newest_valid(disk, listing, now)?;
    let begins_at_zero = listing.segments.first() == Some(&0);
    let (log_id, needs, state) = match checkpoint {
        Some((log_id, needs, state)) => (Some(log_id), needs, state),
        None if begins_at_zero => (
            None,
            Needs::default(),
            restored(None, now).map_err(|e| hopeless(disk, e))?,
        ),
        None => {
            let why = "no checkpoint can be read and the log from its beginning is not there any more: which queues \
                       there were, and what was in them, cannot be known"
                .into();
            return Err(hopeless(disk, why));
        }
    };
    let log_id = match log_id {
        Some(id) => id,
        None => find_log_id(disk, listing)?,
    };
    let mut salvage = Salvage {
        log_id,
        state,
        pieces: Vec::new(),
        gaps: Vec::new(),
        lost: Vec::new(),
        missing: BTreeMap::new(),
        strangers: BTreeMap::new(),
    };
    for &base in listing.segments.iter().filter(|base| needs.wants(**base)) {
        salvage.pieces.extend(open_piece(disk, base, log_id, &needs)?);
    }
    salvage.replay(&needs)?;
    salvage.sort_out();
    salvage.tell_missing();
    let lost = |gap: &Gap| gap.bytes().unwrap_or(UNKNOWN);
    let bytes = salvage.gaps.iter().map(lost).sum();
    salvage.state.broker.skip_numbers(bytes);
    Ok(salvage)
}

fn hopeless(disk: &dyn Disk, why: String) -> OpenError {
    OpenError::Hopeless {
        location: disk.location(),
        why,
    }
}

fn restored(snapshot: Option<&[u8]>, now: Now) -> Result<Domains, String> {
    Domains::restore(&Settings::default(), snapshot, now).map_err(|e| e.to_string())
}

fn newest_valid(
    disk: &dyn Disk,
    listing: &Listing,
    now: Now,
) -> Result<Option<(u64, Needs, Domains)>, OpenError> {
    for &lsn in &listing.checkpoints {
        let file = checkpoint_name(lsn);
        match checkpoint::read(disk, lsn) {
            Ok(found) => {
                if let Ok(state) = restored(Some(found.snapshot()), now) {
                    return Ok(Some((found.log_id, found.needs, state)));
                }
            }
            Err(Unusable::Damaged(_)) => {}
            Err(Unusable::Newer(version)) => return Err(OpenError::Newer { file, version }),
            Err(Unusable::Older(version)) => return Err(OpenError::Older { file, version }),
            Err(Unusable::Io(error)) => return Err(io_error(format!("reading {file}"))(error)),
        }
    }
    Ok(None)
}

/// The log's id, by the first valid header of a segment, or of a frame at the beginning of one.
fn find_log_id(disk: &dyn Disk, listing: &Listing) -> Result<u64, OpenError> {
    let mut of_frame = None;
    for &base in &listing.segments {
        let reading = || io_error(format!("reading {}", segment_name(base)));
        if let Ok((header, _)) = open_segment(disk, base).map_err(reading())? {
            return Ok(header.log_id);
        }
        let file = disk.open(&segment_name(base)).map_err(reading())?;
        let mut bytes = [0; FRAME_HEADER];
        if read_exact(&*file, SEGMENT_HEADER as u64, &mut bytes).is_ok() {
            let frame = FrameHeader::decode(&bytes).filter(|frame| frame.lsn == base);
            of_frame = of_frame.or(frame.map(|frame| frame.log_id));
        }
    }
    of_frame.ok_or_else(|| hopeless(disk, "no segment has a header that can be read".into()))
}

/// Opens a segment, whatever its header is like; `None` if it is of another log.
fn open_piece(disk: &dyn Disk, base: u64, log_id: u64, needs: &Needs) -> Result<Option<Piece>, OpenError> {
    let name = segment_name(base);
    let reading = || io_error(format!("reading {name}"));
    let (segment, headless) = match open_segment(disk, base).map_err(reading())? {
        Ok((header, _)) if header.log_id != log_id => return Ok(None),
        Ok((_, segment)) => (segment, false),
        Err(BadHeader::Newer(version)) => return Err(OpenError::Newer { file: name, version }),
        Err(BadHeader::Older(version)) => return Err(OpenError::Older { file: name, version }),
        Err(BadHeader::Invalid) => {
            let file = disk.open(&name).map_err(reading())?;
            let len = file.len().map_err(reading())?;
            let segment = Segment {
                base,
                capacity: len.saturating_sub(SEGMENT_HEADER as u64),
                // Nothing behind its frames is taken for zeros.
                recycled: true,
                file,
            };
            (segment, true)
        }
    };
    let end = needs.end_of(base).unwrap_or(base).min(segment.limit());
    Ok(Some(Piece {
        segment,
        headless,
        end,
    }))
}

impl Salvage {
    /// Applies every valid frame from the checkpoint on.
    fn replay(&mut self, needs: &Needs) -> Result<(), OpenError> {
        let mut pieces = std::mem::take(&mut self.pieces);
        let mut at = needs.lsn;
        let mut file = segment_name(needs.holder);
        // Whether the last segment shows how far the log went: a whole header, or a frame.
        let mut tells = false;
        for piece in pieces.iter_mut().filter(|p| p.segment.base >= needs.holder) {
            let segment = &piece.segment;
            tells = !piece.headless;
            if segment.base > at {
                self.gap(&file, at, Some(segment.base));
                at = segment.base;
            }
            file = segment_name(segment.base);
            let reading = || io_error(format!("reading {file}"));
            let mut walk = Walk::new(segment, self.log_id, at);
            loop {
                if let Found::Frame(header) = walk.look().map_err(reading())? {
                    let (lsn, payload) = walk.payload(header).map_err(reading())?;
                    self.apply(&file, lsn, payload);
                    walk.pass(header);
                    at = walk.at();
                    tells = true;
                } else {
                    let Some(frame) = walk.seek().map_err(reading())? else {
                        break;
                    };
                    self.gap(&file, at, Some(frame.lsn));
                }
            }
            tells &= at <= segment.limit();
            piece.end = at.min(segment.limit());
        }
        if !tells {
            self.gap(&file, at, None);
        }
        self.pieces = pieces;
        Ok(())
    }

    fn gap(&mut self, file: &str, from: u64, to: Option<u64>) {
        self.gaps.push(Gap {
            file: file.into(),
            from,
            to,
            ..Gap::default()
        });
    }

    fn apply(&mut self, file: &str, lsn: u64, payload: &[u8]) {
        let end = lsn + payload.len() as u64;
        let mut at = lsn;
        for record in records(lsn, payload) {
            let Ok(record) = record else {
                return self.gap(file, at, Some(end));
            };
            at = record.place.end();
            let Ok(decoded) = Domains::decode(record.payload) else {
                self.gap(file, record.place.lsn, Some(at));
                continue;
            };
            match &decoded {
                Record::Broker(of_broker) if !self.gaps.is_empty() => {
                    let numbers = of_broker.numbers();
                    self.expect(&numbers);
                    self.state.apply(decoded, record.place);
                    self.confirm(&numbers);
                }
                _ => self.state.apply(decoded, record.place),
            }
        }
    }

    /// Before a record is applied: the numbers that it leaves out are those of lost messages.
    fn expect(&mut self, numbers: &Numbers) {
        let gap = self.gaps.len() - 1;
        let mut next = BTreeMap::new();
        for &(queue, number) in &numbers.stored {
            if self.state.broker.queue_key(queue).is_none() {
                self.strangers.entry(queue).or_insert((gap, 0)).1 += 1;
                continue;
            }
            let known = self.state.broker.next_number(queue);
            let next = next.entry(queue).or_insert(known);
            self.missing
                .extend((*next..number).map(|number| ((queue, number), gap)));
            *next = number + 1;
        }
    }

    /// After a record was applied: lost messages that it deletes are no loss; those that it moves are lost elsewhere.
    fn confirm(&mut self, numbers: &Numbers) {
        let gap = self.gaps.len() - 1;
        for removed in &numbers.removed {
            self.missing.remove(removed);
        }
        for &(queue, number) in &numbers.stored {
            let broker = &self.state.broker;
            if broker.queue_key(queue).is_some() && !broker.holds(queue, number) {
                self.missing.insert((queue, number), gap);
            }
        }
        if let Some(queue) = numbers.emptied {
            self.missing.retain(|(of, _), _| *of != queue);
            self.strangers.remove(&queue);
        }
        if numbers.reset {
            self.missing.clear();
            self.strangers.clear();
        }
    }

    /// Removes the stored messages whose bytes cannot be read.
    fn sort_out(&mut self) {
        let segments: Vec<&Segment> = self.pieces.iter().map(|piece| &piece.segment).collect();
        let mut lost = Vec::new();
        for stowed in self.state.broker.stored() {
            let places = stowed.places();
            if let Some((_, _, why)) = places.iter().find_map(|place| unreadable(&segments, *place)) {
                lost.push((stowed, why, remains(&segments, &stowed)));
            }
        }
        for (stowed, why, id) in lost {
            self.lost.push(LostMessage {
                queue: self.name(stowed.queue),
                number: stowed.seq,
                id,
                why,
            });
            self.state.broker.discard(stowed.queue, stowed.seq);
        }
    }

    fn name(&self, queue: QueueId) -> String {
        let key = self.state.broker.queue_key(queue);
        key.map_or_else(
            || format!("queue number {}", queue.0),
            |key| key.arn().to_string(),
        )
    }

    /// Writes what is missing into the gaps, as runs of numbers.
    fn tell_missing(&mut self) {
        for ((queue, number), gap) in std::mem::take(&mut self.missing) {
            let queue = self.name(queue);
            let runs = &mut self.gaps[gap].missing;
            match runs.last_mut() {
                Some(run) if run.queue == queue && run.last + 1 == number => run.last = number,
                _ => runs.push(Missing {
                    queue,
                    first: number,
                    last: number,
                }),
            }
        }
        for (queue, (gap, messages)) in std::mem::take(&mut self.strangers) {
            self.gaps[gap].strangers.push((queue.0, messages));
        }
    }
}

/// The id of a message as it stands in what is left of its payload.
fn remains(segments: &[&Segment], stowed: &Stowed) -> Option<tsugite_base::Uuid> {
    let Place { lsn, .. } = stowed.payload;
    let segment = segments.iter().rfind(|s| s.base <= lsn)?;
    let bytes = segment.read(stowed.payload).ok()?;
    if stowed.delivery.is_some() {
        return None;
    }
    // Zeros are no id: the bytes were overwritten or never written.
    id_in_payload(&bytes).filter(|id| id.0 != [0; 16])
}
