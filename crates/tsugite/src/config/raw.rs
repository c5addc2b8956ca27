//! The configuration as it is written: every key once, everything optional, nothing checked yet.
//!
//! Values carry their place in the file, so that [`super::build`] can name it when it refuses one.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

/// A text with its place.
pub(super) type Text = Spanned<String>;
/// A value that may be left out, with its place.
pub(super) type Maybe<T> = Option<Spanned<T>>;

/// A section of which only the name is left, because all below it is commented out, is an empty one.
fn section<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    pub(super) data: Maybe<String>,
    pub(super) store: Maybe<String>,
    #[serde(deserialize_with = "section")]
    pub(super) listen: Listen,
    pub(super) ready_file: Maybe<String>,
    pub(super) insecure: Maybe<bool>,
    pub(super) dev: Maybe<bool>,
    pub(super) virtual_clock: Maybe<bool>,
    pub(super) workers: Maybe<u64>,
    pub(super) drain_timeout: Maybe<String>,
    #[serde(deserialize_with = "section")]
    pub(super) log: Log,
    #[serde(deserialize_with = "section")]
    pub(super) aws: Aws,
    #[serde(deserialize_with = "section")]
    pub(super) admin: Admin,
    #[serde(deserialize_with = "section")]
    pub(super) dns: Dns,
    #[serde(deserialize_with = "section")]
    pub(super) registry: Registry,
    #[serde(deserialize_with = "section")]
    pub(super) queues: Vec<Queue>,
    #[serde(deserialize_with = "section")]
    pub(super) topics: Vec<Topic>,
    #[serde(deserialize_with = "section")]
    pub(super) services: Vec<Service>,
    #[serde(deserialize_with = "section")]
    pub(super) routes: Vec<Route>,
    #[serde(deserialize_with = "section")]
    pub(super) circuit: Circuit,
    #[serde(deserialize_with = "section")]
    pub(super) retry: Retry,
    #[serde(deserialize_with = "section")]
    pub(super) balance: Balance,
    #[serde(deserialize_with = "section")]
    pub(super) limits: Limits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Listen {
    pub(super) gateway: Maybe<String>,
    pub(super) aws: Maybe<String>,
    pub(super) admin: Maybe<String>,
    pub(super) dns: Maybe<String>,
    pub(super) xds: Maybe<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) level: Maybe<String>,
    pub(super) format: Maybe<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Aws {
    pub(super) account: Maybe<String>,
    pub(super) region: Maybe<String>,
    pub(super) auth: Maybe<String>,
    #[serde(deserialize_with = "section")]
    pub(super) keys: Vec<Key>,
    pub(super) keys_file: Maybe<String>,
    pub(super) host: Maybe<String>,
    pub(super) purge_guard: Maybe<bool>,
    pub(super) deleted_queue_guard: Maybe<bool>,
    pub(super) in_flight_limit: Maybe<u64>,
    #[serde(deserialize_with = "section")]
    pub(super) sns: Sns,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Sns {
    pub(super) filter_policies: Maybe<u64>,
    pub(super) certificate_url: Maybe<String>,
    pub(super) timeout: Maybe<String>,
    pub(super) any_address: Maybe<bool>,
    pub(super) ca_file: Maybe<String>,
    pub(super) insecure_tls: Maybe<bool>,
}

/// Not printed anywhere: it may hold a secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    pub(super) id: Text,
    #[serde(default)]
    pub(super) secret: Maybe<String>,
    #[serde(default)]
    pub(super) secret_env: Maybe<String>,
    #[serde(default)]
    pub(super) secret_file: Maybe<String>,
    #[serde(default)]
    pub(super) account: Maybe<String>,
    #[serde(default)]
    pub(super) user: Maybe<String>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id.value)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Admin {
    pub(super) token_file: Maybe<String>,
    #[serde(deserialize_with = "section")]
    pub(super) allowed_hosts: Vec<Text>,
    #[serde(deserialize_with = "section")]
    pub(super) allowed_origins: Vec<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Registry {
    pub(super) validation: Maybe<String>,
    pub(super) max_watchers: Maybe<u64>,
    pub(super) min_available_percent: Maybe<u64>,
    pub(super) drain: Maybe<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Dns {
    pub(super) ttl: Maybe<String>,
    pub(super) max_answers: Maybe<u64>,
    pub(super) udp_size: Maybe<u64>,
    #[serde(deserialize_with = "section")]
    pub(super) forward: Vec<Text>,
    #[serde(deserialize_with = "section")]
    pub(super) rate_limit: RateLimit,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RateLimit {
    pub(super) answers: Maybe<u64>,
    pub(super) slip: Maybe<u64>,
    pub(super) exempt: Option<Vec<Text>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Queue {
    pub(super) name: Text,
    #[serde(default, deserialize_with = "section")]
    pub(super) attributes: BTreeMap<String, Spanned<serde_json::Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Topic {
    pub(super) name: Text,
    #[serde(default, deserialize_with = "section")]
    pub(super) attributes: BTreeMap<String, Spanned<serde_json::Value>>,
    #[serde(default, deserialize_with = "section")]
    pub(super) subscriptions: Vec<Subscription>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Subscription {
    #[serde(default)]
    pub(super) queue: Maybe<String>,
    #[serde(default)]
    pub(super) endpoint: Maybe<String>,
    #[serde(default)]
    pub(super) protocol: Maybe<String>,
    #[serde(default)]
    pub(super) raw: bool,
    #[serde(default)]
    pub(super) filter_policy: Maybe<serde_json::Value>,
    #[serde(default)]
    pub(super) filter_policy_scope: Maybe<String>,
    #[serde(default, deserialize_with = "section")]
    pub(super) attributes: BTreeMap<String, Spanned<serde_json::Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    pub(super) name: Text,
    #[serde(default)]
    pub(super) namespace: Maybe<String>,
    #[serde(default)]
    pub(super) protocol: Maybe<String>,
    #[serde(default)]
    pub(super) lease: Maybe<String>,
    #[serde(default)]
    pub(super) health_check: Option<HealthCheck>,
    #[serde(default, deserialize_with = "section")]
    pub(super) instances: Vec<Instance>,
    #[serde(default, deserialize_with = "section")]
    pub(super) circuit: Circuit,
    #[serde(default, deserialize_with = "section")]
    pub(super) retry: Retry,
    #[serde(default, deserialize_with = "section")]
    pub(super) balance: Balance,
    #[serde(default, deserialize_with = "section")]
    pub(super) limits: Limits,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HealthCheck {
    #[serde(default, rename = "type")]
    pub(super) kind: Maybe<String>,
    #[serde(default)]
    pub(super) path: Maybe<String>,
    #[serde(default)]
    pub(super) service: Maybe<String>,
    #[serde(default)]
    pub(super) verify: Maybe<bool>,
    #[serde(default)]
    pub(super) interval: Maybe<String>,
    #[serde(default)]
    pub(super) timeout: Maybe<String>,
    #[serde(default)]
    pub(super) unhealthy: Maybe<u64>,
    #[serde(default)]
    pub(super) healthy: Maybe<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Instance {
    pub(super) id: Text,
    pub(super) address: Text,
    pub(super) port: Spanned<u64>,
    #[serde(default)]
    pub(super) weight: Maybe<u64>,
    #[serde(default)]
    pub(super) zone: Maybe<String>,
    #[serde(default, deserialize_with = "section")]
    pub(super) attributes: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    pub(super) name: Text,
    #[serde(default)]
    pub(super) host: Maybe<String>,
    #[serde(default)]
    pub(super) path_prefix: Maybe<String>,
    pub(super) service: Text,
    #[serde(default)]
    pub(super) strip_prefix: bool,
    #[serde(default)]
    pub(super) timeout: Maybe<String>,
    #[serde(default)]
    pub(super) connect_timeout: Maybe<String>,
    #[serde(default)]
    pub(super) streaming: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Circuit {
    pub(super) window: Maybe<String>,
    pub(super) min_calls: Maybe<u64>,
    pub(super) failure_rate: Maybe<f64>,
    pub(super) slow_call_duration: Maybe<String>,
    pub(super) slow_call_rate: Maybe<f64>,
    #[serde(deserialize_with = "section")]
    pub(super) open: Open,
    #[serde(deserialize_with = "section")]
    pub(super) half_open: HalfOpen,
    #[serde(deserialize_with = "section")]
    pub(super) ejection: Ejection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ejection {
    pub(super) enabled: Maybe<bool>,
    pub(super) consecutive_failures: Maybe<u64>,
    pub(super) consecutive_connect_failures: Maybe<u64>,
    pub(super) base: Maybe<String>,
    pub(super) max: Maybe<String>,
    pub(super) min_available_percent: Maybe<u64>,
    pub(super) slow_start: Maybe<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retry {
    pub(super) tries: Maybe<u64>,
    pub(super) per_try_timeout: Maybe<String>,
    pub(super) budget: Maybe<f64>,
    pub(super) floor: Maybe<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Balance {
    pub(super) policy: Maybe<String>,
    pub(super) key: Maybe<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Open {
    pub(super) base: Maybe<String>,
    pub(super) max: Maybe<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HalfOpen {
    pub(super) permits: Maybe<u64>,
    pub(super) concurrent: Maybe<u64>,
    pub(super) max_duration: Maybe<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) requests: Maybe<u64>,
    pub(super) endpoint_requests: Maybe<u64>,
}
