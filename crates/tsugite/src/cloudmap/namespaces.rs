//! CreateHttpNamespace, CreatePrivateDnsNamespace, DeleteNamespace, GetNamespace, ListNamespaces.

use tsugite_aws::{AwsError, Fields};
use tsugite_engine::RegistryStore;
use tsugite_registry::{CreateNamespace, DeleteNamespace, NamespaceField, NamespaceId, NamespaceKind};

use super::Call;
use super::errors::IntoAws as _;
use super::input::{filters, namespace_id, no_tags, owned, page, ranged, required};
use super::output::{answer, operation_id, some};

pub(super) async fn create_http<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    create(call, NamespaceKind::Http, None).await
}

pub(super) async fn create_private_dns<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    // There are no VPCs here; the parameter is required as in AWS, and any name will do.
    required(&call.fields, "Vpc")?;
    let soa_ttl = soa_ttl(&call.fields)?;
    create(call, NamespaceKind::DnsPrivate, soa_ttl).await
}

fn soa_ttl(fields: &Fields<'_>) -> Result<Option<u32>, AwsError> {
    let Some(properties) = fields.object("Properties")? else {
        return Ok(None);
    };
    let dns = properties.object("DnsProperties")?;
    let soa = dns.map(|dns| dns.object("SOA")).transpose()?.flatten();
    Ok(soa
        .map(|soa| ranged(soa, "TTL", 0..=i64::from(i32::MAX)))
        .transpose()?
        .flatten())
}

async fn create<S: RegistryStore>(
    call: Call<'_, S>,
    kind: NamespaceKind,
    soa_ttl: Option<u32>,
) -> Result<Vec<u8>, AwsError> {
    no_tags(&call.fields)?;
    let command = CreateNamespace {
        id: NamespaceId(call.world.random_u64()),
        operation: call.new_operation(),
        name: required(&call.fields, "Name")?.to_owned(),
        kind,
        description: owned(&call.fields, "Description")?,
        creator_request_id: owned(&call.fields, "CreatorRequestId")?,
        soa_ttl,
    };
    let created = call.store.create_namespace(command).await;
    created.map(operation_id).map_err(|e| e.into_aws())
}

pub(super) async fn delete<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let command = DeleteNamespace {
        id: namespace_id(required(&call.fields, "Id")?)?,
        operation: call.new_operation(),
    };
    let deleted = call.store.delete_namespace(command).await;
    deleted.map(operation_id).map_err(|e| e.into_aws())
}

pub(super) async fn get<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let id = namespace_id(required(&call.fields, "Id")?)?;
    let view = call.store.get_namespace(id).await.map_err(|e| e.into_aws())?;
    Ok(answer(|json| {
        json.member("Namespace");
        json.begin();
        call.namespace(json, &view);
        json.end();
    }))
}

pub(super) async fn list<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let account = &call.context.scope.account;
    // Everything here belongs to whoever asks, so a filter by owner keeps all or nothing.
    let (mut kept, mut wanted) = (true, Vec::new());
    let fields = |name: &str| match name {
        "TYPE" => Some(Some(NamespaceField::Type)),
        "NAME" | "HTTP_NAME" => Some(Some(NamespaceField::Name)),
        "RESOURCE_OWNER" => Some(None),
        _ => None,
    };
    for filter in filters(&call.fields, fields)? {
        match filter.field {
            Some(field) => wanted.push(tsugite_registry::Filter {
                field,
                condition: filter.condition,
                values: filter.values,
            }),
            None => kept &= filter.values.iter().any(|v| v == "SELF" || v == account),
        }
    }
    let page = page(&call.fields)?;
    let mut listed = call
        .store
        .list_namespaces(wanted, page)
        .await
        .map_err(|e| e.into_aws())?;
    if !kept {
        listed.entries.clear();
        listed.next = None;
    }
    Ok(answer(|json| {
        json.member("Namespaces");
        json.begin_list();
        for view in &listed.entries {
            json.begin();
            call.namespace(json, view);
            json.end();
        }
        json.end_list();
        some(json, "NextToken", listed.next.as_deref());
    }))
}
