//! gRPC in heads and trailers: recognising it, its deadline, its status.

use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use tsugite_grpc::{Code, StatusDetails, metadata, timeout as wire};
use tsugite_traffic::Hint;

pub(crate) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(crate) const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
pub(crate) const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Whether the head belongs to a gRPC call.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|v| tsugite_grpc::is_grpc(v.as_bytes()))
}

/// Whether it belongs to gRPC or a relative of it, such as gRPC-Web: these are routed by authority or service name.
pub(crate) fn is_grpc_family(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|v| v.as_bytes().starts_with(b"application/grpc"))
}

/// The time that the client allows.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    wire::parse(headers.get(TIMEOUT)?.as_bytes())
}

/// Tells the service how much of that time is left.
pub(crate) fn set_timeout(headers: &mut HeaderMap, left: Duration) {
    if let Ok(value) = HeaderValue::try_from(wire::format(left)) {
        headers.insert(TIMEOUT, value);
    }
}

/// When the service wants the call again (proposal A6): what is negative or no number means never.
pub(crate) fn pushback(headers: &HeaderMap) -> Option<Hint> {
    let millis = headers
        .get(PUSHBACK)?
        .to_str()
        .ok()
        .and_then(|text| text.parse().ok());
    Some(millis.map_or(Hint::Never, |millis| Hint::After(Duration::from_millis(millis))))
}

/// The status that headers or trailers carry.
pub(crate) fn status_of(headers: &HeaderMap) -> Option<Code> {
    headers.get(STATUS).map(|v| Code::from_header(v.as_bytes()))
}

/// Trailers of our own.
pub(crate) fn trailers(code: Code, message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    trailers.insert(STATUS, HeaderValue::from_static(code.as_header()));
    trailers.insert(MESSAGE, message_value(message));
    trailers
}

/// A `grpc-message`.
pub(crate) fn message_value(message: &str) -> HeaderValue {
    HeaderValue::try_from(metadata::encode_message(message)).unwrap_or(HeaderValue::from_static(""))
}

/// The `grpc-status-details-bin` of a call that a circuit or a limit refused.
pub(crate) fn refusal_details(
    message: &str,
    reason: &str,
    service: &str,
    retry_after: Option<Duration>,
) -> HeaderValue {
    let details = StatusDetails {
        code: Code::Unavailable,
        message,
        reason,
        domain: "tsugite",
        metadata: &[("circuit", service)],
        retry_delay: retry_after,
    };
    HeaderValue::try_from(details.to_header()).unwrap_or(HeaderValue::from_static(""))
}
