//! The life of a request, from its head to the head of its answer. [`forward`] is the list.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use tsugite_grpc::Code;
use tsugite_traffic::{
    Admission, Head, Nature, Outcome, Rejection, RouteError, Service, Wanted, classify_grpc, classify_http,
};

use crate::affinity;
use crate::body::{Body, Busy, RequestBody};
use crate::call::{Admitted, Exchange};
use crate::clients::Client;
use crate::codec::client::Broken;
use crate::codec::tunnel::{self, Switch};
use crate::core::{Core, View};
use crate::course::Course;
use crate::grpc;
use crate::headers;
use crate::kept::Kept;
use crate::limit::{Deadline, Limit};
use crate::metrics::ResponseClass;
use crate::outgoing::{self, Outgoing};
use crate::problem::{self, Asker, CircuitFacts, Problem};
use crate::relay::Relay;
use crate::session::Session;
use crate::tries;
use crate::upstream::{self, Answer, Failure};

/// Answers one request of a client. Never fails: what goes wrong becomes an answer.
pub(crate) async fn handle(
    session: Rc<Session>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let busy = Busy::begin(&session.state);
    let core = &session.core;
    core.counters().requests.add(1);
    core.shared.control.traffic();
    let (mut parts, incoming) = request.into_parts();
    let id = headers::add_identity(&mut parts.headers, &mut core.rng.borrow_mut());
    let asker = Asker::new(id, grpc::is_grpc(&parts.headers), &parts.method);
    let mut answer = match forward(&session, parts, incoming, asker).await {
        Ok(answer) => answer,
        Err(problem) => problem.answer(asker),
    };
    answer.body_mut().hold(busy);
    Ok(answer)
}

/// The steps of a request: check the head, find the service, ask its circuit, pick an endpoint, rewrite the head,
/// send, and hand the answer on.
async fn forward(
    session: &Rc<Session>,
    mut parts: Parts,
    incoming: Incoming,
    asker: Asker,
) -> Result<Response<Body>, Problem> {
    let core = &session.core;
    let target = Target::read(session, &parts).inspect_err(|_| core.counters().bad_requests.add(1))?;
    let view = core.view();
    let route = find(core, &view, &target, &parts, asker)?;
    let uploads = !incoming.is_end_stream();
    let key = affinity::key(core, view.service(route.service), &parts.headers, session);
    let limit = limit(core, &route, &parts, asker).inspect_err(|_| core.counters().bad_requests.add(1))?;
    let exchange = admit(core, view, &route, (limit, key.hash), asker, uploads)?;

    let hop = headers::strip_hop_by_hop(&mut parts.headers);
    headers::add_forwarded(
        &mut parts.headers,
        &session.forwarded_for,
        target.host_value().as_ref(),
    );
    let h2 = exchange.endpoint().protocol.is_http2(asker.grpc);
    let switch = Switch::asked(&mut parts, &hop, h2).map_err(|why| refuse_switch(&exchange, why))?;
    let course = Course {
        target,
        path: route.path,
        hop,
        connect_timeout: route.connect_timeout,
        exact: !uploads || incoming.size_hint().exact().is_some(),
        deadline: parts.headers.contains_key(headers::TSUGITE_DEADLINE),
    };
    let mut out = outgoing(&exchange, parts, incoming, uploads, switch.is_some());
    let answer = tries::answer(&exchange, &mut out, &course).await?;
    let mut answer = hand_on(session, exchange, answer, switch)?;
    if let Some(cookie) = key.cookie {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(answer)
}

/// The request as it goes out. What is sent of a body is kept where it may be of use.
fn outgoing(
    exchange: &Exchange,
    parts: Parts,
    incoming: Incoming,
    uploads: bool,
    switches: bool,
) -> Outgoing {
    let nature = match switches {
        false => outgoing::nature(&parts.method, exchange.grpc),
        true => Nature::default(),
    };
    let call = || exchange.share();
    let tries_again = exchange.service().retry.tries > 1;
    if uploads && tries_again && (nature.idempotent || nature.grpc) {
        return Outgoing::kept(parts, Kept::new(incoming, call()), nature);
    }
    let body = match uploads {
        true => RequestBody::Client {
            incoming,
            call: call(),
        },
        false => RequestBody::Empty,
    };
    Outgoing::new(parts, body, nature)
}

/// Where the client aims.
pub(crate) struct Target {
    /// Of the authority, or `Host`.
    pub(crate) host: Option<Authorities>,
    proxy_form: bool,
}

pub(crate) enum Authorities {
    Uri(Authority),
    Header(HeaderValue),
}

impl Target {
    /// Refuses heads that could be understood in two ways.
    fn read(client: &Client, parts: &Parts) -> Result<Target, Problem> {
        if client.state.take_both_lengths() && parts.headers.contains_key(header::TRANSFER_ENCODING) {
            let detail = "the request has both Content-Length and Transfer-Encoding, so that nobody knows where it ends";
            return Err(Problem::new(&problem::AMBIGUOUS_LENGTH, detail));
        }
        if parts.method == Method::CONNECT {
            let detail = "the gateway forwards requests to registered services and opens no tunnels";
            return Err(Problem::new(&problem::TUNNEL_REFUSED, detail));
        }
        let h1 = parts.version < Version::HTTP_2;
        let mut hosts = parts.headers.get_all(header::HOST).iter();
        let host = hosts.next();
        if hosts.next().is_some() || (host.is_none() && parts.version == Version::HTTP_11) {
            let detail = "an HTTP/1.1 request must have exactly one Host field";
            return Err(Problem::new(&problem::MALFORMED_REQUEST, detail));
        }
        if host.is_some_and(|h| h.to_str().is_err()) {
            return Err(Problem::new(
                &problem::MALFORMED_REQUEST,
                "the Host field is not ASCII",
            ));
        }
        let host = match parts.uri.authority() {
            Some(authority) => Some(Authorities::Uri(authority.clone())),
            None => host.map(|h| Authorities::Header(h.clone())),
        };
        Ok(Target {
            host,
            proxy_form: h1 && parts.uri.scheme().is_some(),
        })
    }

    fn host(&self) -> Option<&str> {
        match &self.host {
            None => None,
            Some(Authorities::Uri(authority)) => Some(authority.as_str()),
            Some(Authorities::Header(value)) => value.to_str().ok(),
        }
    }

    pub(crate) fn host_value(&self) -> Option<HeaderValue> {
        match &self.host {
            None => None,
            Some(Authorities::Uri(authority)) => HeaderValue::from_str(authority.as_str()).ok(),
            Some(Authorities::Header(value)) => Some(value.clone()),
        }
    }
}

/// What the table says about a request.
struct Found {
    service: usize,
    /// The path and query to send.
    path: PathAndQuery,
    timeout: Option<Duration>,
    connect_timeout: Duration,
    streaming: bool,
}

fn find(core: &Core, view: &View, target: &Target, parts: &Parts, asker: Asker) -> Result<Found, Problem> {
    let head = Head {
        host: target.host(),
        path: parts.uri.path(),
        proxy_form: target.proxy_form,
        is_grpc: asker.grpc || grpc::is_grpc_family(&parts.headers),
    };
    let resolved = view
        .table()
        .resolve(&head)
        .map_err(|error| unrouted(core, &error))?;
    let whole = parts.uri.path_and_query();
    let path = match (resolved.strip, whole) {
        (0, Some(whole)) => whole.clone(),
        (_, whole) => {
            let target = resolved.upstream_target(whole.map_or("/", PathAndQuery::as_str));
            let detail = "the path cannot be forwarded without its first segment";
            target
                .parse()
                .map_err(|_| Problem::new(&problem::REFUSED_PATH, detail))?
        }
    };
    let settings = core.settings();
    Ok(Found {
        service: resolved.service_index,
        path,
        timeout: resolved.route.map_or(Some(settings.route_timeout), |r| r.timeout),
        connect_timeout: resolved
            .route
            .map_or(settings.connect_timeout, |r| r.connect_timeout),
        streaming: resolved.route.is_some_and(|r| r.streaming),
    })
}

fn unrouted(core: &Core, error: &RouteError) -> Problem {
    let kind = match error {
        RouteError::BadPath { .. } => &problem::REFUSED_PATH,
        RouteError::BadHost { .. } => &problem::MALFORMED_REQUEST,
        RouteError::ProxyRefused { .. } => &problem::NOT_AN_OPEN_PROXY,
        RouteError::NoRoute { .. } | RouteError::NoGrpcService { .. } => &problem::NO_ROUTE,
        RouteError::NotRegistered { .. } => &problem::NO_ENDPOINT,
        RouteError::Own(_) => {
            let detail = "gRPC health and reflection of the gateway itself are not yet supported; \
                          name a service by authority to reach its own";
            return Problem::new(&problem::NOT_SUPPORTED, detail);
        }
    };
    match error {
        RouteError::BadPath { .. } | RouteError::BadHost { .. } => core.counters().bad_requests.add(1),
        _ => core.counters().unrouted.add(1),
    }
    Problem::new(kind, error.to_string())
}

/// The time limits of a call.
fn limit(core: &Core, route: &Found, parts: &Parts, asker: Asker) -> Result<Limit, Problem> {
    let own =
        headers::deadline(&parts.headers).map_err(|rule| Problem::new(&problem::MALFORMED_REQUEST, rule))?;
    let of_grpc = asker.grpc.then(|| grpc::timeout(&parts.headers)).flatten();
    let client = own.into_iter().chain(of_grpc).min();
    let unlimited = asker.grpc || route.streaming;
    Ok(Limit {
        route: route.timeout.filter(|_| !unlimited),
        client: client.map(|allowed| Deadline {
            at: core.now() + allowed,
            allowed,
        }),
    })
}

/// Asks the circuit and picks an endpoint. From here on the call has an outcome.
fn admit(
    core: &Rc<Core>,
    view: Rc<View>,
    route: &Found,
    (limit, hash): (Limit, Option<u64>),
    asker: Asker,
    uploads: bool,
) -> Result<Exchange, Problem> {
    let now = core.now();
    let service = view.service(route.service);
    let refused = |class: ResponseClass| view.counters(route.service, core.index).response(class);
    let nowhere = || {
        refused(ResponseClass::NoEndpoint);
        let detail = format!("{} has no instance that may take calls", service.name);
        Problem::new(&problem::NO_ENDPOINT, detail).at(&service.name)
    };
    if service.endpoints.is_empty() {
        return Err(nowhere());
    }
    let overflow = || {
        refused(ResponseClass::Overflow);
        limit_exceeded(service)
    };
    let entry = service.enter().map_err(|_| overflow())?;
    let ticket = match service.breaker.admit(core.index, now, limit.total()) {
        Admission::Go(ticket) => ticket,
        Admission::Rejected(rejection) => {
            refused(ResponseClass::Rejected);
            return Err(circuit_open(&service.name, &rejection));
        }
    };
    let wanted = Wanted {
        exclude: &[],
        hash,
        limit: limit.total(),
    };
    let mut balancer = core.balancer.borrow_mut();
    let chosen = balancer.take(service, &wanted, core.index, now, &mut core.rng.borrow_mut());
    drop(balancer);
    let chosen = chosen.ok_or_else(|| if service.is_full() { overflow() } else { nowhere() })?;
    view.budget(route.service).borrow_mut().deposit(now);
    let (service, grpc, streaming) = (route.service, asker.grpc, route.streaming);
    Ok(Exchange::begin(
        core,
        Admitted {
            view,
            service,
            ticket,
            entry,
            chosen,
            hash,
            grpc,
            streaming,
            limit,
            uploads,
        },
    ))
}

/// There are as many calls in progress as there may be.
fn limit_exceeded(service: &Service) -> Problem {
    let name = &service.name;
    let detail = match (service.limits.requests, service.limits.endpoint_requests) {
        (Some(most), None) => format!("{most} calls to {name} are in progress, as many as may be"),
        (_, Some(most)) => {
            format!("{most} calls to each instance of {name} are in progress, as many as may be")
        }
        (None, None) => format!("there are as many calls to {name} in progress as may be"),
    };
    let circuit = Some(CircuitFacts {
        state: service.breaker.state().as_str(),
        reason: "overflow",
        retry_after: Some(Duration::from_secs(1)),
    });
    Problem {
        circuit,
        ..Problem::new(&problem::LIMIT_EXCEEDED, detail).at(name)
    }
}

/// There were endpoints when the call began, and there is none for another try.
pub(crate) fn no_endpoint(exchange: &Exchange) -> Problem {
    exchange.settle(Outcome::Ignored, ResponseClass::NoEndpoint);
    let name = &exchange.service().name;
    let detail = format!("{name} has no instance left that may take calls");
    Problem::new(&problem::NO_ENDPOINT, detail).at(name)
}

fn circuit_open(service: &str, rejection: &Rejection) -> Problem {
    let Rejection { retry_after, .. } = *rejection;
    let (state, reason) = (rejection.state.as_str(), rejection.reason.as_str());
    let detail = match retry_after {
        Some(wait) => format!(
            "the circuit of {service} is {state} ({reason}); try again in {} ms",
            wait.as_millis()
        ),
        None => format!("the circuit of {service} is {state} ({reason}) until an operator closes it"),
    };
    let circuit = Some(CircuitFacts {
        state,
        reason,
        retry_after,
    });
    Problem {
        circuit,
        ..Problem::new(&problem::CIRCUIT_OPEN, detail).at(service)
    }
}

fn refuse_switch(exchange: &Exchange, why: &'static str) -> Problem {
    exchange.settle(Outcome::Ignored, ResponseClass::ClientError);
    Problem::new(&problem::UPGRADE_REFUSED, why).at(&exchange.service().name)
}

pub(crate) fn timed_out(exchange: &Exchange) -> Problem {
    exchange.settle(exchange.overrun(), ResponseClass::Timeout);
    let name = &exchange.service().name;
    let limit = exchange.limit.total().unwrap_or_default();
    let detail = format!("{name} did not answer within {limit:?}");
    Problem::new(&problem::RESPONSE_TIMEOUT, detail).at(name)
}

pub(crate) fn try_timed_out(exchange: &Exchange) -> Problem {
    exchange.settle(Outcome::Timeout, ResponseClass::Timeout);
    let service = exchange.service();
    let limit = service.retry.per_try_timeout.unwrap_or_default();
    let detail = format!(
        "{} did not answer within {limit:?}, the limit of one try",
        service.name
    );
    Problem::new(&problem::RESPONSE_TIMEOUT, detail).at(&service.name)
}

pub(crate) fn failed(exchange: &Exchange, failure: &Failure) -> Problem {
    let (kind, outcome, text) = failure.describe(exchange.endpoint());
    if outcome == Outcome::Failure && exchange.upload_has_failed() {
        // The endpoint was told that the request is broken off, and went: that is no fault of its.
        exchange.settle(Outcome::Ignored, ResponseClass::ClientError);
        let text = "the body of the request is malformed or ended early";
        return Problem::new(&problem::MALFORMED_REQUEST, text).at(&exchange.service().name);
    }
    if outcome == Outcome::ConnectFailure {
        exchange.counters().connect_errors.add(1);
    }
    exchange.settle(outcome, ResponseClass::Unreachable);
    let name = &exchange.service().name;
    Problem::new(kind, format!("{name}: {text}")).at(name)
}

/// Hands the answer on: hop-by-hop fields go, what the head says is noted, the body follows by itself.
fn hand_on(
    session: &Rc<Session>,
    exchange: Exchange,
    answer: Answer,
    switch: Option<Switch>,
) -> Result<Response<Body>, Problem> {
    let Answer { mut response, hold } = answer;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked for it: the endpoint is out of step.
        let switch = switch.ok_or_else(|| failed(&exchange, &Failure::Broken(Broken::Malformed)))?;
        exchange.responded(Outcome::Success, None);
        exchange.settle(Outcome::Success, ResponseClass::Informational);
        return Ok(tunnel::join(switch, response, session, (exchange, hold)));
    }
    headers::strip_hop_by_hop(response.headers_mut());
    let head = judge(&exchange, &response);
    // A gRPC answer says how it went in its trailers, unless its head is all there is, or is not gRPC's.
    let awaits_status =
        exchange.grpc && response.status() == StatusCode::OK && !response.body().is_end_stream();
    if !awaits_status {
        exchange.responded(head.0, upstream::retry_after(response.headers()));
        if head.0 != Outcome::Success || exchange.streaming {
            exchange.settle(head.0, head.1);
        }
    }
    let (mut parts, incoming) = response.into_parts();
    parts.version = Version::HTTP_11;
    Ok(Response::from_parts(
        parts,
        Body::relayed(Relay::new(incoming, hold, exchange, head, awaits_status)),
    ))
}

/// What the head of an answer says about the service.
pub(crate) fn judge(exchange: &Exchange, response: &Response<Incoming>) -> (Outcome, ResponseClass) {
    let status = response.status();
    if exchange.grpc && status == StatusCode::OK {
        let code = grpc::status_of(response.headers());
        let outcome = classify_grpc(code.map(Code::number), exchange.limit.client_allowed());
        return (outcome, ResponseClass::of_grpc(code.unwrap_or(Code::Unknown)));
    }
    (
        classify_http(status.as_u16()),
        ResponseClass::of_http(status.as_u16()),
    )
}
