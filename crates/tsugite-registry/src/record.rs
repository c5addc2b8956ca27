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
//! | 0x88 | namespace updated | id, description, SOA TTL, updater request, operation, wall time |
//! | 0x89 | service updated | id, description, DNS, health source, operation, wall time, steady time |
//! | 0x8a | service attributes changed | id, those set, keys of those removed |
//! | 0x8b | tags changed | resource, those set, keys of those removed |
//! | 0x8c | instance leaving | service, id, operation, drain time, wall time, steady time |
//! | 0x8d | admin health set | service, id, why it is out of service if it is |
//!
//! Kinds below 0x80 are the broker's. A number is never used again for something else.

use std::sync::Arc;

use tsugite_base::Timestamp;
use tsugite_base::codec::{Get, Malformed, Put};

use crate::codec::*;
use crate::model::{
    Attributes, DnsConfig, HealthSource, Instance, Namespace, NamespaceId, OperationId, Resource, Service,
    ServiceId, Tags,
};

/// Why an instance left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It was deregistered.
    Deregistered,
    /// Its lease ran out.
    Expired,
    /// It was leaving, and nobody used it any more or its time was over.
    Left,
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
    /// A namespace was changed.
    NamespaceUpdated {
        /// The namespace.
        id: NamespaceId,
        /// What it is described as from now on.
        description: Option<String>,
        /// The TTL of its SOA record from now on.
        soa_ttl: Option<u32>,
        /// Makes the repeated change harmless.
        updater_request_id: Option<String>,
        /// The operation that did it.
        operation: OperationId,
        /// Wall clock.
        at: Timestamp,
    },
    /// A service was changed.
    ServiceUpdated {
        /// The service.
        id: ServiceId,
        /// What it is described as from now on.
        description: Option<String>,
        /// How it appears in DNS from now on.
        dns: Option<DnsConfig>,
        /// Where the health of its instances comes from, from now on.
        health: HealthSource,
        /// The operation that did it.
        operation: OperationId,
        /// Wall clock.
        at: Timestamp,
        /// Steady clock: the start of new checks.
        steady: Timestamp,
    },
    /// Attributes of a service were set or removed.
    ServiceAttributesChanged {
        /// The service.
        id: ServiceId,
        /// New ones, and new values of old ones.
        set: Attributes,
        /// Keys of those that are gone.
        removed: Vec<String>,
    },
    /// Tags of a namespace or a service were set or removed.
    TagsChanged {
        /// What is tagged.
        resource: Resource,
        /// New ones, and new values of old ones.
        set: Tags,
        /// Keys of those that are gone.
        removed: Vec<String>,
    },
    /// An instance is to take nothing new, and to be removed once what it is doing is done.
    InstanceLeaving {
        /// The service.
        service: ServiceId,
        /// The instance.
        instance: Arc<str>,
        /// The operation that waits for the end of it.
        operation: Option<OperationId>,
        /// Milliseconds after which it is removed in any case.
        drain_ms: u32,
        /// Wall clock.
        at: Timestamp,
        /// Steady clock: the start of the drain time.
        steady: Timestamp,
    },
    /// An operator took an instance out of service, or put it back.
    AdminHealthSet {
        /// The service.
        service: ServiceId,
        /// The instance.
        instance: Arc<str>,
        /// Why it is out of service; `None` puts it back.
        out: Option<String>,
    },
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
                    Removal::Left => 2,
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
            _ => self.encode_change(out),
        }
    }

    /// Appends a record that changes what is there.
    fn encode_change(&self, out: &mut Vec<u8>) {
        match self {
            Record::NamespaceUpdated {
                id,
                description,
                soa_ttl,
                updater_request_id,
                operation,
                at,
            } => {
                out.put_u8(0x88);
                out.put_u64(id.0);
                put_text(out, description.as_deref());
                out.put_option(*soa_ttl, |out, ttl| out.put_u32(ttl));
                put_text(out, updater_request_id.as_deref());
                put_uuid(out, *operation);
                out.put_time(*at);
            }
            Record::ServiceUpdated {
                id,
                description,
                dns,
                health,
                operation,
                at,
                steady,
            } => {
                out.put_u8(0x89);
                out.put_u64(id.0);
                put_text(out, description.as_deref());
                out.put_option(dns.as_ref(), put_dns);
                put_health(out, health);
                put_uuid(out, *operation);
                out.put_time(*at);
                out.put_time(*steady);
            }
            Record::ServiceAttributesChanged { id, set, removed } => {
                out.put_u8(0x8a);
                out.put_u64(id.0);
                put_attributes(out, set);
                put_keys(out, removed);
            }
            Record::TagsChanged {
                resource,
                set,
                removed,
            } => {
                out.put_u8(0x8b);
                put_resource(out, *resource);
                put_attributes(out, set);
                put_keys(out, removed);
            }
            _ => self.encode_word(out),
        }
    }

    /// Appends a record of what somebody said of an instance.
    fn encode_word(&self, out: &mut Vec<u8>) {
        match self {
            Record::InstanceLeaving {
                service,
                instance,
                operation,
                drain_ms,
                at,
                steady,
            } => {
                out.put_u8(0x8c);
                out.put_u64(service.0);
                out.put_str(instance);
                out.put_option(*operation, put_uuid);
                out.put_u32(*drain_ms);
                out.put_time(*at);
                out.put_time(*steady);
            }
            Record::AdminHealthSet {
                service,
                instance,
                out: why,
            } => {
                out.put_u8(0x8d);
                out.put_u64(service.0);
                out.put_str(instance);
                put_text(out, why.as_deref());
            }
            // The two before write all others.
            _ => {}
        }
    }

    /// Reads a record that fills `bytes` exactly.
    pub fn decode(bytes: &[u8]) -> Result<Record, Malformed> {
        let mut from = Get::new(bytes);
        let kind = from.u8("record kind")?;
        let record = match kind {
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
                    2 => Removal::Left,
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
            _ => Record::decode_change(kind, &mut from)?,
        };
        from.end("registry record")?;
        Ok(record)
    }

    /// Reads a record that changes what is there.
    fn decode_change(kind: u8, from: &mut Get<'_>) -> Result<Record, Malformed> {
        Ok(match kind {
            0x88 => Record::NamespaceUpdated {
                id: NamespaceId(from.u64("namespace")?),
                description: get_text(from, "description")?,
                soa_ttl: from.option("SOA TTL", |from| from.u32("SOA TTL"))?,
                updater_request_id: get_text(from, "updater request")?,
                operation: get_uuid(from)?,
                at: from.time("time")?,
            },
            0x89 => Record::ServiceUpdated {
                id: ServiceId(from.u64("service")?),
                description: get_text(from, "description")?,
                dns: from.option("DNS config", get_dns)?,
                health: get_health(from)?,
                operation: get_uuid(from)?,
                at: from.time("time")?,
                steady: from.time("start of checks")?,
            },
            0x8a => Record::ServiceAttributesChanged {
                id: ServiceId(from.u64("service")?),
                set: get_attributes(from)?,
                removed: get_keys(from)?,
            },
            0x8b => Record::TagsChanged {
                resource: get_resource(from)?,
                set: get_attributes(from)?,
                removed: get_keys(from)?,
            },
            0x8c => Record::InstanceLeaving {
                service: ServiceId(from.u64("service")?),
                instance: from.str("instance")?.into(),
                operation: from.option("operation", get_uuid)?,
                drain_ms: from.u32("drain time")?,
                at: from.time("time")?,
                steady: from.time("start of the drain time")?,
            },
            0x8d => Record::AdminHealthSet {
                service: ServiceId(from.u64("service")?),
                instance: from.str("instance")?.into(),
                out: get_text(from, "reason")?,
            },
            _ => return Err(malformed("registry record kind")),
        })
    }
}
