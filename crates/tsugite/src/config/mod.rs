//! The configuration: flag over environment over file over default, checked before anything starts.
//!
//! [`raw`] is the form that people write, this module the form that the program uses, and [`build`] the way
//! between them. `tsugite.example.yaml` documents every key; `tsugite.schema.json` is made by [`schema`].

mod build;
mod circuit;
mod declared;
mod dns;
pub mod error;
mod keys;
mod raw;
mod reader;
pub mod schema;
mod sns;
pub mod text;
mod topics;
mod traffic;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tsugite_base::names::Scope;
use tsugite_registry::Validation;

pub use circuit::Circuit;
pub use declared::{Common, Declared, HealthCheck, Instance, Protocol, Queue, Route, Service, ServiceName};
pub use dns::{Dns, Network, RateLimit};
pub use error::{ConfigError, Place, Problem};
pub use keys::Key;
pub use sns::Sns;
pub use topics::{Subscription, Topic};

/// The commented configuration that lists every key with its default.
pub const EXAMPLE: &str = include_str!("../../tsugite.example.yaml");

/// A whole configuration, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file that it was read from, if there was one.
    pub file: Option<PathBuf>,
    /// The data directory of the embedded store.
    pub data: PathBuf,
    /// Where each role listens.
    pub listen: Listen,
    /// Written once every role serves, removed at exit.
    pub ready_file: Option<PathBuf>,
    /// Doors without authentication may listen on addresses that other machines reach.
    pub insecure: bool,
    /// Allows `POST /v1/reset` on a loopback admin port.
    pub dev: bool,
    /// Allows `POST /v1/clock/advance`; every port is on loopback then.
    pub virtual_clock: bool,
    /// Threads of the gateway and of the AWS port.
    pub workers: usize,
    /// How long calls in flight may go on after the stop signal.
    pub drain_timeout: Duration,
    /// What is logged, and how.
    pub log: Log,
    /// The AWS door.
    pub aws: Aws,
    /// The admin door.
    pub admin: Admin,
    /// The DNS door.
    pub dns: Dns,
    /// The registry.
    pub registry: Registry,
    /// Queues, topics, services and routes that shall exist.
    pub declared: Declared,
    /// What holds for services that do not declare it themselves.
    pub common: Common,
    /// Files beside the configuration that were read for it: a change of one is a change of all.
    pub read: Vec<PathBuf>,
}

/// Where each role listens; `None` is a role that is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// HTTP and gRPC calls to services.
    pub gateway: Option<SocketAddr>,
    /// SQS, SNS, Cloud Map and STS.
    pub aws: Option<SocketAddr>,
    /// Health, metrics, the admin API and the console.
    pub admin: Option<SocketAddr>,
    /// DNS over UDP and TCP.
    pub dns: Option<SocketAddr>,
}

/// What is logged to standard error, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least important level that is shown.
    pub level: tracing::level_filters::LevelFilter,
    /// One line of text or one JSON object for each event.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For eyes.
    Human,
    /// For machines.
    Json,
}

/// Settings of the AWS door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aws {
    /// The account and region of requests that name none, and of declared queues and topics.
    pub scope: Scope,
    /// The host (and port) in queue URLs; the request's own host if absent.
    pub host: Option<String>,
    /// A queue can be purged once a minute, as at AWS.
    pub purge_guard: bool,
    /// The name of a deleted queue cannot be used for a minute, as at AWS.
    pub deleted_queue_guard: bool,
    /// Messages of one queue that may be in flight at the same time.
    pub in_flight_limit: u32,
    /// What topics deliver, and how.
    pub sns: Sns,
    /// What is asked of callers.
    pub auth: Auth,
    /// The keys that were given out.
    pub keys: Vec<Key>,
}

/// What the AWS port asks of its callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Nothing.
    #[default]
    Off,
    /// A signature by a known key.
    Known,
    /// That, and what the policies of queues say.
    Strict,
}

/// Settings of the admin door.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Admin {
    /// What clients present as `Authorization: Bearer`; none means that the port is open to who reaches it.
    pub token: Option<Secret>,
    /// Host names, beside loopback names and IP addresses, under which the port may be called.
    pub allowed_hosts: Vec<String>,
    /// Origins, beside the port's own, whose pages may write.
    pub allowed_origins: Vec<String>,
}

/// A text that never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Settings of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registry {
    /// How much of what AWS refuses is refused.
    pub validation: Validation,
    /// Watches of services at the same time, at most.
    pub max_watchers: usize,
    /// Percent of a service's instances below which those that seem unhealthy are used as well.
    pub min_available_percent: u32,
    /// How long calls to an instance that Cloud Map deregisters may go on.
    pub drain: Duration,
}

/// What the command line or the environment says; each as text, checked like the file's values.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each field is the flag of the same name")]
pub struct Overrides {
    pub data: Option<String>,
    pub store: Option<String>,
    pub gateway: Option<String>,
    pub aws: Option<String>,
    pub admin: Option<String>,
    pub dns: Option<String>,
    pub xds: Option<String>,
    pub ready_file: Option<String>,
    pub insecure: Option<bool>,
    pub dev: Option<bool>,
    pub virtual_clock: Option<bool>,
    pub workers: Option<String>,
    pub drain_timeout: Option<String>,
    pub log_level: Option<String>,
    pub log_format: Option<String>,
    pub aws_auth: Option<String>,
    /// The admin token itself, from `TSUGITE_ADMIN_TOKEN` only: a flag would show it to every user of the host.
    pub admin_token: Option<String>,
}

impl Config {
    /// Reads `file` (if any), puts `overrides` above it and checks the whole.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config, ConfigError> {
        let Some(file) = file else {
            return build::build(None, raw::Raw::default(), overrides);
        };
        let text = std::fs::read_to_string(file).map_err(|error| {
            ConfigError::one(
                Place::WholeFile(file.to_owned()),
                format!("cannot be read: {error}"),
            )
        })?;
        Config::parse(file, &text, overrides)
    }

    /// As [`Config::load`], of a text; `file` is what errors call it.
    pub fn parse(file: &Path, text: &str, overrides: &Overrides) -> Result<Config, ConfigError> {
        let raw = build::read(file, text)?;
        build::build(Some(file), raw, overrides)
    }

    /// The names of the keys that differ from `new` and take effect only at the next start.
    pub fn fixed_differences(&self, new: &Config) -> Vec<&'static str> {
        let (a, b) = (self, new);
        [
            ("data", a.data != b.data),
            ("listen", a.listen != b.listen),
            ("ready_file", a.ready_file != b.ready_file),
            ("insecure", a.insecure != b.insecure),
            ("dev", a.dev != b.dev),
            ("virtual_clock", a.virtual_clock != b.virtual_clock),
            ("workers", a.workers != b.workers),
            ("log.format", a.log.format != b.log.format),
            ("aws.auth", a.aws.auth != b.aws.auth),
            ("aws", (&a.aws.scope, &a.aws.host) != (&b.aws.scope, &b.aws.host)),
            ("aws.sns", a.aws.sns != b.aws.sns),
            ("dns", a.dns.with_changes_of(&b.dns) != b.dns),
            ("registry", a.registry != b.registry),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect()
    }

    /// `new`, except for the keys that take effect only at the next start.
    pub fn with_changes_of(&self, new: &Config) -> Config {
        let old = self.clone();
        Config {
            file: old.file,
            data: old.data,
            listen: old.listen,
            ready_file: old.ready_file,
            insecure: old.insecure,
            dev: old.dev,
            virtual_clock: old.virtual_clock,
            workers: old.workers,
            log: Log {
                level: new.log.level,
                format: old.log.format,
            },
            aws: Aws {
                keys: new.aws.keys.clone(),
                ..old.aws
            },
            dns: old.dns.with_changes_of(&new.dns),
            registry: old.registry,
            ..new.clone()
        }
    }
}

#[cfg(test)]
mod tests;
