//! CreateTopic, DeleteTopic, ListTopics.

use tsugite_aws::{AwsError, Form, xml};
use tsugite_base::limits;
use tsugite_broker::{CreateTopic, TopicKey};
use tsugite_engine::Messaging;

use super::{Call, create_topic_refused, failed};
use crate::aws::sqs::unavailable;

pub(super) async fn create<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let topic = TopicKey::new(call.context.scope.clone(), call.required("Name")?);
    let command = CreateTopic {
        topic: topic.clone(),
        attributes: call.form.map("Attributes.entry")?,
        tags: tags(call.form)?,
        data_protection: call.form.get("DataProtectionPolicy").map(str::to_owned),
    };
    let arn = topic.arn().to_string();
    let created = call.store.create_topic(command).await;
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
        .map_err(|error| failed(error, |e| AwsError::bad_request("InvalidState", e.to_string())))
}

pub(super) async fn list<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let after = call
        .start_after()?
        .map(|arn| call.topic("NextToken", &arn))
        .transpose()?;
    let (scope, after) = (call.context.scope.clone(), after.map(|topic| topic.name));
    let page = call.store.list_topics(scope, after, limits::LIST_TOPICS).await;
    let page = page.map_err(|error| unavailable(&error))?;
    let mut out = String::new();
    xml::open(&mut out, "Topics");
    for info in page.elements {
        xml::open(&mut out, "member");
        xml::element(&mut out, "TopicArn", &info.topic.arn().to_string());
        xml::close(&mut out, "member");
    }
    xml::close(&mut out, "Topics");
    if let Some(next) = page.next {
        xml::element(&mut out, "NextToken", &next.arn().to_string());
    }
    Ok(out)
}

fn tags(form: &Form<'_>) -> Result<Vec<(String, String)>, AwsError> {
    let tag = |entry: &Form<'_>| {
        let part = |name: &str| entry.get(name).unwrap_or_default().to_owned();
        (part("Key"), part("Value"))
    };
    Ok(form.elements("Tags.member")?.iter().map(tag).collect())
}
