//! The admin door: health, metrics, the REST API (`/v1`, every answer with links) and the console.

mod answer;
mod body;
mod captured;
mod circuits;
mod clock;
mod connection;
mod dev;
mod grpc;
mod guard;
mod heartbeats;
mod http_sd;
mod instances;
mod located;
mod messages;
mod metrics;
mod namespaces;
mod queues;
mod redrive;
mod resource;
mod services;
mod store;
mod subscriptions;
mod topics;
mod watch;
mod withdrawal;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, HOST, ORIGIN, VARY};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::json;
use tokio::sync::watch::Receiver;
use tsugite_base::names::Scope;
use tsugite_base::{Mono, World, limits};
use tsugite_gateway::Shared;
use tsugite_registry::{InstanceName, ServiceName};

use self::answer::{Answer, Problem, document, respond};
use self::guard::Guard;
use self::resource::Resource;
use crate::aws::AwsDoor;
use crate::config::Config;
use crate::deliver::Deliverer;
use crate::dns::Dns;
use crate::run::Addresses;
use crate::signing::Signer;
use crate::watch::Hub;
use crate::world::HostClock;

pub use connection::serve;
pub use store::{Seen, Store};

/// From the head of a request to the end of its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything that a request on the admin port may ask about.
pub struct Admin<S> {
    pub(crate) store: S,
    pub(crate) world: World,
    pub(crate) config: Receiver<Arc<Config>>,
    pub(crate) addresses: Addresses,
    pub(crate) gateway: Arc<Shared>,
    pub(crate) aws: Arc<AwsDoor<S>>,
    /// Who knows how deliveries to endpoints go.
    pub(crate) deliverer: Arc<Deliverer>,
    /// Who wakes watchers.
    pub(crate) hub: Arc<Hub>,
    pub(crate) dns: Arc<Dns>,
    /// Who signs what is mailed as JSON.
    pub(crate) signer: Arc<Signer>,
    pub(crate) started: Mono,
    /// The clock of `world`, if it may be moved.
    pub(crate) movable: Option<Arc<HostClock>>,
    guard: ArcSwap<Guard>,
    ready: AtomicBool,
    requests: AtomicU64,
    errors: AtomicU64,
    applied: AtomicU64,
    refused: AtomicU64,
}

/// What serves beside the admin port, and what it tells of.
pub struct Beside<S> {
    /// The gateway.
    pub gateway: Arc<Shared>,
    /// The AWS door.
    pub aws: Arc<AwsDoor<S>>,
    /// Who posts to endpoints.
    pub deliverer: Arc<Deliverer>,
    /// Who wakes watchers.
    pub(crate) hub: Arc<Hub>,
    /// The DNS door.
    pub dns: Arc<Dns>,
    /// Who signs what is delivered.
    pub signer: Arc<Signer>,
}

impl<S: Store> Admin<S> {
    /// The door of a running program; not ready until [`Admin::set_ready`].
    pub fn new(
        store: S,
        world: World,
        movable: Option<Arc<HostClock>>,
        config: Receiver<Arc<Config>>,
        addresses: Addresses,
        beside: Beside<S>,
    ) -> Admin<S> {
        let Beside {
            gateway,
            aws,
            deliverer,
            hub,
            dns,
            signer,
        } = beside;
        let guard = Guard::new(config.borrow().admin.clone());
        Admin {
            store,
            started: world.mono(),
            world,
            movable,
            config,
            addresses,
            gateway,
            aws,
            deliverer,
            hub,
            dns,
            signer,
            guard: ArcSwap::from_pointee(guard),
            ready: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            applied: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// What `/readyz` answers from now on.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Relaxed);
    }

    /// Applies the token and the allowed names of a new configuration.
    pub fn reload(&self, config: &Config) {
        self.guard.store(Arc::new(Guard::new(config.admin.clone())));
        self.applied.fetch_add(1, Relaxed);
    }

    /// Counts a configuration that was not taken.
    pub fn reload_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Configurations loaded again: applied and refused ones.
    fn reloads(&self) -> (u64, u64) {
        (self.applied.load(Relaxed), self.refused.load(Relaxed))
    }

    fn default_scope(&self) -> Scope {
        self.config.borrow().aws.scope.clone()
    }

    /// Answers one request.
    pub(crate) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        self.requests.fetch_add(1, Relaxed);
        let (mut parts, body) = request.into_parts();
        name_host(&mut parts);
        let guard = self.guard.load_full();
        let outcome = self.checked(&guard, &parts, body).await;
        let mut answer = outcome.unwrap_or_else(|problem| match grpc::is_call(&parts) {
            true => problem.of_call(),
            false => problem.answer(),
        });
        if answer.status().is_client_error() || answer.status().is_server_error() {
            self.errors.fetch_add(1, Relaxed);
        }
        allow_origin(&guard, &parts.headers, &mut answer);
        answer
    }

    async fn checked(
        self: &Arc<Self>,
        guard: &Guard,
        parts: &http::request::Parts,
        body: Incoming,
    ) -> Result<Answer, Problem> {
        let resource = Resource::find(parts.uri.path());
        let open = resource.as_ref().is_ok_and(Resource::open);
        guard.check(&parts.method, &parts.headers, open)?;
        let resource = resource?;
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        query.only(resource.parameters(&parts.method))?;
        let body = Box::pin(read(body)).await?;
        match resource {
            Resource::GrpcWatch if parts.method == Method::POST => grpc::watch(self, parts, &body),
            Resource::Watch if parts.method == Method::GET => watch::events(self, &query, &parts.headers),
            // Boxed apart from all others: it may wait for long, and should not hold their room meanwhile.
            Resource::ServiceInstances { namespace, service } if parts.method == Method::GET => {
                Box::pin(watch::instances(self, ServiceName { namespace, service }, &query)).await
            }
            resource => Box::pin(self.dispatch(resource, &parts.method, &query, &body)).await,
        }
    }

    async fn dispatch(
        &self,
        resource: Resource,
        method: &Method,
        query: &Query,
        body: &[u8],
    ) -> Result<Answer, Problem> {
        let allow = resource.methods();
        match *method {
            Method::GET | Method::HEAD if allow.starts_with("GET") => self.get(resource, query).await,
            Method::OPTIONS => Ok(preflight(allow)),
            Method::PUT if allow.contains("PUT") => self.put(resource, query, body).await,
            Method::DELETE if allow.contains("DELETE") => self.delete(resource, query).await,
            Method::POST if allow.contains("POST") => self.post(resource, query, body).await,
            _ => Err(Problem::method(method.as_str(), allow)),
        }
    }

    async fn get(&self, resource: Resource, query: &Query) -> Result<Answer, Problem> {
        match resource {
            Resource::Console => Ok(console()),
            Resource::Health => Ok(document(
                StatusCode::OK,
                json!({ "status": "up" }),
                vec![("index", "/v1".into())],
            )),
            Resource::Ready => Ok(self.readiness()),
            Resource::Metrics => Ok(respond(
                StatusCode::OK,
                "text/plain; version=0.0.4; charset=utf-8",
                metrics::text(self).into(),
            )),
            Resource::Index => Ok(self.index()),
            Resource::Services => services::list(self, query).await,
            Resource::ServiceInstances { namespace, service } => {
                watch::instances(self, ServiceName { namespace, service }, query).await
            }
            Resource::Watch => Err(Problem::invalid("a watch has no head without a body")),
            Resource::HttpSd => http_sd::list(self, query).await,
            Resource::Namespaces => namespaces::list(self, query).await,
            Resource::Namespace(name) => namespaces::get(self, &name).await,
            Resource::Service { namespace, service } => services::get(self, namespace, service).await,
            Resource::Instance {
                namespace,
                service,
                id,
            } => instances::get(self, instance_name(namespace, service, id)).await,
            Resource::Queues => Ok(queues::list(self, query)),
            Resource::Queue(name) => queues::get(self, &name, query),
            Resource::QueueGroups(name) => queues::groups(self, &name, query),
            Resource::QueueRedrive(name) => redrive::list(self, &name, query).await,
            Resource::Messages(name) => messages::list(self, &name, query).await,
            Resource::Message { queue, number } => messages::get(self, &queue, &number, query).await,
            Resource::Topics => Ok(topics::list(self, query)),
            Resource::Topic(name) => topics::get(self, &name, query).await,
            Resource::Subscriptions(name) => subscriptions::list(self, &name, query).await,
            Resource::Subscription { topic, id } => subscriptions::get(self, &topic, &id, query).await,
            Resource::Captured => captured::list(self, query).await,
            Resource::Clock => Ok(clock::get(self)),
            Resource::Circuits => circuits::list(self, query),
            Resource::Circuit(id) => circuits::get(self, &id),
            other => Err(Problem::method("GET", other.methods())),
        }
    }

    async fn put(&self, resource: Resource, query: &Query, body: &[u8]) -> Result<Answer, Problem> {
        match resource {
            Resource::Instance {
                namespace,
                service,
                id,
            } => instances::put(self, instance_name(namespace, service, id), body).await,
            Resource::InstanceHealth {
                namespace,
                service,
                id,
            } => withdrawal::put(self, instance_name(namespace, service, id), body).await,
            Resource::CircuitOverride(id) => circuits::put_override(self, &id, body),
            Resource::Topic(name) => topics::put(self, &name, query, body).await,
            other => Err(Problem::method("PUT", other.methods())),
        }
    }

    async fn delete(&self, resource: Resource, query: &Query) -> Result<Answer, Problem> {
        match resource {
            Resource::Instance {
                namespace,
                service,
                id,
            } => instances::delete(self, instance_name(namespace, service, id), query).await,
            Resource::Service { namespace, service } => services::remove(self, namespace, service).await,
            Resource::InstanceHealth {
                namespace,
                service,
                id,
            } => withdrawal::lift(self, instance_name(namespace, service, id)).await,
            Resource::CircuitOverride(id) => circuits::delete_override(self, &id),
            Resource::Queue(name) => queues::remove(self, &name, query).await,
            Resource::QueueRedrive(name) => redrive::cancel(self, &name, query).await,
            Resource::Topic(name) => topics::remove(self, &name, query).await,
            Resource::Subscription { topic, id } => subscriptions::remove(self, &topic, &id, query).await,
            other => Err(Problem::method("DELETE", other.methods())),
        }
    }

    async fn post(&self, resource: Resource, query: &Query, body: &[u8]) -> Result<Answer, Problem> {
        match resource {
            Resource::Heartbeats => heartbeats::post(self, body).await,
            Resource::CircuitReset(id) => circuits::reset(self, &id),
            Resource::Messages(name) => messages::send(self, &name, query, body).await,
            Resource::QueueReceive(name) => messages::receive(self, &name, query, body).await,
            Resource::QueueDelete(name) => messages::delete(self, &name, query, body).await,
            Resource::QueuePurge(name) => queues::purge(self, &name, query).await,
            Resource::QueueRedrive(name) => redrive::start(self, &name, query, body).await,
            Resource::TopicMessages(name) => topics::publish(self, &name, query, body).await,
            Resource::TopicMatches(name) => topics::matches(self, &name, query, body).await,
            Resource::Subscriptions(name) => subscriptions::subscribe(self, &name, query, body).await,
            Resource::Reset => dev::reset(self).await,
            Resource::ClockAdvance => clock::advance(self, body),
            other => Err(Problem::method("POST", other.methods())),
        }
    }

    fn readiness(&self) -> Answer {
        let (status, text) = match self.ready.load(Relaxed) {
            true => (StatusCode::OK, "ready"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        };
        document(status, json!({ "status": text }), vec![("index", "/v1".into())])
    }

    fn index(&self) -> Answer {
        let shown = |address: Option<std::net::SocketAddr>| address.map(|address| address.to_string());
        let body = json!({
            "name": "tsugite",
            "version": env!("CARGO_PKG_VERSION"),
            "listen": {
                "gateway": shown(self.addresses.gateway),
                "aws": shown(self.addresses.aws),
                "admin": shown(self.addresses.admin),
                "dns": shown(self.addresses.dns),
            },
        });
        let links = vec![
            ("self", "/v1".into()),
            ("namespaces", "/v1/namespaces".into()),
            ("services", "/v1/services".into()),
            ("watch", "/v1/watch{?service,namespace,index}".into()),
            ("http_sd", "/v1/http_sd{?service,namespace}".into()),
            ("register", "/v1/instances/{namespace}/{service}/{id}".into()),
            ("heartbeats", "/v1/heartbeats".into()),
            ("queues", "/v1/queues".into()),
            ("topics", "/v1/topics".into()),
            ("captured", "/v1/captured".into()),
            ("circuits", "/v1/circuits".into()),
            ("clock", "/v1/clock".into()),
            ("health", "/healthz".into()),
            ("ready", "/readyz".into()),
            ("metrics", "/metrics".into()),
            ("console", "/".into()),
        ];
        document(StatusCode::OK, body, links)
    }
}

fn instance_name(namespace: String, service: String, instance: String) -> InstanceName {
    InstanceName {
        namespace,
        service,
        instance,
    }
}

/// HTTP/2 names the host beside the path; everything here looks at the header.
fn name_host(parts: &mut http::request::Parts) {
    if !parts.headers.contains_key(HOST)
        && let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(HOST, host);
    }
}

async fn read(body: Incoming) -> Result<bytes::Bytes, Problem> {
    let limited = Limited::new(body, limits::ADMIN_BODY_BYTES);
    match tokio::time::timeout(BODY_TIMEOUT, limited.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::too_large(limits::ADMIN_BODY_BYTES)),
        Ok(Err(_)) => Err(Problem::invalid("the body broke off")),
        Err(_) => Err(Problem::too_slow()),
    }
}

fn preflight(allow: &'static str) -> Answer {
    let mut answer = respond(StatusCode::NO_CONTENT, "text/plain", bytes::Bytes::new());
    let headers = answer.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(allow));
    headers.insert("access-control-allow-methods", HeaderValue::from_static(allow));
    let wanted = HeaderValue::from_static("authorization, content-type");
    headers.insert("access-control-allow-headers", wanted);
    answer
}

/// Pages of an allowed origin may read the answer; for all others the browser keeps it to itself.
fn allow_origin(guard: &Guard, request: &HeaderMap, answer: &mut Answer) {
    let Some(origin) = request.get(ORIGIN) else { return };
    if origin.to_str().is_ok_and(|origin| guard.allows_origin(origin)) {
        answer
            .headers_mut()
            .insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer
            .headers_mut()
            .insert(VARY, HeaderValue::from_static("origin"));
    }
}

fn console() -> Answer {
    const PAGE: &str = include_str!("console.html");
    // The page holds its own style and script; nothing else may load, frame or be framed.
    const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                          connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let mut answer = respond(StatusCode::OK, "text/html; charset=utf-8", PAGE.into());
    let policy = HeaderValue::from_static(POLICY);
    answer.headers_mut().insert("content-security-policy", policy);
    answer
}

/// The parameters of a query.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: &str) -> Query {
        let decode = |text: &str| resource::decode_query(text);
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        });
        Query(pairs.collect())
    }

    /// Refuses what nobody would look at; `None` is a resource that probes decorate as they like.
    fn only(&self, known: Option<&[&str]>) -> Result<(), Problem> {
        let Some(known) = known else { return Ok(()) };
        match self.0.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some((key, _)) if known.is_empty() => Err(Problem::invalid(format!(
                "`{key}`: this resource takes no parameters"
            ))),
            Some((key, _)) => Err(Problem::invalid(format!(
                "`{key}` is not a parameter of this resource; it takes {}",
                known.join(", ")
            ))),
        }
    }

    /// Every value of a parameter that can repeat.
    pub(crate) fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        let pairs = self.0.iter().filter(move |(known, _)| known == key);
        pairs.map(|(_, value)| value.as_str())
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.as_str())
    }
}
