//! StartMessageMoveTask, ListMessageMoveTasks, CancelMessageMoveTask.
//!
//! A task's handle is the base64 of `{"taskId":…,"sourceArn":…}`, as at AWS: tools take it apart.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tsugite_aws::error::shorten;
use tsugite_aws::{AwsError, JsonWriter};
use tsugite_base::{Invalid, Uuid};
use tsugite_broker::{
    CancelMoveTask, ListMoveTasks, MoveFailure, MoveStatus, MoveTask, QueueKey, StartMoveTask,
};
use tsugite_engine::Messaging;

use super::Call;
use super::errors::IntoAws as _;

pub(super) async fn start<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let source = QueueKey::from_arn("SourceArn", call.fields.required_text("SourceArn")?)?;
    let destination = match call.fields.text("DestinationArn")? {
        None | Some("") => None,
        Some(arn) => Some(QueueKey::from_arn("DestinationArn", arn)?),
    };
    let command = StartMoveTask {
        id: call.world.uuid(),
        source,
        destination,
        rate: call.fields.int("MaxNumberOfMessagesPerSecond")?,
    };
    let handle = handle(command.id, &command.source);
    let started = call.store.start_move_task(command).await;
    started.map_err(|error| error.into_aws())?;
    let mut out = Vec::new();
    let mut json = JsonWriter::new(&mut out);
    json.begin();
    json.text("TaskHandle", &handle);
    json.end();
    Ok(out)
}

pub(super) async fn list<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let source = QueueKey::from_arn("SourceArn", call.fields.required_text("SourceArn")?)?;
    let max = call.fields.int("MaxResults")?;
    let tasks = call.store.move_tasks(ListMoveTasks { source, max }).await;
    let tasks = tasks.map_err(|error| error.into_aws())?;
    let mut out = Vec::new();
    let mut json = JsonWriter::new(&mut out);
    json.begin();
    if !tasks.is_empty() {
        json.member("Results");
        json.begin_list();
        tasks.iter().for_each(|task| write(&mut json, task));
        json.end_list();
    }
    json.end();
    Ok(out)
}

pub(super) async fn cancel<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let (id, source) = parse(call.fields.required_text("TaskHandle")?)?;
    let moved = call.store.cancel_move_task(CancelMoveTask { source, id }).await;
    let moved = moved.map_err(|error| error.into_aws())?;
    let mut out = Vec::new();
    let mut json = JsonWriter::new(&mut out);
    json.begin();
    json.int("ApproximateNumberOfMessagesMoved", int(moved));
    json.end();
    Ok(out)
}

fn write(json: &mut JsonWriter<'_>, task: &MoveTask) {
    json.begin();
    let status = match task.status {
        MoveStatus::Running => "RUNNING",
        MoveStatus::Completed => "COMPLETED",
        MoveStatus::Cancelled => "CANCELLED",
        MoveStatus::Failed(_) => "FAILED",
    };
    if task.status == MoveStatus::Running {
        json.text("TaskHandle", &handle(task.id, &task.source));
    }
    json.text("Status", status);
    json.text("SourceArn", &task.source.arn().to_string());
    if let Some(destination) = &task.destination {
        json.text("DestinationArn", &destination.arn().to_string());
    }
    if let Some(rate) = task.rate {
        json.int("MaxNumberOfMessagesPerSecond", rate.into());
    }
    json.int("ApproximateNumberOfMessagesMoved", int(task.moved));
    json.int("ApproximateNumberOfMessagesToMove", int(task.total));
    if let MoveStatus::Failed(failure) = task.status {
        json.text("FailureReason", reason(failure));
    }
    json.int("StartedTimestamp", int(task.started.millis()));
    json.end();
}

/// AWS's words where it has some; the last two are ours.
const fn reason(failure: MoveFailure) -> &'static str {
    match failure {
        MoveFailure::DestinationMissing => "AWS.SimpleQueueService.NonExistentQueue",
        MoveFailure::OriginUnknown => "CouldNotDetermineMessageSource",
        MoveFailure::TimeLimit => "TimeLimitExceeded",
        MoveFailure::Unreadable => "MessageUnreadable",
    }
}

fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn handle(task: Uuid, source: &QueueKey) -> String {
    let mut out = Vec::new();
    let mut json = JsonWriter::new(&mut out);
    json.begin();
    json.text("taskId", &task.to_string());
    json.text("sourceArn", &source.arn().to_string());
    json.end();
    STANDARD.encode(out)
}

/// The task and its source that a handle names.
pub(super) fn parse(handle: &str) -> Result<(Uuid, QueueKey), Invalid> {
    let invalid = || {
        Invalid::new(
            "TaskHandle",
            shorten(handle),
            "must be a handle that StartMessageMoveTask gave",
        )
    };
    let bytes = STANDARD.decode(handle).map_err(|_| invalid())?;
    let json: serde_json::Value = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    let member = |name: &str| json[name].as_str().ok_or_else(invalid);
    let task = member("taskId")?.parse().map_err(|_| invalid())?;
    let source = QueueKey::from_arn("TaskHandle", member("sourceArn")?).map_err(|_| invalid())?;
    Ok((task, source))
}

#[cfg(test)]
mod tests {
    use tsugite_base::names::Scope;

    use super::*;

    #[test]
    fn handles_are_what_tools_expect_and_round_trip() {
        let task = Uuid::v4(*b"0123456789abcdef");
        let queue = QueueKey::new(Scope::default(), "dead");
        let text = handle(task, &queue);
        let json = String::from_utf8(STANDARD.decode(&text).unwrap()).unwrap();
        let expected = format!(r#"{{"taskId":"{task}","sourceArn":"{}"}}"#, queue.arn());
        assert_eq!(json, expected);
        assert_eq!(parse(&text), Ok((task, queue)));
    }

    #[test]
    fn other_handles_are_refused() {
        let queue = "arn:aws:sqs:us-east-1:000000000000:q";
        let task = Uuid::v4([1; 16]);
        for json in [
            "",
            "null",
            "[]",
            r#"{"taskId":1,"sourceArn":"x"}"#,
            &format!(r#"{{"taskId":"{task}"}}"#),
            &format!(r#"{{"taskId":"{task}","sourceArn":"q"}}"#),
            &format!(r#"{{"taskId":"x","sourceArn":"{queue}"}}"#),
        ] {
            assert!(parse(&STANDARD.encode(json)).is_err(), "{json}");
        }
        for text in ["", "x", "{}", "===="] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
