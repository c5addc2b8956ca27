//! The AWS door: SQS and Cloud Map over AWS JSON, Cloud Map over RPC v2 in CBOR, SNS and STS over Query, on one port.
//!
//! [`auth`] says whose a request is, if the operator asks for signatures; else [`guard`] keeps web pages out. `X-Amz-Target` says the service and
//! action of a JSON request, `Version` and `Action` those of a Query request.

mod auth;
mod body;
mod connection;
mod door;
mod guard;
mod metrics;
mod named;
mod policies;
mod reply;
mod sns;
mod sqs;
mod sts;
#[cfg(test)]
mod tests;
mod versions;

pub use auth::{Key, Keys, Mode};
pub use door::{AwsDoor, Settings, serve};
pub use metrics::{ActionMetrics, LATENCY_BOUNDS_MICROS};
pub(crate) use policies::{Policies, check_topic_policy};
