//! The DNS port: `dns` in the configuration.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use tsugite_discovery::dns::{PLAIN_UDP_SIZE, UDP_SIZE};

use super::raw;
use super::reader::Reader;
use super::text;

/// Instances in one answer: more than fit into the largest message.
pub(super) const MAX_ANSWERS_MOST: u32 = 10_000;
/// Longer answers over UDP are broken into fragments on every path.
pub(super) const UDP_SIZE_MOST: u16 = 4_096;
/// Servers that foreign names can be asked of.
const FORWARD_MOST: usize = 8;
/// Above that, every answer passes.
pub(super) const RATE_MOST: u32 = 1_000_000;
/// Answers of one kind to one network: every host of a /24 may ask four times a second for what lives a second.
pub(super) const RATE: u32 = 1_000;
/// Of the answers above the limit, every second one says to come back over TCP.
pub(super) const SLIP: u32 = 2;
/// From there nobody forges an address.
const EXEMPT: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// Settings of the DNS door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// How long an answer may be kept, where the service's own record does not say. Whole seconds.
    pub ttl: Duration,
    /// Instances in one answer, at most.
    pub max_answers: usize,
    /// Bytes of an answer over UDP, at most.
    pub udp_size: u16,
    /// Servers that are asked for names that are not ours; none: such names are refused.
    pub forward: Vec<SocketAddr>,
    /// Answers that one network gets.
    pub rate_limit: RateLimit,
}

impl Dns {
    /// These settings with what of `new` takes effect without a restart.
    #[must_use]
    pub fn with_changes_of(&self, new: &Dns) -> Dns {
        Dns {
            max_answers: new.max_answers,
            ..self.clone()
        }
    }
}

/// How many answers of one kind a network gets over UDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// In a second; 0: as many as it asks for.
    pub answers: u32,
    /// Of the answers above that, every so-manyth says to come back over TCP; 0: none.
    pub slip: u32,
    /// Networks that get as many as they ask for.
    pub exempt: Vec<Network>,
}

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether an address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let same =
            |a: u128, b: u128, width: u32| (a ^ b).checked_shr(width - u32::from(self.bits)) == Some(0);
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => self.bits == 0 || same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let rule =
            || format!("`{text}` is not a network; write an address and a number of bits, like 10.0.0.0/8");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| rule())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().map_err(|_| rule())?,
        };
        (bits <= most)
            .then_some(Network { address, bits })
            .ok_or_else(rule)
    }
}

pub(super) fn dns(r: &mut Reader, raw: raw::Dns, listens: Option<SocketAddr>) -> Dns {
    let ttl = r.maybe(raw.ttl, |value| {
        let ttl = text::duration(&value)?;
        let whole = ttl.subsec_millis() == 0 && ttl <= Duration::from_secs(86_400);
        whole
            .then_some(ttl)
            .ok_or_else(|| format!("`{value}`: a DNS answer lives whole seconds, up to 24h"))
    });
    let max_answers = r.maybe(raw.max_answers, |value| {
        number(value, 1..=MAX_ANSWERS_MOST, "answers")
    });
    let udp_size = r.maybe(raw.udp_size, |value| {
        let bytes = number(value, PLAIN_UDP_SIZE.into()..=UDP_SIZE_MOST.into(), "bytes")?;
        Ok(u16::try_from(bytes).unwrap_or(UDP_SIZE))
    });
    let mut forward = Vec::new();
    for server in raw.forward {
        let full = forward.len() == FORWARD_MOST;
        forward.extend(r.one(server, |value| match server_address(&value) {
            Ok(_) if full => Err(format!("`{value}`: {FORWARD_MOST} servers are the most")),
            Ok(server) if Some(server) == listens => Err(format!(
                "`{value}` is this DNS port itself; name the servers that know the rest of the world"
            )),
            other => other,
        }));
    }
    Dns {
        ttl: ttl.unwrap_or(Duration::from_secs(1)),
        max_answers: max_answers.map_or(8, |count| count as usize),
        udp_size: udp_size.unwrap_or(UDP_SIZE),
        forward,
        rate_limit: rate_limit(r, raw.rate_limit),
    }
}

fn rate_limit(r: &mut Reader, raw: raw::RateLimit) -> RateLimit {
    let answers = r.maybe(raw.answers, |value| {
        number(value, 0..=RATE_MOST, "answers a second")
    });
    let slip = r.maybe(raw.slip, |value| number(value, 0..=RATE_MOST, "answers"));
    let given = raw.exempt.map(|all| {
        let networks = all
            .into_iter()
            .filter_map(|network| r.one(network, |text| text.parse()));
        networks.collect()
    });
    RateLimit {
        answers: answers.unwrap_or(RATE),
        slip: slip.unwrap_or(SLIP),
        exempt: given.unwrap_or_else(|| EXEMPT.iter().filter_map(|text| text.parse().ok()).collect()),
    }
}

fn number(value: u64, range: std::ops::RangeInclusive<u32>, of: &str) -> Result<u32, String> {
    let number = u32::try_from(value).ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("{value} {of}; there must be {} to {}", range.start(), range.end()))
}

/// An address with a port, or one at which a server listens at port 53.
fn server_address(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse().ok();
    let plain = || Some(SocketAddr::new(text.parse().ok()?, 53));
    with_port
        .or_else(plain)
        .filter(|server| !server.ip().is_unspecified() && server.port() != 0)
        .ok_or_else(|| {
            format!("`{text}` is not a server; write an IP address, like 192.0.2.1 or 192.0.2.1:53")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_what_begins_like_them() {
        for (network, address, expected) in [
            ("127.0.0.0/8", "127.255.0.1", true),
            ("127.0.0.0/8", "128.0.0.1", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::1", "::1", true),
            ("::1", "::2", false),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                expected,
                "{network:?} {address}"
            );
        }
        for bad in [
            "",
            "10",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "host/8",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn servers_are_addresses() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("::1", "[::1]:53"),
            ("[::1]:5353", "[::1]:5353"),
        ] {
            assert_eq!(server_address(text), Ok(expected.parse().unwrap()));
        }
        for bad in ["", "dns.example", "0.0.0.0", "192.0.2.1:0", "[::1]"] {
            assert!(server_address(bad).is_err(), "{bad}");
        }
    }
}
