//! DiscoverInstances, DiscoverInstancesRevision.

use tsugite_aws::AwsError;
use tsugite_aws::error::shorten;
use tsugite_engine::RegistryStore;
use tsugite_registry::{Discover, HealthFilter};

use super::Call;
use super::errors::invalid;
use super::input::{attributes, ranged, required};
use super::output;

/// Instances in an answer, unless the request says otherwise.
const RESULTS: u32 = 100;

pub(super) async fn instances<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let fields = &call.fields;
    own_account(&call)?;
    let health = match fields.text("HealthStatus")? {
        None => HealthFilter::default(),
        Some("HEALTHY") => HealthFilter::Healthy,
        Some("UNHEALTHY") => HealthFilter::Unhealthy,
        Some("ALL") => HealthFilter::All,
        Some("HEALTHY_OR_ELSE_ALL") => HealthFilter::HealthyOrElseAll,
        Some(other) => return Err(invalid(format!("{} is not a health filter.", shorten(other)))),
    };
    let command = Discover {
        namespace: required(fields, "NamespaceName")?.to_owned(),
        service: required(fields, "ServiceName")?.to_owned(),
        query: attributes(fields, "QueryParameters")?,
        optional: attributes(fields, "OptionalParameters")?,
        health,
        max_results: ranged(fields, "MaxResults", 1..=1000)?.unwrap_or(RESULTS) as usize,
        seed: seed(&call),
    };
    let found = call
        .store
        .discover_instances(command)
        .await
        .map_err(|e| call.refusal(e))?;
    Ok(call.answer(|out| {
        out.member("Instances");
        out.begin_list();
        for view in &found.instances {
            out.begin();
            out.text("InstanceId", &view.id);
            out.text("NamespaceName", &found.namespace);
            out.text("ServiceName", &found.service);
            out.text("HealthStatus", view.health.status.name());
            output::attributes(out, view.attributes.iter());
            out.end();
        }
        out.end_list();
        out.int(
            "InstancesRevision",
            i64::try_from(found.revision).unwrap_or(i64::MAX),
        );
    }))
}

pub(super) async fn revision<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    own_account(&call)?;
    let namespace = required(&call.fields, "NamespaceName")?.to_owned();
    let service = required(&call.fields, "ServiceName")?.to_owned();
    let revision = call
        .store
        .discover_revision(namespace, service)
        .await
        .map_err(|e| call.refusal(e))?;
    Ok(call.answer(|out| {
        out.int("InstancesRevision", i64::try_from(revision).unwrap_or(i64::MAX));
    }))
}

/// Every request has an id of its own, which is random enough for the order of an answer.
fn seed<S>(call: &Call<'_, S>) -> u64 {
    let (words, _) = call.context.request_id.0.as_chunks::<8>();
    words
        .iter()
        .fold(0, |seed, word| seed ^ u64::from_le_bytes(*word))
}

/// Refuses the account of somebody else, whose namespaces nobody shares here.
pub(super) fn own_account<S>(call: &Call<'_, S>) -> Result<(), AwsError> {
    match call.fields.text("OwnerAccount")? {
        Some(other) if other != call.context.scope.account => Err(invalid(format!(
            "OwnerAccount {}: namespaces that other accounts share are not supported.",
            shorten(other)
        ))),
        _ => Ok(()),
    }
}
