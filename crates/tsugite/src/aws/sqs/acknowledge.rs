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
    let entry = call.after_queue(&queue, change(&call.fields, "")).await?;
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
    let of_entry = "ChangeMessageVisibilityBatchRequestEntry.";
    let changes = entries
        .iter()
        .map(|(_, fields)| change(fields, of_entry))
        .collect();
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

/// A change of visibility. The model of a batch says that the timeout may be left out, but AWS refuses the call and
/// names the member with its entry (aws-sdk-go-v2 issue 2072); to read it as 0 would release a message unasked.
fn change(fields: &Fields<'_>, of_entry: &str) -> Result<ChangeVisibilityEntry, AwsError> {
    let timeout = fields.int("VisibilityTimeout")?;
    let missing = || AwsError::missing(&format!("{of_entry}VisibilityTimeout"));
    Ok(ChangeVisibilityEntry {
        timeout: timeout.ok_or_else(missing)?,
        handle: handle(fields)?,
    })
}

fn answer(entries: &[(&str, &Fields<'_>)], results: impl Iterator<Item = Result<(), AwsError>>) -> Vec<u8> {
    let ids = entries.iter().map(|(id, _)| *id);
    let results: Vec<_> = ids.zip(results).collect();
    batch::answer(&results, |_, ()| ())
}
