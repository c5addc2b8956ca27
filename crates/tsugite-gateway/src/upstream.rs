//! Sending a request to the endpoint that was picked, on a connection of its pool, and waiting for the answer's head.

use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, header};
use hyper::body::Incoming;
use tsugite_traffic::{Endpoint, Outcome};

use crate::call::Call;
use crate::codec::client::{self, Broken, ConnectError};
use crate::outgoing::Outgoing;
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
pub(crate) fn frame_body(parts: &mut Parts, exact: bool, h2: bool, grpc: bool) {
    if grpc {
        // A length is of no use to a stream of messages, and must not be wrong.
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    if !h2 && !exact {
        // Said explicitly, because hyper would take a GET or HEAD without it for one without a body.
        parts
            .headers
            .insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Sends the request to the endpoint that was picked. It goes out a second time, on another connection, only if the
/// first had rested in the pool or was being shut down, and that is harmless ([`Outgoing::again`]).
pub(crate) async fn send(
    call: &Call,
    out: &mut Outgoing,
    h2: bool,
    connect_timeout: Duration,
) -> Result<Answer, Failure> {
    if h2 {
        send_h2(call, out, connect_timeout).await
    } else {
        send_h1(call, out, connect_timeout).await
    }
}

/// A request that is not there cannot be sent; whoever tries again has looked before.
const GONE: Failure = Failure::Broken(Broken::Closed);

async fn send_h1(call: &Call, out: &mut Outgoing, limit: Duration) -> Result<Answer, Failure> {
    let pool = call.pool();
    if let Some(mut h1) = pool.take_idle() {
        match client::send_h1(&mut h1, out.take().ok_or(GONE)?).await {
            Ok(response) => {
                return Ok(Answer {
                    response,
                    hold: Hold::H1(h1),
                });
            }
            Err(error) => out.again(call, error)?,
        }
    }
    // Connecting is rare and needs much state: kept apart, it does not weigh on every request's.
    let mut h1 = Box::pin(pool.connect_h1(limit)).await?;
    match client::send_h1(&mut h1, out.take().ok_or(GONE)?).await {
        Ok(response) => Ok(Answer {
            response,
            hold: Hold::H1(h1),
        }),
        Err(error) => {
            out.give_back(call, error.unsent);
            Err(Failure::Broken(error.broken))
        }
    }
}

async fn send_h2(call: &Call, out: &mut Outgoing, limit: Duration) -> Result<Answer, Failure> {
    let pool = call.pool();
    let now = call.core.clients.coarse_now();
    let stream = pool.stream(limit, now).await?;
    match client::send_h2(&mut stream.sender(), out.take().ok_or(GONE)?).await {
        Ok(response) => {
            return Ok(Answer {
                response,
                hold: Hold::H2(stream),
            });
        }
        Err(error) => out.again(call, error)?,
    }
    drop(stream);
    let stream = pool.stream(limit, now).await?;
    match client::send_h2(&mut stream.sender(), out.take().ok_or(GONE)?).await {
        Ok(response) => Ok(Answer {
            response,
            hold: Hold::H2(stream),
        }),
        Err(error) => {
            out.give_back(call, error.unsent);
            Err(Failure::Broken(error.broken))
        }
    }
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
