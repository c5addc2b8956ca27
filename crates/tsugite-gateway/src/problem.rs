//! The answers that the gateway makes itself: RFC 9457 problem documents, or a gRPC status for gRPC callers.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use tsugite_base::Uuid;
use tsugite_grpc::Code;

use crate::body::Body;
use crate::grpc;
use crate::headers::{PROXY_STATUS, TSUGITE_RETRY};
use crate::tries::Stop;

const TSUGITE_CIRCUIT: HeaderName = HeaderName::from_static("tsugite-circuit");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// One type of problem: `urn:tsugite:problem:<name>`, described in `docs/problems.md`.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    title: &'static str,
    status: StatusCode,
    /// The error of `Proxy-Status` (RFC 9209, 2.3).
    proxy_error: &'static str,
    /// The gRPC status code that says the same.
    grpc: Code,
}

macro_rules! kinds {
    ($($constant:ident = $name:literal, $title:literal, $status:ident, $proxy:literal, $grpc:ident;)*) => {
        $(pub(crate) static $constant: Kind = Kind {
            name: $name,
            title: $title,
            status: StatusCode::$status,
            proxy_error: $proxy,
            grpc: Code::$grpc,
        };)*
        #[cfg(test)]
        pub(crate) static ALL: &[&Kind] = &[$(&$constant),*];
    };
}

kinds! {
    MALFORMED_REQUEST = "malformed-request", "Malformed request", BAD_REQUEST, "http_request_error", InvalidArgument;
    HEADERS_TOO_LARGE = "headers-too-large", "Request headers too large", REQUEST_HEADER_FIELDS_TOO_LARGE,
        "http_request_error", ResourceExhausted;
    TARGET_TOO_LONG = "target-too-long", "Request target too long", URI_TOO_LONG, "http_request_error", ResourceExhausted;
    AMBIGUOUS_LENGTH = "ambiguous-length", "Ambiguous request length", BAD_REQUEST, "http_request_error", InvalidArgument;
    REFUSED_PATH = "refused-path", "Refused path", BAD_REQUEST, "http_request_denied", InvalidArgument;
    NO_ROUTE = "no-route", "No route", NOT_FOUND, "destination_not_found", Unimplemented;
    NOT_AN_OPEN_PROXY = "not-an-open-proxy", "Not an open proxy", FORBIDDEN, "destination_not_found", PermissionDenied;
    TUNNEL_REFUSED = "tunnel-refused", "Tunnels are not supported", METHOD_NOT_ALLOWED, "http_request_denied", Unimplemented;
    UPGRADE_REFUSED = "upgrade-refused", "Protocol switch not possible", NOT_IMPLEMENTED, "http_upgrade_failed", Unimplemented;
    NOT_SUPPORTED = "not-supported", "Not supported", NOT_IMPLEMENTED, "http_request_denied", Unimplemented;
    CIRCUIT_OPEN = "circuit-open", "Circuit open", SERVICE_UNAVAILABLE, "destination_unavailable", Unavailable;
    LIMIT_EXCEEDED = "limit-exceeded", "Limit exceeded", SERVICE_UNAVAILABLE, "http_request_denied", Unavailable;
    NO_ENDPOINT = "no-available-endpoint", "No available endpoint", SERVICE_UNAVAILABLE,
        "destination_unavailable", Unavailable;
    CONNECTION_REFUSED = "endpoint-unreachable", "Endpoint unreachable", BAD_GATEWAY, "connection_refused", Unavailable;
    CONNECTION_TIMEOUT = "connection-timeout", "Connection timed out", GATEWAY_TIMEOUT, "connection_timeout", Unavailable;
    CONNECTION_BROKEN = "connection-broken", "Connection broken", BAD_GATEWAY, "connection_terminated", Unavailable;
    BAD_RESPONSE = "bad-response", "Malformed response", BAD_GATEWAY, "http_protocol_error", Internal;
    RESPONSE_TIMEOUT = "response-timeout", "Response timed out", GATEWAY_TIMEOUT, "http_response_timeout", DeadlineExceeded;
}

/// What an open circuit adds to its answer.
#[derive(Debug)]
pub(crate) struct CircuitFacts {
    pub(crate) state: &'static str,
    pub(crate) reason: &'static str,
    /// None if nobody knows when it will close (forced open without expiry).
    pub(crate) retry_after: Option<Duration>,
}

/// One occurrence of a problem.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) kind: &'static Kind,
    /// For a tired person at night.
    pub(crate) detail: Cow<'static, str>,
    /// The service, as clients write it, once it is known.
    pub(crate) next_hop: Option<String>,
    pub(crate) circuit: Option<CircuitFacts>,
    /// Why it was not tried again, where that is worth saying.
    pub(crate) stop: Option<Stop>,
}

/// What of the request shapes the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) id: Uuid,
    pub(crate) grpc: bool,
    pub(crate) head: bool,
}

impl Asker {
    pub(crate) fn new(id: Uuid, grpc: bool, method: &Method) -> Asker {
        Asker {
            id,
            grpc,
            head: method == Method::HEAD,
        }
    }
}

impl Problem {
    pub(crate) fn new(kind: &'static Kind, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem {
            kind,
            detail: detail.into(),
            next_hop: None,
            circuit: None,
            stop: None,
        }
    }

    pub(crate) fn at(mut self, next_hop: &str) -> Problem {
        self.next_hop = Some(next_hop.to_owned());
        self
    }

    /// The answer in the form that the asker reads.
    pub(crate) fn answer(&self, asker: Asker) -> Response<Body> {
        if asker.grpc { self.grpc() } else { self.http(asker) }
    }

    fn http(&self, asker: Asker) -> Response<Body> {
        let document = Bytes::from(self.document(Some(asker.id)));
        let length = document.len();
        let body = if asker.head {
            Body::empty()
        } else {
            Body::full(document)
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = self.kind.status;
        let headers = answer.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        if let Some(wait) = self.circuit.as_ref().and_then(|c| c.retry_after) {
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(millis(wait).div_ceil(1000).max(1)),
            );
        }
        headers.insert(PROXY_STATUS, text_value(&self.proxy_status()));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.is_final() {
            headers.insert(TSUGITE_RETRY, HeaderValue::from_static("?0"));
        }
        if self.kind.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(
                header::ALLOW,
                HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            );
        }
        if let Some(circuit) = &self.circuit {
            let name = self.next_hop.as_deref().unwrap_or_default();
            let CircuitFacts { state, reason, .. } = circuit;
            let value = format!("{};state={state};reason={reason}", quoted(name));
            headers.insert(TSUGITE_CIRCUIT, text_value(&value));
        }
        answer
    }

    fn is_overflow(&self) -> bool {
        self.kind.name == LIMIT_EXCEEDED.name
    }

    /// Whether those before us had better not try again.
    fn is_final(&self) -> bool {
        self.kind.name == CIRCUIT_OPEN.name || self.stop.is_some_and(Stop::is_final)
    }

    /// Trailers-Only: HTTP 200, the status in the one header block.
    fn grpc(&self) -> Response<Body> {
        let mut answer = Response::new(Body::empty());
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(grpc::STATUS, HeaderValue::from_static(self.kind.grpc.as_header()));
        if let Some(circuit) = &self.circuit {
            let service = self.next_hop.as_deref().unwrap_or_default();
            let (what, reason) = match self.is_overflow() {
                true => ("limit exceeded", "LIMIT_EXCEEDED"),
                false => ("circuit open", "CIRCUIT_OPEN"),
            };
            let message = format!("{what}: {service}");
            headers.insert(grpc::MESSAGE, grpc::message_value(&message));
            headers.insert(
                grpc::PUSHBACK,
                circuit
                    .retry_after
                    .map_or(HeaderValue::from(-1), |d| millis(d).into()),
            );
            headers.insert(
                GRPC_DETAILS,
                grpc::refusal_details(&message, reason, service, circuit.retry_after),
            );
        } else {
            headers.insert(grpc::MESSAGE, grpc::message_value(&self.detail));
        }
        headers.insert(PROXY_STATUS, text_value(&self.proxy_status()));
        if self.is_final() {
            headers.insert(TSUGITE_RETRY, HeaderValue::from_static("?0"));
        }
        answer
    }

    fn proxy_status(&self) -> String {
        let mut text = format!("tsugite; error={}", self.kind.proxy_error);
        if self.circuit.is_some() {
            let details = if self.is_overflow() {
                "overflow"
            } else {
                "circuit_open"
            };
            let _ = write!(text, "; details={}", quoted(details));
        } else if let Some(stop) = self.stop {
            let _ = write!(text, "; details={}", quoted(stop.details()));
        }
        if let Some(hop) = &self.next_hop {
            let _ = write!(text, "; next-hop={}", quoted(hop));
        }
        text
    }

    fn document(&self, id: Option<Uuid>) -> String {
        let Kind {
            name, title, status, ..
        } = self.kind;
        let mut text = format!(
            r#"{{"type":"urn:tsugite:problem:{name}","title":"{title}","status":{},"detail":{}"#,
            status.as_u16(),
            json(&self.detail),
        );
        if let Some(id) = id {
            let _ = write!(text, r#","instance":"urn:uuid:{id}""#);
        }
        if let Some(CircuitFacts {
            state,
            reason,
            retry_after,
        }) = &self.circuit
        {
            let circuit = json(self.next_hop.as_deref().unwrap_or_default());
            let _ = write!(
                text,
                r#","circuit":{circuit},"state":"{state}","reason":"{reason}""#
            );
            if let Some(wait) = retry_after {
                let _ = write!(text, r#","retry_after_ms":{}"#, millis(*wait));
            }
        }
        text.push('}');
        text
    }
}

/// The problem document that takes the place of an answer which the HTTP/1.1 codec makes without asking us,
/// because the request head was unreadable. `None` if `answer` is not one of those.
pub(crate) fn for_codec_answer(answer: &[u8]) -> Option<Bytes> {
    let text = std::str::from_utf8(answer).ok()?;
    let (status, head) = (text.get(9..12)?, text.strip_suffix("\r\n\r\n")?);
    if !head.contains("content-length: 0") || head.contains("content-type") {
        return None;
    }
    let (kind, detail) = match status {
        "400" => (
            &MALFORMED_REQUEST,
            "the request head is not HTTP/1.1 as RFC 9112 defines it",
        ),
        "414" => (
            &TARGET_TOO_LONG,
            "the request target is longer than the gateway reads",
        ),
        "431" => (
            &HEADERS_TOO_LARGE,
            "the request head has more or longer fields than the gateway reads",
        ),
        _ => return None,
    };
    let problem = Problem::new(kind, detail);
    let (document, proxy_status) = (problem.document(None), problem.proxy_status());
    let reason = kind.status.canonical_reason().unwrap_or_default();
    let length = document.len();
    Some(Bytes::from(format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/problem+json\r\nContent-Length: {length}\r\n\
         Proxy-Status: {proxy_status}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{document}"
    )))
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

/// A JSON string.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A string of a structured field (RFC 8941, 3.3.3); what it cannot hold becomes `?`.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => out.push('?'),
        }
    }
    out.push('"');
    out
}

fn text_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("tsugite"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Problem {
        Problem {
            circuit: Some(CircuitFacts {
                state: "open",
                reason: "failure_rate",
                retry_after: Some(Duration::from_millis(3620)),
            }),
            ..Problem::new(&CIRCUIT_OPEN, "orders.shop failed 31 of 40 calls in 10 s").at("orders.shop")
        }
    }

    fn asker(grpc: bool, method: Method) -> Asker {
        Asker::new(Uuid::v4(*b"0123456789abcdef"), grpc, &method)
    }

    fn head(answer: &Response<Body>) -> String {
        let mut text = format!("{}\n", answer.status().as_u16());
        for (name, value) in answer.headers() {
            let _ = writeln!(text, "{name}: {}", value.to_str().unwrap());
        }
        text
    }

    #[test]
    fn an_open_circuit_in_http() {
        let answer = open().answer(asker(false, Method::GET));
        assert_eq!(
            head(&answer),
            "503\ncontent-type: application/problem+json\ncontent-length: 276\nretry-after: 4\n\
             proxy-status: tsugite; error=destination_unavailable; details=\"circuit_open\"; next-hop=\"orders.shop\"\n\
             cache-control: no-store\ntsugite-retry: ?0\ntsugite-circuit: \"orders.shop\";state=open;reason=failure_rate\n"
        );
        assert_eq!(
            open().document(Some(Uuid::v4(*b"0123456789abcdef"))),
            "{\"type\":\"urn:tsugite:problem:circuit-open\",\"title\":\"Circuit open\",\"status\":503,\
             \"detail\":\"orders.shop failed 31 of 40 calls in 10 s\",\
             \"instance\":\"urn:uuid:30313233-3435-4637-b839-616263646566\",\
             \"circuit\":\"orders.shop\",\"state\":\"open\",\"reason\":\"failure_rate\",\"retry_after_ms\":3620}"
        );
    }

    #[test]
    fn head_has_no_body_but_the_length_of_one() {
        use http_body::Body as _;
        let answer = open().answer(asker(false, Method::HEAD));
        assert!(answer.body().is_end_stream());
        assert_eq!(answer.headers()[header::CONTENT_LENGTH], "276");
    }

    #[test]
    fn an_open_circuit_in_grpc() {
        let text = head(&open().answer(asker(true, Method::POST)));
        assert!(
            text.starts_with("200\ncontent-type: application/grpc\ngrpc-status: 14\n"),
            "{text}"
        );
        assert!(
            text.contains("grpc-message: circuit open: orders.shop\ngrpc-retry-pushback-ms: 3620\n"),
            "{text}"
        );
        let mut forced = open();
        forced.circuit = Some(CircuitFacts {
            state: "forced_open",
            reason: "manual",
            retry_after: None,
        });
        let text = head(&forced.answer(asker(true, Method::POST)));
        assert!(text.contains("grpc-retry-pushback-ms: -1\n"), "{text}");
        assert!(!head(&forced.answer(asker(false, Method::GET))).contains("retry-after"));
    }

    #[test]
    fn strings_are_escaped() {
        let problem = Problem::new(&NO_ROUTE, "host \"a\\b\"\n").at("q\"ü");
        assert!(problem.document(None).contains(r#""detail":"host \"a\\b\"\n""#));
        assert!(problem.proxy_status().ends_with("next-hop=\"q\\\"?\""));
    }

    #[test]
    fn answers_of_the_codec_become_problem_documents() {
        let bare =
            b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\
                     date: Tue, 24 Nov 2026 00:00:00 GMT\r\n\r\n";
        let answer = for_codec_answer(bare).unwrap();
        let text = std::str::from_utf8(&answer).unwrap();
        assert!(text.contains("urn:tsugite:problem:headers-too-large"), "{text}");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{text}"
        );
        assert_eq!(
            for_codec_answer(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
            None
        );
        assert_eq!(
            for_codec_answer(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\nabc"),
            None
        );
    }

    #[test]
    fn every_type_is_documented() {
        let docs = include_str!("../../../docs/problems.md");
        for kind in ALL {
            assert!(
                docs.contains(&format!("urn:tsugite:problem:{}", kind.name)),
                "{}",
                kind.name
            );
        }
    }
}
