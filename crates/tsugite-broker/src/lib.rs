//! The broker as a pure machine: queues, topics, subscriptions, leases, dead letters.

#![forbid(unsafe_code)]

mod apply;
mod broker;
pub mod command;
pub mod error;
mod handle;
pub mod keys;
pub mod message;
mod messages;
mod payload;
mod queue;
mod queues;
pub mod record;
pub mod settings;
mod snapshot;
mod table;
mod topics;

pub use broker::{Broker, Settings};
pub use command::*;
pub use error::*;
pub use keys::{QueueId, QueueKey, SubscriptionKey, TopicKey};
pub use message::{AttributeValue, Content, Message, MessageAttribute, Notification};
pub use payload::Delivery;
pub use record::Record;
