//! Concurrency limits: how many calls may be in progress at once, to a service and to each of its endpoints.
//!
//! They are called limits and never breakers: nothing has failed, there is only too much at once. Counts are shared by all
//! cores, so that a limit of ten means ten; a service without a limit does not count at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The limits of one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitSettings {
    /// Calls to the service in progress at once. Default no limit.
    pub requests: Option<u32>,
    /// Calls to each endpoint in progress at once. Default no limit.
    pub endpoint_requests: Option<u32>,
}

/// Calls in progress. Outlives tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room(Arc<AtomicU32>);

impl Room {
    /// A place, if fewer than `most` are taken.
    pub(crate) fn enter(&self, most: u32) -> Option<Entry> {
        let one_more = |taken: u32| (taken < most).then_some(taken + 1);
        self.0.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        Some(Entry(Arc::clone(&self.0)))
    }

    /// Whether `most` places are taken.
    pub(crate) fn is_full(&self, most: u32) -> bool {
        self.0.load(Relaxed) >= most
    }
}

/// A place that a call has taken until this is dropped.
#[derive(Debug)]
#[must_use = "dropped, it gives its place back at once"]
pub struct Entry(Arc<AtomicU32>);

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_the_limit_on_any_number_of_threads() {
        let room = Room::default();
        let (most, inside, worst) = (5, AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if let Some(_entry) = room.enter(most) {
                            worst.fetch_max(inside.fetch_add(1, Relaxed) + 1, Relaxed);
                            inside.fetch_sub(1, Relaxed);
                        }
                    }
                });
            }
        });
        assert!(worst.load(Relaxed) <= most);
        let all: Vec<Entry> = (0..most).map_while(|_| room.enter(most)).collect();
        assert!(all.len() == 5 && room.is_full(most) && room.enter(most).is_none());
        // A lower limit holds from the next call on, and gets its way as calls end.
        assert!(room.enter(3).is_none() && room.enter(6).is_some());
        drop(all);
        assert!(!room.is_full(1));
    }
}
