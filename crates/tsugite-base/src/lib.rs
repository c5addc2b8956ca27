//! The vocabulary that every other crate shares: time, identifiers, names, limits, the record codec.
//!
//! Nothing in here performs I/O, reads a clock or asks for randomness: [`world`] holds the two traits
//! through which time and entropy are passed in, and the binary holds their only real implementation.

#![forbid(unsafe_code)]

mod calendar;
pub mod codec;
pub mod decision;
pub mod ids;
pub mod invalid;
pub mod limits;
pub mod names;
pub mod rng;
pub mod sheaf;
pub mod time;
pub mod world;

pub use decision::{Decision, Place, Wait};
pub use ids::Uuid;
pub use invalid::Invalid;
pub use names::Arn;
pub use sheaf::Sheaf;
pub use time::{Mono, Now, Timestamp};
pub use world::World;
