//! What DNS knows of the registry: zones, services by name, instances by health. Kept up to date from the feed of
//! changes, so that a query takes a short read lock and never waits for the store.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use tsugite_base::names::DEFAULT_NAMESPACE;
use tsugite_discovery::dns::Name;
use tsugite_registry::{
    Changes, HealthStatus, InstanceView, NamespaceView, RecordType, RoutingPolicy, ServiceId, ServiceView,
    cname_of, ipv4_of, ipv6_of, port_of, weight_of,
};

/// TTL of negative answers in the default namespace as long as nothing is registered in it, in seconds.
const DEFAULT_SOA_TTL: u32 = 1;

/// Weight of an instance that names none.
const DEFAULT_WEIGHT: u32 = tsugite_traffic::table::DEFAULT_WEIGHT;

/// All zones.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// By name in lower case.
    zones: HashMap<String, Zone>,
    /// Where each service was put, so that it is found again when it changes or goes.
    places: HashMap<ServiceId, (String, String)>,
    /// Serial number of every zone: counts updates.
    serial: u32,
}

/// A DNS namespace.
#[derive(Debug)]
pub(super) struct Zone {
    /// Its name as it was created.
    pub(super) name: Name,
    /// TTL of its SOA record and of negative answers.
    pub(super) soa_ttl: u32,
    /// By name in lower case with the labels reversed, so that what is below a name lies together.
    services: BTreeMap<String, Service>,
}

/// A service with DNS records.
#[derive(Debug)]
pub(super) struct Service {
    /// The fully qualified name.
    pub(super) name: Name,
    /// Which instances an answer holds.
    pub(super) routing: RoutingPolicy,
    /// TTL of its A, AAAA, SRV and CNAME records; `None` if it has none of that type.
    ttls: [Option<u32>; 4],
    /// Those that may be answered: healthy ones, or all if none is.
    pub(super) instances: Vec<Instance>,
    /// All, by id in lower case.
    by_id: HashMap<String, Instance>,
}

/// An instance as DNS sees it.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    /// `<instance>.<service>.<namespace>`; `None` if the id is no domain name.
    pub(super) host: Option<Arc<Name>>,
    /// For A records.
    pub(super) ipv4: Option<Ipv4Addr>,
    /// For AAAA records.
    pub(super) ipv6: Option<Ipv6Addr>,
    /// For SRV records.
    pub(super) port: Option<u16>,
    /// For CNAME records.
    pub(super) cname: Option<Arc<Name>>,
    /// Its share of the answers of a service whose policy is `WEIGHTED`.
    pub(super) weight: u32,
}

/// What a name means.
pub(super) enum Found<'d> {
    /// Not in a zone of ours.
    Nowhere,
    /// The zone itself, or a name between it and a service.
    Between(&'d Zone),
    /// No such name in the zone.
    Nothing(&'d Zone),
    /// A service.
    Service(&'d Zone, &'d Service),
    /// An instance of a service.
    Instance(&'d Zone, &'d Service, &'d Instance),
}

impl Service {
    /// TTL of the records of that type.
    pub(super) fn ttl(&self, kind: RecordType) -> Option<u32> {
        self.ttls[index(kind)]
    }

    fn new(zone: &Name, view: &ServiceView, instances: &[InstanceView]) -> Option<Service> {
        let dns = view.service.dns.as_ref()?;
        let name = Name::under(&view.service.name, zone).ok()?;
        let mut ttls = [None; 4];
        for record in &dns.records {
            ttls[index(record.kind)] = Some(record.ttl.unwrap_or(view.default_ttl));
        }
        let all: Vec<_> = instances.iter().map(|i| (Instance::new(&name, i), i)).collect();
        let healthy = all
            .iter()
            .filter(|(_, view)| view.health.status == HealthStatus::Healthy);
        let mut answered: Vec<_> = healthy.map(|(instance, _)| instance.clone()).collect();
        if answered.is_empty() {
            answered = all.iter().map(|(instance, _)| instance.clone()).collect();
        }
        let by_id = all
            .into_iter()
            .map(|(i, view)| (view.id.to_ascii_lowercase(), i))
            .collect();
        Some(Service {
            name,
            routing: dns.routing,
            ttls,
            instances: answered,
            by_id,
        })
    }
}

impl Instance {
    fn new(service: &Name, view: &InstanceView) -> Instance {
        Instance {
            host: Name::under(&view.id, service).ok().map(Arc::new),
            ipv4: ipv4_of(&view.attributes),
            ipv6: ipv6_of(&view.attributes),
            port: port_of(&view.attributes),
            cname: cname_of(&view.attributes).and_then(|name| Name::from_text(name).ok().map(Arc::new)),
            weight: weight_of(&view.attributes).unwrap_or(DEFAULT_WEIGHT),
        }
    }
}

const fn index(kind: RecordType) -> usize {
    match kind {
        RecordType::A => 0,
        RecordType::Aaaa => 1,
        RecordType::Srv => 2,
        RecordType::Cname => 3,
    }
}

fn zone_key(namespace: &str) -> String {
    namespace.to_ascii_lowercase()
}

/// `a.b.c` as `c.b.a`.
fn reversed(name: &str) -> String {
    name.rsplit('.').collect::<Vec<_>>().join(".")
}

impl Directory {
    /// The serial number in SOA records.
    pub(super) fn serial(&self) -> u32 {
        self.serial
    }

    /// Takes over what changed.
    pub(super) fn update(&mut self, changes: &Changes) {
        self.serial = self.serial.wrapping_add(1);
        if changes.full {
            self.zones.clear();
            self.places.clear();
        }
        for id in &changes.removed {
            self.remove(*id);
        }
        if let Some(namespaces) = &changes.namespaces {
            self.keep_zones(namespaces);
        }
        for (view, instances) in &changes.services {
            self.remove(view.service.id);
            self.insert(view, instances);
        }
    }

    /// Makes a zone of each DNS namespace and drops all others. The default namespace is a zone before anything
    /// is registered in it, so that whoever asks too early hears "not yet" and not "not here".
    fn keep_zones(&mut self, namespaces: &[NamespaceView]) {
        let mut old = std::mem::take(&mut self.zones);
        let dns = namespaces.iter().filter(|view| view.namespace.kind.is_dns());
        let named = dns.map(|view| (view.namespace.name.as_str(), view.soa_ttl));
        for (name, soa_ttl) in std::iter::once((DEFAULT_NAMESPACE, DEFAULT_SOA_TTL)).chain(named) {
            let key = zone_key(name);
            // The name was checked when the namespace was created.
            let Ok(name) = Name::from_text(name) else {
                continue;
            };
            let services = old.remove(&key).map(|zone| zone.services);
            self.zones.insert(
                key,
                Zone {
                    name,
                    soa_ttl,
                    services: services.unwrap_or_default(),
                },
            );
        }
    }

    fn remove(&mut self, id: ServiceId) {
        if let Some((zone, service)) = self.places.remove(&id)
            && let Some(zone) = self.zones.get_mut(&zone)
        {
            zone.services.remove(&service);
        }
    }

    fn insert(&mut self, view: &ServiceView, instances: &[InstanceView]) {
        let zone_key = zone_key(&view.namespace_name);
        let Some(zone) = self.zones.get_mut(&zone_key) else {
            return;
        };
        if let Some(service) = Service::new(&zone.name, view, instances) {
            let service_key = reversed(&view.service.name.to_ascii_lowercase());
            self.places
                .insert(view.service.id, (zone_key, service_key.clone()));
            zone.services.insert(service_key, service);
        }
    }

    /// Finds what a name in lower case means: in the zone with the longest name, the service with the longest.
    pub(super) fn find(&self, name: &str) -> Found<'_> {
        let suffixes = std::iter::successors(Some(name), |rest| rest.split_once('.').map(|(_, rest)| rest));
        let Some((zone, suffix)) = suffixes.filter_map(|s| Some((self.zones.get(s)?, s))).next() else {
            return Found::Nowhere;
        };
        let below = name[..name.len() - suffix.len()].trim_end_matches('.');
        if below.is_empty() {
            Found::Between(zone)
        } else {
            zone.find(below)
        }
    }
}

impl Zone {
    /// Finds what the labels before the zone's name mean.
    fn find(&self, below: &str) -> Found<'_> {
        let key = reversed(below);
        let mut service_key = key.as_str();
        loop {
            if let Some(service) = self.services.get(service_key) {
                if service_key.len() == key.len() {
                    return if service.by_id.is_empty() {
                        Found::Nothing(self)
                    } else {
                        Found::Service(self, service)
                    };
                }
                let id = &below[..key.len() - service_key.len() - 1];
                return match service.by_id.get(id) {
                    Some(instance) => Found::Instance(self, service, instance),
                    None => self.between(&key),
                };
            }
            match service_key.rsplit_once('.') {
                Some((shorter, _)) => service_key = shorter,
                None => return self.between(&key),
            }
        }
    }

    /// A name exists if anything below it does (RFC 8020).
    fn between(&self, key: &str) -> Found<'_> {
        let prefix = format!("{key}.");
        let mut below = self
            .services
            .range(prefix.clone()..)
            .take_while(|(key, _)| key.starts_with(&prefix));
        if below.any(|(_, service)| !service.by_id.is_empty()) {
            Found::Between(self)
        } else {
            Found::Nothing(self)
        }
    }
}
