//! TagQueue, UntagQueue, ListQueueTags.

use tsugite_aws::{AwsError, Fields, JsonWriter};
use tsugite_broker::{TagQueue, UntagQueue};
use tsugite_engine::Messaging;

use super::Call;
use super::errors::IntoAws as _;

/// The map of that name.
pub(super) fn given(fields: &Fields<'_>, name: &str) -> Result<Vec<(String, String)>, AwsError> {
    let tags = fields.text_map(name)?.into_iter();
    Ok(tags
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect())
}

pub(super) async fn tag<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let queue = call.queue()?;
    let tags = given(&call.fields, "Tags")?;
    if tags.is_empty() {
        return call.after_queue(&queue, Err(AwsError::missing("Tags"))).await;
    }
    let done = call.store.tag_queue(TagQueue { queue, tags }).await;
    done.map(|()| Vec::from("{}")).map_err(|error| error.into_aws())
}

pub(super) async fn untag<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let queue = call.queue()?;
    let keys = call.fields.texts("TagKeys")?;
    if keys.is_empty() {
        return call.after_queue(&queue, Err(AwsError::missing("TagKeys"))).await;
    }
    let keys = keys.into_iter().map(str::to_owned).collect();
    let done = call.store.untag_queue(UntagQueue { queue, keys }).await;
    done.map(|()| Vec::from("{}")).map_err(|error| error.into_aws())
}

pub(super) async fn list<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let tags = call.store.queue_tags(call.queue()?).await;
    let tags = tags.map_err(|error| error.into_aws())?;
    let mut out = Vec::new();
    let mut json = JsonWriter::new(&mut out);
    json.begin();
    if !tags.is_empty() {
        json.member("Tags");
        json.begin();
        for (key, value) in &tags {
            json.text(key, value);
        }
        json.end();
    }
    json.end();
    Ok(out)
}
