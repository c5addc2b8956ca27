//! Publish.

use tsugite_aws::{AwsError, xml};
use tsugite_broker::{Publish, PublishEntry, PublishError, Published, TextMessage, TopicKey};
use tsugite_engine::Messaging;

use super::errors::{IntoAws as _, invalid, missing};
use super::{Call, access, message};

pub(super) async fn publish<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let given = |name: &str| call.form.get(name).is_some();
    let parameter = match (given("TopicArn"), given("TargetArn"), given("PhoneNumber")) {
        (true, false, false) => "TopicArn",
        (false, true, false) => "TargetArn",
        (false, false, true) => return text(call).await,
        (false, false, false) => return Err(missing("TopicArn or TargetArn")),
        _ => {
            return Err(invalid(
                "TopicArn",
                "only one of TopicArn, TargetArn and PhoneNumber can be given",
            ));
        }
    };
    let arn = call.form.get(parameter).unwrap_or_default();
    if parameter == "TargetArn" && arn.contains(":endpoint/") {
        return Err(invalid(
            parameter,
            "No endpoint found for the target arn specified",
        ));
    }
    let topic = call.topic(parameter)?;
    let entry = message::entry(call.world.uuid(), call.form, "")?;
    let results = of_topic(&call, topic, vec![entry]).await?;
    let Some(result) = results.into_iter().next() else {
        return Err(AwsError::unavailable("The store gave no result for the message."));
    };
    let mut out = String::new();
    write(&mut out, result.map_err(|error| error.into_aws())?);
    Ok(out)
}

/// Publishes to a topic: one result for each entry.
pub(super) async fn of_topic<M: Messaging>(
    call: &Call<'_, M>,
    topic: TopicKey,
    entries: Vec<PublishEntry>,
) -> Result<Vec<Result<Published, PublishError>>, AwsError> {
    let denied = access::denied_queues(call, &topic).await?;
    let command = Publish {
        topic,
        sender: call.context.sender().to_owned(),
        trace_header: call.context.trace_header.clone(),
        entries,
        denied,
    };
    let published = call.store.publish(command).await;
    Ok(published.map_err(|error| error.into_aws())?.results)
}

/// What SDKs are told of a message that was accepted.
pub(super) fn write(out: &mut String, published: Published) {
    xml::element(out, "MessageId", &published.id.to_string());
    if let Some(sequence) = published.sequence {
        xml::element(out, "SequenceNumber", &sequence.to_string());
    }
}

/// A text message to a phone, which is captured.
async fn text<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let id = call.world.uuid();
    let command = TextMessage {
        id,
        scope: call.context.scope.clone(),
        phone: call.given("PhoneNumber")?.to_owned(),
        entry: message::entry(id, call.form, "")?,
    };
    let phone = command.phone.clone();
    let sent = call.store.send_text(command).await;
    sent.map_err(|error| error.into_aws())?;
    tracing::info!(
        phone,
        "a text message was captured and sent nowhere: see `tsugite captured`"
    );
    let mut out = String::new();
    xml::element(&mut out, "MessageId", &id.to_string());
    Ok(out)
}
