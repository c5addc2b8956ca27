//! Universally unique identifiers (RFC 9562), made from bytes that the caller supplies.

use std::fmt;
use std::str::FromStr;

use crate::invalid::Invalid;

/// A 128-bit identifier, shown as 36 lowercase characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// Stamps version 4 and the RFC variant onto 16 random bytes.
    pub const fn v4(mut random: [u8; 16]) -> Uuid {
        random[6] = (random[6] & 0x0f) | 0x40;
        random[8] = (random[8] & 0x3f) | 0x80;
        Uuid(random)
    }

    /// The 36 characters of the canonical text form, without allocating.
    pub fn text(&self) -> [u8; 36] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut out = [b'-'; 36];
        let mut at = 0;
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                at += 1;
            }
            out[at] = HEX[usize::from(byte >> 4)];
            out[at + 1] = HEX[usize::from(byte & 15)];
            at += 2;
        }
        out
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text();
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl FromStr for Uuid {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Uuid, Invalid> {
        let invalid = || {
            Invalid::new(
                "uuid",
                text,
                "must be 36 characters like 0123abcd-4567-89ab-cdef-0123456789ab",
            )
        };
        let bytes = text.as_bytes();
        if bytes.len() != 36 || [8, 13, 18, 23].iter().any(|&i| bytes[i] != b'-') {
            return Err(invalid());
        }
        let mut digits = bytes.iter().filter(|&&b| b != b'-');
        let mut out = [0u8; 16];
        for slot in &mut out {
            let mut nibble = || {
                digits
                    .next()
                    .and_then(|&b| char::from(b).to_digit(16))
                    .ok_or_else(invalid)
            };
            let (high, low) = (nibble()?, nibble()?);
            *slot = u8::try_from(high * 16 + low).map_err(|_| invalid())?;
        }
        Ok(Uuid(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        let id = Uuid::v4(*b"0123456789abcdef");
        assert_eq!(id.to_string().parse::<Uuid>().unwrap(), id);
        assert_eq!(id.to_string().len(), 36);
        assert_eq!(id.to_string().as_bytes()[14], b'4');
    }

    #[test]
    fn bad_text_is_refused() {
        for bad in [
            "",
            "x",
            "0123abcd-4567-89ab-cdef-0123456789a",
            "0123abcd-4567-89ab-cdef-0123456789ag",
            "0123abcd+4567-89ab-cdef-0123456789ab",
        ] {
            assert!(bad.parse::<Uuid>().is_err(), "{bad}");
        }
    }
}
