//! The MD5s that SDKs compute again and compare. MD5 guards against accidents here, not against people.

use md5::{Digest, Md5};

/// What the checksum of one message attribute covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Name of the attribute.
    pub name: &'a str,
    /// Full data type with its label, for example `Number.int`.
    pub data_type: &'a str,
    /// Raw bytes of the value.
    pub value: &'a [u8],
}

/// Lowercase hex MD5 of a message body.
pub fn of_body(body: &[u8]) -> String {
    hex(&Md5::digest(body))
}

/// Lowercase hex MD5 of message attributes; they may come in any order.
pub fn of_attributes(attributes: &[Attribute<'_>]) -> String {
    let mut sorted: Vec<&Attribute<'_>> = attributes.iter().collect();
    sorted.sort_by_key(|attribute| attribute.name);
    let mut md5 = Md5::new();
    for attribute in sorted {
        update_sized(&mut md5, attribute.name.as_bytes());
        update_sized(&mut md5, attribute.data_type.as_bytes());
        md5.update([if attribute.data_type.starts_with("Binary") {
            2
        } else {
            1
        }]);
        update_sized(&mut md5, attribute.value);
    }
    hex(&md5.finalize())
}

fn update_sized(md5: &mut Md5, bytes: &[u8]) {
    // Sizes are bounded by the body limit, far below 4 GiB.
    md5.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    md5.update(bytes);
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = vec![0; bytes.len() * 2];
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    // Digits are ASCII.
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors() {
        assert_eq!(of_body(b"hello"), "5d41402abc4b2a76b9719d911017c592");
        let attribute = |name, data_type, value| Attribute {
            name,
            data_type,
            value,
        };
        let attributes = [
            attribute("raw", "Binary", &[0, 1, 2][..]),
            attribute("city", "String", b"Kyoto"),
            attribute("n", "Number", b"42"),
        ];
        assert_eq!(of_attributes(&attributes), "6b36f918f49349474b07d5cd64027042");
    }
}
