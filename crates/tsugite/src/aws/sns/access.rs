//! Who may do what to which topic: accounts are apart, and in strict mode the policies of topics decide.
//!
//! Callers of the topic's own account may do everything that its policy does not deny, as with queues. What is under a
//! topic of another account is not told: who may not use a topic does not learn whether there is one.

use tsugite_aws::context::{Caller, Facts};
use tsugite_aws::error::shorten;
use tsugite_aws::policy::{Question, Verdict};
use tsugite_aws::{AwsError, Context};
use tsugite_broker::{QueueKey, SubscriptionKey, TopicKey};
use tsugite_engine::{Failure, Messaging};

use super::errors::unavailable;
use super::{Call, is_of_link};
use crate::aws::{auth, policies, sqs};

/// Actions that a policy can grant to other accounts (AWS: "Amazon SNS access control use cases").
const GRANTABLE: &[&str] = &[
    "AddPermission",
    "DeleteTopic",
    "GetDataProtectionPolicy",
    "GetTopicAttributes",
    "ListSubscriptionsByTopic",
    "ListTagsForResource",
    "Publish",
    "PutDataProtectionPolicy",
    "RemovePermission",
    "SetTopicAttributes",
    "Subscribe",
];
/// Actions by which an owner mends a topic whose policy cannot be read.
const MENDING: &[&str] = &["GetTopicAttributes", "SetTopicAttributes", "DeleteTopic"];

/// Refuses what the caller may not do. What is wrong with the request otherwise is for the operation to say.
pub(super) async fn check<M: Messaging>(action: &str, call: &Call<'_, M>) -> Result<(), AwsError> {
    if call.context.caller == Caller::Anyone {
        return Ok(());
    }
    if is_of_link(action) {
        return check_link(action, call).await;
    }
    // The permission to publish is one for both operations.
    let action = action.strip_suffix("Batch").unwrap_or(action);
    let topic = match target(action, call) {
        Target::Topic(topic) => topic,
        Target::Subscription(subscription) => {
            if owns(call, &subscription).await? {
                return Ok(());
            }
            return Err(denied(action, call.context, &subscription.arn().to_string(), ""));
        }
        Target::None if call.context.caller == Caller::Anonymous => return Err(auth::missing()),
        Target::None => return Ok(()),
    };
    let own = call.context.acts_for(&topic.scope.account);
    match &call.context.facts {
        None if own => Ok(()),
        None => Err(denied(action, call.context, &topic.arn().to_string(), "")),
        Some(facts) => strictly(action, call, topic, facts).await,
    }
}

/// Whoever got a link may follow it without a signature. Who signs says who they are, and ends no subscription of
/// others.
async fn check_link<M: Messaging>(action: &str, call: &Call<'_, M>) -> Result<(), AwsError> {
    if action != "Unsubscribe" || call.context.caller == Caller::Anonymous {
        return Ok(());
    }
    match target(action, call) {
        Target::Subscription(subscription) if !owns(call, &subscription).await? => {
            Err(denied(action, call.context, &subscription.arn().to_string(), ""))
        }
        _ => Ok(()),
    }
}

/// What a request is about, if that can be read.
enum Target {
    Topic(TopicKey),
    Subscription(SubscriptionKey),
    None,
}

fn target<M>(action: &str, call: &Call<'_, M>) -> Target {
    let text = |name: &str| call.form.get(name).unwrap_or_default();
    let arn = match action {
        "GetSubscriptionAttributes" | "SetSubscriptionAttributes" | "Unsubscribe" => {
            let subscription = SubscriptionKey::from_arn("SubscriptionArn", text("SubscriptionArn"));
            return subscription.map_or(Target::None, Target::Subscription);
        }
        "TagResource"
        | "UntagResource"
        | "ListTagsForResource"
        | "GetDataProtectionPolicy"
        | "PutDataProtectionPolicy" => text("ResourceArn"),
        "Publish" if text("TopicArn").is_empty() => text("TargetArn"),
        _ => text("TopicArn"),
    };
    TopicKey::from_arn("TopicArn", arn).map_or(Target::None, Target::Topic)
}

/// Whether the caller acts for the account of a subscription's topic, or for the one that subscribed.
pub(super) async fn owns<M: Messaging>(
    call: &Call<'_, M>,
    subscription: &SubscriptionKey,
) -> Result<bool, AwsError> {
    if call.context.acts_for(&subscription.topic.scope.account) {
        return Ok(true);
    }
    match call.store.subscription_attributes(subscription.clone()).await {
        Ok(attributes) => {
            let mut owner = attributes.iter().filter(|(name, _)| name == "Owner");
            Ok(owner.any(|(_, owner)| call.context.acts_for(owner)))
        }
        Err(Failure::Refused(_)) => Ok(false),
        Err(Failure::Unavailable(why)) => Err(unavailable(&why)),
    }
}

/// What the policy of the topic says about the request, and what its silence means.
async fn strictly<M: Messaging>(
    action: &str,
    call: &Call<'_, M>,
    topic: TopicKey,
    facts: &Facts,
) -> Result<(), AwsError> {
    let own = call.context.acts_for(&topic.scope.account);
    let arn = topic.arn().to_string();
    let silent = "because no resource-based policy allows the action";
    let text = match call.store.topic_policy(topic.clone()).await {
        Ok(text) => text,
        // The operation will not find it either, and says so after it has looked at the rest.
        Err(Failure::Refused(_)) if own => return Ok(()),
        Err(Failure::Refused(_)) => return Err(denied(action, call.context, &arn, silent)),
        Err(Failure::Unavailable(why)) => return Err(unavailable(&why)),
    };
    let verdict = match call.policies.of_topic(&arn, &text) {
        None if own && MENDING.contains(&action) => return Ok(()),
        None => Verdict::Denied,
        Some(policy) => policy.evaluate(&Question {
            asker: policies::asker(call.context),
            action,
            resource: &arn,
            keys: &keys(action, call, facts, &topic),
        }),
    };
    match verdict {
        Verdict::Denied => {
            let why = "with an explicit deny in a resource-based policy";
            Err(denied(action, call.context, &arn, why))
        }
        Verdict::Allowed if own || GRANTABLE.contains(&action) => Ok(()),
        Verdict::Silent if own => Ok(()),
        Verdict::Allowed | Verdict::Silent => Err(denied(action, call.context, &arn, silent)),
    }
}

fn keys<M>(action: &str, call: &Call<'_, M>, facts: &Facts, topic: &TopicKey) -> Vec<(&'static str, String)> {
    let mut keys = policies::keys(call.context, facts, &topic.scope.account, call.world);
    if let Caller::Known(principal) = &call.context.caller {
        keys.push(("aws:SourceOwner", principal.account.clone()));
    }
    if action == "Subscribe" {
        let mut of_form = |key: &'static str, parameter: &str| {
            let value = call.form.get(parameter).unwrap_or_default();
            keys.push((key, value.to_owned()));
        };
        of_form("sns:Protocol", "Protocol");
        of_form("sns:Endpoint", "Endpoint");
    }
    keys
}

/// Refuses a subscription that would send into a queue whose owner has no say: that of another account, unless its
/// policy admits the topic in strict mode. What the policy of an own queue does not admit is not delivered.
pub(super) async fn check_queue<M: Messaging>(
    call: &Call<'_, M>,
    topic: &TopicKey,
    queue: &QueueKey,
) -> Result<(), AwsError> {
    if call.context.acts_for(&queue.scope.account) {
        return Ok(());
    }
    let admitted = call.context.facts.is_some() && {
        let text = match sqs::policy_of(call.store, queue).await {
            Ok(text) => text,
            Err(error) if error.shape == "QueueDoesNotExist" => None,
            Err(error) => return Err(error),
        };
        call.policies.admit(topic, queue, text.as_deref())
    };
    if admitted {
        return Ok(());
    }
    Err(denied("Subscribe", call.context, &queue.arn().to_string(), ""))
}

/// The queues of a topic whose policy does not let it send to them. Policies are evaluated in strict mode only.
pub(super) async fn denied_queues<M: Messaging>(
    call: &Call<'_, M>,
    topic: &TopicKey,
) -> Result<Vec<QueueKey>, AwsError> {
    if call.context.facts.is_none() {
        return Ok(Vec::new());
    }
    let queues = call.store.topic_queues(topic.clone()).await;
    let queues = queues.map_err(|why| unavailable(&why))?;
    Ok(call.policies.denied(topic, queues))
}

fn denied(action: &str, context: &Context, resource: &str, why: &str) -> AwsError {
    let who = match &context.caller {
        Caller::Known(principal) => principal.arn.as_str(),
        Caller::Anyone | Caller::Anonymous => "anonymous",
    };
    let mut message = format!(
        "User: {who} is not authorized to perform: SNS:{action} on resource: {}",
        shorten(resource)
    );
    if !why.is_empty() {
        message.push(' ');
        message.push_str(why);
    }
    AwsError::sender("AuthorizationError", "AuthorizationError", 403, message)
}
