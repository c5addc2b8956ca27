//! `/v1/instances/{namespace}/{service}/{id}`: instances register, renew and leave.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tsugite_base::Now;
use tsugite_engine::Failure;
use tsugite_registry::{
    DEFAULT_LEASE_MS, HealthCheck, HealthSay, HealthSource, HealthStatus, InstanceName, InstanceView,
    LeaseHealth, LeaveInstance, NamedError, NamespaceId, Protocol, PutError, PutInstance, PutOutcome,
    PutService, RecordType, ServiceId,
};

use super::Query;
use super::answer::{Answer, Links, Problem, document};
use super::resource::encode;
use super::services::{discover_problem, service_path};
use super::{Admin, Store};
use crate::config::text;
use crate::{health, leaving};

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
    /// The active check of its service, which is created with it: `http:/path` and the like.
    #[serde(default)]
    check: Option<String>,
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
    if let Some(check) = &body.check {
        put_check(admin, &name, check).await?;
    }
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
        PutOutcome::Leaving => (StatusCode::OK, "leaving"),
    };
    Ok(document(
        status,
        outcome_body(&name, outcome, lease_ms),
        links(&name),
    ))
}

/// Creates the service with that check, if it is not there yet.
async fn put_check<S: Store>(admin: &Admin<S>, name: &InstanceName, check: &str) -> Result<(), Problem> {
    let kind = health::parse_check(check).map_err(|rule| Problem::invalid(format!("check: {rule}")))?;
    let command = PutService {
        new_namespace: NamespaceId(admin.world.random_u64()),
        new_service: ServiceId(admin.world.random_u64()),
        namespace: name.namespace.clone(),
        service: name.service.clone(),
        health: Some(HealthSource::Active(HealthCheck::new(kind))),
    };
    let put = admin.store.put_service(command).await;
    put.map(drop).map_err(put_problem)
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

/// Removes an instance: at once, or with `drain=30s` once the calls to it have ended or that time is over. `wait=acks`
/// answers then, and not before.
pub(super) async fn delete<S: Store>(
    admin: &Admin<S>,
    name: InstanceName,
    query: &Query,
) -> Result<Answer, Problem> {
    let drain = match query.get("drain") {
        None => Duration::ZERO,
        Some(value) => drain(value)?,
    };
    let wait = match query.get("wait") {
        None | Some("none") => false,
        Some("acks") => true,
        Some(other) => {
            let text = format!("wait: `{other}` is not something to wait for; it can be acks or none");
            return Err(Problem::invalid(text));
        }
    };
    let service = service_path(&name.namespace, &name.service);
    let mut links = vec![("service", service), ("index", "/v1".into())];
    let mut body = json!({ "namespace": name.namespace, "service": name.service, "id": name.instance });
    if drain.is_zero() {
        admin.store.delete_instance(name).await.map_err(named_problem)?;
        body["outcome"] = "removed".into();
        return Ok(document(StatusCode::OK, body, links));
    }
    let command = LeaveInstance {
        name: name.clone(),
        drain_ms: u32::try_from(drain.as_millis()).unwrap_or(u32::MAX),
    };
    let key = admin.store.leave_instance(command).await.map_err(named_problem)?;
    let begin = admin.world.mono();
    // The store removes it when its time is over; a little later it must be gone.
    let gone = wait && leaving::gone(&admin.store, &key, drain + SLACK).await;
    let took = admin.world.mono().since(begin);
    let outcome = if gone { "removed" } else { "leaving" };
    body["outcome"] = outcome.into();
    if wait {
        body["acknowledged"] = (gone && took < drain).into();
        body["waited_ms"] = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).into();
    }
    // Those who found it by DNS may come for as long as they may keep the answer.
    body["dns_ttl_ms"] = dns_ttl_ms(admin, key.service).await.into();
    if !gone {
        links.insert(
            0,
            (
                "self",
                instance_path(&name.namespace, &name.service, &name.instance),
            ),
        );
    }
    let status = if gone {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok(document(status, body, links))
}

/// More than the store needs to notice that a drain is over.
const SLACK: Duration = Duration::from_secs(2);
/// The longest drain.
const LONGEST_DRAIN: Duration = Duration::from_secs(3_600);

fn drain(value: &str) -> Result<Duration, Problem> {
    let drain = text::duration(value).map_err(|rule| Problem::invalid(format!("drain: {rule}")))?;
    if drain > LONGEST_DRAIN {
        return Err(Problem::invalid("drain: the longest is 1h"));
    }
    Ok(drain)
}

/// How long answers of DNS about the service may be kept: none if nobody answers.
async fn dns_ttl_ms<S: Store>(admin: &Admin<S>, service: ServiceId) -> u64 {
    let Ok(view) = admin.store.get_service(service).await else {
        return 0;
    };
    let records = view.service.dns.as_ref().map(|dns| dns.records.as_slice());
    let ttls = records.unwrap_or_default().iter();
    let ttls = ttls.filter(|record| record.kind != RecordType::Cname);
    let longest = ttls.map(|record| record.ttl.unwrap_or(view.default_ttl)).max();
    match admin.addresses.dns {
        Some(_) if view.namespace_kind.is_dns() => u64::from(longest.unwrap_or_default()) * 1_000,
        _ => 0,
    }
}

/// The verdict, what each source says that has a say, and which of them decided.
fn health_body(instance: &InstanceView) -> Value {
    let health = &instance.health;
    let said = |status: Option<HealthStatus>| status.map(|status| status.name().to_lowercase());
    json!({
        "status": health.status.name().to_lowercase(),
        "decided_by": health.decided_by.map(HealthSay::name),
        "lease": health.lease.map(LeaseHealth::name),
        "active": said(health.active),
        "flapping": health.flapping,
        "pushed": said(health.custom),
        "passive": said(health.passive),
        "admin": health.admin.map(|_| "out_of_service"),
        "note": instance.out_of_service,
        "leaving": health.leaving,
    })
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
        "health": health_body(instance),
        "takes_calls": instance.takes_calls,
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

pub(super) fn links(name: &InstanceName) -> Links {
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

pub(super) fn named_problem(failure: Failure<NamedError>) -> Problem {
    match failure {
        Failure::Unavailable(unavailable) => unavailable.into(),
        Failure::Refused(missing) => Problem::not_found(missing.to_string()),
    }
}
