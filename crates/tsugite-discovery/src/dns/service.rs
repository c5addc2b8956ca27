//! A service as DNS sees it: its instances, and which of them an answer of each type may hold.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::name::{LABEL_BYTES, labels};
use super::sets::Set;
use super::{BadName, Name};

/// SRV priority of every instance, as Cloud Map gives it.
pub(super) const SRV_PRIORITY: u16 = 1;
/// SRV weight of every instance of a service in which none has a weight, as Cloud Map gives it.
const SRV_WEIGHT: u16 = 1;

/// Which instances an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// Up to the configured number, at random.
    Multivalue,
    /// One, at random by weight.
    Weighted,
}

/// What a service is made of.
#[derive(Clone, Debug)]
pub struct ServiceSpec<'a> {
    /// Its name within the zone; may hold dots.
    pub name: &'a str,
    /// The zone.
    pub zone: &'a str,
    /// Which instances an answer holds.
    pub routing: Routing,
    /// TTL in seconds of A, AAAA, SRV and CNAME records, for those types that it has.
    pub ttls: [Option<u32>; 4],
    /// Weight of instances that have none, where others have one.
    pub default_weight: u16,
    /// All instances.
    pub instances: Vec<Instance>,
}

/// An instance.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Its identifier; where this is no domain name, it has no host name and no SRV record.
    pub id: Arc<str>,
    /// For A records.
    pub ipv4: Option<Ipv4Addr>,
    /// For AAAA records.
    pub ipv6: Option<Ipv6Addr>,
    /// For SRV records.
    pub port: Option<u16>,
    /// For CNAME records.
    pub cname: Option<Arc<Name>>,
    /// Its share of the answers of a `Weighted` service, and its SRV weight.
    pub weight: Option<u16>,
    /// The protocol above TCP that it speaks, as in `_http._tcp`.
    pub protocol: &'static str,
    /// Whether it is in the answers about its service.
    pub answered: bool,
    /// For TXT records.
    pub attributes: Arc<dyn Pairs>,
}

/// Keys with their values, however they are kept.
pub trait Pairs: fmt::Debug + Send + Sync {
    /// Shows each of them, in one order always.
    fn each(&self, show: &mut dyn FnMut(&str, &str));
}

impl Pairs for BTreeMap<String, String> {
    fn each(&self, show: &mut dyn FnMut(&str, &str)) {
        for (key, value) in self {
            show(key, value);
        }
    }
}

impl Instance {
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.ipv4.map(IpAddr::V4);
        v4.into_iter().chain(self.ipv6.map(IpAddr::V6))
    }
}

/// A type of record that a service can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Published {
    A,
    Aaaa,
    Srv,
    Cname,
}

impl Published {
    pub(super) const ALL: [Published; 4] = [Published::A, Published::Aaaa, Published::Srv, Published::Cname];
}

/// A service, ready to be answered.
#[derive(Debug)]
pub struct Service {
    /// The fully qualified name in wire form.
    pub(super) name: Arc<[u8]>,
    /// The same in lower case.
    pub(super) key: Box<[u8]>,
    /// The zone's name in lower case.
    pub(super) origin: Box<[u8]>,
    pub(super) routing: Routing,
    ttls: [Option<u32>; 4],
    /// SRV weight of instances without one.
    weight: u16,
    /// Sorted by identifier without regard to case.
    pub(super) instances: Box<[Instance]>,
    /// For each type those that can be answered.
    sets: [Set; 4],
    /// What those with SRV records speak.
    pub(super) protocols: Vec<&'static str>,
    /// Names between the service and instances whose identifiers hold dots, as lower-case text.
    between: Box<[Box<str>]>,
}

impl Service {
    /// Prepares a service.
    pub fn new(spec: ServiceSpec<'_>) -> Result<Service, BadName> {
        let zone = Name::from_text(spec.zone)?;
        let name = Name::under(spec.name, &zone)?;
        let mut instances = spec.instances;
        instances.sort_by(|a, b| compare(a.id.as_bytes(), b.id.as_bytes()));
        let explicit = instances.iter().any(|instance| instance.weight.is_some());
        let mut service = Service {
            key: name.lower(),
            name: name.wire().into(),
            origin: zone.lower(),
            routing: spec.routing,
            ttls: spec.ttls,
            weight: if explicit { spec.default_weight } else { SRV_WEIGHT },
            between: between(&instances),
            instances: instances.into(),
            sets: Default::default(),
            protocols: Vec::new(),
        };
        service.sets = Published::ALL.map(|kind| service.set(kind));
        let members = service.members(Published::Srv).members.iter();
        let spoken: BTreeSet<_> = members
            .map(|at| service.instances[*at as usize].protocol)
            .collect();
        service.protocols = spoken.into_iter().collect();
        Ok(service)
    }

    /// Those that are answered for a type; of several with one address one, for a set holds each record once (RFC 2181
    /// section 5).
    fn set(&self, kind: Published) -> Set {
        if self.ttl(kind).is_none() {
            return Set::default();
        }
        let mut seen = BTreeSet::new();
        let chosen = self.instances.iter().zip(0_u32..).filter(|(instance, _)| {
            instance.answered
                && match kind {
                    Published::A => instance.ipv4.is_some_and(|ip| self.is_new(&mut seen, ip.into())),
                    Published::Aaaa => instance.ipv6.is_some_and(|ip| self.is_new(&mut seen, ip.into())),
                    Published::Srv => instance.port.is_some() && self.has_host(instance),
                    Published::Cname => instance.cname.is_some(),
                }
        });
        match self.routing {
            Routing::Multivalue => Set::even(chosen.map(|(_, at)| at).collect()),
            Routing::Weighted => Set::weighted(chosen.map(|(instance, at)| (at, self.weight_of(instance)))),
        }
    }

    /// Weights of instances that share an address add up, so that there each keeps its share.
    fn is_new(&self, seen: &mut BTreeSet<IpAddr>, address: IpAddr) -> bool {
        self.routing == Routing::Weighted || seen.insert(address)
    }

    /// Seconds for which a record of that type may be kept; `None` if the service has none.
    pub(super) const fn ttl(&self, kind: Published) -> Option<u32> {
        self.ttls[kind as usize]
    }

    /// Those that can be answered for a type.
    pub(super) const fn members(&self, kind: Published) -> &Set {
        &self.sets[kind as usize]
    }

    /// SRV weight, and share of the answers.
    pub(super) fn weight_of(&self, instance: &Instance) -> u16 {
        instance.weight.unwrap_or(self.weight)
    }

    /// Whether the instance has a name under the service's.
    pub(super) fn has_host(&self, instance: &Instance) -> bool {
        Name::fits(&instance.id, self.name.len())
    }

    /// Whether there is anything to answer.
    pub(super) const fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// The service's name within the zone in wire form, without the root, in lower case.
    pub(super) fn relative(&self) -> &[u8] {
        &self.key[..self.key.len().saturating_sub(self.origin.len())]
    }

    /// The instance whose name under the service is `below` (wire form without the root, lower case).
    pub(super) fn instance(&self, below: &[u8]) -> Option<&Instance> {
        let plain = labels(below).all(|label| !label.contains(&b'.'));
        self.instance_called(plain.then(|| dotted(below))?.as_bytes())
    }

    /// The instance with that identifier in lower case.
    pub(super) fn instance_called(&self, id: &[u8]) -> Option<&Instance> {
        let found = self
            .instances
            .binary_search_by(|at| compare(at.id.as_bytes(), id));
        found.ok().and_then(|at| self.instances.get(at))
    }

    /// Whether there are instances below that name under the service.
    pub(super) fn is_between(&self, below: &[u8]) -> bool {
        !self.between.is_empty() && {
            let text = dotted(below);
            self.between.binary_search_by(|at| (**at).cmp(&text)).is_ok()
        }
    }

    /// What the service is called in DNS-SD: `_orders._tcp`, or its own name if that has this form already. In wire
    /// form without the root, lower case; `None` if its name is too long for a label.
    pub(super) fn kind_name(&self) -> Option<Box<[u8]>> {
        let relative = self.relative();
        if is_kind_name(relative) {
            return Some(relative.into());
        }
        let text = dotted(relative);
        let length = u8::try_from(text.len() + 1).ok()?;
        if usize::from(length) > LABEL_BYTES {
            return None;
        }
        Some([&[length, b'_'], text.as_bytes(), TCP].concat().into())
    }
}

/// `_tcp` as a label.
pub(super) const TCP: &[u8] = b"\x04_tcp";
/// Whether a relative name in wire form is of the form `_service._tcp` or `_service._udp`.
pub(super) fn is_kind_name(relative: &[u8]) -> bool {
    let mut labels = labels(relative);
    let (first, second, third) = (labels.next(), labels.next(), labels.next());
    first.is_some_and(|first| first.starts_with(b"_"))
        && matches!(second, Some(b"_tcp" | b"_udp"))
        && third.is_none()
}

/// Compares without regard to ASCII case.
pub(super) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (a, b) = (
        a.iter().map(u8::to_ascii_lowercase),
        b.iter().map(u8::to_ascii_lowercase),
    );
    a.cmp(b)
}

/// Labels in wire form as dotted text. What is no UTF-8 becomes something that no identifier of ours holds.
fn dotted(wire: &[u8]) -> String {
    let mut text = String::with_capacity(wire.len());
    for label in labels(wire) {
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(&String::from_utf8_lossy(label));
    }
    text
}

/// The names above those of instances with dots: of `a.b.c` these are `b.c` and `c`.
fn between(instances: &[Instance]) -> Box<[Box<str>]> {
    let mut all = BTreeSet::new();
    for instance in instances.iter().filter(|instance| instance.id.contains('.')) {
        let id = instance.id.to_ascii_lowercase();
        let mut rest = id.as_str();
        while let Some((_, above)) = rest.split_once('.') {
            all.insert(Box::from(above));
            rest = above;
        }
    }
    all.into_iter().collect()
}
