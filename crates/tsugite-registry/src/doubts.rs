//! Doubt: an instance that fell silent, or that its callers could not reach, is asked before anything is done to it.
//!
//! One that answers is kept, as a suspect as long as it is silent; one that does not is not used, and removed when its
//! lease is over. So heartbeats that are lost on the way cost nobody his instances, and those that died go in time.
//! Volatile: after a restart nobody is in doubt.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tsugite_base::{Now, Timestamp};

use crate::command::{InstanceName, Probe, ProbeResult, Purpose};
use crate::instances::protocol_of;
use crate::leases::suspect_at;
use crate::model::{CheckKind, HealthSource, Instance, ServiceId};
use crate::registry::{InstanceState, Registry};

/// From one probe to the next, for instances without a lease. Milliseconds, as all below.
const EVERY_MS: u32 = 1_000;
/// Least and greatest time between the probes of an instance with a lease, a sixth of it.
const EVERY_LEASED_MS: (u32, u32) = (50, 5_000);
/// How long an answer may take at most.
const TIMEOUT_MS: u32 = 1_000;

/// The doubt about one instance.
#[derive(Clone, Debug)]
pub(crate) struct Doubt {
    /// Whether it answered when it was asked last, and when that was (steady).
    answer: Option<(bool, Timestamp)>,
    /// Its callers could not reach it.
    pub(crate) unreachable: bool,
    /// When it is asked next (steady).
    pub(crate) next: Timestamp,
}

impl Doubt {
    /// Whether it was asked and did not answer.
    pub(crate) const fn is_denied(&self) -> bool {
        matches!(self.answer, Some((false, _)))
    }

    /// As [`Doubt::is_denied`], and so lately that it can be held against it: if this process was asleep since, as it
    /// is when its machine is suspended, the answer says nothing.
    pub(crate) fn is_denied_lately(&self, every: Duration, now: Timestamp) -> bool {
        let limit = 2 * every + Duration::from_millis(TIMEOUT_MS.into());
        self.answer
            .is_some_and(|(answered, at)| !answered && now.since(at) <= limit)
    }
}

/// Time from one probe to the next.
pub(crate) fn every(lease_ms: Option<u32>) -> Duration {
    let (least, most) = EVERY_LEASED_MS;
    let ms = lease_ms.map_or(EVERY_MS, |lease| (lease / 6).clamp(least, most));
    Duration::from_millis(ms.into())
}

impl Registry {
    /// Begins to doubt an instance, if it has an address to ask at: the first probe is due at once.
    pub(crate) fn doubt(&mut self, service: ServiceId, instance: &Arc<str>, now: Timestamp) {
        let Some(state) = self.instance_mut(service, instance) else {
            return;
        };
        if state.doubt.is_some() || state.instance.address().is_none() {
            return;
        }
        state.doubt = Some(Box::new(Doubt {
            answer: None,
            unreachable: false,
            next: now,
        }));
        self.doubt_timers.insert((now, service, instance.clone()));
    }

    /// Ends the doubt about an instance.
    pub(crate) fn trust(&mut self, service: ServiceId, instance: &Arc<str>) {
        let state = self.instance_mut(service, instance);
        if let Some(doubt) = state.and_then(|state| state.doubt.take()) {
            self.doubt_timers.remove(&(doubt.next, service, instance.clone()));
        }
    }

    /// Takes the word of callers that nobody accepts connections at an instance's address. It is asked at once, and not
    /// used as long as it does not answer. Says whether that is news.
    pub fn report_unreachable(&mut self, who: &InstanceName, address: SocketAddr, now: Now) -> bool {
        let Ok(key) = self.find_instance(who) else {
            return false;
        };
        let state = self.instance_mut(key.service, &key.instance);
        let is_meant =
            |state: &mut InstanceState| state.leaving.is_none() && state.instance.address() == Some(address);
        if !state.is_some_and(is_meant) {
            return false;
        }
        self.doubt(key.service, &key.instance, now.steady);
        let state = self.instance_mut(key.service, &key.instance);
        let Some(doubt) = state.and_then(|state| state.doubt.as_mut()) else {
            return false;
        };
        let news = !std::mem::replace(&mut doubt.unreachable, true);
        if news {
            // So that whoever probes looks up.
            self.touch(key.service);
        }
        news
    }

    /// Appends probes of those in doubt that are due, until there are `limit`.
    pub(crate) fn due_doubts(&mut self, limit: usize, now: Now, probes: &mut Vec<Probe>) {
        while probes.len() < limit && self.doubt_timers.first().is_some_and(|t| t.0 <= now.steady) {
            let Some((_, service, instance)) = self.doubt_timers.pop_first() else {
                return;
            };
            let Some(in_service) = self.services.get_mut(&service) else {
                continue;
            };
            let namespace = self.namespaces.get(&in_service.service.namespace);
            let namespace = namespace.map_or("", |n| &n.namespace.name);
            let Some(target) = in_service.instances.get_mut(&instance) else {
                continue;
            };
            let (Some(doubt), Some(address)) = (&mut target.doubt, target.instance.address()) else {
                continue;
            };
            doubt.next = now.steady + every(target.instance.lease_ms);
            self.doubt_timers.insert((doubt.next, service, instance.clone()));
            let (kind, timeout_ms) = match &in_service.service.health {
                HealthSource::Active(check) => (check.kind.clone(), check.timeout_ms),
                HealthSource::None | HealthSource::Custom => (CheckKind::Tcp, TIMEOUT_MS),
            };
            probes.push(Probe {
                name: format!("{instance}.{}.{namespace}", in_service.service.name),
                service,
                instance,
                generation: target.generation,
                purpose: Purpose::Doubt,
                protocol: protocol_of(&target.instance.attributes),
                kind,
                address,
                timeout_ms: timeout_ms.min(TIMEOUT_MS),
            });
        }
    }

    /// Takes the answer of one in doubt; says whether its health changed.
    pub(crate) fn doubt_result(&mut self, result: &ProbeResult, now: Now) -> bool {
        let (service, instance) = (result.service, &result.instance);
        let Some(state) = self.instance_mut(service, instance) else {
            return false;
        };
        if state.generation != result.generation || state.doubt.is_none() {
            return false;
        }
        let before = state.health();
        let suspect = state.lease.as_ref().is_some_and(|lease| lease.suspect);
        if result.passed && !suspect {
            self.trust(service, instance);
        } else if let Some(doubt) = &mut state.doubt {
            doubt.answer = Some((result.passed, now.steady));
            doubt.unreachable &= !result.passed;
            if result.passed {
                self.vouch(service, instance, now.steady);
            }
        }
        let state = self.instance_mut(service, instance);
        let changed = state.is_some_and(|state| state.health() != before);
        if changed {
            self.touch(service);
        }
        changed
    }

    /// A suspect that answers is held as if it had been heard of a third of its lease ago.
    fn vouch(&mut self, service: ServiceId, instance: &Arc<str>, now: Timestamp) {
        let Some(InstanceState {
            instance: Instance {
                lease_ms: Some(ms), ..
            },
            lease: Some(lease),
            ..
        }) = self.instance_mut(service, instance)
        else {
            return;
        };
        let full = now + Duration::from_millis((*ms).into());
        lease.until = lease.until.max(suspect_at(full, *ms));
        let (old, new) = (std::mem::replace(&mut lease.timer, lease.until), lease.until);
        self.lease_timers.remove(&(old, service, instance.clone()));
        self.overdue.remove(&(service, instance.clone()));
        self.lease_timers.insert((new, service, instance.clone()));
    }
}
