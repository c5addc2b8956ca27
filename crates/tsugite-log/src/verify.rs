//! Reading a whole store and saying what is in it, changing nothing: `tsugite verify DIR`.

use std::fmt;
use std::io;

use tsugite_base::Place;
use tsugite_base::codec::Malformed;

use crate::checkpoint::{self, Needs, Unusable};
use crate::disk::Disk;
use crate::domains::{Domains, Settings};
use crate::format::{BadHeader, FrameHeader, RawRecord, VERSION, checkpoint_name, records, segment_name};
use crate::listing::Listing;
use crate::open_error::{Corruption, OpenError};
use crate::recovery::{Torn, open_segment, torn};
use crate::segment::{Found, Segment, Walk};
use crate::state::State;

/// What a store holds, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Where the store is.
    pub location: String,
    /// The segments, in order.
    pub segments: Vec<SegmentReport>,
    /// Position of the newest valid checkpoint, and the length of its snapshot in bytes.
    pub checkpoint: Option<(u64, u64)>,
    /// Emptied segments kept for reuse.
    pub spares: usize,
    /// Segments with nothing in them that is needed; the next start removes them.
    pub dead: usize,
    /// The rest of an interrupted write at the end; the next start cuts it off.
    pub torn: Option<Torn>,
    /// Stored messages whose payloads were checked.
    pub messages: u64,
    /// Damaged frames that nobody reads: a checkpoint covers them, and no message that is stored lies in them.
    pub unneeded: Vec<(String, u64)>,
    /// Damage, in the order of the log; that of messages last.
    pub damage: Vec<Corruption>,
}

/// One segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentReport {
    /// File name.
    pub file: String,
    /// Position of its first byte.
    pub base: u64,
    /// Bytes of log it has room for.
    pub capacity: u64,
    /// Valid frames.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Position after the last valid frame.
    pub end: u64,
}

impl Report {
    /// Whether the store would open and every byte that it may read is as it was written.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }

    fn broken(&mut self, segment: &Segment, at: u64, follows: String) {
        let (file, offset) = (segment_name(segment.base), segment.offset(at));
        self.damaged(file, at, offset, "no valid frame begins here", follows);
    }

    fn damaged(
        &mut self,
        file: String,
        lsn: u64,
        offset: u64,
        what: impl Into<String>,
        follows: impl Into<String>,
    ) {
        self.damage.push(Corruption {
            location: self.location.clone(),
            file,
            lsn,
            offset,
            what: what.into(),
            follows: follows.into(),
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "store in {}", self.location)?;
        match self.checkpoint {
            Some((lsn, bytes)) => writeln!(f, "checkpoint at {lsn:#x}: {bytes} bytes, valid")?,
            None => writeln!(f, "no checkpoint")?,
        }
        for s in &self.segments {
            writeln!(
                f,
                "{}: {} frames, {} records, {} of {} bytes used",
                s.file,
                s.frames,
                s.records,
                s.end - s.base,
                s.capacity
            )?;
        }
        writeln!(f, "{} stored messages checked", self.messages)?;
        if self.dead > 0 {
            writeln!(
                f,
                "{} segments that nothing needs, which the next start removes",
                self.dead
            )?;
        }
        if self.spares > 0 {
            writeln!(f, "{} spare segments", self.spares)?;
        }
        if let Some(torn) = &self.torn {
            writeln!(
                f,
                "{}: ends in an interrupted write of {} bytes at byte {}, never acknowledged; the next start cuts it off",
                torn.file, torn.len, torn.offset
            )?;
        }
        for (file, offset) in &self.unneeded {
            writeln!(f, "{file}: a frame at byte {offset} is damaged; nothing needs it")?;
        }
        for damage in &self.damage {
            writeln!(f, "DAMAGED {damage}")?;
        }
        let verdict = if self.is_sound() { "sound" } else { "damaged" };
        write!(f, "{verdict}")
    }
}

/// Reads every file of a store that no process has open, checks every checksum and decodes every record.
/// Damage is reported, not an error; an error means that the store could not be looked at.
pub fn verify(disk: &dyn Disk) -> Result<Report, OpenError> {
    let _guard = disk.lock().map_err(|why| OpenError::Locked {
        location: disk.location(),
        why,
    })?;
    look(disk)
}

/// [`verify`] for who has the lock.
pub(crate) fn look(disk: &dyn Disk) -> Result<Report, OpenError> {
    let failed = |what: String| move |error: io::Error| OpenError::Io { what, error };
    let location = disk.location();
    let listing = Listing::read(disk).map_err(failed(format!("reading {location}")))?;
    let mut report = Report {
        location,
        spares: listing.spares.len(),
        ..Report::default()
    };
    let checkpoint =
        verify_checkpoints(disk, &listing, &mut report).map_err(failed("reading a checkpoint".into()))?;
    let mut log_id = checkpoint.as_ref().map(|(log_id, ..)| *log_id);
    let (needs, state) = match checkpoint {
        Some((_, needs, state)) => (Some(needs), Some(state)),
        None => (None, None),
    };
    let mut stock = Stock::new(needs.as_ref().map_or(0, |needs| needs.lsn), state);
    let wanted = |base: &&u64| needs.as_ref().is_none_or(|needs| needs.wants(**base));
    let segments: Vec<u64> = listing.segments.iter().filter(wanted).copied().collect();
    report.dead = listing.segments.len() - segments.len();
    for (i, &base) in segments.iter().enumerate() {
        let file = segment_name(base);
        let opened = open_segment(disk, base).map_err(failed(format!("reading {file}")))?;
        match opened {
            Ok((header, segment)) => {
                let id = *log_id.get_or_insert(header.log_id);
                let next = segments.get(i + 1).copied();
                verify_segment(&segment, id, next, needs.as_ref(), &mut stock, &mut report)
                    .map_err(failed(format!("reading {file}")))?;
                if needs.as_ref().is_some_and(|n| n.reach(base) > segment.limit()) {
                    let what = "it is shorter than what was written to it";
                    report.damaged(file, base, 0, what, "a checkpoint says so");
                }
                stock.segments.push(segment);
            }
            Err(bad) => {
                let what = match bad {
                    BadHeader::Invalid => "its header is not valid".into(),
                    BadHeader::Newer(v) | BadHeader::Older(v) => {
                        format!("its format version is {v}, which this program does not read")
                    }
                };
                report.damaged(file, base, 0, what, "its frames were not looked at");
            }
        }
    }
    check_start(&listing, needs.as_ref(), &mut report);
    stock.check(&mut report);
    Ok(report)
}

fn verify_checkpoints(
    disk: &dyn Disk,
    listing: &Listing,
    report: &mut Report,
) -> io::Result<Option<(u64, Needs, Domains)>> {
    let mut newest = None;
    for &lsn in &listing.checkpoints {
        let what = match checkpoint::read(disk, lsn) {
            Ok(found) => {
                let now = tsugite_base::Now::default();
                match Domains::restore(&Settings::default(), Some(found.snapshot()), now) {
                    Ok(state) => {
                        let bytes = found.snapshot().len() as u64;
                        report.checkpoint = report.checkpoint.or(Some((lsn, bytes)));
                        newest = newest.or(Some((found.log_id, found.needs, state)));
                        continue;
                    }
                    Err(e) => e.to_string(),
                }
            }
            Err(Unusable::Damaged(what)) => what,
            Err(Unusable::Newer(v) | Unusable::Older(v)) => {
                format!("its format version is {v}, this program reads {VERSION}")
            }
            Err(Unusable::Io(e)) => return Err(e),
        };
        report.damaged(checkpoint_name(lsn), lsn, 0, what, "a start would need it");
    }
    Ok(newest)
}

/// What the checkpoint refers to must be there, and replay must find a segment to start in.
fn check_start(listing: &Listing, needs: Option<&Needs>, report: &mut Report) {
    if needs.is_none() && listing.segments.is_empty() {
        return;
    }
    let needs = needs.cloned().unwrap_or_default();
    let is_there = |base: u64| listing.segments.binary_search(&base).is_ok();
    for (base, end) in needs.kept.iter().filter(|(base, _)| !is_there(*base)) {
        let what = format!("the file is missing; it held positions {base:#x} to {end:#x}");
        let follows = format!("{} refers to messages in it", checkpoint_name(needs.lsn));
        report.damaged(segment_name(*base), *base, 0, what, follows);
    }
    if !is_there(needs.holder) {
        let from = needs.lsn;
        let what = format!("no segment holds position {from:#x}, where a start would replay from");
        report.damaged(
            segment_name(needs.holder),
            from,
            0,
            what,
            "segment files are missing",
        );
    }
}

/// The state as a start would find it, to see whether the messages in it can be read.
struct Stock {
    /// Records below are in the state already.
    from: u64,
    state: Option<Domains>,
    segments: Vec<Segment>,
}

impl Stock {
    fn new(from: u64, state: Option<Domains>) -> Stock {
        let now = tsugite_base::Now::default();
        Stock {
            from,
            state: state.or_else(|| Domains::restore(&Settings::default(), None, now).ok()),
            segments: Vec::new(),
        }
    }

    fn apply(&mut self, record: &RawRecord<'_>) -> Result<(), Malformed> {
        let decoded = Domains::decode(record.payload)?;
        if record.place.lsn >= self.from
            && let Some(state) = &mut self.state
        {
            state.apply(decoded, record.place);
        }
        Ok(())
    }

    /// Reads every stored message and names those that are not what was written.
    fn check(&self, report: &mut Report) {
        let Some(Domains { broker, .. }) = &self.state else {
            return;
        };
        let segments: Vec<&Segment> = self.segments.iter().collect();
        for stowed in broker.stored() {
            report.messages += 1;
            for place in stowed.places() {
                let Some((file, offset, what)) = unreadable(&segments, place) else {
                    continue;
                };
                let queue = broker.queue_key(stowed.queue);
                let queue = queue.map_or_else(|| "?".into(), |key| key.arn().to_string());
                let follows = format!("it belongs to message number {} of {queue}", stowed.seq);
                report.damaged(file, place.lsn, offset, what, follows);
            }
        }
    }
}

/// Why the bytes at a place are not what was written: file, offset, and what is wrong. `None` if they are.
pub(crate) fn unreadable(segments: &[&Segment], place: Place) -> Option<(String, u64, String)> {
    let after = segments.partition_point(|s| s.base <= place.lsn);
    let segment = after.checked_sub(1).map(|at| segments[at]);
    let Some(segment) = segment.filter(|s| place.end() <= s.limit()) else {
        let what = format!("no segment holds position {:#x}", place.lsn);
        return Some((segment_name(place.lsn), 0, what));
    };
    let what = match segment.read(place) {
        Ok(bytes) if Domains::intact(&bytes) => return None,
        Ok(_) => "the checksum of a stored message does not match".into(),
        Err(error) => error.to_string(),
    };
    Some((segment_name(segment.base), segment.offset(place.lsn), what))
}

/// Walks all frames of a segment. `next` is the base of the segment after it.
fn verify_segment(
    segment: &Segment,
    log_id: u64,
    next: Option<u64>,
    needs: Option<&Needs>,
    stock: &mut Stock,
    report: &mut Report,
) -> io::Result<()> {
    let mut out = SegmentReport {
        file: segment_name(segment.base),
        base: segment.base,
        capacity: segment.capacity,
        end: segment.base,
        ..SegmentReport::default()
    };
    let mut walk = Walk::new(segment, log_id, segment.base);
    loop {
        let found = walk.look()?;
        if let Found::Frame(header) = found {
            let (lsn, payload) = walk.payload(header)?;
            for applied in records(lsn, payload).map(|record| stock.apply(&record?)) {
                out.records += 1;
                if let Err(e) = applied {
                    let (file, offset) = (out.file.clone(), segment.offset(lsn));
                    report.damaged(file, lsn, offset, e.to_string(), "its frame's checksum is valid");
                }
            }
            out.frames += 1;
            walk.pass(header);
            out.end = walk.at();
            continue;
        }
        let at = walk.at();
        let frame = walk.seek()?;
        if let Some(resume) = needs.and_then(|needs| passed(needs, segment.base, at, frame)) {
            report.unneeded.push((out.file.clone(), segment.offset(at)));
            if resume > segment.limit() {
                break;
            }
            walk = Walk::new(segment, log_id, resume);
            continue;
        }
        if let Some(frame) = frame {
            let follows = format!("a valid frame follows at byte {}", segment.offset(frame.lsn));
            report.broken(segment, at, follows);
            continue;
        }
        match next {
            // Dead segments are removed one by one: a gap behind one that is kept is no loss.
            Some(base) if at != base && needs.and_then(|n| n.end_of(segment.base)).is_none() => {
                let follows = format!("the log goes on in {}", segment_name(base));
                report.broken(segment, at, follows);
            }
            Some(_) => {}
            None => report.torn = torn(segment, log_id, at, found)?,
        }
        break;
    }
    report.segments.push(out);
    Ok(())
}

/// Where to look on if what stands at `at` of a segment is damaged and below the checkpoint, so that no start reads it:
/// at the next valid frame, or where the replay begins. Beyond the segment: nowhere.
fn passed(needs: &Needs, base: u64, at: u64, next: Option<FrameHeader>) -> Option<u64> {
    let below = match needs.end_of(base) {
        Some(end) => at < end,
        None => at < needs.lsn,
    };
    let resume = next.map_or(needs.lsn, |frame| frame.lsn.min(needs.lsn));
    let nowhere = needs.end_of(base).is_some() && next.is_none();
    below.then_some(if nowhere { u64::MAX } else { resume })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tsugite_registry::{NamespaceId, PutInstance, ServiceId};

    use super::*;
    use crate::disk::sim::{Image, SimDisk};
    use crate::testing::{Still, TINY, world};
    use crate::{Log, Opened, Options, Sizes};

    const SIZES: Sizes = Sizes {
        checkpoint_bytes: 1 << 40,
        ..TINY
    };

    /// A store of a few segments in which one service gets instances; checkpointed at last if asked.
    fn image(checkpoint: bool) -> Image {
        let clock = Arc::<Still>::default();
        let options = Options {
            sizes: SIZES,
            ..Options::new(world(&clock, 1), Settings::default())
        };
        let disk = SimDisk::new(1, Image::new());
        let opened = Log::<Domains>::open(&options, Arc::new(disk.clone())).unwrap();
        let Opened {
            log,
            mut committer,
            mut keeper,
            ..
        } = opened;
        for n in 0..40 {
            let put = PutInstance {
                new_namespace: NamespaceId(1),
                new_service: ServiceId(2),
                namespace: "internal".into(),
                service: "kitchen".into(),
                instance: format!("i{n}"),
                address: None,
                protocol: None,
                attributes: [("key".to_owned(), "v".repeat(50))].into(),
                lease_ms: None,
            };
            let mut decide = Some(|d: &Domains, now| d.registry.put_instance(put, now));
            log.attempt(&mut decide).unwrap().unwrap();
            while committer.step().unwrap() {}
            keeper.step().unwrap();
        }
        if checkpoint {
            clock.advance(std::time::Duration::from_secs(61));
            keeper.step().unwrap();
            committer.step().unwrap();
            keeper.step().unwrap();
        }
        disk.image()
    }

    fn verified(image: Image) -> Report {
        let disk = SimDisk::new(1, image.clone());
        let report = verify(&disk).unwrap();
        assert_eq!(disk.image(), image, "verify changes nothing");
        report
    }

    #[test]
    fn a_sound_store_is_counted() {
        let report = verified(image(false));
        assert!(report.is_sound() && report.torn.is_none(), "{report}");
        assert_eq!(report.segments.iter().map(|s| s.frames).sum::<u64>(), 40);
        assert_eq!(report.segments.iter().map(|s| s.records).sum::<u64>(), 42);
        assert!(report.segments.len() > 1);
        let report = verified(image(true));
        assert!(report.is_sound() && report.checkpoint.is_some(), "{report}");
        assert!(report.to_string().ends_with("sound"));
        assert_eq!(
            verified(Image::new()),
            Report {
                location: "the simulated disk".into(),
                ..Report::default()
            }
        );
    }

    #[test]
    fn every_damage_is_named_at_once() {
        let mut image = image(false);
        let names: Vec<String> = image.keys().filter(|n| n.starts_with("log-")).cloned().collect();
        let flip = |image: &mut Image, name: &str, at: usize| image.get_mut(name).unwrap()[at] ^= 8;
        flip(&mut image, &names[0], 64 + 40);
        flip(&mut image, &names[0], 64 + 700);
        flip(&mut image, &names[1], 5);
        let report = verified(image);
        let places: Vec<(&str, u64)> = report
            .damage
            .iter()
            .map(|d| (d.file.as_str(), d.offset))
            .collect();
        assert_eq!(places.len(), 3, "{report}");
        assert_eq!(places[0], (names[0].as_str(), 64));
        assert_eq!(
            (places[1].0, places[2]),
            (names[0].as_str(), (names[1].as_str(), 0))
        );
        assert!(report.to_string().ends_with("damaged"));
    }

    #[test]
    fn an_interrupted_write_and_missing_files_are_told_apart() {
        let whole = image(false);
        let last = whole.keys().rfind(|n| n.starts_with("log-")).unwrap().clone();
        let mut image = whole.clone();
        let end = verified(whole.clone()).segments.last().unwrap().end;
        let base = u64::from_str_radix(&last[4..], 16).unwrap();
        image.get_mut(&last).unwrap()[(64 + end - base) as usize + 3] = 9;
        let report = verified(image);
        assert!(report.is_sound(), "{report}");
        assert_eq!(report.torn.unwrap().len, 4);

        let mut image = whole;
        image.remove("log-0000000000000000");
        assert!(
            verified(image).damage[0]
                .what
                .contains("no segment holds position 0x0")
        );
    }

    #[test]
    fn a_damaged_checkpoint_is_named() {
        let mut image = image(true);
        let name = image
            .keys()
            .find(|n| n.starts_with("checkpoint-"))
            .unwrap()
            .clone();
        image.get_mut(&name).unwrap()[80] ^= 1;
        let report = verified(image);
        assert_eq!(report.damage[0].file, name);
        assert_eq!(report.damage[0].what, "its checksum does not match");
    }

    #[test]
    fn a_damaged_message_is_named_with_its_queue() {
        use tsugite_broker::{CreateQueue, QueueKey, SendEntry, SendMessages};
        let clock = Arc::<Still>::default();
        let options = Options {
            sizes: SIZES,
            ..Options::new(world(&clock, 1), Settings::default())
        };
        let disk = SimDisk::new(1, Image::new());
        let mut opened = Log::<Domains>::open(&options, Arc::new(disk.clone())).unwrap();
        let key = QueueKey::new(tsugite_base::names::Scope::default(), "orders");
        let create = CreateQueue {
            queue: key.clone(),
            attributes: Vec::new(),
            tags: Vec::new(),
        };
        let mut decide = Some(|d: &Domains, now| d.broker.create_queue(create, now));
        opened.log.attempt(&mut decide).unwrap().unwrap();
        for n in 0..3u8 {
            let send = SendMessages {
                queue: key.clone(),
                sender: "somebody".into(),
                entries: vec![SendEntry {
                    id: tsugite_base::Uuid([n; 16]),
                    body: format!("parcel {n}"),
                    ..SendEntry::default()
                }],
            };
            let mut decide = Some(|d: &Domains, now| d.broker.send(send, now));
            opened.log.attempt(&mut decide).unwrap().unwrap();
            while opened.committer.step().unwrap() {}
        }
        let places = opened
            .log
            .peek(|d, _| d.broker.stored().map(|stowed| stowed.payload).collect::<Vec<_>>());
        let report = verified(disk.image());
        assert!(report.is_sound() && report.messages == 3, "{report}");
        // Every bit of a payload that a checkpoint covers, where no replay would come by.
        clock.advance(std::time::Duration::from_secs(61));
        opened.keeper.step().unwrap();
        opened.committer.step().unwrap();
        opened.keeper.step().unwrap();
        let sound = disk.image();
        for bit in 0..places[1].len * 8 {
            let mut image = sound.clone();
            let file = image.get_mut("log-0000000000000000").unwrap();
            file[64 + places[1].lsn as usize + bit as usize / 8] ^= 1 << (bit % 8);
            let report = verified(image);
            let of_message = report.damage.last().unwrap();
            assert_eq!(of_message.lsn, places[1].lsn, "bit {bit}: {report}");
            assert!(
                of_message.follows.contains("message number 1 of ")
                    && of_message.follows.ends_with(":orders"),
                "{of_message}"
            );
        }
    }

    #[test]
    fn a_store_in_use_is_left_alone() {
        let disk = SimDisk::new(1, image(false));
        let guard = disk.lock().unwrap();
        assert!(matches!(verify(&disk), Err(OpenError::Locked { .. })));
        drop(guard);
        assert!(verify(&disk).is_ok());
    }
}
