//! What is served: zones, the names in them, and the addresses that lead back to names. The catalog takes changes and
//! hands out snapshots; both share whatever did not change, so that a change costs its own size and no more.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::name::starts;
use super::service::{Published, compare};
use super::trie::Trie;
use super::{Instance, Name, Service};

/// From here on the hosts of one address are kept in a map of their own.
const MANY_HOSTS: usize = 64;

/// A zone to be served.
#[derive(Clone, Debug)]
pub struct ZoneSpec<'a> {
    /// Its name.
    pub name: &'a str,
    /// TTL in seconds of its SOA record and of negative answers.
    pub soa_ttl: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Zone {
    /// Its name in wire form and lower case.
    pub(super) origin: Box<[u8]>,
    pub(super) soa_ttl: u32,
}

/// What is at a name.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// A zone, with the relative names of its services in DNS-SD.
    Apex(Arc<Zone>, Trie<()>),
    /// A service with instances.
    Service(Arc<Zone>, Arc<Service>),
    /// Nothing itself, but something below.
    Between(Arc<Zone>),
}

/// An instance's own name.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// The service's name in wire form.
    pub(super) service: Arc<[u8]>,
    /// The instance's identifier: the labels before it.
    pub(super) id: Arc<str>,
}

/// The instances at an address.
#[derive(Clone, Debug)]
pub(super) enum Hosts {
    Few(Arc<[Host]>),
    Many(Trie<Host>),
}

/// Everything that can be answered at one moment. Never changes; a clone costs a few counters.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(super) names: Trie<Node>,
    /// By the bytes of the address.
    pub(super) hosts: Trie<Hosts>,
    /// Serial number of every zone: counts updates.
    pub(super) serial: u32,
}

/// The writer's side.
#[derive(Debug, Default)]
pub struct Catalog {
    current: Snapshot,
    zones: HashMap<Box<[u8]>, Arc<Zone>>,
    /// By the caller's number.
    services: HashMap<u64, Arc<Service>>,
    /// The services of each name; more than one only where names differ by case alone. The first is answered.
    owners: HashMap<Box<[u8]>, Vec<u64>>,
    /// How many names of services lie below a name that is none.
    below: HashMap<Box<[u8]>, usize>,
}

impl Catalog {
    /// What is served now, under the next serial number.
    pub fn snapshot(&mut self) -> Snapshot {
        self.current.serial = self.current.serial.wrapping_add(1);
        self.current.clone()
    }

    /// Serves these zones and no others. Of two zones in which a name could be, the longer one has it.
    pub fn set_zones(&mut self, specs: &[ZoneSpec<'_>]) {
        let mut zones = HashMap::new();
        for spec in specs {
            // Names were checked when they were given; one that is no domain name cannot be asked for either.
            if let Ok(name) = Name::from_text(spec.name) {
                let (origin, soa_ttl) = (name.lower(), spec.soa_ttl);
                zones.insert(origin.clone(), Arc::new(Zone { origin, soa_ttl }));
            }
        }
        let origins = self.zones.keys().chain(zones.keys());
        let changed: HashSet<_> = origins
            .filter(|origin| self.zones.get(*origin) != zones.get(*origin))
            .cloned()
            .collect();
        if changed.is_empty() {
            return;
        }
        let touches = |service: &Service| starts(&service.key).any(|at| changed.contains(&service.key[at..]));
        let services = self.services.iter().filter(|(_, service)| touches(service));
        let affected: Vec<_> = services.map(|(id, service)| (*id, service.clone())).collect();
        for (id, service) in &affected {
            self.unplace(*id, service);
        }
        self.zones = zones;
        for origin in &changed {
            let zone = self.zones.get(origin).cloned();
            let apex = zone.map(|zone| Node::Apex(zone, Trie::default()));
            self.current.names.set(origin, apex);
        }
        for (id, service) in &affected {
            self.place(*id, service);
        }
    }

    /// Takes over a service, new or changed, or forgets it. A service without instances has no name.
    pub fn put(&mut self, id: u64, service: Option<Service>) {
        let mut new = service.filter(|service| !service.is_empty());
        let old = self.services.remove(&id);
        if let (Some(old), Some(new)) = (&old, &mut new)
            && old.name == new.name
        {
            // Shared by all versions, for hosts hold on to it.
            new.name = old.name.clone();
        }
        let new = new.map(Arc::new);
        self.move_hosts(old.as_deref(), new.as_deref());
        let stays = old.as_ref().zip(new.as_ref());
        let stays = stays.is_some_and(|(old, new)| (&old.key, &old.origin) == (&new.key, &new.origin));
        if let Some(old) = &old
            && !stays
        {
            self.unplace(id, old);
        }
        let Some(new) = new else { return };
        self.services.insert(id, new.clone());
        if stays {
            self.refresh(&new.key);
        } else {
            self.place(id, &new);
        }
    }

    /// Forgets all services.
    pub fn clear(&mut self) {
        for id in self.services.keys().copied().collect::<Vec<_>>() {
            self.put(id, None);
        }
    }

    /// The zone that has a name.
    fn zone_of(&self, key: &[u8]) -> Option<&Arc<Zone>> {
        starts(key).find_map(|at| self.zones.get(&key[at..]))
    }

    /// Gives a service its name, if its zone is served and has that name.
    fn place(&mut self, id: u64, service: &Service) {
        if self
            .zone_of(&service.key)
            .is_none_or(|zone| zone.origin != service.origin)
        {
            return;
        }
        let owners = self.owners.entry(service.key.clone()).or_default();
        owners.push(id);
        owners.sort_unstable();
        if owners.len() == 1 {
            for at in starts(service.relative()).skip(1) {
                let above = &service.key[at..];
                *self.below.entry(above.into()).or_default() += 1;
                self.refresh(above);
            }
        }
        self.refresh(&service.key);
    }

    fn unplace(&mut self, id: u64, service: &Service) {
        let Some(owners) = self.owners.get_mut(&service.key) else {
            return;
        };
        let before = owners.len();
        owners.retain(|owner| *owner != id);
        if owners.len() == before {
            return;
        }
        if owners.is_empty() {
            self.owners.remove(&service.key);
            for at in starts(service.relative()).skip(1) {
                let above = &service.key[at..];
                if let Some(count) = self.below.get_mut(above) {
                    *count -= 1;
                    if *count == 0 {
                        self.below.remove(above);
                    }
                }
                self.refresh(above);
            }
        }
        self.refresh(&service.key);
    }

    /// Puts at a name what belongs there now.
    fn refresh(&mut self, key: &[u8]) {
        let Some(zone) = self.zone_of(key).cloned() else {
            self.current.names.set(key, None);
            return;
        };
        if *zone.origin == *key {
            return;
        }
        let owner = self.owners.get(key).and_then(|owners| owners.first());
        let service = owner.and_then(|id| self.services.get(id)).cloned();
        let node = match service {
            Some(service) => Some(Node::Service(zone.clone(), service)),
            None => self.below.contains_key(key).then(|| Node::Between(zone.clone())),
        };
        let before = self.current.names.get(key).and_then(kind_name);
        let after = node.as_ref().and_then(kind_name);
        self.current.names.set(key, node);
        if before != after
            && let Some(Node::Apex(_, kinds)) = self.current.names.get(&zone.origin)
        {
            let mut kinds = kinds.clone();
            for (name, value) in [(before, None), (after, Some(()))] {
                if let Some(name) = name {
                    kinds.set(&name, value);
                }
            }
            let apex = Node::Apex(zone.clone(), kinds);
            self.current.names.set(&zone.origin, Some(apex));
        }
    }

    /// Keeps the names of addresses in step. Both lists of instances are in one order.
    fn move_hosts(&mut self, old: Option<&Service>, new: Option<&Service>) {
        let renamed = old.zip(new).is_some_and(|(old, new)| old.name != new.name);
        if renamed {
            self.move_hosts(old, None);
            return self.move_hosts(None, new);
        }
        let instances = |service: Option<&'_ Service>| service.map_or(0, |service| service.instances.len());
        let (mut a, mut b) = (0, 0);
        while a < instances(old) || b < instances(new) {
            let left = old.and_then(|old| Some((old, old.instances.get(a)?)));
            let right = new.and_then(|new| Some((new, new.instances.get(b)?)));
            let order = match (left, right) {
                (Some((_, left)), Some((_, right))) => compare(left.id.as_bytes(), right.id.as_bytes()),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            let (leaves, comes) = (order.is_le().then_some(left), order.is_ge().then_some(right));
            a += usize::from(leaves.is_some());
            b += usize::from(comes.is_some());
            let (leaves, comes) = (leaves.flatten(), comes.flatten());
            let at = |place: Option<(_, &Instance)>| {
                place.map(|(_, instance)| (instance.id.clone(), instance.ipv4, instance.ipv6))
            };
            if at(leaves) == at(comes) {
                continue;
            }
            for (place, is_there) in [(leaves, false), (comes, true)] {
                let Some((service, instance)) = place.filter(|(service, i)| service.has_host(i)) else {
                    continue;
                };
                for address in instance.addresses() {
                    self.set_host(address, &service.name, &instance.id, is_there);
                }
            }
        }
    }

    fn set_host(&mut self, address: IpAddr, service: &Arc<[u8]>, id: &Arc<str>, is_there: bool) {
        let key = AddressKey::new(address);
        let host = Host {
            service: service.clone(),
            id: id.clone(),
        };
        let hosts = match self.current.hosts.get(key.bytes()) {
            None => Hosts::Few([].into()),
            Some(hosts) => hosts.clone(),
        };
        let hosts = hosts.with(host, is_there);
        self.current.hosts.set(key.bytes(), hosts);
    }
}

/// What a service with SRV records is called in DNS-SD.
fn kind_name(node: &Node) -> Option<Box<[u8]>> {
    match node {
        Node::Service(_, service) if !service.members(Published::Srv).members.is_empty() => {
            service.kind_name()
        }
        _ => None,
    }
}

impl Node {
    pub(super) const fn zone(&self) -> &Arc<Zone> {
        match self {
            Node::Apex(zone, _) | Node::Service(zone, _) | Node::Between(zone) => zone,
        }
    }
}

impl Host {
    fn key(&self) -> Vec<u8> {
        [self.id.as_bytes(), b".", &self.service].concat()
    }

    fn is(&self, other: &Host) -> bool {
        self.id == other.id && self.service == other.service
    }
}

impl Hosts {
    /// With a host added or taken out; `None` if there are no others.
    fn with(self, host: Host, is_there: bool) -> Option<Hosts> {
        match self {
            Hosts::Few(all) => {
                let others = all.iter().filter(|other| !other.is(&host)).cloned();
                let all: Vec<_> = others.chain(is_there.then(|| host.clone())).collect();
                if all.len() > MANY_HOSTS {
                    let mut many = Trie::default();
                    for host in all {
                        many.set(&host.key(), Some(host));
                    }
                    return Some(Hosts::Many(many));
                }
                (!all.is_empty()).then(|| Hosts::Few(all.into()))
            }
            Hosts::Many(mut all) => {
                all.set(&host.key(), is_there.then_some(host));
                (!all.is_empty()).then_some(Hosts::Many(all))
            }
        }
    }

    /// All of them, in an order that `start` chooses.
    pub(super) fn iter_from(&self, start: u64) -> Box<dyn Iterator<Item = &Host> + '_> {
        match self {
            Hosts::Few(all) => {
                let at = usize::try_from(start % (all.len() as u64).max(1)).unwrap_or_default();
                Box::new(all[at..].iter().chain(&all[..at]))
            }
            Hosts::Many(all) => Box::new(all.iter_from(start).map(|(_, host)| host)),
        }
    }
}

/// An address as a key.
pub(super) struct AddressKey([u8; 16], usize);

impl AddressKey {
    pub(super) fn new(address: IpAddr) -> AddressKey {
        let mut key = [0; 16];
        let length = match address {
            IpAddr::V4(ip) => {
                key[..4].copy_from_slice(&ip.octets());
                4
            }
            IpAddr::V6(ip) => {
                key = ip.octets();
                16
            }
        };
        AddressKey(key, length)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0[..self.1]
    }
}
