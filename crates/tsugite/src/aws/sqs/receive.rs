//! ReceiveMessage: a long poll, and the filters for what is shown of a message.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tsugite_aws::error::shorten;
use tsugite_aws::{AwsError, JsonWriter, checksum};
use tsugite_broker::{AttributeValue, Content, Message, MessageAttribute, Receive};
use tsugite_engine::Messaging;

use super::Call;
use super::errors::IntoAws as _;
use super::send::md5_of;
use crate::signing::Signer;

/// System attributes of a message.
const SYSTEM: &[&str] = &[
    "SenderId",
    "SentTimestamp",
    "ApproximateReceiveCount",
    "ApproximateFirstReceiveTimestamp",
    "AWSTraceHeader",
    "DeadLetterQueueSourceArn",
    "MessageGroupId",
    "MessageDeduplicationId",
    "SequenceNumber",
];

/// Names that the older `AttributeNames` admits because its type was that of queue attributes.
const QUEUE_ATTRIBUTES: &[&str] = &[
    "Policy",
    "VisibilityTimeout",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
    "ApproximateNumberOfMessagesDelayed",
    "DelaySeconds",
    "ReceiveMessageWaitTimeSeconds",
    "RedrivePolicy",
    "FifoQueue",
    "ContentBasedDeduplication",
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
    "DeduplicationScope",
    "FifoThroughputLimit",
    "RedriveAllowPolicy",
    "SqsManagedSseEnabled",
];

pub(super) async fn receive<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let queue = call.queue()?;
    let filter = call.after_queue(&queue, Filter::of(&call)).await?;
    let command = Receive {
        queue,
        max: call.fields.int("MaxNumberOfMessages")?,
        visibility: call.fields.int("VisibilityTimeout")?,
        wait: call.fields.int("WaitTimeSeconds")?,
        attempt: call.fields.text("ReceiveRequestAttemptId")?.map(str::to_owned),
    };
    let mut stop = call.stop.clone();
    let messages = tokio::select! {
        biased;
        received = call.store.receive(command) => received.map_err(|error| error.into_aws())?,
        // The server stops, or the peer is gone: the answer is that of a poll that ran out, and no lease is taken.
        _ = stop.wait_for(|stop| *stop) => Vec::new(),
        () = call.peer.gone() => Vec::new(),
    };
    let bodies = bodies(&messages, call.signer, &call.context.base_url).await?;
    Ok(answer(&messages, &bodies, &filter))
}

/// What the caller wants to see.
struct Filter<'f> {
    system: Vec<&'f str>,
    attributes: Vec<&'f str>,
}

impl<'f> Filter<'f> {
    fn of<M: Messaging>(call: &'f Call<'_, M>) -> Result<Filter<'f>, AwsError> {
        let mut system = call.fields.texts("MessageSystemAttributeNames")?;
        let known = |name: &str| name == "All" || SYSTEM.contains(&name);
        let old = call.fields.texts("AttributeNames")?;
        let unknown = system.iter().find(|name| !known(name));
        let unknown = unknown.or_else(|| {
            old.iter()
                .find(|name| !known(name) && !QUEUE_ATTRIBUTES.contains(name))
        });
        if let Some(unknown) = unknown {
            return Err(AwsError::bad_request(
                "InvalidAttributeName",
                format!("Unknown Attribute {}.", shorten(unknown)),
            ));
        }
        system.extend(old);
        Ok(Filter {
            system,
            attributes: call.fields.texts("MessageAttributeNames")?,
        })
    }

    fn wants_system(&self, name: &str) -> bool {
        self.system
            .iter()
            .any(|wanted| *wanted == "All" || *wanted == name)
    }

    fn wants_attribute(&self, name: &str) -> bool {
        self.attributes.iter().any(|wanted| match *wanted {
            "All" | ".*" | "*" => true,
            wanted => match wanted.strip_suffix(".*") {
                // The dot is part of the pattern's spelling, not of the prefix.
                Some(prefix) => name.starts_with(prefix),
                None => wanted == name,
            },
        })
    }
}

fn answer(messages: &[Message], bodies: &[Cow<'_, str>], filter: &Filter<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + 512 * messages.len());
    let mut json = JsonWriter::new(&mut out);
    json.begin();
    if !messages.is_empty() {
        json.member("Messages");
        json.begin_list();
        for (message, body) in messages.iter().zip(bodies) {
            write_message(&mut json, message, body, filter);
        }
        json.end_list();
    }
    json.end();
    out
}

fn write_message(json: &mut JsonWriter<'_>, message: &Message, body: &str, filter: &Filter<'_>) {
    json.begin();
    json.text(
        "MessageId",
        std::str::from_utf8(&message.id.text()).unwrap_or_default(),
    );
    json.text("ReceiptHandle", &message.handle);
    json.text("MD5OfBody", &checksum::of_body(body.as_bytes()));
    json.text("Body", body);
    write_system_attributes(json, message, filter);
    if let Content::Plain { attributes, .. } = &message.content {
        write_attributes(json, attributes, filter);
    }
    json.end();
}

fn write_system_attributes(json: &mut JsonWriter<'_>, message: &Message, filter: &Filter<'_>) {
    let values = [
        ("SenderId", Some(message.sender.clone())),
        ("SentTimestamp", Some(message.sent.to_string())),
        ("ApproximateReceiveCount", Some(message.receive_count.to_string())),
        (
            "ApproximateFirstReceiveTimestamp",
            Some(message.first_received.to_string()),
        ),
        ("AWSTraceHeader", message.trace_header.clone()),
        ("DeadLetterQueueSourceArn", message.dead_letter_source.clone()),
        ("MessageGroupId", message.group.clone()),
        ("MessageDeduplicationId", message.deduplication.clone()),
        ("SequenceNumber", message.sequence.map(|n| n.to_string())),
    ];
    let mut open = false;
    for (name, value) in values {
        if let Some(value) = value.filter(|_| filter.wants_system(name)) {
            if !open {
                json.member("Attributes");
                json.begin();
                open = true;
            }
            json.text(name, &value);
        }
    }
    if open {
        json.end();
    }
}

/// Writes the wanted attributes and their checksum, which covers just these; nothing at all if there are none.
fn write_attributes(json: &mut JsonWriter<'_>, attributes: &[MessageAttribute], filter: &Filter<'_>) {
    let wanted: Vec<MessageAttribute> = attributes
        .iter()
        .filter(|attribute| filter.wants_attribute(&attribute.name))
        .cloned()
        .collect();
    let Some(md5) = md5_of(&wanted) else {
        return;
    };
    json.text("MD5OfMessageAttributes", &md5);
    json.member("MessageAttributes");
    json.begin();
    for attribute in &wanted {
        json.member(&attribute.name);
        json.begin();
        match &attribute.value {
            AttributeValue::Text(text) => json.text("StringValue", text),
            AttributeValue::Binary(bytes) => json.text("BinaryValue", &STANDARD.encode(bytes)),
        }
        json.text("DataType", &attribute.data_type);
        json.end();
    }
    json.end();
}

/// The bodies of messages in the order of the answer: that of a message from a topic is its envelope.
async fn bodies<'m>(
    messages: &'m [Message],
    signer: &Signer,
    base_url: &str,
) -> Result<Vec<Cow<'m, str>>, AwsError> {
    let mut bodies = Vec::with_capacity(messages.len());
    for message in messages {
        bodies.push(match &message.content {
            Content::Plain { body, .. } => Cow::Borrowed(body.as_str()),
            Content::Enveloped(notification) => {
                let envelope = signer.envelope(notification, base_url).await;
                Cow::Owned(envelope.map_err(|error| AwsError::unavailable(error.to_string()))?)
            }
            // These lie in internal queues only, which no client can name.
            Content::Announced(_) | Content::Captured(_) => Cow::Borrowed(""),
        });
    }
    Ok(bodies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attribute_filters() {
        let wants = |wanted: &str, name: &str| {
            let attributes = vec![wanted];
            let filter = Filter {
                system: Vec::new(),
                attributes,
            };
            filter.wants_attribute(name)
        };
        for (wanted, name, expected) in [
            ("city", "city", true),
            ("city", "city2", false),
            ("All", "x", true),
            ("*", "x", true),
            (".*", "x", true),
            ("foo.*", "foo.bar", true),
            ("foo.*", "foo", true),
            ("foo.*", "foobar", true),
            ("foo.*", "fo", false),
        ] {
            assert_eq!(wants(wanted, name), expected, "{wanted} {name}");
        }
    }
}
