//! Segment files: the map of those in use, and the walk over the frames of one.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use tsugite_base::Place;

use crate::disk::{File, read_exact};
use crate::format::{ALIGN, FRAME_HEADER, FRAME_MAGIC, FrameHeader, SEGMENT_HEADER, align_up};

/// A file that holds `base .. base + capacity` of the stream.
pub(crate) struct Segment {
    pub(crate) base: u64,
    pub(crate) capacity: u64,
    pub(crate) recycled: bool,
    pub(crate) file: Arc<dyn File>,
}

impl Segment {
    /// Where in the file a position of the stream is.
    pub(crate) const fn offset(&self, lsn: u64) -> u64 {
        SEGMENT_HEADER as u64 + (lsn - self.base)
    }

    /// The position after the last byte that the file has room for.
    pub(crate) const fn limit(&self) -> u64 {
        self.base + self.capacity
    }

    /// Reads bytes of the stream.
    pub(crate) fn read(&self, place: Place) -> io::Result<Bytes> {
        let mut bytes = vec![0; place.len as usize];
        read_exact(&*self.file, self.offset(place.lsn), &mut bytes)?;
        Ok(bytes.into())
    }
}

/// The segments in use, by base, with the position at which each ends; the newest has none yet.
#[derive(Default)]
pub(crate) struct Segments(RwLock<Map>);

type Map = BTreeMap<u64, (Arc<Segment>, Option<u64>)>;

/// A segment to which nothing is added any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) base: u64,
    /// The position after its last frame.
    pub(crate) end: u64,
    pub(crate) capacity: u64,
}

impl Segments {
    /// Adds the newest segment, which closes the one before.
    pub(crate) fn insert(&self, segment: Arc<Segment>) {
        let mut map = self.write();
        if let Some(mut last) = map.last_entry() {
            last.get_mut().1.get_or_insert(segment.base);
        }
        map.insert(segment.base, (segment, None));
    }

    /// Adds a segment that was closed long ago.
    pub(crate) fn insert_closed(&self, segment: Arc<Segment>, end: u64) {
        self.write().insert(segment.base, (segment, Some(end)));
    }

    pub(crate) fn len(&self) -> usize {
        self.read().len()
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        let map = self.read();
        let bytes = map
            .values()
            .map(|(segment, _)| SEGMENT_HEADER as u64 + segment.capacity);
        bytes.sum()
    }

    /// The segment in which a position lies.
    pub(crate) fn holding(&self, lsn: u64) -> Option<Arc<Segment>> {
        let map = self.read();
        let (_, (segment, end)) = map.range(..=lsn).next_back()?;
        end.is_none_or(|end| lsn < end).then(|| segment.clone())
    }

    /// The position at which this segment ends, or where its room does.
    pub(crate) fn end_of(&self, segment: &Segment) -> u64 {
        let end = self.read().get(&segment.base).and_then(|(_, end)| *end);
        end.map_or(segment.limit(), |end| end.min(segment.limit()))
    }

    /// The segments that end at or below `lsn`; and the base of the one in which the log goes on from there.
    pub(crate) fn below(&self, lsn: u64) -> (Vec<Closed>, u64) {
        let map = self.read();
        let mut closed = Vec::new();
        for (&base, (segment, end)) in &*map {
            match *end {
                Some(end) if end <= lsn => closed.push(Closed {
                    base,
                    end,
                    capacity: segment.capacity,
                }),
                _ => return (closed, base),
            }
        }
        (closed, 0)
    }

    /// Takes a segment out: nobody finds it any more.
    pub(crate) fn take(&self, base: u64) {
        self.write().remove(&base);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Map> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Map> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much is read at once.
const WINDOW: u64 = 256 * 1024;

/// Walks the frames of one segment from a position on, through a window of the file in memory.
pub(crate) struct Walk<'a> {
    segment: &'a Segment,
    log_id: u64,
    at: u64,
    window: Vec<u8>,
    window_at: u64,
}

/// What stands where a frame could begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A whole, valid frame.
    Frame(FrameHeader),
    /// The header of a frame of this log at this very place, whose content does not match it.
    Damaged(FrameHeader),
    /// What was such a header, and is damaged itself.
    BadHeader,
    /// Anything else: zeros, an old frame of a recycled segment, half a header.
    Nothing,
}

impl<'a> Walk<'a> {
    pub(crate) const fn new(segment: &'a Segment, log_id: u64, at: u64) -> Walk<'a> {
        Walk {
            segment,
            log_id,
            at,
            window: Vec::new(),
            window_at: 0,
        }
    }

    /// The position of the next frame, or of whatever stands in its place.
    pub(crate) const fn at(&self) -> u64 {
        self.at
    }

    /// Looks at what stands here, without moving.
    pub(crate) fn look(&mut self) -> io::Result<Found> {
        let at = self.at;
        let limit = self.segment.limit();
        if at + FRAME_HEADER as u64 > limit {
            return Ok(Found::Nothing);
        }
        let log_id = self.log_id;
        let bytes = self.view(at, FRAME_HEADER as u64)?;
        let Some(header) = FrameHeader::decode(bytes) else {
            return Ok(match FrameHeader::was(bytes, log_id, at) {
                true => Found::BadHeader,
                false => Found::Nothing,
            });
        };
        if header.log_id != self.log_id || header.lsn != at {
            return Ok(Found::Nothing);
        }
        let payload = at + FRAME_HEADER as u64;
        if header.len == 0 || payload + u64::from(header.len) > limit {
            return Ok(Found::Damaged(header));
        }
        let crc = crc32c::crc32c(self.view(payload, header.len.into())?);
        Ok(if crc == header.payload_crc {
            Found::Frame(header)
        } else {
            Found::Damaged(header)
        })
    }

    /// The records of a frame that [`Walk::look`] found, and their position.
    pub(crate) fn payload(&mut self, header: FrameHeader) -> io::Result<(u64, &[u8])> {
        let lsn = header.lsn + FRAME_HEADER as u64;
        Ok((lsn, self.view(lsn, header.len.into())?))
    }

    /// Goes to the frame after this one.
    pub(crate) const fn pass(&mut self, header: FrameHeader) {
        self.at = header.next();
    }

    /// Goes on to the next valid frame anywhere in the rest of the segment and returns it.
    pub(crate) fn seek(&mut self) -> io::Result<Option<FrameHeader>> {
        let limit = self.segment.limit();
        self.at = align_up(self.at + 1);
        while self.at + (FRAME_HEADER as u64) < limit {
            let len = (limit - self.at).min(WINDOW);
            let from = self.at;
            let here = self.view(from, len)?;
            let hit = here
                .chunks(ALIGN as usize)
                .position(|c| c.starts_with(FRAME_MAGIC));
            let Some(hit) = hit else {
                self.at = align_up(from + len);
                continue;
            };
            self.at = from + hit as u64 * ALIGN;
            if let Found::Frame(header) = self.look()? {
                return Ok(Some(header));
            }
            self.at += ALIGN;
        }
        Ok(None)
    }

    /// The position after the last byte that is not zero, from `from` on; `from` if there is none.
    pub(crate) fn end_of_data(&mut self, from: u64) -> io::Result<u64> {
        let limit = self.segment.limit();
        let (mut at, mut end) = (from, from);
        while at < limit {
            let len = (limit - at).min(WINDOW);
            let here = self.view(at, len)?;
            // Almost all of it is zeros: looked at in pieces that the compiler can look at at once.
            let zero = |piece: &[u8]| piece.iter().fold(0, |all, byte| all | byte) == 0;
            if let Some(piece) = here.chunks(ALIGN as usize).rposition(|piece| !zero(piece)) {
                let piece = piece * ALIGN as usize;
                let mut in_piece = here[piece..].iter().take(ALIGN as usize);
                let last = in_piece.rposition(|&byte| byte != 0).unwrap_or(0);
                end = at + (piece + last) as u64 + 1;
            }
            at += len;
        }
        Ok(end)
    }

    /// Bytes of the stream; the caller has checked that the segment has them.
    fn view(&mut self, lsn: u64, len: u64) -> io::Result<&[u8]> {
        let held = self.window_at..self.window_at + self.window.len() as u64;
        if lsn < held.start || lsn + len > held.end {
            let wanted = len.max(WINDOW).min(self.segment.limit() - lsn);
            self.window.resize(wanted as usize, 0);
            self.window_at = lsn;
            let read = read_exact(&*self.segment.file, self.segment.offset(lsn), &mut self.window);
            if let Err(e) = read {
                self.window.clear();
                return Err(e);
            }
        }
        let from = (lsn - self.window_at) as usize;
        Ok(&self.window[from..from + len as usize])
    }
}
