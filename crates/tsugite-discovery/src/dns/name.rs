//! Domain names in wire form: length-prefixed labels, at most 255 bytes with the root's zero.

use std::fmt;

/// Longest name in bytes, with all length bytes and the root.
const NAME_BYTES: usize = 255;
/// Longest label in bytes.
const LABEL_BYTES: usize = 63;
/// Compression pointers that one name may follow; honest messages need one or two.
const POINTERS: usize = 16;

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

    /// Reads the name at `at` in a message, following compression pointers, which must point backwards.
    /// Answers the name and the position after it.
    pub(super) fn parse(message: &[u8], at: usize) -> Result<(Name, usize), BadName> {
        let mut wire = Vec::with_capacity(64);
        let mut position = at;
        let mut after = None;
        let mut pointers = 0;
        loop {
            let length = *message.get(position).ok_or(BadName { why: "cut off" })?;
            match length {
                0 => {
                    wire.push(0);
                    let name = Name { wire: wire.into() };
                    return Ok((name, after.unwrap_or(position + 1)));
                }
                1..=0x3f => {
                    let label = message
                        .get(position + 1..position + 1 + usize::from(length))
                        .ok_or(BadName { why: "cut off" })?;
                    push_label(&mut wire, label)?;
                    position += 1 + label.len();
                }
                0xc0.. => {
                    let low = *message.get(position + 1).ok_or(BadName { why: "cut off" })?;
                    let target = usize::from(length & 0x3f) << 8 | usize::from(low);
                    pointers += 1;
                    if target >= position || pointers > POINTERS {
                        return bad("compression pointer that loops");
                    }
                    after = after.or(Some(position + 2));
                    position = target;
                }
                0x40..=0xbf => return bad("unknown label type"),
            }
        }
    }

    /// The wire form, uncompressed.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The labels, without the root.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = &self.wire;
        std::iter::from_fn(move || {
            let (&length, tail) = rest.split_first()?;
            let (label, tail) = tail
                .split_at_checked(usize::from(length))
                .filter(|_| length > 0)?;
            rest = tail;
            Some(label)
        })
    }

    /// The name in lower case without trailing dot, for looking it up; `None` if a label holds a dot or is not
    /// UTF-8, which no name of ours does.
    pub fn lookup_key(&self) -> Option<String> {
        let mut key = String::with_capacity(self.wire.len());
        for label in self.labels() {
            let label = std::str::from_utf8(label)
                .ok()
                .filter(|label| !label.contains('.'))?;
            if !key.is_empty() {
                key.push('.');
            }
            key.push_str(label);
        }
        key.make_ascii_lowercase();
        Some(key)
    }

    /// Offsets in the wire form at which labels start: the suffixes that compression can point at.
    pub(super) fn suffixes(&self) -> impl Iterator<Item = usize> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let length = usize::from(*self.wire.get(at)?);
            let start = at;
            at += 1 + length;
            (length > 0).then_some(start)
        })
    }
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
        for label in self.labels() {
            if !first {
                f.write_str(".")?;
            }
            first = false;
            write!(f, "{}", label.escape_ascii())?;
        }
        if first { f.write_str(".") } else { Ok(()) }
    }
}
