//! Instances in their services: put in and taken out, with their timers.

use std::sync::Arc;

use tsugite_base::Timestamp;

use crate::check::Check;
use crate::leases::Lease;
use crate::model::{HealthSource, Instance, ServiceId};
use crate::registry::{InstanceState, Registry};
use crate::views::HealthStatus;

impl Registry {
    /// Puts an instance into its service with its timers, keeping the check's verdict if the target is the same.
    pub(crate) fn insert_instance(
        &mut self,
        service: ServiceId,
        instance: Instance,
        until: Option<Timestamp>,
        steady: Timestamp,
    ) {
        let id = instance.id.clone();
        let kept = self.detach(service, &id);
        let noted = kept.as_ref().map(|old| old.noted);
        let generation = self.next_generation();
        let Some(state) = self.services.get_mut(&service) else {
            return;
        };
        let target = instance.address();
        let (kept, out) = match kept {
            Some(old) if old.instance.address() == target => (old.check, old.out),
            Some(old) => (None, old.out),
            None => (None, None),
        };
        let check = match (&state.service.health, target) {
            (HealthSource::Active(_), Some(_)) => {
                Some(kept.map_or_else(|| Check::new(steady), |check| check.probed_at(steady)))
            }
            _ => None,
        };
        let ms = instance.lease_ms.unwrap_or_default();
        let lease = until.map(|until| Lease::new(until, ms));
        if let Some(lease) = &lease {
            self.lease_timers.insert((lease.timer, service, id.clone()));
        }
        if let Some(check) = &check {
            self.probe_timers.insert((check.next, service, id.clone()));
        }
        let place = u32::try_from(state.order.len()).unwrap_or(u32::MAX);
        state.order.push(id.clone());
        let mut instance = InstanceState {
            instance,
            place,
            noted: HealthStatus::Unknown,
            generation,
            lease,
            check,
            doubt: None,
            out,
            leaving: None,
        };
        instance.noted = noted.unwrap_or_else(|| instance.health().status);
        state.instances.insert(id, instance);
        self.instances += 1;
    }

    /// Takes an instance out of its service and out of the timers.
    pub(crate) fn detach(&mut self, service: ServiceId, instance: &Arc<str>) -> Option<InstanceState> {
        let state = self.services.get_mut(&service)?;
        let old = state.instances.remove(instance)?;
        state.order.swap_remove(old.place as usize);
        let moved = state.order.get(old.place as usize);
        if let Some(moved) = moved.and_then(|id| state.instances.get_mut(id)) {
            moved.place = old.place;
        }
        if let Some(lease) = &old.lease {
            self.lease_timers
                .remove(&(lease.timer, service, instance.clone()));
            self.overdue.remove(&(service, instance.clone()));
        }
        if let Some(leaving) = &old.leaving {
            self.leaving.remove(&(service, instance.clone()));
            self.lease_timers
                .remove(&(leaving.until, service, instance.clone()));
            self.overdue.remove(&(service, instance.clone()));
        }
        if let Some(check) = &old.check {
            self.probe_timers.remove(&(check.next, service, instance.clone()));
        }
        if let Some(doubt) = &old.doubt {
            self.doubt_timers.remove(&(doubt.next, service, instance.clone()));
        }
        self.instances -= 1;
        Some(old)
    }
}
