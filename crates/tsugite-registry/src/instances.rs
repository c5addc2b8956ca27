//! Instances: register, deregister, show, list, pushed health.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Bound;

use tsugite_base::{Decision, Now};

use crate::command::{Listed, Page, Protocol, RegisterInstance, Registered, UpdateCustomHealth};
use crate::error::{
    CustomHealthError, CustomHealthNotFound, DiscoverError, DuplicateRequest, InstanceError,
    InstanceNotFound, ListError, RegisterError, ResourceLimitExceeded,
};
use crate::health::Usable;
use crate::model::{Attributes, HealthSource, Instance, ServiceId, Validation};
use crate::packed::Packed;
use crate::record::Record;
use crate::registry::{InstanceState, Registry};
use crate::validate;
use crate::views::{HealthStatus, InstanceView, ServiceView};

/// Attribute: IPv4 address on which the instance listens.
pub const IPV4: &str = "AWS_INSTANCE_IPV4";
/// Attribute: IPv6 address on which the instance listens.
pub const IPV6: &str = "AWS_INSTANCE_IPV6";
/// Attribute: port on which the instance listens; 80 if absent.
pub const PORT: &str = "AWS_INSTANCE_PORT";
/// Attribute: status with which an instance of a service with custom health starts.
pub const INIT_HEALTH: &str = "AWS_INIT_HEALTH_STATUS";
/// Attribute: the protocol that the instance speaks: `http`, `h2c` or `grpc`.
pub const PROTOCOL: &str = "TSUGITE_PROTOCOL";

/// Attribute: the name to which the name of a service with a CNAME record leads.
pub const CNAME: &str = "AWS_INSTANCE_CNAME";
/// Attribute: the name of a load balancer at AWS, which cannot be led to from here.
pub const ALIAS: &str = "AWS_ALIAS_DNS_NAME";
/// Attribute: the machine at AWS on which the instance runs.
pub const EC2_INSTANCE: &str = "AWS_EC2_INSTANCE_ID";
/// Attribute: the share of calls that the instance gets beside others, 100 if absent; 0 keeps it in reserve.
pub const WEIGHT: &str = "TSUGITE_WEIGHT";
/// Attribute: the zone in which the instance runs.
pub const ZONE: &str = "TSUGITE_ZONE";
/// Attribute of `RegisterInstance`: milliseconds that the instance may stay silent.
pub const LEASE: &str = "TSUGITE_TTL_MS";
/// Attribute: milliseconds for which calls to the instance may go on when it is deregistered; 0 ends them at once.
pub const DRAIN: &str = "TSUGITE_DRAIN_MS";
/// Attribute: where its OpenAPI description is.
pub const OPENAPI: &str = "TSUGITE_OPENAPI";
/// Attribute: where its protocol buffer descriptors are.
pub const DESCRIPTORS: &str = "TSUGITE_PROTO";

/// The port of an instance that names none, as Cloud Map's health checks assume.
const DEFAULT_PORT: u16 = 80;

impl Instance {
    /// Where it listens: its IPv4 address, else its IPv6 address, with its port or 80.
    pub fn address(&self) -> Option<SocketAddr> {
        address_of(&self.attributes)
    }
}

/// Where an instance with these attributes listens; `None` if it gives no address.
pub fn address_of(attributes: &Packed) -> Option<SocketAddr> {
    let ip = ipv4_of(attributes)
        .map(IpAddr::V4)
        .or_else(|| ipv6_of(attributes).map(IpAddr::V6))?;
    Some(SocketAddr::new(ip, port_of(attributes).unwrap_or(DEFAULT_PORT)))
}

/// The IPv4 address among the attributes.
pub fn ipv4_of(attributes: &Packed) -> Option<Ipv4Addr> {
    attributes.get(IPV4)?.parse().ok()
}

/// The IPv6 address among the attributes.
pub fn ipv6_of(attributes: &Packed) -> Option<Ipv6Addr> {
    attributes.get(IPV6)?.parse().ok()
}

/// The port among the attributes.
pub fn port_of(attributes: &Packed) -> Option<u16> {
    attributes.get(PORT)?.parse().ok()
}

/// The name among the attributes that stands behind a CNAME record.
pub fn cname_of(attributes: &Packed) -> Option<&str> {
    attributes.get(CNAME)
}

/// The weight among the attributes.
pub fn weight_of(attributes: &Packed) -> Option<u32> {
    attributes.get(WEIGHT)?.parse().ok()
}

/// The drain time among the attributes, in milliseconds.
pub(crate) fn drain_of(attributes: &Packed) -> Option<u32> {
    attributes.get(DRAIN)?.parse().ok()
}

/// The lease among the attributes, in milliseconds.
fn lease_of(attributes: &Attributes) -> Option<u32> {
    attributes.get(LEASE)?.parse().ok()
}

/// The protocol among the attributes.
pub fn protocol_of(attributes: &Packed) -> Option<Protocol> {
    Protocol::parse(attributes.get(PROTOCOL)?)
}

impl Registry {
    /// Registers an instance or replaces one. The same `CreatorRequestId` with the same attributes answers as
    /// the first time did.
    pub fn register_instance(
        &self,
        cmd: RegisterInstance,
        now: Now,
    ) -> Result<Decision<Record, Registered>, RegisterError> {
        validate::request_id("CreatorRequestId", cmd.creator_request_id.as_deref())?;
        let state = self.service_state(cmd.service)?;
        let old = state.instances.get(cmd.instance.as_str());
        if let (Some(old), Some(request)) = (old, &cmd.creator_request_id)
            && old.instance.creator_request_id.as_ref() == Some(request)
        {
            return match old.instance.operation {
                Some(operation) if old.instance.attributes == cmd.attributes => {
                    let lenient = None;
                    Ok(Decision::unchanged(Registered { operation, lenient }))
                }
                operation => Err(DuplicateRequest {
                    request_id: request.clone(),
                    what: format!("register instance {} with other attributes", cmd.instance),
                    operation,
                }
                .into()),
            };
        }
        let kind = self.kind_of(state.service.namespace);
        validate::instance(&cmd.instance, &cmd.attributes, &state.service, kind)?;
        let lenient = validate::strict_instance(&cmd.attributes, &state.service, kind).err();
        if let (Validation::Strict, Some(invalid)) = (self.settings.validation, &lenient) {
            return Err(invalid.clone().into());
        }
        if old.is_none() {
            self.check_instance_limit()?;
        }
        let custom = initial_health(&state.service.health, &cmd.attributes, old);
        let lease_ms = lease_of(&cmd.attributes);
        let record = Record::InstanceRegistered {
            service: cmd.service,
            instance: Instance {
                id: cmd.instance.into(),
                attributes: cmd.attributes.into(),
                creator_request_id: cmd.creator_request_id,
                operation: Some(cmd.operation),
                lease_ms,
                custom,
                registered: now.wall,
            },
            steady: now.steady,
        };
        let operation = cmd.operation;
        Ok(Decision::record(vec![record], Registered { operation, lenient }))
    }

    pub(crate) fn check_instance_limit(&self) -> Result<(), ResourceLimitExceeded> {
        let limit = self.settings.instances;
        if self.instances < limit {
            return Ok(());
        }
        Err(ResourceLimitExceeded {
            what: format!("there are {limit} instances already, which is the limit"),
        })
    }

    /// Sets the pushed health of an instance. It takes effect at once; a repeat is not logged.
    pub fn update_custom_health(
        &self,
        cmd: &UpdateCustomHealth,
    ) -> Result<Decision<Record, ()>, CustomHealthError> {
        let service = &self.service_state(cmd.service)?.service;
        if service.health != HealthSource::Custom {
            return Err(CustomHealthNotFound { service: cmd.service }.into());
        }
        let Some(state) = self.services[&cmd.service].instances.get(cmd.instance.as_str()) else {
            return Err(InstanceNotFound {
                instance: cmd.instance.clone(),
                service: cmd.service,
            }
            .into());
        };
        if state.instance.custom == Some(cmd.healthy) {
            return Ok(Decision::unchanged(()));
        }
        let record = Record::CustomHealthSet {
            service: cmd.service,
            instance: state.instance.id.clone(),
            healthy: cmd.healthy,
        };
        Ok(Decision::record(vec![record], ()))
    }

    pub(crate) fn instance_state(
        &self,
        service: ServiceId,
        instance: &str,
    ) -> Result<&InstanceState, InstanceError> {
        let state = self.service_state(service)?;
        let found = state.instances.get(instance);
        found.ok_or_else(|| {
            InstanceNotFound {
                instance: instance.to_owned(),
                service,
            }
            .into()
        })
    }

    /// One instance.
    pub fn get_instance(&self, service: ServiceId, instance: &str) -> Result<InstanceView, InstanceError> {
        let state = self.instance_state(service, instance)?;
        // Only of one that is neither well nor withdrawn the others decide.
        let usable = match state.health().status {
            HealthStatus::Healthy => Usable::Healthy,
            _ if state.is_withdrawn() => Usable::Healthy,
            _ => self.service_state(service)?.usable(self.min_available()),
        };
        Ok(state.view(usable))
    }

    pub(crate) const fn min_available(&self) -> u32 {
        self.settings.min_available_percent
    }

    /// A service and all its instances, by names.
    pub fn show_service(
        &self,
        namespace: &str,
        service: &str,
    ) -> Result<(ServiceView, Vec<InstanceView>), DiscoverError> {
        let namespace = self.namespace_named(namespace)?.namespace.id;
        let state = self.service_named(namespace, service)?;
        let view = self.get_service(state.service.id)?;
        Ok((view, state.views(self.min_available()).collect()))
    }

    /// Instances of a service, by id, whatever their health.
    pub fn list_instances(&self, service: ServiceId, page: &Page) -> Result<Listed<InstanceView>, ListError> {
        let state = self.service_state(service)?;
        let usable = state.usable(self.min_available());
        let from = page.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = state.instances.range::<str, _>((from, Bound::Unbounded));
        let entries: Vec<_> = rest
            .by_ref()
            .take(page.limit)
            .map(|(_, state)| state.view(usable))
            .collect();
        let next = page.next(rest.next().and(entries.last()).map(|last| &last.id));
        Ok(Listed { entries, next })
    }
}

/// The pushed status with which an instance starts: what it was, else as `AWS_INIT_HEALTH_STATUS` says, else healthy.
pub(crate) fn initial_health(
    source: &HealthSource,
    attributes: &Attributes,
    old: Option<&InstanceState>,
) -> Option<bool> {
    if *source != HealthSource::Custom {
        return None;
    }
    let pushed = old.and_then(|old| old.instance.custom);
    let initial = attributes.get(INIT_HEALTH).map(|status| status == "HEALTHY");
    pushed.or(initial).or(Some(true))
}
