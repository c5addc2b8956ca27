//! How many bytes of which part of the log stored messages need: what may be dropped, and what is worth copying.

use std::collections::BTreeMap;

use crate::broker::Broker;
use crate::payload::Delivery;
use crate::record::{Change, Record};
use crate::stored::Stored;
use crate::tasks::TaskChange;
use crate::topics::TopicChange;

/// The log is counted in regions of 1 MiB.
pub(crate) const REGION_BITS: u32 = 20;

/// Bytes needed, by region; regions without any are not there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage(BTreeMap<u64, u64>);

impl Usage {
    pub(crate) fn add(&mut self, stored: &Stored) {
        each(stored, |region, bytes| {
            *self.0.entry(region).or_default() += bytes
        });
    }

    pub(crate) fn sub(&mut self, stored: &Stored) {
        each(stored, |region, bytes| {
            if let Some(used) = self.0.get_mut(&region) {
                *used -= bytes;
                if *used == 0 {
                    self.0.remove(&region);
                }
            }
        });
    }

    /// The lowest log position that may be needed.
    pub(crate) fn first(&self) -> Option<u64> {
        self.0.first_key_value().map(|(region, _)| region << REGION_BITS)
    }
}

/// The bytes of a message's payload and delivery in each region that they touch.
fn each(stored: &Stored, mut count: impl FnMut(u64, u64)) {
    let mut range = |from: u64, len: u64| {
        let (mut at, end) = (from, from + len);
        while at < end {
            let region = at >> REGION_BITS;
            let upto = end.min((region + 1) << REGION_BITS);
            count(region, upto - at);
            at = upto;
        }
    };
    range(stored.lsn, stored.len.into());
    if stored.delivery != 0 {
        range(stored.lsn - u64::from(stored.delivery), Delivery::LEN as u64);
    }
}

impl Record {
    /// Whether the record carries stored bytes again, so that their old place can be given back.
    pub const fn relocates(&self) -> bool {
        matches!(self.change, Change::Relocate { .. })
    }

    /// Whether the record makes the store grow; a full disk refuses those, and takes deletes and leases still.
    pub fn grows(&self) -> bool {
        !matches!(
            self.change,
            Change::DeleteQueue { .. }
                | Change::PurgeQueue { .. }
                | Change::Receive { .. }
                | Change::Delete { .. }
                | Change::ChangeVisibility { .. }
                | Change::Topic(
                    TopicChange::DeleteTopic { .. }
                        | TopicChange::Unsubscribe { .. }
                        | TopicChange::GiveUp { .. }
                )
                | Change::MoveTask(TaskChange::End { .. })
                | Change::Reset
        )
    }
}

impl Broker {
    /// Adds the bytes of the log that stored messages need to `out`, by region of 1 MiB: the key is the position
    /// divided by 2^20. A payload that several queues share counts once for each.
    pub fn usage(&self, out: &mut BTreeMap<u64, u64>) {
        for queue in self.queues.values() {
            for (region, bytes) in &queue.usage.0 {
                *out.entry(*region).or_default() += bytes;
            }
        }
    }

    /// The lowest log position whose bytes a stored message may still need; `None` if no message is stored.
    pub fn oldest_needed(&self) -> Option<u64> {
        self.queues.values().filter_map(|queue| queue.usage.first()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsugite_base::{Place, Timestamp};

    #[test]
    fn what_lies_across_a_border_counts_on_both_sides() {
        let mut usage = Usage::default();
        let place = Place {
            lsn: (3 << REGION_BITS) - 10,
            len: 30,
        };
        let one = Stored::new(place, 50, Timestamp(0));
        usage.add(&one);
        usage.add(&one);
        assert_eq!(usage.0, [(2, 70), (3, 40)].into());
        assert_eq!(usage.first(), Some(2 << REGION_BITS));
        usage.sub(&one);
        usage.sub(&one);
        assert_eq!((usage.0.len(), usage.first()), (0, None));
    }
}
