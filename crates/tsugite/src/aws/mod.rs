//! The AWS door: SQS and Cloud Map over AWS JSON, SNS and STS over Query, on one port.
//!
//! Requests are not authenticated yet; [`guard`] keeps web pages out meanwhile. `X-Amz-Target` says the service and
//! action of a JSON request, `Version` and `Action` those of a Query request.

mod body;
mod connection;
mod door;
mod guard;
mod metrics;
mod reply;
mod sns;
mod sqs;
mod sts;
#[cfg(test)]
mod tests;

pub use door::{AwsDoor, Settings, serve};
pub use metrics::{ActionMetrics, LATENCY_BOUNDS_MICROS};
