//! `/v1/services`: what is registered.

use http::StatusCode;
use serde_json::{Value, json};
use tsugite_base::names::DEFAULT_NAMESPACE;
use tsugite_engine::Failure;
use tsugite_registry::{
    CheckKind, DeleteServiceError, DiscoverError, HealthChange, HealthSay, HealthSource, ListError, Page,
    ServiceName, ServiceView,
};

use super::answer::{Answer, Links, Problem, document, with_links};
use super::circuits::circuit_path;
use super::resource::encode;
use super::{Admin, Store, namespaces, watch};

/// Services in one answer; the rest is on the next page.
const PAGE: usize = 1_000;

pub(super) async fn list<S: Store>(admin: &Admin<S>, query: &super::Query) -> Result<Answer, Problem> {
    let page = Page {
        after: query.get("after").map(str::to_owned),
        limit: PAGE,
    };
    let namespace = match query.get("namespace") {
        None => None,
        Some(name) => Some(namespaces::find(admin, name).await?.namespace),
    };
    let ids = namespace.as_ref().map(|namespace| vec![namespace.id]);
    let listed = admin.store.list_services(ids, page).await.map_err(list_problem)?;
    let services: Vec<Value> = listed
        .entries
        .iter()
        .map(|view| with_links(service_body(view), links(view)))
        .collect();
    let mut links: Links = vec![("self", "/v1/services".into())];
    let mut of_namespace = String::new();
    if let Some(namespace) = namespace {
        let name = encode(&namespace.name);
        links = vec![
            ("self", format!("/v1/services?namespace={name}")),
            ("namespace", format!("/v1/namespaces/{name}")),
        ];
        of_namespace = format!("&namespace={name}");
    }
    if let Some(next) = listed.next {
        links.push((
            "next",
            format!("/v1/services?after={}{of_namespace}", encode(&next)),
        ));
    }
    links.push(("namespaces", "/v1/namespaces".into()));
    links.push(("find", "/v1/services/{namespace}/{service}".into()));
    links.push(("register", "/v1/instances/{namespace}/{service}/{id}".into()));
    links.push(("index", "/v1".into()));
    Ok(document(StatusCode::OK, json!({ "services": services }), links))
}

pub(super) async fn get<S: Store>(
    admin: &Admin<S>,
    namespace: String,
    service: String,
) -> Result<Answer, Problem> {
    let page = Page {
        after: None,
        limit: PAGE,
    };
    let sight = admin.store.sight(ServiceName { namespace, service }, page).await;
    let sight = sight.map_err(discover_problem)?;
    let view = &sight.view;
    let (namespace, service) = (&view.namespace_name, &view.service.name);
    let mut body = service_body(view);
    let shown = watch::sight_body(admin, &sight);
    for key in ["index", "health_index", "instances"] {
        body[key] = shown[key].clone();
    }
    body["count"] = view.instances.into();
    body["description"] = view.service.description.clone().into();
    body["check"] = check_body(&view.service.health);
    body["health_history"] = sight.history.iter().map(change_body).collect();
    body["callers"] = callers(admin, namespace, service);
    let mut links = links(view);
    if let Some(next) = &sight.next {
        let path = instances_path(namespace, service);
        links.push(("next", format!("{path}?after={}", encode(next))));
    }
    links.push(("services", "/v1/services".into()));
    links.push((
        "register",
        format!("/v1/instances/{}/{}/{{id}}", encode(namespace), encode(service)),
    ));
    if let Some(gateway) = admin.addresses.gateway {
        links.push(("call", call_url(gateway, namespace, service)));
    }
    Ok(document(StatusCode::OK, body, links))
}

/// Removes a service that has no instances.
pub(super) async fn remove<S: Store>(
    admin: &Admin<S>,
    namespace: String,
    service: String,
) -> Result<Answer, Problem> {
    let page = Page {
        after: None,
        limit: 1,
    };
    let sight = admin.store.sight(ServiceName { namespace, service }, page).await;
    let view = sight.map_err(discover_problem)?.view;
    let deleted = admin.store.delete_service(view.service.id).await;
    deleted.map_err(|failure| match failure {
        Failure::Unavailable(unavailable) => unavailable.into(),
        Failure::Refused(DeleteServiceError::ResourceInUse(in_use)) => Problem::conflict(in_use.to_string()),
        Failure::Refused(missing) => Problem::not_found(missing.to_string()),
    })?;
    let body = json!({
        "namespace": view.namespace_name,
        "name": view.service.name,
        "outcome": "removed",
    });
    let links = vec![("services", "/v1/services".into()), ("index", "/v1".into())];
    Ok(document(StatusCode::OK, body, links))
}

/// A change of the verdict on an instance.
fn change_body(change: &HealthChange) -> Value {
    json!({
        "at": change.at.iso_millis(),
        "instance": &*change.instance,
        "from": change.from.name().to_lowercase(),
        "to": change.to.name().to_lowercase(),
        "decided_by": change.decided_by.map(HealthSay::name),
    })
}

/// Who leads calls to it: the routes of the configuration, and its circuit, which all calls pass.
fn callers<S: Store>(admin: &Admin<S>, namespace: &str, service: &str) -> Value {
    let config = admin.config.borrow().clone();
    let routes = config.declared.routes.iter().filter(|route| {
        route.service.namespace.eq_ignore_ascii_case(namespace)
            && route.service.service.eq_ignore_ascii_case(service)
    });
    let routes: Vec<Value> = routes
        .map(|route| {
            json!({
                "name": route.name,
                "host": route.host,
                "path_prefix": route.path_prefix,
            })
        })
        .collect();
    let circuit = admin.gateway.circuit(&format!("{service}.{namespace}"));
    let circuit = circuit.filter(|_| admin.addresses.gateway.is_some());
    json!({
        "routes": routes,
        "circuit": circuit.as_ref().map(|report| report.state.as_str()),
        "calls_in_window": circuit.map(|report| report.rates.calls),
    })
}

/// Where the health of its instances comes from, beside their leases.
fn check_body(source: &HealthSource) -> Value {
    match source {
        HealthSource::None => Value::Null,
        HealthSource::Custom => json!({ "type": "pushed" }),
        HealthSource::Active(check) => {
            let path = match &check.kind {
                CheckKind::Http { path } | CheckKind::Https { path, .. } => Some(path),
                CheckKind::Tcp | CheckKind::Grpc { .. } => None,
            };
            json!({
                "type": check.kind.name().to_lowercase(),
                "path": path,
                "interval_ms": check.interval_ms,
                "timeout_ms": check.timeout_ms,
                "unhealthy": check.unhealthy,
                "healthy": check.healthy,
            })
        }
    }
}

/// Where the gateway serves it without configuration.
fn call_url(gateway: std::net::SocketAddr, namespace: &str, service: &str) -> String {
    if namespace == DEFAULT_NAMESPACE {
        format!("http://{gateway}/{}/", encode(service))
    } else {
        format!("http://{gateway}/{}.{}/", encode(service), encode(namespace))
    }
}

pub(super) fn service_body(view: &ServiceView) -> Value {
    json!({
        "name": view.service.name,
        "namespace": view.namespace_name,
        "id": view.service.id.to_string(),
        "instances": view.instances,
        "revision": view.revision,
    })
}

pub(super) fn links(view: &ServiceView) -> Links {
    vec![
        ("self", service_path(&view.namespace_name, &view.service.name)),
        (
            "instances",
            instances_path(&view.namespace_name, &view.service.name),
        ),
        (
            "namespace",
            format!("/v1/namespaces/{}", encode(&view.namespace_name)),
        ),
        ("circuit", circuit_path(&view.service.name, &view.namespace_name)),
    ]
}

pub(super) fn service_path(namespace: &str, service: &str) -> String {
    format!("/v1/services/{}/{}", encode(namespace), encode(service))
}

pub(super) fn instances_path(namespace: &str, service: &str) -> String {
    format!("{}/instances", service_path(namespace, service))
}

pub(super) fn discover_problem(failure: Failure<DiscoverError>) -> Problem {
    match failure {
        Failure::Unavailable(unavailable) => unavailable.into(),
        Failure::Refused(DiscoverError::Invalid(invalid)) => Problem::invalid(invalid.to_string()),
        Failure::Refused(missing) => Problem::not_found(missing.to_string()),
    }
}

pub(super) fn list_problem(failure: Failure<ListError>) -> Problem {
    match failure {
        Failure::Unavailable(unavailable) => unavailable.into(),
        Failure::Refused(refused) => Problem::invalid(refused.to_string()),
    }
}
