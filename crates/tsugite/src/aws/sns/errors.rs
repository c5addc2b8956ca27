//! Every reason of the broker as SNS says it: one exhaustive match per operation.

use tsugite_aws::AwsError;
use tsugite_broker::*;
use tsugite_engine::{Failure, Unavailable};

pub(super) use crate::aws::sqs::unavailable;

/// A domain error that has a name in SNS.
pub(super) trait IntoAws {
    /// The wire error.
    fn into_aws(self) -> AwsError;
}

impl<E: IntoAws> IntoAws for Failure<E> {
    fn into_aws(self) -> AwsError {
        match self {
            Failure::Refused(refused) => refused.into_aws(),
            Failure::Unavailable(unavailable) => unavailable.into_aws(),
        }
    }
}

impl IntoAws for Unavailable {
    fn into_aws(self) -> AwsError {
        unavailable(&self)
    }
}

/// A parameter, and what is wrong with it; of some, AWS says no more than the name.
pub(super) fn invalid(parameter: &str, reason: &str) -> AwsError {
    ParameterInvalid::new(parameter, reason).into_aws()
}

/// A required parameter that is absent.
pub(super) fn missing(parameter: &str) -> AwsError {
    invalid(parameter, "no value for required parameter")
}

/// A required member that is absent, by its path.
pub(super) fn null(path: &str) -> AwsError {
    AwsError::bad_request(
        "ValidationError",
        format!(
            "1 validation error detected: Value null at '{path}' failed to satisfy constraint: Member must not be null"
        ),
    )
}

/// A message attribute that breaks a rule.
pub(super) fn attribute_invalid(message: impl Into<String>) -> AwsError {
    AwsError::sender("InvalidParameterValue", "ParameterValueInvalid", 400, message)
}

/// A cap that a topic has reached.
fn limit(code: &'static str, message: &dyn std::fmt::Display) -> AwsError {
    AwsError::sender(code, code, 403, message.to_string())
}

fn not_found(message: &dyn std::fmt::Display) -> AwsError {
    AwsError::sender("NotFound", "NotFound", 404, message.to_string())
}

/// Of the calls about tags, which are of resources in general.
pub(super) fn resource_not_found(_: TopicNotFound) -> AwsError {
    AwsError::sender(
        "ResourceNotFound",
        "ResourceNotFound",
        404,
        "Resource does not exist",
    )
}

impl IntoAws for ParameterInvalid {
    fn into_aws(self) -> AwsError {
        AwsError::bad_request("InvalidParameter", self.text)
    }
}

impl IntoAws for TopicNotFound {
    fn into_aws(self) -> AwsError {
        not_found(&self)
    }
}

impl IntoAws for SubscriptionNotFound {
    fn into_aws(self) -> AwsError {
        not_found(&self)
    }
}

impl IntoAws for TooManyTags {
    fn into_aws(self) -> AwsError {
        AwsError::bad_request("TagLimitExceeded", self.to_string())
    }
}

impl IntoAws for TooManyFilters {
    fn into_aws(self) -> AwsError {
        limit("FilterPolicyLimitExceeded", &self)
    }
}

impl IntoAws for CreateTopicError {
    fn into_aws(self) -> AwsError {
        match self {
            CreateTopicError::Invalid(e) => e.into_aws(),
            CreateTopicError::Tags(e) => e.into_aws(),
        }
    }
}

impl IntoAws for DeleteTopicError {
    fn into_aws(self) -> AwsError {
        match self {
            DeleteTopicError::Archive(e) => AwsError::bad_request("InvalidState", e.to_string()),
        }
    }
}

impl IntoAws for TopicError {
    fn into_aws(self) -> AwsError {
        match self {
            TopicError::Topic(e) => e.into_aws(),
            TopicError::Invalid(e) => e.into_aws(),
        }
    }
}

impl IntoAws for TagTopicError {
    fn into_aws(self) -> AwsError {
        match self {
            TagTopicError::Topic(e) => resource_not_found(e),
            TagTopicError::Invalid(e) => e.into_aws(),
            TagTopicError::Tags(e) => e.into_aws(),
        }
    }
}

impl IntoAws for SubscribeError {
    fn into_aws(self) -> AwsError {
        match self {
            SubscribeError::Topic(e) => e.into_aws(),
            SubscribeError::Invalid(e) => e.into_aws(),
            SubscribeError::Subscriptions(e) => limit("SubscriptionLimitExceeded", &e),
            SubscribeError::Filters(e) => e.into_aws(),
        }
    }
}

impl IntoAws for UnsubscribeError {
    fn into_aws(self) -> AwsError {
        match self {
            UnsubscribeError::Guarded(e) => {
                AwsError::sender("AuthorizationError", "AuthorizationError", 403, e.to_string())
            }
        }
    }
}

impl IntoAws for SubscriptionError {
    fn into_aws(self) -> AwsError {
        match self {
            SubscriptionError::Subscription(e) => e.into_aws(),
            SubscriptionError::Invalid(e) => e.into_aws(),
            SubscriptionError::Filters(e) => e.into_aws(),
        }
    }
}

impl IntoAws for PublishBatchError {
    fn into_aws(self) -> AwsError {
        match self {
            PublishBatchError::Topic(e) => e.into_aws(),
            PublishBatchError::TooLong(e) => AwsError::bad_request("BatchRequestTooLong", e.to_string()),
            PublishBatchError::Invalid(e) => e.into_aws(),
            PublishBatchError::Attribute(e) => attribute_invalid(e.text),
        }
    }
}

impl IntoAws for PublishError {
    fn into_aws(self) -> AwsError {
        match self {
            PublishError::Invalid(e) => e.into_aws(),
            PublishError::Attribute(e) => attribute_invalid(e.text),
            PublishError::TooLong(e) => AwsError::bad_request("InvalidParameter", e.to_string()),
        }
    }
}
