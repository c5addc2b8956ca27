//! GetQueueAttributes and SetQueueAttributes.

use tsugite_aws::{AwsError, Fields, JsonWriter};
use tsugite_broker::SetQueueAttributes;
use tsugite_engine::Messaging;

use super::Call;
use super::errors::IntoAws as _;

pub(super) async fn get<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let queue = call.queue()?;
    let names = call.fields.texts("AttributeNames")?;
    let names = names.into_iter().map(str::to_owned).collect();
    let attributes = call.store.queue_attributes(queue, names).await;
    let attributes = attributes.map_err(|error| error.into_aws())?;
    let mut out = Vec::new();
    let mut json = JsonWriter::new(&mut out);
    json.begin();
    if !attributes.is_empty() {
        json.member("Attributes");
        json.begin();
        for (name, value) in &attributes {
            json.text(name, value);
        }
        json.end();
    }
    json.end();
    Ok(out)
}

pub(super) async fn set<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let queue = call.queue()?;
    let attributes = given(&call.fields)?;
    if attributes.is_empty() {
        return call
            .after_queue(&queue, Err(AwsError::missing("Attributes")))
            .await;
    }
    let done = call
        .store
        .set_queue_attributes(SetQueueAttributes { queue, attributes })
        .await;
    done.map(|()| Vec::from("{}")).map_err(|error| error.into_aws())
}

/// The member `Attributes`: names and values as text.
pub(super) fn given(fields: &Fields<'_>) -> Result<Vec<(String, String)>, AwsError> {
    let attributes = fields.text_map("Attributes")?;
    Ok(attributes
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}
