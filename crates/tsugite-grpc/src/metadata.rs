//! Metadata values: the percent-encoded `grpc-message` and base64 `-bin` values.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Writes without padding, reads with or without it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Writes a `grpc-message` value: printable ASCII but `%` stays, every other byte of the UTF-8 text is escaped.
pub fn encode_message(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            0x20..=0x7e if byte != b'%' => out.push(char::from(byte)),
            _ => {
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    out
}

/// Reads a `grpc-message` value. Never fails: a broken escape stays as it is, and bytes that are no UTF-8 become
/// the replacement character.
pub fn decode_message(value: &[u8]) -> String {
    let digit = |at: usize| value.get(at).and_then(|&b| char::from(b).to_digit(16));
    let mut out = Vec::with_capacity(value.len());
    let mut at = 0;
    while at < value.len() {
        match (value[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Writes a `-bin` value: base64 without padding.
pub fn encode_bin(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Reads a `-bin` field: values joined by commas, each base64 with or without padding. `None` if one of them is not.
pub fn decode_bin(field: &[u8]) -> Option<Vec<Vec<u8>>> {
    field
        .split(|&b| b == b',')
        .map(|value| BASE64.decode(value.trim_ascii()).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages() {
        assert_eq!(encode_message("circuit open: a.b"), "circuit open: a.b");
        assert_eq!(encode_message("50% café\n"), "50%25 caf%C3%A9%0A");
        for (raw, text) in [
            ("%", "%"),
            ("%4", "%4"),
            ("%zz", "%zz"),
            ("%41%", "A%"),
            ("%%41", "%A"),
            ("a%2fb", "a/b"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(decode_message(raw.as_bytes()), text, "{raw}");
        }
    }

    #[test]
    fn binary_values() {
        assert_eq!(encode_bin(&[1]), "AQ");
        assert_eq!(decode_bin(b"AQ"), Some(vec![vec![1]]));
        assert_eq!(decode_bin(b"AQ==, AgM"), Some(vec![vec![1], vec![2, 3]]));
        assert_eq!(decode_bin(b""), Some(vec![vec![]]));
        for bad in ["A", "A-_", "AQ=A", "é"] {
            assert_eq!(decode_bin(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn messages_round_trip(text in "\\PC*") {
            let raw = encode_message(&text);
            prop_assert!(raw.bytes().all(|b| (0x20..=0x7e).contains(&b)));
            prop_assert_eq!(decode_message(raw.as_bytes()), text);
        }

        #[test]
        fn binary_round_trips(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(decode_bin(encode_bin(&bytes).as_bytes()), Some(vec![bytes]));
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = (decode_message(&bytes), decode_bin(&bytes));
        }
    }
}
