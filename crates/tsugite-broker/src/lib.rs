//! The broker as a pure machine: queues, topics, subscriptions, leases, dead letters.

#![forbid(unsafe_code)]

pub mod command;
pub mod error;
pub mod keys;
pub mod message;

pub use command::*;
pub use error::*;
pub use keys::{QueueId, QueueKey, SubscriptionKey, TopicKey};
pub use message::{AttributeValue, Content, Message, MessageAttribute, Notification};
