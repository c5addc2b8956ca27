//! Puts by name: the admin API, the config and `tsugite register` create what is missing and renew what is there.

use std::net::IpAddr;

use tsugite_base::{Decision, Invalid, Now};

use crate::command::{InstanceName, PutInstance, PutOutcome, PutService};
use crate::error::{NamedError, PutError, ServiceAlreadyExists};
use crate::instances::{self, initial_health};
use crate::model::{
    Attributes, DnsConfig, DnsRecord, HealthSource, Instance, Namespace, NamespaceId, NamespaceKind,
    RecordType, RoutingPolicy, Service, ServiceId,
};
use crate::record::{Record, Removal};
use crate::registry::Registry;
use crate::validate;

/// Shortest and longest lease, in milliseconds (a tenth of a second to a day).
pub(crate) const LEASE_MS: std::ops::RangeInclusive<i64> = 100..=86_400_000;

impl Registry {
    /// Creates a service by name, with its namespace if need be. The reply is the service's id.
    pub fn put_service(&self, cmd: &PutService, now: Now) -> Result<Decision<Record, ServiceId>, PutError> {
        let wanted = cmd.health.clone().unwrap_or_default();
        validate::health(&wanted)?;
        let mut records = Vec::new();
        let ids = (cmd.new_namespace, cmd.new_service);
        let service = self.ensure_service(&cmd.namespace, &cmd.service, ids, wanted, now, &mut records)?;
        match cmd.health {
            Some(ref health) if *health != service.health => Err(ServiceAlreadyExists {
                name: format!("{}.{} (with another health check)", service.name, cmd.namespace),
                id: service.id,
                creator_request_id: service.creator_request_id,
            }
            .into()),
            _ => Ok(Decision::record(records, service.id)),
        }
    }

    /// Registers, changes or renews an instance by names.
    ///
    /// If nothing but the lease is to be renewed, no record results and the caller follows with
    /// [`Registry::heartbeat`]: that is what [`PutOutcome::Renewed`] says.
    pub fn put_instance(&self, cmd: PutInstance, now: Now) -> Result<Decision<Record, PutOutcome>, PutError> {
        if let Some(ms) = cmd.lease_ms {
            tsugite_base::invalid::in_range("ttl_ms", ms.into(), LEASE_MS)?;
        }
        let mut records = Vec::new();
        let ids = (cmd.new_namespace, cmd.new_service);
        let health = HealthSource::None;
        let service = self.ensure_service(&cmd.namespace, &cmd.service, ids, health, now, &mut records)?;
        let attributes = put_attributes(&cmd)?;
        let kind = self.kind_of(service.namespace);
        validate::instance(&cmd.instance, &attributes, &service, kind)?;
        let old = self
            .services
            .get(&service.id)
            .and_then(|state| state.instances.get(cmd.instance.as_str()));
        let outcome = match old {
            None => {
                self.check_instance_limit()?;
                PutOutcome::Created
            }
            Some(old) if old.instance.attributes == attributes && old.instance.lease_ms == cmd.lease_ms => {
                return Ok(Decision::unchanged(match old.leaving {
                    Some(_) => PutOutcome::Leaving,
                    None => PutOutcome::Renewed,
                }));
            }
            Some(_) => PutOutcome::Changed,
        };
        let custom = initial_health(&service.health, &attributes, old);
        records.push(Record::InstanceRegistered {
            service: service.id,
            instance: Instance {
                id: cmd.instance.into(),
                attributes: attributes.into(),
                creator_request_id: None,
                operation: None,
                lease_ms: cmd.lease_ms,
                custom,
                registered: now.wall,
            },
            steady: now.steady,
        });
        Ok(Decision::record(records, outcome))
    }

    /// Removes an instance by names.
    pub fn delete_instance(&self, cmd: &InstanceName, now: Now) -> Result<Decision<Record, ()>, NamedError> {
        let key = self.find_instance(cmd)?;
        let record = Record::InstanceRemoved {
            service: key.service,
            instance: key.instance,
            cause: Removal::Deregistered,
            operation: None,
            at: now.wall,
        };
        Ok(Decision::record(vec![record], ()))
    }

    /// The service of that name, or the records that create it.
    fn ensure_service(
        &self,
        namespace: &str,
        name: &str,
        (new_namespace, new_service): (NamespaceId, ServiceId),
        health: HealthSource,
        now: Now,
        records: &mut Vec<Record>,
    ) -> Result<Service, PutError> {
        let (id, kind) = match self.namespace_named(namespace) {
            Ok(state) => (state.namespace.id, state.namespace.kind),
            Err(_) => {
                validate::namespace_name(namespace, NamespaceKind::DnsPrivate)?;
                self.check_namespace_limit()?;
                records.push(Record::NamespaceCreated(Namespace {
                    id: new_namespace,
                    name: namespace.to_owned(),
                    kind: NamespaceKind::DnsPrivate,
                    description: None,
                    creator_request_id: None,
                    soa_ttl: None,
                    operation: None,
                    created: now.wall,
                }));
                (new_namespace, NamespaceKind::DnsPrivate)
            }
        };
        if let Ok(state) = self.service_named(id, name) {
            return Ok(state.service.clone());
        }
        validate::service_name(name)?;
        self.check_service_limit()?;
        let service = Service {
            id: new_service,
            namespace: id,
            name: name.to_owned(),
            description: None,
            creator_request_id: None,
            dns: kind.is_dns().then(default_dns),
            health,
            created: now.wall,
        };
        records.push(Record::ServiceCreated(service.clone()));
        Ok(service)
    }
}

/// A service that is put by name answers addresses and ports alike.
fn default_dns() -> DnsConfig {
    let records = [RecordType::A, RecordType::Aaaa, RecordType::Srv];
    DnsConfig {
        routing: RoutingPolicy::Multivalue,
        records: records.map(|kind| DnsRecord { kind, ttl: None }).into(),
    }
}

/// The attributes to store: those given, with address and protocol spelled as attributes too.
fn put_attributes(cmd: &PutInstance) -> Result<Attributes, Invalid> {
    let mut attributes = cmd.attributes.clone();
    let has_lease = attributes.contains_key(instances::LEASE);
    let mut set = |key: &str, value: String| match attributes.insert(key.to_owned(), value.clone()) {
        Some(given) if given != value => Err(Invalid::new(
            key,
            given,
            format!("contradicts the instance's own field, which says {value}"),
        )),
        _ => Ok(()),
    };
    if let Some(address) = cmd.address {
        match address.ip() {
            IpAddr::V4(ip) => set(instances::IPV4, ip.to_string())?,
            IpAddr::V6(ip) => set(instances::IPV6, ip.to_string())?,
        }
        set(instances::PORT, address.port().to_string())?;
    }
    if has_lease {
        let ms = cmd
            .lease_ms
            .map_or_else(|| "none".to_owned(), |ms| ms.to_string());
        set(instances::LEASE, ms)?;
    }
    if let Some(protocol) = cmd.protocol {
        set(instances::PROTOCOL, protocol.name().to_owned())?;
    }
    Ok(attributes)
}
