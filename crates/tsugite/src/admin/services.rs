//! `/v1/services`: what is registered.

use http::StatusCode;
use serde_json::{Value, json};
use tsugite_base::names::DEFAULT_NAMESPACE;
use tsugite_engine::Failure;
use tsugite_registry::{DiscoverError, ListError, Page, ServiceView};

use super::answer::{Answer, Links, Problem, document, with_links};
use super::circuits::circuit_path;
use super::instances::{instance_body, instance_path};
use super::resource::encode;
use super::{Admin, Store};

/// Services in one answer; the rest is on the next page.
const PAGE: usize = 1_000;

pub(super) async fn list<S: Store>(admin: &Admin<S>, query: &super::Query) -> Result<Answer, Problem> {
    let page = Page {
        after: query.get("after").map(str::to_owned),
        limit: PAGE,
    };
    let listed = admin
        .store
        .list_services(None, page)
        .await
        .map_err(list_problem)?;
    let services: Vec<Value> = listed
        .entries
        .iter()
        .map(|view| with_links(service_body(view), links(view)))
        .collect();
    let mut links: Links = vec![("self", "/v1/services".into())];
    if let Some(next) = listed.next {
        links.push(("next", format!("/v1/services?after={}", encode(&next))));
    }
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
    let shown = admin.store.show_service(namespace, service).await;
    let (view, instances) = shown.map_err(discover_problem)?;
    let (namespace, service) = (&view.namespace_name, &view.service.name);
    let now = admin.world.now();
    let instances: Vec<Value> = instances
        .iter()
        .map(|instance| {
            let links = vec![("self", instance_path(namespace, service, &instance.id))];
            with_links(instance_body(namespace, service, instance, now), links)
        })
        .collect();
    let mut body = service_body(&view);
    body["instances"] = instances.into();
    let mut links = links(&view);
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

/// Where the gateway serves it without configuration.
fn call_url(gateway: std::net::SocketAddr, namespace: &str, service: &str) -> String {
    if namespace == DEFAULT_NAMESPACE {
        format!("http://{gateway}/{}/", encode(service))
    } else {
        format!("http://{gateway}/{}.{}/", encode(service), encode(namespace))
    }
}

fn service_body(view: &ServiceView) -> Value {
    json!({
        "name": view.service.name,
        "namespace": view.namespace_name,
        "id": view.service.id.to_string(),
        "instances": view.instances,
        "revision": view.revision,
    })
}

fn links(view: &ServiceView) -> Links {
    vec![
        ("self", service_path(&view.namespace_name, &view.service.name)),
        ("circuit", circuit_path(&view.service.name, &view.namespace_name)),
    ]
}

pub(super) fn service_path(namespace: &str, service: &str) -> String {
    format!("/v1/services/{}/{}", encode(namespace), encode(service))
}

pub(super) fn discover_problem(failure: Failure<DiscoverError>) -> Problem {
    match failure {
        Failure::Unavailable(unavailable) => unavailable.into(),
        Failure::Refused(DiscoverError::Invalid(invalid)) => Problem::invalid(invalid.to_string()),
        Failure::Refused(missing) => Problem::not_found(missing.to_string()),
    }
}

fn list_problem(failure: Failure<ListError>) -> Problem {
    match failure {
        Failure::Unavailable(unavailable) => unavailable.into(),
        Failure::Refused(refused) => Problem::invalid(refused.to_string()),
    }
}
