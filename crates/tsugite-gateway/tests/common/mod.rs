//! A gateway on real sockets, endpoints to put behind it, and clients to talk to it, all on one thread.
#![allow(dead_code, missing_docs, reason = "each test file uses its own part of this")]

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tsugite_base::world::{Clock, Entropy};
use tsugite_base::{Mono, Now, Timestamp, World};
use tsugite_gateway::{Settings, Shared};
use tsugite_traffic::{CircuitSettings, Endpoint, Protocol, Route, ServiceKey, ServiceSpec, TableBuilder};

pub(crate) const SOON: Duration = Duration::from_secs(5);

/// Runs a test on one thread, with a limit far above what it needs.
pub(crate) fn run<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(60), test())
            .await
            .expect("the test hangs");
    });
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < SOON, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

struct TestClock(Instant);
impl Clock for TestClock {
    fn now(&self) -> Now {
        let wall = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
        let wall = Timestamp(u64::try_from(wall).unwrap());
        Now { wall, steady: wall }
    }
    fn mono(&self) -> Mono {
        Mono(u64::try_from(self.0.elapsed().as_nanos()).unwrap())
    }
}

struct TestEntropy(AtomicU64);
impl Entropy for TestEntropy {
    fn fill(&self, buf: &mut [u8]) {
        let n = self
            .0
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
            .to_le_bytes();
        for (i, b) in buf.iter_mut().enumerate() {
            *b = n[i % 8];
        }
    }
}

pub(crate) fn world() -> World {
    World {
        clock: Arc::new(TestClock(Instant::now())),
        entropy: Arc::new(TestEntropy(AtomicU64::new(7))),
    }
}

pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    pub(crate) stopped: tokio::task::JoinHandle<()>,
    services: RefCell<Vec<ServiceSpec>>,
    routes: RefCell<Vec<Route>>,
}

impl Gateway {
    pub(crate) async fn start() -> Gateway {
        Gateway::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Gateway {
        let shared = Arc::new(Shared::new(settings, world()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = oneshot::channel::<()>();
        let stopping = async { drop(stopping.await) };
        tokio::task::spawn_local(tsugite_gateway::control(shared.clone(), std::future::pending()));
        let stopped = tokio::task::spawn_local(tsugite_gateway::serve(listener, shared.clone(), 0, stopping));
        Gateway {
            address,
            shared,
            stop: Some(stop),
            stopped,
            services: RefCell::default(),
            routes: RefCell::default(),
        }
    }

    /// Registers service `name` of namespace `internal`.
    pub(crate) fn service(&self, name: &str, protocol: Protocol, addresses: &[SocketAddr]) -> &Gateway {
        self.guarded(name, protocol, addresses, CircuitSettings::default())
    }

    pub(crate) fn guarded(
        &self,
        name: &str,
        protocol: Protocol,
        addresses: &[SocketAddr],
        circuit: CircuitSettings,
    ) -> &Gateway {
        self.tuned(name, protocol, addresses, |spec| {
            spec.circuit = circuit;
            // What a test of a circuit sends is what the endpoint sees.
            spec.retry.tries = 1;
        })
    }

    pub(crate) fn tuned(
        &self,
        name: &str,
        protocol: Protocol,
        addresses: &[SocketAddr],
        tune: impl FnOnce(&mut ServiceSpec),
    ) -> &Gateway {
        let endpoints = addresses
            .iter()
            .map(|a| Endpoint::new(format!("i-{a}"), *a, protocol))
            .collect();
        let mut spec = ServiceSpec::new(ServiceKey::new("internal", name), endpoints);
        tune(&mut spec);
        self.services.borrow_mut().retain(|s| s.key != spec.key);
        self.services.borrow_mut().push(spec);
        self.publish()
    }

    /// From now on the service's endpoint at that address is leaving.
    pub(crate) fn leave(&self, name: &str, address: SocketAddr) -> &Gateway {
        for spec in &mut *self.services.borrow_mut() {
            if spec.key.service == name {
                let leaves = |endpoint: &Endpoint| endpoint.address == address;
                let leaving = spec.endpoints.iter().filter(|e| leaves(e)).cloned();
                spec.leaving.extend(leaving);
                spec.endpoints.retain(|e| !leaves(e));
            }
        }
        self.publish()
    }

    pub(crate) fn forget(&self, name: &str) -> &Gateway {
        self.services.borrow_mut().retain(|s| s.key.service != name);
        self.publish()
    }

    pub(crate) fn route(&self, route: Route) -> &Gateway {
        self.routes.borrow_mut().push(route);
        self.publish()
    }

    fn publish(&self) -> &Gateway {
        let mut builder = TableBuilder::new();
        for spec in &*self.services.borrow() {
            builder.service(spec.clone());
        }
        for route in &*self.routes.borrow() {
            builder.route(route.clone()).unwrap();
        }
        self.shared.publish(builder.build(self.shared.roster()));
        self
    }

    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends raw bytes, half-closes nothing, and reads until the gateway closes.
    pub(crate) async fn raw(&self, bytes: &str) -> String {
        let mut tcp = self.connect().await;
        tcp.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(SOON, tcp.read_to_end(&mut answer))
            .await
            .expect("not closed")
            .unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// One GET on a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> (u16, HeaderMap, String) {
        self.get_from(self.address, path).await
    }

    /// One GET on a connection of its own, to any core of the gateway.
    pub(crate) async fn get_from(&self, core: SocketAddr, path: &str) -> (u16, HeaderMap, String) {
        let request = Request::get(path)
            .header("host", "gateway")
            .body(TestBody::empty())
            .unwrap();
        self.ask_from(core, request).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: Request<TestBody>) -> (u16, HeaderMap, String) {
        self.ask_from(self.address, request).await
    }

    async fn ask_from(&self, core: SocketAddr, request: Request<TestBody>) -> (u16, HeaderMap, String) {
        let tcp = TcpStream::connect(core).await.unwrap();
        let (mut client, connection) = http1::handshake(TokioIo::new(tcp)).await.unwrap();
        tokio::task::spawn_local(connection);
        let (head, body) = client.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (
            head.status.as_u16(),
            head.headers,
            String::from_utf8_lossy(&body).into_owned(),
        )
    }

    pub(crate) async fn h1(&self) -> http1::SendRequest<TestBody> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.connect().await))
            .await
            .unwrap();
        tokio::task::spawn_local(connection.with_upgrades());
        sender
    }

    pub(crate) async fn h2(&self) -> http2::SendRequest<TestBody> {
        let io = TokioIo::new(self.connect().await);
        let (sender, connection) = http2::handshake(LocalExec, io).await.unwrap();
        tokio::task::spawn_local(connection);
        sender
    }

    pub(crate) fn active(&self) -> u64 {
        self.shared.metrics_snapshot().active
    }

    pub(crate) fn count(&self, service: &str, class: tsugite_gateway::ResponseClass) -> u64 {
        let snapshot = self.shared.metrics_snapshot();
        let service = snapshot
            .services
            .iter()
            .find(|s| s.service == service)
            .expect("service");
        service.responses.iter().find(|(c, _)| *c == class).unwrap().1
    }
}

/// Core number 1 of a gateway, on a thread of its own.
pub(crate) struct SecondCore {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

pub(crate) fn second_core(gateway: &Gateway) -> SecondCore {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopping) = oneshot::channel::<()>();
    let shared = gateway.shared.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let listener = TcpListener::from_std(listener).unwrap();
            tsugite_gateway::serve(listener, shared, 1, async { drop(stopping.await) }).await;
        });
    });
    SecondCore {
        address,
        stop,
        thread,
    }
}

impl SecondCore {
    pub(crate) fn end(self) {
        drop(self.stop);
        self.thread.join().unwrap();
    }
}

#[derive(Clone, Copy)]
pub(crate) struct LocalExec;
impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExec {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(async move {
            task.await;
        });
    }
}

/// A body that is fed from outside.
pub(crate) struct TestBody(mpsc::UnboundedReceiver<Frame<Bytes>>, bool);
pub(crate) type Feed = mpsc::UnboundedSender<Frame<Bytes>>;

impl TestBody {
    pub(crate) fn empty() -> TestBody {
        let (_, frames) = mpsc::unbounded_channel();
        TestBody(frames, true)
    }

    pub(crate) fn of(bytes: impl Into<Bytes>) -> TestBody {
        let (feed, body) = TestBody::fed();
        feed.send(Frame::data(bytes.into())).unwrap();
        body
    }

    pub(crate) fn fed() -> (Feed, TestBody) {
        let (feed, frames) = mpsc::unbounded_channel();
        (feed, TestBody(frames, false))
    }
}

impl http_body::Body for TestBody {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
    fn is_end_stream(&self) -> bool {
        self.1
    }
}

/// What an endpoint saw and holds.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) requests: Cell<u32>,
    pub(crate) connections: Cell<u32>,
    pub(crate) open: Cell<u32>,
    /// The latest request's head.
    pub(crate) head: RefCell<Option<http::request::Parts>>,
}

struct Open(Rc<Seen>);
impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
    }
}

/// An endpoint that answers with `handler`, over HTTP/1.1 or HTTP/2.
pub(crate) async fn endpoint<H, F>(h2: bool, handler: H) -> (SocketAddr, Rc<Seen>)
where
    H: Fn(Request<Incoming>) -> F + Clone + 'static,
    F: Future<Output = Response<TestBody>> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Rc::new(Seen::default());
    let shown = seen.clone();
    tokio::task::spawn_local(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            tcp.set_nodelay(true).unwrap();
            seen.connections.set(seen.connections.get() + 1);
            seen.open.set(seen.open.get() + 1);
            let open = Open(seen.clone());
            let (seen, handler) = (seen.clone(), handler.clone());
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                seen.requests.set(seen.requests.get() + 1);
                let (head, body) = request.into_parts();
                *seen.head.borrow_mut() = Some(head.clone());
                let answer = handler(Request::from_parts(head, body));
                async move { Ok::<_, Infallible>(answer.await) }
            });
            tokio::task::spawn_local(async move {
                let _open = open;
                let io = TokioIo::new(tcp);
                if h2 {
                    let _ = hyper::server::conn::http2::Builder::new(LocalExec)
                        .serve_connection(io, service)
                        .await;
                } else {
                    let http1 = hyper::server::conn::http1::Builder::new();
                    let _ = http1.serve_connection(io, service).with_upgrades().await;
                }
            });
        }
    });
    (address, shown)
}

/// An endpoint that gives each connection to `script`, as raw bytes.
pub(crate) async fn raw_endpoint<S, F>(script: S) -> SocketAddr
where
    S: Fn(TcpStream) -> F + 'static,
    F: Future<Output = ()> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(script(tcp));
        }
    });
    address
}

/// Reads a request's head from a raw connection.
pub(crate) async fn read_head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match tcp.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

pub(crate) async fn hello(_: Request<Incoming>) -> Response<TestBody> {
    Response::new(TestBody::of("hello"))
}

/// Sends each frame of the request back as soon as it comes, trailers too.
pub(crate) async fn echo(request: Request<Incoming>) -> Response<TestBody> {
    let (head, mut incoming) = request.into_parts();
    let (feed, body) = TestBody::fed();
    tokio::task::spawn_local(async move {
        while let Some(Ok(frame)) = incoming.frame().await {
            if feed.send(frame).is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(body);
    for name in ["content-type", "trailer"] {
        if let Some(value) = head.headers.get(name) {
            response
                .headers_mut()
                .insert(http::HeaderName::from_static(name), value.clone());
        }
    }
    response
}

/// Never answers.
pub(crate) async fn hang(_: Request<Incoming>) -> Response<TestBody> {
    std::future::pending().await
}

/// The next piece of a body, as text.
pub(crate) async fn piece(body: &mut Incoming) -> String {
    let frame = tokio::time::timeout(SOON, body.frame())
        .await
        .expect("no frame came")
        .unwrap()
        .unwrap();
    String::from_utf8(frame.into_data().expect("data").to_vec()).unwrap()
}
