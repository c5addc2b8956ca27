//! One who follows a scope for long: how it is, then what changes, in portions.

use std::time::Duration;

use tsugite_base::rng::SplitMix64;
use tsugite_engine::RegistryStore;
use tsugite_registry::{Bounds, Seen, Story};

use super::Ticket;

/// Services that are looked up at once; the next ones are when those have been read.
const PORTION: usize = 16;

/// What is told next.
#[derive(Debug)]
pub(crate) enum Told {
    /// What follows until [`Told::Synced`] is all there is: what was told before is void. The index is that of the next
    /// portion.
    Anew,
    /// How a service is, or that it is gone.
    Story(Story),
    /// Everything up to this index has been told.
    Synced(u64),
}

/// A watcher with what it has seen.
pub(crate) struct Follower<S> {
    store: S,
    ticket: Ticket,
    seen: Seen,
    instances: usize,
    /// Everything was told up to `seen`.
    is_synced: bool,
    pulse: Duration,
    random: SplitMix64,
}

impl<S: RegistryStore> Follower<S> {
    /// Follows what `ticket` is for, from the index `seen` on. `pulse` is about the time between two signs of life; `seed`
    /// spreads them.
    pub(crate) fn new(
        store: S,
        ticket: Ticket,
        seen: u64,
        instances: usize,
        pulse: Duration,
        seed: u64,
    ) -> Follower<S> {
        Follower {
            store,
            ticket,
            seen: seen.into(),
            instances,
            is_synced: false,
            pulse,
            random: SplitMix64::new(seed),
        }
    }

    /// What there is to tell, as soon as there is something: nothing is a sign of life, `None` the end.
    pub(crate) async fn next(&mut self) -> Option<Vec<Told>> {
        if self.is_synced && !self.ticket.is_over() {
            // Give or take a quarter, so that those who came together do not stay together.
            let half = u64::try_from(self.pulse.as_millis()).unwrap_or(u64::MAX) / 2;
            let pause = self.pulse - Duration::from_millis(half / 2)
                + Duration::from_millis(self.random.below(half.max(1)));
            tokio::select! {
                () = self.ticket.rung() => {}
                () = tokio::time::sleep(pause) => return Some(Vec::new()),
            }
        }
        if self.ticket.is_over() {
            return None;
        }
        let bounds = Bounds {
            services: PORTION,
            instances: self.instances,
        };
        let news = self.store.news(self.ticket.scope(), self.seen, bounds).await;
        self.seen = news.next;
        let mut told = Vec::with_capacity(news.stories.len() + 2);
        if news.anew {
            told.push(Told::Anew);
        }
        let is_first = !std::mem::replace(&mut self.is_synced, news.complete);
        let is_news = !news.stories.is_empty() || news.anew;
        told.extend(news.stories.into_iter().map(Told::Story));
        if news.complete && (is_first || is_news) {
            told.push(Told::Synced(news.index));
        }
        Some(told)
    }
}
