//! SNS over the Query protocol: which action a request names, its parameters, and its errors.

mod publish;
mod subscriptions;
mod topics;

use std::str::FromStr as _;

use tsugite_aws::error::shorten;
use tsugite_aws::{AwsError, Context, Form};
use tsugite_base::{Arn, Invalid, World};
use tsugite_broker::*;
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

    /// Where a page of subscriptions starts.
    fn start_after_subscription(&self) -> Result<Option<SubscriptionKey>, AwsError> {
        let arn = self.start_after()?;
        arn.map(|arn| self.subscription("NextToken", &arn)).transpose()
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

/// A refusal in the words of the broker, which are those of AWS.
fn refused(error: &ParameterInvalid) -> AwsError {
    AwsError::bad_request("InvalidParameter", error.to_string())
}

fn limit(code: &'static str, message: &dyn std::fmt::Display) -> AwsError {
    AwsError::sender(code, code, 403, message.to_string())
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
        CreateTopicError::Invalid(e) => refused(&e),
        CreateTopicError::Tags(e) => AwsError::bad_request("TagLimitExceeded", e.to_string()),
    }
}

fn subscribe_refused(error: SubscribeError) -> AwsError {
    match error {
        SubscribeError::Topic(e) => not_found(&e),
        SubscribeError::Invalid(e) => refused(&e),
        SubscribeError::Subscriptions(e) => limit("SubscriptionLimitExceeded", &e),
        SubscribeError::Filters(e) => limit("FilterPolicyLimitExceeded", &e),
    }
}

fn publish_refused(error: &PublishError) -> AwsError {
    match error {
        PublishError::Invalid(e) => refused(e),
        PublishError::Attribute(e) => AwsError::sender(
            "InvalidParameterValue",
            "ParameterValueInvalid",
            400,
            e.to_string(),
        ),
    }
}
