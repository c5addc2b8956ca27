//! Ejection: which endpoints of a service are left out because of what calls to them showed.
//!
//! Each endpoint has a circuit of its own, the same machine as the service's. An open one is *ejected*: the balancer
//! passes it over on all cores. What makes it different from a service's circuit is that others can take its calls:
//!
//! * it is compared with its peers. Every ten seconds, an endpoint is ejected whose success rate lies
//!   [`DEVIATIONS`] standard deviations below the mean, or whose median latency was [`SLOWER`] times that of its peers
//!   for [`STRIKES`] times in a row;
//! * it may be ejected only while enough others are left ([`EjectionSettings::min_available_percent`]). If more should
//!   go than may, the worst go first, then by name: the same evidence always ejects the same endpoints.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tsugite_base::Mono;
use tsugite_base::rng::SplitMix64;

use crate::circuit::{Breaker, Counts, Reason, Transition};
use crate::settings::EjectionSettings;

/// Time between two comparisons.
const INTERVAL: Duration = Duration::from_secs(10);
/// An endpoint this many times slower than the median of its peers is an outlier,
const SLOWER: u32 = 3;
/// if it is also slower than this,
const SLOW_AT_ALL: Duration = Duration::from_millis(50);
/// so many times in a row.
const STRIKES: u32 = 3;
/// Healthy calls in an interval from which a median is believed.
const MEDIAN_CALLS: u64 = 5;
/// Calls in an interval from which a success rate is believed,
const RATE_CALLS: u64 = 100;
/// and endpoints with so many calls from which rates are compared.
const RATE_HOSTS: usize = 5;
/// Standard deviations below the mean success rate that make an outlier.
const DEVIATIONS: f64 = 1.9;

/// The endpoints of one service as the control path sees them. Outlives tables.
#[derive(Debug)]
pub(crate) struct Ejector {
    settings: EjectionSettings,
    group: Mutex<Group>,
}

#[derive(Debug, Default)]
struct Group {
    members: Vec<Member>,
    /// Instances that are left out because they are unhealthy.
    absent: usize,
    next_sweep: Option<Mono>,
}

#[derive(Debug)]
struct Member {
    breaker: Arc<Breaker>,
    /// Comparisons in a row in which it was too slow.
    strikes: u32,
    /// Its totals at the last comparison.
    seen: Counts,
}

impl Ejector {
    pub(crate) fn new(settings: EjectionSettings) -> Ejector {
        Ejector {
            settings,
            group: Mutex::default(),
        }
    }

    pub(crate) fn settings(&self) -> &EjectionSettings {
        &self.settings
    }

    /// The circuits of the endpoints, in the order of the table.
    pub(crate) fn breakers(&self) -> Vec<Arc<Breaker>> {
        let group = self.group();
        group.members.iter().map(|m| Arc::clone(&m.breaker)).collect()
    }

    /// Takes over the endpoints of a new table; what is known of those that stay is kept.
    pub(crate) fn enrol(&self, breakers: &[Arc<Breaker>], absent: usize) {
        let mut group = self.group();
        let old = std::mem::take(&mut group.members);
        let mut old: HashMap<*const Breaker, Member> =
            old.into_iter().map(|m| (Arc::as_ptr(&m.breaker), m)).collect();
        let member = |breaker: &Arc<Breaker>| {
            old.remove(&Arc::as_ptr(breaker)).unwrap_or_else(|| Member {
                breaker: Arc::clone(breaker),
                strikes: 0,
                seen: breaker.totals(),
            })
        };
        group.members = breakers.iter().map(member).collect();
        group.absent = absent;
    }

    /// Merges what the cores counted, ejects and lets back in. Adds the changes of state, each with its circuit's name.
    pub(crate) fn tick(&self, now: Mono, rng: &mut SplitMix64, changes: &mut Vec<(String, Transition)>) {
        let mut group = self.group();
        let mut wishes: Vec<Option<Reason>> =
            group.members.iter().map(|m| m.breaker.merge(now, rng)).collect();
        let sweep = *group.next_sweep.get_or_insert(now + INTERVAL);
        if sweep <= now {
            group.next_sweep = Some(now + INTERVAL);
            for (wish, outlier) in wishes.iter_mut().zip(group.compare()) {
                *wish = wish.or(outlier);
            }
        }
        if wishes.iter().any(Option::is_some) {
            group.spare(&mut wishes, self.settings.min_available_percent, now);
        }
        for (member, reason) in group.members.iter().zip(wishes) {
            let new = member.breaker.settle(reason, now, rng);
            changes.extend(new.into_iter().map(|t| (member.breaker.name().to_owned(), t)));
        }
    }

    fn group(&self) -> MutexGuard<'_, Group> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    /// Strikes out wishes until enough endpoints are left: those of the least bad first.
    fn spare(&self, wishes: &mut [Option<Reason>], min_available_percent: u8, now: Mono) {
        let all = self.members.len() + self.absent;
        let least = (all * usize::from(min_available_percent)).div_ceil(100);
        let here = self.members.iter().filter(|m| m.breaker.is_available());
        let mut room = here.count().saturating_sub(least);
        let mut worst: Vec<usize> = (0..wishes.len()).filter(|&at| wishes[at].is_some()).collect();
        worst.sort_by(|&a, &b| {
            let (x, y) = (&self.members[a].breaker, &self.members[b].breaker);
            let bad = |breaker: &Breaker| breaker.rates(now).combined_rate;
            let by_rate = bad(y).partial_cmp(&bad(x)).unwrap_or(Ordering::Equal);
            by_rate.then_with(|| x.name().cmp(y.name()))
        });
        for at in worst {
            if room > 0 {
                room -= 1;
            } else {
                wishes[at] = None;
                self.members[at].breaker.spare();
            }
        }
    }

    /// Compares the endpoints with each other, over the time since the last comparison.
    fn compare(&mut self) -> Vec<Option<Reason>> {
        let counts: Vec<Counts> = self.members.iter_mut().map(Member::since_last).collect();
        let here: Vec<bool> = self.members.iter().map(|m| m.breaker.is_available()).collect();
        let medians: Vec<Option<Duration>> = self
            .members
            .iter()
            .zip(&counts)
            .zip(&here)
            .map(|((member, counts), here)| {
                let median = member.breaker.take_median();
                median.filter(|_| *here && counts.success >= MEDIAN_CALLS)
            })
            .collect();
        let rates: Vec<Option<f64>> = counts
            .iter()
            .zip(&here)
            .map(|(counts, here)| {
                let believed = *here && counts.total() >= RATE_CALLS;
                believed.then(|| 1.0 - counts.rates().failure_rate)
            })
            .collect();
        let lowest = lowest_rate(&rates);
        let slow = far_slower(&medians);
        let verdicts = self.members.iter_mut().zip(slow).zip(rates);
        verdicts
            .map(|((member, slow), rate)| {
                member.strikes = if slow { member.strikes + 1 } else { 0 };
                if lowest.zip(rate).is_some_and(|(lowest, rate)| rate < lowest) {
                    return Some(Reason::SuccessRate);
                }
                (member.strikes >= STRIKES).then_some(Reason::Latency)
            })
            .collect()
    }
}

impl Member {
    fn since_last(&mut self) -> Counts {
        let totals = self.breaker.totals();
        let since = totals.since(&self.seen);
        self.seen = totals;
        since
    }
}

/// The success rate below which an endpoint is an outlier; `None` if too few have enough calls.
fn lowest_rate(rates: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = rates.iter().flatten().copied().collect();
    if known.len() < RATE_HOSTS {
        return None;
    }
    let n = known.len() as f64;
    let mean = known.iter().sum::<f64>() / n;
    let variance = known.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / n;
    Some(mean - DEVIATIONS * variance.sqrt())
}

/// Which are far slower than the median of the others.
fn far_slower(medians: &[Option<Duration>]) -> Vec<bool> {
    let mut sorted: Vec<Duration> = medians.iter().flatten().copied().collect();
    sorted.sort_unstable();
    let is_slow = |own: Duration| {
        let others = sorted.len() - 1;
        let rank = sorted.partition_point(|other| *other < own);
        // The lower middle of the others: one place further on if the own one lies before it.
        let middle = others.saturating_sub(1) / 2;
        let middle = if rank <= middle { middle + 1 } else { middle };
        others > 0 && own > SLOW_AT_ALL && own > sorted[middle] * SLOWER
    };
    medians.iter().map(|own| own.is_some_and(is_slow)).collect()
}

#[cfg(test)]
mod tests;
