//! From a message of an outbox to what is posted.

use bytes::Bytes;
use tsugite_broker::{Content, Message, Outbox};

use super::client::{Post, PostError};
use crate::signing::Signer;

/// The request for a message. `base_url` is where links in it lead.
pub(super) async fn of(
    message: &Message,
    outbox: &Outbox,
    signer: &Signer,
    base_url: &str,
) -> Result<Post, PostError> {
    // Without a key there is no delivery, but there may be a key later.
    let unsigned = |error: crate::signing::SigningError| PostError {
        permanent: false,
        status: None,
        reason: error.to_string(),
    };
    let (kind, id, body, confirms) = match &message.content {
        Content::Plain { body, .. } => ("Notification", message.id, body.clone(), false),
        Content::Enveloped(notification) => {
            let body = signer.envelope(notification, base_url).await.map_err(unsigned)?;
            ("Notification", notification.id, body, false)
        }
        Content::Announced(announcement) => {
            let written = signer.confirmation(announcement, base_url).await;
            let (kind, body) = written.map_err(unsigned)?;
            (kind, announcement.id, body, kind == "SubscriptionConfirmation")
        }
        Content::Captured(_) => {
            return Err(PostError::permanent("a captured message lies in an outbox"));
        }
    };
    let raw = matches!(message.content, Content::Plain { .. });
    Ok(Post {
        kind,
        message_id: id.to_string(),
        topic_arn: outbox.subscription.topic.arn().to_string(),
        subscription_arn: (!confirms).then(|| outbox.subscription.arn().to_string()),
        raw,
        content_type: match &message.content {
            Content::Announced(_) => tsugite_broker::DEFAULT_CONTENT_TYPE.to_owned(),
            _ => outbox.policy.content_type(raw).to_owned(),
        },
        body: Bytes::from(body),
    })
}
