//! From the registry to what DNS serves: namespaces become zones, services and instances what can be asked for.

use std::sync::Arc;

use tsugite_base::names::DEFAULT_NAMESPACE;
use tsugite_discovery::dns::{
    Catalog, Instance, Name, Pairs, Routing, Service, ServiceSpec, Snapshot, ZoneSpec,
};
use tsugite_registry::{
    Changes, DnsConfig, InstanceView, NamespaceView, Packed, Protocol, RoutingPolicy, ServiceView, cname_of,
    ipv4_of, ipv6_of, port_of, protocol_of, weight_of,
};

/// TTL of negative answers in the default namespace as long as nothing is registered in it, in seconds.
const DEFAULT_SOA_TTL: u32 = 1;

/// Keeps a catalog in step with the registry.
#[derive(Debug, Default)]
pub(super) struct Directory {
    catalog: Catalog,
}

impl Directory {
    /// Takes over what changed; answers what is served from now on.
    pub(super) fn update(&mut self, changes: &Changes) -> Snapshot {
        if changes.full {
            self.catalog.clear();
        }
        for id in &changes.removed {
            self.catalog.put(id.0, None);
        }
        if let Some(namespaces) = &changes.namespaces {
            self.set_zones(namespaces);
        }
        for (view, instances) in &changes.services {
            self.catalog.put(view.service.id.0, service(view, instances));
        }
        self.catalog.snapshot()
    }

    /// Makes a zone of each DNS namespace. The default namespace is a zone before anything is registered in it, so that
    /// whoever asks too early hears "not yet" and not "not here".
    fn set_zones(&mut self, namespaces: &[NamespaceView]) {
        let default = ZoneSpec {
            name: DEFAULT_NAMESPACE,
            soa_ttl: DEFAULT_SOA_TTL,
        };
        let dns = namespaces.iter().filter(|view| view.namespace.kind.is_dns());
        let named = dns.map(|view| ZoneSpec {
            name: &view.namespace.name,
            soa_ttl: view.soa_ttl,
        });
        let zones: Vec<_> = std::iter::once(default).chain(named).collect();
        self.catalog.set_zones(&zones);
    }
}

/// `None` for a service that is not in DNS.
fn service(view: &ServiceView, instances: &[InstanceView]) -> Option<Service> {
    let dns = view.service.dns.as_ref()?;
    let spec = ServiceSpec {
        name: &view.service.name,
        zone: &view.namespace_name,
        routing: match dns.routing {
            RoutingPolicy::Multivalue => Routing::Multivalue,
            RoutingPolicy::Weighted => Routing::Weighted,
        },
        ttls: ttls(dns, view.default_ttl),
        default_weight: narrow(tsugite_traffic::table::DEFAULT_WEIGHT),
        instances: instances.iter().map(instance).collect(),
    };
    // Names of services may hold spaces, but not more bytes than DNS allows; those that do are found by the API alone.
    view.namespace_kind.is_dns().then(|| Service::new(spec).ok())?
}

/// In the order of A, AAAA, SRV and CNAME.
fn ttls(dns: &DnsConfig, default: u32) -> [Option<u32>; 4] {
    use tsugite_registry::RecordType::{A, Aaaa, Cname, Srv};
    [A, Aaaa, Srv, Cname].map(|kind| {
        let record = dns.records.iter().find(|record| record.kind == kind)?;
        Some(record.ttl.unwrap_or(default))
    })
}

fn instance(view: &InstanceView) -> Instance {
    Instance {
        id: view.id.clone(),
        ipv4: ipv4_of(&view.attributes),
        ipv6: ipv6_of(&view.attributes),
        port: port_of(&view.attributes),
        cname: cname_of(&view.attributes).and_then(|name| Name::from_text(name).ok().map(Arc::new)),
        weight: weight_of(&view.attributes).map(narrow),
        protocol: match protocol_of(&view.attributes) {
            None | Some(Protocol::Http) => "http",
            Some(Protocol::H2c) => "h2c",
            Some(Protocol::Grpc) => "grpc",
        },
        answered: view.takes_calls,
        attributes: Arc::new(Shown(view.attributes.clone())),
    }
}

/// The attributes of an instance, shown where they are kept.
#[derive(Debug)]
struct Shown(Packed);

impl Pairs for Shown {
    fn each(&self, show: &mut dyn FnMut(&str, &str)) {
        self.0.iter().for_each(|(key, value)| show(key, value));
    }
}

/// Weights end at 1000.
fn narrow(weight: u32) -> u16 {
    u16::try_from(weight).unwrap_or(u16::MAX)
}
