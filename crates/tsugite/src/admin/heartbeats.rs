//! `POST /v1/heartbeats`: one request renews the leases of many instances.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tsugite_base::names::DEFAULT_NAMESPACE;
use tsugite_engine::Failure;
use tsugite_registry::Heartbeats;

use super::answer::{Answer, Problem, document};
use super::{Admin, Store};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    services: Vec<OfService>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfService {
    #[serde(default = "default_namespace")]
    namespace: String,
    service: String,
    ids: Vec<String>,
}

fn default_namespace() -> String {
    DEFAULT_NAMESPACE.to_owned()
}

/// Renews what is there; says which instances are not, so that they register again. A service that is not there has none.
pub(super) async fn post<S: Store>(admin: &Admin<S>, body: &[u8]) -> Result<Answer, Problem> {
    let batch: Batch = serde_json::from_slice(body).map_err(|error| {
        Problem::invalid(format!(
            "{error}; the body looks like {{\"services\": [{{\"service\": \"orders\", \"ids\": [\"orders-1\", \"orders-2\"]}}]}}"
        ))
    })?;
    let (mut renewed, mut unknown) = (0, Vec::new());
    for OfService {
        namespace,
        service,
        ids,
    } in batch.services
    {
        let command = Heartbeats {
            namespace: namespace.clone(),
            service: service.clone(),
            instances: ids,
        };
        let asked = command.instances.len();
        let missing = match admin.store.heartbeats(command.clone()).await {
            Ok(missing) => missing,
            Err(Failure::Unavailable(unavailable)) => return Err(unavailable.into()),
            Err(Failure::Refused(_)) => command.instances,
        };
        renewed += asked - missing.len();
        unknown.extend(
            missing
                .into_iter()
                .map(|id| -> Value { json!({ "namespace": namespace, "service": service, "id": id }) }),
        );
    }
    let links = vec![
        ("register", "/v1/instances/{namespace}/{service}/{id}".into()),
        ("index", "/v1".into()),
    ];
    let body = json!({ "renewed": renewed, "unknown": unknown });
    Ok(document(StatusCode::OK, body, links))
}
