//! What a name means.

use super::Instance;
use super::catalog::{AddressKey, Hosts, Node, Snapshot, Zone};
use super::name::{labels, starts};
use super::reverse;
use super::service::{Published, Service, TCP};
use super::trie::Trie;

/// TTL in seconds of negative answers about addresses.
const REVERSE_TTL: u32 = 1;
/// `ns` as a label: the name of each zone's server.
pub(super) const NS: &[u8] = b"\x02ns";

/// A name in a zone of ours.
pub(super) struct Found<'s> {
    /// Bytes of the zone's name, which is the end of the name.
    pub(super) origin: usize,
    /// TTL of the zone's SOA record.
    pub(super) soa_ttl: u32,
    pub(super) what: What<'s>,
}

/// What is at the name.
pub(super) enum What<'s> {
    /// It does not exist.
    Missing,
    /// It exists and has no records.
    Between,
    /// The zone itself.
    Apex,
    /// The zone's name server.
    NameServer,
    /// A service.
    Service(&'s Service),
    /// The instances of a service that speak a protocol: `_http._tcp.orders.internal` (RFC 2782).
    Protocol(&'s Service, &'static str),
    /// A service in DNS-SD: `_orders._tcp.internal`.
    Kind(&'s Service),
    /// An instance.
    Instance(&'s Service, &'s Instance),
    /// An instance in DNS-SD: `orders-1._orders._tcp.internal`.
    Advertised(&'s Service, &'s Instance),
    /// The list of services in DNS-SD: `_services._dns-sd._udp.internal`.
    Kinds(&'s Trie<()>),
    /// The list of domains in which to look for services: `b._dns-sd._udp.internal` (RFC 6763 section 11).
    Browse,
    /// An address.
    Hosts(&'s Hosts),
}

impl Snapshot {
    /// Finds a name in wire form and lower case; `None` if it is not in a zone of ours. A `resolver` leaves to others
    /// what it does not know of addresses.
    pub(super) fn find(&self, name: &[u8], resolver: bool) -> Option<Found<'_>> {
        for at in starts(name) {
            if let Some(node) = self.names.get(&name[at..]) {
                let zone = node.zone();
                return Some(Found {
                    origin: zone.origin.len(),
                    soa_ttl: zone.soa_ttl,
                    what: self.at_or_below(node, name, at),
                });
            }
        }
        self.find_address(name, resolver)
    }

    /// What a name means whose closest known ancestor, beginning at `at`, is `node`.
    fn at_or_below<'s>(&'s self, node: &'s Node, name: &[u8], at: usize) -> What<'s> {
        match node {
            Node::Apex(..) if at == 0 => What::Apex,
            Node::Between(_) if at == 0 => What::Between,
            Node::Service(_, service) if at == 0 => What::Service(service),
            Node::Service(_, service) => {
                let below = below_service(service, &name[..at]);
                below.unwrap_or_else(|| self.in_zone(node.zone(), name))
            }
            Node::Apex(zone, _) | Node::Between(zone) => self.in_zone(zone, name),
        }
    }

    /// Names that each zone has, whatever is registered in it, and those of DNS-SD.
    fn in_zone(&self, zone: &Zone, name: &[u8]) -> What<'_> {
        let mut front = labels(&name[..name.len() - zone.origin.len()]);
        let parts = [front.next(), front.next(), front.next(), front.next()];
        let kinds = || match self.names.get(&zone.origin) {
            Some(Node::Apex(_, kinds)) => Some(kinds),
            _ => None,
        };
        let found = match parts {
            [Some(b"ns"), None, ..] => Some(What::NameServer),
            [Some(b"_tcp"), None, ..] => kinds().filter(|kinds| !kinds.is_empty()).map(|_| What::Between),
            [Some(b"_udp"), None, ..] | [Some(b"_dns-sd"), Some(b"_udp"), None, _] => Some(What::Between),
            [Some(b"_services"), Some(b"_dns-sd"), Some(b"_udp"), None] => kinds().map(What::Kinds),
            [Some(b"b" | b"lb" | b"db"), Some(b"_dns-sd"), Some(b"_udp"), None] => Some(What::Browse),
            [Some(kind), Some(b"_tcp"), None, _] => self.kind(zone, kind).map(What::Kind),
            [Some(id), Some(kind), Some(b"_tcp"), None] => self.kind(zone, kind).and_then(|service| {
                let instance = service.instance_called(id)?;
                (instance.port.is_some() && service.has_host(instance))
                    .then_some(What::Advertised(service, instance))
            }),
            _ => None,
        };
        found.unwrap_or(What::Missing)
    }

    /// The service that is called `label` in DNS-SD.
    fn kind(&self, zone: &Zone, label: &[u8]) -> Option<&Service> {
        let text = label.strip_prefix(b"_")?;
        let mut key = Vec::with_capacity(label.len() + zone.origin.len());
        for part in text.split(|byte| *byte == b'.') {
            key.push(u8::try_from(part.len()).ok()?);
            key.extend_from_slice(part);
        }
        key.extend_from_slice(&zone.origin);
        match self.names.get(&key) {
            Some(Node::Service(_, service)) if has_srv(service) => Some(service),
            _ => None,
        }
    }

    fn find_address(&self, name: &[u8], resolver: bool) -> Option<Found<'_>> {
        let reverse = reverse::parse(name)?;
        let found = |at: usize, what| {
            Some(Found {
                origin: name.len() - at,
                soa_ttl: REVERSE_TTL,
                what,
            })
        };
        let local = reverse.local.filter(|_| !resolver);
        let key = reverse.address.map(AddressKey::new);
        if let Some(hosts) = key.and_then(|key| self.hosts.get(key.bytes())) {
            return found(local.unwrap_or_default(), What::Hosts(hosts));
        }
        let at = local?;
        found(
            at,
            match &name[..at] {
                b"" => What::Apex,
                NS => What::NameServer,
                _ if reverse.between => What::Between,
                _ => What::Missing,
            },
        )
    }
}

fn has_srv(service: &Service) -> bool {
    !service.members(Published::Srv).members.is_empty()
}

fn below_service<'s>(service: &'s Service, below: &[u8]) -> Option<What<'s>> {
    if let Some(instance) = service.instance(below) {
        return Some(What::Instance(service, instance));
    }
    if has_srv(service) && below.ends_with(TCP) {
        let front = &below[..below.len() - TCP.len()];
        if front.is_empty() {
            return Some(What::Between);
        }
        let mut parts = labels(front);
        if let (Some(label), None) = (parts.next(), parts.next()) {
            let wanted = label.strip_prefix(b"_")?;
            let mut spoken = service.protocols.iter().copied();
            let protocol = spoken.find(|spoken| spoken.as_bytes() == wanted)?;
            return Some(What::Protocol(service, protocol));
        }
    }
    service.is_between(below).then_some(What::Between)
}
