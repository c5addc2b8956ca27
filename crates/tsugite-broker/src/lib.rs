//! The broker as a pure machine: queues, topics, subscriptions, leases, dead letters.
//!
//! [`Broker`] decides commands into [`Record`]s (`queues.rs`, `messages.rs`, `topics.rs`) and applies them
//! (`apply.rs`). A queue (`queue.rs`) keeps a few bytes of a waiting message: its text stays in the log, and
//! a receive says where ([`Lease`]); [`Message::read`] puts the two together again. There is no clock, no
//! randomness and no I/O here, and no protocol: envelopes, checksums of bodies and error codes are the doors'.

#![forbid(unsafe_code)]

mod apply;
mod attempts;
mod broker;
pub mod command;
mod dedup;
mod delivery_policy;
mod elders;
pub mod error;
mod fifo;
mod groups;
mod handle;
mod index;
pub mod keys;
mod lane;
mod lines;
mod look;
mod memory;
pub mod message;
mod messages;
mod moved;
mod numbers;
mod payload;
mod queue;
mod queues;
mod ready;
mod receive;
pub mod record;
mod relocate;
mod send;
pub mod settings;
mod snapshot;
mod stored;
mod table;
mod tags;
mod tally;
mod tasks;
mod topics;
mod usage;
mod varint;

pub use broker::{Broker, Settings};
pub use command::*;
pub use dedup::Fingerprint;
pub use delivery_policy::{
    Backoff, DEFAULT_CONTENT_TYPE, DeliveryPolicy, RetryPolicy, SubscriptionDeliveryPolicy,
    TopicDeliveryPolicy,
};
pub use error::*;
pub use keys::{QueueId, QueueKey, SubscriptionKey, TopicKey};
pub use message::{
    Announcement, AnnouncementKind, AttributeValue, Captured, Content, Message, MessageAttribute,
    Notification,
};
pub use numbers::{Numbers, id_in_payload};
pub use payload::Delivery;
pub use record::Record;
pub use relocate::{Moved, Search, Stowed, is_intact};
pub use settings::{check_queue_attribute, settable_attributes};
pub use tally::{Count, Tally};
pub use tasks::*;
pub use topics::*;
