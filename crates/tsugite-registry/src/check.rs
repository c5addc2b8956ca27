//! Active health checks: one small machine per instance that asks for probes and takes their results.
//!
//! The first result decides; after that `unhealthy` failures in a row make an instance unhealthy and
//! `healthy` passes in a row make it healthy again. A check that changes its mind more often than four times a minute is
//! flapping: for a minute its verdict stays as it is. Volatile: after a restart every check starts anew.

use std::time::Duration;

use tsugite_base::rng::SplitMix64;
use tsugite_base::{Now, Timestamp};

use crate::command::{Probe, ProbeResult, Purpose};
use crate::instances::protocol_of;
use crate::model::{HealthCheck, HealthSource};
use crate::registry::Registry;
use crate::views::HealthStatus;

/// Changes of a verdict that may be within [`FLAPPING`]; with the next one the check is not listened to for as long.
const CHANGES: usize = 4;
/// See [`CHANGES`].
const FLAPPING: Duration = Duration::from_secs(60);

/// The check of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    status: HealthStatus,
    /// Results in a row that contradict `status`.
    against: u32,
    /// How often the verdict has changed lately, if it has.
    flaps: Option<Box<Flaps>>,
    /// When the next probe is due, on the steady clock.
    pub(crate) next: Timestamp,
}

/// The latest changes of a verdict.
#[derive(Clone, Debug, Default)]
struct Flaps {
    /// Their times (steady) within [`FLAPPING`]; at most [`CHANGES`].
    changes: Vec<Timestamp>,
    /// Until then nothing changes, if it is flapping.
    held: Option<Timestamp>,
}

impl Flaps {
    /// Whether the verdict may change now; notes that it does.
    fn admits(&mut self, now: Timestamp) -> bool {
        if self.held.is_some() {
            return false;
        }
        self.changes.retain(|change| now.since(*change) <= FLAPPING);
        if self.changes.len() == CHANGES {
            self.changes.clear();
            self.held = Some(now + FLAPPING);
            return false;
        }
        self.changes.push(now);
        true
    }
}

impl Check {
    pub(crate) const fn new(now: Timestamp) -> Check {
        Check {
            status: HealthStatus::Unknown,
            against: 0,
            flaps: None,
            next: now,
        }
    }

    /// The same verdict, with a probe due at `now`.
    pub(crate) fn probed_at(self, now: Timestamp) -> Check {
        Check { next: now, ..self }
    }

    pub(crate) const fn status(&self) -> HealthStatus {
        self.status
    }

    /// Whether it changes its mind too often to be listened to.
    pub(crate) fn is_flapping(&self) -> bool {
        self.flaps.as_ref().is_some_and(|flaps| flaps.held.is_some())
    }

    /// Takes a result; answers whether the verdict changed.
    fn result(&mut self, passed: bool, config: &HealthCheck, now: Timestamp) -> bool {
        if let Some(flaps) = &mut self.flaps {
            flaps.held = flaps.held.filter(|until| now < *until);
        }
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
        // The first verdict is no change.
        if self.status != HealthStatus::Unknown && !self.flaps.get_or_insert_default().admits(now) {
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
        let timers = [self.probe_timers.first(), self.doubt_timers.first()];
        timers.into_iter().flatten().map(|timer| timer.0).min()
    }

    /// Hands out at most `limit` probes that are due, first those of instances in doubt. The next one of each instance
    /// is due an interval later, for checks give or take 15 % drawn from `seed`, whether or not a result arrives.
    pub fn due_probes(&mut self, limit: usize, seed: u64, now: Now) -> Vec<Probe> {
        let mut random = SplitMix64::new(seed);
        let mut probes = Vec::new();
        self.due_doubts(limit, now, &mut probes);
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
                purpose: Purpose::Check,
                protocol: protocol_of(&target.instance.attributes),
                kind: config.kind.clone(),
                address,
                timeout_ms: config.timeout_ms,
            });
        }
        probes
    }

    /// Takes the result of a probe; answers whether the instance's verdict changed.
    pub fn probe_result(&mut self, result: &ProbeResult, now: Now) -> bool {
        if result.purpose == Purpose::Doubt {
            return self.doubt_result(result, now);
        }
        let changed = self.services.get_mut(&result.service).is_some_and(|state| {
            let HealthSource::Active(config) = &state.service.health else {
                return false;
            };
            let target = state.instances.get_mut(&result.instance);
            target
                .filter(|target| target.generation == result.generation)
                .and_then(|target| target.check.as_mut())
                .is_some_and(|check| check.result(result.passed, config, now.steady))
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
