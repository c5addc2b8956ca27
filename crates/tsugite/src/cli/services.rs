//! `tsugite services`: what is registered, what changes, and registering and removing by hand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::admin::{list, plain, print};
use super::client::{Target, segment};
use super::table::table;
use super::{Failed, out};
use crate::config::{ServiceName, text};

const EXAMPLES: &str = "Examples:
  tsugite services                                  all services
  tsugite services ls --namespace shop              those of one namespace
  tsugite services show orders                      its instances, their health and leases
  tsugite services watch orders carts.shop          what changes, as it changes
  tsugite services register orders 127.0.0.1:9000   until it is removed
  tsugite services drain orders 127.0.0.1:9000      one instance, once its calls have ended
  tsugite services rm orders 127.0.0.1:9000         one instance, at once
  tsugite services rm orders                        the service, which must be empty";

/// Before a watch whose connection was lost is begun again.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Services {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List services
    Ls {
        /// Only those of this namespace
        #[arg(long)]
        namespace: Option<String>,
    },
    /// Show a service and its instances
    Show {
        /// Its name, or name.namespace
        service: String,
    },
    /// Print what changes, until interrupted
    Watch {
        /// Names of services, or name.namespace [default: all services]
        services: Vec<String>,
        /// All services of this namespace
        #[arg(long, conflicts_with = "services")]
        namespace: Option<String>,
    },
    /// Register an instance, and its service if there is none
    Register(Register),
    /// Let an instance leave: no new calls, and it is removed once those under way have ended
    Drain {
        /// Its name, or name.namespace
        service: String,
        /// The instance
        instance: String,
        /// How long calls under way may go on
        #[arg(long = "for", value_name = "DURATION", value_parser = text::duration, default_value = "30s")]
        limit: Duration,
        /// Do not wait until it is gone
        #[arg(long)]
        no_wait: bool,
    },
    /// Remove an instance, or a service that has none
    Rm {
        /// Its name, or name.namespace
        service: String,
        /// The instance; without it the service goes
        instance: Option<String>,
    },
}

#[derive(Debug, Args)]
struct Register {
    /// Its name, or name.namespace
    service: String,
    /// Where the instance listens: IP address and port
    address: SocketAddr,
    /// Its id, unique in the service [default: its address]
    #[arg(long)]
    id: Option<String>,
    /// How long it lives unless it is registered again, like 15s [default: until it is removed]
    #[arg(long, value_name = "DURATION", value_parser = text::duration)]
    ttl: Option<Duration>,
    /// http, h2c or grpc [default: that of each request]
    #[arg(long)]
    protocol: Option<String>,
    /// Its share of calls, 0 to 1000 [default: 100]
    #[arg(long)]
    weight: Option<u32>,
    /// The zone in which it runs
    #[arg(long)]
    zone: Option<String>,
    /// A further attribute; may be repeated
    #[arg(long, value_name = "NAME=TEXT")]
    attribute: Vec<String>,
}

impl Services {
    pub(super) fn run(self) -> Result<(), Failed> {
        let target = &self.target;
        match self.action.unwrap_or(Action::Ls { namespace: None }) {
            Action::Ls { namespace } => ls(target, namespace.as_deref()),
            Action::Show { service } => show(target, &named(&service)?),
            Action::Watch { services, namespace } => watch(target, &services, namespace.as_deref()),
            Action::Register(register) => register.run(target),
            Action::Drain {
                service,
                instance,
                limit,
                no_wait,
            } => drain(target, &named(&service)?, &instance, limit, !no_wait),
            Action::Rm {
                service,
                instance: Some(instance),
            } => {
                let name = named(&service)?;
                let answer = target.call("DELETE", &instance_path(&name, &instance), None)?;
                print(target, &answer, || format!("removed {instance} of {name}\n"))
            }
            Action::Rm { service, .. } => {
                let name = named(&service)?;
                let answer = target.call("DELETE", &service_path(&name), None)?;
                print(target, &answer, || format!("removed {name}\n"))
            }
        }
    }
}

fn named(text: &str) -> Result<ServiceName, Failed> {
    ServiceName::parse(text).map_err(Failed::Usage)
}

fn service_path(name: &ServiceName) -> String {
    format!(
        "/v1/services/{}/{}",
        segment(&name.namespace),
        segment(&name.service)
    )
}

fn instance_path(name: &ServiceName, instance: &str) -> String {
    let (namespace, service) = (segment(&name.namespace), segment(&name.service));
    format!("/v1/instances/{namespace}/{service}/{}", segment(instance))
}

fn drain(
    target: &Target,
    name: &ServiceName,
    instance: &str,
    limit: Duration,
    wait: bool,
) -> Result<(), Failed> {
    let wait_for = if wait { "&wait=acks" } else { "" };
    let path = format!(
        "{}?drain={}{wait_for}",
        instance_path(name, instance),
        text::show_duration(limit)
    );
    let patience = if wait { limit } else { Duration::ZERO };
    let answer = target.call_within("DELETE", &path, None, patience)?;
    print(target, &answer, || match answer["outcome"].as_str() {
        Some("leaving") => format!("{instance} of {name} is leaving\n"),
        _ if answer["acknowledged"] == false => {
            format!("removed {instance} of {name}; not all calls had ended in time\n")
        }
        _ => format!("removed {instance} of {name}\n"),
    })
}

fn ls(target: &Target, namespace: Option<&str>) -> Result<(), Failed> {
    let columns = [
        ("SERVICE", "name"),
        ("NAMESPACE", "namespace"),
        ("INSTANCES", "instances"),
        ("REVISION", "revision"),
    ];
    let path = namespace.map_or("/v1/services".to_owned(), |namespace| {
        format!("/v1/services?namespace={}", segment(namespace))
    });
    list(target, &path, "services", &columns)
}

fn show(target: &Target, name: &ServiceName) -> Result<(), Failed> {
    let mut answer = target.call("GET", &service_path(name), None)?;
    // A large service comes in pages.
    let mut next = answer["_links"]["next"]["href"].as_str().map(str::to_owned);
    while let Some(path) = next {
        let mut page = target.call("GET", &path, None)?;
        if let (Some(all), Some(more)) = (
            answer["instances"].as_array_mut(),
            page["instances"].as_array_mut(),
        ) {
            all.append(more);
        }
        next = page["_links"]["next"]["href"].as_str().map(str::to_owned);
    }
    print(target, &answer, || service_text(name, &answer))
}

fn service_text(name: &ServiceName, service: &Value) -> String {
    let instances = service["instances"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let healthy = instances.iter().filter(|i| status(i) == "healthy").count();
    let mut out = format!(
        "{name}  {}, {healthy} healthy, revision {}\n",
        counted(instances.len()),
        plain(&service["revision"]),
    );
    for (label, value) in [
        ("about", &service["description"]),
        ("call it at", &service["_links"]["call"]["href"]),
    ] {
        if let Some(text) = value.as_str() {
            out.push_str(&format!("{label}: {text}\n"));
        }
    }
    if let Some(kind) = service["check"]["type"].as_str() {
        let path = service["check"]["path"]
            .as_str()
            .map_or(String::new(), |path| format!(" {path}"));
        let every = service["check"]["interval_ms"]
            .as_u64()
            .map_or(String::new(), |ms| {
                format!(", every {}", text::show_duration(Duration::from_millis(ms)))
            });
        out.push_str(&format!("check: {kind}{path}{every}\n"));
    }
    if instances.is_empty() {
        return out;
    }
    let rows: Vec<Vec<String>> = instances.iter().map(row).collect();
    let head = [
        "INSTANCE",
        "ADDRESS",
        "PROTOCOL",
        "ZONE",
        "WEIGHT",
        "HEALTH",
        "WHY",
        "LEASE LEFT",
        "AGE",
    ];
    out.push('\n');
    out.push_str(&table(&head, &rows));
    let changes = service["health_history"].as_array().map(Vec::as_slice);
    let changes: Vec<Vec<String>> = changes.unwrap_or_default().iter().map(change).collect();
    if !changes.is_empty() {
        out.push('\n');
        out.push_str(&table(&["AT", "INSTANCE", "FROM", "TO", "WHY"], &changes));
    }
    out
}

fn change(change: &Value) -> Vec<String> {
    let keys = ["at", "instance", "from", "to", "decided_by"];
    keys.map(|key| plain(&change[key])).into()
}

fn counted(instances: usize) -> String {
    match instances {
        1 => "1 instance".to_owned(),
        count => format!("{count} instances"),
    }
}

fn row(instance: &Value) -> Vec<String> {
    let attributes = &instance["attributes"];
    let seconds = |ms: &Value| {
        ms.as_u64()
            .map_or("-".to_owned(), |ms| short(Duration::from_millis(ms)))
    };
    vec![
        plain(&instance["id"]),
        address(instance),
        plain(&instance["protocol"]),
        plain(&attributes["TSUGITE_ZONE"]),
        plain(&attributes["TSUGITE_WEIGHT"]),
        status(instance).to_owned(),
        why(instance),
        seconds(&instance["expires_in_ms"]),
        seconds(&instance["age_ms"]),
    ]
}

fn address(instance: &Value) -> String {
    match (instance["address"].as_str(), instance["port"].as_u64()) {
        (Some(ip), Some(port)) if ip.contains(':') => format!("[{ip}]:{port}"),
        (Some(ip), Some(port)) => format!("{ip}:{port}"),
        _ => "-".to_owned(),
    }
}

/// The verdict on an instance, which may stand beside its reasons.
fn status(instance: &Value) -> &str {
    let health = &instance["health"];
    health.as_str().or(health["status"].as_str()).unwrap_or("-")
}

/// What decided it.
fn why(instance: &Value) -> String {
    let health = &instance["health"];
    match (health["decided_by"].as_str(), health["note"].as_str()) {
        (Some(who), Some(note)) => format!("{who}: {note}"),
        (Some(who), None) => who.to_owned(),
        _ => "-".to_owned(),
    }
}

/// A duration in two units at most: `3d4h`, `5m10s`, `12s`, `0.4s`.
fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |a: u64, unit_a: &str, b: u64, unit_b: &str| match b {
        0 => format!("{a}{unit_a}"),
        b => format!("{a}{unit_a}{b}{unit_b}"),
    };
    match seconds {
        0..10 => format!("{}.{}s", seconds, duration.subsec_millis() / 100),
        10..60 => format!("{seconds}s"),
        60..3_600 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

impl Register {
    fn run(self, target: &Target) -> Result<(), Failed> {
        let name = named(&self.service)?;
        // Without the brackets around an IPv6 address, which an id cannot have.
        let address = || format!("{}:{}", self.address.ip(), self.address.port());
        let id = self.id.unwrap_or_else(address);
        let mut attributes = Map::new();
        for pair in &self.attribute {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| Failed::Usage(format!("--attribute {pair}: write NAME=TEXT")))?;
            attributes.insert(key.to_owned(), value.into());
        }
        if let Some(weight) = self.weight {
            attributes.insert("TSUGITE_WEIGHT".into(), weight.to_string().into());
        }
        if let Some(zone) = self.zone {
            attributes.insert("TSUGITE_ZONE".into(), zone.into());
        }
        let ttl_ms = self.ttl.map_or(0, |ttl| ttl.as_millis());
        let ttl_ms = u32::try_from(ttl_ms).map_err(|_| Failed::Usage("--ttl: too long".into()))?;
        let body = json!({
            "address": self.address.ip().to_string(),
            "port": self.address.port(),
            "protocol": self.protocol,
            "attributes": attributes,
            "ttl_ms": ttl_ms,
        });
        let answer = target.call("PUT", &instance_path(&name, &id), Some(&body))?;
        print(target, &answer, || {
            let lives = match ttl_ms {
                0 => "until it is removed".to_owned(),
                ms => format!("for {} unless renewed", short(Duration::from_millis(ms.into()))),
            };
            format!("{} {id} of {name}, {lives}\n", plain(&answer["outcome"]))
        })
    }
}

/// Instances of services, as far as they have been told of.
#[derive(Default)]
struct Known(BTreeMap<String, BTreeMap<String, String>>);

impl Known {
    /// One line for each difference that an event makes.
    fn take(&mut self, kind: &str, data: &Value) -> Vec<String> {
        let name = format!("{}.{}", plain(&data["service"]), plain(&data["namespace"]));
        let mut lines = Vec::new();
        match kind {
            "anew" => self.0.clear(),
            "removed" => {
                self.0.remove(&name);
                lines.push(format!("{name}  removed"));
            }
            "service" => {
                let instances = data["instances"]
                    .as_array()
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                let now: BTreeMap<String, String> = instances
                    .iter()
                    .map(|i| (plain(&i["id"]), format!("{}  {}", address(i), status(i))))
                    .collect();
                let is_new = !self.0.contains_key(&name);
                let before = self.0.insert(name.clone(), now.clone()).unwrap_or_default();
                if is_new {
                    lines.push(format!("{name}  {}", counted(usize_of(&data["count"]))));
                }
                for (id, told) in &now {
                    match before.get(id) {
                        None => lines.push(format!("{name}  + {id}  {told}")),
                        Some(old) if old != told => lines.push(format!("{name}  ~ {id}  {told}")),
                        Some(_) => {}
                    }
                }
                let gone = before.keys().filter(|id| !now.contains_key(*id));
                lines.extend(gone.map(|id| format!("{name}  - {id}")));
                if data["complete"] == false {
                    lines.push(format!("{name}  … and more, see `tsugite services show`"));
                }
            }
            _ => {}
        }
        lines
    }
}

fn usize_of(value: &Value) -> usize {
    value
        .as_u64()
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or_default()
}

fn watch(target: &Target, services: &[String], namespace: Option<&str>) -> Result<(), Failed> {
    let mut parameters = Vec::new();
    for service in services {
        let name = named(service)?;
        parameters.push(format!(
            "service={}",
            segment(&format!("{}/{}", name.namespace, name.service))
        ));
    }
    parameters.extend(namespace.map(|name| format!("namespace={}", segment(name))));
    let path = match parameters.is_empty() {
        true => "/v1/watch".to_owned(),
        false => format!("/v1/watch?{}", parameters.join("&")),
    };
    let (mut known, mut last) = (Known::default(), None::<String>);
    loop {
        let mut heard = false;
        let ended = target.follow(&path, last.clone().as_deref(), |id, kind, data| {
            heard = true;
            last = id.map(str::to_owned).or(last.take());
            if target.json {
                let mut told = data.clone();
                told["event"] = kind.into();
                return out(&format!("{told}\n"));
            }
            known
                .take(kind, data)
                .iter()
                .try_for_each(|line| out(&format!("{line}\n")))
        });
        // Only who was let in once has a reason to come again.
        match ended {
            Err(refused) if !heard && last.is_none() => return Err(refused),
            Err(Failed::Usage(text)) => return Err(Failed::Usage(text)),
            _ => std::thread::sleep(AGAIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        for (ms, text) in [
            (400, "0.4s"),
            (12_900, "12s"),
            (60_000, "1m"),
            (310_000, "5m10s"),
            (3_660_000, "1h1m"),
            (277_200_000, "3d5h"),
        ] {
            assert_eq!(short(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn a_watch_tells_differences() {
        let mut known = Known::default();
        let event = |instances: &[(&str, u16, &str)]| {
            let instances: Vec<Value> = instances
                .iter()
                .map(|(id, port, health)| json!({"id": id, "address": "::1", "port": port, "health": health}))
                .collect();
            json!({"service": "orders", "namespace": "shop", "count": instances.len(), "instances": instances, "complete": true})
        };
        let two = event(&[("a", 1, "healthy"), ("b", 2, "healthy")]);
        assert_eq!(
            known.take("service", &two),
            [
                "orders.shop  2 instances",
                "orders.shop  + a  [::1]:1  healthy",
                "orders.shop  + b  [::1]:2  healthy",
            ]
        );
        assert_eq!(known.take("service", &two), [""; 0]);
        let other = event(&[("b", 2, "unhealthy"), ("c", 3, "healthy")]);
        assert_eq!(
            known.take("service", &other),
            [
                "orders.shop  ~ b  [::1]:2  unhealthy",
                "orders.shop  + c  [::1]:3  healthy",
                "orders.shop  - a",
            ]
        );
        assert_eq!(known.take("removed", &other), ["orders.shop  removed"]);
        known.take("anew", &json!({}));
        assert!(known.0.is_empty());
    }
}
