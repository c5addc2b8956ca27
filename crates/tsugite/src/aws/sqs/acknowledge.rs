//! What a receiver does with a delivery: DeleteMessage and ChangeMessageVisibility, alone and in batches.

use tsugite_aws::{AwsError, Fields};
use tsugite_broker::{ChangeVisibility, ChangeVisibilityEntry, DeleteMessages};
use tsugite_engine::Messaging;

use super::errors::IntoAws as _;
use super::{Call, batch};

pub(super) async fn delete<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let queue = call.queue()?;
    let handle = call.after_queue(&queue, handle(&call.fields)).await?;
    let handles = vec![handle];
    let reply = call.store.delete(DeleteMessages { queue, handles }).await;
    let results = reply.map_err(|error| error.into_aws())?.results;
    let result = results.into_iter().next().unwrap_or(Ok(()));
    result.map(|()| Vec::from("{}")).map_err(|error| error.into_aws())
}

pub(super) async fn delete_batch<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let queue = call.queue()?;
    let entries = call.after_queue(&queue, batch::entries(&call.fields)).await?;
    let handles = entries.iter().map(|(_, fields)| handle(fields)).collect();
    let handles = call.after_queue(&queue, handles).await?;
    let reply = call.store.delete(DeleteMessages { queue, handles }).await;
    let results = reply.map_err(|error| error.into_aws())?.results;
    Ok(answer(
        &entries,
        results
            .into_iter()
            .map(|result| result.map_err(|error| error.into_aws())),
    ))
}

pub(super) async fn change_visibility<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let queue = call.queue()?;
    let entry = call.after_queue(&queue, change(&call.fields, true)).await?;
    let entries = vec![entry];
    let reply = call
        .store
        .change_visibility(ChangeVisibility { queue, entries })
        .await;
    let results = reply.map_err(|error| error.into_aws())?.results;
    let result = results.into_iter().next().unwrap_or(Ok(()));
    result.map(|()| Vec::from("{}")).map_err(|error| error.into_aws())
}

pub(super) async fn change_visibility_batch<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let queue = call.queue()?;
    let entries = call.after_queue(&queue, batch::entries(&call.fields)).await?;
    let changes = entries.iter().map(|(_, fields)| change(fields, false)).collect();
    let changes = call.after_queue(&queue, changes).await?;
    let command = ChangeVisibility {
        queue,
        entries: changes,
    };
    let reply = call.store.change_visibility(command).await;
    let results = reply.map_err(|error| error.into_aws())?.results;
    Ok(answer(
        &entries,
        results
            .into_iter()
            .map(|result| result.map_err(|error| error.into_aws())),
    ))
}

fn handle(fields: &Fields<'_>) -> Result<String, AwsError> {
    fields.required_text("ReceiptHandle").map(str::to_owned)
}

/// A change of visibility; in a batch the timeout may be left out and then means 0, as AWS reads it.
fn change(fields: &Fields<'_>, timeout_required: bool) -> Result<ChangeVisibilityEntry, AwsError> {
    let timeout = fields.int("VisibilityTimeout")?;
    match timeout {
        None if timeout_required => Err(AwsError::missing("VisibilityTimeout")),
        timeout => Ok(ChangeVisibilityEntry {
            handle: handle(fields)?,
            timeout: timeout.unwrap_or(0),
        }),
    }
}

fn answer(entries: &[(&str, &Fields<'_>)], results: impl Iterator<Item = Result<(), AwsError>>) -> Vec<u8> {
    let ids = entries.iter().map(|(id, _)| *id);
    let results: Vec<_> = ids.zip(results).collect();
    batch::answer(&results, |_, ()| ())
}
