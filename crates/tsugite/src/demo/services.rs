//! The order system that the demo runs: customers and orders over REST, the kitchen over gRPC.
//!
//! They are ordinary services. They know one address, the gateway's, and find each other by name.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::aws;
use super::client::Call;
use super::kitchen;

type Body = BoxBody<Bytes, Infallible>;

/// Where a demo service finds everybody else.
#[derive(Clone, Copy)]
pub(super) struct Doors {
    /// The gateway: calls to other services.
    pub(super) gateway: SocketAddr,
    /// The AWS API: queues and topics.
    pub(super) aws: SocketAddr,
}

/// Serves `handle` on a free loopback port until the runtime ends; returns the address.
async fn serve<F, Fut>(handle: F) -> std::io::Result<SocketAddr>
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let handle = handle.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let answer = handle(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                // A connection that breaks is its client's affair.
                let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok(address)
}

fn reply(status: u16, value: &Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())).boxed());
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

/// The customers service. While `hangs` is set it takes requests and does not answer them.
pub(super) async fn customers(hangs: Arc<AtomicBool>) -> std::io::Result<SocketAddr> {
    serve(move |request| {
        let hangs = Arc::clone(&hangs);
        async move {
            if hangs.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            match request.uri().path().rsplit('/').next() {
                Some("42") => reply(200, &json!({"id": "42", "name": "Aiko Tanaka", "_links": {"self": {"href": "/customers/42"}}})),
                _ => reply(404, &json!({"title": "No such customer", "status": 404})),
            }
        }
    })
    .await
}

/// The kitchen: a gRPC service with one unary method.
pub(super) async fn kitchen() -> std::io::Result<SocketAddr> {
    serve(|request| async move {
        let path = request.uri().path().to_owned();
        let body = request
            .into_body()
            .collect()
            .await
            .map(|b| b.to_bytes())
            .unwrap_or_default();
        let order = kitchen::unframe(&body).and_then(kitchen::decode);
        let (message, status) = match order {
            _ if path != kitchen::COOK => (Bytes::new(), "12"),
            Some(order) => (
                Bytes::from(kitchen::frame(&kitchen::encode(&format!("ticket-{order}")))),
                "0",
            ),
            None => (Bytes::new(), "3"),
        };
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static(status));
        let body = Full::new(message).with_trailers(async move { Some(Ok(trailers)) });
        let mut response = Response::new(body.boxed());
        response
            .headers_mut()
            .insert("content-type", http::HeaderValue::from_static("application/grpc"));
        response
    })
    .await
}

/// The orders service: `POST /` takes an order, asks customers and kitchen through the gateway, tells the topic.
pub(super) async fn orders(doors: Doors, topic: String) -> std::io::Result<SocketAddr> {
    let taken = Arc::new(AtomicU32::new(0));
    serve(move |request| {
        let (topic, taken) = (topic.clone(), Arc::clone(&taken));
        async move {
            match *request.method() {
                Method::POST => take_order(doors, &topic, taken.fetch_add(1, Ordering::Relaxed) + 1).await,
                Method::GET => reply(200, &json!({"taken": taken.load(Ordering::Relaxed)})),
                _ => reply(405, &json!({"title": "Only GET and POST", "status": 405})),
            }
        }
    })
    .await
}

async fn take_order(doors: Doors, topic: &str, number: u32) -> Response<Body> {
    let order = format!("order-{number}");
    // The customer's name is nice to have: without it the order is taken all the same.
    let host = doors.gateway.to_string();
    let customer = match Call::new(Method::GET, doors.gateway, &host, "/customers/42")
        .send()
        .await
    {
        Ok(answer) if answer.status.is_success() => answer.json()["name"].clone(),
        _ => Value::Null,
    };
    let cooked = Call::grpc(
        doors.gateway,
        "kitchen.internal",
        kitchen::COOK,
        &kitchen::encode(&order),
    )
    .send()
    .await;
    let ticket = match &cooked {
        Ok(answer) if answer.header("grpc-status") == "0" => {
            kitchen::unframe(&answer.body).and_then(kitchen::decode)
        }
        _ => {
            return reply(
                502,
                &json!({"title": "The kitchen did not answer", "status": 502}),
            );
        }
    };
    let event = json!({"event": "OrderTaken", "order": order, "ticket": ticket});
    if let Err(error) = aws::publish(doors.aws, topic, &event.to_string()).await {
        return reply(
            502,
            &json!({"title": "The event could not be published", "status": 502, "detail": error}),
        );
    }
    reply(
        201,
        &json!({"order": order, "customer": customer, "ticket": ticket, "_links": {"self": {"href": "/orders"}, "customer": {"href": "/customers/42"}}}),
    )
}
