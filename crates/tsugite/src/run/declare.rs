//! What the configuration declares comes to be: created if absent, an error if it exists and differs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tsugite_base::World;
use tsugite_broker::{CreateQueue, CreateTopic, QueueKey, Subscribe, TopicKey};
use tsugite_engine::{Messaging, RegistryStore};
use tsugite_registry::{
    HealthCheck, HealthSource, InstanceName, NamespaceId, Protocol, PutInstance, PutService, ServiceId,
};

use crate::config::{self, Config};

/// A declared thing that cannot be.
#[derive(Debug)]
pub struct Undeclared {
    what: String,
    why: String,
}

impl fmt::Display for Undeclared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration declares {}, but: {}", self.what, self.why)
    }
}

impl std::error::Error for Undeclared {}

fn refused<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Undeclared {
    let what = what.to_string();
    move |why| Undeclared {
        what,
        why: why.to_string(),
    }
}

/// Creates what `config` declares and does not exist yet.
pub async fn declare<S>(store: &S, world: &World, config: &Config) -> Result<(), Undeclared>
where
    S: Messaging + RegistryStore,
{
    for queue in targets_first(&config.declared.queues) {
        declare_queue(store, config, queue).await?;
    }
    for topic in &config.declared.topics {
        declare_topic(store, world, config, topic).await?;
    }
    for service in &config.declared.services {
        declare_service(store, world, service).await?;
    }
    Ok(())
}

/// The queues in an order in which each comes after its dead-letter queue, wherever they stand in the file. Those of a
/// circle come last: creating the first of them says what is wrong.
fn targets_first(queues: &[config::Queue]) -> Vec<&config::Queue> {
    let target = |queue: &config::Queue| -> Option<String> {
        let policy: serde_json::Value = serde_json::from_str(queue.attributes.get("RedrivePolicy")?).ok()?;
        let arn = policy["deadLetterTargetArn"].as_str()?;
        arn.rsplit(':').next().map(str::to_owned)
    };
    let mut waiting: Vec<(&config::Queue, Option<String>)> = queues.iter().map(|q| (q, target(q))).collect();
    let mut ordered = Vec::with_capacity(queues.len());
    loop {
        let names: BTreeSet<&str> = waiting.iter().map(|(queue, _)| queue.name.as_str()).collect();
        let waits = |target: &Option<String>| target.as_deref().is_some_and(|target| names.contains(target));
        let (later, now): (Vec<_>, Vec<_>) = waiting.iter().cloned().partition(|(_, target)| waits(target));
        ordered.extend(now.iter().map(|(queue, _)| *queue));
        if now.is_empty() {
            ordered.extend(later.iter().map(|(queue, _)| *queue));
            return ordered;
        }
        waiting = later;
    }
}

async fn declare_queue<S: Messaging>(
    store: &S,
    config: &Config,
    queue: &config::Queue,
) -> Result<(), Undeclared> {
    let command = CreateQueue {
        tags: Vec::new(),
        queue: QueueKey::new(config.aws.scope.clone(), &queue.name),
        attributes: queue.attributes.clone().into_iter().collect(),
    };
    let what = format!("the queue `{}`", queue.name);
    store.create_queue(command).await.map_err(refused(what))
}

async fn declare_topic<S: Messaging>(
    store: &S,
    world: &World,
    config: &Config,
    topic: &config::Topic,
) -> Result<(), Undeclared> {
    let key = TopicKey::new(config.aws.scope.clone(), &topic.name);
    let command = CreateTopic {
        topic: key.clone(),
        attributes: topic.attributes.clone().into_iter().collect(),
        ..CreateTopic::default()
    };
    let what = format!("the topic `{}`", topic.name);
    store.create_topic(command).await.map_err(refused(what))?;
    for subscription in &topic.subscriptions {
        let shown = subscription.queue.as_ref().unwrap_or(&subscription.endpoint);
        let what = format!("a subscription of `{shown}` to `{}`", topic.name);
        if let Some(queue) = &subscription.queue {
            let queue = QueueKey::new(config.aws.scope.clone(), queue);
            store.queue(queue).await.map_err(refused(&what))?;
        }
        let command = Subscribe {
            topic: key.clone(),
            id: world.uuid(),
            owner: key.scope.account.clone(),
            principal: format!("arn:aws:iam::{}:root", key.scope.account),
            token: format!("{}{}", world.uuid(), world.uuid()),
            protocol: subscription.protocol.name().to_owned(),
            endpoint: subscription.endpoint.clone(),
            attributes: subscription.attributes.clone().into_iter().collect(),
            base_url: None,
        };
        store.subscribe(command).await.map_err(refused(what))?;
    }
    Ok(())
}

async fn declare_service<S>(store: &S, world: &World, service: &config::Service) -> Result<(), Undeclared>
where
    S: RegistryStore,
{
    let command = PutService {
        new_namespace: NamespaceId(world.random_u64()),
        new_service: ServiceId(world.random_u64()),
        namespace: service.name.namespace.clone(),
        service: service.name.service.clone(),
        health: service.health_check.as_ref().map(health_source),
    };
    let what = format!("the service `{}`", service.name);
    store.put_service(command).await.map_err(refused(what))?;
    for instance in &service.instances {
        let command = PutInstance {
            new_namespace: NamespaceId(world.random_u64()),
            new_service: ServiceId(world.random_u64()),
            namespace: service.name.namespace.clone(),
            service: service.name.service.clone(),
            instance: instance.id.clone(),
            address: Some(SocketAddr::new(instance.address, instance.port)),
            protocol: service.protocol.map(protocol),
            attributes: BTreeMap::clone(&instance.attributes),
            lease_ms: None,
        };
        let what = format!("the instance `{}` of `{}`", instance.id, service.name);
        store.put_instance(command).await.map_err(refused(what))?;
    }
    Ok(())
}

/// Removes the instances that `old` declared and `new` does not. Queues, topics and services may hold what others
/// put there, so they stay.
pub(super) async fn retire<S: RegistryStore>(store: &S, old: &Config, new: &Config) {
    for service in &old.declared.services {
        let kept = new
            .declared
            .services
            .iter()
            .find(|kept| kept.name == service.name);
        for instance in &service.instances {
            if kept.is_some_and(|kept| kept.instances.iter().any(|kept| kept.id == instance.id)) {
                continue;
            }
            let name = InstanceName {
                namespace: service.name.namespace.clone(),
                service: service.name.service.clone(),
                instance: instance.id.clone(),
            };
            if let Err(error) = store.delete_instance(name).await {
                tracing::info!(%error, "an instance that is no longer declared could not be removed");
            }
        }
    }
}

fn health_source(check: &config::HealthCheck) -> HealthSource {
    HealthSource::Active(HealthCheck {
        kind: check.kind.clone(),
        interval_ms: millis(check.interval),
        timeout_ms: millis(check.timeout),
        unhealthy: check.unhealthy,
        healthy: check.healthy,
    })
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn protocol(protocol: config::Protocol) -> Protocol {
    match protocol {
        config::Protocol::Http => Protocol::Http,
        config::Protocol::H2c => Protocol::H2c,
        config::Protocol::Grpc => Protocol::Grpc,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str, target: Option<&str>) -> config::Queue {
        let arn = |target| format!("arn:aws:sqs:us-east-1:000000000000:{target}");
        let policy = |target| {
            serde_json::json!({"deadLetterTargetArn": arn(target), "maxReceiveCount": 3}).to_string()
        };
        config::Queue {
            name: name.to_owned(),
            attributes: target
                .map(|target| ("RedrivePolicy".to_owned(), policy(target)))
                .into_iter()
                .collect(),
        }
    }

    #[test]
    fn dead_letter_queues_come_before_those_that_name_them() {
        let check = |queues: &[(&str, Option<&str>)], expected: &[&str]| {
            let queues: Vec<_> = queues.iter().map(|(name, target)| queue(name, *target)).collect();
            let names: Vec<_> = targets_first(&queues)
                .iter()
                .map(|queue| queue.name.as_str())
                .collect();
            assert_eq!(names, expected);
        };
        check(&[], &[]);
        check(
            &[("a", Some("b")), ("b", Some("c")), ("c", None)],
            &["c", "b", "a"],
        );
        check(&[("a", Some("elsewhere")), ("b", None)], &["a", "b"]);
        check(
            &[("a", Some("b")), ("b", Some("a")), ("c", None)],
            &["c", "a", "b"],
        );
    }
}
