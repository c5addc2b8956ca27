//! What a configuration declares: queues, topics, services and routes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;
use tsugite_base::names::{self, DEFAULT_NAMESPACE, Scope};
use tsugite_broker::{CreateQueueError, check_queue_attribute, settable_attributes};
use tsugite_registry::CheckKind;
use tsugite_traffic::{Balance, LimitSettings, RetrySettings};

use super::build::one_of;
use super::circuit::{Circuit, circuit};
use super::error::nearest;
use super::raw;
use super::reader::Reader;
use super::text;
use super::topics::{Topic, topic};
use super::traffic::{balance, limits, retry};

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
    /// When calls to it are tried again.
    pub retry: RetrySettings,
    /// How its instances share the calls.
    pub balance: Balance,
    /// How many calls may be in progress.
    pub limits: LimitSettings,
}

/// What services have in common unless they say otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Common {
    /// The circuit breaker.
    pub circuit: Circuit,
    /// When calls are tried again.
    pub retry: RetrySettings,
    /// How instances share calls.
    pub balance: Balance,
    /// How many calls may be in progress, for each service.
    pub limits: LimitSettings,
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

/// An active check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is sent.
    pub kind: CheckKind,
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
    /// Further attributes, weight and zone among them.
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

pub(super) fn declared(
    r: &mut Reader,
    queues: Vec<raw::Queue>,
    topics: Vec<raw::Topic>,
    services: Vec<raw::Service>,
    routes: Vec<raw::Route>,
    common: &Common,
    scope: &Scope,
) -> Declared {
    let mut seen = Seen::default();
    let queues = queues
        .into_iter()
        .filter_map(|raw| queue(r, &mut seen, raw))
        .collect();
    let topics = topics
        .into_iter()
        .filter_map(|raw| topic(r, &mut seen, scope, raw))
        .collect();
    let services = services
        .into_iter()
        .filter_map(|raw| service(r, &mut seen, raw, common))
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
pub(super) struct Seen(BTreeSet<(&'static str, String)>);

impl Seen {
    pub(super) fn first(&mut self, kind: &'static str, name: &str) -> Result<(), String> {
        if self.0.insert((kind, name.to_owned())) {
            Ok(())
        } else {
            Err(format!("the {kind} `{name}` is declared twice"))
        }
    }
}

fn queue(r: &mut Reader, seen: &mut Seen, raw: raw::Queue) -> Option<Queue> {
    let name = r.one(raw.name, |name| {
        names::check_queue_name(&name).map_err(|rule| rule.to_string())?;
        seen.first("queue", &name)?;
        Ok(name)
    });
    // The attributes of a queue whose name is wrong are checked as those of a standard one.
    let queue = name.as_deref().unwrap_or_default();
    let attributes = raw.attributes.into_iter().filter_map(|(key, value)| {
        let value = r.one(value, |value| attribute(queue, &key, value))?;
        Some((key, value))
    });
    let mut attributes: BTreeMap<String, String> = attributes.collect();
    if queue.ends_with(".fifo") {
        // The name says it already.
        attributes
            .entry("FifoQueue".to_owned())
            .or_insert_with(|| "true".to_owned());
    }
    let name = name?;
    Some(Queue { name, attributes })
}

/// The text of an attribute that `CreateQueue` takes.
fn attribute(queue: &str, key: &str, value: Value) -> Result<String, String> {
    let text = attribute_text(key, value)?;
    match check_queue_attribute(queue, key, &text) {
        Ok(()) => Ok(text),
        Err(CreateQueueError::AttributeName(invalid)) => {
            let known = settable_attributes(queue);
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let near = nearest(key, &known).map(|near| format!(" Did you mean `{near}`?"));
            Err(format!("{invalid}{}", near.unwrap_or_default()))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// AWS attributes are texts; numbers, booleans and (for policies) mappings are written out as such.
pub(super) fn attribute_text(key: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null => Err(format!("the attribute `{key}` has no value")),
        other => Ok(other.to_string()),
    }
}

fn service(r: &mut Reader, seen: &mut Seen, raw: raw::Service, base: &Common) -> Option<Service> {
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
    let circuit = circuit(r, raw.circuit, base.circuit.clone());
    let retry = retry(r, raw.retry, base.retry.clone());
    let balance = balance(r, raw.balance, base.balance.clone());
    let limits = limits(r, raw.limits, base.limits);
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
        retry,
        balance,
        limits,
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
    let kinds = ["http", "https", "tcp", "grpc"].map(|name| (name, name));
    let kind = r.maybe(raw.kind, |name| one_of(&name, &kinds)).unwrap_or("http");
    let web = matches!(kind, "http" | "https");
    let only = |fits: bool, key: &str, types: &str| {
        fits.then_some(())
            .ok_or_else(|| format!("a check of type {kind} has no `{key}`; it is for {types}"))
    };
    let path = r.maybe(raw.path, |value| {
        only(web, "path", "http and https")?;
        path(value)
    });
    let service = r.maybe(raw.service, |value| {
        only(kind == "grpc", "service", "grpc")?;
        Ok(value)
    });
    let verify = r.maybe(raw.verify, |value| {
        only(kind == "https", "verify", "https")?;
        Ok(value)
    });
    let path = path.unwrap_or_else(|| "/".to_owned());
    Some(HealthCheck {
        kind: match kind {
            "tcp" => CheckKind::Tcp,
            "grpc" => CheckKind::Grpc {
                service: service.unwrap_or_default(),
            },
            "https" => CheckKind::Https {
                path,
                verify: verify.unwrap_or_default(),
            },
            _ => CheckKind::Http { path },
        },
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
    let weight = r.maybe(raw.weight, |weight| match weight {
        0..=1_000 => Ok(weight.to_string()),
        _ => Err(format!("{weight} is not a weight; it must be 0 to 1000")),
    });
    let zone = r.maybe(raw.zone, Ok);
    let mut attributes = raw.attributes;
    for (key, value) in [(tsugite_registry::WEIGHT, weight), (tsugite_registry::ZONE, zone)] {
        if let Some(value) = value {
            attributes.insert(key.to_owned(), value);
        }
    }
    Some(Instance {
        id: id?,
        address: address?,
        port: port?,
        attributes,
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

pub(super) fn positive(value: &str) -> Result<Duration, String> {
    let duration = text::duration(value)?;
    if duration.is_zero() {
        return Err(format!("`{value}` is no time at all; write at least 1ms"));
    }
    Ok(duration)
}

/// A number that may be zero.
pub(super) fn whole(value: u64, most: u32) -> Result<u32, String> {
    match u32::try_from(value) {
        Ok(number) if number <= most => Ok(number),
        _ => Err(format!("{value} is out of range; it must be 0 to {most}")),
    }
}

pub(super) fn count(value: u64, most: u32) -> Result<u32, String> {
    match u32::try_from(value) {
        Ok(count) if (1..=most).contains(&count) => Ok(count),
        _ => Err(format!("{value} is out of range; it must be 1 to {most}")),
    }
}

fn path(value: String) -> Result<String, String> {
    let good = value.starts_with('/') && !value.contains(['?', '#', ' ']);
    let text = format!("`{value}` is not a path; it begins with / and has no ?, # or space");
    good.then_some(value).ok_or(text)
}
