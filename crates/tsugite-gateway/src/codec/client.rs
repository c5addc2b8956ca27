//! Connections to endpoints: connecting, HTTP/1.1 and HTTP/2 sending, and what an error means.

use std::cell::Cell;
use std::error::Error;
use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tsugite_grpc::Code;

use super::LocalExec;
use crate::body::RequestBody;

/// Bytes of an HTTP/1.1 answer that are read before the client has taken them.
const H1_READ_BUFFER: usize = 64 * 1024;
/// Bytes that an endpoint may send on one HTTP/2 stream before the client has taken them.
const H2_STREAM_WINDOW: u32 = 1024 * 1024;
/// The same for all streams of a connection: one slow client must not stop the others.
const H2_CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// Bytes of a request body kept for one HTTP/2 stream whose endpoint does not read.
const H2_SEND_BUFFER: usize = 64 * 1024;

/// Why there is no connection to an endpoint.
#[derive(Clone, Debug)]
pub(crate) enum ConnectError {
    Refused(String),
    TimedOut,
}

/// A connection that takes one request at a time.
pub(crate) type H1 = http1::SendRequest<RequestBody>;
/// A handle on a connection that many requests share.
pub(crate) type H2 = http2::SendRequest<RequestBody>;

/// Why no answer came.
pub(crate) struct SendError {
    /// The request, if not a byte of it was sent: then it can go elsewhere, whatever its method.
    pub(crate) unsent: Option<Request<RequestBody>>,
    pub(crate) broken: Broken,
}

/// How an exchange with an endpoint broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The connection was closed or reset.
    Closed,
    /// The endpoint refused the stream unprocessed (REFUSED_STREAM, or GOAWAY below its id).
    RefusedStream,
    /// The endpoint reset the stream with this HTTP/2 error code.
    Reset(u32),
    /// The answer is not HTTP.
    Malformed,
}

impl Broken {
    /// What an error of hyper means.
    pub(crate) fn of(error: &hyper::Error) -> Broken {
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(h2) = cause.downcast_ref::<h2::Error>() {
                return match h2.reason() {
                    Some(h2::Reason::REFUSED_STREAM) => Broken::RefusedStream,
                    Some(h2::Reason::NO_ERROR) if h2.is_go_away() => Broken::RefusedStream,
                    Some(reason) if h2.is_reset() => Broken::Reset(reason.into()),
                    _ => Broken::Closed,
                };
            }
            source = cause.source();
        }
        if error.is_parse() {
            Broken::Malformed
        } else {
            Broken::Closed
        }
    }

    /// The gRPC status of a call that broke so.
    pub(crate) const fn grpc(self) -> Code {
        match self {
            Broken::Closed | Broken::RefusedStream => Code::Unavailable,
            Broken::Reset(code) => Code::from_reset(code),
            Broken::Malformed => Code::Internal,
        }
    }

    /// For the detail of an answer.
    pub(crate) fn text(self) -> String {
        match self {
            Broken::Closed => "closed the connection before the answer was complete".into(),
            Broken::RefusedStream => "refused the stream".into(),
            Broken::Reset(code) => format!("reset the stream with HTTP/2 error {code}"),
            Broken::Malformed => "sent an answer that is not HTTP".into(),
        }
    }
}

async fn dial(address: SocketAddr, limit: Duration) -> Result<TokioIo<TcpStream>, ConnectError> {
    let dialled = tokio::time::timeout(limit, TcpStream::connect(address)).await;
    match dialled {
        Err(_) => Err(ConnectError::TimedOut),
        Ok(Err(error)) => Err(ConnectError::Refused(error.to_string())),
        Ok(Ok(tcp)) => {
            // Only a hint to the kernel: without it small writes wait for acknowledgements.
            let _ = tcp.set_nodelay(true);
            Ok(TokioIo::new(tcp))
        }
    }
}

/// Connects for HTTP/1.1.
pub(crate) async fn connect_h1(address: SocketAddr, limit: Duration) -> Result<H1, ConnectError> {
    let io = dial(address, limit).await?;
    let made = http1::Builder::new()
        .max_buf_size(H1_READ_BUFFER)
        .handshake(io)
        .await;
    let (sender, connection) = made.map_err(|e| ConnectError::Refused(e.to_string()))?;
    tokio::task::spawn_local(async move {
        // Its errors reach whoever waits for an answer on it.
        let _ = connection.with_upgrades().await;
    });
    Ok(sender)
}

/// Connects for HTTP/2 with prior knowledge. Beside the handle comes the number of streams that the endpoint allows at
/// once, which it may change at any time.
pub(crate) async fn connect_h2(
    address: SocketAddr,
    limit: Duration,
) -> Result<(H2, Rc<Cell<usize>>), ConnectError> {
    let io = dial(address, limit).await?;
    let made = http2::Builder::new(LocalExec)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_send_buf_size(H2_SEND_BUFFER)
        .max_concurrent_reset_streams(256)
        .handshake(io)
        .await;
    let (sender, mut connection) = made.map_err(|e| ConnectError::Refused(e.to_string()))?;
    let streams = Rc::new(Cell::new(connection.current_max_send_streams()));
    let allowed = streams.clone();
    tokio::task::spawn_local(poll_fn(move |cx| {
        // Its errors reach whoever waits for an answer on it.
        let ended = Pin::new(&mut connection).poll(cx).map(drop);
        allowed.set(connection.current_max_send_streams());
        ended
    }));
    Ok((sender, streams))
}

/// Sends on an HTTP/1.1 connection and waits for the head of the answer.
pub(crate) async fn send_h1(
    h1: &mut H1,
    request: Request<RequestBody>,
) -> Result<Response<Incoming>, SendError> {
    h1.try_send_request(request)
        .await
        .map_err(|mut refused| SendError {
            unsent: refused.take_message(),
            broken: Broken::of(refused.error()),
        })
}

/// Sends on an HTTP/2 connection and waits for the head of the answer.
pub(crate) async fn send_h2(
    h2: &mut H2,
    request: Request<RequestBody>,
) -> Result<Response<Incoming>, SendError> {
    h2.try_send_request(request)
        .await
        .map_err(|mut refused| SendError {
            unsent: refused.take_message(),
            broken: Broken::of(refused.error()),
        })
}
