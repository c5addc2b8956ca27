//! The bytes of what records and snapshots hold. Frozen: a new field needs a new record or snapshot format.

use tsugite_base::Uuid;
use tsugite_base::codec::{Get, Malformed, Put};

use crate::model::{
    Attributes, CheckKind, DnsConfig, DnsRecord, HealthCheck, HealthSource, Instance, Namespace, NamespaceId,
    NamespaceKind, RecordType, Resource, RoutingPolicy, Service, ServiceId,
};

pub(crate) const fn malformed(what: &'static str) -> Malformed {
    Malformed { what }
}

pub(crate) fn put_uuid(out: &mut Vec<u8>, id: Uuid) {
    out.extend_from_slice(&id.0);
}

pub(crate) fn get_uuid(from: &mut Get<'_>) -> Result<Uuid, Malformed> {
    from.bytes16("operation").map(Uuid)
}

pub(crate) fn get_bool(from: &mut Get<'_>, what: &'static str) -> Result<bool, Malformed> {
    match from.u8(what)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(malformed(what)),
    }
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: Option<&str>) {
    out.put_option(text, |out, text| out.put_str(text));
}

pub(crate) fn get_text(from: &mut Get<'_>, what: &'static str) -> Result<Option<String>, Malformed> {
    from.option(what, |from| from.str(what).map(str::to_owned))
}

pub(crate) fn put_namespace(out: &mut Vec<u8>, n: &Namespace) {
    out.put_u64(n.id.0);
    out.put_str(&n.name);
    out.put_u8(match n.kind {
        NamespaceKind::Http => 0,
        NamespaceKind::DnsPrivate => 1,
        NamespaceKind::DnsPublic => 2,
    });
    put_text(out, n.description.as_deref());
    put_text(out, n.creator_request_id.as_deref());
    out.put_option(n.soa_ttl, |out, ttl| out.put_u32(ttl));
    out.put_option(n.operation, put_uuid);
    out.put_time(n.created);
}

pub(crate) fn get_namespace(from: &mut Get<'_>) -> Result<Namespace, Malformed> {
    Ok(Namespace {
        id: NamespaceId(from.u64("namespace")?),
        name: from.str("namespace name")?.to_owned(),
        kind: match from.u8("namespace kind")? {
            0 => NamespaceKind::Http,
            1 => NamespaceKind::DnsPrivate,
            2 => NamespaceKind::DnsPublic,
            _ => return Err(malformed("namespace kind")),
        },
        description: get_text(from, "description")?,
        creator_request_id: get_text(from, "creator request")?,
        soa_ttl: from.option("SOA TTL", |from| from.u32("SOA TTL"))?,
        operation: from.option("operation", get_uuid)?,
        created: from.time("time")?,
    })
}

pub(crate) fn put_service(out: &mut Vec<u8>, s: &Service) {
    out.put_u64(s.id.0);
    out.put_u64(s.namespace.0);
    out.put_str(&s.name);
    put_text(out, s.description.as_deref());
    put_text(out, s.creator_request_id.as_deref());
    out.put_option(s.dns.as_ref(), put_dns);
    put_health(out, &s.health);
    out.put_time(s.created);
}

pub(crate) fn put_health(out: &mut Vec<u8>, health: &HealthSource) {
    match health {
        HealthSource::None => out.put_u8(0),
        HealthSource::Active(check) => {
            out.put_u8(1);
            put_check(out, check);
        }
        HealthSource::Custom => out.put_u8(2),
    }
}

pub(crate) fn get_health(from: &mut Get<'_>) -> Result<HealthSource, Malformed> {
    Ok(match from.u8("health source")? {
        0 => HealthSource::None,
        1 => HealthSource::Active(get_check(from)?),
        2 => HealthSource::Custom,
        _ => return Err(malformed("health source")),
    })
}

pub(crate) fn get_service(from: &mut Get<'_>) -> Result<Service, Malformed> {
    Ok(Service {
        id: ServiceId(from.u64("service")?),
        namespace: NamespaceId(from.u64("namespace")?),
        name: from.str("service name")?.to_owned(),
        description: get_text(from, "description")?,
        creator_request_id: get_text(from, "creator request")?,
        dns: from.option("DNS config", get_dns)?,
        health: get_health(from)?,
        created: from.time("time")?,
    })
}

pub(crate) fn put_dns(out: &mut Vec<u8>, dns: &DnsConfig) {
    out.put_u8(match dns.routing {
        RoutingPolicy::Multivalue => 0,
        RoutingPolicy::Weighted => 1,
    });
    out.put_u8(u8::try_from(dns.records.len()).expect("one record of each type"));
    for record in &dns.records {
        out.put_u8(match record.kind {
            RecordType::A => 0,
            RecordType::Aaaa => 1,
            RecordType::Srv => 2,
            RecordType::Cname => 3,
        });
        out.put_option(record.ttl, |out, ttl| out.put_u32(ttl));
    }
}

pub(crate) fn get_dns(from: &mut Get<'_>) -> Result<DnsConfig, Malformed> {
    let routing = match from.u8("routing policy")? {
        0 => RoutingPolicy::Multivalue,
        1 => RoutingPolicy::Weighted,
        _ => return Err(malformed("routing policy")),
    };
    let count = from.u8("DNS records")?;
    let record = |from: &mut Get<'_>| {
        Ok(DnsRecord {
            kind: match from.u8("record type")? {
                0 => RecordType::A,
                1 => RecordType::Aaaa,
                2 => RecordType::Srv,
                3 => RecordType::Cname,
                _ => return Err(malformed("record type")),
            },
            ttl: from.option("TTL", |from| from.u32("TTL"))?,
        })
    };
    let records = (0..count).map(|_| record(from)).collect::<Result<_, _>>()?;
    Ok(DnsConfig { routing, records })
}

fn put_check(out: &mut Vec<u8>, check: &HealthCheck) {
    match &check.kind {
        CheckKind::Http { path } => {
            out.put_u8(0);
            out.put_str(path);
        }
        CheckKind::Tcp => out.put_u8(1),
        CheckKind::Https { path, verify } => {
            out.put_u8(2);
            out.put_str(path);
            out.put_u8(u8::from(*verify));
        }
        CheckKind::Grpc { service } => {
            out.put_u8(3);
            out.put_str(service);
        }
    }
    for number in [
        check.interval_ms,
        check.timeout_ms,
        check.unhealthy,
        check.healthy,
    ] {
        out.put_u32(number);
    }
}

fn get_check(from: &mut Get<'_>) -> Result<HealthCheck, Malformed> {
    Ok(HealthCheck {
        kind: match from.u8("check kind")? {
            0 => CheckKind::Http {
                path: from.str("check path")?.to_owned(),
            },
            1 => CheckKind::Tcp,
            2 => CheckKind::Https {
                path: from.str("check path")?.to_owned(),
                verify: get_bool(from, "certificate check")?,
            },
            3 => CheckKind::Grpc {
                service: from.str("checked service")?.to_owned(),
            },
            _ => return Err(malformed("check kind")),
        },
        interval_ms: from.u32("interval")?,
        timeout_ms: from.u32("timeout")?,
        unhealthy: from.u32("threshold")?,
        healthy: from.u32("threshold")?,
    })
}

pub(crate) fn put_instance(out: &mut Vec<u8>, i: &Instance) {
    out.put_str(&i.id);
    out.put_u32(u32::try_from(i.attributes.len()).expect("attributes are bounded"));
    for (key, value) in &i.attributes {
        out.put_str(key);
        out.put_str(value);
    }
    put_text(out, i.creator_request_id.as_deref());
    out.put_option(i.operation, put_uuid);
    out.put_option(i.lease_ms, |out, ms| out.put_u32(ms));
    out.put_option(i.custom, |out, healthy| out.put_u8(u8::from(healthy)));
    out.put_time(i.registered);
}

pub(crate) fn get_instance(from: &mut Get<'_>) -> Result<Instance, Malformed> {
    Ok(Instance {
        id: from.str("instance")?.into(),
        attributes: get_attributes(from)?.into(),
        creator_request_id: get_text(from, "creator request")?,
        operation: from.option("operation", get_uuid)?,
        lease_ms: from.option("lease", |from| from.u32("lease"))?,
        custom: from.option("custom health", |from| get_bool(from, "custom health"))?,
        registered: from.time("time")?,
    })
}

/// Attributes and tags alike.
pub(crate) fn put_attributes(out: &mut Vec<u8>, attributes: &Attributes) {
    out.put_u32(u32::try_from(attributes.len()).expect("attributes are bounded"));
    for (key, value) in attributes {
        out.put_str(key);
        out.put_str(value);
    }
}

pub(crate) fn get_attributes(from: &mut Get<'_>) -> Result<Attributes, Malformed> {
    let mut attributes = Attributes::new();
    for _ in 0..from.u32("attributes")? {
        let key = from.str("attribute key")?.to_owned();
        attributes.insert(key, from.str("attribute value")?.to_owned());
    }
    Ok(attributes)
}

pub(crate) fn put_keys(out: &mut Vec<u8>, keys: &[String]) {
    out.put_u32(u32::try_from(keys.len()).expect("keys are bounded"));
    keys.iter().for_each(|key| out.put_str(key));
}

pub(crate) fn get_keys(from: &mut Get<'_>) -> Result<Vec<String>, Malformed> {
    let count = from.u32("keys")?;
    (0..count).map(|_| from.str("key").map(str::to_owned)).collect()
}

pub(crate) fn put_resource(out: &mut Vec<u8>, resource: Resource) {
    let (kind, id) = match resource {
        Resource::Namespace(id) => (0, id.0),
        Resource::Service(id) => (1, id.0),
    };
    out.put_u8(kind);
    out.put_u64(id);
}

pub(crate) fn get_resource(from: &mut Get<'_>) -> Result<Resource, Malformed> {
    match from.u8("kind of resource")? {
        0 => from
            .u64("namespace")
            .map(|id| Resource::Namespace(NamespaceId(id))),
        1 => from.u64("service").map(|id| Resource::Service(ServiceId(id))),
        _ => Err(malformed("kind of resource")),
    }
}
