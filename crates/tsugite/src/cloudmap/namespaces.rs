//! Create, update, delete, get and list namespaces of the three kinds.

use tsugite_aws::{AwsError, Fields};
use tsugite_engine::RegistryStore;
use tsugite_registry::{
    CreateNamespace, DeleteNamespace, Filter, NamespaceField, NamespaceId, NamespaceKind, UpdateNamespace,
};

use super::Call;
use super::filters::{self, Owner};
use super::input::{described, namespace_id, note, owned, page, ranged, required, structure, tags};
use super::output::some;

pub(super) async fn create_http<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    create(call, NamespaceKind::Http, None).await
}

pub(super) async fn create_private_dns<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    // There are no VPCs here; the parameter is required as in AWS, and any name will do.
    required(&call.fields, "Vpc")?;
    let soa_ttl = soa_ttl(&call.fields)?;
    create(call, NamespaceKind::DnsPrivate, soa_ttl).await
}

pub(super) async fn create_public_dns<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let soa_ttl = soa_ttl(&call.fields)?;
    create(call, NamespaceKind::DnsPublic, soa_ttl).await
}

/// `Properties.DnsProperties.SOA.TTL`; each of them must be there if the one around it is.
fn soa_ttl(fields: &Fields<'_>) -> Result<Option<u32>, AwsError> {
    let Some(properties) = fields.object("Properties")? else {
        return Ok(None);
    };
    let soa = structure(structure(properties, "DnsProperties")?, "SOA")?;
    let ttl = ranged(soa, "TTL", 0..=i64::from(i32::MAX))?;
    match ttl {
        None => Err(super::input::missing("TTL")),
        ttl => Ok(ttl),
    }
}

async fn create<S: RegistryStore>(
    call: Call<'_, S>,
    kind: NamespaceKind,
    soa_ttl: Option<u32>,
) -> Result<Vec<u8>, AwsError> {
    let command = CreateNamespace {
        id: NamespaceId(call.world.random_u64()),
        operation: call.new_operation(),
        name: required(&call.fields, "Name")?.to_owned(),
        kind,
        description: owned(&call.fields, "Description")?,
        creator_request_id: owned(&call.fields, "CreatorRequestId")?,
        soa_ttl,
        tags: tags(&call.fields)?,
    };
    let lenient = command.lenient().err();
    let created = call.store.create_namespace(command).await;
    let operation = created.map_err(|e| call.refusal(e))?;
    note("CreatePublicDnsNamespace", lenient.as_ref());
    Ok(call.operation(operation))
}

pub(super) async fn update<S: RegistryStore>(
    call: Call<'_, S>,
    kind: NamespaceKind,
) -> Result<Vec<u8>, AwsError> {
    let change = structure(&call.fields, "Namespace")?;
    let command = UpdateNamespace {
        id: namespace_id(required(&call.fields, "Id")?)?,
        kind,
        operation: call.new_operation(),
        description: match kind {
            NamespaceKind::Http => Some(described(change)?),
            NamespaceKind::DnsPrivate | NamespaceKind::DnsPublic => owned(change, "Description")?,
        },
        soa_ttl: match kind {
            NamespaceKind::Http => None,
            NamespaceKind::DnsPrivate | NamespaceKind::DnsPublic => soa_ttl(change)?,
        },
        updater_request_id: owned(&call.fields, "UpdaterRequestId")?,
    };
    let updated = call.store.update_namespace(command).await;
    updated.map(|id| call.operation(id)).map_err(|e| call.refusal(e))
}

pub(super) async fn delete<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let command = DeleteNamespace {
        id: namespace_id(required(&call.fields, "Id")?)?,
        operation: call.new_operation(),
    };
    let deleted = call.store.delete_namespace(command).await;
    deleted.map(|id| call.operation(id)).map_err(|e| call.refusal(e))
}

pub(super) async fn get<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let id = namespace_id(required(&call.fields, "Id")?)?;
    let view = call.store.get_namespace(id).await.map_err(|e| call.refusal(e))?;
    Ok(call.answer(|out| {
        out.member("Namespace");
        out.begin();
        call.namespace(out, &view);
        let request = view.namespace.creator_request_id.as_deref();
        some(out, "CreatorRequestId", request);
        out.end();
    }))
}

pub(super) async fn list<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    // Everything here belongs to whoever asks, so a filter by owner keeps all or nothing.
    let (mut kept, mut wanted) = (true, Vec::new());
    for filter in filters::read(&call, filters::NAMESPACES)? {
        let field = match filter.field {
            "TYPE" => NamespaceField::Type,
            "NAME" | "HTTP_NAME" => NamespaceField::Name,
            _ => {
                kept &= Owner::of(&filter)? == Owner::Myself;
                continue;
            }
        };
        wanted.push(Filter {
            field,
            condition: filter.condition,
            values: filter.values,
        });
    }
    let page = page(&call.fields)?;
    let listed = call.store.list_namespaces(wanted, page).await;
    let mut listed = listed.map_err(|e| call.refusal(e))?;
    if !kept {
        (listed.entries, listed.next) = (Vec::new(), None);
    }
    Ok(call.answer(|out| {
        let next = listed.next.as_deref();
        call.list(out, "Namespaces", &listed.entries, next, |out, view| {
            call.namespace(out, view);
        });
    }))
}
