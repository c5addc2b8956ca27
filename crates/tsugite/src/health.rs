//! The active health checker: sends the probes that the registry asks for and reports what came of them.
//!
//! An HTTP check is healthy when the status is 200 to 399. It speaks what the instance says it speaks, HTTP/1.1 by
//! default; the gRPC health protocol is not yet spoken.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tsugite_base::World;
use tsugite_engine::RegistryStore;
use tsugite_registry::{CheckKind, Probe, ProbeResult, Protocol};

/// Probes under way at the same time: bounds sockets when a large fleet starts at once.
const CONCURRENT: usize = 128;
/// Slept at most while a probe is awaited: the virtual clock of a test may jump without telling.
const LONGEST: Duration = Duration::from_secs(1);

/// Why a probe failed.
#[derive(Debug)]
enum ProbeError {
    Connect(std::io::Error),
    Http(hyper::Error),
    Status(StatusCode),
    Request(http::Error),
    Timeout(Duration),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProbeError::Connect(error) => write!(f, "no connection: {error}"),
            ProbeError::Http(error) => write!(f, "no HTTP answer: {error}"),
            ProbeError::Status(status) => write!(f, "status {status}, which is not 200 to 399"),
            ProbeError::Request(error) => write!(f, "the path cannot be asked for: {error}"),
            ProbeError::Timeout(limit) => write!(f, "no answer within {} ms", limit.as_millis()),
        }
    }
}

/// Probes for as long as it is polled.
pub async fn run<S: RegistryStore>(store: S, world: World) {
    let mut changes = store.registry_changes();
    let mut probes = JoinSet::new();
    loop {
        changes.borrow_and_update();
        let room = CONCURRENT - probes.len();
        let (due, next) = store.due_probes(room, world.random_u64());
        for probe in due {
            probes.spawn(async move {
                let outcome = send(&probe).await;
                (probe, outcome)
            });
        }
        let full = probes.len() == CONCURRENT;
        let pause = next.map(|next| next.since(world.now().steady).min(LONGEST));
        tokio::select! {
            Some(done) = probes.join_next(), if !probes.is_empty() => {
                // A probe that panicked counts as none; the next one is due an interval later.
                if let Ok((probe, outcome)) = done {
                    report(&store, probe, outcome);
                }
            }
            () = sleep(pause.unwrap_or_default()), if pause.is_some() && !full => {}
            changed = changes.changed(), if !full => {
                if changed.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }
}

fn report<S: RegistryStore>(store: &S, probe: Probe, outcome: Result<(), ProbeError>) {
    let passed = outcome.is_ok();
    let changed = store.probe_result(ProbeResult {
        service: probe.service,
        instance: probe.instance,
        generation: probe.generation,
        passed,
    });
    match outcome {
        _ if !changed => {}
        Ok(()) => tracing::info!(instance = probe.name, "the health check passes"),
        Err(reason) => tracing::warn!(instance = probe.name, %reason, "the health check fails"),
    }
}

async fn send(probe: &Probe) -> Result<(), ProbeError> {
    let limit = Duration::from_millis(probe.timeout_ms.into());
    let attempt = async {
        let stream = TcpStream::connect(probe.address)
            .await
            .map_err(ProbeError::Connect)?;
        match &probe.kind {
            CheckKind::Tcp => Ok(()),
            CheckKind::Http { path } => match get(stream, probe.address, path, probe.protocol).await? {
                status if (200..400).contains(&status.as_u16()) => Ok(()),
                status => Err(ProbeError::Status(status)),
            },
        }
    };
    timeout(limit, attempt)
        .await
        .unwrap_or(Err(ProbeError::Timeout(limit)))
}

/// Asks for `path` and answers the status. The body is not read; the connection is closed.
async fn get(
    stream: TcpStream,
    address: SocketAddr,
    path: &str,
    protocol: Option<Protocol>,
) -> Result<StatusCode, ProbeError> {
    let http2 = matches!(protocol, Some(Protocol::H2c | Protocol::Grpc));
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
    let request = request.body(Empty::<Bytes>::new()).map_err(ProbeError::Request)?;
    let io = TokioIo::new(stream);
    // Dropping the set ends the connection's task with this probe.
    let mut driver = JoinSet::new();
    let response = if http2 {
        let (mut sender, connection) = conn::http2::handshake(TokioExecutor::new(), io)
            .await
            .map_err(ProbeError::Http)?;
        driver.spawn(connection);
        sender.send_request(request).await
    } else {
        let (mut sender, connection) = conn::http1::handshake(io).await.map_err(ProbeError::Http)?;
        driver.spawn(connection);
        sender.send_request(request).await
    };
    Ok(response.map_err(ProbeError::Http)?.status())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tsugite_registry::ServiceId;

    fn probe(address: SocketAddr, kind: CheckKind, protocol: Option<Protocol>) -> Probe {
        Probe {
            service: ServiceId(1),
            instance: "i".into(),
            generation: 1,
            kind,
            address,
            protocol,
            name: "i.s.n".into(),
            timeout_ms: 200,
        }
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
            let outcome = send(&probe(canned(answer).await, http(), None)).await;
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
        assert!(send(&probe(address, CheckKind::Tcp, None)).await.is_ok());
        drop(listener);
        let refused = send(&probe(address, CheckKind::Tcp, None)).await.unwrap_err();
        assert!(refused.to_string().starts_with("no connection: "), "{refused}");
    }

    #[tokio::test]
    async fn silence_is_a_timeout_and_a_bad_path_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let silent = send(&probe(address, http(), None)).await.unwrap_err();
        assert_eq!(silent.to_string(), "no answer within 200 ms");
        let bad = CheckKind::Http { path: "/<>".into() };
        assert!(matches!(
            send(&probe(address, bad, None)).await,
            Err(ProbeError::Request(_))
        ));
    }
}
