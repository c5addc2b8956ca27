//! Traffic decisions: which service a request goes to ([`table`]), whether it may go now ([`circuit`]),
//! and which endpoint takes it ([`balancer`]).
//!
//! Everything here is pure: the time comes in as [`tsugite_base::Mono`], randomness as a generator, and
//! nothing waits, locks on the request path, or performs I/O. The gateway calls these machines; the registry
//! feed builds the [`Table`] that they work on.

#![forbid(unsafe_code)]

pub mod balancer;
pub mod circuit;
pub mod classify;
pub mod report;
pub mod roster;
pub mod settings;
pub mod table;

mod path;

pub use balancer::{Balancer, Pick};
pub use circuit::{Admission, Breaker, Override, Reason, Rejection, State, Ticket, Transition};
pub use classify::{Outcome, classify_grpc, classify_http};
pub use report::CircuitReport;
pub use roster::Roster;
pub use settings::{CircuitSettings, HalfOpenSettings, OpenSettings};
pub use table::{
    Endpoint, Head, OwnService, Protocol, Resolved, Route, RouteError, Service, ServiceKey, ServiceSpec,
    Table, TableBuilder,
};
