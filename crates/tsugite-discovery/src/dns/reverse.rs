//! Names of addresses: `4.3.2.1.in-addr.arpa` and the nibbles of `ip6.arpa` (RFC 1035 section 3.5, RFC 3596).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::name::{labels, starts};

const IN_ADDR: &[u8] = b"\x07in-addr\x04arpa\0";
const IP6: &[u8] = b"\x03ip6\x04arpa\0";

/// Ranges that belong to no one: whoever serves them locally keeps such questions from the public servers (RFC 6303).
/// In wire form without the ending.
const LOCAL_V4: &[&[u8]] = &[b"\x0210", b"\x03127", b"\x03254\x03169", b"\x03168\x03192"];
const LOCAL_V6: &[&[u8]] = &[
    b"\x01d\x01f",
    b"\x018\x01e\x01f",
    b"\x019\x01e\x01f",
    b"\x01a\x01e\x01f",
    b"\x01b\x01e\x01f",
    // ::/124 with the loopback address.
    b"\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010\x010",
];

/// A name below `in-addr.arpa` or `ip6.arpa`.
pub(super) struct Reverse {
    /// The address, if the name is that of a whole one.
    pub(super) address: Option<IpAddr>,
    /// Where the range begins in the name that is served locally, if one is.
    pub(super) local: Option<usize>,
    /// Whether a name in that range can lie above an address.
    pub(super) between: bool,
}

/// Reads a name in wire form and lower case; `None` if it is not below either.
pub(super) fn parse(name: &[u8]) -> Option<Reverse> {
    let (front, v4) = match (name.strip_suffix(IN_ADDR), name.strip_suffix(IP6)) {
        (Some(front), _) => (front, true),
        (_, Some(front)) => (front, false),
        _ => return None,
    };
    // A suffix of the bytes need not be one of the labels.
    let all: Vec<_> = starts(front).collect();
    if labels(front).map(|label| 1 + label.len()).sum::<usize>() != front.len() {
        return None;
    }
    let parts: Option<Vec<u8>> = labels(front).map(if v4 { octet } else { nibble }).collect();
    let whole = if v4 { 4 } else { 32 };
    let address = parts.as_deref().and_then(|parts| match v4 {
        true => v4_of(parts),
        false => v6_of(parts),
    });
    let local = all.into_iter().find(|at| is_local(&front[*at..], v4));
    let between = parts.is_some_and(|parts| parts.len() < whole);
    Some(Reverse {
        address,
        local,
        between,
    })
}

fn is_local(range: &[u8], v4: bool) -> bool {
    if !v4 {
        return LOCAL_V6.contains(&range);
    }
    let private_172 = || {
        let mut parts = labels(range).map(octet);
        matches!(
            (parts.next(), parts.next(), parts.next()),
            (Some(Some(16..=31)), Some(Some(172)), None)
        )
    };
    LOCAL_V4.contains(&range) || private_172()
}

fn octet(label: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(label).ok()?;
    let canonical = text.len() == 1 || !text.starts_with('0');
    // `parse` takes a sign.
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    (canonical && digits).then(|| text.parse().ok())?
}

fn nibble(label: &[u8]) -> Option<u8> {
    let [digit] = label else { return None };
    u8::try_from(char::from(*digit).to_digit(16)?).ok()
}

fn v4_of(parts: &[u8]) -> Option<IpAddr> {
    let [d, c, b, a] = *<&[u8; 4]>::try_from(parts).ok()?;
    Some(Ipv4Addr::new(a, b, c, d).into())
}

fn v6_of(parts: &[u8]) -> Option<IpAddr> {
    let parts = <&[u8; 32]>::try_from(parts).ok()?;
    let bits = parts
        .iter()
        .rev()
        .fold(0_u128, |bits, nibble| bits << 4 | u128::from(*nibble));
    Some(Ipv6Addr::from_bits(bits).into())
}

#[cfg(test)]
mod tests {
    use super::super::Name;
    use super::*;

    #[test]
    fn addresses_are_read_from_names() {
        let loopback6 = format!("1.{}ip6.arpa", "0.".repeat(31));
        let ours = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        let unique = format!("2.{}d.f.ip6.arpa", "0.".repeat(29));
        for (name, address, local, between) in [
            ("4.3.2.10.in-addr.arpa", Some("10.2.3.4"), true, false),
            ("3.2.10.in-addr.arpa", None, true, true),
            ("10.in-addr.arpa", None, true, true),
            ("1.0.31.172.in-addr.arpa", Some("172.31.0.1"), true, false),
            ("1.0.32.172.in-addr.arpa", Some("172.32.0.1"), false, false),
            ("8.8.8.8.in-addr.arpa", Some("8.8.8.8"), false, false),
            ("1.0.0.127.in-addr.arpa", Some("127.0.0.1"), true, false),
            ("x.1.0.0.127.in-addr.arpa", None, true, false),
            ("01.0.0.127.in-addr.arpa", None, true, false),
            ("256.0.0.127.in-addr.arpa", None, true, false),
            ("+1.0.0.127.in-addr.arpa", None, true, false),
            (&loopback6, Some("::1"), true, false),
            (ours, Some("2001:db8::1"), false, false),
            (&unique, Some("fd00::2"), true, false),
            ("d.f.ip6.arpa", None, true, true),
        ] {
            let wire = Name::from_text(name).unwrap();
            let read = parse(wire.wire()).unwrap();
            assert_eq!(
                read.address.map(|ip| ip.to_string()).as_deref(),
                address,
                "{name}"
            );
            assert_eq!(read.local.is_some(), local, "{name}");
            assert_eq!(read.between, between, "{name}");
        }
        for other in ["arpa", "x.arpa", "in-addr.arpa.example", "4in-addr.arpa"] {
            assert!(parse(Name::from_text(other).unwrap().wire()).is_none(), "{other}");
        }
    }
}
