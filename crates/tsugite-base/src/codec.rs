//! The byte codec of records and snapshots: little-endian integers, length-prefixed bytes.
//!
//! Decoding never panics and never allocates more than the input is long, whatever the bytes are.

use std::fmt;

use crate::time::Timestamp;

/// Bytes that do not decode; only corruption or a newer writer can cause it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What was being read.
    pub what: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed {}", self.what)
    }
}

impl std::error::Error for Malformed {}

/// Appends fields to a buffer.
pub trait Put {
    /// One byte.
    fn put_u8(&mut self, v: u8);
    /// Two bytes, little-endian.
    fn put_u16(&mut self, v: u16);
    /// Four bytes, little-endian.
    fn put_u32(&mut self, v: u32);
    /// Eight bytes, little-endian.
    fn put_u64(&mut self, v: u64);
    /// A four-byte length and the bytes.
    fn put_bytes(&mut self, v: &[u8]);
    /// A string, as its UTF-8 bytes.
    fn put_str(&mut self, v: &str) {
        self.put_bytes(v.as_bytes());
    }
    /// Eight bytes: milliseconds.
    fn put_time(&mut self, v: Timestamp) {
        self.put_u64(v.0);
    }
    /// A presence byte, then the value.
    fn put_option<T>(&mut self, v: Option<T>, put: impl FnOnce(&mut Self, T)) {
        match v {
            None => self.put_u8(0),
            Some(v) => {
                self.put_u8(1);
                put(self, v);
            }
        }
    }
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, v: u8) {
        self.push(v);
    }
    fn put_u16(&mut self, v: u16) {
        self.extend_from_slice(&v.to_le_bytes());
    }
    fn put_u32(&mut self, v: u32) {
        self.extend_from_slice(&v.to_le_bytes());
    }
    fn put_u64(&mut self, v: u64) {
        self.extend_from_slice(&v.to_le_bytes());
    }
    fn put_bytes(&mut self, v: &[u8]) {
        // Every length is bounded far below 4 GiB by `limits`; a longer slice is a bug, not an input.
        self.put_u32(u32::try_from(v.len()).expect("field under 4 GiB"));
        self.extend_from_slice(v);
    }
}

/// Reads fields from a slice, moving forward.
#[derive(Clone, Copy, Debug)]
pub struct Get<'a> {
    rest: &'a [u8],
}

impl<'a> Get<'a> {
    /// Starts at the beginning of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Get<'a> {
        Get { rest: bytes }
    }

    /// Bytes not yet read.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Fails unless everything was read.
    pub const fn end(&self, what: &'static str) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed { what })
        }
    }

    /// Exactly `n` bytes.
    pub fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(Malformed { what })?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N, what)?);
        Ok(out)
    }

    /// One byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        Ok(self.array::<1>(what)?[0])
    }

    /// Two bytes.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    /// Four bytes.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    /// Eight bytes.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// Sixteen bytes.
    pub fn bytes16(&mut self, what: &'static str) -> Result<[u8; 16], Malformed> {
        self.array(what)
    }

    /// A length and that many bytes.
    pub fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], Malformed> {
        let n = self.u32(what)?;
        self.take(n as usize, what)
    }

    /// A string.
    pub fn str(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes(what)?).map_err(|_| Malformed { what })
    }

    /// Milliseconds.
    pub fn time(&mut self, what: &'static str) -> Result<Timestamp, Malformed> {
        Ok(Timestamp(self.u64(what)?))
    }

    /// A presence byte, then the value.
    pub fn option<T>(
        &mut self,
        what: &'static str,
        get: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.u8(what)? {
            0 => Ok(None),
            1 => get(self).map(Some),
            _ => Err(Malformed { what }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_round_trip() {
        let mut b = Vec::new();
        b.put_u8(1);
        b.put_u16(2);
        b.put_u32(3);
        b.put_u64(4);
        b.put_str("five");
        b.put_option(Some(6u8), |b, v| b.put_u8(v));
        b.put_option(None::<u8>, |b, v| b.put_u8(v));
        let mut g = Get::new(&b);
        assert_eq!(
            (g.u8("a"), g.u16("b"), g.u32("c"), g.u64("d")),
            (Ok(1), Ok(2), Ok(3), Ok(4))
        );
        assert_eq!(g.str("e"), Ok("five"));
        assert_eq!(g.option("f", |g| g.u8("f")), Ok(Some(6)));
        assert_eq!(g.option("g", |g| g.u8("g")), Ok(None));
        assert_eq!(g.end("end"), Ok(()));
    }

    #[test]
    fn short_or_wrong_input_is_an_error() {
        assert!(Get::new(&[1, 2]).u32("x").is_err());
        assert!(Get::new(&[255, 255, 255, 255, 1]).bytes("x").is_err());
        assert!(Get::new(&[1, 0, 0, 0, 0xff]).str("x").is_err());
        assert!(Get::new(&[7]).option("x", |g| g.u8("x")).is_err());
    }
}
