//! The feed: turns changes of the registry and the configuration into the gateway's table.
//!
//! Changes are taken over as soon as they are durable, all that are pending in one step, so that a burst of
//! registrations costs one table and a single one waits for nothing. Building takes time in proportion to the number of
//! services; it is done beside the control runtime, and leaves at least as much time as it took to everybody else, four
//! times as much if it took long.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tsugite_engine::RegistryStore;
use tsugite_gateway::Shared;
use tsugite_registry::{InstanceView, ServiceId, ServiceView, address_of, protocol_of, weight_of};
use tsugite_traffic::table::DEFAULT_TIMEOUT;
use tsugite_traffic::{Endpoint, Protocol, Route, ServiceKey, ServiceSpec, TableBuilder};

use crate::config::{self, Config};

/// Attribute: gRPC services that an instance serves, `pkg.A, pkg.B`.
const GRPC_SERVICES: &str = "TSUGITE_GRPC_SERVICES";

/// A table that took no longer is followed by the next without a pause.
const UNNOTICED: Duration = Duration::from_millis(2);
/// One that took longer is followed by a pause four times as long.
const QUICK: Duration = Duration::from_millis(10);
/// The longest pause after one that took longer: a registry of a million instances changes all the time.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Keeps the gateway's table in step with the registry and the configuration.
pub struct Feed<S> {
    store: S,
    gateway: Arc<Shared>,
    config: watch::Receiver<Arc<Config>>,
    changes: watch::Receiver<u64>,
    seen: u64,
    services: HashMap<ServiceId, Arc<ServiceSpec>>,
    warned: Vec<String>,
    published: watch::Sender<u64>,
}

impl<S: RegistryStore> Feed<S> {
    /// A feed that has not looked yet.
    pub fn new(store: S, gateway: Arc<Shared>, config: watch::Receiver<Arc<Config>>) -> Feed<S> {
        Feed {
            changes: store.registry_changes(),
            store,
            gateway,
            config,
            seen: 0,
            services: HashMap::new(),
            warned: Vec::new(),
            published: watch::Sender::new(0),
        }
    }

    /// The number of the registry's change ([`tsugite_registry::Changes::seen`]) that the table in force is made of.
    pub fn published(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// Publishes a table for as long as it is polled, whenever something changed.
    pub async fn run(mut self) {
        loop {
            let took = self.update().await;
            if took > UNNOTICED {
                let pause = if took > QUICK { took * 4 } else { took };
                tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
            }
            tokio::select! {
                Ok(()) = self.changes.changed() => {}
                Ok(()) = self.config.changed() => {}
                else => return std::future::pending().await,
            }
        }
    }

    /// Publishes a table with all that is durable now; answers how long the table took.
    pub async fn update(&mut self) -> Duration {
        self.changes.borrow_and_update();
        let changes = self.store.changes_since(self.seen).await;
        self.seen = changes.seen;
        if changes.full {
            self.services.clear();
        }
        for id in &changes.removed {
            self.services.remove(id);
        }
        for (view, instances) in &changes.services {
            self.services
                .insert(view.service.id, Arc::new(spec(view, instances)));
        }
        let config = self.config.borrow_and_update().clone();
        let services: Vec<_> = self.services.values().cloned().collect();
        let gateway = self.gateway.clone();
        let built = tokio::task::spawn_blocking(move || {
            let begin = Instant::now();
            (publish(&gateway, &config, &services), begin.elapsed())
        });
        match built.await {
            Ok((warnings, took)) => {
                self.published.send_replace(self.seen);
                self.warn(warnings);
                took
            }
            Err(error) => {
                tracing::error!(%error, "the routing table could not be built; the old one stays in force");
                Duration::ZERO
            }
        }
    }

    /// Says what is ambiguous when it becomes so, not with every table.
    fn warn(&mut self, warnings: Vec<String>) {
        for warning in warnings.iter().filter(|w| !self.warned.contains(w)) {
            tracing::warn!("{warning}");
        }
        self.warned = warnings;
    }
}

/// Builds a table and puts it into force; answers what is ambiguous in it.
fn publish(gateway: &Shared, config: &Config, services: &[Arc<ServiceSpec>]) -> Vec<String> {
    let mut builder = TableBuilder::new();
    for spec in services {
        let mut spec = ServiceSpec::clone(spec);
        configure(config, &mut spec);
        builder.service(spec);
    }
    for declared in &config.declared.routes {
        if let Err(error) = builder.route(route(declared)) {
            tracing::error!(route = declared.name, %error, "the route is left out");
        }
    }
    let table = builder.build(gateway.roster());
    let warnings = table.warnings().to_vec();
    gateway.publish(table);
    warnings
}

/// The instances that take calls, and those that are leaving.
fn spec(view: &ServiceView, instances: &[InstanceView]) -> ServiceSpec {
    let endpoints = instances.iter().filter(|i| i.takes_calls).filter_map(endpoint);
    let endpoints = endpoints.collect();
    let key = ServiceKey::new(&view.namespace_name, &view.service.name);
    let mut spec = ServiceSpec::new(key, endpoints);
    let leaving = instances.iter().filter(|i| i.health.leaving);
    spec.leaving = leaving.filter_map(endpoint).collect();
    let reachable = instances
        .iter()
        .filter(|i| !i.health.leaving && address_of(&i.attributes).is_some());
    spec.unhealthy = reachable.count().saturating_sub(spec.endpoints.len());
    for declared in instances.iter().filter_map(|i| i.attributes.get(GRPC_SERVICES)) {
        spec.declare_grpc_services(declared);
    }
    spec
}

/// `None` for an instance without an address.
fn endpoint(view: &InstanceView) -> Option<Endpoint> {
    let protocol = match protocol_of(&view.attributes) {
        None => Protocol::Unspecified,
        Some(tsugite_registry::Protocol::Http) => Protocol::Http,
        Some(tsugite_registry::Protocol::H2c) => Protocol::H2c,
        Some(tsugite_registry::Protocol::Grpc) => Protocol::Grpc,
    };
    let mut endpoint = Endpoint::new(&*view.id, address_of(&view.attributes)?, protocol);
    endpoint.weight = weight_of(&view.attributes).unwrap_or(endpoint.weight);
    Some(endpoint)
}

/// What the configuration says of a service: its own settings, or the common ones. Endpoints that do not say what they
/// speak speak what it says.
fn configure(config: &Config, spec: &mut ServiceSpec) {
    let services = &config.declared.services;
    let declared = services.iter().find(|service| is_named(&service.name, &spec.key));
    let common = &config.common;
    let circuit = declared.map_or(&common.circuit, |service| &service.circuit);
    spec.circuit = circuit.settings(shortest_timeout(config, &spec.key));
    spec.ejection = circuit.ejection.clone();
    spec.retry = declared.map_or(&common.retry, |service| &service.retry).clone();
    spec.balance = declared
        .map_or(&common.balance, |service| &service.balance)
        .clone();
    spec.limits = declared.map_or(common.limits, |service| service.limits);
    let protocol = match declared.and_then(|service| service.protocol) {
        None => return,
        Some(config::Protocol::Http) => Protocol::Http,
        Some(config::Protocol::H2c) => Protocol::H2c,
        Some(config::Protocol::Grpc) => Protocol::Grpc,
    };
    for endpoint in spec
        .endpoints
        .iter_mut()
        .filter(|endpoint| endpoint.protocol == Protocol::Unspecified)
    {
        endpoint.protocol = protocol;
    }
}

fn is_named(name: &config::ServiceName, key: &ServiceKey) -> bool {
    name.namespace == key.namespace && name.service == key.service
}

/// The shortest time limit of a service's routes: its circuit must find calls slow before they are given up.
fn shortest_timeout(config: &Config, key: &ServiceKey) -> Option<Duration> {
    let routes = config
        .declared
        .routes
        .iter()
        .filter(|route| is_named(&route.service, key));
    let timeouts = routes.filter(|route| !route.streaming).map(|route| route.timeout);
    timeouts.chain([DEFAULT_TIMEOUT]).min()
}

fn route(declared: &config::Route) -> Route {
    let service = ServiceKey::new(&declared.service.namespace, &declared.service.service);
    let default = Route::new(&declared.name, service);
    Route {
        host: declared.host.clone(),
        path_prefix: declared.path_prefix.clone().unwrap_or(default.path_prefix),
        strip_prefix: declared.strip_prefix,
        timeout: (!declared.streaming).then_some(declared.timeout),
        connect_timeout: declared.connect_timeout,
        streaming: declared.streaming,
        ..default
    }
}

#[cfg(test)]
mod tests {
    use tsugite_base::Timestamp;
    use tsugite_registry::{Health, HealthSource, NamespaceId, NamespaceKind, Packed, Service};

    use super::*;

    fn view() -> ServiceView {
        ServiceView {
            service: Service {
                id: ServiceId(1),
                namespace: NamespaceId(1),
                name: "orders".into(),
                description: None,
                creator_request_id: None,
                dns: None,
                health: HealthSource::None,
                created: Timestamp(0),
            },
            namespace_name: "shop".into(),
            namespace_kind: NamespaceKind::Http,
            soa_ttl: 1,
            default_ttl: 1,
            instances: 0,
            revision: 0,
        }
    }

    fn instance(id: &str, takes_calls: bool, attributes: &[(&str, &str)]) -> InstanceView {
        let attributes: tsugite_registry::Attributes = attributes
            .iter()
            .map(|&(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        InstanceView {
            id: id.into(),
            attributes: Packed::from(&attributes),
            health: Health {
                leaving: id == "leaving",
                ..Health::default()
            },
            takes_calls,
            ..InstanceView::default()
        }
    }

    const WHERE: (&str, &str) = ("AWS_INSTANCE_IPV4", "127.0.0.1");

    #[test]
    fn those_that_take_calls_and_those_that_leave_are_told_apart() {
        let instances = [
            instance("a", true, &[WHERE]),
            instance("b", false, &[WHERE]),
            instance("leaving", false, &[WHERE]),
        ];
        let spec = spec(&view(), &instances);
        let ids = |endpoints: &[Endpoint]| endpoints.iter().map(|e| e.id.clone()).collect::<Vec<_>>();
        assert_eq!(
            (ids(&spec.endpoints), ids(&spec.leaving)),
            (vec!["a".into()], vec!["leaving".into()])
        );
    }

    #[test]
    fn attributes_say_where_and_what() {
        let instances = [
            instance("nowhere", true, &[("AWS_INSTANCE_PORT", "1")]),
            instance("plain", true, &[WHERE]),
            instance(
                "kitchen",
                true,
                &[
                    ("AWS_INSTANCE_IPV6", "::1"),
                    ("AWS_INSTANCE_PORT", "50051"),
                    ("TSUGITE_PROTOCOL", "grpc"),
                    ("TSUGITE_GRPC_SERVICES", "pkg.Kitchen, pkg.Oven"),
                ],
            ),
        ];
        let spec = spec(&view(), &instances);
        let told: Vec<_> = spec
            .endpoints
            .iter()
            .map(|e| (e.id.as_str(), e.address.to_string(), e.protocol))
            .collect();
        assert_eq!(
            told,
            [
                ("plain", "127.0.0.1:80".to_owned(), Protocol::Unspecified),
                ("kitchen", "[::1]:50051".to_owned(), Protocol::Grpc),
            ]
        );
        assert_eq!(spec.grpc_services, ["pkg.Kitchen", "pkg.Oven"]);
        assert_eq!(spec.key.to_string(), "orders.shop");
    }
}
