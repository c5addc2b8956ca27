//! Who changed since when: what watchers are told, durable change or not.

use std::collections::BTreeMap;

use tsugite_base::Timestamp;

use crate::model::ServiceId;
use crate::registry::Registry;
use crate::views::{InstanceView, NamespaceView, ServiceView};
use crate::watch::ServiceName;

/// Removed services that [`Registry::changes_since`] remembers before it answers in full.
const TOMBSTONES: usize = 1_024;
/// Changes that a millisecond of the wall clock is worth: more than can happen in one.
const CHANGES_PER_MS: u64 = 1_000;

/// What changed since a watcher looked last.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Pass this to the next call.
    pub seen: u64,
    /// Whether `services` is everything there is: the watcher drops what it had.
    pub full: bool,
    /// All namespaces, if one was created or deleted.
    pub namespaces: Option<Vec<NamespaceView>>,
    /// Services that are new or changed, in instances or in health.
    pub services: Vec<(ServiceView, Vec<InstanceView>)>,
    /// Services that are gone.
    pub removed: Vec<ServiceId>,
}

/// The trail that changes leave. Not stored: a watcher begins anew with each process.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// Number of the latest change.
    pub(crate) latest: u64,
    /// Services by the change that touched them last; removed ones stay as tombstones for a while.
    pub(crate) services: BTreeMap<u64, ServiceId>,
    tombstones: usize,
    /// What those that were removed were called, by the change that did it.
    pub(crate) graves: BTreeMap<u64, ServiceName>,
    /// Changes up to here are known only in full.
    pub(crate) forgotten: u64,
    /// What is added to the number of a change for those outside, so that it grows from one process to the next.
    origin: u64,
    /// The change that created or deleted a namespace last.
    namespaces: u64,
}

impl Trail {
    /// A trail after everything was dropped: whoever saw anything before starts over.
    pub(crate) fn dropped(&self) -> Trail {
        let latest = self.latest + 1;
        Trail {
            latest,
            forgotten: latest,
            namespaces: latest,
            origin: self.origin,
            ..Trail::default()
        }
    }

    /// Numbers that others were told in an earlier process lie below those of this one from now on, and count as
    /// forgotten: the wall clock sees to that, as changes are slower than its microseconds.
    pub(crate) fn begin(&mut self, wall: Timestamp) {
        self.origin = wall
            .millis()
            .saturating_mul(CHANGES_PER_MS)
            .saturating_sub(self.latest);
        self.forgotten = self.latest;
        self.graves.clear();
    }

    /// The number of a change as those outside know it; never 0.
    pub(crate) const fn index(&self, change: u64) -> u64 {
        self.origin + change
    }

    /// The change of that index; `None` for one of another process, or one so old that only all will do.
    pub(crate) fn change(&self, index: u64) -> Option<u64> {
        self.own_change(index).filter(|change| *change >= self.forgotten)
    }

    /// The number of a change of that index, however old; `None` for one that this process has not told.
    pub(crate) fn own_change(&self, index: u64) -> Option<u64> {
        let change = index.checked_sub(self.origin)?;
        (change <= self.latest && index > 0).then_some(change)
    }

    /// Something happened that changes no answer: only whoever keeps timers need look.
    pub(crate) const fn stir(&mut self) {
        self.latest += 1;
    }

    /// A namespace was created or deleted.
    pub(crate) fn namespaces(&mut self) {
        self.latest += 1;
        self.namespaces = self.latest;
    }

    /// A service changed; `before` is its latest change so far. Answers the new one.
    fn service(&mut self, id: ServiceId, before: u64) -> u64 {
        self.services.remove(&before);
        self.latest += 1;
        self.services.insert(self.latest, id);
        self.latest
    }

    /// Drops every tombstone: watchers that have not seen the latest of them get a full answer.
    fn forget(&mut self, is_live: impl Fn(ServiceId) -> bool) {
        let forgotten = &mut self.forgotten;
        self.services.retain(|&change, id| {
            let live = is_live(*id);
            if !live {
                *forgotten = change;
            }
            live
        });
        self.graves.clear();
        self.tombstones = 0;
    }
}

impl Registry {
    /// Marks a service as changed.
    pub(crate) fn touch(&mut self, service: ServiceId) {
        if let Some(state) = self.services.get_mut(&service) {
            state.touched = self.trail.service(service, state.touched);
            // What touches a service and leaves its revision alone is about health.
            if state.revision_seen == state.revision {
                state.health_touched = state.touched;
                self.unnoted.insert(service);
            }
            state.revision_seen = state.revision;
        }
    }

    /// Notes that a service of this name, touched last by `before`, is gone.
    pub(crate) fn bury(&mut self, service: ServiceId, before: u64, name: ServiceName) {
        let change = self.trail.service(service, before);
        self.trail.graves.insert(change, name);
        self.trail.tombstones += 1;
        if self.trail.tombstones > TOMBSTONES {
            self.trail.forget(|id| self.services.contains_key(&id));
        }
    }

    /// The number of the latest change; it differs whenever [`Registry::changes_since`] has something to tell.
    pub const fn change(&self) -> u64 {
        self.trail.latest
    }

    /// What changed after `seen` (0: everything), durable or in health alone.
    pub fn changes_since(&self, seen: u64) -> Changes {
        let trail = &self.trail;
        let full = seen == 0 || seen < trail.forgotten;
        let from = if full { 0 } else { seen + 1 };
        let mut changes = Changes {
            seen: trail.latest,
            full,
            namespaces: None,
            services: Vec::new(),
            removed: Vec::new(),
        };
        if full || trail.namespaces > seen {
            let all = self.namespaces.values().map(|state| state.view(&self.settings));
            changes.namespaces = Some(all.collect());
        }
        for id in trail.services.range(from..).map(|(_, id)| *id) {
            match self
                .services
                .get(&id)
                .and_then(|state| Some((self.view(state)?, state)))
            {
                Some((view, state)) => {
                    let instances = state.views(self.min_available());
                    changes.services.push((view, instances.collect()));
                }
                None if !full => changes.removed.push(id),
                None => {}
            }
        }
        changes
    }
}
