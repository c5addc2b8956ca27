//! The service behind every proxy: 1 KiB answers over HTTP/1.1 and gRPC, in a process of its own.

use std::convert::Infallible;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use crate::Result;

/// Bytes of each answer's body (without the gRPC frame's head).
pub(crate) const ANSWER_BYTES: usize = 1024;

/// One gRPC message of `length` bytes in its frame.
pub(crate) fn grpc_message(length: usize) -> Bytes {
    let mut frame = BytesMut::with_capacity(length + 5);
    frame.put_u8(0);
    frame.put_u32(length as u32);
    frame.put_bytes(b'x', length);
    frame.freeze()
}

/// Serves until killed.
pub(crate) fn run(http1_port: &str, grpc_port: &str) -> Result<()> {
    let (http1_port, grpc_port): (u16, u16) = (http1_port.parse()?, grpc_port.parse()?);
    crate::on_one_thread(async move {
        let http1 = TcpListener::bind(("127.0.0.1", http1_port)).await?;
        let grpc = TcpListener::bind(("127.0.0.1", grpc_port)).await?;
        tokio::task::spawn_local(serve_grpc(grpc));
        serve_http1(http1).await
    })
}

async fn serve_http1(listener: TcpListener) -> Result<()> {
    let body = Bytes::from(vec![b'x'; ANSWER_BYTES]);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let body = body.clone();
        let service = service_fn(move |_: http::Request<Incoming>| {
            let body = body.clone();
            async move { Ok::<_, Infallible>(Response::new(Full::new(body))) }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::task::spawn_local(connection);
    }
}

async fn serve_grpc(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service_fn(answer_grpc));
        tokio::task::spawn_local(connection);
    }
}

async fn answer_grpc(
    request: http::Request<Incoming>,
) -> std::result::Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, hyper::Error> {
    request.into_body().collect().await?;
    let trailers = HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let body = Full::new(grpc_message(ANSWER_BYTES)).with_trailers(async move { Some(Ok(trailers)) });
    let mut answer = Response::new(body);
    answer.headers_mut().insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    Ok(answer)
}
