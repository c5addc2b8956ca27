//! Protocol switches (WebSocket and others): after the endpoint's 101 both connections become one byte stream.

use std::any::Any;
use std::rc::Rc;

use http::request::Parts;
use http::{HeaderValue, Response, Version, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::body::{Body, Busy};
use crate::headers::Hop;
use crate::session::Session;

/// A client's wish to switch, on an HTTP/1.1 connection.
pub(crate) struct Switch {
    client: OnUpgrade,
    protocol: HeaderValue,
}

impl Switch {
    /// The wish, if the request has one; `Err` says why it cannot be met. A met wish is put back into the head, from
    /// which it went as hop-by-hop.
    pub(crate) fn asked(parts: &mut Parts, hop: &Hop, h2: bool) -> Result<Option<Switch>, &'static str> {
        let Some(protocol) = &hop.upgrade else {
            return Ok(None);
        };
        if parts.version != Version::HTTP_11 {
            return Ok(None); // An HTTP/1.0 client cannot switch; the field is to be ignored (RFC 9110, 7.8).
        }
        if h2 {
            return Err("the service speaks HTTP/2, which has no way to switch to another protocol");
        }
        let Some(client) = parts.extensions.remove::<OnUpgrade>() else {
            return Err("this connection cannot switch to another protocol");
        };
        parts
            .headers
            .insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(header::UPGRADE, protocol.clone());
        let protocol = protocol.clone();
        Ok(Some(Switch { client, protocol }))
    }
}

/// Answers the client with the endpoint's 101 and joins both connections until either side ends. `held` lives as long.
///
/// The session stays busy: its limits on idleness, and the drain time of a stop, hold for the tunnel too.
pub(crate) fn join(
    switch: Switch,
    mut response: Response<Incoming>,
    session: &Rc<Session>,
    held: impl Any,
) -> Response<Body> {
    let endpoint = hyper::upgrade::on(&mut response);
    let Switch { client, protocol } = switch;
    let held = (held, Busy::begin(&session.state), session.clone());
    let tunnel = tokio::task::spawn_local(async move {
        if let (Ok(client), Ok(endpoint)) = tokio::join!(client, endpoint) {
            let (mut client, mut endpoint) = (TokioIo::new(client), TokioIo::new(endpoint));
            // However it ends, both sides are closed then; there is nobody left to tell.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut endpoint).await;
        }
        drop(held);
    });
    session.served_by(tunnel.abort_handle());
    let (mut parts, _) = response.into_parts();
    let chosen = parts.headers.remove(header::UPGRADE).unwrap_or(protocol);
    crate::headers::strip_hop_by_hop(&mut parts.headers);
    parts
        .headers
        .insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    parts.headers.insert(header::UPGRADE, chosen);
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, Body::empty())
}
