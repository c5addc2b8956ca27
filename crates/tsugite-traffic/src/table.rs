//! The routing table: an immutable snapshot of routes, services and endpoints.
//!
//! A request is matched in this order; the first rule that fits decides:
//!
//! 1. a configured [`Route`]: one with the request's host before one for any host, then the longest path
//!    prefix that ends at a segment boundary;
//! 2. the host: `orders.shop` is service `orders` of namespace `shop`, the path stays as it is;
//! 3. for gRPC, the service name in the path, `/pkg.Service/Method`, if an instance declares it;
//! 4. for everything else the first path segment: `/orders/…` is a service of namespace `internal`,
//!    `/orders.shop/…` one of any namespace; that segment is stripped.
//!
//! Names in a host compare without case, port or a trailing dot; names in a path compare byte for byte.
//! An absolute-form request (proxy mode) is matched by its host only, and a host that is neither registered nor
//! in a route is refused: the gateway is never an open proxy.
//!
//! **Paths cannot disagree.** A path with a `.` or `..` segment, plain, percent-encoded, behind a backslash or with
//! a `;` parameter, is refused. A path whose decoded form (escapes resolved, backslashes turned, repeated slashes
//! merged) would be routed elsewhere than its raw form is refused too. So a back end that decodes once, as it may,
//! never serves what another rule was meant to guard. Paths are otherwise forwarded byte for byte. A back end that
//! decodes twice is beyond this promise.

mod build;
mod resolve;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use build::TableBuilder;
pub use resolve::{Head, OwnService, Resolved, RouteError};

use tsugite_base::Mono;

use crate::balancer::{Balance, Plan};
use crate::circuit::{Breaker, Standing};
use crate::limits::{Entry, LimitSettings, Room};
use crate::retry::RetrySettings;
use crate::settings::{CircuitSettings, EjectionSettings};

/// Time limit of a request on a route that names none, from the end of the request to the response headers
/// and body. gRPC without a deadline and streaming routes have none.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);
/// Time limit of a connection attempt on a route that names none.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Weight of an endpoint that names none.
pub const DEFAULT_WEIGHT: u32 = 100;

/// The two names that identify a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// The namespace, for example `internal`.
    pub namespace: String,
    /// The name within the namespace, for example `orders`.
    pub service: String,
}

impl ServiceKey {
    /// A key from its two names.
    pub fn new(namespace: impl Into<String>, service: impl Into<String>) -> ServiceKey {
        ServiceKey {
            namespace: namespace.into(),
            service: service.into(),
        }
    }
}

/// As clients write it in a host: `service.namespace`.
impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.service, self.namespace)
    }
}

/// What an endpoint speaks (attribute `TSUGITE_PROTOCOL`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/2 with prior knowledge.
    H2c,
    /// gRPC over HTTP/2 with prior knowledge.
    Grpc,
    /// That of the request: HTTP/2 for gRPC, HTTP/1.1 for everything else.
    #[default]
    Unspecified,
}

impl Protocol {
    /// Reads the attribute's value; `None` if it is not one of `http`, `h2c`, `grpc`.
    pub fn parse(text: &str) -> Option<Protocol> {
        match text {
            "http" => Some(Protocol::Http),
            "h2c" => Some(Protocol::H2c),
            "grpc" => Some(Protocol::Grpc),
            _ => None,
        }
    }

    /// Whether a request to such an endpoint travels over HTTP/2.
    pub const fn is_http2(self, request_is_grpc: bool) -> bool {
        match self {
            Protocol::Http => false,
            Protocol::H2c | Protocol::Grpc => true,
            Protocol::Unspecified => request_is_grpc,
        }
    }
}

/// One instance of a service that may take calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The instance id: the identity under which balancing keeps what it learned.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
    /// Relative share of calls; 0 takes none unless all are 0.
    pub weight: u32,
    pub(crate) slot: Slot,
}

impl Endpoint {
    /// An endpoint of default weight.
    pub fn new(id: impl Into<String>, address: SocketAddr, protocol: Protocol) -> Endpoint {
        Endpoint {
            id: id.into(),
            address,
            protocol,
            weight: DEFAULT_WEIGHT,
            slot: Slot::default(),
        }
    }
}

/// The place of an endpoint's balancing state in each core's array, given by the [`crate::Roster`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Index in the array; used again after the endpoint is gone.
    pub(crate) index: u32,
    /// Differs between two endpoints that used the same index; never 0 once given.
    pub(crate) serial: u64,
}

/// A service as the feed describes it.
#[derive(Clone, Debug)]
pub struct ServiceSpec {
    /// Its names.
    pub key: ServiceKey,
    /// Its instances that may take calls.
    pub endpoints: Vec<Endpoint>,
    /// Its instances that are leaving: they take no new calls, and those under way are finished.
    pub leaving: Vec<Endpoint>,
    /// gRPC services (`pkg.Service`) that its instances declare (attribute `TSUGITE_GRPC_SERVICES`).
    pub grpc_services: Vec<String>,
    /// Its circuit. A change of these settings starts a new, closed circuit; an override stays.
    pub circuit: CircuitSettings,
    /// The circuits of its endpoints. A change starts new ones.
    pub ejection: EjectionSettings,
    /// How its endpoints share the calls.
    pub balance: Balance,
    /// When calls to it are tried again.
    pub retry: RetrySettings,
    /// How many calls may be in progress.
    pub limits: LimitSettings,
    /// Registered instances that are not among `endpoints` because they are unhealthy.
    pub unhealthy: usize,
}

impl ServiceSpec {
    /// A service with default circuit settings.
    pub fn new(key: ServiceKey, endpoints: Vec<Endpoint>) -> ServiceSpec {
        ServiceSpec {
            key,
            endpoints,
            leaving: Vec::new(),
            grpc_services: Vec::new(),
            circuit: CircuitSettings::default(),
            ejection: EjectionSettings::default(),
            balance: Balance::default(),
            retry: RetrySettings::default(),
            limits: LimitSettings::default(),
            unhealthy: 0,
        }
    }

    /// Adds the names of a `TSUGITE_GRPC_SERVICES` attribute: `pkg.A, pkg.B`.
    pub fn declare_grpc_services(&mut self, attribute: &str) {
        for name in attribute.split(',').map(str::trim).filter(|n| !n.is_empty()) {
            if !self.grpc_services.iter().any(|known| known == name) {
                self.grpc_services.push(name.to_owned());
            }
        }
    }
}

/// A service in a table.
#[derive(Debug)]
pub struct Service {
    /// Its names.
    pub key: ServiceKey,
    /// Its names as clients write them: `orders.shop`; also the circuit's id.
    pub name: String,
    /// Its instances that may take calls; empty if none may.
    pub endpoints: Vec<Endpoint>,
    /// Its instances that are leaving: calls to them may still be under way, and none begins.
    pub leaving: Vec<Endpoint>,
    /// Its circuit, which outlives this table.
    pub breaker: Arc<Breaker>,
    /// Those of its endpoints; none if ejection is off.
    pub(crate) circuits: Vec<Arc<Breaker>>,
    /// When calls to it are tried again.
    pub retry: RetrySettings,
    /// How its endpoints share the calls.
    pub(crate) plan: Plan,
    /// How many calls may be in progress.
    pub limits: LimitSettings,
    /// Calls in progress, if they are limited,
    pub(crate) room: Room,
    /// and those of each endpoint.
    pub(crate) rooms: Vec<Room>,
    /// Its own place in the balancers, beside those of its endpoints.
    pub(crate) slot: Slot,
}

impl Service {
    /// The circuit of the endpoint at this index; `None` if ejection is off.
    pub fn circuit(&self, endpoint: usize) -> Option<&Breaker> {
        self.circuits.get(endpoint).map(|breaker| &**breaker)
    }

    /// How its endpoints share the calls.
    pub fn balance(&self) -> &Balance {
        self.plan.balance()
    }

    pub(crate) fn heaviest(&self) -> u32 {
        self.plan.heaviest()
    }

    /// Lets a call in: with a place if calls are limited. `Err` if all are taken.
    pub fn enter(&self) -> Result<Option<Entry>, Full> {
        let most = self.limits.requests;
        most.map(|most| self.room.enter(most).ok_or(Full)).transpose()
    }

    /// The same at the endpoint at this index.
    pub(crate) fn enter_endpoint(&self, endpoint: usize) -> Result<Option<Entry>, Full> {
        let most = self.limits.endpoint_requests;
        most.map(|most| self.rooms[endpoint].enter(most).ok_or(Full))
            .transpose()
    }

    /// Whether an endpoint takes no call only because it has as many as it may have.
    pub fn is_full(&self) -> bool {
        let most = self.limits.endpoint_requests;
        most.is_some_and(|most| self.rooms.iter().any(|room| room.is_full(most)))
    }

    /// How the endpoint at this index stands with its circuit.
    pub(crate) fn standing(&self, endpoint: usize, now: Mono) -> Standing {
        if let Some(most) = self.limits.endpoint_requests
            && self.rooms[endpoint].is_full(most)
        {
            return Standing::Held;
        }
        self.circuit(endpoint)
            .map_or(Standing::Takes(1.0), |circuit| circuit.standing(now))
    }
}

/// As many calls are in progress as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A configured route.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its name in the configuration, shown in logs and errors.
    pub name: String,
    /// The host that it serves; `None` for any.
    pub host: Option<String>,
    /// The path prefix that it serves, ending at a segment boundary; `/` for every path.
    pub path_prefix: String,
    /// Where requests go.
    pub service: ServiceKey,
    /// Whether the prefix is cut off before forwarding.
    pub strip_prefix: bool,
    /// Time limit of a request; `None` for no limit.
    pub timeout: Option<Duration>,
    /// Time limit of a connection attempt.
    pub connect_timeout: Duration,
    /// Whether responses are long-lived streams: no total time limit, and slowness ends with the first message.
    pub streaming: bool,
}

impl Route {
    /// A route for every path of any host, with default limits.
    pub fn new(name: impl Into<String>, service: ServiceKey) -> Route {
        Route {
            name: name.into(),
            host: None,
            path_prefix: "/".into(),
            service,
            strip_prefix: false,
            timeout: Some(DEFAULT_TIMEOUT),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            streaming: false,
        }
    }
}

/// The snapshot. Cheap to read from every core; replaced as a whole.
#[derive(Debug, Default)]
pub struct Table {
    services: Vec<Service>,
    routes: Vec<Route>,
    /// Service of each route; `None` if the service is not registered.
    route_services: Vec<Option<usize>>,
    /// Routes of each host (lower case), longest prefix first.
    host_routes: HashMap<String, Vec<usize>>,
    /// Routes of any host, longest prefix first.
    any_routes: Vec<usize>,
    /// `service.namespace` in lower case.
    by_host: HashMap<String, usize>,
    /// First path segment, byte for byte.
    by_segment: HashMap<String, usize>,
    /// gRPC service name.
    by_grpc: HashMap<String, usize>,
    warnings: Vec<String>,
}

impl Table {
    /// All services, ordered by key.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// All configured routes, in the order given.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The service with this key.
    pub fn service(&self, key: &ServiceKey) -> Option<&Service> {
        let at = self.services.binary_search_by(|s| s.key.cmp(key)).ok()?;
        self.services.get(at)
    }

    /// What is ambiguous in the table, one sentence each, for the log.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
