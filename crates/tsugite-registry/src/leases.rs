//! Leases: how long an instance may stay silent. Volatile, except for their length.
//!
//! After two thirds of its lease an instance is a suspect: unhealthy until it is heard of. When the lease is
//! over it is removed, which is logged. A restart grants every lease its full time.

use std::time::Duration;

use tsugite_base::{Decision, Now, Timestamp};

use crate::command::{InstanceName, Renewal};
use crate::error::{InstanceNotFound, NamedError};
use crate::model::{InstanceKey, ServiceId};
use crate::record::{Record, Removal};
use crate::registry::Registry;

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

fn suspect_at(until: Timestamp, ms: u32) -> Timestamp {
    until - Duration::from_millis(u64::from(ms) / 3)
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

    /// Moves leases on to `now`: marks suspects, and notes which leases are over for [`Registry::expire`].
    pub fn advance(&mut self, now: Now) {
        self.advance_leases(now);
        self.note_health(now);
    }

    fn advance_leases(&mut self, now: Now) {
        while let Some(timer) = self.lease_timers.first() {
            if timer.0 > now.steady {
                return;
            }
            let Some((_, service, instance)) = self.lease_timers.pop_first() else {
                return;
            };
            let Some(state) = self
                .services
                .get_mut(&service)
                .and_then(|s| s.instances.get_mut(&instance))
            else {
                continue;
            };
            let (Some(lease), Some(ms)) = (&mut state.lease, state.instance.lease_ms) else {
                continue;
            };
            let suspect_at = suspect_at(lease.until, ms);
            let newly_suspect = suspect_at <= now.steady && !lease.suspect;
            lease.suspect |= newly_suspect;
            if lease.until <= now.steady {
                self.overdue.insert((service, instance));
            } else {
                lease.timer = if lease.suspect { lease.until } else { suspect_at };
                self.lease_timers.insert((lease.timer, service, instance));
            }
            if newly_suspect {
                self.touch(service);
            }
        }
    }

    /// Removes the instances whose leases [`Registry::advance`] found to be over, some at a time.
    pub fn expire(&self, now: Now) -> Decision<Record, Vec<InstanceKey>> {
        let gone: Vec<InstanceKey> = self
            .overdue
            .iter()
            .take(EXPIRED_AT_ONCE)
            .map(|(service, instance)| InstanceKey {
                service: *service,
                instance: instance.clone(),
            })
            .collect();
        let records = gone
            .iter()
            .map(|key| Record::InstanceRemoved {
                service: key.service,
                instance: key.instance.clone(),
                cause: Removal::Expired,
                operation: None,
                at: now.wall,
            })
            .collect();
        Decision::record(records, gone)
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
            let old = lease.timer;
            lease.timer = suspect_at(lease.until, ms);
            let timer = lease.timer;
            self.lease_timers.remove(&(old, service, id.clone()));
            self.overdue.remove(&(service, id.clone()));
            self.lease_timers.insert((timer, service, id));
            self.touch(service);
        }
        Renewal { lease_ms }
    }

    /// Grants every lease its full time from `now`: to be called once the log was replayed.
    pub fn grant_leases(&mut self, now: Now) {
        self.lease_timers.clear();
        self.overdue.clear();
        for (service, state) in &mut self.services {
            for (id, state) in &mut state.instances {
                if let Some(ms) = state.instance.lease_ms {
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
