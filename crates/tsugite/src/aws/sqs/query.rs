//! SQS over the Query protocol: the form becomes the JSON input of the same endpoint, its JSON output becomes XML.

use tsugite_aws::error::shorten;
use tsugite_aws::shapes::{self, Operation, sqs};
use tsugite_aws::{AwsError, Fields, Form, Json};
use tsugite_engine::Messaging;

use super::{Call, is_queue_path};

/// Operations that AWS refuses at the URL of a queue.
const NOT_OF_A_QUEUE: &[&str] = &["CreateQueue", "ListQueues"];

/// The operation that a request names, if `path` admits it.
pub(in crate::aws) fn operation(action: &str, path: &str) -> Result<&'static Operation, AwsError> {
    sqs::operation(action)
        .filter(|_| !(is_queue_path(path) && NOT_OF_A_QUEUE.contains(&action)))
        .ok_or_else(|| {
            let action = shorten(action);
            AwsError::bad_request(
                "InvalidAction",
                format!("The action {action} is not valid for this endpoint."),
            )
        })
}

/// The parameters of a request. A request to the URL of a queue means that queue, unless it names another.
pub(in crate::aws) fn fields<'f>(
    operation: &Operation,
    form: &'f Form<'_>,
    path: &'f str,
) -> Result<Fields<'f>, AwsError> {
    let mut fields = shapes::fields(operation, form)?;
    if operation.takes("QueueUrl") && fields.get("QueueUrl").is_none() && is_queue_path(path) {
        fields.push("QueueUrl", Json::Text(path.into()));
    }
    Ok(fields)
}

/// Answers one request with the inner XML of its result, or `None` if the operation has no result.
pub(in crate::aws) async fn handle<M: Messaging>(
    operation: &Operation,
    call: Call<'_, M>,
) -> Result<Option<String>, AwsError> {
    let answer = super::handle(operation.name, call).await.map_err(in_query)?;
    shapes::result(operation, &answer)
}

/// An error as the Query protocol says it, where that differs.
fn in_query(mut error: AwsError) -> AwsError {
    match error.shape.as_ref() {
        "SerializationException" => error.query_code = "MalformedInput".into(),
        "QueueDoesNotExist" => {
            error.message = error
                .message
                .replacen(" exist.", " exist for this wsdl version.", 1)
        }
        _ => {}
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_names_the_queue_unless_a_parameter_does() {
        let read = |action: &str, form: &str, path: &str| {
            let operation = operation(action, path).unwrap();
            let form = Form::parse(form.as_bytes()).unwrap();
            let fields = fields(operation, &form, path).unwrap();
            fields.text("QueueUrl").unwrap().map(str::to_owned)
        };
        let path = "/000000000000/q";
        assert_eq!(read("PurgeQueue", "", path).as_deref(), Some(path));
        assert_eq!(
            read("PurgeQueue", "QueueUrl=other", path).as_deref(),
            Some("other")
        );
        assert_eq!(read("PurgeQueue", "", "/"), None);
        assert_eq!(read("GetQueueUrl", "QueueName=q", path), None);
    }

    #[test]
    fn some_actions_are_not_those_of_a_queue() {
        for (action, path) in [
            ("ListQueues", "/000000000000/q"),
            ("CreateQueue", "/000000000000/q"),
            ("Nothing", "/"),
        ] {
            let error = operation(action, path).unwrap_err();
            assert_eq!(error.query_code, "InvalidAction");
            assert!(error.message.contains(action));
        }
        assert!(operation("ListQueues", "/").is_ok());
    }
}
