//! Addresses that are never posted to: an endpoint's URL is a user's input, and a request from inside a network can
//! reach what the user cannot.
//!
//! Refused is what hands out credentials or is nobody's endpoint: link-local addresses, where clouds serve metadata,
//! the metadata services that live elsewhere, multicast and reserved ranges, in every IPv6 form that leads to them.
//! Loopback and private addresses are what the services behind Tsugite have, and are allowed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why this address is refused, if it is.
pub(super) fn refusal(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => of_v4(address),
        IpAddr::V6(address) => of_v6(address),
    }
}

fn of_v4(address: Ipv4Addr) -> Option<&'static str> {
    // Alibaba Cloud, Oracle Cloud and Azure serve metadata or keys on these; the others do on link-local ones.
    const METADATA: [[u8; 4]; 3] = [[100, 100, 100, 200], [192, 0, 0, 192], [168, 63, 129, 16]];
    match address.octets() {
        octets if METADATA.contains(&octets) => Some("the metadata service of a cloud"),
        [0, ..] => Some("no address of a host"),
        [169, 254, ..] => Some("link-local, where clouds serve metadata"),
        [224..=239, ..] => Some("a multicast address"),
        [240..=255, ..] => Some("a reserved or broadcast address"),
        _ => None,
    }
}

fn of_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some("no address of a host");
    }
    if address.is_loopback() {
        return None;
    }
    match address.segments() {
        // AWS and Google Cloud.
        [0xfd00, 0xec2, ..] | [0xfd20, 0xce, ..] => Some("the metadata service of a cloud"),
        [0xfe80..=0xfebf, ..] => Some("link-local, where clouds serve metadata"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        _ => embedded(address).and_then(of_v4),
    }
}

/// The IPv4 address that packets to an IPv6 address end up at.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        // Compatible, mapped, translated; NAT64 with the well-known and with local prefixes.
        [0, 0, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, .., high, low] => Some(v4(high, low)),
        // 6to4.
        [0x2002, high, low, ..] => Some(v4(high, low)),
        // Teredo hides the address by inverting it.
        [0x2001, 0, .., high, low] => Some(v4(!high, !low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_and_what_is_not() {
        for (address, refused) in [
            ("169.254.169.254", true),
            ("169.254.0.0", true),
            ("169.254.255.255", true),
            ("169.253.255.255", false),
            ("169.255.0.0", false),
            ("100.100.100.200", true),
            ("100.100.100.201", false),
            ("192.0.0.192", true),
            ("168.63.129.16", true),
            ("0.0.0.0", true),
            ("0.1.2.3", true),
            ("224.0.0.1", true),
            ("239.255.255.255", true),
            ("240.0.0.1", true),
            ("255.255.255.255", true),
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("10.0.0.1", false),
            ("172.16.0.1", false),
            ("192.168.1.1", false),
            ("203.0.113.7", false),
            ("::", true),
            ("::1", false),
            ("fe80::1", true),
            ("febf:ffff::1", true),
            ("fec0::1", false),
            ("ff02::1", true),
            ("fd00:ec2::254", true),
            ("fd00:ec3::254", false),
            ("fd20:ce::254", true),
            ("fd12:3456::1", false),
            ("2001:db8::1", false),
            ("::ffff:169.254.169.254", true),
            ("::ffff:127.0.0.1", false),
            ("::ffff:0.0.0.0", true),
            ("::169.254.169.254", true),
            ("::ffff:0:169.254.169.254", true),
            ("64:ff9b::a9fe:a9fe", true),
            ("64:ff9b:1::a9fe:a9fe", true),
            ("64:ff9b::0a00:1", false),
            ("2002:a9fe:a9fe::1", true),
            ("2002:0a00:0001::1", false),
            // Teredo, inverted.
            ("2001:0:1:2:3:4:5601:5601", true),
            ("2001:0:1:2:3:4:f5ff:fffe", false),
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!(
                refusal(parsed).is_some(),
                refused,
                "{address}: {:?}",
                refusal(parsed)
            );
        }
    }
}
