//! What the registry shows: instances with their merged health, services, namespaces.

use std::sync::Arc;

use tsugite_base::Timestamp;

use crate::model::{Namespace, NamespaceKind, Service};
use crate::packed::Packed;

/// Merged health: what each source says that has a say, and the verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The verdict.
    pub status: HealthStatus,
    /// Which source decided it; `None` if nobody objects.
    pub decided_by: Option<HealthSay>,
    /// The lease, if there is one.
    pub lease: Option<LeaseHealth>,
    /// The active check, if there is one.
    pub active: Option<HealthStatus>,
    /// The active check changed its mind too often, and is not listened to for a while.
    pub flapping: bool,
    /// The pushed status, if the service has custom health.
    pub custom: Option<HealthStatus>,
    /// Unhealthy if those who called it could not reach it, nor could we; `None` if nobody complained.
    pub passive: Option<HealthStatus>,
    /// Unhealthy if an operator took it out of service.
    pub admin: Option<HealthStatus>,
    /// It is on its way out.
    pub leaving: bool,
}

/// What a lease says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseHealth {
    /// It was heard of in time.
    Healthy,
    /// It has been silent for two thirds of its lease, and was not yet asked or answers: it stays in use.
    Suspect,
    /// It has been silent and does not answer: removed when the lease is over.
    Unhealthy,
}

impl LeaseHealth {
    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            LeaseHealth::Healthy => "healthy",
            LeaseHealth::Suspect => "suspect",
            LeaseHealth::Unhealthy => "unhealthy",
        }
    }
}

/// A source of health that can decide a verdict, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthSay {
    /// It is on its way out.
    Leaving,
    /// An operator.
    Admin,
    /// Those who call it.
    Passive,
    /// `UpdateInstanceCustomHealthStatus`.
    Custom,
    /// The active check.
    Active,
    /// The lease.
    Lease,
}

impl HealthSay {
    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            HealthSay::Leaving => "leaving",
            HealthSay::Admin => "admin",
            HealthSay::Passive => "passive",
            HealthSay::Custom => "pushed",
            HealthSay::Active => "active",
            HealthSay::Lease => "lease",
        }
    }
}

/// A health status as Cloud Map spells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum HealthStatus {
    /// Takes traffic.
    #[default]
    Healthy,
    /// The active check has no result yet.
    Unknown,
    /// Takes traffic only if no instance is healthy.
    Unhealthy,
}

impl HealthStatus {
    /// The name in the Cloud Map API.
    pub const fn name(self) -> &'static str {
        match self {
            HealthStatus::Healthy => "HEALTHY",
            HealthStatus::Unknown => "UNKNOWN",
            HealthStatus::Unhealthy => "UNHEALTHY",
        }
    }
}

/// An instance as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceView {
    /// Its identifier.
    pub id: Arc<str>,
    /// Its attributes.
    pub attributes: Packed,
    /// Its merged health.
    pub health: Health,
    /// Whether it is to be used now: by its own health, or because too few others of its service could.
    pub takes_calls: bool,
    /// Why an operator took it out of service, if one did.
    pub out_of_service: Option<String>,
    /// When it is removed at the latest, on the steady clock, if it is leaving.
    pub leaving_until: Option<Timestamp>,
    /// Milliseconds of its lease.
    pub lease_ms: Option<u32>,
    /// When the lease runs out, on the steady clock.
    pub lease_until: Option<Timestamp>,
    /// `CreatorRequestId` of its registration.
    pub creator_request_id: Option<String>,
    /// Wall clock at registration.
    pub registered: Timestamp,
}

/// A namespace as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceView {
    /// The namespace.
    pub namespace: Namespace,
    /// TTL of its SOA record in seconds.
    pub soa_ttl: u32,
    /// Number of its services.
    pub services: usize,
}

/// A service as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// The service.
    pub service: Service,
    /// Name of its namespace.
    pub namespace_name: String,
    /// How the namespace's services can be found.
    pub namespace_kind: NamespaceKind,
    /// TTL of the namespace's SOA record in seconds.
    pub soa_ttl: u32,
    /// TTL in seconds of DNS records that name none.
    pub default_ttl: u32,
    /// Number of its instances.
    pub instances: usize,
    /// Grows when an instance is registered, changed or removed.
    pub revision: u64,
}
