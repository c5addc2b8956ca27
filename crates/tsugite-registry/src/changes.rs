//! Who changed since when: what watchers are told, durable change or not.

use std::collections::BTreeMap;

use crate::command::{InstanceView, NamespaceView, ServiceView};
use crate::model::ServiceId;
use crate::registry::{InstanceState, Registry};

/// Removed services that [`Registry::changes_since`] remembers before it answers in full.
const TOMBSTONES: usize = 1_024;

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
    latest: u64,
    /// Services by the change that touched them last; removed ones stay as tombstones for a while.
    services: BTreeMap<u64, ServiceId>,
    tombstones: usize,
    /// Changes up to here are known only in full.
    forgotten: u64,
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
            ..Trail::default()
        }
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
        self.tombstones = 0;
    }
}

impl Registry {
    /// Marks a service as changed.
    pub(crate) fn touch(&mut self, service: ServiceId) {
        if let Some(state) = self.services.get_mut(&service) {
            state.touched = self.trail.service(service, state.touched);
        }
    }

    /// Notes that a service, touched last by `before`, is gone.
    pub(crate) fn bury(&mut self, service: ServiceId, before: u64) {
        self.trail.service(service, before);
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
                    let instances = state.instances.values().map(InstanceState::view);
                    changes.services.push((view, instances.collect()));
                }
                None if !full => changes.removed.push(id),
                None => {}
            }
        }
        changes
    }
}
