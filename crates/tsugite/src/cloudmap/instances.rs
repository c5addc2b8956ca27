//! RegisterInstance, DeregisterInstance, GetInstance, ListInstances, GetInstancesHealthStatus,
//! UpdateInstanceCustomHealthStatus.

use std::time::Duration;

use tsugite_aws::error::shorten;
use tsugite_aws::{AwsError, Writer};
use tsugite_engine::RegistryStore;
use tsugite_registry::{
    DeregisterInstance, HealthStatus, InstanceKey, InstanceView, RegisterInstance, ServiceId,
    UpdateCustomHealth,
};

use super::Call;
use super::errors::invalid;
use super::input::{attributes, missing, note, owned, page, required, service_id};
use super::output::{self, some};
use crate::leaving;

/// Long enough for an instance that nobody calls to have left.
const PROMPT: Duration = Duration::from_millis(200);

pub(super) async fn register<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let fields = &call.fields;
    if fields.object("Attributes")?.is_none() {
        return Err(missing("Attributes"));
    }
    let command = RegisterInstance {
        operation: call.new_operation(),
        service: service_id(required(fields, "ServiceId")?)?,
        instance: required(fields, "InstanceId")?.to_owned(),
        attributes: attributes(fields, "Attributes")?,
        creator_request_id: owned(fields, "CreatorRequestId")?,
    };
    let registered = call.store.register_instance(command).await;
    let registered = registered.map_err(|e| call.refusal(e))?;
    note("RegisterInstance", registered.lenient.as_ref());
    Ok(call.operation(registered.operation))
}

pub(super) async fn deregister<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let key = InstanceKey {
        service: service_id(required(&call.fields, "ServiceId")?)?,
        instance: required(&call.fields, "InstanceId")?.into(),
    };
    let command = DeregisterInstance {
        operation: call.new_operation(),
        service: key.service,
        instance: key.instance.to_string(),
        drain_ms: Some(call.drain_ms),
    };
    let leaves = call.store.deregister_instance(command).await;
    let operation = leaves.map_err(|e| call.refusal(e))?;
    // Almost always nobody is calling it, and then the operation has succeeded when its id is answered.
    leaving::gone(call.store, &key, PROMPT).await;
    Ok(call.operation(operation))
}

pub(super) async fn get<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let service = service_id(required(&call.fields, "ServiceId")?)?;
    let instance = required(&call.fields, "InstanceId")?.to_owned();
    let view = call.store.get_instance(service, instance).await;
    let view = view.map_err(|e| call.refusal(e))?;
    Ok(call.answer(|out| {
        out.text("ResourceOwner", &call.context.scope.account);
        out.member("Instance");
        out.begin();
        call.instance(out, &view);
        some(out, "CreatorRequestId", view.creator_request_id.as_deref());
        out.end();
    }))
}

pub(super) async fn list<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let service = service_id(required(&call.fields, "ServiceId")?)?;
    let page = page(&call.fields)?;
    let listed = call.store.list_instances(service, page).await;
    let listed = listed.map_err(|e| call.refusal(e))?;
    Ok(call.answer(|out| {
        out.text("ResourceOwner", &call.context.scope.account);
        let next = listed.next.as_deref();
        call.list(out, "Instances", &listed.entries, next, |out, view| {
            call.instance(out, view);
        });
    }))
}

/// Statuses by instance, and where the next page starts.
type Statuses = (Vec<(String, HealthStatus)>, Option<String>);

pub(super) async fn health<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let service = service_id(required(&call.fields, "ServiceId")?)?;
    let (statuses, next) = match call.fields.get("Instances") {
        None => every_status(&call, service).await?,
        Some(_) => statuses_of(&call, service).await?,
    };
    Ok(call.answer(|out| {
        out.member("Status");
        out.begin();
        for (instance, status) in &statuses {
            out.text(instance, status.name());
        }
        out.end();
        some(out, "NextToken", next.as_deref());
    }))
}

async fn every_status<S: RegistryStore>(
    call: &Call<'_, S>,
    service: ServiceId,
) -> Result<Statuses, AwsError> {
    let page = page(&call.fields)?;
    let listed = call.store.list_instances(service, page).await;
    let listed = listed.map_err(|e| call.refusal(e))?;
    let status = |view: &InstanceView| (view.id.to_string(), view.health.status);
    Ok((listed.entries.iter().map(status).collect(), listed.next))
}

/// The statuses of the instances that the request names, which it may want in pages as well.
async fn statuses_of<S: RegistryStore>(call: &Call<'_, S>, service: ServiceId) -> Result<Statuses, AwsError> {
    let wanted = call.fields.texts("Instances")?;
    if wanted.is_empty() {
        return Err(missing("Instances"));
    }
    let page = page(&call.fields)?;
    let skip = match &page.after {
        None => 0,
        Some(token) => token.parse().map_err(|_| {
            let token = shorten(token);
            invalid(format!(
                "The NextToken {token} does not come from an earlier answer."
            ))
        })?,
    };
    let mut statuses = Vec::new();
    for instance in wanted.iter().skip(skip).take(page.limit) {
        let view = call.store.get_instance(service, (*instance).to_owned()).await;
        let view = view.map_err(|e| call.refusal(e))?;
        statuses.push((view.id.to_string(), view.health.status));
    }
    let seen = skip.saturating_add(page.limit);
    Ok((statuses, (seen < wanted.len()).then(|| seen.to_string())))
}

pub(super) async fn update_custom_health<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let healthy = match required(&call.fields, "Status")? {
        "HEALTHY" => true,
        "UNHEALTHY" => false,
        other => {
            return Err(invalid(format!(
                "{} is not a custom health status.",
                shorten(other)
            )));
        }
    };
    let command = UpdateCustomHealth {
        service: service_id(required(&call.fields, "ServiceId")?)?,
        instance: required(&call.fields, "InstanceId")?.to_owned(),
        healthy,
    };
    let updated = call.store.update_custom_health(command).await;
    updated.map(|()| Vec::new()).map_err(|e| call.refusal(e))
}

impl<S> Call<'_, S> {
    /// An instance as it is listed.
    fn instance(&self, out: &mut Writer<'_>, view: &InstanceView) {
        out.text("Id", &view.id);
        output::attributes(out, view.attributes.iter());
        out.text("CreatedByAccount", &self.context.scope.account);
    }
}
