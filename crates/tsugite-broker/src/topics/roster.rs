//! What is known of the subscriptions of a topic as a whole, so that nobody has to walk over all of them to count them
//! or to find one by its endpoint.

use std::collections::BTreeSet;

use tsugite_base::Uuid;

use super::subscription::{Protocol, Subscription};
use crate::dedup::Fingerprint;
use crate::keys::QueueId;

/// Follows from the subscriptions: each enters as it is put in, and leaves before it is changed or taken out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster {
    /// How many are confirmed.
    pub(super) confirmed: usize,
    /// How many wait for their endpoint.
    pub(super) pending: usize,
    /// How many have a filter policy.
    pub(super) filters: usize,
    /// The outboxes of those that post.
    pub(super) outboxes: BTreeSet<QueueId>,
    /// Those that clients see, by protocol and endpoint. One endpoint has two where it subscribes again and then
    /// confirms that it did not want to leave.
    by_endpoint: BTreeSet<(Fingerprint, Uuid)>,
}

impl Roster {
    pub(super) fn enter(&mut self, id: Uuid, subscription: &Subscription) {
        self.count(subscription, |count| *count += 1);
        self.outboxes.extend(subscription.outbox);
        if subscription.is_listed() {
            self.by_endpoint.insert((name_of(subscription), id));
        }
    }

    pub(super) fn leave(&mut self, id: Uuid, subscription: &Subscription) {
        self.count(subscription, |count| *count -= 1);
        if let Some(outbox) = &subscription.outbox {
            self.outboxes.remove(outbox);
        }
        if subscription.is_listed() {
            self.by_endpoint.remove(&(name_of(subscription), id));
        }
    }

    /// The subscriptions of an endpoint that clients see, by id.
    pub(super) fn of_endpoint(&self, protocol: Protocol, endpoint: &str) -> impl Iterator<Item = Uuid> {
        let name = Fingerprint::of_endpoint(protocol.name(), endpoint);
        let range = (name, Uuid([0; 16]))..=(name, Uuid([u8::MAX; 16]));
        self.by_endpoint.range(range).map(|(_, id)| *id)
    }

    fn count(&mut self, subscription: &Subscription, change: impl Fn(&mut usize)) {
        if subscription.takes_messages() {
            change(&mut self.confirmed);
        }
        if subscription.is_pending() {
            change(&mut self.pending);
        }
        if subscription.settings.filter.is_some() {
            change(&mut self.filters);
        }
    }
}

fn name_of(subscription: &Subscription) -> Fingerprint {
    Fingerprint::of_endpoint(subscription.protocol.name(), &subscription.endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_is_forgotten() {
        let mut roster = Roster::default();
        let of = |protocol, endpoint| Subscription::new(protocol, endpoint, "o", "p");
        let (one, mut other) = (of(Protocol::Http, "http://h/"), of(Protocol::Https, "http://h/"));
        other.outbox = Some(QueueId(7));
        let other = other.awaiting("t", tsugite_base::Timestamp(1));
        let ids = [Uuid([1; 16]), Uuid([2; 16]), Uuid([3; 16])];
        roster.enter(ids[1], &one);
        roster.enter(ids[0], &one);
        roster.enter(ids[2], &other);
        assert_eq!(
            (roster.confirmed, roster.pending, roster.outboxes.len()),
            (2, 1, 1)
        );
        let found = |roster: &Roster, protocol| roster.of_endpoint(protocol, "http://h/").collect::<Vec<_>>();
        assert_eq!(found(&roster, Protocol::Http), ids[..2]);
        assert_eq!(found(&roster, Protocol::Https), ids[2..]);
        assert_eq!(found(&roster, Protocol::Email), []);
        for (id, left) in ids.iter().zip([&one, &one, &other]) {
            roster.leave(*id, left);
        }
        assert_eq!((roster.confirmed, roster.pending, roster.filters), (0, 0, 0));
        assert!(roster.outboxes.is_empty() && roster.by_endpoint.is_empty());
    }
}
