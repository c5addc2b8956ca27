//! Active health checks: one small machine per instance that asks for probes and takes their results.
//!
//! The first result decides; after that `unhealthy` failures in a row make an instance unhealthy and
//! `healthy` passes in a row make it healthy again. Volatile: after a restart every check starts anew.

use std::time::Duration;

use tsugite_base::rng::SplitMix64;
use tsugite_base::{Now, Timestamp};

use crate::command::{HealthStatus, Probe, ProbeResult};
use crate::instances::protocol_of;
use crate::model::{HealthCheck, HealthSource};
use crate::registry::Registry;

/// The check of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    status: HealthStatus,
    /// Results in a row that contradict `status`.
    against: u32,
    /// When the next probe is due, on the steady clock.
    pub(crate) next: Timestamp,
}

impl Check {
    pub(crate) const fn new(now: Timestamp) -> Check {
        Check {
            status: HealthStatus::Unknown,
            against: 0,
            next: now,
        }
    }

    /// The same verdict, with a probe due at `now`.
    pub(crate) const fn probed_at(self, now: Timestamp) -> Check {
        Check { next: now, ..self }
    }

    pub(crate) const fn status(&self) -> HealthStatus {
        self.status
    }

    /// Takes a result; answers whether the verdict changed.
    fn result(&mut self, passed: bool, config: &HealthCheck) -> bool {
        let (verdict, threshold) = match (self.status, passed) {
            (HealthStatus::Unknown, true) => (HealthStatus::Healthy, 1),
            (HealthStatus::Unknown, false) => (HealthStatus::Unhealthy, 1),
            (HealthStatus::Healthy, false) => (HealthStatus::Unhealthy, config.unhealthy),
            (HealthStatus::Unhealthy, true) => (HealthStatus::Healthy, config.healthy),
            (HealthStatus::Healthy, true) | (HealthStatus::Unhealthy, false) => {
                self.against = 0;
                return false;
            }
        };
        self.against += 1;
        if self.against < threshold {
            return false;
        }
        self.status = verdict;
        self.against = 0;
        true
    }
}

impl Registry {
    /// When the next probe is due, on the steady clock.
    pub fn next_probe(&self) -> Option<Timestamp> {
        self.probe_timers.first().map(|timer| timer.0)
    }

    /// Hands out at most `limit` probes that are due. The next one of each instance is due an interval later,
    /// give or take 15 % drawn from `seed`, whether or not a result arrives.
    pub fn due_probes(&mut self, limit: usize, seed: u64, now: Now) -> Vec<Probe> {
        let mut random = SplitMix64::new(seed);
        let mut probes = Vec::new();
        while probes.len() < limit && self.probe_timers.first().is_some_and(|t| t.0 <= now.steady) {
            let Some((_, service, instance)) = self.probe_timers.pop_first() else {
                break;
            };
            let Some(state) = self.services.get_mut(&service) else {
                continue;
            };
            let namespace = self.namespaces.get(&state.service.namespace);
            let namespace = namespace.map_or("", |n| &n.namespace.name);
            let HealthSource::Active(config) = &state.service.health else {
                continue;
            };
            let Some(target) = state.instances.get_mut(&instance) else {
                continue;
            };
            let (Some(check), Some(address)) = (&mut target.check, target.instance.address()) else {
                continue;
            };
            check.next = now.steady + jittered(config.interval_ms, &mut random);
            self.probe_timers.insert((check.next, service, instance.clone()));
            let name = format!("{instance}.{}.{namespace}", state.service.name);
            probes.push(Probe {
                service,
                instance,
                name,
                generation: target.generation,
                protocol: protocol_of(&target.instance.attributes),
                kind: config.kind.clone(),
                address,
                timeout_ms: config.timeout_ms,
            });
        }
        probes
    }

    /// Takes the result of a probe; answers whether the instance's verdict changed.
    pub fn probe_result(&mut self, result: &ProbeResult) -> bool {
        let changed = self.services.get_mut(&result.service).is_some_and(|state| {
            let HealthSource::Active(config) = &state.service.health else {
                return false;
            };
            let target = state.instances.get_mut(&result.instance);
            target
                .filter(|target| target.generation == result.generation)
                .and_then(|target| target.check.as_mut())
                .is_some_and(|check| check.result(result.passed, config))
        });
        if changed {
            self.touch(result.service);
        }
        changed
    }
}

/// `interval_ms` give or take 15 %, never zero.
fn jittered(interval_ms: u32, random: &mut SplitMix64) -> Duration {
    let interval = u64::from(interval_ms);
    let spread = interval * 30 / 100;
    Duration::from_millis((interval - spread / 2 + random.below(spread + 1)).max(1))
}
