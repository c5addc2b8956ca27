//! The registry's records: everything that changes durably, with frozen kind numbers.
//!
//! | kind | record | fields |
//! |---|---|---|
//! | 0x80 | namespace created | id, name, kind, description, creator request, SOA TTL, operation, wall time |
//! | 0x81 | namespace deleted | id, operation, wall time |
//! | 0x82 | service created | id, namespace, name, description, creator request, DNS, health source, wall time |
//! | 0x83 | service deleted | id |
//! | 0x84 | instance registered | service, id, attributes, creator request, operation, lease, custom health, wall time, steady time |
//! | 0x85 | instance removed | service, id, cause, operation, wall time |
//! | 0x86 | custom health set | service, id, healthy |
//! | 0x87 | reset | nothing |
//!
//! Kinds below 0x80 are the broker's. A number is never used again for something else.

use std::sync::Arc;

use tsugite_base::Timestamp;
use tsugite_base::Uuid;
use tsugite_base::codec::{Get, Malformed, Put};

use crate::model::{
    Attributes, CheckKind, DnsConfig, DnsRecord, HealthCheck, HealthSource, Instance, Namespace, NamespaceId,
    NamespaceKind, OperationId, RecordType, RoutingPolicy, Service, ServiceId,
};

/// Why an instance left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It was deregistered.
    Deregistered,
    /// Its lease ran out.
    Expired,
}

/// A durable change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A namespace was created.
    NamespaceCreated(Namespace),
    /// An empty namespace was deleted.
    NamespaceDeleted {
        /// The namespace.
        id: NamespaceId,
        /// The operation that did it.
        operation: OperationId,
        /// Wall clock.
        at: Timestamp,
    },
    /// A service was created.
    ServiceCreated(Service),
    /// An empty service was deleted.
    ServiceDeleted {
        /// The service.
        id: ServiceId,
    },
    /// An instance was registered or replaced.
    InstanceRegistered {
        /// The service.
        service: ServiceId,
        /// The instance.
        instance: Instance,
        /// Steady clock: the start of the lease.
        steady: Timestamp,
    },
    /// An instance left.
    InstanceRemoved {
        /// The service.
        service: ServiceId,
        /// The instance.
        instance: Arc<str>,
        /// Why.
        cause: Removal,
        /// The operation that did it.
        operation: Option<OperationId>,
        /// Wall clock.
        at: Timestamp,
    },
    /// A health status was pushed.
    CustomHealthSet {
        /// The service.
        service: ServiceId,
        /// The instance.
        instance: Arc<str>,
        /// The new status.
        healthy: bool,
    },
    /// Everything was dropped.
    Reset,
}

impl Record {
    /// Appends the record's bytes, the kind first.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Record::NamespaceCreated(namespace) => {
                out.put_u8(0x80);
                put_namespace(out, namespace);
            }
            Record::NamespaceDeleted { id, operation, at } => {
                out.put_u8(0x81);
                out.put_u64(id.0);
                put_uuid(out, *operation);
                out.put_time(*at);
            }
            Record::ServiceCreated(service) => {
                out.put_u8(0x82);
                put_service(out, service);
            }
            Record::ServiceDeleted { id } => {
                out.put_u8(0x83);
                out.put_u64(id.0);
            }
            Record::InstanceRegistered {
                service,
                instance,
                steady,
            } => {
                out.put_u8(0x84);
                out.put_u64(service.0);
                put_instance(out, instance);
                out.put_time(*steady);
            }
            Record::InstanceRemoved {
                service,
                instance,
                cause,
                operation,
                at,
            } => {
                out.put_u8(0x85);
                out.put_u64(service.0);
                out.put_str(instance);
                out.put_u8(match cause {
                    Removal::Deregistered => 0,
                    Removal::Expired => 1,
                });
                out.put_option(*operation, put_uuid);
                out.put_time(*at);
            }
            Record::CustomHealthSet {
                service,
                instance,
                healthy,
            } => {
                out.put_u8(0x86);
                out.put_u64(service.0);
                out.put_str(instance);
                out.put_u8(u8::from(*healthy));
            }
            Record::Reset => out.put_u8(0x87),
        }
    }

    /// Reads a record that fills `bytes` exactly.
    pub fn decode(bytes: &[u8]) -> Result<Record, Malformed> {
        let mut from = Get::new(bytes);
        let record = match from.u8("record kind")? {
            0x80 => Record::NamespaceCreated(get_namespace(&mut from)?),
            0x81 => Record::NamespaceDeleted {
                id: NamespaceId(from.u64("namespace")?),
                operation: get_uuid(&mut from)?,
                at: from.time("time")?,
            },
            0x82 => Record::ServiceCreated(get_service(&mut from)?),
            0x83 => Record::ServiceDeleted {
                id: ServiceId(from.u64("service")?),
            },
            0x84 => Record::InstanceRegistered {
                service: ServiceId(from.u64("service")?),
                instance: get_instance(&mut from)?,
                steady: from.time("lease start")?,
            },
            0x85 => Record::InstanceRemoved {
                service: ServiceId(from.u64("service")?),
                instance: from.str("instance")?.into(),
                cause: match from.u8("cause of removal")? {
                    0 => Removal::Deregistered,
                    1 => Removal::Expired,
                    _ => return Err(malformed("cause of removal")),
                },
                operation: from.option("operation", get_uuid)?,
                at: from.time("time")?,
            },
            0x86 => Record::CustomHealthSet {
                service: ServiceId(from.u64("service")?),
                instance: from.str("instance")?.into(),
                healthy: get_bool(&mut from, "health")?,
            },
            0x87 => Record::Reset,
            _ => return Err(malformed("registry record kind")),
        };
        from.end("registry record")?;
        Ok(record)
    }
}

const fn malformed(what: &'static str) -> Malformed {
    Malformed { what }
}

fn put_uuid(out: &mut Vec<u8>, id: Uuid) {
    out.extend_from_slice(&id.0);
}

fn get_uuid(from: &mut Get<'_>) -> Result<Uuid, Malformed> {
    from.bytes16("operation").map(Uuid)
}

fn get_bool(from: &mut Get<'_>, what: &'static str) -> Result<bool, Malformed> {
    match from.u8(what)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(malformed(what)),
    }
}

fn put_text(out: &mut Vec<u8>, text: Option<&str>) {
    out.put_option(text, |out, text| out.put_str(text));
}

fn get_text(from: &mut Get<'_>, what: &'static str) -> Result<Option<String>, Malformed> {
    from.option(what, |from| from.str(what).map(str::to_owned))
}

pub(crate) fn put_namespace(out: &mut Vec<u8>, n: &Namespace) {
    out.put_u64(n.id.0);
    out.put_str(&n.name);
    out.put_u8(match n.kind {
        NamespaceKind::Http => 0,
        NamespaceKind::DnsPrivate => 1,
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
    match &s.health {
        HealthSource::None => out.put_u8(0),
        HealthSource::Active(check) => {
            out.put_u8(1);
            put_check(out, check);
        }
        HealthSource::Custom => out.put_u8(2),
    }
    out.put_time(s.created);
}

pub(crate) fn get_service(from: &mut Get<'_>) -> Result<Service, Malformed> {
    Ok(Service {
        id: ServiceId(from.u64("service")?),
        namespace: NamespaceId(from.u64("namespace")?),
        name: from.str("service name")?.to_owned(),
        description: get_text(from, "description")?,
        creator_request_id: get_text(from, "creator request")?,
        dns: from.option("DNS config", get_dns)?,
        health: match from.u8("health source")? {
            0 => HealthSource::None,
            1 => HealthSource::Active(get_check(from)?),
            2 => HealthSource::Custom,
            _ => return Err(malformed("health source")),
        },
        created: from.time("time")?,
    })
}

fn put_dns(out: &mut Vec<u8>, dns: &DnsConfig) {
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
        });
        out.put_option(record.ttl, |out, ttl| out.put_u32(ttl));
    }
}

fn get_dns(from: &mut Get<'_>) -> Result<DnsConfig, Malformed> {
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
    for (key, value) in i.attributes.iter() {
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
    let id = from.str("instance")?.into();
    let mut attributes = Attributes::new();
    for _ in 0..from.u32("attributes")? {
        let key = from.str("attribute key")?.to_owned();
        attributes.insert(key, from.str("attribute value")?.to_owned());
    }
    Ok(Instance {
        id,
        attributes: Arc::new(attributes),
        creator_request_id: get_text(from, "creator request")?,
        operation: from.option("operation", get_uuid)?,
        lease_ms: from.option("lease", |from| from.u32("lease"))?,
        custom: from.option("custom health", |from| get_bool(from, "custom health"))?,
        registered: from.time("time")?,
    })
}
