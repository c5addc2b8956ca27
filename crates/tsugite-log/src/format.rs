//! The bytes on disk: names of files, headers of segments, frames, records and checkpoints.
//!
//! The log is one endless byte stream; a log sequence number (LSN) is a position in it. A *segment* file holds
//! the stretch of the stream that begins at its base LSN, after a 64-byte header. The stream is a row of
//! *frames*, each begun at a multiple of 64 bytes; a frame is what one sync made durable, all or nothing, and
//! holds *records*, which are the state machines' business. All integers are little-endian, all checksums
//! CRC-32C.
//!
//! | segment header (64) | frame header (32) | record header (4) | checkpoint header (64) |
//! |---|---|---|---|
//! | `TSUGLOG\0` | `TSGF` | length u32 | `TSUGCKP\0` |
//! | version u32, flags u32 | checksum of the next 24 bytes u32 | | version u32, zero u32 |
//! | log id u64 | log id u64 | | log id u64 |
//! | base LSN u64 | LSN of this frame u64 | | LSN u64 |
//! | zero | payload length u32 | | zero u64 |
//! | checksum of the first 60 u32 | payload checksum u32 | | payload length u64, checksum u32 |
//! | | | | zero, checksum of the first 60 u32 |
//!
//! The payload of a checkpoint says first which segments it cannot do without: the base of the one in which the log
//! goes on from its LSN (u64), a count (u32), and base and end (u64 each) of every one below with something live in
//! it. The state follows. Other segments below are dead; they are removed one by one, wherever they lie.
//!
//! Flag 1 of a segment says that it was recycled: what follows its frames is old, not zero.
//!
//! Recycled segments hold frames of an earlier time, and a message body may hold anything: a frame counts only
//! if its header names this log (a random id) and the very position at which it stands. Parts of a record that
//! are read back alone carry a checksum of their own, which is their state machine's business.

use std::cmp::Ordering;

use tsugite_base::Place;
use tsugite_base::codec::{Get, Malformed, Put};

/// The newest format of any file that this program writes.
pub const VERSION: u32 = CHECKPOINT_VERSION;
/// The format of segments and of the records in them. Version 1 was that of test builds, whose records said less.
const SEGMENT_VERSION: u32 = 2;
/// The format of checkpoints. Version 1 was that of test builds and said less of the segments that it needs.
const CHECKPOINT_VERSION: u32 = 2;
/// Bytes of a segment's header, before the stream.
pub(crate) const SEGMENT_HEADER: usize = 64;
/// Bytes of a frame's header.
pub(crate) const FRAME_HEADER: usize = 32;
/// Bytes of a record's header.
pub(crate) const RECORD_HEADER: usize = 4;
/// Bytes of a checkpoint's header.
pub(crate) const CHECKPOINT_HEADER: usize = 64;
/// Frames begin at multiples of this many bytes.
pub(crate) const ALIGN: u64 = 64;

const SEGMENT_MAGIC: &[u8; 8] = b"TSUGLOG\0";
const CHECKPOINT_MAGIC: &[u8; 8] = b"TSUGCKP\0";
pub(crate) const FRAME_MAGIC: &[u8; 4] = b"TSGF";

/// The first position at or after `lsn` where a frame may begin.
pub(crate) const fn align_up(lsn: u64) -> u64 {
    lsn.div_ceil(ALIGN) * ALIGN
}

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// `log-<base LSN, 16 hex digits>`.
    Segment(u64),
    /// `checkpoint-<LSN, 16 hex digits>`.
    Checkpoint(u64),
    /// `spare-<number, 16 hex digits>`: a segment prepared or emptied, not yet part of the log.
    Spare(u64),
    /// `….tmp`: being written when the process ended.
    Unfinished,
    /// Not ours.
    Other,
}

impl Name {
    pub(crate) fn parse(name: &str) -> Name {
        let number = |prefix: &str| {
            let digits = name.strip_prefix(prefix)?;
            (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
        };
        if name.ends_with(".tmp") {
            Name::Unfinished
        } else if let Some(lsn) = number("log-") {
            Name::Segment(lsn)
        } else if let Some(lsn) = number("checkpoint-") {
            Name::Checkpoint(lsn)
        } else if let Some(n) = number("spare-") {
            Name::Spare(n)
        } else {
            Name::Other
        }
    }
}

pub(crate) fn segment_name(base: u64) -> String {
    format!("log-{base:016x}")
}

pub(crate) fn checkpoint_name(lsn: u64) -> String {
    format!("checkpoint-{lsn:016x}")
}

pub(crate) fn spare_name(number: u64) -> String {
    format!("spare-{number:016x}")
}

/// Why a segment or checkpoint header was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// Wrong magic, checksum or length.
    Invalid,
    /// Written by a newer program, in this format version.
    Newer(u32),
    /// Written by a test build, in a format version that was never released.
    Older(u32),
}

impl From<Malformed> for BadHeader {
    fn from(_: Malformed) -> BadHeader {
        BadHeader::Invalid
    }
}

/// Pads a header to its size and ends it with its checksum.
fn sealed(mut header: Vec<u8>, size: usize) -> Vec<u8> {
    header.resize(size - 4, 0);
    let crc = crc32c::crc32c(&header);
    header.put_u32(crc);
    header
}

/// Checks magic, version and checksum; returns the fields between.
fn unsealed<'a>(header: &'a [u8], size: usize, magic: &[u8; 8], ours: u32) -> Result<Get<'a>, BadHeader> {
    let header = header.get(..size).ok_or(BadHeader::Invalid)?;
    let (body, crc) = header.split_at(size - 4);
    let mut fields = Get::new(body);
    if fields.take(8, "magic")? != magic {
        return Err(BadHeader::Invalid);
    }
    let version = fields.u32("version")?;
    if Get::new(crc).u32("checksum")? != crc32c::crc32c(body) {
        return Err(BadHeader::Invalid);
    }
    match version.cmp(&ours) {
        Ordering::Less => Err(BadHeader::Older(version)),
        Ordering::Equal => Ok(fields),
        Ordering::Greater => Err(BadHeader::Newer(version)),
    }
}

/// The start of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Whether the file held frames of an earlier stretch of the log before.
    pub(crate) recycled: bool,
    pub(crate) log_id: u64,
    pub(crate) base: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = SEGMENT_MAGIC.to_vec();
        out.put_u32(SEGMENT_VERSION);
        out.put_u32(u32::from(self.recycled));
        out.put_u64(self.log_id);
        out.put_u64(self.base);
        sealed(out, SEGMENT_HEADER)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<SegmentHeader, BadHeader> {
        let mut fields = unsealed(bytes, SEGMENT_HEADER, SEGMENT_MAGIC, SEGMENT_VERSION)?;
        Ok(SegmentHeader {
            recycled: fields.u32("flags")? & 1 != 0,
            log_id: fields.u64("log id")?,
            base: fields.u64("base")?,
        })
    }
}

/// The start of a checkpoint file; the snapshot follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CheckpointHeader {
    pub(crate) log_id: u64,
    /// The snapshot holds the effect of every record below this position, and of none above.
    pub(crate) lsn: u64,
    /// Of the payload.
    pub(crate) len: u64,
    pub(crate) crc: u32,
}

impl CheckpointHeader {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = CHECKPOINT_MAGIC.to_vec();
        out.put_u32(CHECKPOINT_VERSION);
        out.put_u32(0);
        out.put_u64(self.log_id);
        out.put_u64(self.lsn);
        out.put_u64(0);
        out.put_u64(self.len);
        out.put_u32(self.crc);
        sealed(out, CHECKPOINT_HEADER)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<CheckpointHeader, BadHeader> {
        let mut fields = unsealed(bytes, CHECKPOINT_HEADER, CHECKPOINT_MAGIC, CHECKPOINT_VERSION)?;
        fields.u32("zero")?;
        Ok(CheckpointHeader {
            log_id: fields.u64("log id")?,
            lsn: fields.u64("lsn")?,
            len: {
                fields.u64("zero")?;
                fields.u64("length")?
            },
            crc: fields.u32("checksum")?,
        })
    }
}

/// The start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) log_id: u64,
    pub(crate) lsn: u64,
    /// Bytes of records that follow, without padding.
    pub(crate) len: u32,
    pub(crate) payload_crc: u32,
}

impl FrameHeader {
    pub(crate) fn encode(self) -> [u8; FRAME_HEADER] {
        let mut out = [0; FRAME_HEADER];
        out[8..16].copy_from_slice(&self.log_id.to_le_bytes());
        out[16..24].copy_from_slice(&self.lsn.to_le_bytes());
        out[24..28].copy_from_slice(&self.len.to_le_bytes());
        out[28..32].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = crc32c::crc32c(&out[8..]);
        out[..4].copy_from_slice(FRAME_MAGIC);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` if the bytes are no frame header at all.
    pub(crate) fn decode(bytes: &[u8]) -> Option<FrameHeader> {
        let bytes = bytes.get(..FRAME_HEADER)?;
        if &bytes[..4] != FRAME_MAGIC {
            return None;
        }
        let mut fields = Get::new(&bytes[4..]);
        let crc = fields.u32("checksum").ok()?;
        if crc != crc32c::crc32c(&bytes[8..]) {
            return None;
        }
        Some(FrameHeader {
            log_id: fields.u64("log id").ok()?,
            lsn: fields.u64("lsn").ok()?,
            len: fields.u32("length").ok()?,
            payload_crc: fields.u32("checksum").ok()?,
        })
    }

    /// Whether bytes that are no header were one, of this log at this very place, before something small happened to
    /// them. Left over from an earlier use of the file is either a whole header of another place, or anything else.
    pub(crate) fn was(bytes: &[u8], log_id: u64, lsn: u64) -> bool {
        let field = |at: usize, wanted: &[u8]| bytes.get(at..at + wanted.len()) == Some(wanted);
        let fields = [
            field(0, FRAME_MAGIC),
            field(8, &log_id.to_le_bytes()),
            field(16, &lsn.to_le_bytes()),
        ];
        FrameHeader::decode(bytes).is_none() && fields.into_iter().filter(|same| *same).count() >= 2
    }

    /// Where the next frame begins.
    pub(crate) const fn next(&self) -> u64 {
        align_up(self.lsn + FRAME_HEADER as u64 + self.len as u64)
    }
}

/// One record as it lies in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawRecord<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) place: Place,
}

/// The records of a frame whose payload begins at `lsn`.
pub(crate) fn records(
    mut lsn: u64,
    payload: &[u8],
) -> impl Iterator<Item = Result<RawRecord<'_>, Malformed>> {
    let mut rest = Get::new(payload);
    std::iter::from_fn(move || {
        if rest.remaining() == 0 {
            return None;
        }
        Some(match rest.bytes("record") {
            Ok(payload) => {
                lsn += RECORD_HEADER as u64;
                let place = Place {
                    lsn,
                    len: payload.len() as u32,
                };
                lsn = place.end();
                Ok(RawRecord { payload, place })
            }
            Err(e) => {
                rest = Get::new(&[]);
                Err(e)
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_with_one_changed_bit_is_told_from_leftovers() {
        let header = |lsn| FrameHeader {
            log_id: 0x1234_5678_9abc_def0,
            lsn,
            len: 700,
            payload_crc: 0xdead_beef,
        };
        let whole = header(4_096).encode();
        let was = |bytes: &[u8]| FrameHeader::was(bytes, 0x1234_5678_9abc_def0, 4_096);
        for bit in 0..FRAME_HEADER * 8 {
            let mut damaged = whole;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(was(&damaged), "bit {bit}");
        }
        assert!(!was(&whole) && !was(&header(2_048).encode()) && !was(&[0; FRAME_HEADER]) && !was(b"text"));
    }

    #[test]
    fn names() {
        let check = |name: &str, expected| assert_eq!(Name::parse(name), expected, "{name}");
        check(&segment_name(0x40), Name::Segment(0x40));
        check(&checkpoint_name(u64::MAX), Name::Checkpoint(u64::MAX));
        check(&spare_name(7), Name::Spare(7));
        check("checkpoint.tmp", Name::Unfinished);
        for other in [
            "log-40",
            "log-zzzzzzzzzzzzzzzz",
            "lock",
            "",
            "log-é000000000000000",
        ] {
            check(other, Name::Other);
        }
    }

    #[test]
    fn a_newer_format_is_recognised_as_such() {
        let header = SegmentHeader {
            recycled: true,
            log_id: 1,
            base: 64,
        };
        let mut bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        bytes[8] = 9;
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(BadHeader::Newer(9)));
    }

    #[test]
    fn the_frame_layout_is_frozen() {
        let header = FrameHeader {
            log_id: 0x0102_0304_0506_0708,
            lsn: 64,
            len: 5,
            payload_crc: 6,
        };
        assert_eq!(
            header.encode(),
            *b"TSGF\x03\x82\xd8\x5a\x08\x07\x06\x05\x04\x03\x02\x01\x40\0\0\0\0\0\0\0\x05\0\0\0\x06\0\0\0"
        );
        assert_eq!(header.next(), 128);
    }

    proptest! {
        #[test]
        fn headers_round_trip(log_id: u64, lsn in 0..u64::MAX / 2, len: u32, crc: u32) {
            let frame = FrameHeader { log_id, lsn, len, payload_crc: crc };
            prop_assert_eq!(FrameHeader::decode(&frame.encode()), Some(frame));
            let segment = SegmentHeader { recycled: false, log_id, base: lsn };
            prop_assert_eq!(SegmentHeader::decode(&segment.encode()), Ok(segment));
            let checkpoint = CheckpointHeader { log_id, lsn, len: len.into(), crc };
            prop_assert_eq!(CheckpointHeader::decode(&checkpoint.encode()), Ok(checkpoint));
        }

        #[test]
        fn a_flipped_bit_never_passes(log_id: u64, bit in 0usize..FRAME_HEADER * 8) {
            let mut bytes = FrameHeader { log_id, lsn: 64, len: 9, payload_crc: 3 }.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(FrameHeader::decode(&bytes), None);
        }

        #[test]
        fn any_bytes_are_walked_without_panic(bytes: Vec<u8>, lsn in 0..u64::MAX / 2) {
            prop_assert!(records(lsn, &bytes).count() <= bytes.len());
            let _ = FrameHeader::decode(&bytes);
            let _ = SegmentHeader::decode(&bytes);
            let _ = CheckpointHeader::decode(&bytes);
        }
    }
}
