//! Length-prefixed messages: a flag byte, a length in four bytes (big-endian), the payload.

use std::fmt;

/// Bytes before each payload.
pub const HEADER_BYTES: usize = 5;
/// The largest message that is accepted unless configured otherwise.
pub const DEFAULT_LIMIT: u32 = 4 * 1024 * 1024;

/// The five bytes before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether the payload is compressed with the call's `grpc-encoding`.
    pub compressed: bool,
    /// Bytes of the payload.
    pub length: u32,
}

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A flag that gRPC does not define: INTERNAL (13).
    BadFlag(u8),
    /// Longer than the limit: RESOURCE_EXHAUSTED (8). Nothing of the payload was read.
    TooLong {
        /// What the header announced.
        length: u32,
        /// What is allowed.
        limit: u32,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::BadFlag(flag) => write!(f, "gRPC message with unknown flags {flag:#04x}"),
            FrameError::TooLong { length, limit } => {
                write!(f, "gRPC message of {length} bytes, over the limit of {limit}")
            }
        }
    }
}

impl std::error::Error for FrameError {}

impl FrameHeader {
    /// Reads a header.
    ///
    /// # Errors
    /// An undefined flag, or a length over `limit`.
    pub const fn parse(
        [flag, a, b, c, d]: [u8; HEADER_BYTES],
        limit: u32,
    ) -> Result<FrameHeader, FrameError> {
        let length = u32::from_be_bytes([a, b, c, d]);
        match flag {
            0 | 1 if length <= limit => Ok(FrameHeader {
                compressed: flag == 1,
                length,
            }),
            0 | 1 => Err(FrameError::TooLong { length, limit }),
            _ => Err(FrameError::BadFlag(flag)),
        }
    }

    /// Writes a header.
    pub const fn encode(self) -> [u8; HEADER_BYTES] {
        let [a, b, c, d] = self.length.to_be_bytes();
        [self.compressed as u8, a, b, c, d]
    }
}

/// Follows messages through the chunks of a body, without keeping any payload.
#[derive(Clone, Debug)]
pub struct Scanner {
    limit: u32,
    header: [u8; HEADER_BYTES],
    header_len: usize,
    /// Bytes of the current payload still to come.
    payload: u32,
    messages: u64,
}

impl Scanner {
    /// A scanner at the start of a body that refuses messages over `limit` bytes.
    pub const fn new(limit: u32) -> Scanner {
        Scanner {
            limit,
            header: [0; HEADER_BYTES],
            header_len: 0,
            payload: 0,
            messages: 0,
        }
    }

    /// Goes through the next chunk.
    ///
    /// # Errors
    /// As [`FrameHeader::parse`]; the scanner must not be used after that.
    pub fn feed(&mut self, mut chunk: &[u8]) -> Result<(), FrameError> {
        while !chunk.is_empty() {
            if self.payload > 0 {
                let take = chunk.len().min(self.payload as usize);
                self.payload -= take as u32;
                chunk = &chunk[take..];
                self.messages += u64::from(self.payload == 0);
                continue;
            }
            let take = chunk.len().min(HEADER_BYTES - self.header_len);
            self.header[self.header_len..self.header_len + take].copy_from_slice(&chunk[..take]);
            self.header_len += take;
            chunk = &chunk[take..];
            if self.header_len == HEADER_BYTES {
                self.header_len = 0;
                self.payload = FrameHeader::parse(self.header, self.limit)?.length;
                self.messages += u64::from(self.payload == 0);
            }
        }
        Ok(())
    }

    /// Complete messages so far.
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// Whether the body may end here: between two messages.
    pub const fn at_boundary(&self) -> bool {
        self.payload == 0 && self.header_len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headers() {
        let header = FrameHeader {
            compressed: true,
            length: 0x0102_0304,
        };
        assert_eq!(header.encode(), [1, 1, 2, 3, 4]);
        assert_eq!(FrameHeader::parse(header.encode(), u32::MAX), Ok(header));
        assert_eq!(
            FrameHeader::parse([2, 0, 0, 0, 0], 10),
            Err(FrameError::BadFlag(2))
        );
        assert_eq!(
            FrameHeader::parse([0, 0, 0, 0, 11], 10),
            Err(FrameError::TooLong {
                length: 11,
                limit: 10
            })
        );
        assert!(FrameHeader::parse([0, 0xff, 0xff, 0xff, 0xff], DEFAULT_LIMIT).is_err());
    }

    proptest! {
        #[test]
        fn any_cut_into_chunks_counts_the_same(
            lengths in proptest::collection::vec(0u32..40, 0..10),
            cuts in proptest::collection::vec(0usize..500, 0..10),
        ) {
            let mut body = Vec::new();
            for &length in &lengths {
                body.extend_from_slice(&FrameHeader { compressed: false, length }.encode());
                body.resize(body.len() + length as usize, 0xff);
            }
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let mut scanner = Scanner::new(40);
            for pair in cuts.windows(2) {
                scanner.feed(&body[pair[0]..pair[1]]).unwrap();
            }
            prop_assert_eq!(scanner.messages(), lengths.len() as u64);
            prop_assert!(scanner.at_boundary());
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut scanner = Scanner::new(DEFAULT_LIMIT);
            let _ = scanner.feed(&bytes);
        }
    }

    #[test]
    fn a_truncated_message_is_no_boundary() {
        let mut scanner = Scanner::new(100);
        scanner.feed(&[0, 0, 0, 0, 2, 9]).unwrap();
        assert!(!scanner.at_boundary() && scanner.messages() == 0);
        scanner.feed(&[9, 0]).unwrap();
        assert!(!scanner.at_boundary() && scanner.messages() == 1);
    }
}
