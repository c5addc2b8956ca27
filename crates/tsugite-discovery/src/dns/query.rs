//! Reading queries.

use super::{Code, Name, PLAIN_UDP_SIZE, UDP_SIZE, kind};

/// Bytes of a message header.
const HEADER: usize = 12;
/// Records that may follow the question; honest queries carry one OPT and perhaps a signature.
const ADDITIONAL: u16 = 8;

/// A query with its one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Chosen by the client; echoed.
    pub id: u16,
    /// Recursion desired; echoed, and not granted.
    pub recursion_desired: bool,
    /// The name, in the client's case, which is echoed (DNS 0x20).
    pub name: Name,
    /// Record type asked for; see [`kind`].
    pub kind: u16,
    /// Class asked for.
    pub class: u16,
    /// EDNS, if the client speaks it.
    pub edns: Option<Edns>,
}

/// What the client's OPT record says.
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
    /// To be answered with this code and nothing else.
    Answer {
        /// The client's id.
        id: u16,
        /// The operation code, echoed.
        opcode: u8,
        /// Why it is refused.
        code: Code,
    },
}

impl Query {
    /// Reads a query.
    pub fn parse(message: &[u8]) -> Result<Query, BadQuery> {
        let Some(header) = message.first_chunk::<HEADER>() else {
            return Err(BadQuery::Ignore);
        };
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let id = word(0);
        let opcode = header[2] >> 3 & 0x0f;
        let refuse = |code| Err(BadQuery::Answer { id, opcode, code });
        if header[2] & 0x80 != 0 {
            return Err(BadQuery::Ignore);
        }
        if opcode != 0 {
            return refuse(Code::NotImp);
        }
        let counts = (word(4), word(6), word(8));
        if counts != (1, 0, 0) || word(10) > ADDITIONAL {
            return refuse(Code::FormErr);
        }
        match parse_sections(message, word(10)) {
            Some((name, kind, class, edns)) => Ok(Query {
                id,
                recursion_desired: header[2] & 1 != 0,
                name,
                kind,
                class,
                edns,
            }),
            None => refuse(Code::FormErr),
        }
    }

    /// Longest answer over UDP.
    pub fn udp_limit(&self) -> usize {
        let offered = self.edns.map_or(PLAIN_UDP_SIZE, |edns| edns.udp_size);
        usize::from(offered.clamp(PLAIN_UDP_SIZE, UDP_SIZE))
    }
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    let bytes = message.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

fn parse_sections(message: &[u8], additional: u16) -> Option<(Name, u16, u16, Option<Edns>)> {
    let (name, mut at) = Name::parse(message, HEADER).ok()?;
    let (kind, class) = (u16_at(message, at)?, u16_at(message, at + 2)?);
    at += 4;
    let mut edns = None;
    for _ in 0..additional {
        let (owner, fixed) = Name::parse(message, at).ok()?;
        let length = usize::from(u16_at(message, fixed + 8)?);
        at = fixed + 10 + length;
        if at > message.len() {
            return None;
        }
        if u16_at(message, fixed)? == kind::OPT {
            if edns.is_some() || owner.wire() != [0] {
                return None;
            }
            edns = Some(Edns {
                udp_size: u16_at(message, fixed + 2)?,
                version: *message.get(fixed + 5)?,
                dnssec_ok: message.get(fixed + 6)? & 0x80 != 0,
            });
        }
    }
    // Bytes after the last record are tolerated, as by other servers.
    Some((name, kind, class, edns))
}
