//! `/v1/instances/{namespace}/{service}/{id}`: instances register, renew and leave.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tsugite_base::Now;
use tsugite_engine::Failure;
use tsugite_registry::{
    DEFAULT_LEASE_MS, InstanceName, InstanceView, NamedError, NamespaceId, Protocol, PutError, PutInstance,
    PutOutcome, ServiceId,
};

use super::answer::{Answer, Links, Problem, document};
use super::resource::encode;
use super::services::{discover_problem, service_path};
use super::{Admin, Store};

/// The body of a registration. Without a body, PUT renews what is registered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    address: IpAddr,
    port: u16,
    #[serde(default)]
    protocol: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    /// Milliseconds of the lease; 0 is none: the instance lives until it is removed.
    #[serde(default)]
    ttl_ms: Option<u32>,
}

pub(super) async fn put<S: Store>(
    admin: &Admin<S>,
    name: InstanceName,
    body: &[u8],
) -> Result<Answer, Problem> {
    if body.is_empty() {
        return renew(admin, name).await;
    }
    if matches!(name.instance.as_str(), "." | "..") {
        // Clients would take it out of the instance's own URL.
        return Err(Problem::invalid(format!(
            "`{}` cannot be the id of an instance here",
            name.instance
        )));
    }
    let body: Registration = serde_json::from_slice(body).map_err(|error| {
        Problem::invalid(format!(
            "{error}; the body looks like {{\"address\": \"127.0.0.1\", \"port\": 9000, \"ttl_ms\": 15000}}"
        ))
    })?;
    if body.port == 0 {
        return Err(Problem::invalid("port: must be 1 to 65535"));
    }
    let protocol = match body.protocol.as_deref() {
        None => None,
        Some(text) => Some(Protocol::parse(text).ok_or_else(|| {
            Problem::invalid(format!(
                "protocol: `{text}` is unknown; it can be http, h2c or grpc"
            ))
        })?),
    };
    let lease_ms = match body.ttl_ms {
        Some(0) => None,
        Some(ms) => Some(ms),
        None => Some(declared_lease(admin, &name).unwrap_or(DEFAULT_LEASE_MS)),
    };
    let command = PutInstance {
        new_namespace: NamespaceId(admin.world.random_u64()),
        new_service: ServiceId(admin.world.random_u64()),
        namespace: name.namespace.clone(),
        service: name.service.clone(),
        instance: name.instance.clone(),
        address: Some(SocketAddr::new(body.address, body.port)),
        protocol,
        attributes: body.attributes,
        lease_ms,
    };
    let outcome = admin.store.put_instance(command).await.map_err(put_problem)?;
    let (status, outcome) = match outcome {
        PutOutcome::Created => (StatusCode::CREATED, "created"),
        PutOutcome::Changed => (StatusCode::OK, "changed"),
        PutOutcome::Renewed => (StatusCode::OK, "renewed"),
    };
    Ok(document(
        status,
        outcome_body(&name, outcome, lease_ms),
        links(&name),
    ))
}

async fn renew<S: Store>(admin: &Admin<S>, name: InstanceName) -> Result<Answer, Problem> {
    let renewal = admin.store.heartbeat(name.clone()).await.map_err(named_problem)?;
    let body = outcome_body(&name, "renewed", renewal.lease_ms);
    Ok(document(StatusCode::OK, body, links(&name)))
}

fn outcome_body(name: &InstanceName, outcome: &str, lease_ms: Option<u32>) -> Value {
    json!({
        "namespace": name.namespace,
        "service": name.service,
        "id": name.instance,
        "outcome": outcome,
        "ttl_ms": lease_ms,
    })
}

fn declared_lease<S: Store>(admin: &Admin<S>, name: &InstanceName) -> Option<u32> {
    let config = admin.config.borrow().clone();
    let mut services = config.declared.services.iter();
    let declared = services.find(|declared| {
        declared.name.namespace == name.namespace && declared.name.service == name.service
    })?;
    u32::try_from(declared.lease?.as_millis()).ok()
}

pub(super) async fn get<S: Store>(admin: &Admin<S>, name: InstanceName) -> Result<Answer, Problem> {
    let shown = admin
        .store
        .show_service(name.namespace.clone(), name.service.clone())
        .await;
    let (_, instances) = shown.map_err(discover_problem)?;
    let instance = instances.iter().find(|instance| *instance.id == *name.instance);
    let instance = instance.ok_or_else(|| Problem::not_found(format!("no instance `{}`", name.instance)))?;
    let body = instance_body(&name.namespace, &name.service, instance, admin.world.now());
    Ok(document(StatusCode::OK, body, links(&name)))
}

pub(super) async fn delete<S: Store>(admin: &Admin<S>, name: InstanceName) -> Result<Answer, Problem> {
    let service = service_path(&name.namespace, &name.service);
    let body = json!({ "namespace": name.namespace, "service": name.service, "id": name.instance, "outcome": "removed" });
    admin.store.delete_instance(name).await.map_err(named_problem)?;
    Ok(document(
        StatusCode::OK,
        body,
        vec![("service", service), ("index", "/v1".into())],
    ))
}

/// An instance as this API shows it.
pub(super) fn instance_body(namespace: &str, service: &str, instance: &InstanceView, now: Now) -> Value {
    let address = tsugite_registry::address_of(&instance.attributes);
    let protocol = tsugite_registry::protocol_of(&instance.attributes);
    let shown = [
        tsugite_registry::IPV4,
        tsugite_registry::IPV6,
        tsugite_registry::PORT,
        tsugite_registry::PROTOCOL,
    ];
    let further = instance.attributes.iter().filter(|(key, _)| !shown.contains(key));
    let attributes: serde_json::Map<String, Value> = further
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    let expires = instance
        .lease_until
        .map(|until| until.since(now.steady).as_millis());
    json!({
        "namespace": namespace,
        "service": service,
        "id": &*instance.id,
        "address": address.map(|address| address.ip().to_string()),
        "port": address.map(|address| address.port()),
        "protocol": protocol.map(Protocol::name),
        "health": instance.health.status.name().to_lowercase(),
        "ttl_ms": instance.lease_ms,
        "expires_in_ms": expires.and_then(|ms| u64::try_from(ms).ok()),
        "registered_at": instance.registered.iso_millis(),
        "age_ms": u64::try_from(now.wall.since(instance.registered).as_millis()).ok(),
        "attributes": attributes,
    })
}

pub(super) fn instance_path(namespace: &str, service: &str, id: &str) -> String {
    format!(
        "/v1/instances/{}/{}/{}",
        encode(namespace),
        encode(service),
        encode(id)
    )
}

fn links(name: &InstanceName) -> Links {
    vec![
        (
            "self",
            instance_path(&name.namespace, &name.service, &name.instance),
        ),
        ("service", service_path(&name.namespace, &name.service)),
        (
            "circuit",
            super::circuits::circuit_path(&name.service, &name.namespace),
        ),
        ("index", "/v1".into()),
    ]
}

fn put_problem(failure: Failure<PutError>) -> Problem {
    match failure {
        Failure::Unavailable(unavailable) => unavailable.into(),
        Failure::Refused(PutError::Invalid(invalid)) => Problem::invalid(invalid.to_string()),
        Failure::Refused(PutError::ServiceAlreadyExists(exists)) => Problem::conflict(exists.to_string()),
        Failure::Refused(PutError::ResourceLimitExceeded(limit)) => Problem::full(limit.to_string()),
    }
}

fn named_problem(failure: Failure<NamedError>) -> Problem {
    match failure {
        Failure::Unavailable(unavailable) => unavailable.into(),
        Failure::Refused(missing) => Problem::not_found(missing.to_string()),
    }
}
