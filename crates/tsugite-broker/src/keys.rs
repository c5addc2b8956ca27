//! How queues, topics and subscriptions are named: by scope and name outside, by number inside.

use std::fmt;
use std::str::FromStr;

use tsugite_base::names::{self, Scope};
use tsugite_base::{Arn, Invalid, Uuid};

/// A queue by its scope and name; what a queue URL or ARN comes down to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueKey {
    /// Account and region.
    pub scope: Scope,
    /// 1-80 characters.
    pub name: String,
}

impl QueueKey {
    /// A queue of `scope` called `name`; the name is not checked.
    pub fn new(scope: Scope, name: impl Into<String>) -> QueueKey {
        QueueKey {
            scope,
            name: name.into(),
        }
    }

    /// Whether the name is that of a FIFO queue.
    pub fn is_fifo(&self) -> bool {
        self.name.ends_with(".fifo")
    }

    /// The queue's ARN.
    pub fn arn(&self) -> Arn {
        Arn::new("sqs", &self.scope, self.name.clone())
    }

    /// The queue that an ARN names, or why it is not the ARN of a queue; `what` names the parameter.
    pub fn from_arn(what: &str, text: &str) -> Result<QueueKey, Invalid> {
        let arn = Arn::from_str(text).map_err(|e| Invalid::new(what, text, e.rule))?;
        if arn.service != "sqs" || names::check_queue_name(&arn.resource).is_err() {
            return Err(Invalid::new(
                what,
                text,
                "must be the ARN of a queue, like arn:aws:sqs:us-east-1:000000000000:name",
            ));
        }
        Ok(QueueKey::new(arn.scope(), arn.resource))
    }
}

/// The internal queues: under an empty account and names with a slash, which no ARN and no URL can say.
impl QueueKey {
    const OUTBOX: &str = "outbox/";

    /// Where messages wait that a subscription posts.
    pub fn outbox(subscription: Uuid) -> QueueKey {
        QueueKey::internal(format!("{}{subscription}", QueueKey::OUTBOX))
    }

    /// Where messages lie that would have been sent to addresses and phones.
    pub fn captured() -> QueueKey {
        QueueKey::internal("captured/".to_owned())
    }

    /// Where a topic keeps what was published to it.
    pub fn archive(topic: &TopicKey) -> QueueKey {
        let TopicKey { scope, name } = topic;
        QueueKey::internal(format!("archive/{}/{}/{name}", scope.account, scope.region))
    }

    /// Whether it is one of them.
    pub fn is_internal(&self) -> bool {
        self.scope.account.is_empty() && self.name.contains('/')
    }

    fn internal(name: String) -> QueueKey {
        let (account, region) = (String::new(), String::new());
        QueueKey::new(Scope { account, region }, name)
    }
}

/// A topic by its scope and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicKey {
    /// Account and region.
    pub scope: Scope,
    /// 1-256 characters.
    pub name: String,
}

impl TopicKey {
    /// A topic of `scope` called `name`; the name is not checked.
    pub fn new(scope: Scope, name: impl Into<String>) -> TopicKey {
        TopicKey {
            scope,
            name: name.into(),
        }
    }

    /// Whether the name is that of a FIFO topic.
    pub fn is_fifo(&self) -> bool {
        self.name.ends_with(".fifo")
    }

    /// The topic's ARN.
    pub fn arn(&self) -> Arn {
        Arn::new("sns", &self.scope, self.name.clone())
    }

    /// The topic that an ARN names, or why it is not the ARN of a topic; `what` names the parameter.
    pub fn from_arn(what: &str, text: &str) -> Result<TopicKey, Invalid> {
        let arn = Arn::from_str(text).map_err(|e| Invalid::new(what, text, e.rule))?;
        if arn.service != "sns" || names::check_topic_name(&arn.resource).is_err() {
            return Err(Invalid::new(
                what,
                text,
                "must be the ARN of a topic, like arn:aws:sns:us-east-1:000000000000:name",
            ));
        }
        Ok(TopicKey::new(arn.scope(), arn.resource))
    }
}

/// A subscription: its topic, and the UUID that ends its ARN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionKey {
    /// The topic.
    pub topic: TopicKey,
    /// Unique over all topics.
    pub id: Uuid,
}

impl SubscriptionKey {
    /// The subscription's ARN: the topic's, a colon, the UUID.
    pub fn arn(&self) -> Arn {
        let mut arn = self.topic.arn();
        arn.resource = format!("{}:{}", arn.resource, self.id);
        arn
    }

    /// The subscription that an ARN names, or why it is none; `what` names the parameter.
    pub fn from_arn(what: &str, text: &str) -> Result<SubscriptionKey, Invalid> {
        let bad = || Invalid::new(what, text, "must be the ARN of a subscription");
        let (topic, id) = text.rsplit_once(':').ok_or_else(bad)?;
        Ok(SubscriptionKey {
            topic: TopicKey::from_arn(what, topic).map_err(|_| bad())?,
            id: id.parse().map_err(|_| bad())?,
        })
    }
}

/// A queue's number: given at creation, never used again, so that a handle of a deleted queue is not
/// taken for one of its successor of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub u32);

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Default for TopicKey {
    fn default() -> TopicKey {
        TopicKey::new(Scope::default(), "")
    }
}
