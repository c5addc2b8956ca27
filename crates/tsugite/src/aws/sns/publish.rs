//! Publish.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tsugite_aws::error::shorten;
use tsugite_aws::{AwsError, Form, xml};
use tsugite_base::Invalid;
use tsugite_broker::{AttributeValue, MessageAttribute, Publish, PublishBatchError, PublishEntry, TopicKey};
use tsugite_engine::Messaging;

use super::{Call, failed, invalid, not_found, publish_refused};

pub(super) async fn publish<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let topic = target(&call)?;
    let structured = match call.form.get("MessageStructure") {
        None | Some("") => false,
        Some("json") => true,
        Some(other) => {
            return Err(invalid(Invalid::new(
                "MessageStructure",
                other,
                "must be json, or absent",
            )));
        }
    };
    let entry = PublishEntry {
        id: call.world.uuid(),
        message: call.form.get("Message").unwrap_or_default().to_owned(),
        structured,
        subject: call.form.get("Subject").map(str::to_owned),
        attributes: attributes(call.form)?,
        group: call.form.get("MessageGroupId").map(str::to_owned),
        deduplication: call.form.get("MessageDeduplicationId").map(str::to_owned),
    };
    let command = Publish {
        topic,
        sender: call.context.sender().to_owned(),
        trace_header: call.context.trace_header.clone(),
        entries: vec![entry],
        denied: Vec::new(),
    };
    let published = call.store.publish(command).await;
    let mut published = published.map_err(|error| {
        failed(error, |e| match e {
            PublishBatchError::Topic(e) => not_found(&e),
            PublishBatchError::TooLong(e) => AwsError::bad_request("BatchRequestTooLong", e.to_string()),
        })
    })?;
    let published = published.results.remove(0).map_err(|e| publish_refused(&e))?;
    let mut out = String::new();
    xml::element(&mut out, "MessageId", &published.id.to_string());
    if let Some(sequence) = published.sequence {
        xml::element(&mut out, "SequenceNumber", &sequence.to_string());
    }
    Ok(out)
}

/// The one topic that `TopicArn` or `TargetArn` names.
fn target<M>(call: &Call<'_, M>) -> Result<TopicKey, AwsError> {
    let given = |name: &'static str| {
        call.form
            .get(name)
            .filter(|value| !value.is_empty())
            .map(|value| (name, value))
    };
    match (given("TopicArn"), given("TargetArn"), given("PhoneNumber")) {
        (None, None, Some((name, number))) => Err(invalid(Invalid::new(
            name,
            number,
            "text messages are not supported yet",
        ))),
        (Some((name, arn)), None, None) | (None, Some((name, arn)), None) => call.topic(name, arn),
        (None, None, None) => Err(invalid(Invalid::new("TopicArn", "(none)", "must be given"))),
        _ => Err(invalid(Invalid::new(
            "TopicArn",
            "(several targets)",
            "exactly one of TopicArn, TargetArn and PhoneNumber must be given",
        ))),
    }
}

fn attributes(form: &Form<'_>) -> Result<Vec<MessageAttribute>, AwsError> {
    let entries = form.elements("MessageAttributes.entry")?;
    entries.iter().map(attribute).collect()
}

fn attribute(entry: &Form<'_>) -> Result<MessageAttribute, AwsError> {
    let refused =
        |message: String| AwsError::sender("InvalidParameterValue", "ParameterValueInvalid", 400, message);
    let name = entry.get("Name").unwrap_or_default();
    let data_type = entry.get("Value.DataType").unwrap_or_default();
    if data_type.is_empty() {
        return Err(refused(format!(
            "The message attribute {} must have a DataType.",
            shorten(name)
        )));
    }
    let value = match (entry.get("Value.StringValue"), entry.get("Value.BinaryValue")) {
        (Some(text), None) => AttributeValue::Text(text.to_owned()),
        (None, Some(blob)) => AttributeValue::Binary(STANDARD.decode(blob).map_err(|error| {
            refused(format!(
                "The BinaryValue of message attribute {} is not base64: {error}.",
                shorten(name)
            ))
        })?),
        (None, None) => AttributeValue::Text(String::new()),
        (Some(_), Some(_)) => {
            return Err(refused(format!(
                "The message attribute {} must have one value, not both StringValue and BinaryValue.",
                shorten(name)
            )));
        }
    };
    Ok(MessageAttribute {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_typed() {
        let form = Form::parse(
            b"MessageAttributes.entry.1.Name=n&MessageAttributes.entry.1.Value.DataType=Binary\
              &MessageAttributes.entry.1.Value.BinaryValue=AAE%3D",
        )
        .unwrap();
        let attributes = attributes(&form).unwrap();
        assert_eq!(attributes[0].value, AttributeValue::Binary(vec![0, 1]));
        for bad in ["Name=n", "Name=n&Value.DataType=Binary&Value.BinaryValue=%25"] {
            let error = attribute(&Form::parse(bad.as_bytes()).unwrap()).unwrap_err();
            assert_eq!(error.query_code, "ParameterValueInvalid", "{bad}");
        }
    }
}
