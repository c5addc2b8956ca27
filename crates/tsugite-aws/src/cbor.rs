//! CBOR (RFC 8949) as far as Smithy's RPC v2 protocol uses it: bodies as the same bounded tree as JSON, and a writer.
//!
//! Read are integers, floats of every width, text, lists, maps with text keys, booleans, null and undefined, with
//! definite and indefinite lengths. Tags are stepped over, so that a timestamp is its number. Byte strings are
//! refused: no API that is spoken in CBOR here has a member of that type.

use std::borrow::Cow;

use crate::error::AwsError;
use crate::json::{Fields, Json};

/// Most values in one body: the bound of JSON bodies.
const MAX_VALUES: u32 = 10_000;
/// Deepest nesting of lists, maps and tags.
const MAX_DEPTH: u32 = 32;

/// The additional information of an item of indefinite length.
const INDEFINITE: u8 = 31;
/// Ends an item of indefinite length.
const BREAK: u8 = 0xff;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

/// Parses a request body, which must be one map; an empty body means an empty map.
pub fn parse(body: &[u8]) -> Result<Fields<'_>, AwsError> {
    if body.is_empty() {
        return Ok(Fields::default());
    }
    let mut reader = Reader {
        body,
        at: 0,
        values: MAX_VALUES,
    };
    let value = reader.value(MAX_DEPTH).map_err(|reason| reader.refuse(reason))?;
    if reader.at < body.len() {
        return Err(reader.refuse("there is more after its end"));
    }
    match value {
        Json::Object(fields) => Ok(fields),
        _ => Err(AwsError::serialization("The request body must be a CBOR map.")),
    }
}

struct Reader<'a> {
    body: &'a [u8],
    at: usize,
    /// Values that may still come.
    values: u32,
}

/// The first byte of an item with what belongs to it: major type, additional information, argument.
type Head = (u8, u8, u64);

impl<'a> Reader<'a> {
    fn refuse(&self, reason: &str) -> AwsError {
        AwsError::serialization(format!(
            "The request body is not valid CBOR: {reason}, at byte {}.",
            self.at
        ))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let end = self
            .at
            .checked_add(count)
            .filter(|end| *end <= self.body.len())
            .ok_or("it ends too early")?;
        let bytes = &self.body[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    fn number(&mut self, width: usize) -> Result<u64, &'static str> {
        let bytes = self.take(width)?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn head(&mut self) -> Result<Head, &'static str> {
        let first = self.take(1)?[0];
        let info = first & 0x1f;
        let argument = match info {
            0..=23 => u64::from(info),
            24..=27 => self.number(1 << (info - 24))?,
            INDEFINITE => 0,
            _ => return Err("a length is reserved"),
        };
        Ok((first >> 5, info, argument))
    }

    /// Whether an item of indefinite length ends here; steps over its end.
    fn ends(&mut self) -> bool {
        let ends = self.body.get(self.at) == Some(&BREAK);
        self.at += usize::from(ends);
        ends
    }

    fn value(&mut self, depth: u32) -> Result<Json<'a>, &'static str> {
        self.values = self
            .values
            .checked_sub(1)
            .ok_or("it holds more than 10000 values")?;
        let depth = depth.checked_sub(1).ok_or("it is nested too deeply")?;
        let (major, info, argument) = self.head()?;
        if info == INDEFINITE && !matches!(major, TEXT | LIST | MAP) {
            return Err("an end or a length is out of place");
        }
        match major {
            // Beyond i64 no parameter is in range; it stays a number so that the range check names it.
            UNSIGNED => Ok(i64::try_from(argument).map_or(Json::Float(argument as f64), Json::Int)),
            NEGATIVE => Ok(
                i64::try_from(argument).map_or(Json::Float(-1.0 - argument as f64), |n| Json::Int(-1 - n))
            ),
            TEXT => self.text(info, argument).map(Json::Text),
            LIST => self.list(info, argument, depth),
            MAP => self.map(info, argument, depth),
            TAG => self.value(depth),
            BYTES => Err("a byte string stands where none can"),
            _ => simple(info, argument),
        }
    }

    fn text(&mut self, info: u8, length: u64) -> Result<Cow<'a, str>, &'static str> {
        if info != INDEFINITE {
            return self.chunk(length).map(Cow::Borrowed);
        }
        let mut whole = String::new();
        while !self.ends() {
            match self.head()? {
                (TEXT, info, length) if info != INDEFINITE => whole.push_str(self.chunk(length)?),
                _ => return Err("a text holds something else"),
            }
        }
        Ok(Cow::Owned(whole))
    }

    fn chunk(&mut self, length: u64) -> Result<&'a str, &'static str> {
        let length = usize::try_from(length).map_err(|_| "it ends too early")?;
        std::str::from_utf8(self.take(length)?).map_err(|_| "a text is not UTF-8")
    }

    fn list(&mut self, info: u8, length: u64, depth: u32) -> Result<Json<'a>, &'static str> {
        let mut values = Vec::new();
        let mut left = length;
        while self.goes_on(info, &mut left) {
            values.push(self.value(depth)?);
        }
        Ok(Json::List(values))
    }

    fn map(&mut self, info: u8, length: u64, depth: u32) -> Result<Json<'a>, &'static str> {
        let mut members = Vec::new();
        let mut left = length;
        while self.goes_on(info, &mut left) {
            let (major, info, length) = self.head()?;
            if major != TEXT {
                return Err("a key is no text");
            }
            let key = self.text(info, length)?;
            members.push((key, self.value(depth)?));
        }
        Ok(Json::Object(Fields::from_members(members)))
    }

    /// Whether another entry of a list or a map follows. A length that the body cannot hold ends with the body.
    fn goes_on(&mut self, info: u8, left: &mut u64) -> bool {
        if info == INDEFINITE {
            return !self.ends();
        }
        let more = *left > 0;
        *left = left.saturating_sub(1);
        more
    }
}

/// Booleans, nothing, and floats.
fn simple<'a>(info: u8, argument: u64) -> Result<Json<'a>, &'static str> {
    match info {
        20 => Ok(Json::Bool(false)),
        21 => Ok(Json::Bool(true)),
        22 | 23 => Ok(Json::Null),
        25 => Ok(Json::Float(half(argument))),
        26 => {
            let bits = u32::try_from(argument).map_err(|_| "a float is too wide")?;
            Ok(Json::Float(f32::from_bits(bits).into()))
        }
        27 => Ok(Json::Float(f64::from_bits(argument))),
        _ => Err("a simple value has no meaning"),
    }
}

/// A float of sixteen bits: sign, five bits of exponent, ten of fraction.
fn half(bits: u64) -> f64 {
    let fraction = (bits & 0x3ff) as f64;
    let magnitude = match (bits >> 10) & 0x1f {
        0 => fraction * 2f64.powi(-24),
        0x1f if fraction == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        exponent => (1024.0 + fraction) * 2f64.powi(exponent as i32 - 25),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}

/// Writes CBOR straight into a buffer; maps and lists have indefinite lengths. The caller pairs `begin` with `end`.
pub struct CborWriter<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> CborWriter<'o> {
    /// A writer that appends to `out`.
    pub fn new(out: &'o mut Vec<u8>) -> CborWriter<'o> {
        CborWriter { out }
    }

    /// Opens a map.
    pub fn begin(&mut self) {
        self.out.push(MAP << 5 | INDEFINITE);
    }

    /// Opens a list.
    pub fn begin_list(&mut self) {
        self.out.push(LIST << 5 | INDEFINITE);
    }

    /// Closes a map or a list.
    pub fn end(&mut self) {
        self.out.push(BREAK);
    }

    /// Writes a text: a key, a value or an entry of a list.
    pub fn text(&mut self, text: &str) {
        self.head(TEXT, text.len() as u64);
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Writes an integer.
    pub fn int(&mut self, number: i64) {
        match u64::try_from(number) {
            Ok(number) => self.head(UNSIGNED, number),
            Err(_) => self.head(NEGATIVE, !(number as u64)),
        }
    }

    /// Writes a boolean.
    pub fn bool(&mut self, value: bool) {
        self.out.push(if value { 0xf5 } else { 0xf4 });
    }

    /// Writes a time, given in milliseconds since the epoch.
    pub fn time(&mut self, millis: u64) {
        self.head(TAG, 1);
        self.out.push(0xfb);
        let seconds = millis as f64 / 1000.0;
        self.out.extend_from_slice(&seconds.to_bits().to_be_bytes());
    }

    /// Writes the type of an item with its argument, as short as it can be.
    fn head(&mut self, major: u8, argument: u64) {
        let bytes = argument.to_be_bytes();
        let (info, width) = match argument {
            0..=23 => (bytes[7], 0),
            24..=0xff => (24, 1),
            0x100..=0xffff => (25, 2),
            0x1_0000..=0xffff_ffff => (26, 4),
            _ => (27, 8),
        };
        self.out.push(major << 5 | info);
        self.out.extend_from_slice(&bytes[8 - width..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex
            .chars()
            .filter_map(|c| c.to_digit(16))
            .map(|digit| digit as u8)
            .collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// The value of the one member `a` of a map.
    fn member(hex: &str) -> Result<Json<'static>, String> {
        let body = bytes(&format!("a1 61 61 {hex}")).leak();
        let fields = parse(body).map_err(|error| error.message)?;
        let value = fields.iter().next().map(|(_, value)| value.clone());
        Ok(value.unwrap())
    }

    /// The examples of RFC 8949, appendix A.
    #[test]
    fn values() {
        let text = |text: &'static str| Json::Text(Cow::Borrowed(text));
        for (hex, expected) in [
            ("00", Json::Int(0)),
            ("17", Json::Int(23)),
            ("18 18", Json::Int(24)),
            ("19 03e8", Json::Int(1_000)),
            ("1a 000f4240", Json::Int(1_000_000)),
            ("1b 000000e8d4a51000", Json::Int(1_000_000_000_000)),
            ("1b ffffffffffffffff", Json::Float(18_446_744_073_709_551_615.0)),
            ("20", Json::Int(-1)),
            ("39 03e7", Json::Int(-1_000)),
            ("3b 7fffffffffffffff", Json::Int(i64::MIN)),
            ("3b ffffffffffffffff", Json::Float(-18_446_744_073_709_551_616.0)),
            ("f9 3c00", Json::Float(1.0)),
            ("f9 3e00", Json::Float(1.5)),
            ("f9 7bff", Json::Float(65_504.0)),
            ("f9 0001", Json::Float(5.960_464_477_539_063e-8)),
            ("f9 0400", Json::Float(0.000_061_035_156_25)),
            ("f9 c400", Json::Float(-4.0)),
            ("f9 fc00", Json::Float(f64::NEG_INFINITY)),
            ("fa 47c35000", Json::Float(100_000.0)),
            ("fb 3ff199999999999a", Json::Float(1.1)),
            ("f4", Json::Bool(false)),
            ("f5", Json::Bool(true)),
            ("f6", Json::Null),
            ("f7", Json::Null),
            ("c1 1a 514b67b0", Json::Int(1_363_896_240)),
            ("c1 fb 41d452d9ec200000", Json::Float(1_363_896_240.5)),
            ("60", text("")),
            ("64 49455446", text("IETF")),
            ("62 c3bc", text("ü")),
            ("80", Json::List(vec![])),
            (
                "83 01 02 03",
                Json::List(vec![Json::Int(1), Json::Int(2), Json::Int(3)]),
            ),
            (
                "9f 01 82 02 03 ff",
                Json::List(vec![Json::Int(1), Json::List(vec![Json::Int(2), Json::Int(3)])]),
            ),
            ("bf ff", Json::Object(Fields::default())),
        ] {
            assert_eq!(member(hex), Ok(expected), "{hex}");
        }
        assert!(matches!(member("f9 7e00"), Ok(Json::Float(nan)) if nan.is_nan()));
        let streaming = member("7f 65 7374726561 64 6d696e67 ff");
        assert_eq!(streaming, Ok(text("streaming")));
        assert_eq!(parse(b"").unwrap(), Fields::default());
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (hex, expected) in [
            ("01", "must be a CBOR map"),
            ("80", "must be a CBOR map"),
            ("a0 00", "more after its end, at byte 1"),
            ("a1 61 61", "ends too early"),
            ("a1 01 01", "a key is no text"),
            ("a1 61 61 41 00", "a byte string"),
            ("a1 61 61 61 ff", "not UTF-8"),
            ("a1 61 61 7b ffffffffffffffff", "ends too early"),
            ("a1 61 61 9b ffffffffffffffff", "ends too early"),
            ("bb ffffffffffffffff", "ends too early"),
            ("a1 61 61 1c", "a length is reserved"),
            ("a1 61 61 ff", "out of place"),
            ("a1 61 61 1f", "out of place"),
            ("a1 61 61 df", "out of place"),
            ("a1 61 61 e0", "no meaning"),
            ("a1 61 61 f8 20", "no meaning"),
            ("a1 61 61 7f 01 ff", "holds something else"),
            ("a1 61 61 7f 7f ff ff", "holds something else"),
            ("bf 61 61", "ends too early"),
        ] {
            let error = parse(&bytes(hex)).unwrap_err();
            assert_eq!(error.shape, "SerializationException");
            assert!(error.message.contains(expected), "{hex}: {}", error.message);
        }
        for nested in ["81", "c1", "a1 61 61", "9f"] {
            let error = parse(&bytes(&format!("a1 61 61 {}", nested.repeat(100_000)))).unwrap_err();
            assert!(
                error.message.contains("nested too deeply"),
                "{nested}: {}",
                error.message
            );
        }
        let mut many = bytes("a1 61 61 9f");
        many.extend(std::iter::repeat_n(0, 10_000));
        many.push(BREAK);
        assert!(
            parse(&many)
                .unwrap_err()
                .message
                .contains("more than 10000 values")
        );
    }

    proptest! {
        #[test]
        fn garbage_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&body);
        }

        #[test]
        fn what_is_written_is_read(text in any::<String>(), number in any::<i64>(), on in any::<bool>(), millis in 0..1u64 << 48) {
            let mut out = Vec::new();
            let mut writer = CborWriter::new(&mut out);
            writer.begin();
            writer.text("text");
            writer.text(&text);
            writer.text("list");
            writer.begin_list();
            writer.int(number);
            writer.bool(on);
            writer.time(millis);
            writer.end();
            writer.end();
            let fields = parse(&out).unwrap();
            prop_assert_eq!(fields.text("text").unwrap(), Some(text.as_str()));
            let expected = [Json::Int(number), Json::Bool(on), Json::Float(millis as f64 / 1000.0)];
            prop_assert_eq!(fields.list("list").unwrap(), &expected[..]);
        }
    }
}
