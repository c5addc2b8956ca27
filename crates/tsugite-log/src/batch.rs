//! The frame being filled: records are encoded straight into the buffer that will be written.

use bytes::Bytes;
use tsugite_base::Place;

use crate::format::{FRAME_HEADER, FrameHeader, RECORD_HEADER, align_up};

/// Room that a batch begins with, at least and at most.
const SMALL: usize = 512;
const LARGE: usize = 256 * 1024;

/// Records appended since the previous batch was taken. Its position is fixed from the start, so that each
/// record's place is known when it is appended.
pub(crate) struct Batch {
    start: u64,
    buf: Vec<u8>,
    payload_crc: u32,
    /// Length of the frame before: the best guess at this one's.
    expected: usize,
}

/// A point in a batch to which it can be cut back.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    len: usize,
    payload_crc: u32,
}

/// A full frame, ready to be written.
pub(crate) struct Frame {
    pub(crate) start: u64,
    /// Header, records and padding.
    pub(crate) bytes: Bytes,
    /// Bytes of memory that keeping it takes.
    pub(crate) memory: usize,
}

impl Frame {
    /// Where the next frame begins.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl Batch {
    pub(crate) const fn new(start: u64) -> Batch {
        Batch {
            start,
            buf: Vec::new(),
            payload_crc: 0,
            expected: 0,
        }
    }

    pub(crate) const fn start(&self) -> u64 {
        self.start
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// Bytes that the frame would have now, padding included.
    pub(crate) const fn frame_len(&self) -> u64 {
        align_up(self.buf.len() as u64)
    }

    /// Everything appended lies below this position.
    pub(crate) const fn end(&self) -> u64 {
        self.start + self.buf.len() as u64
    }

    pub(crate) const fn mark(&self) -> Mark {
        Mark {
            len: self.buf.len(),
            payload_crc: self.payload_crc,
        }
    }

    pub(crate) fn cut(&mut self, mark: Mark) {
        self.buf.truncate(mark.len);
        self.payload_crc = mark.payload_crc;
    }

    /// Appends one record; `encode` adds its bytes.
    pub(crate) fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        if self.buf.is_empty() {
            self.buf.reserve_exact(self.expected.max(SMALL));
            self.buf.resize(FRAME_HEADER, 0);
        }
        let header = self.buf.len();
        self.buf.resize(header + RECORD_HEADER, 0);
        let payload = self.buf.len();
        encode(&mut self.buf);
        // A decision that is longer than the room is cut off again long before 4 GiB.
        let len = u32::try_from(self.buf.len() - payload).unwrap_or(u32::MAX);
        self.buf[header..payload].copy_from_slice(&len.to_le_bytes());
        self.payload_crc = crc32c::crc32c_append(self.payload_crc, &self.buf[header..]);
    }

    /// The places of the records pushed after `mark`, in order.
    pub(crate) fn places_after(&self, mark: Mark) -> impl Iterator<Item = Place> {
        let mut at = mark.len.max(FRAME_HEADER);
        std::iter::from_fn(move || {
            let header = self.buf.get(at..at + 4)?;
            let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
            let payload = at + RECORD_HEADER;
            at = payload + len as usize;
            Some(Place {
                lsn: self.start + payload as u64,
                len,
            })
        })
    }

    /// Bytes of this batch.
    pub(crate) fn get(&self, place: Place) -> Option<Bytes> {
        let from = usize::try_from(place.lsn.checked_sub(self.start)?).ok()?;
        let bytes = self.buf.get(from..from + place.len as usize)?;
        Some(Bytes::copy_from_slice(bytes))
    }

    /// Closes the frame and leaves the next one in its place.
    pub(crate) fn take(&mut self, log_id: u64) -> Frame {
        let header = FrameHeader {
            log_id,
            lsn: self.start,
            len: u32::try_from(self.buf.len() - FRAME_HEADER).unwrap_or(u32::MAX),
            payload_crc: self.payload_crc,
        };
        self.buf[..FRAME_HEADER].copy_from_slice(&header.encode());
        self.buf.resize(self.frame_len() as usize, 0);
        let next = Batch {
            expected: self.buf.len().min(LARGE),
            ..Batch::new(header.next())
        };
        let full = std::mem::replace(self, next);
        Frame {
            start: full.start,
            memory: full.buf.capacity(),
            bytes: full.buf.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::records;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_pushed_is_in_the_frame_at_its_place(
            start in (0u64..1 << 40).prop_map(|n| n * 64),
            payloads in proptest::collection::vec(any::<Vec<u8>>(), 1..20),
            keep in any::<proptest::sample::Index>(),
        ) {
            let keep = keep.index(payloads.len()) + 1;
            let mut batch = Batch::new(start);
            let mut mark = batch.mark();
            let first = mark;
            for (i, payload) in payloads.iter().enumerate() {
                if i == keep {
                    mark = batch.mark();
                }
                batch.push(|out| out.extend_from_slice(payload));
            }
            if keep < payloads.len() {
                batch.cut(mark);
            }
            let places: Vec<Place> = batch.places_after(first).collect();
            prop_assert_eq!(places.len(), keep);
            for (place, payload) in places.iter().zip(&payloads) {
                prop_assert_eq!(&batch.get(*place).unwrap()[..], &payload[..]);
            }
            let frame = batch.take(7);
            prop_assert!(batch.is_empty());
            prop_assert_eq!(batch.start(), frame.end());
            let header = FrameHeader::decode(&frame.bytes).unwrap();
            let body = &frame.bytes[FRAME_HEADER..][..header.len as usize];
            prop_assert_eq!(crc32c::crc32c(body), header.payload_crc);
            let read: Vec<_> = records(start + FRAME_HEADER as u64, body).map(Result::unwrap).collect();
            prop_assert_eq!(read.len(), keep);
            for ((record, place), payload) in read.iter().zip(&places).zip(&payloads) {
                prop_assert_eq!((record.payload, record.place), (&payload[..], *place));
            }
        }
    }
}
