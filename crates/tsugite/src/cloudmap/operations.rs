//! GetOperation, ListOperations.

use tsugite_aws::AwsError;
use tsugite_aws::error::shorten;
use tsugite_engine::RegistryStore;
use tsugite_registry::{OperationField, OperationNotFound};

use super::Call;
use super::errors::IntoAws as _;
use super::input::{filters, page, required};
use super::output::{answer, date, some};

pub(super) async fn get<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let text = required(&call.fields, "OperationId")?;
    let wanted = || OperationNotFound {
        wanted: shorten(text).into_owned(),
    };
    let id = text.parse().map_err(|_| wanted().into_aws())?;
    let operation = call.store.get_operation(id).await.map_err(|e| e.into_aws())?;
    Ok(answer(|json| {
        json.member("Operation");
        json.begin();
        json.text("Id", &operation.id.to_string());
        json.text("OwnerAccount", &call.context.scope.account);
        json.text("Type", operation.kind.name());
        json.text("Status", "SUCCESS");
        date(json, "CreateDate", operation.at);
        date(json, "UpdateDate", operation.at);
        json.member("Targets");
        json.begin();
        some(
            json,
            "NAMESPACE",
            operation.namespace.map(|id| id.to_string()).as_deref(),
        );
        some(
            json,
            "SERVICE",
            operation.service.map(|id| id.to_string()).as_deref(),
        );
        some(json, "INSTANCE", operation.instance.as_deref());
        json.end();
        json.end();
    }))
}

pub(super) async fn list<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let fields = |name: &str| match name {
        "NAMESPACE_ID" => Some(OperationField::NamespaceId),
        "SERVICE_ID" => Some(OperationField::ServiceId),
        "STATUS" => Some(OperationField::Status),
        "TYPE" => Some(OperationField::Type),
        "UPDATE_DATE" => Some(OperationField::UpdateDate),
        _ => None,
    };
    let filters = filters(&call.fields, fields)?;
    let page = page(&call.fields)?;
    let listed = call
        .store
        .list_operations(filters, page)
        .await
        .map_err(|e| e.into_aws())?;
    Ok(answer(|json| {
        json.member("Operations");
        json.begin_list();
        for operation in &listed.entries {
            json.begin();
            json.text("Id", &operation.id.to_string());
            json.text("Status", "SUCCESS");
            json.end();
        }
        json.end_list();
        some(json, "NextToken", listed.next.as_deref());
    }))
}
