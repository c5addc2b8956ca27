//! What became of the health of a service's instances lately: for people, bounded, and not stored.
//!
//! A service that was touched for its health is looked through once, when time moves on; what differs from the last look
//! is noted. So whatever changes health need not know of this.

use std::collections::VecDeque;
use std::sync::Arc;

use tsugite_base::{Now, Timestamp};

use crate::model::ServiceId;
use crate::registry::{Registry, ServiceState};
use crate::views::{HealthSay, HealthStatus};

/// Changes that a service keeps.
const CHANGES: usize = 32;
/// Services of more instances keep none: looking through them would cost more than it is worth.
const INSTANCES: usize = 1_024;

/// A change of the verdict on an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthChange {
    /// Wall clock when it was noted.
    pub at: Timestamp,
    /// The instance.
    pub instance: Arc<str>,
    /// The verdict before.
    pub from: HealthStatus,
    /// The verdict since.
    pub to: HealthStatus,
    /// Which source decided it; `None` if none objects any more.
    pub decided_by: Option<HealthSay>,
}

impl Registry {
    /// Notes what changed in the health of services that were touched since the last time.
    pub(crate) fn note_health(&mut self, now: Now) {
        for id in std::mem::take(&mut self.unnoted) {
            if let Some(state) = self.services.get_mut(&id) {
                state.note_health(now.wall);
            }
        }
    }

    /// The latest changes of health in a service, the latest first.
    pub(crate) fn health_history(&self, id: ServiceId) -> Vec<HealthChange> {
        let history = self.services.get(&id).and_then(|state| state.history.as_ref());
        history
            .into_iter()
            .flat_map(|changes| changes.iter().rev())
            .cloned()
            .collect()
    }
}

impl ServiceState {
    fn note_health(&mut self, at: Timestamp) {
        if self.instances.len() > INSTANCES {
            return;
        }
        for (id, instance) in &mut self.instances {
            let health = instance.health();
            let from = std::mem::replace(&mut instance.noted, health.status);
            if from == health.status {
                continue;
            }
            let history = self.history.get_or_insert_default();
            if history.len() == CHANGES {
                history.pop_front();
            }
            history.push_back(HealthChange {
                at,
                instance: id.clone(),
                from,
                to: health.status,
                decided_by: health.decided_by,
            });
        }
    }
}

/// The changes of a service; boxed, as most services have none.
pub(crate) type History = Box<VecDeque<HealthChange>>;
