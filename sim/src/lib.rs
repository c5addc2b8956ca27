//! Seeded histories of the store over a disk that loses, tears, reorders and fails writes.
//!
//! One number decides everything: which commands clients give, when the committer and the keeper run, what the
//! disk does, when the machine stops and what is left of unsynced writes. The same seed gives the same
//! bytes, so a failure is a number that one can send. [`run`] plays one history of several lives, and after
//! each crash holds what was recovered against two judges:
//!
//! * the machines themselves, without a log: the state must be that of all records up to some point between
//!   two commands, with everything acknowledged before it;
//! * the checker of histories (`tsugite-checker`) and a client's notebook of the registry, which know only
//!   what clients asked and were told: nothing lost, nothing twice within a lease, nothing after its deletion, right
//!   counters and counts, the registry as it was said to be.
//!
//! Between two lives a bit of the disk may flip: then the store refuses to open, or `verify` names the damage, or the bit
//! was in nothing that is ever read.
//!
//! A [`Bug`] can be planted, to see that the judges are awake.

mod clients;
mod flips;
mod history;
mod machine;
mod notebook;
mod outcome;
mod repeats;
mod scene;
mod violation;

pub use history::{events, run};
pub use outcome::{Bug, Outcome};
pub use violation::Violation;
