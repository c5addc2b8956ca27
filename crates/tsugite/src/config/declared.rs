//! What a configuration declares: queues, topics, services, routes and circuit settings.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;
use tsugite_base::names::{self, DEFAULT_NAMESPACE};
use tsugite_traffic::settings::MAX_PERMITS;
use tsugite_traffic::{CircuitSettings, HalfOpenSettings, OpenSettings};

use super::build::one_of;
use super::error::Place;
use super::raw;
use super::reader::Reader;
use super::text;

/// Everything that shall exist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Declared {
    /// Queues of the default account and region.
    pub queues: Vec<Queue>,
    /// Topics of the default account and region.
    pub topics: Vec<Topic>,
    /// Services, with instances that need no heartbeat.
    pub services: Vec<Service>,
    /// Routes of the gateway; the first that matches wins.
    pub routes: Vec<Route>,
}

/// A declared queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// As `CreateQueue` takes it.
    pub name: String,
    /// AWS attribute names and values.
    pub attributes: BTreeMap<String, String>,
}

/// A declared topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// As `CreateTopic` takes it.
    pub name: String,
    /// Queues that receive what is published.
    pub subscriptions: Vec<Subscription>,
}

/// A declared subscription of a queue to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Name of a queue in the same account and region.
    pub queue: String,
    /// Deliver the message as it was published, without the SNS envelope.
    pub raw: bool,
}

/// A service and its namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    /// For example `internal`.
    pub namespace: String,
    /// For example `orders`.
    pub service: String,
}

impl ServiceName {
    /// Reads `orders` (of the default namespace) or `orders.shop`.
    pub fn parse(text: &str) -> Result<ServiceName, String> {
        let (service, namespace) = text.split_once('.').unwrap_or((text, DEFAULT_NAMESPACE));
        let name = ServiceName {
            namespace: namespace.to_owned(),
            service: service.to_owned(),
        };
        if is_label(service) && namespace.split('.').all(is_label) {
            Ok(name)
        } else {
            Err(format!(
                "`{text}` is not a service; write its name, or name.namespace"
            ))
        }
    }
}

impl std::fmt::Display for ServiceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.service, self.namespace)
    }
}

/// A declared service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its name and namespace.
    pub name: ServiceName,
    /// What its instances speak, where they do not say so themselves.
    pub protocol: Option<Protocol>,
    /// Lease of instances that register through the admin API without a `ttl_ms` of their own.
    pub lease: Option<Duration>,
    /// An active check of every instance.
    pub health_check: Option<HealthCheck>,
    /// Instances that are always registered.
    pub instances: Vec<Instance>,
    /// Its circuit breaker.
    pub circuit: Circuit,
}

/// What an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/2 with prior knowledge.
    H2c,
    /// gRPC, over HTTP/2 with prior knowledge.
    Grpc,
}

impl Protocol {
    /// The name in the configuration and in the attribute `TSUGITE_PROTOCOL`.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::H2c => "h2c",
            Protocol::Grpc => "grpc",
        }
    }
}

/// An active HTTP check: `GET path`, healthy when the status is 200 to 399.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Begins with a slash.
    pub path: String,
    /// Between the starts of two checks.
    pub interval: Duration,
    /// Of one check.
    pub timeout: Duration,
    /// Failures in a row that make an instance unhealthy.
    pub unhealthy: u32,
    /// Successes in a row that make it healthy again.
    pub healthy: u32,
}

/// An instance that is always registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Unique in its service.
    pub id: String,
    /// IPv4 or IPv6.
    pub address: IpAddr,
    /// TCP port.
    pub port: u16,
    /// Further attributes.
    pub attributes: BTreeMap<String, String>,
}

/// A route of the gateway: what it matches and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Unique; in metrics and problem documents.
    pub name: String,
    /// The host that it matches; any if absent.
    pub host: Option<String>,
    /// The path that it matches, whole segments; any if absent.
    pub path_prefix: Option<String>,
    /// Where it leads.
    pub service: ServiceName,
    /// The service does not see the matched prefix.
    pub strip_prefix: bool,
    /// Of the whole call, from the end of the request.
    pub timeout: Duration,
    /// Of the connection to an instance.
    pub connect_timeout: Duration,
    /// Calls may go on without end: no total timeout, never slow after their first message.
    pub streaming: bool,
}

/// A service's circuit breaker. Rates are fractions from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Circuit {
    /// Over which calls are counted.
    pub window: Duration,
    /// Fewer calls than this in the window never open the circuit.
    pub min_calls: u32,
    /// Share of failed calls that opens it.
    pub failure_rate: f64,
    /// A call that takes longer is slow; half of the route's timeout, but at most 5 s, if absent.
    pub slow_call_duration: Option<Duration>,
    /// Share of slow calls that opens it.
    pub slow_call_rate: f64,
    /// How long it stays open the first time; doubles each time after.
    pub open_base: Duration,
    /// How long it stays open at most.
    pub open_max: Duration,
    /// Probe calls of one half-open period.
    pub permits: u32,
    /// Probe calls at the same time.
    pub concurrent: u32,
    /// A half-open period that did not decide by then opens again.
    pub half_open_max: Duration,
}

impl Default for Circuit {
    fn default() -> Circuit {
        let settings = CircuitSettings::default();
        Circuit {
            window: settings.window,
            min_calls: settings.min_calls,
            failure_rate: settings.failure_rate,
            slow_call_duration: None,
            slow_call_rate: settings.slow_call_rate,
            open_base: settings.open.base,
            open_max: settings.open.max,
            permits: settings.half_open.permits.into(),
            concurrent: settings.half_open.concurrent.into(),
            half_open_max: settings.half_open.max_duration,
        }
    }
}

impl Circuit {
    /// The settings of a circuit whose calls are given up after `timeout`.
    pub fn settings(&self, timeout: Option<Duration>) -> CircuitSettings {
        let narrow = |count: u32| u16::try_from(count).unwrap_or(MAX_PERMITS).min(MAX_PERMITS);
        let default = CircuitSettings::for_timeout(timeout);
        CircuitSettings {
            window: self.window,
            min_calls: self.min_calls,
            failure_rate: self.failure_rate,
            slow_call_duration: self.slow_call_duration.unwrap_or(default.slow_call_duration),
            slow_call_rate: self.slow_call_rate,
            open: OpenSettings {
                base: self.open_base,
                max: self.open_max,
                ..default.open
            },
            half_open: HalfOpenSettings {
                permits: narrow(self.permits),
                concurrent: narrow(self.concurrent),
                max_duration: self.half_open_max,
            },
            ..default
        }
    }
}

pub(super) fn declared(
    r: &mut Reader,
    queues: Vec<raw::Queue>,
    topics: Vec<raw::Topic>,
    services: Vec<raw::Service>,
    routes: Vec<raw::Route>,
    circuit: &Circuit,
) -> Declared {
    let mut seen = Seen::default();
    let queues = queues
        .into_iter()
        .filter_map(|raw| queue(r, &mut seen, raw))
        .collect();
    let topics = topics
        .into_iter()
        .filter_map(|raw| topic(r, &mut seen, raw))
        .collect();
    let services = services
        .into_iter()
        .filter_map(|raw| service(r, &mut seen, raw, circuit))
        .collect();
    let routes = routes
        .into_iter()
        .filter_map(|raw| route(r, &mut seen, raw))
        .collect();
    Declared {
        queues,
        topics,
        services,
        routes,
    }
}

/// Names that were declared already, with their kind.
#[derive(Default)]
struct Seen(BTreeSet<(&'static str, String)>);

impl Seen {
    fn first(&mut self, kind: &'static str, name: &str) -> Result<(), String> {
        if self.0.insert((kind, name.to_owned())) {
            Ok(())
        } else {
            Err(format!("the {kind} `{name}` is declared twice"))
        }
    }
}

fn queue(r: &mut Reader, seen: &mut Seen, raw: raw::Queue) -> Option<Queue> {
    let attributes = raw.attributes.into_iter().filter_map(|(key, value)| {
        let value = r.one(value, |value| attribute_text(&key, value))?;
        Some((key, value))
    });
    let attributes = attributes.collect();
    let name = r.one(raw.name, |name| {
        names::check_queue_name(&name).map_err(|rule| rule.to_string())?;
        seen.first("queue", &name)?;
        Ok(name)
    })?;
    Some(Queue { name, attributes })
}

/// AWS attributes are texts; numbers, booleans and (for policies) mappings are written out as such.
fn attribute_text(key: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null => Err(format!("the attribute `{key}` has no value")),
        other => Ok(other.to_string()),
    }
}

fn topic(r: &mut Reader, seen: &mut Seen, raw: raw::Topic) -> Option<Topic> {
    let subscriptions = raw.subscriptions.into_iter().filter_map(|raw| {
        let queue = r.one(raw.queue, |name| {
            names::check_queue_name(&name).map_err(|rule| rule.to_string())?;
            Ok(name)
        })?;
        Some(Subscription { queue, raw: raw.raw })
    });
    let subscriptions = subscriptions.collect();
    let name = r.one(raw.name, |name| {
        names::check_topic_name(&name).map_err(|rule| rule.to_string())?;
        seen.first("topic", &name)?;
        Ok(name)
    })?;
    Some(Topic { name, subscriptions })
}

fn service(r: &mut Reader, seen: &mut Seen, raw: raw::Service, base: &Circuit) -> Option<Service> {
    let namespace = r.maybe(raw.namespace, |name| {
        let good = name.split('.').all(is_label);
        let text = format!("`{name}` is not a namespace; write letters, digits, hyphens and dots");
        good.then_some(name).ok_or(text)
    });
    let protocols =
        [Protocol::Http, Protocol::H2c, Protocol::Grpc].map(|protocol| (protocol.name(), protocol));
    let protocol = r.maybe(raw.protocol, |name| one_of(&name, &protocols));
    let lease = r.maybe(raw.lease, |value| positive(&value));
    let health_check = raw.health_check.and_then(|raw| health_check(r, raw));
    let mut ids = Seen::default();
    let instances = raw
        .instances
        .into_iter()
        .filter_map(|raw| instance(r, &mut ids, raw))
        .collect();
    let circuit = circuit(r, raw.circuit, base.clone());
    let namespace = namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    let name = r.one(raw.name, |service| {
        if !is_label(&service) {
            return Err(format!(
                "`{service}` is not a service name; write letters, digits and hyphens"
            ));
        }
        let name = ServiceName { namespace, service };
        seen.first("service", &name.to_string())?;
        Ok(name)
    })?;
    Some(Service {
        name,
        protocol,
        lease,
        health_check,
        instances,
        circuit,
    })
}

/// A name that can stand in a host name: letters, digits, hyphens and underscores, at most 63.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn health_check(r: &mut Reader, raw: raw::HealthCheck) -> Option<HealthCheck> {
    let interval = r.maybe(raw.interval, |value| positive(&value));
    let timeout = r.maybe(raw.timeout, |value| positive(&value));
    let unhealthy = r.maybe(raw.unhealthy, |value| count(value, 100));
    let healthy = r.maybe(raw.healthy, |value| count(value, 100));
    let path = r.one(raw.path, path)?;
    Some(HealthCheck {
        path,
        interval: interval.unwrap_or(Duration::from_secs(10)),
        timeout: timeout.unwrap_or(Duration::from_secs(1)),
        unhealthy: unhealthy.unwrap_or(3),
        healthy: healthy.unwrap_or(2),
    })
}

fn instance(r: &mut Reader, ids: &mut Seen, raw: raw::Instance) -> Option<Instance> {
    let address = r.one(raw.address, |text| {
        text.parse().map_err(|_| format!("`{text}` is not an IP address"))
    });
    let port = r.one(raw.port, |port| match u16::try_from(port) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("{port} is not a port; it must be 1 to 65535")),
    });
    let id = r.one(raw.id, |id| {
        let good = !id.is_empty() && id.len() <= 64;
        good.then_some(())
            .ok_or("an instance id has 1 to 64 characters")?;
        ids.first("instance", &id)?;
        Ok(id)
    });
    Some(Instance {
        id: id?,
        address: address?,
        port: port?,
        attributes: raw.attributes,
    })
}

fn route(r: &mut Reader, seen: &mut Seen, raw: raw::Route) -> Option<Route> {
    let host = r.maybe(raw.host, |host| {
        let good = !host.is_empty() && !host.contains(['/', ' ', '*']);
        let text = format!("`{host}` is not a host name");
        good.then(|| host.to_lowercase()).ok_or(text)
    });
    let path_prefix = r.maybe(raw.path_prefix, path);
    let service = r.one(raw.service, |text| ServiceName::parse(&text));
    let timeout = r.maybe(raw.timeout, |value| positive(&value));
    let connect_timeout = r.maybe(raw.connect_timeout, |value| positive(&value));
    let matches_something = host.is_some() || path_prefix.is_some();
    let name = r.one(raw.name, |name| {
        seen.first("route", &name)?;
        if !matches_something {
            return Err(format!(
                "the route `{name}` matches nothing; give it a host, a path_prefix or both"
            ));
        }
        Ok(name)
    });
    Some(Route {
        name: name?,
        host,
        path_prefix,
        service: service?,
        strip_prefix: raw.strip_prefix,
        timeout: timeout.unwrap_or(Duration::from_secs(15)),
        connect_timeout: connect_timeout.unwrap_or(Duration::from_secs(1)),
        streaming: raw.streaming,
    })
}

pub(super) fn circuit(r: &mut Reader, raw: raw::Circuit, base: Circuit) -> Circuit {
    let positive = |text: String| positive(&text);
    let permits = |value| count(value, MAX_PERMITS.into());
    let count = |value| count(value, 1_000_000);
    let built = Circuit {
        window: r.maybe(raw.window, positive).unwrap_or(base.window),
        min_calls: r.maybe(raw.min_calls, count).unwrap_or(base.min_calls),
        failure_rate: r.maybe(raw.failure_rate, rate).unwrap_or(base.failure_rate),
        slow_call_duration: r
            .maybe(raw.slow_call_duration, positive)
            .or(base.slow_call_duration),
        slow_call_rate: r.maybe(raw.slow_call_rate, rate).unwrap_or(base.slow_call_rate),
        open_base: r.maybe(raw.open.base.clone(), positive).unwrap_or(base.open_base),
        open_max: r.maybe(raw.open.max, positive).unwrap_or(base.open_max),
        permits: r.maybe(raw.half_open.permits, permits).unwrap_or(base.permits),
        concurrent: r
            .maybe(raw.half_open.concurrent, permits)
            .unwrap_or(base.concurrent),
        half_open_max: r
            .maybe(raw.half_open.max_duration, positive)
            .unwrap_or(base.half_open_max),
    };
    if let Some(value) = raw.open.base.filter(|_| built.open_base > built.open_max) {
        let place = r.place(&value);
        let (least, most) = (
            text::show_duration(built.open_base),
            text::show_duration(built.open_max),
        );
        r.refuse(place, format!("open.base {least} is longer than open.max {most}"));
    } else if let Err(invalid) = built.settings(None).check() {
        // The remaining rules bound each value alone; the setting is named, its place is not known here.
        r.refuse(Place::Nowhere, format!("circuit: {invalid}"));
    }
    built
}

fn positive(value: &str) -> Result<Duration, String> {
    let duration = text::duration(value)?;
    if duration.is_zero() {
        return Err(format!("`{value}` is no time at all; write at least 1ms"));
    }
    Ok(duration)
}

fn count(value: u64, most: u32) -> Result<u32, String> {
    match u32::try_from(value) {
        Ok(count) if (1..=most).contains(&count) => Ok(count),
        _ => Err(format!("{value} is out of range; it must be 1 to {most}")),
    }
}

fn rate(value: f64) -> Result<f64, String> {
    if value > 0.0 && value <= 1.0 {
        Ok(value)
    } else {
        Err(format!(
            "{value} is not a share; write a number above 0 and up to 1, like 0.5"
        ))
    }
}

fn path(value: String) -> Result<String, String> {
    let good = value.starts_with('/') && !value.contains(['?', '#', ' ']);
    let text = format!("`{value}` is not a path; it begins with / and has no ?, # or space");
    good.then_some(value).ok_or(text)
}
