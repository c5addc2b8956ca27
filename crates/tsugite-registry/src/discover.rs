//! `DiscoverInstances`: by name, attributes and health, in random order.

use std::collections::BTreeSet;

use tsugite_base::rng::SplitMix64;

use crate::command::{Discover, Discovered, HealthFilter};
use crate::error::DiscoverError;
use crate::health::Usable;
use crate::model::Attributes;
use crate::registry::{InstanceState, Registry, ServiceState};
use crate::views::HealthStatus;

/// A service of no more instances is looked through for each answer.
const FEW: usize = 512;
/// Instances that are drawn for each that is wanted, before all are looked through instead.
const DRAWN_PER_RESULT: usize = 8;

impl Registry {
    /// Finds instances. All of `query` must match; `optional` narrows the answer only if something matches both.
    pub fn discover_instances(&self, cmd: &Discover) -> Result<Discovered, DiscoverError> {
        tsugite_base::invalid::in_range("MaxResults", cmd.max_results as i64, 1..=1000)?;
        let namespace = &self.namespace_named(&cmd.namespace)?.namespace;
        let state = self.service_named(namespace.id, &cmd.service)?;
        let usable = state.usable(self.min_available());
        let found = draw(state, cmd, usable).unwrap_or_else(|| look_through(state, cmd, usable));
        let instances = found.into_iter().map(|instance| instance.view(usable)).collect();
        Ok(Discovered {
            namespace: namespace.name.clone(),
            service: state.service.name.clone(),
            revision: state.revision,
            instances,
        })
    }

    /// The revision that [`Registry::discover_instances`] would answer with.
    pub fn discover_revision(&self, namespace: &str, service: &str) -> Result<u64, DiscoverError> {
        let namespace = self.namespace_named(namespace)?.namespace.id;
        Ok(self.service_named(namespace, service)?.revision)
    }
}

fn matches(instance: &InstanceState, wanted: &Attributes) -> bool {
    let attributes = &instance.instance.attributes;
    wanted
        .iter()
        .all(|(key, value)| attributes.get(key) == Some(value.as_str()))
}

/// Applies the health filter. An instance that nothing checks passes any filter, as Cloud Map says. Fail open means the
/// same here as on the gateway and in DNS: the instances that are used, or else all that are not withdrawn.
fn by_health(mut found: Vec<&InstanceState>, filter: HealthFilter, usable: Usable) -> Vec<&InstanceState> {
    let is = |instance: &InstanceState, wanted: HealthStatus| {
        !instance.is_checked() || instance.health().status == wanted
    };
    match filter {
        HealthFilter::All => {}
        HealthFilter::Healthy => found.retain(|i| is(i, HealthStatus::Healthy)),
        HealthFilter::Unhealthy => found.retain(|i| is(i, HealthStatus::Unhealthy)),
        HealthFilter::HealthyOrElseAll => {
            let used = found.iter().any(|i| usable.admits(i));
            let usable = if used { usable } else { Usable::All };
            found.retain(|i| usable.admits(i));
        }
    }
    found
}

/// Looks at every instance.
fn look_through<'a>(state: &'a ServiceState, cmd: &Discover, usable: Usable) -> Vec<&'a InstanceState> {
    let mut found: Vec<&InstanceState> = state
        .instances
        .values()
        .filter(|instance| matches(instance, &cmd.query))
        .collect();
    if !cmd.optional.is_empty() && found.iter().any(|instance| matches(instance, &cmd.optional)) {
        found.retain(|instance| matches(instance, &cmd.optional));
    }
    let found = by_health(found, cmd.health, usable);
    sample(found, cmd.max_results, cmd.seed)
}

/// Draws instances of a large service until enough of them match everything, which is what looking through all of
/// them would have answered: a uniform choice in random order. `None` if they are too rare for that.
fn draw<'a>(state: &'a ServiceState, cmd: &Discover, usable: Usable) -> Option<Vec<&'a InstanceState>> {
    let count = state.order.len();
    if count <= FEW.max(cmd.max_results * DRAWN_PER_RESULT) {
        return None;
    }
    let mut random = SplitMix64::new(cmd.seed);
    let (mut found, mut drawn) = (Vec::with_capacity(cmd.max_results), BTreeSet::new());
    for _ in 0..cmd.max_results * DRAWN_PER_RESULT {
        let place = usize::try_from(random.below(count as u64)).unwrap_or_default();
        if !drawn.insert(place) {
            continue;
        }
        let Some(instance) = state.instances.get(&state.order[place]) else {
            continue;
        };
        if matches(instance, &cmd.query)
            && matches(instance, &cmd.optional)
            && passes(instance, cmd.health, usable)
        {
            found.push(instance);
            if found.len() == cmd.max_results {
                return Some(found);
            }
        }
    }
    None
}

/// Whether an instance is among those that a filter prefers.
fn passes(instance: &InstanceState, filter: HealthFilter, usable: Usable) -> bool {
    let is = |wanted| instance.health().status == wanted || !instance.is_checked();
    match filter {
        HealthFilter::All => true,
        HealthFilter::Healthy => is(HealthStatus::Healthy),
        HealthFilter::HealthyOrElseAll => usable.admits(instance),
        HealthFilter::Unhealthy => is(HealthStatus::Unhealthy),
    }
}

/// At most `limit` of them, at random and in random order: the first steps of a Fisher-Yates shuffle.
fn sample(mut found: Vec<&InstanceState>, limit: usize, seed: u64) -> Vec<&InstanceState> {
    let mut random = SplitMix64::new(seed);
    let count = found.len().min(limit);
    for at in 0..count {
        let left = (found.len() - at) as u64;
        let pick = usize::try_from(random.below(left)).unwrap_or_default();
        found.swap(at, at + pick);
    }
    found.truncate(count);
    found
}
