//! Domain names in wire form: length-prefixed labels, at most 255 bytes with the root's zero.

use std::fmt;

/// Longest name in bytes, with all length bytes and the root.
const NAME_BYTES: usize = 255;
/// Longest label in bytes.
pub(super) const LABEL_BYTES: usize = 63;

/// Not a domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadName {
    /// What is wrong with it.
    pub why: &'static str,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a domain name: {}", self.why)
    }
}

impl std::error::Error for BadName {}

const fn bad<T>(why: &'static str) -> Result<T, BadName> {
    Err(BadName { why })
}

/// A domain name, its case kept; always absolute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    wire: Box<[u8]>,
}

impl Name {
    /// Reads dotted text; a trailing dot is allowed and `.` is the root. Every byte but the dot stands for itself.
    pub fn from_text(text: &str) -> Result<Name, BadName> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.split('.').filter(|_| !text.is_empty()) {
            push_label(&mut wire, label.as_bytes())?;
        }
        wire.push(0);
        Ok(Name { wire: wire.into() })
    }

    /// This name under `parent`'s labels: `label.parent`. `labels` may hold dots.
    pub fn under(labels: &str, parent: &Name) -> Result<Name, BadName> {
        let mut wire = Vec::with_capacity(labels.len() + 1 + parent.wire.len());
        for label in labels.split('.') {
            push_label(&mut wire, label.as_bytes())?;
        }
        if wire.len() + parent.wire.len() > NAME_BYTES {
            return bad("longer than 255 bytes");
        }
        wire.extend_from_slice(&parent.wire);
        Ok(Name { wire: wire.into() })
    }

    /// Whether `labels`, which may hold dots, can stand before a name of `rest` bytes.
    pub(super) fn fits(labels: &str, rest: usize) -> bool {
        let label = |label: &str| (1..=LABEL_BYTES).contains(&label.len());
        labels.split('.').all(label) && labels.len() + 1 + rest <= NAME_BYTES
    }

    /// The wire form, uncompressed.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The wire form in lower case: what names are looked up by.
    pub(super) fn lower(&self) -> Box<[u8]> {
        // Length bytes are below the letters.
        self.wire.to_ascii_lowercase().into()
    }
}

/// The labels of a name in wire form, without the root; it may also be the front part of one.
pub(super) fn labels(mut wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&length, tail) = wire.split_first()?;
        let (label, tail) = tail
            .split_at_checked(usize::from(length))
            .filter(|_| length > 0)?;
        wire = tail;
        Some(label)
    })
}

/// The offsets at which the labels of a name in wire form begin.
pub(super) fn starts(wire: &[u8]) -> impl Iterator<Item = usize> {
    let mut at = 0;
    labels(wire).map(move |label| {
        let start = at;
        at += 1 + label.len();
        start
    })
}

fn push_label(wire: &mut Vec<u8>, label: &[u8]) -> Result<(), BadName> {
    let length = match u8::try_from(label.len()) {
        Ok(0) => return bad("empty label"),
        Ok(length) if label.len() <= LABEL_BYTES => length,
        _ => return bad("label longer than 63 bytes"),
    };
    // One more byte for the root.
    if wire.len() + 1 + label.len() + 1 > NAME_BYTES {
        return bad("longer than 255 bytes");
    }
    wire.push(length);
    wire.extend_from_slice(label);
    Ok(())
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for label in labels(&self.wire) {
            if !first {
                f.write_str(".")?;
            }
            first = false;
            write!(f, "{}", label.escape_ascii())?;
        }
        if first { f.write_str(".") } else { Ok(()) }
    }
}
