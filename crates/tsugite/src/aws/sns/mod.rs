//! SNS over the Query protocol: which action a request names, its parameters, and its errors.

mod publish;
mod subscriptions;
mod topics;

use std::str::FromStr as _;

use tsugite_aws::error::shorten;
use tsugite_aws::{AwsError, Context, Form};
use tsugite_base::{Arn, Invalid, World};
use tsugite_broker::error::*;
use tsugite_broker::{SubscriptionKey, TopicKey};
use tsugite_engine::{Failure, Messaging};

use super::sqs::unavailable;

/// XML namespace of every answer.
pub(super) const NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";

/// Actions that SNS has and Tsugite does not have yet.
pub(super) const UNSUPPORTED: &[&str] = &[
    "AddPermission",
    "CheckIfPhoneNumberIsOptedOut",
    "ConfirmSubscription",
    "CreatePlatformApplication",
    "CreatePlatformEndpoint",
    "CreateSMSSandboxPhoneNumber",
    "DeleteEndpoint",
    "DeletePlatformApplication",
    "DeleteSMSSandboxPhoneNumber",
    "GetDataProtectionPolicy",
    "GetEndpointAttributes",
    "GetPlatformApplicationAttributes",
    "GetSMSAttributes",
    "GetSMSSandboxAccountStatus",
    "GetSubscriptionAttributes",
    "GetTopicAttributes",
    "ListEndpointsByPlatformApplication",
    "ListOriginationNumbers",
    "ListPhoneNumbersOptedOut",
    "ListPlatformApplications",
    "ListSMSSandboxPhoneNumbers",
    "ListTagsForResource",
    "OptInPhoneNumber",
    "PublishBatch",
    "PutDataProtectionPolicy",
    "RemovePermission",
    "SetEndpointAttributes",
    "SetPlatformApplicationAttributes",
    "SetSMSAttributes",
    "SetSubscriptionAttributes",
    "SetTopicAttributes",
    "TagResource",
    "UntagResource",
    "VerifySMSSandboxPhoneNumber",
];

/// One request to SNS.
pub(super) struct Call<'a, M> {
    /// Where the topics are.
    pub store: &'a M,
    /// Source of ids.
    pub world: &'a World,
    /// Who asks.
    pub context: &'a Context,
    /// The parameters.
    pub form: &'a Form<'a>,
}

/// Answers one request with the inner XML of its result, or `None` if the action has no result.
pub(super) async fn handle<M: Messaging>(
    action: &str,
    call: Call<'_, M>,
) -> Result<Option<String>, AwsError> {
    match action {
        "Publish" => publish::publish(call).await.map(Some),
        "CreateTopic" => topics::create(call).await.map(Some),
        "DeleteTopic" => topics::delete(call).await.map(|()| None),
        "ListTopics" => topics::list(call).await.map(Some),
        "Subscribe" => subscriptions::subscribe(call).await.map(Some),
        "Unsubscribe" => subscriptions::unsubscribe(call).await.map(|()| None),
        "ListSubscriptions" => subscriptions::list(call).await.map(Some),
        "ListSubscriptionsByTopic" => subscriptions::list_by_topic(call).await.map(Some),
        known if UNSUPPORTED.contains(&known) => Err(AwsError::unsupported_action("SNS", known)),
        unknown => Err(AwsError::invalid_action("SNS", unknown)),
    }
}

impl<M> Call<'_, M> {
    /// A required parameter.
    fn required(&self, name: &str) -> Result<&str, AwsError> {
        self.form
            .get(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| {
                AwsError::bad_request(
                    "InvalidParameter",
                    format!("Invalid parameter: {name}. It must be present and not empty."),
                )
            })
    }

    /// The topic that an ARN names, which must be one of this region.
    fn topic(&self, parameter: &str, arn: &str) -> Result<TopicKey, AwsError> {
        let topic = TopicKey::from_arn(parameter, arn).map_err(invalid)?;
        self.in_region(parameter, arn, &topic)?;
        self.own(arn, &topic.scope.account)?;
        Ok(topic)
    }

    /// The subscription that an ARN names, which must be one of this region.
    fn subscription(&self, parameter: &str, arn: &str) -> Result<SubscriptionKey, AwsError> {
        let subscription = SubscriptionKey::from_arn(parameter, arn).map_err(invalid)?;
        self.in_region(parameter, arn, &subscription.topic)?;
        self.own(arn, &subscription.topic.scope.account)?;
        Ok(subscription)
    }

    /// Refuses what is of another account: topics have no policies that could admit anybody.
    fn own(&self, arn: &str, account: &str) -> Result<(), AwsError> {
        if self.context.acts_for(account) {
            return Ok(());
        }
        Err(self.not_authorized(arn))
    }

    fn not_authorized(&self, arn: &str) -> AwsError {
        let message = format!(
            "User: {} is not authorized to perform this action on resource: {}",
            self.context.caller_arn(),
            shorten(arn)
        );
        AwsError::sender("AuthorizationError", "AuthorizationError", 403, message)
    }

    fn in_region(&self, parameter: &str, arn: &str, topic: &TopicKey) -> Result<(), AwsError> {
        let region = &self.context.scope.region;
        if topic.scope.region == *region {
            return Ok(());
        }
        let rule = format!("must be of the region of the request, which is {region}");
        Err(invalid(Invalid::new(parameter, arn, rule)))
    }

    /// Where a page of a list starts: tokens are the ARN of the last element of the page before.
    fn start_after(&self) -> Result<Option<String>, AwsError> {
        match self.form.get("NextToken") {
            None | Some("") => Ok(None),
            Some(token) if Arn::from_str(token).is_ok() => Ok(Some(token.to_owned())),
            Some(token) => Err(invalid(Invalid::new(
                "NextToken",
                shorten(token),
                "must be a token of an earlier answer",
            ))),
        }
    }
}

/// Elements on one page of a list.
const PAGE: usize = 100;

/// The page of `elements`, which are sorted by their ARNs, after the given one; and the token of the next page.
fn page<T>(elements: Vec<(String, T)>, after: Option<&str>) -> (Vec<(String, T)>, Option<String>) {
    let mut rest = elements
        .into_iter()
        .skip_while(|(arn, _)| after.is_some_and(|after| arn.as_str() <= after));
    let page: Vec<_> = rest.by_ref().take(PAGE).collect();
    let next = rest.next().and_then(|_| page.last().map(|(arn, _)| arn.clone()));
    (page, next)
}

/// A value that breaks a rule.
fn invalid(invalid: Invalid) -> AwsError {
    AwsError::bad_request(
        "InvalidParameter",
        format!(
            "Invalid parameter: {} Reason: {} {}.",
            invalid.what, invalid.value, invalid.rule
        ),
    )
}

fn unsupported(unsupported: &Unsupported) -> AwsError {
    AwsError::bad_request("InvalidParameter", format!("Invalid parameter: {unsupported}"))
}

fn not_found(topic: &TopicNotFound) -> AwsError {
    AwsError::sender("NotFound", "NotFound", 404, topic.to_string())
}

/// The wire error of a failed operation, `refused` naming the operation's own reasons.
fn failed<E>(failure: Failure<E>, refused: impl FnOnce(E) -> AwsError) -> AwsError {
    match failure {
        Failure::Refused(error) => refused(error),
        Failure::Unavailable(why) => unavailable(&why),
    }
}

fn create_topic_refused(error: CreateTopicError) -> AwsError {
    match error {
        CreateTopicError::Invalid(e) => invalid(e),
        CreateTopicError::Unsupported(e) => unsupported(&e),
    }
}

fn subscribe_refused(error: SubscribeError) -> AwsError {
    match error {
        SubscribeError::Topic(e) => not_found(&e),
        SubscribeError::Invalid(e) => invalid(e),
        SubscribeError::Exists(e) => {
            AwsError::bad_request("InvalidParameter", format!("Invalid parameter: {e}"))
        }
        SubscribeError::Unsupported(e) => unsupported(&e),
    }
}

fn publish_refused(error: PublishError) -> AwsError {
    match error {
        PublishError::Topic(e) => not_found(&e),
        PublishError::Invalid(e) => invalid(e),
        PublishError::Attribute(e) => AwsError::sender(
            "InvalidParameterValue",
            "ParameterValueInvalid",
            400,
            e.to_string(),
        ),
        PublishError::Unsupported(e) => unsupported(&e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let all: Vec<(String, ())> = (0..250).map(|n| (format!("arn:{n:03}"), ())).collect();
        let (first, token) = page(all.clone(), None);
        assert_eq!((first.len(), token.as_deref()), (100, Some("arn:099")));
        let (second, token) = page(all.clone(), token.as_deref());
        assert_eq!(
            (second[0].0.as_str(), token.as_deref()),
            ("arn:100", Some("arn:199"))
        );
        let (last, token) = page(all.clone(), token.as_deref());
        assert_eq!((last.len(), token), (50, None));
        assert_eq!(page(all[..100].to_vec(), None).1, None);
    }
}
