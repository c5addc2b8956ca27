//! Sending a request to the endpoint that was picked, on a connection of its pool, and waiting for the answer's head.

use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body::Body as _;
use hyper::body::Incoming;
use tsugite_traffic::{Endpoint, Outcome};

use crate::body::RequestBody;
use crate::call::Call;
use crate::codec::client::{self, Broken, ConnectError, SendError};
use crate::problem::{self, Kind};
use crate::relay::Hold;

/// The head of an answer, with its body to come, and the connection that it comes on.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) hold: Hold,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    Connect(ConnectError),
    Broken(Broken),
}

impl Failure {
    /// The type of problem, what it says about the service, and a phrase for the detail.
    pub(crate) fn describe(&self, endpoint: &Endpoint) -> (&'static Kind, Outcome, String) {
        let address = endpoint.address;
        match self {
            Failure::Connect(ConnectError::TimedOut) => (
                &problem::CONNECTION_TIMEOUT,
                Outcome::ConnectFailure,
                format!("connecting to {address} took too long"),
            ),
            Failure::Connect(ConnectError::Refused(why)) => (
                &problem::CONNECTION_REFUSED,
                Outcome::ConnectFailure,
                format!("cannot connect to {address}: {why}"),
            ),
            Failure::Broken(broken) => {
                let kind = match broken {
                    Broken::Malformed => &problem::BAD_RESPONSE,
                    Broken::Closed | Broken::RefusedStream | Broken::Reset(_) => &problem::CONNECTION_BROKEN,
                };
                (kind, Outcome::Failure, format!("{address} {}", broken.text()))
            }
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Failure {
        Failure::Connect(error)
    }
}

/// Makes the head agree with how the codec will frame the body.
pub(crate) fn frame_body(parts: &mut Parts, body: &RequestBody, h2: bool, grpc: bool) {
    if grpc {
        // A length is of no use to a stream of messages, and must not be wrong.
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    if !h2 && body.size_hint().exact().is_none() {
        // Said explicitly, because hyper would take a GET or HEAD without it for one without a body.
        parts
            .headers
            .insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Sends the request. It is sent a second time, on another connection, only if the first had rested in the pool or was
/// being shut down, and either not a byte of the request left us or the request is safe to repeat and has no body.
pub(crate) async fn send(
    call: &Call,
    request: Request<RequestBody>,
    h2: bool,
    connect_timeout: Duration,
) -> Result<Answer, Failure> {
    if h2 {
        send_h2(call, request, connect_timeout).await
    } else {
        send_h1(call, request, connect_timeout).await
    }
}

async fn send_h1(call: &Call, mut request: Request<RequestBody>, limit: Duration) -> Result<Answer, Failure> {
    let pool = call.pool();
    if let Some(mut h1) = pool.take_idle() {
        let copy = repeatable(&request);
        match client::send_h1(&mut h1, request).await {
            Ok(response) => {
                return Ok(Answer {
                    response,
                    hold: Hold::H1(h1),
                });
            }
            Err(error) => request = again(call, error, copy)?,
        }
    }
    // Connecting is rare and needs much state: kept apart, it does not weigh on every request's.
    let mut h1 = Box::pin(pool.connect_h1(limit)).await?;
    match client::send_h1(&mut h1, request).await {
        Ok(response) => Ok(Answer {
            response,
            hold: Hold::H1(h1),
        }),
        Err(error) => Err(Failure::Broken(error.broken)),
    }
}

async fn send_h2(call: &Call, mut request: Request<RequestBody>, limit: Duration) -> Result<Answer, Failure> {
    let pool = call.pool();
    let now = call.core.clients.coarse_now();
    let stream = pool.stream(limit, now).await?;
    let copy = repeatable(&request);
    match client::send_h2(&mut stream.sender(), request).await {
        Ok(response) => {
            return Ok(Answer {
                response,
                hold: Hold::H2(stream),
            });
        }
        Err(error) => request = again(call, error, copy)?,
    }
    drop(stream);
    let stream = pool.stream(limit, now).await?;
    match client::send_h2(&mut stream.sender(), request).await {
        Ok(response) => Ok(Answer {
            response,
            hold: Hold::H2(stream),
        }),
        Err(error) => Err(Failure::Broken(error.broken)),
    }
}

/// A copy of a request that may be sent twice: safe, and without a body.
fn repeatable(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let safe = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    );
    if !safe || !matches!(request.body(), RequestBody::Empty) {
        return None;
    }
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// The request to send again after a failure, if that is allowed.
fn again(
    call: &Call,
    error: SendError,
    copy: Option<Request<RequestBody>>,
) -> Result<Request<RequestBody>, Failure> {
    let SendError { unsent, broken } = error;
    let unsent = unsent.filter(|_| !call.upload_has_started());
    let closed = matches!(broken, Broken::Closed | Broken::RefusedStream);
    unsent.or(copy.filter(|_| closed)).ok_or(Failure::Broken(broken))
}

/// The service's wish to be left alone for a while, in seconds; dates are not looked at.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}
