//! What the configuration declares comes to be: created if absent, an error if it exists and differs.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tsugite_base::World;
use tsugite_broker::{CreateQueue, CreateTopic, QueueKey, Subscribe, TopicKey};
use tsugite_engine::{Messaging, RegistryStore};
use tsugite_registry::{
    CheckKind, HealthCheck, HealthSource, InstanceName, NamespaceId, Protocol, PutInstance, PutService,
    ServiceId,
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
    // Queues that others name as their dead-letter queue must come first, wherever they stand in the file.
    let (with_target, without): (Vec<_>, Vec<_>) = config
        .declared
        .queues
        .iter()
        .partition(|queue| queue.attributes.contains_key("RedrivePolicy"));
    for queue in without.into_iter().chain(with_target) {
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

async fn declare_queue<S: Messaging>(
    store: &S,
    config: &Config,
    queue: &config::Queue,
) -> Result<(), Undeclared> {
    let command = CreateQueue {
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
        attributes: Vec::new(),
    };
    let what = format!("the topic `{}`", topic.name);
    store.create_topic(command).await.map_err(refused(what))?;
    for subscription in &topic.subscriptions {
        let queue = QueueKey::new(config.aws.scope.clone(), &subscription.queue);
        let command = Subscribe {
            topic: key.clone(),
            id: world.uuid(),
            protocol: "sqs".to_owned(),
            endpoint: queue.arn().to_string(),
            attributes: vec![("RawMessageDelivery".to_owned(), subscription.raw.to_string())],
        };
        let what = format!("a subscription of `{}` to `{}`", subscription.queue, topic.name);
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
        kind: CheckKind::Http {
            path: check.path.clone(),
        },
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
