//! SNS filter policies: parsing with AWS's limits, the matcher that says what they mean, an index that finds the
//! matching ones among many, and an explanation for people.
//!
//! [`Policy::parse`] reads a policy, [`Message::new`] what a published message offers to policies.
//! [`Policy::matches`] is the reference, plain enough to be believed (`policy.rs`, `rule.rs`); [`Index::matching`]
//! gives the same answer for thousands of policies at once (`index/`), and the tests hold it against the reference.
//! Numbers are exact decimals (`decimal.rs`), and JSON is read by a reader of our own (`json.rs`), which is why
//! neither depth nor size nor digits of hostile text matter.

#![forbid(unsafe_code)]

mod body;
mod decimal;
mod explain;
mod index;
mod item;
mod json;
mod message;
mod operators;
mod parse;
mod policy;
mod rule;

pub use explain::Reason;
pub use index::Index;
pub use message::{Attribute, Message};
pub use policy::{Policy, PolicyError, Scope};
