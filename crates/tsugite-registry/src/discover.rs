//! `DiscoverInstances`: by name, attributes and health, in random order.

use tsugite_base::rng::SplitMix64;

use crate::command::{Discover, Discovered, HealthFilter, HealthStatus, InstanceView};
use crate::error::DiscoverError;
use crate::model::Attributes;
use crate::registry::{InstanceState, Registry};

impl Registry {
    /// Finds instances. All of `query` must match; `optional` narrows the answer only if something matches both.
    pub fn discover_instances(&self, cmd: &Discover) -> Result<Discovered, DiscoverError> {
        tsugite_base::invalid::in_range("MaxResults", cmd.max_results as i64, 1..=1000)?;
        let namespace = &self.namespace_named(&cmd.namespace)?.namespace;
        let state = self.service_named(namespace.id, &cmd.service)?;
        let mut found: Vec<&InstanceState> = state
            .instances
            .values()
            .filter(|instance| matches(instance, &cmd.query))
            .collect();
        if !cmd.optional.is_empty() && found.iter().any(|instance| matches(instance, &cmd.optional)) {
            found.retain(|instance| matches(instance, &cmd.optional));
        }
        let found = by_health(
            found.into_iter().map(|i| (i, i.health().status)).collect(),
            cmd.health,
        );
        let instances = sample(found, cmd.max_results, cmd.seed);
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
        .all(|(key, value)| attributes.get(key) == Some(value))
}

/// Applies the health filter. An instance that nothing checks passes any filter, as Cloud Map says.
fn by_health(found: Vec<(&InstanceState, HealthStatus)>, filter: HealthFilter) -> Vec<&InstanceState> {
    let with = |wanted: HealthStatus| {
        let passes = |instance: &InstanceState, status| status == wanted || !instance.is_checked();
        let kept = found.iter().filter(|(i, status)| passes(i, *status));
        kept.map(|(i, _)| *i).collect::<Vec<_>>()
    };
    let all = || found.iter().map(|(i, _)| *i).collect();
    match filter {
        HealthFilter::All => all(),
        HealthFilter::Healthy => with(HealthStatus::Healthy),
        HealthFilter::Unhealthy => with(HealthStatus::Unhealthy),
        HealthFilter::HealthyOrElseAll => {
            let healthy = with(HealthStatus::Healthy);
            if healthy.is_empty() { all() } else { healthy }
        }
    }
}

/// At most `limit` of them, at random and in random order: the first steps of a Fisher-Yates shuffle.
fn sample(mut found: Vec<&InstanceState>, limit: usize, seed: u64) -> Vec<InstanceView> {
    let mut random = SplitMix64::new(seed);
    let count = found.len().min(limit);
    for at in 0..count {
        let left = (found.len() - at) as u64;
        let pick = usize::try_from(random.below(left)).unwrap_or_default();
        found.swap(at, at + pick);
    }
    found[..count].iter().map(|instance| instance.view()).collect()
}
