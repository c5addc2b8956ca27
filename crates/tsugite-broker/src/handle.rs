//! Receipt handles: a queue, a message, and which of its deliveries, with a checksum, as hexadecimal text.

use tsugite_base::Timestamp;
use tsugite_base::codec::{Get, Put};

use crate::error::HandleInvalid;
use crate::keys::QueueId;

/// What a receipt handle says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) queue: QueueId,
    /// The message's place in its queue.
    pub(crate) seq: u64,
    /// The receive count with this delivery.
    pub(crate) count: u32,
    /// When the lease began, in the machine's time. A crash may forget a lease and count it anew; the time
    /// still tells the two apart.
    pub(crate) leased: Timestamp,
}

const VERSION: u8 = 1;
const BYTES: usize = 1 + 4 + 8 + 4 + 8 + 4;
const _: () = assert!(BYTES * 2 <= tsugite_base::limits::RECEIPT_HANDLE_CHARS);

impl Handle {
    pub(crate) fn text(self) -> String {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.put_u8(VERSION);
        bytes.put_u32(self.queue.0);
        bytes.put_u64(self.seq);
        bytes.put_u32(self.count);
        bytes.put_time(self.leased);
        bytes.put_u32(crc32c::crc32c(&bytes));
        let mut text = String::with_capacity(BYTES * 2);
        for byte in bytes {
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
        text
    }

    /// Reads a handle and checks that it is one of `queue`.
    pub(crate) fn parse(text: &str, queue: QueueId) -> Result<Handle, HandleInvalid> {
        Handle::read(text)
            .filter(|handle| handle.queue == queue)
            .ok_or_else(|| HandleInvalid {
                handle: text.chars().take(80).collect(),
            })
    }

    pub(crate) fn read(text: &str) -> Option<Handle> {
        let text = text.as_bytes();
        if text.len() != BYTES * 2 {
            return None;
        }
        let nibble = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; BYTES];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*sum) || body[0] != VERSION {
            return None;
        }
        let mut get = Get::new(&body[1..]);
        Some(Handle {
            queue: QueueId(get.u32("handle").ok()?),
            seq: get.u64("handle").ok()?,
            count: get.u32("handle").ok()?,
            leased: get.time("handle").ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_round_trip_and_notice_every_changed_character() {
        let handle = Handle {
            queue: QueueId(7),
            seq: u64::MAX - 1,
            count: 3,
            leased: Timestamp(1_700_000_000_123),
        };
        let text = handle.text();
        assert_eq!(Handle::parse(&text, QueueId(7)), Ok(handle));
        assert!(Handle::parse(&text, QueueId(8)).is_err());
        for i in 0..text.len() {
            let mut bad = text.clone().into_bytes();
            bad[i] = if bad[i] == b'0' { b'1' } else { b'0' };
            assert!(
                Handle::parse(std::str::from_utf8(&bad).unwrap(), QueueId(7)).is_err(),
                "{i}"
            );
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "x", &"0".repeat(58), &"é".repeat(29), &"a".repeat(5_000)] {
            let e = Handle::parse(bad, QueueId(1)).unwrap_err();
            assert!(e.handle.len() <= 160);
        }
    }
}
