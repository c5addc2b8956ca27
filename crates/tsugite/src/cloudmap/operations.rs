//! GetOperation, ListOperations.

use tsugite_aws::AwsError;
use tsugite_aws::error::shorten;
use tsugite_engine::RegistryStore;
use tsugite_registry::{Filter, OperationField, OperationNotFound};

use super::Call;
use super::errors::named;
use super::input::{page, required};
use super::output::{date, operation_of, operation_text, some};
use super::{discover, filters};

pub(super) async fn get<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    discover::own_account(&call)?;
    let text = required(&call.fields, "OperationId")?;
    let absent = || {
        let wanted = shorten(text).into_owned();
        named("OperationNotFound", &OperationNotFound { wanted })
    };
    let id = operation_of(text).ok_or_else(absent)?;
    let operation = call.store.get_operation(id).await;
    let operation = operation.map_err(|e| call.refusal(e))?;
    Ok(call.answer(|out| {
        out.member("Operation");
        out.begin();
        out.text("Id", &operation_text(operation.id));
        out.text("OwnerAccount", &call.context.scope.account);
        out.text("Type", operation.kind.name());
        out.text("Status", operation.status.name());
        date(out, "CreateDate", operation.at);
        date(out, "UpdateDate", operation.updated);
        out.member("Targets");
        out.begin();
        let namespace = operation.namespace.map(|id| id.to_string());
        let service = operation.service.map(|id| id.to_string());
        some(out, "NAMESPACE", namespace.as_deref());
        some(out, "SERVICE", service.as_deref());
        some(out, "INSTANCE", operation.instance.as_deref());
        out.end();
        out.end();
    }))
}

pub(super) async fn list<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let field = |name: &str| match name {
        "NAMESPACE_ID" => OperationField::NamespaceId,
        "SERVICE_ID" => OperationField::ServiceId,
        "STATUS" => OperationField::Status,
        "TYPE" => OperationField::Type,
        _ => OperationField::UpdateDate,
    };
    let filters = filters::read(&call, filters::OPERATIONS)?.into_iter();
    let filters = filters.map(|filter| Filter {
        field: field(filter.field),
        condition: filter.condition,
        values: filter.values,
    });
    let page = page(&call.fields)?;
    let listed = call.store.list_operations(filters.collect(), page).await;
    let listed = listed.map_err(|e| call.refusal(e))?;
    Ok(call.answer(|out| {
        let next = listed.next.as_deref();
        call.list(out, "Operations", &listed.entries, next, |out, operation| {
            out.text("Id", &operation_text(operation.id));
            out.text("Status", operation.status.name());
        });
    }))
}
