//! A message to publish as a form spells it; the store checks its values.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tsugite_aws::error::shorten;
use tsugite_aws::{AwsError, Form};
use tsugite_base::Uuid;
use tsugite_broker::{AttributeValue, MessageAttribute, PublishEntry};

use super::errors::{attribute_invalid, invalid, null};

/// The message of a form. `path` leads to it in errors: nothing for a single one.
pub(super) fn entry(id: Uuid, form: &Form<'_>, path: &str) -> Result<PublishEntry, AwsError> {
    let structured = match form.get("MessageStructure") {
        None | Some("") => false,
        Some("json") => true,
        Some(other) => {
            let reason = format!("{}: it must be json, or absent", shorten(other));
            return Err(invalid("MessageStructure", &reason));
        }
    };
    let text = |name: &str| form.get(name).map(str::to_owned);
    let attributes = form.elements("MessageAttributes.entry")?;
    let attributes = attributes.iter().map(|entry| attribute(entry, path));
    Ok(PublishEntry {
        id,
        message: text("Message").unwrap_or_default(),
        structured,
        subject: text("Subject"),
        attributes: attributes.collect::<Result<_, _>>()?,
        group: text("MessageGroupId"),
        deduplication: text("MessageDeduplicationId"),
    })
}

fn attribute(entry: &Form<'_>, path: &str) -> Result<MessageAttribute, AwsError> {
    let name = entry.get("Name").unwrap_or_default();
    let shown = shorten(name);
    let Some(data_type) = entry.get("Value.DataType") else {
        return Err(null(&format!("{path}messageAttributes.{shown}.member.dataType")));
    };
    let value = match (entry.get("Value.StringValue"), entry.get("Value.BinaryValue")) {
        (Some(text), None) => AttributeValue::Text(text.to_owned()),
        (None, Some(blob)) => AttributeValue::Binary(STANDARD.decode(blob).map_err(|error| {
            attribute_invalid(format!(
                "The BinaryValue of message attribute '{shown}' is not base64: {error}."
            ))
        })?),
        (None, None) => AttributeValue::Text(String::new()),
        (Some(_), Some(_)) => {
            return Err(attribute_invalid(format!(
                "The message attribute '{shown}' must have one value, not both StringValue and BinaryValue."
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
            b"Message=m&MessageAttributes.entry.1.Name=n&MessageAttributes.entry.1.Value.DataType=Binary\
              &MessageAttributes.entry.1.Value.BinaryValue=AAE%3D",
        )
        .unwrap();
        let read = entry(Uuid([0; 16]), &form, "").unwrap();
        assert_eq!(read.attributes[0].value, AttributeValue::Binary(vec![0, 1]));
        for (bad, code, part) in [
            (
                "Name=n",
                "ValidationError",
                "'p.messageAttributes.n.member.dataType'",
            ),
            (
                "Name=n&Value.DataType=Binary&Value.BinaryValue=%25",
                "ParameterValueInvalid",
                "not base64",
            ),
            (
                "Name=n&Value.DataType=String&Value.BinaryValue=AA&Value.StringValue=x",
                "ParameterValueInvalid",
                "not both",
            ),
        ] {
            let error = attribute(&Form::parse(bad.as_bytes()).unwrap(), "p.").unwrap_err();
            assert_eq!(error.query_code, code, "{bad}");
            assert!(error.message.contains(part), "{}", error.message);
        }
        let strange = Form::parse(b"Message=m&MessageStructure=xml").unwrap();
        assert!(entry(Uuid([0; 16]), &strange, "").is_err());
    }
}
