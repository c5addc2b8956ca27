//! DNS (RFC 1034, 1035, 2181, 2308, 2782, 3596, 6763, 6891, 8482): an authoritative server of service records, without
//! its sockets.
//!
//! [`Catalog`] takes services over as they change and gives immutable [`Snapshot`]s; [`answer`] turns the bytes of a
//! query and a snapshot into the bytes of the answer. [`RateLimit`] says which answers not to send, and [`relay`] how a
//! query for somebody else's name is passed on.

mod answer;
mod catalog;
mod compose;
mod name;
mod query;
mod rate;
pub mod relay;
mod resolve;
mod reverse;
mod service;
mod sets;
mod trie;
mod writer;

pub use answer::{Client, Outcome, Scratch, Settings, answer};
pub use catalog::{Catalog, Snapshot, ZoneSpec};
pub use name::{BadName, Name};
pub use query::{BadQuery, Edns, Query};
pub use rate::{RateLimit, Verdict};
pub use service::{Instance, Pairs, Routing, Service, ServiceSpec};

/// Longest UDP answer that we send unless told otherwise, whatever the client offers: it passes every common path
/// unfragmented (DNS flag day 2020).
pub const UDP_SIZE: u16 = 1232;
/// Longest UDP answer to a client that does not say how much it takes (RFC 1035).
pub const PLAIN_UDP_SIZE: u16 = 512;
/// Longest message over TCP.
pub const MESSAGE_BYTES: usize = 65_535;
/// Class `IN`.
pub const CLASS_IN: u16 = 1;
/// Class `ANY`, in questions only.
pub const CLASS_ANY: u16 = 255;

/// Record types.
pub mod kind {
    /// IPv4 address.
    pub const A: u16 = 1;
    /// Name server.
    pub const NS: u16 = 2;
    /// Another name.
    pub const CNAME: u16 = 5;
    /// Start of a zone.
    pub const SOA: u16 = 6;
    /// A name that this one points at.
    pub const PTR: u16 = 12;
    /// Text.
    pub const TXT: u16 = 16;
    /// IPv6 address.
    pub const AAAA: u16 = 28;
    /// Host and port of a service.
    pub const SRV: u16 = 33;
    /// EDNS options.
    pub const OPT: u16 = 41;
    /// The first of the types that stand for operations (RFC 6895 section 3.1); `ANY` is one of them.
    pub const META: u16 = 128;
    /// Changes of a zone; refused.
    pub const IXFR: u16 = 251;
    /// Whole zone; refused.
    pub const AXFR: u16 = 252;
    /// Any type, in questions only.
    pub const ANY: u16 = 255;
}

/// Response codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The name exists, whether or not it has records of the type.
    NoError,
    /// The query makes no sense.
    FormErr,
    /// We failed.
    ServFail,
    /// The name does not exist.
    NxDomain,
    /// That kind of query is not served.
    NotImp,
    /// The name is not in a zone of ours.
    Refused,
    /// The client speaks a newer EDNS than we do.
    BadVers,
}

impl Code {
    /// The number; above 15 the upper bits travel in the OPT record.
    pub const fn number(self) -> u16 {
        match self {
            Code::NoError => 0,
            Code::FormErr => 1,
            Code::ServFail => 2,
            Code::NxDomain => 3,
            Code::NotImp => 4,
            Code::Refused => 5,
            Code::BadVers => 16,
        }
    }
}

#[cfg(test)]
mod tests;
