//! SNS over the Query protocol: which operation a request names, and what every operation has at hand.

mod access;
mod attributes;
mod batch;
mod elsewhere;
mod errors;
mod lists;
mod message;
mod permissions;
mod protection;
mod publish;
mod subscriptions;
mod tags;
mod token;
mod topics;

use tsugite_aws::{AwsError, Context, Form};
use tsugite_base::World;
use tsugite_broker::{SubscriptionKey, TopicKey};
use tsugite_engine::Messaging;

use errors::{invalid, missing};

use super::policies::Policies;

/// XML namespace of every answer.
pub(super) const NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";

/// Actions that links in messages name: whoever got the link may follow it.
const OF_LINKS: &[&str] = &["ConfirmSubscription", "Unsubscribe"];

/// Whether a request may come without a signature where signatures are asked for.
pub(super) fn is_of_link(action: &str) -> bool {
    OF_LINKS.contains(&action)
}

/// Whether SNS alone has an action of this name among the services that speak the Query protocol.
pub(super) fn is_own(action: &str) -> bool {
    OPERATIONS.contains(&action) || elsewhere::part(action).is_some()
}

/// Operations whose names no other service of this port has in the Query protocol; SQS has AddPermission and
/// RemovePermission too.
const OPERATIONS: &[&str] = &[
    "ConfirmSubscription",
    "CreateTopic",
    "DeleteTopic",
    "GetDataProtectionPolicy",
    "GetSubscriptionAttributes",
    "GetTopicAttributes",
    "ListSubscriptions",
    "ListSubscriptionsByTopic",
    "ListTagsForResource",
    "ListTopics",
    "Publish",
    "PublishBatch",
    "PutDataProtectionPolicy",
    "SetSubscriptionAttributes",
    "SetTopicAttributes",
    "Subscribe",
    "TagResource",
    "Unsubscribe",
    "UntagResource",
];

/// One request to SNS.
pub(super) struct Call<'a, M> {
    /// Where the topics are.
    pub store: &'a M,
    /// Source of ids.
    pub world: &'a World,
    /// Who asks.
    pub context: &'a Context,
    /// Whether the request is signed, by whomever.
    pub signed: bool,
    /// Policies that were parsed already.
    pub policies: &'a Policies,
    /// The parameters.
    pub form: &'a Form<'a>,
}

/// Answers one request with the inner XML of its result, or `None` if the operation has no result.
pub(super) async fn handle<M: Messaging>(
    action: &str,
    call: Call<'_, M>,
) -> Result<Option<String>, AwsError> {
    access::check(action, &call).await?;
    match action {
        "Publish" => publish::publish(call).await.map(Some),
        "PublishBatch" => batch::publish(call).await.map(Some),
        "CreateTopic" => topics::create(call).await.map(Some),
        "DeleteTopic" => topics::delete(call).await.map(|()| None),
        "ListTopics" => lists::topics(call).await.map(Some),
        "ListSubscriptions" => lists::subscriptions(call).await.map(Some),
        "ListSubscriptionsByTopic" => lists::of_topic(call).await.map(Some),
        "GetTopicAttributes" => attributes::get_topic(call).await.map(Some),
        "SetTopicAttributes" => attributes::set_topic(call).await.map(|()| None),
        "GetSubscriptionAttributes" => attributes::get_subscription(call).await.map(Some),
        "SetSubscriptionAttributes" => attributes::set_subscription(call).await.map(|()| None),
        "Subscribe" => subscriptions::subscribe(call).await.map(Some),
        "ConfirmSubscription" => subscriptions::confirm(call).await.map(Some),
        "Unsubscribe" => subscriptions::unsubscribe(call).await.map(|()| None),
        "TagResource" => tags::tag(call).await.map(Some),
        "UntagResource" => tags::untag(call).await.map(Some),
        "ListTagsForResource" => tags::list(call).await.map(Some),
        "AddPermission" => permissions::add(call).await.map(|()| None),
        "RemovePermission" => permissions::remove(call).await.map(|()| None),
        "GetDataProtectionPolicy" => protection::get(call).await.map(Some),
        "PutDataProtectionPolicy" => protection::put(call).await.map(|()| None),
        other => Err(elsewhere::refused(other)),
    }
}

impl<M> Call<'_, M> {
    /// A parameter that must be there; it may be empty.
    fn given(&self, name: &str) -> Result<&str, AwsError> {
        self.form.get(name).ok_or_else(|| missing(name))
    }

    /// The topic that a parameter names, which must be one of the request's region.
    fn topic(&self, parameter: &str) -> Result<TopicKey, AwsError> {
        let arn = self.given(parameter)?;
        check_elements(parameter, arn)?;
        let topic = TopicKey::from_arn(parameter, arn).map_err(|_| invalid(parameter, ""))?;
        if topic.scope.region != self.context.scope.region {
            return Err(invalid(parameter, ""));
        }
        Ok(topic)
    }

    /// The subscription that the request names. A link leads to one of any region.
    fn subscription(&self) -> Result<SubscriptionKey, AwsError> {
        const PARAMETER: &str = "SubscriptionArn";
        let arn = self.given(PARAMETER)?;
        check_elements(PARAMETER, arn)?;
        let subscription = SubscriptionKey::from_arn(PARAMETER, arn);
        let subscription = subscription.map_err(|_| invalid("SubscriptionId", ""))?;
        if self.signed && subscription.topic.scope.region != self.context.scope.region {
            return Err(invalid(PARAMETER, ""));
        }
        Ok(subscription)
    }
}

/// What AWS says of a text that is too short to be an ARN.
fn check_elements(parameter: &str, arn: &str) -> Result<(), AwsError> {
    let elements = arn.split(':').count();
    if elements >= 6 {
        return Ok(());
    }
    let reason = format!("An ARN must have at least 6 elements, not {elements}");
    Err(invalid(parameter, &reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_own_actions() {
        assert!(OPERATIONS.is_sorted());
        assert!(is_of_link("Unsubscribe") && !is_of_link("Publish"));
        assert!(is_own("PublishBatch") && is_own("CreatePlatformApplication"));
        assert!(!is_own("AddPermission") && !is_own("SendMessage"));
    }

    #[test]
    fn arns_have_six_elements() {
        assert!(check_elements("TopicArn", "arn:aws:sns:us-east-1:000000000000:t").is_ok());
        for (arn, elements) in [
            ("", 1),
            ("randomstring:1", 2),
            ("arn:aws:sns:us-east-1:random", 5),
        ] {
            let error = check_elements("TopicArn", arn).unwrap_err();
            let expected = format!(
                "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not {elements}"
            );
            assert_eq!(
                (error.query_code.as_ref(), error.message),
                ("InvalidParameter", expected)
            );
        }
    }
}
