//! Where a request is sent: how its head is given the form that an endpoint understands.

use std::time::Duration;

use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri, Version, header};

use crate::call::Call;
use crate::grpc;
use crate::headers::{self, Hop};
use crate::problem::{self, Problem};
use crate::request::{Authorities, Target};
use crate::upstream;

/// The way of a request, the same for all of its tries.
pub(crate) struct Course {
    pub(crate) target: Target,
    /// The path and query to send.
    pub(crate) path: PathAndQuery,
    pub(crate) hop: Hop,
    pub(crate) connect_timeout: Duration,
    /// The length of the body is known.
    pub(crate) exact: bool,
    /// The client said `Tsugite-Deadline`.
    pub(crate) deadline: bool,
}

impl Course {
    /// Gives the head the target, version and `Host` of the endpoint's protocol, and the time that is left.
    pub(crate) fn aim(&self, parts: &mut Parts, h2: bool, call: &Call) -> Result<(), Problem> {
        let mut uri = http::uri::Parts::default();
        uri.path_and_query = Some(self.path.clone());
        if h2 {
            uri.scheme = Some(Scheme::HTTP);
            uri.authority = Some(self.authority(call)?);
            parts.headers.remove(header::HOST);
            parts.headers.remove(header::TRANSFER_ENCODING);
            parts.version = Version::HTTP_2;
        } else {
            // The authority of an absolute target outranks the Host field (RFC 9112, 3.2.2). The field is missing if the
            // try before went to an endpoint that speaks HTTP/2.
            let outranked = matches!(self.target.host, Some(Authorities::Uri(_)));
            if (outranked || !parts.headers.contains_key(header::HOST))
                && let Some(host) = self.target.host_value()
            {
                parts.headers.insert(header::HOST, host);
            }
            parts.version = Version::HTTP_11;
        }
        if call.grpc || self.hop.te_trailers {
            parts
                .headers
                .insert(header::TE, HeaderValue::from_static("trailers"));
        }
        self.tell_time_left(parts, call);
        upstream::frame_body(parts, self.exact, h2, call.grpc);
        parts.uri = Uri::from_parts(uri).map_err(|_| {
            let detail = "the request target cannot be forwarded";
            Problem::new(&problem::MALFORMED_REQUEST, detail)
        })?;
        Ok(())
    }

    fn authority(&self, call: &Call) -> Result<Authority, Problem> {
        match &self.target.host {
            Some(Authorities::Uri(authority)) => Ok(authority.clone()),
            Some(Authorities::Header(host)) => Authority::try_from(host.as_bytes())
                .map_err(|_| Problem::new(&problem::MALFORMED_REQUEST, "the Host field is not a host")),
            None => Authority::try_from(call.endpoint().address.to_string())
                .map_err(|_| Problem::new(&problem::MALFORMED_REQUEST, "the request names no host")),
        }
    }

    /// A deadline shrinks from hop to hop: the service is told what is left of it.
    fn tell_time_left(&self, parts: &mut Parts, call: &Call) {
        if call.limit.client.is_none() {
            return;
        }
        let left = call.time_left().unwrap_or_default();
        if call.grpc {
            grpc::set_timeout(&mut parts.headers, left);
        }
        if self.deadline {
            headers::set_deadline(&mut parts.headers, left);
        }
    }
}
