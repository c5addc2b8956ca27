//! gRPC unary calls over HTTP/2 without TLS: many streams on few connections.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::Client;

/// One stream slot of a connection that it shares with others.
pub(crate) struct Unary {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
    message: Bytes,
}

impl Unary {
    /// `connections` times `streams` slots.
    pub(crate) async fn slots(
        address: SocketAddr,
        authority: &str,
        connections: usize,
        streams: usize,
    ) -> io::Result<Vec<Unary>> {
        let mut slots = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .map_err(io::Error::other)?;
            tokio::task::spawn_local(connection);
            for _ in 0..streams {
                let message = crate::upstream::grpc_message(16);
                slots.push(Unary {
                    sender: sender.clone(),
                    authority: authority.to_owned(),
                    message,
                });
            }
        }
        Ok(slots)
    }
}

impl Client for Unary {
    async fn call(&mut self) -> io::Result<u64> {
        let request = Request::post(format!("http://{}/bench.Bench/Call", self.authority))
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
            .header(header::TE, HeaderValue::from_static("trailers"))
            .body(Full::new(self.message.clone()))
            .map_err(io::Error::other)?;
        let answer = self
            .sender
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        let body = answer.into_body().collect().await.map_err(io::Error::other)?;
        let succeeded = body
            .trailers()
            .and_then(|trailers| trailers.get("grpc-status"))
            .is_some_and(|s| s == "0");
        if succeeded && body.to_bytes().len() == crate::upstream::ANSWER_BYTES + 5 {
            Ok(1)
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }
}
