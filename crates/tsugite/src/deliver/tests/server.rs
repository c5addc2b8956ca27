//! A server whose every answer a test decides, and that remembers what it was asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What a server does with a request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// These bytes, and the connection stays.
    Bytes(&'static str),
    /// These bytes, and the connection closes.
    Last(&'static str),
    /// These bytes first, then this many again and again for ever, with a pause after each.
    Drip(&'static str, usize, Duration),
    /// Nothing, for ever.
    Nothing,
    /// These bytes, after a while.
    Later(&'static str, Duration),
}

pub(super) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
pub(super) const BUSY: &str = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";
pub(super) const GONE: &str = "HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n";

/// A request: its head in lower case, and its body.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) head: String,
    pub(super) body: String,
}

type Script = Arc<dyn Fn(usize, &Asked) -> Answer + Send + Sync>;

#[derive(Clone)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
    under_way: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Server {
    /// Answers each request as `script` says, which is told how many there were before it.
    pub(super) async fn start(script: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static) -> Server {
        Server::with_tls(None, script).await
    }

    pub(super) async fn with_tls(
        tls: Option<TlsAcceptor>,
        script: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
            connections: Arc::default(),
            under_way: Arc::default(),
            most: Arc::default(),
        };
        let (of_task, script): (_, Script) = (server.clone(), Arc::new(script));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (server, script, tls) = (of_task.clone(), script.clone(), tls.clone());
                server.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    match tls {
                        None => server.serve(stream, script).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                server.serve(stream, script).await;
                            }
                        }
                    }
                });
            }
        });
        server
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hook?x=1", self.address)
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Most requests that were under way at the same time.
    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, script: Script) {
        while let Some(asked) = read(&mut stream).await {
            let before = {
                let mut all = self.asked.lock().unwrap();
                all.push(asked.clone());
                all.len() - 1
            };
            let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(under_way, Ordering::SeqCst);
            let answer = script(before, &asked);
            if let Answer::Later(_, pause) = answer {
                tokio::time::sleep(pause).await;
            }
            if !matches!(answer, Answer::Nothing) {
                self.under_way.fetch_sub(1, Ordering::SeqCst);
            }
            match answer {
                Answer::Bytes(bytes) | Answer::Later(bytes, _) => {
                    stream.write_all(bytes.as_bytes()).await.unwrap();
                }
                Answer::Last(bytes) => {
                    let _ = stream.write_all(bytes.as_bytes()).await;
                    return;
                }
                Answer::Drip(bytes, each, pause) => {
                    let _ = stream.write_all(bytes.as_bytes()).await;
                    let more = vec![b'x'; each];
                    while stream.write_all(&more).await.is_ok() {
                        tokio::time::sleep(pause).await;
                    }
                    return;
                }
                Answer::Nothing => std::future::pending().await,
            }
        }
    }
}

/// The next request of a connection; `None` at its end.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Asked> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let lower = head.to_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.unwrap().parse().unwrap();
    let mut body = bytes[end + 4..].to_vec();
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Asked {
        head,
        body: String::from_utf8(body).unwrap(),
    })
}
