//! One request: who asks, for what, in which protocol; then the endpoint, then the answer.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header, request};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tsugite_aws::context::{Caller, Credential, Facts};
use tsugite_aws::{AwsError, Context, Dialect, Encoding, Fields, Form, shapes, trace, xml};
use tsugite_base::names::Scope;
use tsugite_base::rng::SplitMix64;
use tsugite_base::{Uuid, World};
use tsugite_engine::{Messaging, RegistryStore};
use tsugite_registry::Validation;

use super::auth::{Asked, Auth, Derived, Keys, Mode};
use super::connection::Peer;
use super::guard::{self, Guard};
use super::metrics::{ActionMetrics, Metrics};
use super::named::Named;
use super::policies::Policies;
use super::reply::{self, Protocol};
use super::versions::check_version;
use super::{body, connection, sns, sqs, sts};
use crate::signing::{self, Signer};
use crate::{cloudmap, deliver};

const TRACE: header::HeaderName = header::HeaderName::from_static("x-amzn-trace-id");
const TRACE_PARENT: header::HeaderName = header::HeaderName::from_static("traceparent");

/// What the operator decides about the door.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The account and region of requests that name none.
    pub scope: Scope,
    /// Host (and port) in URLs; the request's own `Host` if absent.
    pub host: Option<String>,
    /// Whether any `Host` is served, because the operator listens beyond loopback without authentication.
    pub any_host: bool,
    /// What is asked of callers.
    pub auth: Mode,
    /// The keys that were given out.
    pub keys: Keys,
    /// How much of what AWS refuses Cloud Map refuses.
    pub validation: Validation,
    /// Milliseconds for which calls to an instance that Cloud Map deregisters may go on.
    pub drain_ms: u32,
}

/// The door: settings and counters that all threads share, and the store behind it.
pub struct AwsDoor<S> {
    store: S,
    world: World,
    settings: Settings,
    guard: Guard,
    auth: Auth,
    signer: Arc<Signer>,
    metrics: Metrics,
}

impl<S: Messaging + RegistryStore> AwsDoor<S> {
    /// A door to `store`. `signer` signs what subscribers receive.
    pub fn new(store: S, world: World, signer: Arc<Signer>, mut settings: Settings) -> AwsDoor<S> {
        let auth = Auth::new(settings.auth, std::mem::take(&mut settings.keys));
        let hosts = settings.host.as_deref().map(guard::host_of);
        let guard = Guard {
            hosts: hosts.map(str::to_ascii_lowercase).into_iter().collect(),
            any_host: settings.any_host,
        };
        AwsDoor {
            store,
            world,
            settings,
            guard,
            auth,
            signer,
            metrics: Metrics::new(),
        }
    }

    /// From now on these keys count, and only these.
    pub fn set_keys(&self, keys: Keys) {
        self.auth.set_keys(keys);
    }

    /// What was counted since the start.
    pub fn metrics(&self) -> Vec<ActionMetrics> {
        self.metrics.snapshot()
    }
}

/// Serves the door on one listener until `stop` turns true and the requests under way are answered; long polls end
/// with an empty answer then. Must run inside a `LocalSet`; drop the future to cut what does not finish in time.
pub async fn serve<S: Messaging + RegistryStore>(
    listener: TcpListener,
    door: Arc<AwsDoor<S>>,
    stop: watch::Receiver<bool>,
) {
    let ids = SplitMix64::new(door.world.random_u64());
    let service = Rc::new(Served {
        door,
        stop: stop.clone(),
        ids: RefCell::new(ids),
        derived: RefCell::default(),
        policies: Policies::default(),
    });
    connection::accept(listener, service, stop).await;
}

/// The door as one thread serves it.
struct Served<S> {
    door: Arc<AwsDoor<S>>,
    stop: watch::Receiver<bool>,
    /// Request ids only have to differ: a system call for each would cost as much as its parsing.
    ids: RefCell<SplitMix64>,
    /// Keys derived from those of the door.
    derived: RefCell<Derived>,
    /// Parsed policies of queues and topics.
    policies: Policies,
}

impl<S: Messaging + RegistryStore> connection::Service for Served<S> {
    async fn call(self: Rc<Self>, request: Request<Incoming>, peer: Peer) -> Response<Full<Bytes>> {
        let door = &self.door;
        let started = door.world.mono();
        let request_id = self.request_id();
        let (head, body) = request.into_parts();
        if let Some(response) = self.certificate(&head, request_id).await {
            return response;
        }
        let answered = match Named::of(&head) {
            Some(named) => self.named(&head, &named, (body, &peer), request_id).await,
            // Apart, so that a call in the usual protocol does not carry the room that this one would need.
            None => Box::pin(self.query(&head, (body, &peer), request_id)).await,
        };
        let response = reply::response(answered.protocol, request_id, answered.outcome);
        let took = door.world.mono().since(started);
        let status = response.status().as_u16();
        door.metrics
            .count(answered.service, &answered.action, status, took);
        response
    }
}

/// An answer with what it answers, for the counters.
struct Answered {
    service: &'static str,
    action: String,
    protocol: Protocol,
    outcome: Result<Vec<u8>, AwsError>,
}

impl<S: Messaging + RegistryStore> Served<S> {
    fn request_id(&self) -> Uuid {
        let mut ids = self.ids.borrow_mut();
        let (high, low) = (ids.next_u64(), ids.next_u64());
        Uuid::v4(((u128::from(high) << 64) | u128::from(low)).to_le_bytes())
    }

    /// Answers a request for the certificate of a signature, which anybody may read: it is how they check messages.
    async fn certificate(&self, head: &request::Parts, id: Uuid) -> Option<Response<Full<Bytes>>> {
        if head.method != Method::GET || !head.uri.path().starts_with(signing::PATH_PREFIX) {
            return None;
        }
        match self.door.signer.certificate(head.uri.path()).await {
            Ok(Some(pem)) => Some(reply::certificate(id, pem)),
            Ok(None) => Some(reply::no_certificate(id)),
            Err(error) => {
                let error = AwsError::unavailable(error.to_string());
                Some(reply::response(Protocol::Query(sns::NAMESPACE), id, Err(error)))
            }
        }
    }

    /// Answers a request that names service and action outside its body.
    async fn named(
        &self,
        head: &request::Parts,
        named: &Named<'_>,
        body: (Incoming, &Peer),
        id: Uuid,
    ) -> Answered {
        let (service, dialect) = match (named.service, named.encoding) {
            ("AmazonSQS", Encoding::Json) => ("sqs", Dialect::SQS),
            ("Route53AutoNaming_v20170314", _) => ("servicediscovery", Dialect::CLOUD_MAP),
            _ => ("none", Dialect::UNKNOWN),
        };
        Answered {
            service,
            action: named.action.to_owned(),
            protocol: match named.encoding {
                Encoding::Json => Protocol::Json(dialect),
                Encoding::Cbor => Protocol::Cbor(dialect),
            },
            outcome: self.named_outcome(head, (service, named), body, id).await,
        }
    }

    async fn named_outcome(
        &self,
        head: &request::Parts,
        (service, named): (&str, &Named<'_>),
        (body, peer): (Incoming, &Peer),
        id: Uuid,
    ) -> Result<Vec<u8>, AwsError> {
        self.guard(head)?;
        if head.method != Method::POST {
            return Err(wrong_method(&head.method, "POST"));
        }
        let body = body::read(body, head.headers.contains_key(header::EXPECT)).await?;
        let caller = self.caller(head, &body, Asked { service, open: false })?;
        let context = self.context(head, (caller, None), peer, id);
        match service {
            "sqs" => {
                let call = sqs::Call {
                    store: &self.door.store,
                    world: &self.door.world,
                    context: &context,
                    stop: &self.stop,
                    policies: &self.policies,
                    signer: &self.door.signer,
                    peer,
                    fields: Fields::parse(&body)?,
                };
                sqs::handle(named.action, call).await
            }
            "servicediscovery" => {
                self.own_registry(&context)?;
                let call = cloudmap::Call {
                    store: &self.door.store,
                    world: &self.door.world,
                    context: &context,
                    fields: named.encoding.parse(&body)?,
                    encoding: named.encoding,
                    validation: self.door.settings.validation,
                    drain_ms: self.door.settings.drain_ms,
                };
                Box::pin(cloudmap::handle(named.action, call)).await
            }
            _ => Err(AwsError::unknown_operation(named.target)),
        }
    }

    /// Answers a request of the Query protocol: a form in the query string, the body or both.
    async fn query(&self, head: &request::Parts, body: (Incoming, &Peer), id: Uuid) -> Answered {
        let mut answered = Answered {
            service: "none",
            action: String::new(),
            protocol: Protocol::Query(sns::NAMESPACE),
            outcome: Ok(Vec::new()),
        };
        answered.outcome = self.query_outcome(head, body, id, &mut answered).await;
        answered
    }

    async fn query_outcome(
        &self,
        head: &request::Parts,
        (body, peer): (Incoming, &Peer),
        id: Uuid,
        answered: &mut Answered,
    ) -> Result<Vec<u8>, AwsError> {
        self.guard(head)?;
        if head.method != Method::POST && head.method != Method::GET {
            return Err(wrong_method(&head.method, "GET or POST"));
        }
        let body = body::read(body, head.headers.contains_key(header::EXPECT)).await?;
        let query = head.uri.query().unwrap_or_default();
        let mut form = Form::parse(query.as_bytes())?;
        if !content_type(&head.headers).starts_with("application/x-amz-json") {
            form.extend(&body)?;
        }
        let action = form.get("Action").unwrap_or_default();
        action.clone_into(&mut answered.action);
        let presigned = form.get("X-Amz-Credential");
        let credential = credential_of(&head.headers, presigned);
        answered.service = service_of(&form, credential, head.uri.path());
        answered.protocol = Protocol::Query(namespace_of(answered.service));
        let asked = Asked {
            service: answered.service,
            open: answered.service == "sns" && sns::is_of_link(action),
        };
        let caller = self.caller(head, &body, asked)?;
        form.only("Action")?;
        check_version(&form, answered.service)?;
        let context = self.context(head, (caller, presigned), peer, id);
        if action.is_empty() {
            return Err(no_action(head));
        }
        let result = match answered.service {
            "sns" => {
                let call = sns::Call {
                    store: &self.door.store,
                    world: &self.door.world,
                    context: &context,
                    signed: credential.is_some(),
                    policies: &self.policies,
                    form: &form,
                };
                sns::handle(action, call).await?
            }
            "sts" => Some(sts::handle(action, &context)?),
            "sqs" => {
                let operation = sqs::query::operation(action, head.uri.path())?;
                let call = sqs::Call {
                    store: &self.door.store,
                    world: &self.door.world,
                    context: &context,
                    stop: &self.stop,
                    policies: &self.policies,
                    signer: &self.door.signer,
                    peer,
                    fields: sqs::query::fields(operation, &form, head.uri.path())?,
                };
                sqs::query::handle(operation, call).await?
            }
            _ => return Err(AwsError::invalid_action("any service of this port", action)),
        };
        let Protocol::Query(namespace) = answered.protocol else {
            return Ok(Vec::new());
        };
        Ok(xml::response(action, namespace, result.as_deref(), id).into_bytes())
    }

    /// Keeps web pages out where nothing else does.
    fn guard(&self, head: &request::Parts) -> Result<(), AwsError> {
        // Who may subscribe an endpoint chooses its URL, which would otherwise act here in the name of nobody.
        if deliver::is_delivery(&head.headers) {
            return Err(guard::denied(
                "Deliveries of topics may not use this port.".into(),
            ));
        }
        match self.door.auth.mode {
            Mode::Off => self.door.guard.check(&head.uri, &head.headers),
            // A page has no key to sign with.
            Mode::Known | Mode::Strict => Ok(()),
        }
    }

    /// The registry is one for the process and belongs to the account of the configuration.
    fn own_registry(&self, context: &Context) -> Result<(), AwsError> {
        let owner = &self.door.settings.scope.account;
        if context.acts_for(owner) {
            return Ok(());
        }
        let message = format!(
            "User: {} is not authorized to use the registry, which belongs to account {owner}",
            context.caller_arn()
        );
        Err(AwsError::sender(
            "AccessDeniedException",
            "AccessDenied",
            403,
            message,
        ))
    }

    fn caller(&self, head: &request::Parts, body: &[u8], asked: Asked<'_>) -> Result<Caller, AwsError> {
        let now = || self.door.world.clock.peers_wall();
        let auth = &self.door.auth;
        if auth.mode == Mode::Off {
            return Ok(Caller::Anyone);
        }
        auth.caller(&self.derived, (head, body), asked, now())
    }

    /// Who asks from where. `presigned` is the credential of a request that has none among its headers.
    fn context(
        &self,
        head: &request::Parts,
        (caller, presigned): (Caller, Option<&str>),
        peer: &Peer,
        request_id: Uuid,
    ) -> Context {
        let (settings, headers) = (&self.door.settings, &head.headers);
        let credential = credential_of(headers, presigned);
        let account = match &caller {
            Caller::Known(principal) => Some(principal.account.clone()),
            Caller::Anonymous => None,
            Caller::Anyone => credential.and_then(|c| {
                let of_key = self.door.auth.account_of(c.access_key);
                of_key.or_else(|| c.account().map(str::to_owned))
            }),
        };
        let facts = (self.door.auth.mode == Mode::Strict).then(|| {
            Box::new(Facts {
                source_ip: peer.address(),
                user_agent: text(headers, &header::USER_AGENT).map(str::to_owned),
                referer: text(headers, &header::REFERER).map(str::to_owned),
            })
        });
        let host = settings.host.as_deref().or_else(|| text(headers, &header::HOST));
        Context {
            scope: Scope {
                account: account.unwrap_or_else(|| settings.scope.account.clone()),
                region: credential
                    .map_or(settings.scope.region.as_str(), |c| c.region)
                    .to_owned(),
            },
            caller,
            facts,
            base_url: format!("http://{}", host.unwrap_or("localhost")),
            request_id,
            trace_header: trace_of(headers),
        }
    }
}

/// The trace that a request belongs to, in AWS's words or in W3C's.
fn trace_of(headers: &HeaderMap) -> Option<String> {
    let stated = text(headers, &TRACE).map(str::to_owned);
    stated.or_else(|| trace::header_of_traceparent(text(headers, &TRACE_PARENT)?))
}

fn namespace_of(service: &str) -> &'static str {
    match service {
        "sqs" => sqs::NAMESPACE,
        "sts" => sts::NAMESPACE,
        _ => sns::NAMESPACE,
    }
}

/// The service that a Query request means: by its version, its signature, its path, or an action that only one has.
fn service_of(form: &Form<'_>, credential: Option<Credential<'_>>, path: &str) -> &'static str {
    match form.get("Version") {
        Some("2010-03-31") => return "sns",
        Some("2012-11-05") => return "sqs",
        Some("2011-06-15") => return "sts",
        _ => {}
    }
    match credential.map(|credential| credential.service) {
        Some("sns") => return "sns",
        Some("sqs") => return "sqs",
        Some("sts") => return "sts",
        _ => {}
    }
    match form.get("Action") {
        _ if sqs::is_queue_path(path) => "sqs",
        Some("GetCallerIdentity") => "sts",
        Some(action) if sns::is_own(action) => "sns",
        // Both services have permissions.
        Some("AddPermission" | "RemovePermission") if form.get("TopicArn").is_some() => "sns",
        Some(action) if shapes::sqs::operation(action).is_some() => "sqs",
        _ => "none",
    }
}

fn credential_of<'a>(headers: &'a HeaderMap, presigned: Option<&'a str>) -> Option<Credential<'a>> {
    Credential::parse(text(headers, &header::AUTHORIZATION).or(presigned)?)
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn content_type(headers: &HeaderMap) -> &str {
    text(headers, &header::CONTENT_TYPE).unwrap_or_default()
}

fn no_action(head: &request::Parts) -> AwsError {
    let kind = content_type(&head.headers);
    let message = if kind.starts_with("application/x-amz-json") {
        "The header X-Amz-Target is missing; it names the service and the action of a JSON request."
            .to_owned()
    } else {
        "This port speaks AWS APIs (SQS, SNS, Cloud Map, STS); the request names no action. \
         Point an AWS SDK or CLI here, for example by AWS_ENDPOINT_URL."
            .to_owned()
    };
    if sqs::is_queue_path(head.uri.path()) {
        return AwsError::no_operation(message);
    }
    AwsError::bad_request("MissingAction", message)
}

fn wrong_method(method: &Method, wanted: &str) -> AwsError {
    AwsError::sender(
        "MethodNotAllowed",
        "MethodNotAllowed",
        405,
        format!("The method {method} is not used here; send {wanted}."),
    )
}
