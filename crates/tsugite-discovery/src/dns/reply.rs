//! Writing replies: name compression, truncation, EDNS.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::query::{BadQuery, Query};
use super::{CLASS_IN, Code, Name, UDP_SIZE, kind};

/// Bytes of an OPT record without options.
const OPT_BYTES: usize = 11;
/// Suffixes remembered as targets of compression: the question's and those of the first records are what repeats.
const TARGETS: usize = 32;
/// Longest message over TCP.
const MESSAGE_BYTES: usize = 65_535;

/// The data of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// IPv4 address.
    A(Ipv4Addr),
    /// IPv6 address.
    Aaaa(Ipv6Addr),
    /// Host and port.
    Srv {
        /// Lower first.
        priority: u16,
        /// Share among equal priorities.
        weight: u16,
        /// The port.
        port: u16,
        /// The host.
        target: Name,
    },
    /// The name that this one stands for.
    Cname(Name),
    /// Start of a zone.
    Soa {
        /// Name of the primary server.
        primary: Name,
        /// Mailbox of the person in charge, as a name.
        mailbox: Name,
        /// Grows with every change.
        serial: u32,
        /// TTL of negative answers in seconds (RFC 2308).
        minimum: u32,
    },
}

/// Seconds that a secondary would wait, retry and keep; we have none, so these only have to be sane.
const SOA_TIMES: [u32; 3] = [3600, 600, 86_400];

impl Data {
    const fn kind(&self) -> u16 {
        match self {
            Data::A(_) => kind::A,
            Data::Aaaa(_) => kind::AAAA,
            Data::Srv { .. } => kind::SRV,
            Data::Cname(_) => kind::CNAME,
            Data::Soa { .. } => kind::SOA,
        }
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The owner.
    pub name: Name,
    /// Seconds for which it may be kept.
    pub ttl: u32,
    /// The data.
    pub data: Data,
}

/// A reply to a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The outcome.
    pub code: Code,
    /// Whether the name is in a zone of ours.
    pub authoritative: bool,
    /// What was asked for.
    pub answers: Vec<Record>,
    /// The zone's SOA in negative answers.
    pub authority: Vec<Record>,
    /// What the client will ask next.
    pub additional: Vec<Record>,
}

impl Reply {
    /// A reply that says nothing but its code.
    pub const fn empty(code: Code) -> Reply {
        Reply {
            code,
            authoritative: false,
            answers: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
        }
    }

    /// The message, at most `limit` bytes long; a limit below 512 is too small for every question.
    ///
    /// Answers that do not fit set the TC bit, so that the client asks again over TCP; additional records that do
    /// not fit are left out in silence (RFC 2181 section 9).
    pub fn encode(&self, query: &Query, limit: usize) -> Vec<u8> {
        let reserved = query.edns.map_or(0, |_| OPT_BYTES);
        let mut writer = Writer {
            out: Vec::with_capacity(256),
            limit: limit.min(MESSAGE_BYTES).saturating_sub(reserved),
            targets: Vec::new(),
        };
        writer.out.extend_from_slice(&[0; 12]);
        writer.name(&query.name);
        writer.u16(query.kind);
        writer.u16(query.class);
        let answers = writer.section(&self.answers);
        let authority = writer.section(&self.authority);
        let truncated = answers < self.answers.len() || authority < self.authority.len();
        let mut additional = if truncated {
            0
        } else {
            writer.section(&self.additional)
        };
        if let Some(edns) = query.edns {
            writer.opt(self.code, edns.dnssec_ok);
            additional += 1;
        }
        let flags = Flags {
            opcode: 0,
            authoritative: self.authoritative,
            truncated,
            recursion_desired: query.recursion_desired,
            code: self.code,
        };
        let mut out = writer.out;
        out[..2].copy_from_slice(&query.id.to_be_bytes());
        out[2..4].copy_from_slice(&flags.bits());
        for (at, count) in [(4, 1), (6, answers), (8, authority), (10, additional)] {
            let count = u16::try_from(count).unwrap_or(u16::MAX);
            out[at..at + 2].copy_from_slice(&count.to_be_bytes());
        }
        out
    }
}

impl BadQuery {
    /// The answer to a query that could not be read, if it deserves one.
    pub fn encode(&self) -> Option<[u8; 12]> {
        let BadQuery::Answer { id, opcode, code } = self else {
            return None;
        };
        let flags = Flags {
            opcode: *opcode,
            authoritative: false,
            truncated: false,
            recursion_desired: false,
            code: *code,
        };
        let mut out = [0; 12];
        out[..2].copy_from_slice(&id.to_be_bytes());
        out[2..4].copy_from_slice(&flags.bits());
        Some(out)
    }
}

struct Flags {
    opcode: u8,
    authoritative: bool,
    truncated: bool,
    recursion_desired: bool,
    code: Code,
}

impl Flags {
    fn bits(&self) -> [u8; 2] {
        let high = 0x80
            | self.opcode << 3
            | u8::from(self.authoritative) << 2
            | u8::from(self.truncated) << 1
            | u8::from(self.recursion_desired);
        [high, self.code.number().to_be_bytes()[1] & 0x0f]
    }
}

struct Writer {
    out: Vec<u8>,
    limit: usize,
    /// Where names and their suffixes were written, uncompressed form beside it.
    targets: Vec<(u16, Box<[u8]>)>,
}

impl Writer {
    fn u16(&mut self, v: u16) {
        self.out.extend_from_slice(&v.to_be_bytes());
    }

    fn u32(&mut self, v: u32) {
        self.out.extend_from_slice(&v.to_be_bytes());
    }

    /// Writes a name, pointing at the longest suffix that was written before.
    fn name(&mut self, name: &Name) {
        let wire = name.wire();
        for at in name.suffixes() {
            let suffix = &wire[at..];
            let known = self
                .targets
                .iter()
                .find(|(_, known)| known.eq_ignore_ascii_case(suffix));
            if let Some((target, _)) = known {
                let pointer = 0xc000 | target;
                self.u16(pointer);
                return;
            }
            if self.targets.len() < TARGETS
                && let Ok(position @ ..0x4000) = u16::try_from(self.out.len())
            {
                self.targets.push((position, suffix.into()));
            }
            let length = usize::from(wire[at]);
            self.out.extend_from_slice(&wire[at..=at + length]);
        }
        self.out.push(0);
    }

    /// Writes records while they fit; answers how many.
    fn section(&mut self, records: &[Record]) -> usize {
        for (count, record) in records.iter().enumerate() {
            let (length, targets) = (self.out.len(), self.targets.len());
            self.record(record);
            if self.out.len() > self.limit {
                self.out.truncate(length);
                self.targets.truncate(targets);
                return count;
            }
        }
        records.len()
    }

    fn record(&mut self, record: &Record) {
        self.name(&record.name);
        self.u16(record.data.kind());
        self.u16(CLASS_IN);
        self.u32(record.ttl);
        let length_at = self.out.len();
        self.u16(0);
        match &record.data {
            Data::A(ip) => self.out.extend_from_slice(&ip.octets()),
            Data::Aaaa(ip) => self.out.extend_from_slice(&ip.octets()),
            Data::Srv {
                priority,
                weight,
                port,
                target,
            } => {
                self.u16(*priority);
                self.u16(*weight);
                self.u16(*port);
                // RFC 2782: the target is not compressed.
                self.out.extend_from_slice(target.wire());
            }
            Data::Cname(target) => self.name(target),
            Data::Soa {
                primary,
                mailbox,
                serial,
                minimum,
            } => {
                self.name(primary);
                self.name(mailbox);
                self.u32(*serial);
                for seconds in SOA_TIMES {
                    self.u32(seconds);
                }
                self.u32(*minimum);
            }
        }
        let length = u16::try_from(self.out.len() - length_at - 2).unwrap_or(u16::MAX);
        self.out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
    }

    fn opt(&mut self, code: Code, dnssec_ok: bool) {
        self.out.push(0);
        self.u16(kind::OPT);
        self.u16(UDP_SIZE);
        let extended = u8::try_from(code.number() >> 4).unwrap_or_default();
        self.out
            .extend_from_slice(&[extended, 0, u8::from(dnssec_ok) << 7, 0]);
        self.u16(0);
    }
}
