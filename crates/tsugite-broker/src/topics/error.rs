//! What operations on topics refuse.

use std::fmt;

use crate::error::{leaf, operation};
use crate::keys::{SubscriptionKey, TopicKey};

leaf!(
    /// A parameter that breaks a rule, in the manner of SNS.
    ParameterInvalid { /** The parameter, or what is wrong where AWS says no more. */ what: String, /** The value and the rule; may be empty. */ reason: String },
    |e, f| {
        write!(f, "Invalid parameter: {}", e.what)?;
        if e.reason.is_empty() { Ok(()) } else { write!(f, " Reason: {}", e.reason) }
    }
);

impl ParameterInvalid {
    /// A parameter and what is wrong with it.
    pub fn new(what: impl Into<String>, reason: impl Into<String>) -> ParameterInvalid {
        let (what, reason) = (what.into(), reason.into());
        ParameterInvalid { what, reason }
    }
}

leaf!(
    /// No topic of that name in that scope.
    TopicNotFound { /** The topic asked for. */ topic: TopicKey },
    |e, f| write!(f, "Topic does not exist: {}.", e.topic.arn())
);
leaf!(
    /// No such subscription.
    SubscriptionNotFound { /** The subscription asked for. */ subscription: SubscriptionKey },
    |e, f| write!(f, "Subscription does not exist: {}.", e.subscription.arn())
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
    MessageAttributeInvalid { /** The attribute, the value, the rule. */ invalid: tsugite_base::Invalid },
    |e, f| e.invalid.fmt(f)
);
leaf!(
    /// The entries of a batch together are too long.
    PublishTooLong { /** Bytes of all entries. */ bytes: usize, /** Bytes allowed. */ limit: usize },
    |e, f| write!(f, "The length of all the messages put together is more than the limit: {} bytes, and {} are allowed.", e.bytes, e.limit)
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
    }
);
operation!(
    /// What is wrong with one message of a publish; the others are accepted.
    PublishError {
        /** The message, its subject, its group or its size. */ Invalid(ParameterInvalid),
        /** A message attribute. */ Attribute(MessageAttributeInvalid),
    }
);
