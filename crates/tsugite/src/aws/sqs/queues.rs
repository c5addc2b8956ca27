//! CreateQueue, DeleteQueue, PurgeQueue, GetQueueUrl, ListQueues.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tsugite_aws::context::is_account;
use tsugite_aws::error::shorten;
use tsugite_aws::{AwsError, JsonWriter};
use tsugite_base::Invalid;
use tsugite_base::invalid::in_range;
use tsugite_broker::{CreateQueue, DeadLetterSources, ListQueues, QueueKey, QueueNames};
use tsugite_engine::Messaging;

use super::errors::{self, IntoAws as _};
use super::{Call, url};

/// Names on one page of ListQueues, with or without MaxResults.
const PAGE: i64 = 1000;

pub(super) async fn create<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let name = call.fields.required_text("QueueName")?;
    // The shape says `tags`; the first SDKs of the JSON protocol said `Tags`.
    let mut tags = super::tags::given(&call.fields, "tags")?;
    tags.extend(super::tags::given(&call.fields, "Tags")?);
    let queue = QueueKey::new(call.context.scope.clone(), name);
    let attributes = super::attributes::given(&call.fields)?;
    call.store
        .create_queue(CreateQueue {
            queue: queue.clone(),
            attributes,
            tags,
        })
        .await
        .map_err(|error| error.into_aws())?;
    Ok(url_answer(&url::url_of(&call.context.base_url, &queue)))
}

pub(super) async fn delete<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let deleted = call.store.delete_queue(call.queue()?).await;
    deleted
        .map(|()| Vec::from("{}"))
        .map_err(|error| error.into_aws())
}

pub(super) async fn purge<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let purged = call.store.purge_queue(call.queue()?).await;
    purged.map(|()| Vec::from("{}")).map_err(|error| error.into_aws())
}

pub(super) async fn get_url<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let mut queue = QueueKey::new(
        call.context.scope.clone(),
        call.fields.required_text("QueueName")?,
    );
    if let Some(owner) = call.fields.text("QueueOwnerAWSAccountId")? {
        if !is_account(owner) {
            return Err(Invalid::new("QueueOwnerAWSAccountId", owner, "must be 12 digits").into());
        }
        queue.scope.account = owner.to_owned();
    }
    call.store
        .queue(queue.clone())
        .await
        .map_err(|error| error.into_aws())?;
    Ok(url_answer(&url::url_of(&call.context.base_url, &queue)))
}

pub(super) async fn list<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let (paged, after, limit) = page(&call)?;
    let page = call
        .store
        .list_queues(ListQueues {
            scope: call.context.scope.clone(),
            prefix: call
                .fields
                .text("QueueNamePrefix")?
                .unwrap_or_default()
                .to_owned(),
            after,
            limit,
        })
        .await
        .map_err(|error| errors::unavailable(&error))?;
    Ok(urls(&call, "QueueUrls", page, paged))
}

pub(super) async fn dead_letter_sources<M: Messaging>(call: Call<'_, M>) -> Result<Vec<u8>, AwsError> {
    let queue = call.queue()?;
    let (paged, after, limit) = call.after_queue(&queue, page(&call)).await?;
    let query = DeadLetterSources { queue, after, limit };
    let page = call.store.dead_letter_sources(query).await;
    let page = page.map_err(|error| error.into_aws())?;
    // The member is there even with nothing in it: the model says that it is required.
    Ok(urls(&call, "queueUrls", page, paged))
}

/// Whether pages were asked for, the name after which this one begins, and how many it may have.
fn page<M>(call: &Call<'_, M>) -> Result<(bool, Option<String>, usize), AwsError> {
    let max = call.fields.int("MaxResults")?;
    let limit = in_range("MaxResults", max.unwrap_or(PAGE), 1..=PAGE)?;
    let after = match call.fields.text("NextToken")? {
        None | Some("") => None,
        Some(token) => Some(name_of_token(token)?),
    };
    Ok((max.is_some(), after, usize::try_from(limit).unwrap_or(usize::MAX)))
}

/// One page of URLs of queues of the caller's account; a token only for those who asked for pages.
fn urls<M>(call: &Call<'_, M>, member: &str, page: QueueNames, paged: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut json = JsonWriter::new(&mut out);
    json.begin();
    if !page.names.is_empty() || member == "queueUrls" {
        json.member(member);
        json.begin_list();
        let mut queue = QueueKey::new(call.context.scope.clone(), "");
        for name in page.names {
            queue.name = name;
            json.item(&url::url_of(&call.context.base_url, &queue));
        }
        json.end_list();
    }
    if let (true, Some(next)) = (paged, page.next) {
        json.text("NextToken", &URL_SAFE_NO_PAD.encode(next));
    }
    json.end();
    out
}

/// A token is the last name of the page before, made opaque.
fn name_of_token(token: &str) -> Result<String, AwsError> {
    URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| {
            Invalid::new(
                "NextToken",
                shorten(token),
                "must be a token of an earlier answer",
            )
            .into()
        })
}

fn url_answer(url: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + url.len());
    let mut json = JsonWriter::new(&mut out);
    json.begin();
    json.text("QueueUrl", url);
    json.end();
    out
}
