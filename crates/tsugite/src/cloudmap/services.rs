//! CreateService, DeleteService, GetService, ListServices.

use tsugite_aws::error::shorten;
use tsugite_aws::{AwsError, Fields};
use tsugite_engine::RegistryStore;
use tsugite_registry::{
    CheckKind, CreateService, DnsConfig, DnsRecord, HealthCheck, HealthSource, NamespaceId, RecordType,
    RoutingPolicy, ServiceId,
};

use super::Call;
use super::errors::{IntoAws as _, invalid, unsupported};
use super::input::{filters, namespace_id, no_tags, owned, page, ranged, required, service_id};
use super::output::{answer, some};

pub(super) async fn create<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let fields = &call.fields;
    no_tags(fields)?;
    let dns_config = fields.object("DnsConfig")?;
    let namespace = match (fields.text("NamespaceId")?, dns_config) {
        (None, Some(dns)) => dns.text("NamespaceId")?,
        (given, _) => given,
    };
    let Some(namespace) = namespace else {
        return Err(invalid("The request must contain the parameter NamespaceId."));
    };
    let dns = match fields.text("Type")? {
        None => dns_config.map(dns).transpose()?,
        Some("HTTP") if dns_config.is_none() => None,
        Some("HTTP") => return Err(invalid("A service of type HTTP cannot have a DnsConfig.")),
        Some(other) => return Err(invalid(format!("{} is not a service type.", shorten(other)))),
    };
    let command = CreateService {
        id: ServiceId(call.world.random_u64()),
        namespace: namespace_id(namespace)?,
        name: required(fields, "Name")?.to_owned(),
        description: owned(fields, "Description")?,
        creator_request_id: owned(fields, "CreatorRequestId")?,
        dns,
        health: health(fields)?,
    };
    let view = call
        .store
        .create_service(command)
        .await
        .map_err(|e| e.into_aws())?;
    Ok(answer(|json| {
        json.member("Service");
        json.begin();
        call.service(json, &view);
        json.end();
    }))
}

fn dns(config: &Fields<'_>) -> Result<DnsConfig, AwsError> {
    let routing = match config.text("RoutingPolicy")? {
        None | Some("MULTIVALUE") => RoutingPolicy::Multivalue,
        Some("WEIGHTED") => RoutingPolicy::Weighted,
        Some(other) => return Err(invalid(format!("{} is not a routing policy.", shorten(other)))),
    };
    let record = |record: &Fields<'_>| {
        let kind = match required(record, "Type")? {
            "A" => RecordType::A,
            "AAAA" => RecordType::Aaaa,
            "SRV" => RecordType::Srv,
            "CNAME" => return Err(unsupported("The record type CNAME")),
            other => return Err(invalid(format!("{} is not a record type.", shorten(other)))),
        };
        let ttl = ranged(record, "TTL", 0..=i64::from(i32::MAX))?;
        match ttl {
            None => Err(invalid("A DNS record must contain the parameter TTL.")),
            ttl => Ok(DnsRecord { kind, ttl }),
        }
    };
    let records = config.objects("DnsRecords")?;
    Ok(DnsConfig {
        routing,
        records: records.into_iter().map(record).collect::<Result<_, _>>()?,
    })
}

fn health(fields: &Fields<'_>) -> Result<HealthSource, AwsError> {
    let active = fields.object("HealthCheckConfig")?;
    let custom = fields.object("HealthCheckCustomConfig")?;
    match (active, custom) {
        (Some(_), Some(_)) => Err(invalid(
            "A service can have a HealthCheckConfig or a HealthCheckCustomConfig, not both.",
        )),
        (Some(config), None) => check(config).map(HealthSource::Active),
        (None, Some(custom)) => {
            ranged(custom, "FailureThreshold", 1..=10)?;
            Ok(HealthSource::Custom)
        }
        (None, None) => Ok(HealthSource::None),
    }
}

fn check(config: &Fields<'_>) -> Result<HealthCheck, AwsError> {
    let path = config.text("ResourcePath")?;
    let kind = match (required(config, "Type")?, path) {
        ("HTTP", path) => CheckKind::Http {
            path: path.unwrap_or("/").to_owned(),
        },
        ("TCP", None) => CheckKind::Tcp,
        ("TCP", Some(_)) => return Err(invalid("A TCP health check cannot have a ResourcePath.")),
        ("HTTPS", _) => return Err(unsupported("The health check type HTTPS")),
        (other, _) => return Err(invalid(format!("{} is not a health check type.", shorten(other)))),
    };
    // The default of Cloud Map for a service that names no threshold.
    let unhealthy = ranged(config, "FailureThreshold", 1..=10)?.unwrap_or(1);
    Ok(HealthCheck {
        unhealthy,
        ..HealthCheck::new(kind)
    })
}

pub(super) async fn delete<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let id = service_id(required(&call.fields, "Id")?)?;
    let deleted = call.store.delete_service(id).await;
    deleted.map(|()| Vec::from("{}")).map_err(|e| e.into_aws())
}

pub(super) async fn get<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let id = service_id(required(&call.fields, "Id")?)?;
    let view = call.store.get_service(id).await.map_err(|e| e.into_aws())?;
    Ok(answer(|json| {
        json.member("Service");
        json.begin();
        call.service(json, &view);
        json.end();
    }))
}

pub(super) async fn list<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let fields = |name: &str| match name {
        "NAMESPACE_ID" => Some(true),
        "RESOURCE_OWNER" => Some(false),
        _ => None,
    };
    let account = &call.context.scope.account;
    let mut namespaces: Option<Vec<NamespaceId>> = None;
    for filter in filters(&call.fields, fields)? {
        if filter.field {
            // What cannot be an id names no namespace, so it keeps nothing.
            let ids = filter.values.iter().filter_map(|v| namespace_id(v).ok());
            namespaces = Some(match namespaces {
                None => ids.collect(),
                Some(before) => ids.filter(|id| before.contains(id)).collect(),
            });
        } else if !filter.values.iter().any(|v| v == "SELF" || v == account) {
            namespaces = Some(Vec::new());
        }
    }
    let page = page(&call.fields)?;
    let listed = call
        .store
        .list_services(namespaces, page)
        .await
        .map_err(|e| e.into_aws())?;
    Ok(answer(|json| {
        json.member("Services");
        json.begin_list();
        for view in &listed.entries {
            json.begin();
            call.service(json, view);
            json.end();
        }
        json.end_list();
        some(json, "NextToken", listed.next.as_deref());
    }))
}
