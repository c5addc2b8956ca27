//! Tsugite composed: configuration, the doors, the command line, and [`run`], which joins them.
//!
//! Everything that decides lives in the crates below; this one owns sockets, files, signals and time
//! (all of the latter in [`world`]) and joins wire codecs to domain operations.

pub mod admin;
pub mod aws;
pub mod cli;
pub mod cloudmap;
pub mod config;
pub mod deliver;
pub mod demo;
pub mod dns;
pub mod feed;
pub mod health;
pub mod leaving;
pub mod process;
pub mod run;
pub mod signing;
pub mod telemetry;
pub(crate) mod watch;
pub mod world;
