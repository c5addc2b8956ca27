//! The demo's own client: one HTTP/1.1 or gRPC call per connection, with how long it took.
//!
//! Deliberately plain: what the demo proves is proved with the bytes that any other client would send.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// How long the demo waits for any answer before it counts the step as failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
pub(super) struct Answer {
    /// HTTP status.
    pub(super) status: StatusCode,
    /// Header fields, and trailers after them.
    pub(super) headers: HeaderMap,
    /// The whole body.
    pub(super) body: Bytes,
    /// From the first byte sent to the last byte received.
    pub(super) took: Duration,
}

impl Answer {
    /// The body as text, for printing.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `Null` if it is not JSON.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header or trailer as text, empty if absent.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    }
}

/// One call that has not been sent yet.
pub(super) struct Call {
    to: SocketAddr,
    request: Request<Full<Bytes>>,
    http2: bool,
}

impl Call {
    /// A request to `to`; `host` is the authority that the server is told.
    pub(super) fn new(method: Method, to: SocketAddr, host: &str, path: &str) -> Call {
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap_or_default();
        Call {
            to,
            request,
            http2: false,
        }
        .header("host", host)
    }

    /// Adds a header; a value that is not valid in HTTP is left out.
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Call {
        if let Ok(value) = value.parse() {
            self.request.headers_mut().insert(name, value);
        }
        self
    }

    /// Sets the body.
    pub(super) fn body(mut self, body: impl Into<Bytes>) -> Call {
        *self.request.body_mut() = Full::new(body.into());
        self
    }

    /// Sends a JSON body.
    pub(super) fn json(self, value: &serde_json::Value) -> Call {
        self.header("content-type", "application/json")
            .body(value.to_string())
    }

    /// A gRPC call: HTTP/2 with prior knowledge, one length-prefixed message.
    pub(super) fn grpc(to: SocketAddr, authority: &str, path: &str, message: &[u8]) -> Call {
        let mut call = Call::new(Method::POST, to, authority, "/");
        *call.request.uri_mut() = format!("http://{authority}{path}").parse().unwrap_or_default();
        call.request.headers_mut().remove("host");
        call.http2 = true;
        call.header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(super::kitchen::frame(message))
    }

    /// Sends it and waits for the whole answer.
    pub(super) async fn send(self) -> Result<Answer, String> {
        let to = self.to;
        match tokio::time::timeout(PATIENCE, self.exchange()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(format!("call to {to}: {error}")),
            Err(_) => Err(format!("call to {to}: no answer within {} s", PATIENCE.as_secs())),
        }
    }

    async fn exchange(self) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let started = Instant::now();
        let io = TokioIo::new(TcpStream::connect(self.to).await?);
        let response = if self.http2 {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            sender.send_request(self.request).await?
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
            tokio::spawn(connection);
            sender.send_request(self.request).await?
        };
        let (head, body) = response.into_parts();
        let collected = body.collect().await?;
        let mut headers = head.headers;
        if let Some(trailers) = collected.trailers() {
            headers.extend(trailers.clone());
        }
        Ok(Answer {
            status: head.status,
            headers,
            body: collected.to_bytes(),
            took: started.elapsed(),
        })
    }
}
