//! What can be asked of the registry, and what it answers.

use std::net::SocketAddr;
use std::sync::Arc;

use tsugite_base::Invalid;

use crate::model::{
    Attributes, CheckKind, DnsConfig, DnsRecord, HealthCheck, HealthSource, InstanceKey, NamespaceId,
    NamespaceKind, OperationId, Resource, ServiceId, Tags,
};
use crate::views::InstanceView;

/// Creates a namespace. The reply is the operation's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateNamespace {
    /// Drawn at random; used if the namespace is new.
    pub id: NamespaceId,
    /// Drawn at random; used if the namespace is new.
    pub operation: OperationId,
    /// 1-1024 printable characters; 1-253 and a valid domain name for DNS namespaces.
    pub name: String,
    /// How its services can be found.
    pub kind: NamespaceKind,
    /// At most 1024 characters.
    pub description: Option<String>,
    /// At most 64 characters; the same again answers as the first time did.
    pub creator_request_id: Option<String>,
    /// TTL of the zone's SOA record in seconds.
    pub soa_ttl: Option<u32>,
    /// At most 50.
    pub tags: Tags,
}

/// Changes a namespace; what is `None` stays as it is. The reply is the operation's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateNamespace {
    /// The namespace.
    pub id: NamespaceId,
    /// What it must be: each kind has an operation of its own.
    pub kind: NamespaceKind,
    /// Drawn at random.
    pub operation: OperationId,
    /// At most 1024 characters.
    pub description: Option<String>,
    /// TTL of the zone's SOA record in seconds.
    pub soa_ttl: Option<u32>,
    /// At most 64 characters; the same again answers as the first time did.
    pub updater_request_id: Option<String>,
}

/// Deletes an empty namespace. The reply is the operation's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteNamespace {
    /// The namespace.
    pub id: NamespaceId,
    /// Drawn at random.
    pub operation: OperationId,
}

/// Creates a service. The reply is the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateService {
    /// Drawn at random; used if the service is new.
    pub id: ServiceId,
    /// The namespace that it will live in.
    pub namespace: NamespaceId,
    /// 1-127 characters; dotted labels of at most 63.
    pub name: String,
    /// At most 1024 characters.
    pub description: Option<String>,
    /// At most 64 characters; the same again answers as the first time did.
    pub creator_request_id: Option<String>,
    /// Only in DNS namespaces.
    pub dns: Option<DnsConfig>,
    /// Where the health of its instances comes from.
    pub health: HealthSource,
    /// At most 50.
    pub tags: Tags,
}

/// Changes a service. A description that is `None` stays as it is; records and an active check that are `None` are
/// removed. Pushed health stays. The reply is the operation's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateService {
    /// The service.
    pub id: ServiceId,
    /// Drawn at random.
    pub operation: OperationId,
    /// At most 1024 characters.
    pub description: Option<String>,
    /// The types that it has, with new TTLs.
    pub records: Option<Vec<DnsRecord>>,
    /// An active check, of the type that it has.
    pub check: Option<HealthCheck>,
}

/// Sets and removes attributes of a service. Both may be empty; a key that is not there is removed already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeServiceAttributes {
    /// The service.
    pub id: ServiceId,
    /// New attributes, and new values of old ones.
    pub set: Attributes,
    /// Keys of those to remove.
    pub remove: Vec<String>,
}

/// Sets and removes tags of a namespace or a service. A key that is not there is removed already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeTags {
    /// What is tagged.
    pub resource: Resource,
    /// New tags, and new values of old ones.
    pub set: Tags,
    /// Keys of those to remove.
    pub remove: Vec<String>,
}

/// Registers an instance, or replaces the attributes of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterInstance {
    /// Drawn at random.
    pub operation: OperationId,
    /// The service.
    pub service: ServiceId,
    /// 1-64 characters of `[0-9a-zA-Z_/:.@-]`.
    pub instance: String,
    /// Where it listens and what it is.
    pub attributes: Attributes,
    /// At most 64 characters; the same again answers as the first time did.
    pub creator_request_id: Option<String>,
}

/// What came of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The operation's id.
    pub operation: OperationId,
    /// What AWS would have refused; always `None` if validation is strict.
    pub lenient: Option<Invalid>,
}

/// Deregisters an instance. The reply is the operation's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeregisterInstance {
    /// Drawn at random.
    pub operation: OperationId,
    /// The service.
    pub service: ServiceId,
    /// The instance.
    pub instance: String,
    /// Milliseconds for which what it is doing may go on; `None` removes it at once.
    pub drain_ms: Option<u32>,
}

/// Lets an instance leave: it takes nothing new from now on, and is removed by [`crate::Registry::finish_leaving`] or
/// when its time is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveInstance {
    /// The instance.
    pub name: InstanceName,
    /// Milliseconds for which what it is doing may go on.
    pub drain_ms: u32,
}

/// An instance that is leaving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaver {
    /// Which one.
    pub key: InstanceKey,
    /// Tells registrations of the same instance apart.
    pub generation: u64,
    /// Its names.
    pub name: InstanceName,
}

/// Puts an instance out of service, or back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAdminHealth {
    /// The instance.
    pub name: InstanceName,
    /// Why it is out of service, at most 1024 characters; `None` puts it back.
    pub out: Option<String>,
}

/// Renews the leases of many instances of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeats {
    /// Name of the namespace.
    pub namespace: String,
    /// Name of the service.
    pub service: String,
    /// The instances.
    pub instances: Vec<String>,
}

/// Sets the pushed health of an instance of a service with custom health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateCustomHealth {
    /// The service.
    pub service: ServiceId,
    /// The instance.
    pub instance: String,
    /// The new status.
    pub healthy: bool,
}

/// Creates a service by name, with its namespace if need be: for the config and the admin API.
///
/// A service that exists already is left as it is when `health` is `None` or equal to what it has;
/// another health source is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutService {
    /// Drawn at random; used if the namespace is new.
    pub new_namespace: NamespaceId,
    /// Drawn at random; used if the service is new.
    pub new_service: ServiceId,
    /// Name of the namespace.
    pub namespace: String,
    /// Name of the service.
    pub service: String,
    /// Where the health of its instances comes from.
    pub health: Option<HealthSource>,
}

/// Registers or renews an instance by names, creating namespace and service if absent: for the admin API,
/// the config and `tsugite register`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutInstance {
    /// Drawn at random; used if the namespace is new.
    pub new_namespace: NamespaceId,
    /// Drawn at random; used if the service is new.
    pub new_service: ServiceId,
    /// Name of the namespace, usually `internal`.
    pub namespace: String,
    /// Name of the service.
    pub service: String,
    /// 1-64 characters of `[0-9a-zA-Z_/:.@-]`.
    pub instance: String,
    /// Where it listens; stored as `AWS_INSTANCE_IPV4`/`IPV6` and `AWS_INSTANCE_PORT`.
    pub address: Option<SocketAddr>,
    /// `http`, `h2c` or `grpc`; stored as `TSUGITE_PROTOCOL`.
    pub protocol: Option<Protocol>,
    /// Further attributes.
    pub attributes: Attributes,
    /// The lease; `None` means that it lives until it is removed.
    pub lease_ms: Option<u32>,
}

/// What a put did to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The instance is new.
    Created,
    /// The instance was there with other attributes or another lease.
    Changed,
    /// Nothing but the lease was renewed; nothing was logged.
    Renewed,
    /// It is on its way out and was put as it is: nothing was done. Once it is gone it can come back.
    Leaving,
}

/// Names an instance by the names of its namespace and service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceName {
    /// Name of the namespace.
    pub namespace: String,
    /// Name of the service.
    pub service: String,
    /// The instance.
    pub instance: String,
}

/// The answer to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// Milliseconds until it must be heard of again; `None` for an instance without a lease.
    pub lease_ms: Option<u32>,
}

/// The protocol that an instance speaks, when it said so (`TSUGITE_PROTOCOL`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/2 with prior knowledge.
    H2c,
    /// gRPC over HTTP/2 with prior knowledge.
    Grpc,
}

impl Protocol {
    /// The attribute's value.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::H2c => "h2c",
            Protocol::Grpc => "grpc",
        }
    }

    /// Parses the attribute's value.
    pub fn parse(text: &str) -> Option<Protocol> {
        [Protocol::Http, Protocol::H2c, Protocol::Grpc]
            .into_iter()
            .find(|p| p.name() == text)
    }
}

/// Which instances `DiscoverInstances` returns by health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HealthFilter {
    /// Only healthy ones.
    Healthy,
    /// Only unhealthy ones.
    Unhealthy,
    /// All.
    All,
    /// Healthy ones, or all if none is healthy. The default: it fails open.
    #[default]
    HealthyOrElseAll,
}

/// Finds instances by name, attributes and health.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discover {
    /// Name of the namespace.
    pub namespace: String,
    /// Name of the service.
    pub service: String,
    /// Attributes that must all match exactly.
    pub query: Attributes,
    /// Attributes that must match too if any instance matches them and `query`.
    pub optional: Attributes,
    /// Which instances by health.
    pub health: HealthFilter,
    /// 1-1000.
    pub max_results: usize,
    /// Shuffles the answer.
    pub seed: u64,
}

/// What `DiscoverInstances` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// Name of the namespace as stored.
    pub namespace: String,
    /// Name of the service as stored.
    pub service: String,
    /// Grows when an instance is registered, changed or removed; not when health changes.
    pub revision: u64,
    /// The instances, in random order.
    pub instances: Vec<InstanceView>,
}

/// How a filter of a list compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Equal to the one value.
    #[default]
    Eq,
    /// Equal to one of the values.
    In,
    /// Between the two values, inclusive.
    Between,
    /// Starting with the one value.
    BeginsWith,
}

/// A filter of a list: entries whose `field` compares to `values` as `condition` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter<Field> {
    /// Which property is compared.
    pub field: Field,
    /// How it compares.
    pub condition: Condition,
    /// With what; never empty.
    pub values: Vec<String>,
}

/// What namespaces can be filtered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceField {
    /// `HTTP`, `DNS_PRIVATE` or `DNS_PUBLIC`.
    Type,
    /// The name; `HTTP_NAME` is the same.
    Name,
}

/// What operations can be filtered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationField {
    /// The namespace that it touched.
    NamespaceId,
    /// The service that it touched.
    ServiceId,
    /// `PENDING` or `SUCCESS`.
    Status,
    /// For example `REGISTER_INSTANCE`.
    Type,
    /// When it reached its status: seconds since the epoch, with `BETWEEN`.
    UpdateDate,
}

/// A page of a list: what to skip and how much to return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The token that the previous page ended with.
    pub after: Option<String>,
    /// At most so many entries.
    pub limit: usize,
}

/// A page of results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// Where the next page starts, if there is more.
    pub next: Option<String>,
}

/// A probe that the registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The service.
    pub service: ServiceId,
    /// The instance.
    pub instance: Arc<str>,
    /// Tells registrations of the same instance apart: a late result for an older one is ignored.
    pub generation: u64,
    /// Why it is asked; goes back with the result.
    pub purpose: Purpose,
    /// What to send.
    pub kind: CheckKind,
    /// Where to.
    pub address: SocketAddr,
    /// What the instance speaks, if it said so.
    pub protocol: Option<Protocol>,
    /// `<instance>.<service>.<namespace>`, for people.
    pub name: String,
    /// Milliseconds until it counts as failed.
    pub timeout_ms: u32,
}

/// Why an instance is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Its service has an active check.
    Check,
    /// It is in doubt: it fell silent, or could not be reached by those who called it.
    Doubt,
}

/// The result of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeResult {
    /// The service.
    pub service: ServiceId,
    /// The instance.
    pub instance: Arc<str>,
    /// As in the probe.
    pub generation: u64,
    /// As in the probe.
    pub purpose: Purpose,
    /// Whether it passed.
    pub passed: bool,
}
