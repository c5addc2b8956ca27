//! Traffic decisions: which service a request goes to ([`table`]), whether it may go now ([`circuit`]),
//! and which endpoint takes it ([`balancer`], among those that `ejection` leaves).
//!
//! Everything here is pure: the time comes in as [`tsugite_base::Mono`], randomness as a generator, and
//! nothing waits, locks on the request path, or performs I/O. The gateway calls these machines; the registry
//! feed builds the [`Table`] that they work on.
//!
//! ```
//! use tsugite_base::{Mono, rng::SplitMix64};
//! use tsugite_traffic::{
//!     Admission, Balancer, Endpoint, Head, Outcome, Protocol, Roster, ServiceKey, ServiceSpec, TableBuilder,
//! };
//!
//! let endpoint = Endpoint::new("i-1", "127.0.0.1:9000".parse().unwrap(), Protocol::Http);
//! let mut builder = TableBuilder::new();
//! builder.service(ServiceSpec::new(ServiceKey::new("internal", "orders"), vec![endpoint]));
//! let table = builder.build(&Roster::new(1));
//!
//! let head = Head { host: Some("localhost:8080"), path: "/orders/7", proxy_form: false, is_grpc: false };
//! let found = table.resolve(&head).unwrap();
//! assert_eq!((found.service.name.as_str(), &*found.upstream_target(head.path)), ("orders.internal", "/7"));
//!
//! let (core, now) = (0, Mono(0));
//! let Admission::Go(ticket) = found.service.breaker.admit(core, now, None) else { panic!("the circuit is closed") };
//! let mut balancer = Balancer::new();
//! let pick = balancer.pick(found.service, &[], now, &mut SplitMix64::new(1)).unwrap();
//! assert_eq!(found.service.endpoints[pick.index].id, "i-1");
//! balancer.succeeded(pick, Mono(2_000_000));
//! ticket.record(Outcome::Success, Mono(2_000_000));
//! ```

#![forbid(unsafe_code)]

pub mod balancer;
pub mod circuit;
pub mod classify;
mod ejection;
pub mod limits;
pub mod report;
pub mod retry;
pub mod roster;
pub mod settings;
pub mod table;

mod path;

pub use balancer::{Balance, Balancer, Chosen, Key, Pick, Policy, Wanted, hash_of};
pub use circuit::{Admission, Breaker, Override, Reason, Rejection, Standing, State, Ticket, Transition};
pub use classify::{Outcome, classify_grpc, classify_http};
pub use limits::{Entry, LimitSettings};
pub use report::CircuitReport;
pub use retry::{Budget, Hint, Nature, RetrySettings, TryEnd};
pub use roster::Roster;
pub use settings::{CircuitSettings, EjectionSettings, Growth, HalfOpenSettings, OpenSettings};
pub use table::{
    Endpoint, Head, OwnService, Protocol, Resolved, Route, RouteError, Service, ServiceKey, ServiceSpec,
    Table, TableBuilder,
};
