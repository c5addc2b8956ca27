//! Response-rate limiting: answers that tell the same to one network, more often than any resolver there would ask, are
//! a reflection attack on that network, whose address the queries forge.
//!
//! The generic cell rate algorithm, one word for each pair of network and answer, in a table of fixed size that all
//! workers share. Two pairs that fall on one word push each other out, which only ever lets more pass.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use super::trie::hash;

/// Words of the table: half a MiB.
const SLOTS: usize = 1 << 16;
/// A quiet pair may have this many microseconds' worth of answers at once.
const BURST_US: u64 = 1_000_000;
/// The bits of a word that say when; the others say whose it is.
const WHEN: u64 = (1 << 48) - 1;

/// What to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it.
    Send,
    /// Send an empty one with the TC bit: who really asked comes back over TCP.
    Slip,
    /// Send nothing.
    Drop,
}

/// The limiter.
#[derive(Debug)]
pub struct RateLimit {
    slots: Box<[AtomicU64]>,
    /// Microseconds from one answer to the next.
    interval_us: u64,
    slip: u64,
}

impl RateLimit {
    /// Allows `answers_per_second`, which must not be 0, of one kind to a network: 256 IPv4 addresses, or the 2^72 IPv6
    /// addresses of a /56. Of what is above, every `slip`th is answered with TC, on average; none if 0.
    pub fn new(answers_per_second: u32, slip: u32) -> RateLimit {
        RateLimit {
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            interval_us: BURST_US / u64::from(answers_per_second.max(1)).min(BURST_US),
            slip: u64::from(slip),
        }
    }

    /// Decides about an answer at a time in microseconds, by a random number where it is by chance. `subject` is the same
    /// for answers that tell the same.
    pub fn check(&self, client: IpAddr, subject: u64, now_us: u64, random: u64) -> Verdict {
        let pair = hash(&[&network(client)[..], &subject.to_be_bytes()].concat());
        let slot = &self.slots[usize::try_from(pair).unwrap_or(usize::MAX) % SLOTS];
        let (tag, now) = (pair & !WHEN, now_us & WHEN);
        let word = slot.load(Ordering::Relaxed);
        let due = if word & !WHEN == tag {
            (word & WHEN).max(now)
        } else {
            now
        };
        if due - now <= BURST_US - self.interval_us {
            // Lost races with other workers let a few more pass.
            slot.store(tag | (due + self.interval_us) & WHEN, Ordering::Relaxed);
            return Verdict::Send;
        }
        match self.slip {
            0 => Verdict::Drop,
            slip if random.is_multiple_of(slip) => Verdict::Slip,
            _ => Verdict::Drop,
        }
    }
}

/// The network that a forged address stands for.
fn network(client: IpAddr) -> [u8; 16] {
    match client.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            Ipv4Addr::new(a, b, c, 0).to_ipv6_mapped().octets()
        }
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 72 << 72).octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_answer_is_held_back_and_others_are_not() {
        let limit = RateLimit::new(10, 2);
        let client: IpAddr = [192, 0, 2, 7].into();
        let ask = |client, subject, now| limit.check(client, subject, now, now);
        let sent = (0..1_000)
            .filter(|at| ask(client, 1, 5_000_000 + at) == Verdict::Send)
            .count();
        assert_eq!(sent, 10);
        let slipped = (0..1_000)
            .filter(|at| ask(client, 1, 5_002_000 + at) == Verdict::Slip)
            .count();
        assert_eq!(slipped, 500);
        // A neighbour shares its limit; another network, another answer, and a quiet second later do not.
        assert_ne!(ask([192, 0, 2, 200].into(), 1, 5_004_000), Verdict::Send);
        assert_eq!(ask([192, 0, 3, 7].into(), 1, 5_004_000), Verdict::Send);
        assert_eq!(ask(client, 2, 5_004_000), Verdict::Send);
        assert_eq!(ask(client, 1, 6_100_000), Verdict::Send);
        assert_eq!(RateLimit::new(1, 0).check(client, 1, 0, 0), Verdict::Send);
    }

    #[test]
    fn networks_are_cut_where_attackers_can_choose() {
        for (a, b, same) in [
            ("10.0.0.1", "10.0.0.255", true),
            ("10.0.0.1", "10.0.1.1", false),
            ("10.0.0.1", "::ffff:10.0.0.9", true),
            ("2001:db8:0:1200::1", "2001:db8:0:12ff:8::9", true),
            ("2001:db8:0:1200::1", "2001:db8:0:1300::1", false),
        ] {
            let (a, b): (IpAddr, IpAddr) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(network(a) == network(b), same, "{a} {b}");
        }
    }
}
