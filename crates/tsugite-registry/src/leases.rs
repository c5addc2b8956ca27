//! Leases: how long an instance may stay silent. Volatile, except for their length.
//!
//! After two thirds of its lease an instance is a suspect: it is asked whether it is there ([`crate::doubts`]), and
//! stays in use while it answers. One that does not is removed when the lease is over, which is logged. Nobody is removed
//! who was not a suspect for a third of his lease while this process watched: after a suspension, or a jump of the clock,
//! everybody gets the time to be heard. A restart grants every lease its full time.

use std::time::Duration;

use tsugite_base::{Decision, Now, Timestamp};

use crate::command::{Heartbeats, InstanceName, Renewal};
use crate::doubts::every;
use crate::error::{DiscoverError, InstanceNotFound, NamedError};
use crate::leaving::Leaving;
use crate::model::{InstanceKey, ServiceId};
use crate::record::{Record, Removal};
use crate::registry::{InstanceState, Registry};

/// The lease that `PUT /v1/instances` grants when it is given none, in milliseconds.
pub const DEFAULT_LEASE_MS: u32 = 15_000;

/// Instances that one call of [`Registry::expire`] removes at most: bounds a record batch.
const EXPIRED_AT_ONCE: usize = 1_024;

/// The running lease of an instance.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    /// When it is over, on the steady clock.
    pub(crate) until: Timestamp,
    /// Whether two thirds have passed in silence.
    pub(crate) suspect: bool,
    /// The entry in the timers; renewals leave it alone and the timer looks again when it fires.
    pub(crate) timer: Timestamp,
}

impl Lease {
    pub(crate) fn new(until: Timestamp, ms: u32) -> Lease {
        Lease {
            until,
            suspect: false,
            timer: suspect_at(until, ms),
        }
    }
}

/// When a lease that ends at `until` makes a suspect.
pub(crate) fn suspect_at(until: Timestamp, ms: u32) -> Timestamp {
    until - Duration::from_millis(u64::from(ms) / 3)
}

/// What a timer of leases comes to.
enum Step {
    /// Nothing: there is no lease any more.
    None,
    /// To look again at that time.
    Wait(Timestamp),
    /// It is a suspect from now on; to look again at that time.
    Suspect(Timestamp),
    /// It is to be removed.
    Over,
}

impl InstanceState {
    fn lease_step(&mut self, now: Timestamp) -> Step {
        if self.leaving.is_some() {
            return Step::Over;
        }
        let (Some(lease), Some(ms)) = (&mut self.lease, self.instance.lease_ms) else {
            return Step::None;
        };
        let step = if !lease.suspect && now < suspect_at(lease.until, ms) {
            Step::Wait(suspect_at(lease.until, ms))
        } else if !lease.suspect {
            lease.suspect = true;
            if lease.until <= now {
                // Nobody looked for that long: it gets the time that it would have had to be heard or asked.
                lease.until = now + Duration::from_millis(u64::from(ms) / 3);
            }
            Step::Suspect(lease.until)
        } else if now < lease.until {
            Step::Wait(lease.until)
        } else {
            let can_be_asked = self.doubt.as_ref();
            if can_be_asked.is_none_or(|doubt| doubt.is_denied_lately(every(Some(ms)), now)) {
                return Step::Over;
            }
            lease.until = now + every(Some(ms));
            Step::Wait(lease.until)
        };
        if let Step::Wait(timer) | Step::Suspect(timer) = step {
            lease.timer = timer;
        }
        step
    }
}

impl Registry {
    /// When [`Registry::advance`] has something to do, on the steady clock.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.overdue.is_empty() {
            self.lease_timers.first().map(|timer| timer.0)
        } else {
            Some(Timestamp::default())
        }
    }

    /// Moves leases and drains on to `now`: marks suspects, and notes which are over for [`Registry::expire`].
    pub fn advance(&mut self, now: Now) {
        self.advance_leases(now);
        self.note_health(now);
    }

    fn advance_leases(&mut self, now: Now) {
        while self
            .lease_timers
            .first()
            .is_some_and(|timer| timer.0 <= now.steady)
        {
            let Some((_, service, instance)) = self.lease_timers.pop_first() else {
                return;
            };
            let Some(state) = self.instance_mut(service, &instance) else {
                continue;
            };
            match state.lease_step(now.steady) {
                Step::None => {}
                Step::Wait(timer) => {
                    self.lease_timers.insert((timer, service, instance));
                }
                Step::Suspect(timer) => {
                    self.lease_timers.insert((timer, service, instance.clone()));
                    self.doubt(service, &instance, now.steady);
                    self.touch(service);
                }
                Step::Over => {
                    self.overdue.insert((service, instance));
                }
            }
        }
    }

    /// Removes the instances whose leases or drains [`Registry::advance`] found to be over, some at a time.
    pub fn expire(&self, now: Now) -> Decision<Record, Vec<InstanceKey>> {
        let (mut gone, mut records) = (Vec::new(), Vec::new());
        for (service, instance) in self.overdue.iter().take(EXPIRED_AT_ONCE) {
            let state = self.services.get(service).and_then(|s| s.instances.get(instance));
            let left = state.and_then(|state| state.left_record(*service, now));
            records.push(left.unwrap_or_else(|| Record::InstanceRemoved {
                service: *service,
                instance: instance.clone(),
                cause: Removal::Expired,
                operation: None,
                at: now.wall,
            }));
            gone.push(InstanceKey {
                service: *service,
                instance: instance.clone(),
            });
        }
        Decision::record(records, gone)
    }

    /// Renews the leases of many instances of a service. Not logged. Answers which of them are not registered.
    pub fn heartbeats(&mut self, cmd: &Heartbeats, now: Now) -> Result<Vec<String>, DiscoverError> {
        let namespace = self.namespace_named(&cmd.namespace)?.namespace.id;
        let service = self.service_named(namespace, &cmd.service)?.service.id;
        let mut unknown = Vec::new();
        for instance in &cmd.instances {
            if self.instance_mut(service, instance).is_some() {
                self.renew(service, instance, now);
            } else {
                unknown.push(instance.clone());
            }
        }
        Ok(unknown)
    }

    /// Renews a lease by name. Not logged. An instance without a lease is left as it is.
    pub fn heartbeat(&mut self, who: &InstanceName, now: Now) -> Result<Renewal, NamedError> {
        let key = self.find_instance(who)?;
        Ok(self.renew(key.service, &key.instance, now))
    }

    fn renew(&mut self, service: ServiceId, instance: &str, now: Now) -> Renewal {
        let Some(state) = self.instance_mut(service, instance) else {
            return Renewal { lease_ms: None };
        };
        let lease_ms = state.instance.lease_ms;
        let id = state.instance.id.clone();
        let (Some(lease), Some(ms)) = (&mut state.lease, lease_ms) else {
            return Renewal { lease_ms };
        };
        lease.until = now.steady + Duration::from_millis(ms.into());
        if std::mem::take(&mut lease.suspect) {
            let reached = state.doubt.as_ref().is_some_and(|doubt| !doubt.unreachable);
            let old = lease.timer;
            lease.timer = suspect_at(lease.until, ms);
            let timer = lease.timer;
            self.lease_timers.remove(&(old, service, id.clone()));
            self.overdue.remove(&(service, id.clone()));
            self.lease_timers.insert((timer, service, id.clone()));
            if reached {
                self.trust(service, &id);
            }
            self.touch(service);
        }
        Renewal { lease_ms }
    }

    /// Grants every lease and every drain its full time from `now`: to be called once the log was replayed.
    pub fn grant_leases(&mut self, now: Now) {
        self.lease_timers.clear();
        self.overdue.clear();
        for (service, state) in &mut self.services {
            for (id, state) in &mut state.instances {
                if let Some(leaving) = &mut state.leaving {
                    **leaving = Leaving::new(leaving.operation, leaving.drain_ms, now.steady);
                    self.lease_timers.insert((leaving.until, *service, id.clone()));
                } else if let Some(ms) = state.instance.lease_ms {
                    let lease = Lease::new(now.steady + Duration::from_millis(ms.into()), ms);
                    self.lease_timers.insert((lease.timer, *service, id.clone()));
                    state.lease = Some(lease);
                }
            }
        }
    }

    /// Finds an instance by the names of its namespace and service.
    pub fn find_instance(&self, who: &InstanceName) -> Result<InstanceKey, NamedError> {
        let namespace = self.namespace_named(&who.namespace)?;
        let state = self.service_named(namespace.namespace.id, &who.service)?;
        match state.instances.get_key_value(who.instance.as_str()) {
            Some((id, _)) => Ok(InstanceKey {
                service: state.service.id,
                instance: id.clone(),
            }),
            None => Err(InstanceNotFound {
                instance: who.instance.clone(),
                service: state.service.id,
            }
            .into()),
        }
    }
}
