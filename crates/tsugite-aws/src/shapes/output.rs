//! From a JSON answer to the XML of the result element.

use super::{Kind, Member, Operation, VALUE};
use crate::error::AwsError;
use crate::json::{Fields, Json};
use crate::xml;

/// The inner XML of `<ActionResult>` for the JSON `answer` of an endpoint, or `None` if the operation has no result.
/// Members follow the order of the shape; those that the shape does not have would be a mistake of ours and are an error.
pub fn result(operation: &Operation, answer: &[u8]) -> Result<Option<String>, AwsError> {
    let Some(members) = operation.output else {
        return Ok(None);
    };
    let fields = Fields::parse(answer)?;
    let mut out = String::with_capacity(answer.len() * 5 / 4);
    structure(&mut out, members, &fields)?;
    Ok(Some(out))
}

fn structure(out: &mut String, members: &[Member], fields: &Fields<'_>) -> Result<(), AwsError> {
    if let Some((name, _)) = fields
        .iter()
        .find(|(name, _)| !members.iter().any(|m| m.name == *name))
    {
        return Err(unexpected(name));
    }
    for member in members {
        if let Some(value) = fields.get(member.name) {
            write(out, member.wire, &member.kind, value)?;
        }
    }
    Ok(())
}

fn write(out: &mut String, name: &str, kind: &Kind, value: &Json<'_>) -> Result<(), AwsError> {
    match (kind, value) {
        (Kind::Text, Json::Text(text)) => xml::element(out, name, text),
        (Kind::Int, Json::Int(number)) => xml::element(out, name, &number.to_string()),
        (Kind::Bool, Json::Bool(value)) => xml::element(out, name, if *value { "true" } else { "false" }),
        (Kind::Struct(members), Json::Object(fields)) => {
            xml::open(out, name);
            structure(out, members, fields)?;
            xml::close(out, name);
        }
        (Kind::List(element), Json::List(values)) => {
            for value in values {
                write(out, name, element, value)?;
            }
        }
        (Kind::Map { key, value: of }, Json::Object(entries)) => {
            for (entry, value) in entries.iter() {
                xml::open(out, name);
                xml::element(out, key, entry);
                write(out, VALUE, of, value)?;
                xml::close(out, name);
            }
        }
        _ => return Err(unexpected(name)),
    }
    Ok(())
}

/// An answer of ours that its shape does not allow.
fn unexpected(member: &str) -> AwsError {
    AwsError::unavailable(format!(
        "The answer has a member {member} that cannot be written as XML."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::sqs;

    fn check(action: &str, answer: &str, expected: Option<&str>) {
        let operation = sqs::operation(action).unwrap();
        let written = result(operation, answer.as_bytes()).unwrap();
        assert_eq!(written.as_deref(), expected, "{answer}");
    }

    #[test]
    fn answers() {
        check("DeleteQueue", "{}", None);
        check("ReceiveMessage", "{}", Some(""));
        check(
            "ReceiveMessage",
            r#"{"Messages":[{"MessageId":"i","Body":"a<\"\r\n","Attributes":{"SenderId":"s"},
               "MessageAttributes":{"n":{"StringValue":"1","DataType":"Number"}}},{"MessageId":"j"}]}"#,
            Some(
                "<Message><MessageId>i</MessageId><Body>a&lt;&quot;&#xD;\n</Body>\
                 <Attribute><Name>SenderId</Name><Value>s</Value></Attribute>\
                 <MessageAttribute><Name>n</Name><Value><StringValue>1</StringValue><DataType>Number</DataType></Value>\
                 </MessageAttribute></Message><Message><MessageId>j</MessageId></Message>",
            ),
        );
        check(
            "DeleteMessageBatch",
            r#"{"Successful":[{"Id":"a"}],"Failed":[{"Id":"b","SenderFault":true,"Code":"C","Message":"m"}]}"#,
            Some(
                "<DeleteMessageBatchResultEntry><Id>a</Id></DeleteMessageBatchResultEntry><BatchResultErrorEntry><Id>b</Id>\
                 <SenderFault>true</SenderFault><Code>C</Code><Message>m</Message></BatchResultErrorEntry>",
            ),
        );
        check(
            "ListDeadLetterSourceQueues",
            r#"{"queueUrls":["u","v"],"NextToken":"t"}"#,
            Some("<QueueUrl>u</QueueUrl><QueueUrl>v</QueueUrl><NextToken>t</NextToken>"),
        );
        check(
            "ListMessageMoveTasks",
            r#"{"Results":[{"Status":"RUNNING","StartedTimestamp":1}]}"#,
            Some(
                "<ListMessageMoveTasksResultEntry><Status>RUNNING</Status><StartedTimestamp>1</StartedTimestamp>\
                 </ListMessageMoveTasksResultEntry>",
            ),
        );
        check(
            "ListQueueTags",
            r#"{"Tags":{"k":"v"}}"#,
            Some("<Tag><Key>k</Key><Value>v</Value></Tag>"),
        );
    }

    #[test]
    fn an_answer_outside_of_its_shape_is_our_fault() {
        let operation = sqs::operation("GetQueueUrl").unwrap();
        for answer in [r#"{"QueueURL":"u"}"#, r#"{"QueueUrl":5}"#] {
            assert_eq!(
                result(operation, answer.as_bytes()).unwrap_err().status,
                503,
                "{answer}"
            );
        }
    }
}
