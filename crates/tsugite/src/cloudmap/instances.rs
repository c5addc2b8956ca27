//! RegisterInstance, DeregisterInstance, GetInstance, ListInstances, GetInstancesHealthStatus,
//! UpdateInstanceCustomHealthStatus.

use tsugite_aws::error::shorten;
use tsugite_aws::{AwsError, JsonWriter};
use tsugite_engine::RegistryStore;
use tsugite_registry::{
    DeregisterInstance, HealthStatus, InstanceView, RegisterInstance, UpdateCustomHealth,
};

use super::Call;
use super::errors::{IntoAws as _, invalid};
use super::input::{attributes, owned, page, required, service_id};
use super::output::{self, answer, operation_id, some};

pub(super) async fn register<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let fields = &call.fields;
    if fields.object("Attributes")?.is_none() {
        return Err(invalid("The request must contain the parameter Attributes."));
    }
    let command = RegisterInstance {
        operation: call.new_operation(),
        service: service_id(required(fields, "ServiceId")?)?,
        instance: required(fields, "InstanceId")?.to_owned(),
        attributes: attributes(fields, "Attributes")?,
        creator_request_id: owned(fields, "CreatorRequestId")?,
    };
    let registered = call.store.register_instance(command).await;
    registered.map(operation_id).map_err(|e| e.into_aws())
}

pub(super) async fn deregister<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let command = DeregisterInstance {
        operation: call.new_operation(),
        service: service_id(required(&call.fields, "ServiceId")?)?,
        instance: required(&call.fields, "InstanceId")?.to_owned(),
    };
    let gone = call.store.deregister_instance(command).await;
    gone.map(operation_id).map_err(|e| e.into_aws())
}

pub(super) async fn get<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let service = service_id(required(&call.fields, "ServiceId")?)?;
    let instance = required(&call.fields, "InstanceId")?.to_owned();
    let view = call
        .store
        .get_instance(service, instance)
        .await
        .map_err(|e| e.into_aws())?;
    Ok(answer(|json| {
        json.text("ResourceOwner", &call.context.scope.account);
        json.member("Instance");
        call.instance(json, &view);
    }))
}

pub(super) async fn list<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let service = service_id(required(&call.fields, "ServiceId")?)?;
    let page = page(&call.fields)?;
    let listed = call
        .store
        .list_instances(service, page)
        .await
        .map_err(|e| e.into_aws())?;
    Ok(answer(|json| {
        json.text("ResourceOwner", &call.context.scope.account);
        json.member("Instances");
        json.begin_list();
        for view in &listed.entries {
            call.instance(json, view);
        }
        json.end_list();
        some(json, "NextToken", listed.next.as_deref());
    }))
}

pub(super) async fn health<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let service = service_id(required(&call.fields, "ServiceId")?)?;
    let wanted = call.fields.texts("Instances")?;
    let mut statuses: Vec<(String, HealthStatus)> = Vec::new();
    let mut next = None;
    if wanted.is_empty() {
        let page = page(&call.fields)?;
        let listed = call
            .store
            .list_instances(service, page)
            .await
            .map_err(|e| e.into_aws())?;
        next = listed.next;
        statuses.extend(listed.entries.iter().map(|i| (i.id.to_string(), i.health.status)));
    }
    for instance in wanted {
        let view = call.store.get_instance(service, instance.to_owned()).await;
        statuses.push((instance.to_owned(), view.map_err(|e| e.into_aws())?.health.status));
    }
    Ok(answer(|json| {
        json.member("Status");
        json.begin();
        for (instance, status) in &statuses {
            json.text(instance, status.name());
        }
        json.end();
        some(json, "NextToken", next.as_deref());
    }))
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
    updated.map(|()| Vec::new()).map_err(|e| e.into_aws())
}

impl<S> Call<'_, S> {
    fn instance(&self, json: &mut JsonWriter<'_>, view: &InstanceView) {
        json.begin();
        json.text("Id", &view.id);
        some(json, "CreatorRequestId", view.creator_request_id.as_deref());
        output::attributes(json, &view.attributes);
        json.text("CreatedByAccount", &self.context.scope.account);
        json.end();
    }
}
