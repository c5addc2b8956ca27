//! ListTopics, ListSubscriptions, ListSubscriptionsByTopic: pages of a hundred.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tsugite_aws::{AwsError, xml};
use tsugite_base::limits;
use tsugite_broker::{Page, SubscriptionInfo, SubscriptionKey, TopicKey};
use tsugite_engine::Messaging;

use super::Call;
use super::errors::{IntoAws as _, invalid};

pub(super) async fn topics<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let after = start_after(&call)?;
    let after = after.map(|arn| TopicKey::from_arn("NextToken", &arn));
    let after = after.transpose().map_err(|_| bad_token())?;
    let scope = call.context.scope.clone();
    let page = call
        .store
        .list_topics(scope, after.map(|topic| topic.name), limits::LIST_TOPICS)
        .await;
    let page = page.map_err(|error| error.into_aws())?;
    let mut out = String::new();
    xml::open(&mut out, "Topics");
    for info in page.elements {
        xml::open(&mut out, "member");
        xml::element(&mut out, "TopicArn", &info.topic.arn().to_string());
        xml::close(&mut out, "member");
    }
    xml::close(&mut out, "Topics");
    next_token(&mut out, page.next.map(|topic| topic.arn().to_string()));
    Ok(out)
}

pub(super) async fn subscriptions<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let after = after_subscription(&call)?;
    let scope = call.context.scope.clone();
    let page = call
        .store
        .list_subscriptions(scope, after, limits::LIST_TOPICS)
        .await;
    Ok(answer(page.map_err(|error| error.into_aws())?))
}

pub(super) async fn of_topic<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let topic = call.topic("TopicArn")?;
    let after = after_subscription(&call)?;
    let page = call
        .store
        .topic_subscriptions(topic, after, limits::LIST_TOPICS)
        .await;
    Ok(answer(page.map_err(|error| error.into_aws())?))
}

fn answer(page: Page<SubscriptionInfo, SubscriptionKey>) -> String {
    let mut out = String::new();
    xml::open(&mut out, "Subscriptions");
    for info in page.elements {
        let arn = if info.pending {
            "PendingConfirmation".to_owned()
        } else {
            info.subscription.arn().to_string()
        };
        xml::open(&mut out, "member");
        xml::element(&mut out, "SubscriptionArn", &arn);
        xml::element(&mut out, "Owner", &info.owner);
        xml::element(&mut out, "Protocol", info.protocol.name());
        xml::element(&mut out, "Endpoint", &info.endpoint);
        xml::element(&mut out, "TopicArn", &info.subscription.topic.arn().to_string());
        xml::close(&mut out, "member");
    }
    xml::close(&mut out, "Subscriptions");
    next_token(&mut out, page.next.map(|next| next.arn().to_string()));
    out
}

/// Tokens are the ARN of the last element of the page before, in base64 so that nobody builds one by hand.
fn next_token(out: &mut String, last: Option<String>) {
    if let Some(arn) = last {
        xml::element(out, "NextToken", &STANDARD.encode(arn));
    }
}

fn start_after<M>(call: &Call<'_, M>) -> Result<Option<String>, AwsError> {
    match call.form.get("NextToken") {
        None | Some("") => Ok(None),
        Some(token) => {
            let arn = STANDARD.decode(token).ok();
            let arn = arn.and_then(|arn| String::from_utf8(arn).ok());
            arn.map(Some).ok_or_else(bad_token)
        }
    }
}

fn after_subscription<M>(call: &Call<'_, M>) -> Result<Option<SubscriptionKey>, AwsError> {
    let after = start_after(call)?;
    let after = after.map(|arn| SubscriptionKey::from_arn("NextToken", &arn));
    after.transpose().map_err(|_| bad_token())
}

fn bad_token() -> AwsError {
    invalid("NextToken", "")
}
