//! AWS wire codecs: bytes to typed fields, answers and errors to bytes. Knows no queue and no service.
//!
//! - [`json`]: awsJson1_0 and awsJson1_1 bodies as a borrowed, bounded tree with typed field access, and a writer;
//! - [`xml`]: answers of the Query protocol;
//! - [`error`]: one error type with both renderings;
//! - [`context`]: who asks, read leniently from the credential scope.

#![forbid(unsafe_code)]

pub mod context;
pub mod error;
pub mod json;
pub mod xml;

pub use context::Context;
pub use error::{AwsError, Dialect};
pub use json::{Fields, Json, JsonWriter};
