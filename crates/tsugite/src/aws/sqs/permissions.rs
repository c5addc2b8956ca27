//! AddPermission and RemovePermission.

use tsugite_aws::AwsError;
use tsugite_broker::{AddPermission, RemovePermission};
use tsugite_engine::Messaging;

use super::Call;
use super::errors::IntoAws as _;

pub(super) async fn add<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let queue = call.queue()?;
    let label = call.fields.required_text("Label").map(str::to_owned);
    let label = call.after_queue(&queue, label).await?;
    let accounts = listed(&call, "AWSAccountIds");
    let accounts = call.after_queue(&queue, accounts).await?;
    let actions = listed(&call, "Actions");
    let actions = call.after_queue(&queue, actions).await?;
    let command = AddPermission {
        queue,
        label,
        accounts,
        actions,
    };
    let done = call.store.add_permission(command).await;
    done.map(|()| Vec::from("{}")).map_err(|error| error.into_aws())
}

pub(super) async fn remove<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let queue = call.queue()?;
    let label = call.fields.required_text("Label").map(str::to_owned);
    let label = call.after_queue(&queue, label).await?;
    let done = call
        .store
        .remove_permission(RemovePermission { queue, label })
        .await;
    done.map(|()| Vec::from("{}")).map_err(|error| error.into_aws())
}

/// A list that must have something in it.
fn listed<M>(call: &Call<'_, M>, name: &str) -> Result<Vec<String>, AwsError> {
    let texts = call.fields.texts(name)?;
    if texts.is_empty() {
        return Err(AwsError::missing(name));
    }
    Ok(texts.into_iter().map(str::to_owned).collect())
}
