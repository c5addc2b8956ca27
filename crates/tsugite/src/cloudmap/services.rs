//! Create, update, delete, get and list services.

use tsugite_aws::error::shorten;
use tsugite_aws::{AwsError, Fields};
use tsugite_engine::RegistryStore;
use tsugite_registry::{
    CheckKind, CreateService, DnsConfig, DnsRecord, HealthCheck, HealthSource, NamespaceId, RecordType,
    RoutingPolicy, ServiceId, UpdateService,
};

use super::Call;
use super::errors::invalid;
use super::filters::{self, Owner};
use super::input::{missing, namespace_id, note, owned, page, ranged, required, service_id, structure, tags};

pub(super) async fn create<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let fields = &call.fields;
    let dns_config = fields.object("DnsConfig")?;
    let namespace = match (fields.text("NamespaceId")?, dns_config) {
        (None, Some(dns)) => dns.text("NamespaceId")?,
        (given, _) => given,
    };
    let namespace = namespace.ok_or_else(|| missing("NamespaceId"))?;
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
        tags: tags(fields)?,
    };
    let created = call.store.create_service(command).await;
    let view = created.map_err(|e| call.refusal(e))?;
    note("CreateService", view.lenient().err().as_ref());
    Ok(call.whole_service(&view))
}

fn dns(config: &Fields<'_>) -> Result<DnsConfig, AwsError> {
    let routing = match config.text("RoutingPolicy")? {
        None | Some("MULTIVALUE") => RoutingPolicy::Multivalue,
        Some("WEIGHTED") => RoutingPolicy::Weighted,
        Some(other) => return Err(invalid(format!("{} is not a routing policy.", shorten(other)))),
    };
    let records = records(config)?;
    Ok(DnsConfig { routing, records })
}

fn records(config: &Fields<'_>) -> Result<Vec<DnsRecord>, AwsError> {
    let record = |record: &Fields<'_>| {
        let kind = match required(record, "Type")? {
            "A" => RecordType::A,
            "AAAA" => RecordType::Aaaa,
            "SRV" => RecordType::Srv,
            "CNAME" => RecordType::Cname,
            other => return Err(invalid(format!("{} is not a record type.", shorten(other)))),
        };
        match ranged(record, "TTL", 0..=i64::from(i32::MAX))? {
            None => Err(missing("TTL")),
            ttl => Ok(DnsRecord { kind, ttl }),
        }
    };
    if config.get("DnsRecords").is_none() {
        return Err(missing("DnsRecords"));
    }
    config.objects("DnsRecords")?.into_iter().map(record).collect()
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
        ("HTTPS", path) => CheckKind::Https {
            path: path.unwrap_or("/").to_owned(),
            // As the health checks of Route 53, which do not look at certificates.
            verify: false,
        },
        (other, _) => return Err(invalid(format!("{} is not a health check type.", shorten(other)))),
    };
    // The default of Cloud Map for a service that names no threshold.
    let unhealthy = ranged(config, "FailureThreshold", 1..=10)?.unwrap_or(1);
    Ok(HealthCheck {
        unhealthy,
        ..HealthCheck::new(kind)
    })
}

pub(super) async fn update<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let change = structure(&call.fields, "Service")?;
    let command = UpdateService {
        id: service_id(required(&call.fields, "Id")?)?,
        operation: call.new_operation(),
        description: owned(change, "Description")?,
        records: change.object("DnsConfig")?.map(records).transpose()?,
        check: change.object("HealthCheckConfig")?.map(check).transpose()?,
    };
    let updated = call.store.update_service(command).await;
    updated.map(|id| call.operation(id)).map_err(|e| call.refusal(e))
}

pub(super) async fn delete<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let id = service_id(required(&call.fields, "Id")?)?;
    let deleted = call.store.delete_service(id).await;
    deleted.map(|()| call.answer(|_| {})).map_err(|e| call.refusal(e))
}

pub(super) async fn get<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let id = service_id(required(&call.fields, "Id")?)?;
    let view = call.store.get_service(id).await.map_err(|e| call.refusal(e))?;
    Ok(call.whole_service(&view))
}

pub(super) async fn list<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let mut namespaces: Option<Vec<NamespaceId>> = None;
    for filter in filters::read(&call, filters::SERVICES)? {
        if filter.field == "NAMESPACE_ID" {
            // What cannot be an id names no namespace, so it keeps nothing.
            let ids = filter.values.iter().filter_map(|v| namespace_id(v).ok());
            namespaces = Some(match namespaces {
                None => ids.collect(),
                Some(before) => ids.filter(|id| before.contains(id)).collect(),
            });
        } else if Owner::of(&filter)? == Owner::Others {
            namespaces = Some(Vec::new());
        }
    }
    let page = page(&call.fields)?;
    let listed = call.store.list_services(namespaces, page).await;
    let listed = listed.map_err(|e| call.refusal(e))?;
    Ok(call.answer(|out| {
        let next = listed.next.as_deref();
        call.list(out, "Services", &listed.entries, next, |out, view| {
            call.service(out, view);
        });
    }))
}
