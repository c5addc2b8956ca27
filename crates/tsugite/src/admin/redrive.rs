//! `/v1/queues/{name}/redrive`: the move tasks of a dead-letter queue.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tsugite_base::limits;
use tsugite_base::names::Scope;
use tsugite_broker::{
    CancelMoveTask, CancelMoveTaskError, ListMoveTasks, ListMoveTasksError, MoveFailure, MoveStatus,
    MoveTask, QueueKey, StartMoveTask, StartMoveTaskError,
};
use tsugite_engine::Failure;

use super::answer::{Answer, Links, Problem, document};
use super::located::Located;
use super::queues::{locate, queue_path};
use super::{Admin, Query, Store};

/// Where the messages are to go, and how fast.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// The name of a queue; each message goes back to where it came from if absent.
    #[serde(default)]
    to: Option<String>,
    /// Messages per second, 1-500; as fast as possible if absent.
    #[serde(default)]
    rate: Option<i64>,
}

/// Starts a task.
pub(super) async fn start<S: Store>(
    admin: &Admin<S>,
    name: &str,
    query: &Query,
    body: &[u8],
) -> Result<Answer, Problem> {
    let at = locate(admin, name, query)?;
    let wish: Wish = match body {
        [] => Wish::default(),
        body => serde_json::from_slice(body).map_err(|error| {
            Problem::invalid(format!(
                "{error}; the body looks like {{\"to\": \"orders\", \"rate\": 100}}, and both may be absent"
            ))
        })?,
    };
    let command = StartMoveTask {
        id: admin.world.uuid(),
        source: at.key.clone(),
        destination: wish.to.map(|to| QueueKey::new(at.key.scope.clone(), to)),
        rate: wish.rate,
    };
    let id = command.id;
    let started = admin.store.start_move_task(command).await;
    started.map_err(|failure| match failure {
        Failure::Refused(StartMoveTaskError::Queue(error)) => Problem::not_found(error.to_string()),
        Failure::Refused(StartMoveTaskError::Busy(error)) => Problem::conflict(error.to_string()),
        Failure::Refused(StartMoveTaskError::Invalid(error)) => Problem::invalid(error.to_string()),
        Failure::Unavailable(unavailable) => unavailable.into(),
    })?;
    tracing::info!(queue = name, "a redrive was started through the admin API");
    let tasks = tasks(admin, &at).await?;
    let task = tasks.iter().find(|task| task.id == id);
    let body = task.map_or_else(|| json!({ "id": id.to_string() }), task_body);
    let links = links(&at, task.into_iter(), &admin.default_scope());
    Ok(document(StatusCode::ACCEPTED, body, links))
}

/// The latest tasks, newest first.
pub(super) async fn list<S: Store>(admin: &Admin<S>, name: &str, query: &Query) -> Result<Answer, Problem> {
    let at = locate(admin, name, query)?;
    let tasks = tasks(admin, &at).await?;
    let bodies: Vec<Value> = tasks.iter().map(task_body).collect();
    let links = links(&at, tasks.iter().take(1), &admin.default_scope());
    Ok(document(StatusCode::OK, json!({ "tasks": bodies }), links))
}

/// Stops the task that runs.
pub(super) async fn cancel<S: Store>(admin: &Admin<S>, name: &str, query: &Query) -> Result<Answer, Problem> {
    let at = locate(admin, name, query)?;
    let tasks = tasks(admin, &at).await?;
    let nothing = || Problem::conflict(format!("no redrive of `{name}` is running"));
    let running = tasks.iter().find(|task| task.status == MoveStatus::Running);
    let command = CancelMoveTask {
        source: at.key.clone(),
        id: running.ok_or_else(nothing)?.id,
    };
    let moved = admin.store.cancel_move_task(command).await;
    let moved = moved.map_err(|failure| match failure {
        Failure::Refused(CancelMoveTaskError::Queue(error)) => Problem::not_found(error.to_string()),
        // It has ended since the look.
        Failure::Refused(CancelMoveTaskError::Task(_) | CancelMoveTaskError::Invalid(_)) => nothing(),
        Failure::Unavailable(unavailable) => unavailable.into(),
    })?;
    tracing::info!(
        queue = name,
        moved,
        "a redrive was cancelled through the admin API"
    );
    let links = links(&at, std::iter::empty(), &admin.default_scope());
    let body = json!({ "outcome": "cancelled", "moved": moved });
    Ok(document(StatusCode::OK, body, links))
}

async fn tasks<S: Store>(admin: &Admin<S>, at: &Located) -> Result<Vec<MoveTask>, Problem> {
    let query = ListMoveTasks {
        source: at.key.clone(),
        max: Some(limits::MOVE_TASKS_LISTED as i64),
    };
    let tasks = admin.store.move_tasks(query).await;
    tasks.map_err(|failure| match failure {
        Failure::Refused(ListMoveTasksError::Queue(error)) => Problem::not_found(error.to_string()),
        Failure::Refused(ListMoveTasksError::Invalid(error)) => Problem::invalid(error.to_string()),
        Failure::Unavailable(unavailable) => unavailable.into(),
    })
}

fn links<'a>(at: &Located, tasks: impl Iterator<Item = &'a MoveTask>, default: &Scope) -> Links {
    let mut links: Links = vec![("self", at.path("/redrive", &[])), ("queue", at.path("", &[]))];
    let to = tasks.filter_map(|task| task.destination.as_ref());
    links.extend(to.map(|to| ("to", queue_path(to, default))));
    links
}

fn task_body(task: &MoveTask) -> Value {
    let (state, reason) = match task.status {
        MoveStatus::Running => ("running", None),
        MoveStatus::Completed => ("completed", None),
        MoveStatus::Cancelled => ("cancelled", None),
        MoveStatus::Failed(failure) => ("failed", Some(reason(failure))),
    };
    json!({
        "id": task.id.to_string(),
        "to": task.destination.as_ref().map(|to| &to.name),
        "rate": task.rate,
        "state": state,
        "reason": reason,
        "moved": task.moved,
        "total": task.total,
        "started": task.started.iso_millis(),
    })
}

/// For people: what happened, and what to do.
const fn reason(failure: MoveFailure) -> &'static str {
    match failure {
        MoveFailure::DestinationMissing => {
            "the queue that the next message is to go to is gone; name another with `to`, or create it again and redrive"
        }
        MoveFailure::OriginUnknown => {
            "the next message was sent to this queue itself, so it has nowhere to go back to; name a queue with `to`"
        }
        MoveFailure::TimeLimit => "it ran for 36 hours; redrive again for the rest",
        MoveFailure::Unreadable => {
            "the bytes of the next message are damaged on disk; look at it with `tsugite queues peek`, and verify the \
             data with `tsugite data verify`"
        }
    }
}
