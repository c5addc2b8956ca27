//! Subscribe, Unsubscribe, ListSubscriptions, ListSubscriptionsByTopic.

use tsugite_aws::{AwsError, xml};
use tsugite_base::limits;
use tsugite_broker::{Page, QueueKey, Subscribe, SubscriptionInfo, SubscriptionKey, Unsubscribe};
use tsugite_engine::Messaging;

use super::{Call, failed, not_found, subscribe_refused};
use crate::aws::sqs::{topic_may_send, unavailable};

pub(super) async fn subscribe<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let topic = call.topic("TopicArn", call.required("TopicArn")?)?;
    let endpoint = call.form.get("Endpoint").unwrap_or_default();
    if let Ok(queue) = QueueKey::from_arn("Endpoint", endpoint) {
        // Messages would go into it without its owner having a say.
        if !topic_may_send(call.store, call.context, &topic.arn(), &queue).await? {
            return Err(call.not_authorized(endpoint));
        }
    }
    let command = Subscribe {
        topic,
        id: call.world.uuid(),
        token: format!("{}{}", call.world.uuid(), call.world.uuid()),
        owner: call.context.scope.account.clone(),
        principal: call.context.caller_arn().to_string(),
        protocol: call.required("Protocol")?.to_owned(),
        endpoint: endpoint.to_owned(),
        attributes: call.form.map("Attributes.entry")?,
    };
    let subscribed = call.store.subscribe(command).await;
    let subscription = subscribed.map_err(|error| failed(error, subscribe_refused))?;
    let mut out = String::new();
    xml::element(
        &mut out,
        "SubscriptionArn",
        &subscription.subscription.arn().to_string(),
    );
    Ok(out)
}

pub(super) async fn unsubscribe<M: Messaging>(call: Call<'_, M>) -> Result<(), AwsError> {
    let subscription = call.subscription("SubscriptionArn", call.required("SubscriptionArn")?)?;
    let command = Unsubscribe {
        subscription,
        by_owner: true,
        id: call.world.uuid(),
        token: format!("{}{}", call.world.uuid(), call.world.uuid()),
    };
    let ended = call.store.unsubscribe(command).await;
    ended.map_err(|error| {
        failed(error, |e| {
            AwsError::sender("AuthorizationError", "AuthorizationError", 403, e.to_string())
        })
    })
}

pub(super) async fn list<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let after = call.start_after_subscription()?;
    let scope = call.context.scope.clone();
    let page = call
        .store
        .list_subscriptions(scope, after, limits::LIST_TOPICS)
        .await;
    Ok(answer(page.map_err(|error| unavailable(&error))?))
}

pub(super) async fn list_by_topic<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let topic = call.topic("TopicArn", call.required("TopicArn")?)?;
    let after = call.start_after_subscription()?;
    let page = call
        .store
        .topic_subscriptions(topic, after, limits::LIST_TOPICS)
        .await;
    Ok(answer(page.map_err(|error| failed(error, |e| not_found(&e)))?))
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
    if let Some(next) = page.next {
        xml::element(&mut out, "NextToken", &next.arn().to_string());
    }
    out
}
