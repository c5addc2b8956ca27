//! CreateTopic and DeleteTopic.

use tsugite_aws::{AwsError, xml};
use tsugite_broker::{CreateTopic, TopicKey};
use tsugite_engine::Messaging;

use super::errors::{IntoAws as _, invalid};
use super::{Call, tags};
use crate::aws::check_topic_policy;

pub(super) async fn create<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let topic = TopicKey::new(call.context.scope.clone(), call.given("Name")?);
    let arn = topic.arn().to_string();
    let command = CreateTopic {
        topic,
        attributes: call.form.map("Attributes.entry")?,
        tags: tags::given(call.form)?,
        data_protection: call.form.get("DataProtectionPolicy").map(str::to_owned),
    };
    for (_, text) in command.attributes.iter().filter(|(name, _)| name == "Policy") {
        check_topic_policy(text).map_err(|why| invalid("Attributes", &format!("Policy: {why}")))?;
    }
    let created = call.store.create_topic(command).await;
    created.map_err(|error| error.into_aws())?;
    let mut out = String::new();
    xml::element(&mut out, "TopicArn", &arn);
    Ok(out)
}

pub(super) async fn delete<M: Messaging>(call: Call<'_, M>) -> Result<(), AwsError> {
    let deleted = call.store.delete_topic(call.topic("TopicArn")?).await;
    deleted.map_err(|error| error.into_aws())
}
