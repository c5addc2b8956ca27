//! Deliveries to real servers on this machine: good ones, slow ones, broken ones.

mod client;
mod endpoints;
mod server;
mod source;
mod store;
