//! Subscribing, changing a subscription, and ending it.

use tsugite_base::{Decision, Now, Uuid, limits};

use super::command::{SetSubscriptionAttribute, Subscribe, Subscribed, Unsubscribe};
use super::error::*;
use super::replay::Replay;
use super::subscription::{Confirmation, Protocol, Subscription, SubscriptionSettings};
use super::{Topic, TopicChange, outbox};
use crate::broker::Broker;
use crate::keys::{QueueKey, SubscriptionKey, TopicKey};
use crate::record::{Change, Record};

impl Broker {
    /// Subscribes an endpoint, or finds its subscription if what is stated agrees. An endpoint that has to confirm and
    /// did not yet gets its token again.
    pub fn subscribe(
        &self,
        command: Subscribe,
        now: Now,
    ) -> Result<Decision<Record, Subscribed>, SubscribeError> {
        let topic = self.find_topic(&command.topic)?;
        let protocol: Protocol = command.protocol.parse()?;
        check_endpoint(&command.topic, protocol, &command.endpoint)?;
        let settings = stated_settings(&command, protocol)?;
        let mut of_endpoint = topic.roster.of_endpoint(protocol, &command.endpoint);
        let existing = of_endpoint.find_map(|id| Some((id, topic.subscriptions.get(&id)?)));
        if let Some((id, existing)) = existing {
            return self.subscribed_already(&command, id, existing, &settings, now);
        }
        topic.check_room(&command.topic)?;
        if topic.settings.max_size() > limits::TOPIC_MESSAGE_BYTES {
            topic.check_large_with(protocol)?;
        }
        if settings.filter.is_some() {
            self.check_filters(topic)?;
        }
        let pending = protocol.confirms();
        let (owner, principal) = (&command.owner, &command.principal);
        let mut subscription = Subscription::new(protocol, &command.endpoint, owner, principal);
        subscription.replay = self.replay_of(&command.topic, topic, &settings, now)?;
        subscription.base_url.clone_from(&command.base_url);
        subscription.settings = settings;
        let subscription = if pending {
            subscription.awaiting(&command.token, self.token_until(now))
        } else {
            subscription
        };
        let key = SubscriptionKey {
            topic: command.topic,
            id: command.id,
        };
        let reply = Subscribed {
            subscription: key.clone(),
            pending,
        };
        let changes = self.put_with_announcement(key, subscription, &command.token, command.id, now);
        Ok(self.decided_all(changes, reply, now))
    }

    fn subscribed_already(
        &self,
        command: &Subscribe,
        id: Uuid,
        existing: &Subscription,
        settings: &SubscriptionSettings,
        now: Now,
    ) -> Result<Decision<Record, Subscribed>, SubscribeError> {
        let differs = |(name, _): &&(String, String)| !settings.agrees(&existing.settings, name);
        if command.attributes.iter().find(differs).is_some() {
            return Err(ParameterInvalid::new(
                "Attributes",
                "Subscription already exists with different attributes",
            )
            .into());
        }
        let key = SubscriptionKey {
            topic: command.topic.clone(),
            id,
        };
        let reply = Subscribed {
            subscription: key.clone(),
            pending: existing.is_pending(),
        };
        if !existing.is_pending() {
            return Ok(Decision::unchanged(reply));
        }
        let mut existing = existing.clone();
        existing.base_url.clone_from(&command.base_url);
        let again = existing.awaiting(&command.token, self.token_until(now));
        let changes = self.put_with_announcement(key, again, &command.token, command.id, now);
        Ok(self.decided_all(changes, reply, now))
    }

    /// Changes one attribute of a subscription; later publishes see it.
    pub fn set_subscription_attribute(
        &self,
        command: &SetSubscriptionAttribute,
        now: Now,
    ) -> Result<Decision<Record, ()>, SubscriptionError> {
        let (topic, subscription) = self.find_subscription(&command.subscription)?;
        let value = command.value.as_deref().unwrap_or_default();
        let key = &command.subscription;
        let before = &subscription.settings;
        let settings = before.with(
            &key.topic,
            (subscription.protocol, &subscription.endpoint),
            &command.name,
            value,
        );
        let settings = settings.map_err(AttributeInvalid::alone)?;
        if settings.filter.is_some() && before.filter.is_none() {
            self.check_filters(topic)?;
        }
        let mut changed = Box::new(subscription.clone());
        if command.name == "ReplayPolicy" {
            changed.replay = self.replay_of(&key.topic, topic, &settings, now)?;
        }
        changed.settings = settings;
        let change = TopicChange::PutSubscription {
            topic: key.topic.clone(),
            id: key.id,
            subscription: changed,
        };
        Ok(self.decided(change.into(), (), now))
    }

    /// Ends a subscription, if it exists. An endpoint that is posted to is told so, and can subscribe again.
    pub fn unsubscribe(
        &self,
        command: Unsubscribe,
        now: Now,
    ) -> Result<Decision<Record, ()>, UnsubscribeError> {
        let Ok((_, subscription)) = self.find_subscription(&command.subscription) else {
            return Ok(Decision::unchanged(()));
        };
        let guarded = matches!(
            subscription.confirmation,
            Confirmation::Confirmed { guarded: true, .. }
        );
        if guarded && !command.by_owner {
            let subscription = command.subscription;
            return Err(UnsubscribeGuarded { subscription }.into());
        }
        let changes = match subscription.outbox {
            Some(outbox) if subscription.takes_messages() => self.goodbye(command, subscription, outbox, now),
            _ => {
                let SubscriptionKey { topic, id } = command.subscription;
                let removal = outbox::removal(subscription);
                let gone = TopicChange::Unsubscribe { topic, id };
                removal.into_iter().chain([Change::from(gone)]).collect()
            }
        };
        Ok(self.decided_all(changes, (), now))
    }

    pub(crate) fn find_subscription(
        &self,
        key: &SubscriptionKey,
    ) -> Result<(&Topic, &Subscription), SubscriptionNotFound> {
        let found = self.topics.get(&key.topic).and_then(|topic| {
            let subscription = topic.subscriptions.get(&key.id)?;
            subscription.is_listed().then_some((topic, subscription))
        });
        found.ok_or_else(|| SubscriptionNotFound {
            subscription: key.clone(),
        })
    }

    /// The replay that settings ask for.
    fn replay_of(
        &self,
        key: &TopicKey,
        topic: &Topic,
        settings: &SubscriptionSettings,
        now: Now,
    ) -> Result<Option<Replay>, ParameterInvalid> {
        let policy = settings.get("ReplayPolicy");
        policy
            .map(|text| self.new_replay(key, topic, text, now))
            .transpose()
    }

    fn check_filters(&self, topic: &Topic) -> Result<(), TooManyFilters> {
        let limit = self.settings.filter_policies;
        if topic.roster.filters < limit {
            return Ok(());
        }
        Err(TooManyFilters { limit })
    }
}

impl Topic {
    fn check_room(&self, topic: &TopicKey) -> Result<(), TooManySubscriptions> {
        let limit = if topic.is_fifo() {
            limits::FIFO_TOPIC_SUBSCRIPTIONS
        } else {
            limits::TOPIC_SUBSCRIPTIONS
        };
        if self.subscriptions.len() < limit {
            return Ok(());
        }
        Err(TooManySubscriptions { limit })
    }

    /// Whether a topic with messages of more than 256 KiB can have the subscriptions that it has.
    pub(super) fn check_large(&self) -> Result<(), ParameterInvalid> {
        let mut listed = self.subscriptions.values().filter(|s| s.is_listed());
        if listed.clone().count() > limits::LARGE_TOPIC_SUBSCRIPTIONS || listed.any(|s| s.protocol.posts()) {
            return Err(ParameterInvalid::new(
                "MaximumMessageSize",
                "a topic with messages above 262144 bytes can have at most 100 subscriptions, none of them http or \
                 https",
            ));
        }
        Ok(())
    }

    fn check_large_with(&self, protocol: Protocol) -> Result<(), ParameterInvalid> {
        if protocol.posts() || self.subscriptions.len() >= limits::LARGE_TOPIC_SUBSCRIPTIONS {
            return Err(ParameterInvalid::new(
                "Protocol",
                format!(
                    "{protocol}: a topic whose MaximumMessageSize is above 262144 can have at most 100 subscriptions, \
                     none of them http or https"
                ),
            ));
        }
        Ok(())
    }
}

/// Whether an endpoint can be subscribed to a topic of that name with these attributes, as far as that can be told
/// without looking at the topic.
pub fn check_subscription(
    topic: &TopicKey,
    protocol: Protocol,
    endpoint: &str,
    attributes: Vec<(String, String)>,
) -> Result<(), ParameterInvalid> {
    check_endpoint(topic, protocol, endpoint)?;
    let command = Subscribe {
        topic: topic.clone(),
        attributes,
        ..Subscribe::default()
    };
    stated_settings(&command, protocol).map(drop)
}

/// The settings that a subscription states.
fn stated_settings(
    command: &Subscribe,
    protocol: Protocol,
) -> Result<SubscriptionSettings, ParameterInvalid> {
    // The scope says what the policy means, wherever it stands.
    let mut ordered: Vec<&(String, String)> = command.attributes.iter().collect();
    ordered.sort_by_key(|(name, _)| name != "FilterPolicyScope");
    let mut settings = SubscriptionSettings::default();
    for (name, value) in ordered {
        let with = settings.with(&command.topic, (protocol, &command.endpoint), name, value);
        settings = with.map_err(AttributeInvalid::stated)?;
    }
    Ok(settings)
}

fn check_endpoint(topic: &TopicKey, protocol: Protocol, endpoint: &str) -> Result<(), ParameterInvalid> {
    let bad = |what: &str, reason: &str| Err(ParameterInvalid::new(what, reason));
    if endpoint.is_empty() {
        return bad("Endpoint", "");
    }
    match protocol {
        Protocol::Sqs => match QueueKey::from_arn("Endpoint", endpoint) {
            Err(_) => bad("SQS endpoint ARN", ""),
            Ok(queue) if queue.is_fifo() && !topic.is_fifo() => bad(
                "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics",
                "",
            ),
            Ok(_) => Ok(()),
        },
        _ if topic.is_fifo() => bad(
            &format!("Invalid parameter: Protocol Reason: a FIFO topic does not deliver to {protocol}"),
            "",
        ),
        Protocol::Http if !endpoint.starts_with("http://") => {
            bad("Endpoint must match the specified protocol", "")
        }
        Protocol::Https if !endpoint.starts_with("https://") => {
            bad("Endpoint must match the specified protocol", "")
        }
        Protocol::Http | Protocol::Https if endpoint.len() > limits::ENDPOINT_BYTES => {
            bad("Endpoint", "it is longer than 2048 bytes")
        }
        Protocol::Http | Protocol::Https => Ok(()),
        Protocol::Email | Protocol::EmailJson => match endpoint.split_once('@') {
            Some((user, host)) if !user.is_empty() && !host.is_empty() && !host.contains('@') => Ok(()),
            _ => bad("Email address", ""),
        },
        Protocol::Sms if is_phone(endpoint) => Ok(()),
        Protocol::Sms => Err(ParameterInvalid::worded(format!(
            "Invalid SMS endpoint: {endpoint}"
        ))),
    }
}

/// Whether a text is a phone number: of E.164, which has 15 digits at most, with or without its `+`, with single marks
/// between digits. The shortest numbers in use have seven with the code of their country.
pub(super) fn is_phone(text: &str) -> bool {
    let number = text.strip_prefix('+').unwrap_or(text);
    let is_mark = |b: u8| b"./-".contains(&b);
    let apart = number
        .as_bytes()
        .windows(2)
        .all(|pair| !pair.iter().all(|&b| is_mark(b)));
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    let ends = number.bytes().next_back().is_some_and(|b| b.is_ascii_digit());
    let starts = matches!(number.bytes().next(), Some(b'1'..=b'9'));
    let all = number.bytes().all(|b| b.is_ascii_digit() || is_mark(b));
    all && apart
        && starts
        && ends
        && (limits::PHONE_DIGITS_LEAST..=limits::PHONE_DIGITS_MOST).contains(&digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones() {
        for good in ["+1234567890", "+12/34-567.890", "15551234567", "+123123123"] {
            assert!(is_phone(good), "{good}");
        }
        for bad in [
            "",
            "+",
            "+1a234",
            "+15--551234567",
            "NAA+15551234567",
            "+15551234567.",
            "/+15551234567",
            "+0123",
            "47",
            "+471234",
            "+1234567890123456",
        ] {
            assert!(!is_phone(bad), "{bad}");
        }
    }
}
