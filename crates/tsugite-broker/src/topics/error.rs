//! What operations on topics refuse.

use std::fmt;

use crate::error::{leaf, operation};
use crate::keys::{SubscriptionKey, TopicKey};

leaf!(
    /// A parameter that breaks a rule, in the words of SNS.
    ParameterInvalid { /** The whole sentence. */ text: String },
    |e, f| f.write_str(&e.text)
);

impl ParameterInvalid {
    /// A parameter and what is wrong with it; of some, AWS says no more than the name.
    pub fn new(what: impl fmt::Display, reason: impl fmt::Display) -> ParameterInvalid {
        let reason = reason.to_string();
        ParameterInvalid::worded(match reason.as_str() {
            "" => format!("Invalid parameter: {what}"),
            reason => format!("Invalid parameter: {what} Reason: {reason}"),
        })
    }

    /// A sentence that does not begin as the others do.
    pub fn worded(text: impl Into<String>) -> ParameterInvalid {
        ParameterInvalid { text: text.into() }
    }
}

/// An attribute of a topic or a subscription that breaks a rule. How AWS says so depends on the call that states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AttributeInvalid {
    /// There is none of this name.
    Unknown(String),
    /// Its value, as `name: rule`, or in words of its own.
    Value(String),
}

impl AttributeInvalid {
    pub(super) fn value(name: &str, rule: impl fmt::Display) -> AttributeInvalid {
        AttributeInvalid::Value(format!("{name}: {rule}"))
    }

    /// What is wrong with a delivery policy; the member that is wrong is in its name already.
    pub(super) fn of_delivery_policy(invalid: tsugite_base::Invalid) -> AttributeInvalid {
        let tsugite_base::Invalid { what, value, rule } = invalid;
        AttributeInvalid::Value(format!("{what}: {value}: {rule}"))
    }

    /// As the call says it that creates a topic or a subscription with attributes.
    pub(super) fn stated(self) -> ParameterInvalid {
        match self {
            AttributeInvalid::Unknown(name) => {
                ParameterInvalid::new("Attributes", format!("Unknown attribute {name}"))
            }
            AttributeInvalid::Value(text) => ParameterInvalid::new("Attributes", text),
        }
    }

    /// As the call says it that sets this one attribute.
    pub(super) fn alone(self) -> ParameterInvalid {
        match self {
            AttributeInvalid::Unknown(_) => ParameterInvalid::new("AttributeName", ""),
            AttributeInvalid::Value(text) => ParameterInvalid::new(text, ""),
        }
    }
}

leaf!(
    /// No topic of that name in that scope.
    TopicNotFound { /** The topic asked for. */ topic: TopicKey },
    |_e, f| f.write_str("Topic does not exist")
);
leaf!(
    /// No such subscription.
    SubscriptionNotFound { /** The subscription asked for. */ subscription: SubscriptionKey },
    |_e, f| f.write_str("Subscription does not exist")
);
leaf!(
    /// A topic with an archive cannot be deleted.
    ArchiveActive { /** The topic. */ topic: TopicKey },
    |e, f| write!(f, "Invalid state: Cannot delete topic {} while it has an active message archive policy; set ArchivePolicy to {{}} first.", e.topic.arn())
);
leaf!(
    /// More subscriptions than the topic can have.
    TooManySubscriptions { /** The cap. */ limit: usize },
    |e, f| write!(f, "This topic has {} subscriptions, which is the limit.", e.limit)
);
leaf!(
    /// More filter policies than the topic can have.
    TooManyFilters { /** The cap. */ limit: usize },
    |e, f| write!(f, "This topic has {} filter policies, which is the limit (aws.sns.filter_policies).", e.limit)
);
leaf!(
    /// More tags than a topic can have.
    TooManyTags { /** The cap. */ limit: usize },
    |e, f| write!(f, "Could not complete request: tag quota of {} per resource exceeded.", e.limit)
);
leaf!(
    /// Only the owner may end this subscription.
    UnsubscribeGuarded { /** The subscription. */ subscription: SubscriptionKey },
    |e, f| write!(f, "Subscription {} was confirmed with AuthenticateOnUnsubscribe: only its owner can end it.", e.subscription.arn())
);
leaf!(
    /// A message attribute that breaks a rule.
    MessageAttributeInvalid { /** The whole sentence. */ text: String },
    |e, f| f.write_str(&e.text)
);
leaf!(
    /// A message that is too long with its attributes.
    MessageTooLong { /** Its bytes. */ bytes: usize, /** Bytes allowed. */ limit: usize },
    |_e, f| f.write_str("Invalid parameter: Message too long")
);
leaf!(
    /// The entries of a batch together are too long.
    PublishTooLong { /** Bytes of all entries. */ bytes: usize, /** Bytes allowed. */ limit: usize },
    |_e, f| f.write_str("The length of all the messages put together is more than the limit.")
);

operation!(
    /// What [`crate::Broker::create_topic`] refuses.
    CreateTopicError {
        /** The name, an attribute, or a topic that differs. */ Invalid(ParameterInvalid),
        /** Too many tags. */ Tags(TooManyTags),
    }
);
operation!(
    /// What [`crate::Broker::delete_topic`] refuses.
    DeleteTopicError {
        /** It has an archive. */ Archive(ArchiveActive),
    }
);
operation!(
    /// What an operation on a topic refuses.
    TopicError {
        /** No such topic. */ Topic(TopicNotFound),
        /** A value that breaks a rule. */ Invalid(ParameterInvalid),
    }
);
operation!(
    /// What [`crate::Broker::tag_topic`] refuses.
    TagTopicError {
        /** No such topic. */ Topic(TopicNotFound),
        /** A key or value that breaks a rule. */ Invalid(ParameterInvalid),
        /** Too many. */ Tags(TooManyTags),
    }
);
operation!(
    /// What [`crate::Broker::subscribe`] refuses.
    SubscribeError {
        /** No such topic. */ Topic(TopicNotFound),
        /** The protocol, the endpoint or an attribute, or a subscription that differs. */ Invalid(ParameterInvalid),
        /** Too many subscriptions. */ Subscriptions(TooManySubscriptions),
        /** Too many filter policies. */ Filters(TooManyFilters),
    }
);
operation!(
    /// What [`crate::Broker::unsubscribe`] refuses.
    UnsubscribeError {
        /** Only the owner may. */ Guarded(UnsubscribeGuarded),
    }
);
operation!(
    /// What an operation on a subscription refuses.
    SubscriptionError {
        /** No such subscription. */ Subscription(SubscriptionNotFound),
        /** A value that breaks a rule. */ Invalid(ParameterInvalid),
        /** Too many filter policies. */ Filters(TooManyFilters),
    }
);
operation!(
    /// What [`crate::Broker::publish`] refuses as a whole.
    PublishBatchError {
        /** No such topic. */ Topic(TopicNotFound),
        /** The entries together are too long. */ TooLong(PublishTooLong),
        /** The structure, the group or the deduplication of an entry. */ Invalid(ParameterInvalid),
        /** A message attribute of an entry. */ Attribute(MessageAttributeInvalid),
    }
);
operation!(
    /// What is wrong with one message of a publish; the others are accepted.
    PublishError {
        /** The message, its subject or its group. */ Invalid(ParameterInvalid),
        /** A message attribute. */ Attribute(MessageAttributeInvalid),
        /** Its size. */ TooLong(MessageTooLong),
    }
);
