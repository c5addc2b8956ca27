//! `/v1/namespaces`: from each namespace to its services.

use http::StatusCode;
use serde_json::{Value, json};
use tsugite_registry::{NamespaceView, Page};

use super::answer::{Answer, Links, Problem, document, with_links};
use super::resource::encode;
use super::services::list_problem;
use super::{Admin, Query, Store};

/// Namespaces in one answer.
const PAGE: usize = 1_000;

pub(super) async fn list<S: Store>(admin: &Admin<S>, query: &Query) -> Result<Answer, Problem> {
    let page = Page {
        after: query.get("after").map(str::to_owned),
        limit: PAGE,
    };
    let listed = admin.store.list_namespaces(Vec::new(), page).await;
    let listed = listed.map_err(list_problem)?;
    let namespaces: Vec<Value> = listed
        .entries
        .iter()
        .map(|view| with_links(body(view), links(view)))
        .collect();
    let mut links: Links = vec![
        ("self", "/v1/namespaces".into()),
        ("services", "/v1/services".into()),
        ("index", "/v1".into()),
    ];
    if let Some(next) = listed.next {
        links.push(("next", format!("/v1/namespaces?after={}", encode(&next))));
    }
    Ok(document(
        StatusCode::OK,
        json!({ "namespaces": namespaces }),
        links,
    ))
}

pub(super) async fn get<S: Store>(admin: &Admin<S>, name: &str) -> Result<Answer, Problem> {
    let view = find(admin, name).await?;
    let mut links = links(&view);
    links.push(("namespaces", "/v1/namespaces".into()));
    links.push(("index", "/v1".into()));
    Ok(document(StatusCode::OK, body(&view), links))
}

/// The namespace of that name.
pub(super) async fn find<S: Store>(admin: &Admin<S>, name: &str) -> Result<NamespaceView, Problem> {
    let mut page = Page {
        after: None,
        limit: PAGE,
    };
    // Names are compared without case, which a filter does not do; there are a thousand of them at most.
    loop {
        let listed = admin.store.list_namespaces(Vec::new(), page).await;
        let listed = listed.map_err(list_problem)?;
        let mut views = listed.entries.into_iter();
        if let Some(found) = views.find(|view| view.namespace.name.eq_ignore_ascii_case(name)) {
            return Ok(found);
        }
        let Some(next) = listed.next else {
            return Err(Problem::not_found(format!("no namespace `{name}`")));
        };
        page = Page {
            after: Some(next),
            limit: PAGE,
        };
    }
}

fn body(view: &NamespaceView) -> Value {
    json!({
        "name": view.namespace.name,
        "id": view.namespace.id.to_string(),
        "type": view.namespace.kind.name(),
        "description": view.namespace.description,
        "services": view.services,
        "soa_ttl": view.soa_ttl,
    })
}

fn links(view: &NamespaceView) -> Links {
    let name = encode(&view.namespace.name);
    vec![
        ("self", format!("/v1/namespaces/{name}")),
        ("services", format!("/v1/services?namespace={name}")),
        ("service", format!("/v1/services/{name}/{{service}}")),
        ("watch", format!("/v1/watch?namespace={name}{{&index}}")),
    ]
}
