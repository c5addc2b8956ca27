//! The domain operations as traits, one per domain, with the test battery that every store must pass.

#![forbid(unsafe_code)]

pub mod failure;
pub mod messaging;
#[cfg(feature = "battery")]
pub mod messaging_battery;
pub mod registry;
#[cfg(feature = "battery")]
pub mod registry_battery;
#[cfg(feature = "battery")]
pub mod stage;
mod topics;

pub use failure::{Failure, Unavailable};
pub use messaging::Messaging;
pub use registry::RegistryStore;
pub use topics::Topics;
