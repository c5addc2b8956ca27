//! Cloud Map over awsJson1_1 and RPC v2 in CBOR: which operation a request names, and what every operation has at hand.
//!
//! The registry is one for the whole process: account and region of a request only colour the ARNs in its answer.

mod discover;
mod errors;
mod filters;
mod input;
mod instances;
mod namespaces;
mod operations;
mod output;
mod services;
mod tags;

use tsugite_aws::{AwsError, Context, Encoding, Fields};
use tsugite_base::World;
use tsugite_engine::RegistryStore;
use tsugite_registry::{NamespaceKind, Validation};

/// One request to Cloud Map.
pub struct Call<'a, S> {
    /// Where namespaces, services and instances are.
    pub store: &'a S,
    /// Source of ids and of the order of answers.
    pub world: &'a World,
    /// Who asks.
    pub context: &'a Context,
    /// The parameters.
    pub fields: Fields<'a>,
    /// How the answer is written.
    pub encoding: Encoding,
    /// How much of what AWS refuses is refused.
    pub validation: Validation,
    /// Milliseconds for which calls to an instance that is deregistered may go on.
    pub drain_ms: u32,
}

/// Answers one request with the body of its output.
pub async fn handle<S: RegistryStore>(action: &str, call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    match action {
        "DiscoverInstances" => discover::instances(call).await,
        "DiscoverInstancesRevision" => discover::revision(call).await,
        "RegisterInstance" => instances::register(call).await,
        "DeregisterInstance" => instances::deregister(call).await,
        "GetInstance" => instances::get(call).await,
        "ListInstances" => instances::list(call).await,
        "GetInstancesHealthStatus" => instances::health(call).await,
        "UpdateInstanceCustomHealthStatus" => instances::update_custom_health(call).await,
        "CreateService" => services::create(call).await,
        "UpdateService" => services::update(call).await,
        "DeleteService" => services::delete(call).await,
        "GetService" => services::get(call).await,
        "ListServices" => services::list(call).await,
        "CreateHttpNamespace" => namespaces::create_http(call).await,
        "CreatePrivateDnsNamespace" => namespaces::create_private_dns(call).await,
        "CreatePublicDnsNamespace" => namespaces::create_public_dns(call).await,
        "UpdateHttpNamespace" => namespaces::update(call, NamespaceKind::Http).await,
        "UpdatePrivateDnsNamespace" => namespaces::update(call, NamespaceKind::DnsPrivate).await,
        "UpdatePublicDnsNamespace" => namespaces::update(call, NamespaceKind::DnsPublic).await,
        "DeleteNamespace" => namespaces::delete(call).await,
        "GetNamespace" => namespaces::get(call).await,
        "ListNamespaces" => namespaces::list(call).await,
        "GetServiceAttributes" => tags::attributes_of(call).await,
        "UpdateServiceAttributes" => tags::update_attributes(call).await,
        "DeleteServiceAttributes" => tags::delete_attributes(call).await,
        "TagResource" => tags::tag(call).await,
        "UntagResource" => tags::untag(call).await,
        "ListTagsForResource" => tags::list(call).await,
        "GetOperation" => operations::get(call).await,
        "ListOperations" => operations::list(call).await,
        unknown => Err(AwsError::unknown_operation(unknown)),
    }
}
