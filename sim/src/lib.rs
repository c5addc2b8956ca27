//! Seeded histories of the store over a disk that loses, tears, reorders and fails writes.
//!
//! One number decides everything: which commands clients give, when the committer and the keeper run, what the
//! disk does, when the machine stops and what is left of unsynced writes. The same seed gives the same
//! bytes, so a failure is a number that one can send. [`run`] plays one history of several lives, and after
//! each crash holds what was recovered against two judges:
//!
//! * the machines themselves, without a log: the state must be that of all records up to some point between
//!   two commands, with everything acknowledged before it;
//! * a client's notebook, which knows only replies: no acknowledged message is lost, none is delivered after
//!   its deletion was acknowledged, the registry holds what it said it holds.
//!
//! A [`Bug`] can be planted, to see that the judges are awake.

mod clients;
mod history;
mod machine;
mod notebook;
mod scene;

pub use history::{Bug, Outcome, Violation, run};
