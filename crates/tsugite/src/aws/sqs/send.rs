//! SendMessage and SendMessageBatch.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tsugite_aws::error::shorten;
use tsugite_aws::{AwsError, Fields, JsonWriter, checksum};
use tsugite_base::Invalid;
use tsugite_broker::{Accepted, AttributeValue, MessageAttribute, SendEntry, SendMessages};
use tsugite_engine::Messaging;

use super::errors::{IntoAws as _, invalid_parameter, unsupported};
use super::{Call, batch};

/// The only system attribute that a sender may set.
const TRACE_HEADER: &str = "AWSTraceHeader";

/// What SDKs compare with what they sent.
struct Receipt {
    body: String,
    attributes: Option<String>,
    system_attributes: Option<String>,
}

pub(super) async fn message<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let queue = call.queue()?;
    let (entry, receipt) = call.after_queue(&queue, entry(&call, &call.fields)).await?;
    let reply = call
        .store
        .send(SendMessages {
            queue,
            sender: call.context.sender().to_owned(),
            entries: vec![entry],
        })
        .await
        .map_err(|error| error.into_aws())?;
    let accepted = match reply.results.into_iter().next() {
        Some(result) => result.map_err(|error| error.into_aws())?,
        None => return Err(AwsError::unavailable("The store gave no result for the message.")),
    };
    let mut out = Vec::with_capacity(192);
    let mut json = JsonWriter::new(&mut out);
    json.begin();
    receipt.write(&mut json, accepted);
    json.end();
    Ok(out)
}

pub(super) async fn batch<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let queue = call.queue()?;
    let entries = call.after_queue(&queue, batch::entries(&call.fields)).await?;
    let mut sent = Vec::with_capacity(entries.len());
    let mut outcomes = Vec::with_capacity(entries.len());
    for (id, fields) in entries {
        match entry(&call, fields) {
            Ok((entry, receipt)) => {
                sent.push(entry);
                outcomes.push((id, Ok(receipt)));
            }
            // A member of the wrong type is a malformed request, not a bad message.
            Err(error) if error.shape == "SerializationException" => return Err(error),
            Err(error) => outcomes.push((id, Err(error))),
        }
    }
    let sender = call.context.sender().to_owned();
    // As a batch of several, and unlike a single send: the batch is too long, not its one message.
    let bytes = sent.first().map_or(0, |entry| {
        tsugite_broker::message::message_size(&entry.body, &entry.attributes)
    });
    let limit = tsugite_base::limits::MESSAGE_BYTES;
    if outcomes.len() == 1 && bytes > limit {
        let too_long = tsugite_broker::BatchTooLong { bytes, limit };
        let error = tsugite_broker::SendError::TooLong(too_long).into_aws();
        return call.after_queue(&queue, Err(error)).await;
    }
    let stored = if sent.is_empty() {
        call.store.queue(queue).await.map_err(|error| error.into_aws())?;
        Vec::new()
    } else {
        let command = SendMessages {
            queue,
            sender,
            entries: sent,
        };
        call.store
            .send(command)
            .await
            .map_err(|error| error.into_aws())?
            .results
    };
    let mut stored = stored.into_iter();
    let results: Vec<_> = outcomes
        .into_iter()
        .map(|(id, outcome)| {
            let result = outcome.and_then(|receipt| match stored.next() {
                Some(Ok(accepted)) => Ok((accepted, receipt)),
                Some(Err(error)) => Err(error.into_aws()),
                None => Err(AwsError::unavailable("The store gave no result for the message.")),
            });
            (id, result)
        })
        .collect();
    Ok(batch::answer(&results, |json, (accepted, receipt)| {
        receipt.write(json, *accepted);
    }))
}

impl Receipt {
    fn write(&self, json: &mut JsonWriter<'_>, accepted: Accepted) {
        let id = accepted.id.text();
        json.text("MessageId", std::str::from_utf8(&id).unwrap_or_default());
        json.text("MD5OfMessageBody", &self.body);
        if let Some(md5) = &self.attributes {
            json.text("MD5OfMessageAttributes", md5);
        }
        if let Some(md5) = &self.system_attributes {
            json.text("MD5OfMessageSystemAttributes", md5);
        }
        if let Some(sequence) = accepted.sequence {
            json.text("SequenceNumber", &sequence.to_string());
        }
    }
}

/// The message that `fields` describe; the store checks its values.
fn entry<M: Messaging>(call: &Call<'_, M>, fields: &Fields<'_>) -> Result<(SendEntry, Receipt), AwsError> {
    let body = fields.text("MessageBody")?.unwrap_or_default();
    let attributes = attributes(fields, "MessageAttributes")?;
    let system = attributes_of_system(fields)?;
    let receipt = Receipt {
        body: checksum::of_body(body.as_bytes()),
        attributes: md5_of(&attributes),
        system_attributes: md5_of(&system),
    };
    let stated = system.into_iter().find_map(|attribute| match attribute.value {
        AttributeValue::Text(text) => Some(text),
        AttributeValue::Binary(_) => None,
    });
    let entry = SendEntry {
        id: call.world.uuid(),
        body: body.to_owned(),
        attributes,
        delay: fields.int("DelaySeconds")?,
        trace_header: stated.or_else(|| call.context.trace_header.clone()),
        group: fields.text("MessageGroupId")?.map(str::to_owned),
        deduplication: fields.text("MessageDeduplicationId")?.map(str::to_owned),
    };
    Ok((entry, receipt))
}

fn attributes_of_system(fields: &Fields<'_>) -> Result<Vec<MessageAttribute>, AwsError> {
    let attributes = attributes(fields, "MessageSystemAttributes")?;
    for attribute in &attributes {
        if attribute.name != TRACE_HEADER {
            return Err(Invalid::new(
                "MessageSystemAttributes",
                &attribute.name,
                "only AWSTraceHeader can be set",
            )
            .into());
        }
        if attribute.data_type != "String" || attribute.value.as_bytes().is_empty() {
            return Err(Invalid::new(
                TRACE_HEADER,
                &attribute.data_type,
                "must be a String that is not empty",
            )
            .into());
        }
    }
    Ok(attributes)
}

/// A map of message attributes. The store checks names, types and values; here they only become typed.
fn attributes(fields: &Fields<'_>, member: &str) -> Result<Vec<MessageAttribute>, AwsError> {
    let Some(map) = fields.object(member)? else {
        return Ok(Vec::new());
    };
    let mut attributes = Vec::with_capacity(map.len());
    for (name, value) in map.iter() {
        let value = value.as_object(name)?;
        let data_type = value.text("DataType")?.unwrap_or_default();
        if data_type.is_empty() {
            return Err(invalid_parameter(format!(
                "The message attribute {} must have a DataType.",
                shorten(name)
            )));
        }
        if !value.list("StringListValues")?.is_empty() || !value.list("BinaryListValues")?.is_empty() {
            return Err(unsupported(format!(
                "Message attribute {} has a list value; lists are not supported by SQS.",
                shorten(name)
            )));
        }
        let value = match (value.text("StringValue")?, value.text("BinaryValue")?) {
            (Some(text), None) => AttributeValue::Text(text.to_owned()),
            (None, Some(blob)) => AttributeValue::Binary(STANDARD.decode(blob).map_err(|error| {
                AwsError::serialization(format!(
                    "BinaryValue of {} is not base64: {error}.",
                    shorten(name)
                ))
            })?),
            (None, None) => AttributeValue::Text(String::new()),
            (Some(_), Some(_)) => {
                return Err(invalid_parameter(format!(
                    "The message attribute {} must have one value, not both StringValue and BinaryValue.",
                    shorten(name)
                )));
            }
        };
        attributes.push(MessageAttribute {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            value,
        });
    }
    Ok(attributes)
}

/// The MD5 of attributes, if there are any.
pub(super) fn md5_of(attributes: &[MessageAttribute]) -> Option<String> {
    if attributes.is_empty() {
        return None;
    }
    let covered: Vec<_> = attributes.iter().map(covered).collect();
    Some(checksum::of_attributes(&covered))
}

/// An attribute as its checksum and its envelope see it.
fn covered(attribute: &MessageAttribute) -> checksum::Attribute<'_> {
    checksum::Attribute {
        name: &attribute.name,
        data_type: &attribute.data_type,
        value: attribute.value.as_bytes(),
    }
}
