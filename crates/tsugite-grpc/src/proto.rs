//! The little of Protocol Buffers that error details and health need: varints and length-delimited fields.

use tsugite_base::codec::Malformed;

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64([u8; 8]),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32([u8; 4]),
}

/// Appends a varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a varint field; nothing if the value is zero, the default.
pub fn put_number(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(field) << 3);
        put_varint(out, value);
    }
}

/// Appends a length-delimited field, even an empty one.
pub fn put_bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    put_varint(out, u64::from(field) << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a string field; nothing if it is empty, the default.
pub fn put_string(out: &mut Vec<u8>, field: u32, value: &str) {
    if !value.is_empty() {
        put_bytes(out, field, value.as_bytes());
    }
}

/// Goes through the fields of a message. Groups (wire types 3 and 4), long dead, are malformed here.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Starts at the first field.
    pub const fn new(message: &'a [u8]) -> Fields<'a> {
        Fields { rest: message }
    }

    /// The next field's number and value; `None` at the end.
    ///
    /// # Errors
    /// The bytes are not a message.
    pub fn next_field(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let field = u32::try_from(key >> 3).ok().filter(|&f| f > 0 && f < 1 << 29);
        let field = field.ok_or(Malformed {
            what: "protobuf field number",
        })?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.array()?),
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(self.array()?),
            _ => {
                return Err(Malformed {
                    what: "protobuf wire type",
                });
            }
        };
        Ok(Some((field, value)))
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed {
            what: "protobuf varint",
        })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let short = Malformed {
            what: "protobuf message: too short",
        };
        let (head, rest) = self.rest.split_at_checked(n).ok_or(short)?;
        self.rest = rest;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fields_round_trip(number in 1u64.., bytes in proptest::collection::vec(any::<u8>(), 0..50), field in 1u32..1 << 29) {
            let mut message = Vec::new();
            put_number(&mut message, field, number);
            put_bytes(&mut message, field, &bytes);
            let mut fields = Fields::new(&message);
            prop_assert_eq!(fields.next_field(), Ok(Some((field, Value::Varint(number)))));
            prop_assert_eq!(fields.next_field(), Ok(Some((field, Value::Bytes(&bytes)))));
            prop_assert_eq!(fields.next_field(), Ok(None));
        }

        #[test]
        fn garbage_ends(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut fields = Fields::new(&bytes);
            let mut seen = 0;
            while let Ok(Some(_)) = fields.next_field() {
                seen += 1;
            }
            prop_assert!(seen <= bytes.len());
        }
    }

    #[test]
    fn malformed_messages() {
        for bad in [
            &[0x08][..],
            &[0x00, 0x00],
            &[0x0b],
            &[0x12, 0x05, 1],
            &[0xff; 11],
            &[0x0d, 1, 2, 3],
        ] {
            assert!(Fields::new(bad).next_field().is_err(), "{bad:?}");
        }
    }
}
