//! Confirming a subscription, and letting those go that nobody confirmed.

use std::time::Duration;

use tsugite_base::{Decision, Now, Timestamp, Uuid, limits};

use super::TopicChange;
use super::command::ConfirmSubscription;
use super::error::{ParameterInvalid, TopicError};
use super::subscription::{Confirmation, Subscription};
use crate::broker::Broker;
use crate::keys::{SubscriptionKey, TopicKey};
use crate::record::Record;

impl Broker {
    /// Confirms the subscription whose endpoint got the token. With the token of an unsubscribe, the endpoint subscribes
    /// again; with one that was used, nothing changes, because links are followed twice.
    pub fn confirm_subscription(
        &self,
        command: &ConfirmSubscription,
        now: Now,
    ) -> Result<Decision<Record, SubscriptionKey>, TopicError> {
        let found = self.find_token(&command.topic, &command.token, self.time(now));
        let Some((key, subscription)) = found.filter(|_| !command.token.is_empty()) else {
            return Err(ParameterInvalid::new("Token", "").into());
        };
        if subscription.takes_messages() {
            return Ok(Decision::unchanged(key));
        }
        let mut confirmed = Box::new(subscription.clone());
        confirmed.confirmation = Confirmation::Confirmed {
            authenticated: command.authenticated,
            guarded: command.guarded,
            token: command.token.clone(),
        };
        let change = TopicChange::PutSubscription {
            topic: key.topic.clone(),
            id: key.id,
            subscription: confirmed,
        };
        Ok(self.decided(change.into(), key, now))
    }

    /// The subscription that a token is of. AWS finds it by the token: one that waits is found under any topic of its
    /// account and region.
    fn find_token(
        &self,
        topic: &TopicKey,
        token: &str,
        time: Timestamp,
    ) -> Option<(SubscriptionKey, &Subscription)> {
        let is_it = |s: &Subscription| match &s.confirmation {
            Confirmation::Pending { token: of, until } | Confirmation::Leaving { token: of, until } => {
                of == token && time < *until
            }
            Confirmation::Confirmed { token: of, .. } => of == token,
        };
        let named = self.topics.get(topic).and_then(|known| {
            let (&id, found) = known.subscriptions.iter().find(|(_, s)| is_it(s))?;
            let topic = topic.clone();
            Some((SubscriptionKey { topic, id }, found))
        });
        named.or_else(|| {
            let waiting = self.unconfirmed.iter().map(|(_, key)| key);
            let mut waiting = waiting.filter(|key| key.topic.scope == topic.scope);
            waiting.find_map(|key| {
                let found = self.topics.get(&key.topic)?.subscriptions.get(&key.id)?;
                is_it(found).then(|| (key.clone(), found))
            })
        })
    }

    /// Until when a token counts that is given out now.
    pub(super) fn token_until(&self, now: Now) -> Timestamp {
        self.time(now) + Duration::from_secs(limits::TOKEN_SECONDS)
    }

    /// Notes until when a subscription waits for its endpoint.
    pub(crate) fn note_waiting(
        &mut self,
        topic: &TopicKey,
        id: Uuid,
        before: Option<Timestamp>,
        after: Option<Timestamp>,
    ) {
        let key = SubscriptionKey {
            topic: topic.clone(),
            id,
        };
        if let Some(until) = before {
            self.unconfirmed.remove(&(until, key.clone()));
        }
        if let Some(until) = after {
            self.unconfirmed.insert((until, key));
        }
    }

    /// Removes the subscriptions that nobody confirmed in time.
    pub(crate) fn drop_unconfirmed(&mut self, now: Timestamp) {
        while let Some((until, key)) = self.unconfirmed.first().cloned() {
            if until > now {
                return;
            }
            self.unconfirmed.pop_first();
            self.remove_subscription(&key.topic, key.id);
        }
    }
}

impl Subscription {
    /// Waiting for its endpoint to confirm with this token.
    pub(super) fn awaiting(mut self, token: &str, until: Timestamp) -> Subscription {
        self.confirmation = Confirmation::Pending {
            token: token.to_owned(),
            until,
        };
        self
    }
}
