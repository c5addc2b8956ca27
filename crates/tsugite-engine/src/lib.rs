//! The domain operations as traits, one per domain, with the test battery that every store must pass.

#![forbid(unsafe_code)]

pub mod failure;

pub use failure::{Failure, Unavailable};
