//! DiscoverInstances, DiscoverInstancesRevision.

use tsugite_aws::AwsError;
use tsugite_aws::error::shorten;
use tsugite_engine::RegistryStore;
use tsugite_registry::{Discover, HealthFilter};

use super::Call;
use super::errors::{IntoAws as _, invalid};
use super::input::{attributes, ranged, required};
use super::output::{self, answer};

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
        seed: call.world.random_u64(),
    };
    let found = call
        .store
        .discover_instances(command)
        .await
        .map_err(|e| e.into_aws())?;
    Ok(answer(|json| {
        json.member("Instances");
        json.begin_list();
        for view in &found.instances {
            json.begin();
            json.text("InstanceId", &view.id);
            json.text("NamespaceName", &found.namespace);
            json.text("ServiceName", &found.service);
            json.text("HealthStatus", view.health.status.name());
            output::attributes(json, &view.attributes);
            json.end();
        }
        json.end_list();
        json.int(
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
        .map_err(|e| e.into_aws())?;
    Ok(answer(|json| {
        json.int("InstancesRevision", i64::try_from(revision).unwrap_or(i64::MAX));
    }))
}

/// Refuses the account of somebody else, whose namespaces nobody shares here.
fn own_account<S>(call: &Call<'_, S>) -> Result<(), AwsError> {
    match call.fields.text("OwnerAccount")? {
        Some(other) if other != call.context.scope.account => Err(invalid(format!(
            "OwnerAccount {}: namespaces that other accounts share are not supported.",
            shorten(other)
        ))),
        _ => Ok(()),
    }
}
