//! AddPermission and RemovePermission.

use tsugite_aws::AwsError;
use tsugite_broker::AddTopicPermission;
use tsugite_engine::Messaging;

use super::Call;
use super::errors::{IntoAws as _, missing};

pub(super) async fn add<M: Messaging>(call: Call<'_, M>) -> Result<(), AwsError> {
    let command = AddTopicPermission {
        topic: call.topic("TopicArn")?,
        label: call.given("Label")?.to_owned(),
        accounts: listed(&call, "AWSAccountId")?,
        actions: listed(&call, "ActionName")?,
    };
    let added = call.store.add_topic_permission(command).await;
    added.map_err(|error| error.into_aws())
}

pub(super) async fn remove<M: Messaging>(call: Call<'_, M>) -> Result<(), AwsError> {
    let (topic, label) = (call.topic("TopicArn")?, call.given("Label")?.to_owned());
    let removed = call.store.remove_topic_permission(topic, label).await;
    removed.map_err(|error| error.into_aws())
}

/// A list that must have something in it.
fn listed<M>(call: &Call<'_, M>, name: &str) -> Result<Vec<String>, AwsError> {
    let values = call.form.values(&format!("{name}.member"))?;
    if values.is_empty() {
        return Err(missing(name));
    }
    Ok(values)
}
