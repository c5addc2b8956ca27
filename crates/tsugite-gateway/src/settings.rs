//! What the operator can set, and the bounds that hold a hostile peer in check.

use std::time::Duration;

/// Limits and times of the gateway. They are read when a connection or request begins, so that a changed value
/// needs a restart (routes and per-service values change at any time, with the table).
#[derive(Clone, Debug)]
pub struct Settings {
    /// Number of cores, each with its own runtime, listener, pools and counters.
    pub cores: usize,
    /// Client connections of the whole process; above it the gateway stops accepting and the kernel queues.
    pub max_connections: usize,
    /// Time for a client to send a whole request head, from its first byte (or from connecting).
    pub header_timeout: Duration,
    /// Time that a client connection may rest between requests.
    pub keep_alive: Duration,
    /// Time that a connection with a request in progress may go without a byte in either direction.
    pub stream_idle: Duration,
    /// Bytes of a request head.
    pub header_bytes: usize,
    /// HTTP/2 streams that one client connection may have open at once.
    pub h2_streams: u32,
    /// Time to connect to an endpoint.
    pub connect_timeout: Duration,
    /// Time for a whole exchange, from the end of the request, where the route does not set it.
    pub route_timeout: Duration,
    /// Time that an upstream connection may rest in the pool.
    pub upstream_idle: Duration,
    /// Idle HTTP/1.1 connections kept for each endpoint on each core.
    pub upstream_idle_connections: usize,
    /// HTTP/2 connections to each endpoint on each core.
    pub upstream_h2_connections: usize,
    /// Time that exchanges in progress get after the stop signal.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            cores: 1,
            max_connections: 8192,
            header_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            stream_idle: Duration::from_secs(300),
            header_bytes: tsugite_base::limits::HEADER_BYTES,
            h2_streams: 256,
            connect_timeout: Duration::from_secs(1),
            route_timeout: Duration::from_secs(15),
            upstream_idle: Duration::from_secs(60),
            upstream_idle_connections: 256,
            upstream_h2_connections: 8,
            drain: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// The share of `max_connections` that one core may hold.
    pub(crate) fn connections_per_core(&self) -> usize {
        (self.max_connections / self.cores.max(1)).max(1)
    }
}
