//! AWS wire codecs: bytes to typed fields, answers and errors to bytes. Knows the shapes of messages, not what they do.
//!
//! - [`json`]: awsJson1_0 and awsJson1_1 bodies as a borrowed, bounded tree with typed field access, and a writer;
//! - [`cbor`]: the same tree from Smithy's RPC v2; [`document`]: answers in either;
//! - [`query`]: the Query protocol's forms; [`xml`]: its answers; [`shapes`]: from forms to JSON and back, by a table;
//! - [`error`]: one error type with both renderings;
//! - [`context`]: who asks, read leniently from the credential scope;
//! - [`checksum`]: the MD5s that SDKs verify; [`envelope`]: the JSON in which a topic wraps a message;
//! - [`sigv4`]: signatures of requests, from the verifying side; [`policy`]: what the owner of a queue lets others do;
//! - [`time`]: times as AWS writes them.

#![forbid(unsafe_code)]

pub mod cbor;
pub mod checksum;
pub mod context;
pub mod document;
pub mod envelope;
pub mod error;
pub mod json;
pub mod policy;
pub mod query;
pub mod shapes;
pub mod sigv4;
pub mod trace;
pub mod xml;

pub use context::Context;
pub use document::{Encoding, Writer};
pub use error::{AwsError, Dialect};
pub use json::{Fields, Json, JsonWriter};
pub use query::Form;
