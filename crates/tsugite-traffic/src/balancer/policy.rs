//! The ways to choose an endpoint, and what some of them prepare for each table.

use super::hash::{Maglev, Ring};
use crate::table::Endpoint;

/// How a service's endpoints share its calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Of two at random the one with the lower latency times pending calls.
    #[default]
    PeakEwma,
    /// Of two at random the one with fewer pending calls.
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// At random.
    Random,
    /// By a hash of the caller's key, on a ring: an endpoint that goes takes only its own keys along.
    RingHash,
    /// By a hash of the caller's key, in a table: more even than a ring, and nearly as steady.
    Maglev,
}

impl Policy {
    /// Every policy.
    pub const ALL: [Policy; 6] = [
        Policy::PeakEwma,
        Policy::LeastRequest,
        Policy::RoundRobin,
        Policy::Random,
        Policy::RingHash,
        Policy::Maglev,
    ];

    /// Whether a key decides.
    pub const fn is_by_hash(self) -> bool {
        matches!(self, Policy::RingHash | Policy::Maglev)
    }

    /// As the configuration spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Policy::PeakEwma => "peak_ewma",
            Policy::LeastRequest => "least_request",
            Policy::RoundRobin => "round_robin",
            Policy::Random => "random",
            Policy::RingHash => "ring_hash",
            Policy::Maglev => "maglev",
        }
    }
}

/// What a policy by hash goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The value of this header field, in lower case.
    Header(String),
    /// The value of this cookie. A caller without it gets one.
    Cookie(String),
    /// The caller's IP address.
    Address,
}

/// How a service's endpoints share its calls, and by which key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// The policy.
    pub policy: Policy,
    /// The key of a policy by hash. A call without it goes to the cheaper of two.
    pub key: Option<Key>,
}

/// A policy with what it prepared for the endpoints of one table.
#[derive(Debug)]
pub(crate) struct Plan {
    balance: Balance,
    heaviest: u32,
    places: Places,
}

#[derive(Debug)]
enum Places {
    None,
    Ring(Ring),
    Maglev(Maglev),
}

impl Plan {
    pub(crate) fn new(balance: Balance, endpoints: &[Endpoint]) -> Plan {
        Plan {
            heaviest: endpoints.iter().map(|e| e.weight).max().unwrap_or(1).max(1),
            places: match balance.policy {
                Policy::RingHash => Places::Ring(Ring::new(endpoints)),
                Policy::Maglev => Places::Maglev(Maglev::new(endpoints)),
                _ => Places::None,
            },
            balance,
        }
    }

    pub(crate) const fn balance(&self) -> &Balance {
        &self.balance
    }

    /// The greatest weight of an endpoint; at least 1.
    pub(crate) const fn heaviest(&self) -> u32 {
        self.heaviest
    }

    /// The endpoints in the order in which a key of this hash tries them; an endpoint may come more than once.
    pub(crate) fn in_order(&self, hash: u64) -> impl Iterator<Item = usize> {
        let (start, places): (usize, &[u32]) = match &self.places {
            Places::None => (0, &[]),
            Places::Ring(ring) => (ring.start(hash), ring.owners()),
            Places::Maglev(table) => (table.start(hash), table.owners()),
        };
        let (before, after) = places.split_at(start);
        after.iter().chain(before).map(|at| *at as usize)
    }
}
