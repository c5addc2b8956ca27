//! Cloud Map over awsJson1_1: which operation a request names, and what every operation has at hand.
//!
//! The registry is one for the whole process: account and region of a request only colour the ARNs in its answer.

mod discover;
mod errors;
mod input;
mod instances;
mod namespaces;
mod operations;
mod output;
mod services;

use tsugite_aws::{AwsError, Context, Fields};
use tsugite_base::World;
use tsugite_engine::RegistryStore;

/// Actions that Cloud Map has and Tsugite does not have yet.
const UNSUPPORTED: &[&str] = &[
    "CreatePublicDnsNamespace",
    "DeleteServiceAttributes",
    "GetServiceAttributes",
    "ListTagsForResource",
    "TagResource",
    "UntagResource",
    "UpdateHttpNamespace",
    "UpdatePrivateDnsNamespace",
    "UpdatePublicDnsNamespace",
    "UpdateService",
    "UpdateServiceAttributes",
];

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
}

/// Answers one request with the JSON body of its output.
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
        "DeleteService" => services::delete(call).await,
        "GetService" => services::get(call).await,
        "ListServices" => services::list(call).await,
        "CreateHttpNamespace" => namespaces::create_http(call).await,
        "CreatePrivateDnsNamespace" => namespaces::create_private_dns(call).await,
        "DeleteNamespace" => namespaces::delete(call).await,
        "GetNamespace" => namespaces::get(call).await,
        "ListNamespaces" => namespaces::list(call).await,
        "GetOperation" => operations::get(call).await,
        "ListOperations" => operations::list(call).await,
        known if UNSUPPORTED.contains(&known) => Err(AwsError::unsupported("Cloud Map", known)),
        unknown => Err(AwsError::unknown_operation(unknown)),
    }
}
