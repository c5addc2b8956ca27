//! One probe: what is sent, and what counts as an answer.
//!
//! HTTP and HTTPS are healthy when the status is 200 to 399. HTTP speaks what the instance says it speaks, HTTP/1.1 by
//! default; HTTPS speaks HTTP/1.1. A connection is made for each probe, so that one tells whether new ones are accepted.

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tsugite_grpc::Code;
use tsugite_grpc::health::{self, Serving};
use tsugite_registry::{CheckKind, Probe, Protocol};

use crate::deliver::{Trust, client_config};

/// Bytes of an answer of the gRPC health protocol: a frame's head and a number, with room for unknown fields.
const HEALTH_BYTES: usize = 1_024;

/// Whom to ask, and what.
#[derive(Debug)]
pub(crate) struct Target<'p> {
    pub(crate) address: SocketAddr,
    pub(crate) kind: &'p CheckKind,
    /// What it speaks, if it said so.
    pub(crate) protocol: Option<Protocol>,
    /// How long the whole probe may take.
    pub(crate) limit: Duration,
}

impl Target<'_> {
    pub(super) fn of(probe: &Probe) -> Target<'_> {
        Target {
            address: probe.address,
            kind: &probe.kind,
            protocol: probe.protocol,
            limit: Duration::from_millis(probe.timeout_ms.into()),
        }
    }
}

/// Why a probe failed.
#[derive(Debug)]
pub(crate) enum ProbeError {
    /// Nothing was sent: this process has no more files or ports. It says nothing about the target.
    Here(std::io::Error),
    Connect(std::io::Error),
    Tls(String),
    Http(hyper::Error),
    Status(StatusCode),
    Grpc(Code),
    Serving(Serving),
    Malformed,
    Request(http::Error),
    Timeout(Duration),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProbeError::Here(error) => write!(f, "it could not be sent: {error}"),
            ProbeError::Connect(error) => write!(f, "no connection: {error}"),
            ProbeError::Tls(why) => write!(f, "no TLS: {why}"),
            ProbeError::Http(error) => write!(f, "no HTTP answer: {error}"),
            ProbeError::Status(status) => write!(f, "status {status}, which is not 200 to 399"),
            ProbeError::Grpc(code) => write!(f, "the gRPC status {}", code.name()),
            ProbeError::Serving(status) => write!(f, "the status {status:?}, which is not SERVING"),
            ProbeError::Malformed => write!(f, "no answer of the gRPC health protocol"),
            ProbeError::Request(error) => write!(f, "the path cannot be asked for: {error}"),
            ProbeError::Timeout(limit) => write!(f, "no answer within {} ms", limit.as_millis()),
        }
    }
}

/// Sends a probe; an error says why it failed.
pub(crate) async fn send(target: &Target<'_>) -> Result<(), ProbeError> {
    let limit = target.limit;
    timeout(limit, attempt(target))
        .await
        .unwrap_or(Err(ProbeError::Timeout(limit)))
}

async fn attempt(target: &Target<'_>) -> Result<(), ProbeError> {
    let stream = TcpStream::connect(target.address).await.map_err(unconnected)?;
    let http2 = matches!(target.protocol, Some(Protocol::H2c | Protocol::Grpc));
    let response = match target.kind {
        CheckKind::Tcp => return Ok(()),
        CheckKind::Http { path } => get(stream, target.address, path, http2).await?,
        CheckKind::Https { path, verify } => {
            let stream = secure(stream, target.address, *verify).await?;
            get(stream, target.address, path, false).await?
        }
        CheckKind::Grpc { service } => return ask(stream, target.address, service).await,
    };
    match response.status() {
        status if (200..400).contains(&status.as_u16()) => Ok(()),
        status => Err(ProbeError::Status(status)),
    }
}

/// Tells errors of this host from those of the way and of the target.
fn unconnected(error: std::io::Error) -> ProbeError {
    let files = [
        rustix::io::Errno::MFILE,
        rustix::io::Errno::NFILE,
        rustix::io::Errno::NOBUFS,
    ];
    let ours = files
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()));
    if ours || matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::OutOfMemory) {
        ProbeError::Here(error)
    } else {
        ProbeError::Connect(error)
    }
}

async fn secure(
    stream: TcpStream,
    address: SocketAddr,
    verify: bool,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ProbeError> {
    // Made when they are needed first: reading the host's authorities takes a while.
    static CONFIGS: [OnceCell<Arc<ClientConfig>>; 2] = [OnceCell::const_new(), OnceCell::const_new()];
    let make = || async move {
        let trust = Trust {
            ca_file: None,
            insecure: !verify,
        };
        let made = tokio::task::spawn_blocking(move || client_config(&trust)).await;
        made.map_err(|error| ProbeError::Tls(error.to_string()))?
            .map_err(ProbeError::Tls)
    };
    let config = CONFIGS[usize::from(verify)].get_or_try_init(make).await?;
    let name = ServerName::from(address.ip());
    let stream = TlsConnector::from(config.clone()).connect(name, stream).await;
    stream.map_err(|error| ProbeError::Tls(error.to_string()))
}

/// Asks for `path` and answers the head of the response. The body is not read; the connection is closed.
async fn get<IO>(
    stream: IO,
    address: SocketAddr,
    path: &str,
    http2: bool,
) -> Result<Response<Incoming>, ProbeError>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let target = if http2 {
        format!("http://{address}{path}")
    } else {
        path.to_owned()
    };
    let mut request = Request::get(target).header(header::USER_AGENT, "tsugite-health");
    if !http2 {
        request = request
            .header(header::HOST, address.to_string())
            .header(header::CONNECTION, "close");
    }
    let request = request.body(Full::default()).map_err(ProbeError::Request)?;
    // Dropping the set ends the connection's task with this probe.
    let mut driver = JoinSet::new();
    let response = if http2 {
        over_http2(stream, request, &mut driver).await
    } else {
        let (mut sender, connection) = conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(ProbeError::Http)?;
        driver.spawn(connection);
        sender.send_request(request).await
    };
    response.map_err(ProbeError::Http)
}

async fn over_http2<IO>(
    stream: IO,
    request: Request<Full<Bytes>>,
    driver: &mut JoinSet<Result<(), hyper::Error>>,
) -> Result<Response<Incoming>, hyper::Error>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    driver.spawn(connection);
    sender.send_request(request).await
}

/// Calls `grpc.health.v1.Health/Check`.
async fn ask(stream: TcpStream, address: SocketAddr, service: &str) -> Result<(), ProbeError> {
    let body = health::to_body(&health::encode_request(service));
    let request = Request::post(format!("http://{address}{}", health::CHECK))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, HeaderValue::from_static("trailers"))
        .header(header::USER_AGENT, "tsugite-health")
        .body(Full::from(body))
        .map_err(ProbeError::Request)?;
    let mut driver = JoinSet::new();
    let response = over_http2(stream, request, &mut driver)
        .await
        .map_err(ProbeError::Http)?;
    if response.status() != StatusCode::OK {
        return Err(ProbeError::Status(response.status()));
    }
    let code = |headers: &http::HeaderMap| {
        headers
            .get("grpc-status")
            .map(|code| Code::from_header(code.as_bytes()))
    };
    let ended = |code: Option<Code>| match code {
        None | Some(Code::Ok) => Ok(()),
        Some(code) => Err(ProbeError::Grpc(code)),
    };
    ended(code(response.headers()))?;
    let body = Limited::new(response.into_body(), HEALTH_BYTES).collect().await;
    let body = body.map_err(|_| ProbeError::Malformed)?;
    ended(body.trailers().and_then(code))?;
    let body = body.to_bytes();
    let message = health::from_body(&body).map_err(|_| ProbeError::Malformed)?;
    match health::decode_response(message).map_err(|_| ProbeError::Malformed)? {
        Serving::Serving => Ok(()),
        other => Err(ProbeError::Serving(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn probe(
        address: SocketAddr,
        kind: CheckKind,
        protocol: Option<Protocol>,
    ) -> Result<(), ProbeError> {
        let target = Target {
            address,
            kind: &kind,
            protocol,
            limit: Duration::from_millis(200),
        };
        send(&target).await
    }

    fn http() -> CheckKind {
        CheckKind::Http {
            path: "/health?deep=1".into(),
        }
    }

    /// Serves one connection with fixed bytes once something was read; keeps it open until the peer leaves.
    async fn canned(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(buffer[..read].starts_with(b"GET /health?deep=1 HTTP/1.1\r\n"));
            stream.write_all(answer).await.unwrap();
            let _ = stream.read(&mut buffer).await;
        });
        address
    }

    #[tokio::test]
    async fn statuses_decide() {
        for (answer, expected) in [
            (&b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"[..], true),
            (b"HTTP/1.1 399 Odd\r\ncontent-length: 0\r\n\r\n", true),
            (b"HTTP/1.0 204 No Content\r\n\r\n", true),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", true),
            (b"HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n", false),
            (b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", false),
            (b"SSH-2.0-OpenSSH\r\n", false),
            // A body without end must not hold the probe.
            (b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nx", true),
            // A hang in the middle of the head must not hold it either.
            (b"HTTP/1.1 20", false),
        ] {
            let outcome = probe(canned(answer).await, http(), None).await;
            assert_eq!(
                outcome.is_ok(),
                expected,
                "{}: {outcome:?}",
                answer.escape_ascii()
            );
        }
    }

    #[tokio::test]
    async fn connections_decide_for_tcp() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(probe(address, CheckKind::Tcp, None).await.is_ok());
        drop(listener);
        let refused = probe(address, CheckKind::Tcp, None).await.unwrap_err();
        assert!(refused.to_string().starts_with("no connection: "), "{refused}");
    }

    #[tokio::test]
    async fn silence_is_a_timeout_and_a_bad_path_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let silent = probe(address, http(), None).await.unwrap_err();
        assert_eq!(silent.to_string(), "no answer within 200 ms");
        let bad = CheckKind::Http { path: "/<>".into() };
        assert!(matches!(
            probe(address, bad, None).await,
            Err(ProbeError::Request(_))
        ));
    }

    /// A server over TLS with a certificate of its own making, which answers one request with 204.
    async fn tls() -> SocketAddr {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(buffer[..read].starts_with(b"GET /up HTTP/1.1\r\n"));
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                .await
                .unwrap();
        });
        address
    }

    #[tokio::test]
    async fn https_looks_at_the_certificate_if_it_is_to() {
        for verify in [false, true] {
            let path = "/up".to_owned();
            let address = tls().await;
            let kind = CheckKind::Https { path, verify };
            let target = Target {
                address,
                kind: &kind,
                protocol: None,
                limit: Duration::from_secs(5),
            };
            let outcome = send(&target).await;
            assert_eq!(outcome.is_ok(), !verify, "{outcome:?}");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plain = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .unwrap();
        });
        let kind = CheckKind::Https {
            path: "/".into(),
            verify: false,
        };
        let refused = probe(plain, kind, None).await.unwrap_err();
        assert!(refused.to_string().starts_with("no TLS: "), "{refused}");
    }

    /// A server of the health protocol that serves one call.
    async fn grpc(status: Option<Serving>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let answer =
                hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| async move {
                    assert_eq!(request.uri().path(), tsugite_grpc::health::CHECK);
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let message = tsugite_grpc::health::from_body(&body).unwrap();
                    assert_eq!(
                        tsugite_grpc::health::decode_request(message).unwrap(),
                        "shop.Orders"
                    );
                    let mut response = http::Response::new(Full::new(Bytes::new()));
                    let headers = response.headers_mut();
                    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                    match status {
                        // Trailers only: there is no such service.
                        None => {
                            headers.insert("grpc-status", HeaderValue::from_static("5"));
                        }
                        Some(status) => {
                            let message = tsugite_grpc::health::encode_response(status);
                            *response.body_mut() = Full::new(tsugite_grpc::health::to_body(&message).into());
                        }
                    }
                    Ok::<_, std::convert::Infallible>(response)
                });
            let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = serving.serve_connection(TokioIo::new(stream), answer).await;
        });
        address
    }

    #[tokio::test]
    async fn the_grpc_health_protocol_is_spoken() {
        let kind = || CheckKind::Grpc {
            service: "shop.Orders".into(),
        };
        for (status, expected) in [
            (Some(Serving::Serving), ""),
            (
                Some(Serving::NotServing),
                "the status NotServing, which is not SERVING",
            ),
            (None, "the gRPC status NOT_FOUND"),
        ] {
            let outcome = probe(grpc(status).await, kind(), Some(Protocol::Grpc)).await;
            let text = outcome.err().map_or_else(String::new, |error| error.to_string());
            assert_eq!(text, expected);
        }
    }
}
