//! The data plane: sockets, pools, and the life of a request.
//!
//! Each core runs [`serve`] on its own thread, with its own listener, upstream connections, balancing memory and
//! counters. Shared facts reach it as an immutable table ([`Shared::publish`]); nothing on the request path takes a
//! lock that another core can hold. One [`control`] task for the process merges the circuits.
//!
//! ```text
//!  client -- codec::server -- request::forward -- tries::answer -- upstream::send -- codec::client -- endpoint
//!                 |            |        |               |
//!              clients       table   Breaker          pool
//!            (sweeper)             (per-core shards)
//! ```
//!
//! `codec` is a wall: hyper stays behind it, so that the HTTP/1.1 hot path can be exchanged without touching the rest.
//! There is no registry, broker or configuration in here, and no logging on the request path.

#![forbid(unsafe_code)]

mod affinity;
mod body;
mod call;
mod clients;
mod codec;
mod control;
mod core;
mod course;
mod grpc;
mod headers;
mod kept;
mod leaving;
mod limit;
mod metrics;
mod outgoing;
mod pool;
mod problem;
mod relay;
mod request;
mod serve;
mod session;
mod settings;
mod shared;
mod tries;
mod upstream;

pub use control::control;
pub use leaving::Complaint;
pub use metrics::{Counter, Latencies, MetricsSnapshot, ResponseClass, ServiceMetrics};
pub use serve::serve;
pub use settings::Settings;
pub use shared::Shared;
