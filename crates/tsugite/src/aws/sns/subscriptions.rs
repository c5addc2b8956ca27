//! Subscribe, ConfirmSubscription, Unsubscribe.

use tsugite_aws::{AwsError, xml};
use tsugite_base::limits;
use tsugite_broker::{ConfirmSubscription, QueueKey, Subscribe, TopicKey, Unsubscribe};
use tsugite_engine::Messaging;

use super::errors::{IntoAws as _, invalid};
use super::{Call, access, token};
use crate::deliver::EndpointUrl;

pub(super) async fn subscribe<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let topic = call.topic("TopicArn")?;
    let protocol = call.given("Protocol")?.to_owned();
    let endpoint = call.form.get("Endpoint").unwrap_or_default();
    if let Ok(queue) = QueueKey::from_arn("Endpoint", endpoint) {
        access::check_queue(&call, &topic, &queue).await?;
    }
    check_endpoint(&protocol, endpoint)?;
    let command = Subscribe {
        id: call.world.uuid(),
        token: token::new(call.world, &topic.scope.region),
        topic,
        owner: call.context.scope.account.clone(),
        principal: call.context.caller_arn().to_string(),
        protocol,
        endpoint: endpoint.to_owned(),
        attributes: call.form.map("Attributes.entry")?,
        base_url: Some(call.context.base_url.clone()).filter(|url| url.len() <= limits::BASE_URL_BYTES),
    };
    let subscribed = call.store.subscribe(command).await;
    let subscribed = subscribed.map_err(|error| error.into_aws())?;
    if matches!(call.given("Protocol")?, "email" | "email-json" | "sms") {
        tracing::info!(
            endpoint,
            "what a topic would send there is captured: see `tsugite captured`"
        );
    }
    let shown = !subscribed.pending || is_true(&call, "ReturnSubscriptionArn");
    let arn = if shown {
        subscribed.subscription.arn().to_string()
    } else {
        "pending confirmation".to_owned()
    };
    Ok(answer(&arn))
}

/// A URL to which nothing can ever be posted is better refused now than when a message waits for it.
fn check_endpoint(protocol: &str, endpoint: &str) -> Result<(), AwsError> {
    if !matches!(protocol, "http" | "https") || !endpoint.starts_with(&format!("{protocol}://")) {
        return Ok(());
    }
    let checked = EndpointUrl::parse(endpoint);
    checked.map(drop).map_err(|why| invalid("Endpoint", &why))
}

pub(super) async fn confirm<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let token = call.given("Token")?.to_owned();
    let topic = TopicKey::from_arn("TopicArn", call.given("TopicArn")?);
    let topic = topic.map_err(|_| invalid("Topic", ""))?;
    // Nothing but the token says of which region an unsigned request is.
    let region = token::region(&token);
    let region = region.or_else(|| call.signed.then(|| call.context.scope.region.clone()));
    if region.is_some_and(|region| region != topic.scope.region) {
        return Err(invalid("Topic", ""));
    }
    let command = ConfirmSubscription {
        topic,
        token,
        guarded: call.signed && is_true(&call, "AuthenticateOnUnsubscribe"),
        authenticated: call.signed,
    };
    let confirmed = call.store.confirm_subscription(command).await;
    let subscription = confirmed.map_err(|error| error.into_aws())?;
    Ok(answer(&subscription.arn().to_string()))
}

pub(super) async fn unsubscribe<M: Messaging>(call: Call<'_, M>) -> Result<(), AwsError> {
    let subscription = call.subscription()?;
    let by_owner = call.signed && access::owns(&call, &subscription).await?;
    let command = Unsubscribe {
        by_owner,
        id: call.world.uuid(),
        token: token::new(call.world, &subscription.topic.scope.region),
        subscription,
    };
    let ended = call.store.unsubscribe(command).await;
    ended.map_err(|error| error.into_aws())
}

fn answer(arn: &str) -> String {
    let mut out = String::new();
    xml::element(&mut out, "SubscriptionArn", arn);
    out
}

fn is_true<M>(call: &Call<'_, M>, parameter: &str) -> bool {
    let value = call.form.get(parameter).unwrap_or_default();
    value.eq_ignore_ascii_case("true")
}
