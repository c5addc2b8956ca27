//! What the registry stores: namespaces, services, instances and the record of operations.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use tsugite_base::{Invalid, Timestamp, Uuid};

use crate::packed::Packed;

/// Attributes of an instance: custom ones, `AWS_*` and `TSUGITE_*` ones, sorted by key.
pub type Attributes = BTreeMap<String, String>;

/// Tags of a namespace or a service, sorted by key. They mean something to people only.
pub type Tags = BTreeMap<String, String>;

/// Identifies an operation (`GetOperation`); the caller draws it at random.
pub type OperationId = Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:016x}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                text.strip_prefix($prefix)
                    .filter(|digits| digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
                    .and_then(|digits| u64::from_str_radix(digits, 16).ok())
                    .map($name)
                    .ok_or_else(|| Invalid::new($what, text, concat!("must look like ", $prefix, "0123456789abcdef")))
            }
        }
    };
}

id!(
    /// Identifies a namespace; shown as `ns-` and 16 hexadecimal digits. The caller draws it at random.
    NamespaceId, "ns-", "NamespaceId"
);
id!(
    /// Identifies a service; shown as `srv-` and 16 hexadecimal digits. The caller draws it at random.
    ServiceId, "srv-", "ServiceId"
);

/// What can be tagged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// A namespace.
    Namespace(NamespaceId),
    /// A service.
    Service(ServiceId),
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resource::Namespace(id) => write!(f, "namespace {id}"),
            Resource::Service(id) => write!(f, "service {id}"),
        }
    }
}

/// How much of what AWS refuses is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validation {
    /// What AWS refuses and what does no harm is admitted: test code that was written against an emulator runs.
    #[default]
    Lenient,
    /// Everything that AWS refuses.
    Strict,
}

/// How the services of a namespace can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceKind {
    /// By `DiscoverInstances` and through the gateway.
    Http,
    /// By DNS queries as well.
    DnsPrivate,
    /// By DNS queries as well, under a name that is known to the world.
    DnsPublic,
}

impl NamespaceKind {
    /// The name in the Cloud Map API.
    pub const fn name(self) -> &'static str {
        match self {
            NamespaceKind::Http => "HTTP",
            NamespaceKind::DnsPrivate => "DNS_PRIVATE",
            NamespaceKind::DnsPublic => "DNS_PUBLIC",
        }
    }

    /// Whether its services are found by DNS queries.
    pub const fn is_dns(self) -> bool {
        matches!(self, NamespaceKind::DnsPrivate | NamespaceKind::DnsPublic)
    }
}

/// A stored namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its identifier.
    pub id: NamespaceId,
    /// Its name as given; compared without regard to ASCII case.
    pub name: String,
    /// How its services can be found.
    pub kind: NamespaceKind,
    /// Free text.
    pub description: Option<String>,
    /// Makes a repeated creation harmless.
    pub creator_request_id: Option<String>,
    /// TTL of the zone's SOA record in seconds, also that of negative answers; `None` is the default of the
    /// settings in force.
    pub soa_ttl: Option<u32>,
    /// The operation that created it; `None` when it came by the admin API or the config.
    pub operation: Option<OperationId>,
    /// Wall clock at creation.
    pub created: Timestamp,
}

/// The type of a DNS record that a service publishes for each instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordType {
    /// IPv4 address, from `AWS_INSTANCE_IPV4`.
    A,
    /// IPv6 address, from `AWS_INSTANCE_IPV6`.
    Aaaa,
    /// Host and port, from `AWS_INSTANCE_PORT`.
    Srv,
    /// Another name, from `AWS_INSTANCE_CNAME`.
    Cname,
}

impl RecordType {
    /// The name in DNS and in the Cloud Map API.
    pub const fn name(self) -> &'static str {
        match self {
            RecordType::A => "A",
            RecordType::Aaaa => "AAAA",
            RecordType::Srv => "SRV",
            RecordType::Cname => "CNAME",
        }
    }
}

/// One kind of DNS record of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DnsRecord {
    /// The record type.
    pub kind: RecordType,
    /// Seconds for which resolvers may keep an answer; `None` is the default of the settings in force.
    pub ttl: Option<u32>,
}

/// Which instances a DNS answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoutingPolicy {
    /// Up to the configured number (8) of healthy instances, at random.
    Multivalue,
    /// One healthy instance, at random.
    Weighted,
}

impl RoutingPolicy {
    /// The name in the Cloud Map API.
    pub const fn name(self) -> &'static str {
        match self {
            RoutingPolicy::Multivalue => "MULTIVALUE",
            RoutingPolicy::Weighted => "WEIGHTED",
        }
    }
}

/// How a service appears in DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsConfig {
    /// Which instances an answer holds.
    pub routing: RoutingPolicy,
    /// The records; at least one, at most one of each type.
    pub records: Vec<DnsRecord>,
}

/// What an active health check sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// `GET path`; healthy when the status is 200-399.
    Http {
        /// The path, starting with `/`.
        path: String,
    },
    /// A TCP connection; healthy when it is accepted.
    Tcp,
    /// `GET path` over TLS; healthy when the status is 200-399.
    Https {
        /// The path, starting with `/`.
        path: String,
        /// Whether the certificate must be valid for the address. Cloud Map's own checks do not look at it.
        verify: bool,
    },
    /// `grpc.health.v1.Health/Check` over HTTP/2 with prior knowledge; healthy when the status is `SERVING`.
    Grpc {
        /// The service that is asked about; empty for the server as a whole.
        service: String,
    },
}

impl CheckKind {
    /// The name in messages and in the Cloud Map API, which does not know `GRPC`.
    pub const fn name(&self) -> &'static str {
        match self {
            CheckKind::Http { .. } => "HTTP",
            CheckKind::Tcp => "TCP",
            CheckKind::Https { .. } => "HTTPS",
            CheckKind::Grpc { .. } => "GRPC",
        }
    }
}

/// An active health check of the instances of a service. Times are milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is sent.
    pub kind: CheckKind,
    /// From one probe to the next (jittered by 15 %).
    pub interval_ms: u32,
    /// How long an answer may take; not longer than the interval.
    pub timeout_ms: u32,
    /// Failed probes in a row that make a healthy instance unhealthy.
    pub unhealthy: u32,
    /// Passed probes in a row that make an unhealthy instance healthy.
    pub healthy: u32,
}

impl HealthCheck {
    /// A check with the default times: every 10 s, timeout 1 s, unhealthy after 3, healthy after 2.
    pub const fn new(kind: CheckKind) -> HealthCheck {
        HealthCheck {
            kind,
            interval_ms: 10_000,
            timeout_ms: 1_000,
            unhealthy: 3,
            healthy: 2,
        }
    }
}

/// Where the health of a service's instances comes from, beside their leases.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum HealthSource {
    /// Nowhere: an instance with a live lease (or none) is healthy.
    #[default]
    None,
    /// Probes sent by this process.
    Active(HealthCheck),
    /// `UpdateInstanceCustomHealthStatus`.
    Custom,
}

/// A stored service, without its instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its identifier.
    pub id: ServiceId,
    /// The namespace it lives in.
    pub namespace: NamespaceId,
    /// Its name as given.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// Makes a repeated creation harmless.
    pub creator_request_id: Option<String>,
    /// How it appears in DNS; `None` in HTTP namespaces and for services found only by the API.
    pub dns: Option<DnsConfig>,
    /// Where the health of its instances comes from.
    pub health: HealthSource,
    /// Wall clock at creation.
    pub created: Timestamp,
}

/// The durable part of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its identifier, unique within the service.
    pub id: Arc<str>,
    /// Its attributes; the special ones say where it listens.
    pub attributes: Packed,
    /// Makes a repeated registration harmless.
    pub creator_request_id: Option<String>,
    /// The operation that registered it; `None` when it came by the admin API or the config.
    pub operation: Option<OperationId>,
    /// Milliseconds that it may stay silent; `None` lives until it is deregistered.
    pub lease_ms: Option<u32>,
    /// The status that was pushed (or given at registration); only in services with custom health.
    pub custom: Option<bool>,
    /// Wall clock at registration.
    pub registered: Timestamp,
}

/// What an operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// A namespace was created.
    CreateNamespace,
    /// A namespace was deleted.
    DeleteNamespace,
    /// A namespace was changed.
    UpdateNamespace,
    /// A service was changed.
    UpdateService,
    /// An instance was registered or changed.
    RegisterInstance,
    /// An instance was deregistered.
    DeregisterInstance,
}

impl OperationKind {
    /// The name in the Cloud Map API.
    pub const fn name(self) -> &'static str {
        match self {
            OperationKind::CreateNamespace => "CREATE_NAMESPACE",
            OperationKind::DeleteNamespace => "DELETE_NAMESPACE",
            OperationKind::UpdateNamespace => "UPDATE_NAMESPACE",
            OperationKind::UpdateService => "UPDATE_SERVICE",
            OperationKind::RegisterInstance => "REGISTER_INSTANCE",
            OperationKind::DeregisterInstance => "DEREGISTER_INSTANCE",
        }
    }
}

/// How far an operation has come. None of ours fails: a request that cannot succeed is refused instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationStatus {
    /// An instance is leaving, and somebody still uses it.
    Pending,
    /// It is done, as almost all are at once.
    Success,
}

impl OperationStatus {
    /// The name in the Cloud Map API.
    pub const fn name(self) -> &'static str {
        match self {
            OperationStatus::Pending => "PENDING",
            OperationStatus::Success => "SUCCESS",
        }
    }
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its identifier.
    pub id: OperationId,
    /// What it did.
    pub kind: OperationKind,
    /// How far it has come.
    pub status: OperationStatus,
    /// Wall clock when it was submitted.
    pub at: Timestamp,
    /// Wall clock when it reached its status.
    pub updated: Timestamp,
    /// The namespace that it touched.
    pub namespace: Option<NamespaceId>,
    /// The service that it touched.
    pub service: Option<ServiceId>,
    /// The instance that it touched.
    pub instance: Option<Arc<str>>,
}

/// Names an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceKey {
    /// The service.
    pub service: ServiceId,
    /// The instance.
    pub instance: Arc<str>,
}
