//! `/v1/instances/{namespace}/{service}/{id}/health`: an operator takes an instance out of service, and puts it back.

use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tsugite_engine::Failure;
use tsugite_registry::{AdminHealthError, InstanceName, SetAdminHealth};

use super::answer::{Answer, Problem, document};
use super::instances::links;
use super::{Admin, Store};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Withdrawal {
    #[serde(default)]
    status: Status,
    /// Why, for people.
    #[serde(default)]
    note: String,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    #[default]
    OutOfService,
    InService,
}

pub(super) async fn put<S: Store>(
    admin: &Admin<S>,
    name: InstanceName,
    body: &[u8],
) -> Result<Answer, Problem> {
    let wanted: Withdrawal = match body {
        [] => Withdrawal::default(),
        body => serde_json::from_slice(body).map_err(|error| {
            Problem::invalid(format!(
                "{error}; the body looks like {{\"status\": \"out_of_service\", \"note\": \"a new disk\"}}"
            ))
        })?,
    };
    let out = matches!(wanted.status, Status::OutOfService);
    set(admin, name, out.then_some(wanted.note)).await
}

pub(super) async fn lift<S: Store>(admin: &Admin<S>, name: InstanceName) -> Result<Answer, Problem> {
    set(admin, name, None).await
}

async fn set<S: Store>(admin: &Admin<S>, name: InstanceName, out: Option<String>) -> Result<Answer, Problem> {
    let body = json!({
        "namespace": name.namespace,
        "service": name.service,
        "id": name.instance,
        "admin": out.as_ref().map(|_| "out_of_service"),
        "note": out,
    });
    let links = links(&name);
    let command = SetAdminHealth { name, out };
    admin.store.set_admin_health(command).await.map_err(problem)?;
    Ok(document(StatusCode::OK, body, links))
}

fn problem(failure: Failure<AdminHealthError>) -> Problem {
    match failure {
        Failure::Unavailable(unavailable) => unavailable.into(),
        Failure::Refused(AdminHealthError::Invalid(invalid)) => Problem::invalid(invalid.to_string()),
        Failure::Refused(missing) => Problem::not_found(missing.to_string()),
    }
}
