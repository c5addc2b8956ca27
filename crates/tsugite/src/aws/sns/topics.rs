//! CreateTopic, DeleteTopic, ListTopics.

use tsugite_aws::{AwsError, xml};
use tsugite_base::Invalid;
use tsugite_broker::{CreateTopic, TopicKey};
use tsugite_engine::Messaging;

use super::{Call, create_topic_refused, failed, invalid, page};
use crate::aws::sqs::unavailable;

pub(super) async fn create<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let topic = TopicKey::new(call.context.scope.clone(), call.required("Name")?);
    let mut attributes = call.form.map("Attributes.entry")?;
    if let Some(policy) = call.form.get("DataProtectionPolicy") {
        attributes.push(("DataProtectionPolicy".to_owned(), policy.to_owned()));
    }
    if !call.form.elements("Tags.member")?.is_empty() {
        return Err(invalid(Invalid::new("Tags", "(tags)", "are not supported yet")));
    }
    let arn = topic.arn().to_string();
    let created = call.store.create_topic(CreateTopic { topic, attributes }).await;
    created.map_err(|error| failed(error, create_topic_refused))?;
    let mut out = String::new();
    xml::element(&mut out, "TopicArn", &arn);
    Ok(out)
}

pub(super) async fn delete<M: Messaging>(call: Call<'_, M>) -> Result<(), AwsError> {
    let topic = call.topic("TopicArn", call.required("TopicArn")?)?;
    call.store
        .delete_topic(topic)
        .await
        .map_err(|error| unavailable(&error))
}

pub(super) async fn list<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let after = call.start_after()?;
    let topics = call.store.topics(call.context.scope.clone()).await;
    let topics = topics.map_err(|error| unavailable(&error))?;
    let topics = topics
        .into_iter()
        .map(|info| (info.topic.arn().to_string(), ()))
        .collect();
    let (topics, next) = page(topics, after.as_deref());
    let mut out = String::new();
    xml::open(&mut out, "Topics");
    for (arn, ()) in topics {
        xml::open(&mut out, "member");
        xml::element(&mut out, "TopicArn", &arn);
        xml::close(&mut out, "member");
    }
    xml::close(&mut out, "Topics");
    if let Some(next) = next {
        xml::element(&mut out, "NextToken", &next);
    }
    Ok(out)
}
