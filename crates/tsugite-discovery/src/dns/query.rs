//! Reading queries, without allocating: the name is copied once, in lower case, to where it can be looked up.

use super::{Code, PLAIN_UDP_SIZE, kind};

/// Bytes of a message header.
pub(super) const HEADER: usize = 12;
/// Longest name in bytes, with all length bytes and the root.
const NAME_BYTES: usize = 255;
/// Records that may follow the question; honest queries carry one OPT and perhaps a signature.
const ADDITIONAL: u16 = 8;

/// A query with its one question.
#[derive(Clone, Debug)]
pub struct Query<'m> {
    message: &'m [u8],
    /// The name in wire form and lower case.
    lower: [u8; NAME_BYTES],
    length: usize,
    /// Record type asked for; see [`kind`].
    pub kind: u16,
    /// Class asked for.
    pub class: u16,
    /// EDNS, if the client speaks it.
    pub edns: Option<Edns>,
}

/// What the client's OPT record says. Its options are all unknown to us and passed over (RFC 6891 section 6.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// UDP bytes that it takes.
    pub udp_size: u16,
    /// 0 for all known clients.
    pub version: u8,
    /// Whether it understands DNSSEC; echoed.
    pub dnssec_ok: bool,
}

/// A message that is no query that we can answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadQuery {
    /// Not worth an answer: shorter than a header, or itself an answer (replying could make two servers talk forever).
    Ignore,
    /// To be answered with this header and nothing else.
    Answer([u8; HEADER]),
}

impl<'m> Query<'m> {
    /// Reads a query.
    pub fn parse(message: &'m [u8]) -> Result<Query<'m>, BadQuery> {
        let Some(header) = message.first_chunk::<HEADER>() else {
            return Err(BadQuery::Ignore);
        };
        if header[2] & 0x80 != 0 {
            return Err(BadQuery::Ignore);
        }
        if header[2] & 0x78 != 0 {
            return refuse(header, Code::NotImp);
        }
        let additional = u16::from_be_bytes([header[10], header[11]]);
        // One question, and neither answers nor authorities.
        if header[4..10] != [0, 1, 0, 0, 0, 0] || additional > ADDITIONAL {
            return refuse(header, Code::FormErr);
        }
        match parse_sections(message, additional) {
            Some(query) => Ok(query),
            None => refuse(header, Code::FormErr),
        }
    }

    /// The name in wire form and lower case.
    pub fn name(&self) -> &[u8] {
        &self.lower[..self.length]
    }

    /// The question as it came, in the client's case, which is echoed (DNS 0x20).
    pub fn question(&self) -> &'m [u8] {
        &self.message[HEADER..HEADER + self.length + 4]
    }

    /// The whole message.
    pub fn message(&self) -> &'m [u8] {
        self.message
    }

    /// Recursion desired; echoed.
    pub const fn recursion_desired(&self) -> bool {
        self.message[2] & 1 != 0
    }

    /// Longest answer over UDP, of which `most` is sent at most.
    pub fn udp_limit(&self, most: u16) -> usize {
        let offered = self.edns.map_or(PLAIN_UDP_SIZE, |edns| edns.udp_size);
        usize::from(offered.clamp(PLAIN_UDP_SIZE, most.max(PLAIN_UDP_SIZE)))
    }
}

/// The client's id, operation and RD, with a code; `QR` set.
fn refuse<T>(header: &[u8; HEADER], code: Code) -> Result<T, BadQuery> {
    let [_, low] = code.number().to_be_bytes();
    let mut answer = [0; HEADER];
    answer[..2].copy_from_slice(&header[..2]);
    answer[2] = 0x80 | header[2] & 0x79;
    answer[3] = low;
    Err(BadQuery::Answer(answer))
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    let bytes = message.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

fn parse_sections(message: &[u8], additional: u16) -> Option<Query<'_>> {
    let end = question_name_end(message)?;
    let name = &message[HEADER..end];
    let (kind, class) = (u16_at(message, end)?, u16_at(message, end + 2)?);
    if kind == kind::OPT {
        return None;
    }
    let edns = parse_additional(message, end + 4, additional)?;
    let mut lower = [0; NAME_BYTES];
    lower[..name.len()].copy_from_slice(name);
    // Length bytes are below the letters.
    lower[..name.len()].make_ascii_lowercase();
    Some(Query {
        message,
        lower,
        length: name.len(),
        kind,
        class,
        edns,
    })
}

/// Where the name of the question ends. A first name has nothing to point at, so that compression there is an error.
fn question_name_end(message: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1 + length;
        match length {
            0 => return (at - HEADER <= NAME_BYTES).then_some(at),
            1..=0x3f => {}
            _ => return None,
        }
    }
}

/// The OPT record among the records after the question; `None` if they cannot be read or hold two of them.
fn parse_additional(message: &[u8], mut at: usize, count: u16) -> Option<Option<Edns>> {
    let mut edns = None;
    for _ in 0..count {
        let fixed = skip_name(message, at)?;
        let data = fixed + 10;
        let length = usize::from(u16_at(message, fixed + 8)?);
        let options = message.get(data..data + length)?;
        if u16_at(message, fixed)? == kind::OPT {
            if edns.is_some() || fixed != at + 1 || !are_options(options) {
                return None;
            }
            edns = Some(Edns {
                udp_size: u16_at(message, fixed + 2)?,
                version: *message.get(fixed + 5)?,
                dnssec_ok: message.get(fixed + 6)? & 0x80 != 0,
            });
        }
        at = data + length;
    }
    // Bytes after the last record are tolerated, as by other servers.
    Some(edns)
}

/// Where a name ends in the message, without following it anywhere.
pub(super) fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1 + length;
        match length {
            0 => return Some(at),
            1..=0x3f => {}
            0xc0.. => return Some(at - length + 1),
            _ => return None,
        }
    }
}

/// Whether an OPT record's data is a sequence of options, whatever they mean.
fn are_options(mut data: &[u8]) -> bool {
    while !data.is_empty() {
        let Some([_, _, high, low]) = data.first_chunk::<4>() else {
            return false;
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        match data.get(4 + length..) {
            Some(rest) => data = rest,
            None => return false,
        }
    }
    true
}
