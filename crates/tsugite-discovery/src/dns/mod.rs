//! DNS messages (RFC 1035, 2181, 2782, 3596, 6891): just what an authoritative server of service records needs.
//!
//! [`Query::parse`] reads a question; [`Reply::encode`] writes the answer with name compression and truncation.

mod name;
mod query;
mod reply;

pub use name::{BadName, Name};
pub use query::{BadQuery, Edns, Query};
pub use reply::{Data, Record, Reply};

/// Longest UDP answer that we send, whatever the client offers: it passes every common path unfragmented
/// (DNS flag day 2020).
pub const UDP_SIZE: u16 = 1232;
/// Longest UDP answer to a client that does not say how much it takes (RFC 1035).
pub const PLAIN_UDP_SIZE: u16 = 512;
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
    /// IPv6 address.
    pub const AAAA: u16 = 28;
    /// Host and port of a service.
    pub const SRV: u16 = 33;
    /// EDNS options.
    pub const OPT: u16 = 41;
    /// Whole zone; refused.
    pub const AXFR: u16 = 252;
    /// Any of the above, in questions only.
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
