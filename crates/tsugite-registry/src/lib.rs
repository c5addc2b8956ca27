//! The registry as a pure machine: namespaces, services, instances, their leases and health.
//!
//! The model is AWS Cloud Map's, with leases and per-instance protocol added. Each operation is a read-only
//! method of [`Registry`] that answers with records and a reply; [`Registry::apply`] is the only durable mutation.
//! Leases, doubts and the results of active checks are volatile: they change by methods that take `&mut self`, are
//! not logged, and a restart grants each lease its full time and asks each check anew.
//!
//! Nothing here reads a clock or draws a random number: `now`, new ids and seeds come with the commands.

#![forbid(unsafe_code)]

mod changes;
mod check;
mod codec;
mod command;
mod discover;
mod doubts;
mod error;
mod health;
mod history;
mod instances;
mod leases;
mod leaving;
mod members;
mod model;
mod namespaces;
mod operations;
mod packed;
mod put;
mod record;
mod registry;
mod services;
mod snapshot;
mod tags;
mod updates;
mod validate;
mod views;
mod watch;

pub use changes::Changes;
pub use command::*;
pub use error::*;
pub use health::MIN_AVAILABLE;
pub use history::HealthChange;
pub use instances::{
    ALIAS, CNAME, DESCRIPTORS, DRAIN, EC2_INSTANCE, INIT_HEALTH, IPV4, IPV6, LEASE, OPENAPI, PORT, PROTOCOL,
    WEIGHT, ZONE, address_of, cname_of, ipv4_of, ipv6_of, port_of, protocol_of, weight_of,
};
pub use leases::DEFAULT_LEASE_MS;
pub use model::*;
pub use packed::{Packed, Pairs};
pub use record::{Record, Removal};
pub use registry::{Registry, Settings};
pub use views::*;
pub use watch::{Bounds, News, Scope, Seen, ServiceName, Sight, Story, Touched};

#[cfg(test)]
mod tests;
