//! Subscribe, Unsubscribe, ListSubscriptions, ListSubscriptionsByTopic.

use tsugite_aws::{AwsError, xml};
use tsugite_broker::{QueueKey, Subscribe, SubscriptionInfo, TopicNotFound};
use tsugite_engine::Messaging;

use super::{Call, failed, not_found, page, subscribe_refused};
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
        protocol: call.required("Protocol")?.to_owned(),
        endpoint: endpoint.to_owned(),
        attributes: call.form.map("Attributes.entry")?,
    };
    let subscribed = call.store.subscribe(command).await;
    let subscription = subscribed.map_err(|error| failed(error, subscribe_refused))?;
    let mut out = String::new();
    xml::element(&mut out, "SubscriptionArn", &subscription.arn().to_string());
    Ok(out)
}

pub(super) async fn unsubscribe<M: Messaging>(call: Call<'_, M>) -> Result<(), AwsError> {
    let subscription = call.subscription("SubscriptionArn", call.required("SubscriptionArn")?)?;
    let ended = call.store.unsubscribe(subscription).await;
    ended.map_err(|error| unavailable(&error))
}

pub(super) async fn list<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let topics = call.store.topics(call.context.scope.clone()).await;
    let topics = topics.map_err(|error| unavailable(&error))?;
    answer(
        &call,
        topics.into_iter().flat_map(|topic| topic.subscriptions).collect(),
    )
}

pub(super) async fn list_by_topic<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let wanted = call.topic("TopicArn", call.required("TopicArn")?)?;
    let topics = call.store.topics(wanted.scope.clone()).await;
    let topics = topics.map_err(|error| unavailable(&error))?;
    match topics.into_iter().find(|info| info.topic == wanted) {
        Some(info) => answer(&call, info.subscriptions),
        None => Err(not_found(&TopicNotFound { topic: wanted })),
    }
}

fn answer<M>(call: &Call<'_, M>, subscriptions: Vec<SubscriptionInfo>) -> Result<String, AwsError> {
    let after = call.start_after()?;
    let arn_of = |info: SubscriptionInfo| (info.subscription.arn().to_string(), info);
    let mut subscriptions: Vec<_> = subscriptions.into_iter().map(arn_of).collect();
    subscriptions.sort_by(|a, b| a.0.cmp(&b.0));
    let (subscriptions, next) = page(subscriptions, after.as_deref());
    let mut out = String::new();
    xml::open(&mut out, "Subscriptions");
    for (arn, info) in subscriptions {
        xml::open(&mut out, "member");
        xml::element(&mut out, "SubscriptionArn", &arn);
        xml::element(&mut out, "Owner", &info.subscription.topic.scope.account);
        xml::element(&mut out, "Protocol", "sqs");
        xml::element(&mut out, "Endpoint", &info.queue.arn().to_string());
        xml::element(&mut out, "TopicArn", &info.subscription.topic.arn().to_string());
        xml::close(&mut out, "member");
    }
    xml::close(&mut out, "Subscriptions");
    if let Some(next) = next {
        xml::element(&mut out, "NextToken", &next);
    }
    Ok(out)
}
