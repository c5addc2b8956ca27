//! Decisions about topics, subscriptions and what is published.

use tsugite_base::names::{self, Scope};
use tsugite_base::{Decision, Invalid, Now, limits};

use crate::broker::{Broker, Subscription};
use crate::command::{CreateTopic, Publish, Published, Subscribe, SubscriptionInfo, TopicInfo};
use crate::error::{
    CreateTopicError, MessageAttributeInvalid, PublishError, SubscribeError, SubscriptionExists, Unsupported,
};
use crate::keys::{QueueKey, SubscriptionKey, TopicKey};
use crate::message::{AttributeRules, BodyError, check_attributes, check_body, message_size};
use crate::payload::{self, Delivery};
use crate::record::{Change, Record};

impl Broker {
    /// Creates a topic, or finds it.
    pub fn create_topic(
        &self,
        command: CreateTopic,
        now: Now,
    ) -> Result<Decision<Record, ()>, CreateTopicError> {
        let CreateTopic { topic, attributes } = command;
        names::check_topic_name(&topic.name)?;
        if topic.name.ends_with(".fifo") {
            return Err(Unsupported {
                what: "FifoTopic".into(),
            }
            .into());
        }
        if let Some((name, _)) = attributes.iter().find(|(n, v)| n != "FifoTopic" || v != "false") {
            return Err(Unsupported { what: name.clone() }.into());
        }
        if self.topics.contains_key(&topic) {
            return Ok(Decision::unchanged(()));
        }
        Ok(self.decided(Change::CreateTopic { topic }, (), now))
    }

    /// Deletes a topic with its subscriptions, if it exists.
    pub fn delete_topic(&self, topic: TopicKey, now: Now) -> Decision<Record, ()> {
        if !self.topics.contains_key(&topic) {
            return Decision::unchanged(());
        }
        self.decided(Change::DeleteTopic { topic }, (), now)
    }

    /// Subscribes a queue, or finds its subscription if the stated attributes agree.
    pub fn subscribe(
        &self,
        command: Subscribe,
        now: Now,
    ) -> Result<Decision<Record, SubscriptionKey>, SubscribeError> {
        let topic = self.find_topic(&command.topic)?;
        check_protocol(&command.protocol)?;
        let queue = QueueKey::from_arn("Endpoint", &command.endpoint)?;
        if queue.name.ends_with(".fifo") {
            let rule = "a FIFO queue cannot be subscribed to a standard topic";
            return Err(Invalid::new("Endpoint", &command.endpoint, rule).into());
        }
        let raw = raw_delivery(&command.attributes)?;
        let key = |id| SubscriptionKey {
            topic: command.topic.clone(),
            id,
        };
        let existing = topic.subscriptions.iter().find(|(_, s)| s.queue == queue);
        if let Some((&id, existing)) = existing {
            if raw.is_some_and(|raw| raw != existing.raw) {
                return Err(SubscriptionExists {
                    subscription: key(id),
                    attribute: "RawMessageDelivery".into(),
                }
                .into());
            }
            return Ok(Decision::unchanged(key(id)));
        }
        let change = Change::Subscribe {
            topic: command.topic.clone(),
            subscription: command.id,
            queue,
            raw: raw.unwrap_or(false),
        };
        Ok(self.decided(change, key(command.id), now))
    }

    /// Ends a subscription, if it exists.
    pub fn unsubscribe(&self, key: SubscriptionKey, now: Now) -> Decision<Record, ()> {
        let known = |t: &crate::broker::Topic| t.subscriptions.contains_key(&key.id);
        if !self.topics.get(&key.topic).is_some_and(known) {
            return Decision::unchanged(());
        }
        let SubscriptionKey { topic, id } = key;
        self.decided(
            Change::Unsubscribe {
                topic,
                subscription: id,
            },
            (),
            now,
        )
    }

    /// Stores a message for every subscriber that can take it.
    pub fn publish(&self, command: &Publish, now: Now) -> Result<Decision<Record, Published>, PublishError> {
        let topic = self.find_topic(&command.topic)?;
        check_publish(command)?;
        let mut deliveries = Vec::with_capacity(topic.subscriptions.len());
        for (&id, subscription) in &topic.subscriptions {
            deliveries.extend(self.delivery(id, subscription, command));
        }
        let reply = Published {
            id: command.id,
            deliveries: deliveries.len(),
            undeliverable: topic.subscriptions.len() - deliveries.len(),
        };
        if deliveries.is_empty() {
            return Ok(Decision::unchanged(reply));
        }
        let mut payload = Vec::with_capacity(command.message.len() + 256);
        payload::published(&mut payload, command, now.wall);
        let number = |(i, delivery): (usize, &Delivery)| {
            let before = deliveries[..i].iter().filter(|d| d.queue == delivery.queue);
            self.next_number(delivery.queue) + before.count() as u64
        };
        let numbers = deliveries.iter().enumerate().map(number).collect();
        let change = Change::Publish {
            numbers,
            deliveries,
            payload,
        };
        Ok(self.decided(change, reply, now))
    }

    /// How a subscription gets a message; `None` if its queue is missing, or may not hold the bare message.
    fn delivery(&self, id: tsugite_base::Uuid, to: &Subscription, command: &Publish) -> Option<Delivery> {
        let (queue, target) = self.find(&to.queue).ok()?;
        let size = message_size(&command.message, &command.attributes);
        let fits = size <= target.settings.max_size as usize
            && check_attributes(&command.attributes, AttributeRules::Queue).is_ok();
        (!to.raw || fits).then_some(Delivery {
            queue,
            subscription: id,
            raw: to.raw,
        })
    }

    /// The topics of a scope, by name.
    pub fn topics(&self, scope: &Scope) -> Vec<TopicInfo> {
        let first = TopicKey::new(scope.clone(), "");
        let of_scope = self
            .topics
            .range(first..)
            .take_while(|(key, _)| key.scope == *scope);
        let info = |(key, topic): (&TopicKey, &crate::broker::Topic)| TopicInfo {
            topic: key.clone(),
            subscriptions: topic
                .subscriptions
                .iter()
                .map(|(&id, s)| SubscriptionInfo {
                    subscription: SubscriptionKey {
                        topic: key.clone(),
                        id,
                    },
                    queue: s.queue.clone(),
                    raw: s.raw,
                })
                .collect(),
        };
        of_scope.map(info).collect()
    }
}

fn check_protocol(protocol: &str) -> Result<(), SubscribeError> {
    match protocol {
        "sqs" => Ok(()),
        "http" | "https" | "email" | "email-json" | "sms" => Err(Unsupported {
            what: format!("Protocol {protocol}"),
        }
        .into()),
        _ => Err(Invalid::new("Protocol", protocol, "this version delivers to sqs").into()),
    }
}

/// The stated `RawMessageDelivery`.
fn raw_delivery(attributes: &[(String, String)]) -> Result<Option<bool>, SubscribeError> {
    const KNOWN: [&str; 7] = [
        "FilterPolicy",
        "FilterPolicyScope",
        "RedrivePolicy",
        "DeliveryPolicy",
        "ReplayPolicy",
        "SubscriptionRoleArn",
        "SubscriptionPrincipal",
    ];
    let mut raw = None;
    for (name, value) in attributes {
        match (name.as_str(), value.to_ascii_lowercase().as_str()) {
            ("RawMessageDelivery", "true") => raw = Some(true),
            ("RawMessageDelivery", "false") => raw = Some(false),
            ("RawMessageDelivery", _) => {
                return Err(Invalid::new("RawMessageDelivery", value, "must be true or false").into());
            }
            (known, _) if KNOWN.contains(&known) => return Err(Unsupported { what: name.clone() }.into()),
            _ => return Err(Invalid::new("AttributeName", name, "is unknown").into()),
        }
    }
    Ok(raw)
}

fn check_publish(command: &Publish) -> Result<(), PublishError> {
    match check_body(&command.message) {
        Ok(()) => {}
        Err(BodyError::Missing(_)) => {
            return Err(Invalid::new("Message", "(empty)", "must not be empty").into());
        }
        Err(BodyError::Invalid(e)) => return Err(Invalid::new("Message", "(text)", e.to_string()).into()),
    }
    if let Some(subject) = &command.subject {
        let chars = subject.chars().count();
        if !(1..100).contains(&chars) || subject.chars().any(char::is_control) {
            let rule = "must have 1 to 99 characters, without line breaks or control characters";
            return Err(Invalid::new("Subject", subject, rule).into());
        }
    }
    check_attributes(&command.attributes, AttributeRules::Topic)
        .map_err(|invalid| MessageAttributeInvalid { invalid })?;
    let bytes = message_size(&command.message, &command.attributes);
    if bytes > limits::TOPIC_MESSAGE_BYTES {
        let rule = format!(
            "must be at most {} bytes with its attributes",
            limits::TOPIC_MESSAGE_BYTES
        );
        return Err(Invalid::new("Message", format!("of {bytes} bytes"), rule).into());
    }
    if let Some(id) = &command.deduplication {
        let rule = "is for FIFO topics only";
        return Err(Invalid::new("MessageDeduplicationId", id, rule).into());
    }
    if command.group.is_some() {
        return Err(Unsupported {
            what: "MessageGroupId".into(),
        }
        .into());
    }
    Ok(())
}
