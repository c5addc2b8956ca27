//! What the admin port answers: JSON documents with links, problem documents, plain texts.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Map, Value, json};

use tsugite_engine::Unavailable;

use super::body::Body;

/// An answer: whole, or a watch that goes on.
pub(super) type Answer = Response<Body>;

/// Links of a document: relation and target.
pub(super) type Links = Vec<(&'static str, String)>;

/// A JSON document whose `_links` (HAL) lead on from here.
pub(super) fn document(status: StatusCode, body: Value, links: Links) -> Answer {
    respond(
        status,
        "application/hal+json",
        with_links(body, links).to_string().into(),
    )
}

/// Adds `_links` to an object.
pub(super) fn with_links(mut body: Value, links: Links) -> Value {
    let links: Map<String, Value> = links
        .into_iter()
        .map(|(relation, href)| (relation.to_owned(), link(href)))
        .collect();
    body["_links"] = Value::Object(links);
    body
}

fn link(href: String) -> Value {
    if href.contains('{') {
        json!({ "href": href, "templated": true })
    } else {
        json!({ "href": href })
    }
}

/// A text of any type.
pub(super) fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Body::Full(Full::new(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    answer
}

/// An error as RFC 9457 tells it. Every name has an entry in `docs/problems.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    name: &'static str,
    title: &'static str,
    detail: String,
    allow: Option<&'static str>,
}

impl Problem {
    fn new(
        status: StatusCode,
        name: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Problem {
        Problem {
            status,
            name,
            title,
            detail: detail.into(),
            allow: None,
        }
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Problem {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid-request",
            "Invalid request",
            detail,
        )
    }

    pub(super) fn unauthorized() -> Problem {
        let detail = "this port wants the header `Authorization: Bearer` with its token";
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "No or a wrong token",
            detail,
        )
    }

    pub(super) fn host(host: &str) -> Problem {
        let detail =
            format!("`{host}` is not a name of this port; add it to admin.allowed_hosts if it should be");
        Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "host-not-allowed",
            "Host not allowed",
            detail,
        )
    }

    pub(super) fn origin(origin: &str) -> Problem {
        let detail =
            format!("pages of `{origin}` may not write; add it to admin.allowed_origins if they should");
        Problem::new(
            StatusCode::FORBIDDEN,
            "origin-not-allowed",
            "Origin not allowed",
            detail,
        )
    }

    pub(super) fn not_found(what: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not-found", "Not found", what)
    }

    pub(super) fn method(method: &str, allow: &'static str) -> Problem {
        let detail = format!("{method} is not possible here; possible are {allow}");
        let (status, title) = (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed");
        Problem {
            allow: Some(allow),
            ..Problem::new(status, "method-not-allowed", title, detail)
        }
    }

    pub(super) fn too_large(limit: usize) -> Problem {
        let detail = format!("the body is longer than {limit} bytes");
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            "Body too large",
            detail,
        )
    }

    pub(super) fn too_slow() -> Problem {
        let detail = "the body did not arrive in time";
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "request-timeout",
            "Request too slow",
            detail,
        )
    }

    /// There is no room for one more of these now.
    pub(super) fn busy(detail: impl Into<String>) -> Problem {
        let (status, title) = (StatusCode::SERVICE_UNAVAILABLE, "Too many watches");
        Problem::new(status, "too-many-watches", title, detail)
    }

    /// Its status and detail.
    pub(super) fn parts(&self) -> (StatusCode, &str) {
        (self.status, &self.detail)
    }

    pub(super) fn conflict(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, "conflict", "Conflict", detail)
    }

    pub(super) fn full(detail: impl Into<String>) -> Problem {
        Problem::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "registry-full",
            "No room for more",
            detail,
        )
    }

    pub(super) fn dev_only() -> Problem {
        let detail = "only with --dev, and only while the admin port listens on a loopback address";
        Problem::new(StatusCode::FORBIDDEN, "dev-only", "For development only", detail)
    }

    pub(super) fn clock_not_virtual() -> Problem {
        let detail = "the clock is the host's; only with --virtual-clock can it be moved";
        let (status, title) = (StatusCode::CONFLICT, "Clock is not virtual");
        Problem::new(status, "clock-not-virtual", title, detail)
    }

    pub(super) fn role_off(role: &str) -> Problem {
        let detail = format!("the {role} role is off");
        Problem::new(StatusCode::NOT_FOUND, "role-off", "Role is off", detail)
    }

    pub(super) fn answer(self) -> Answer {
        let body = json!({
            "type": format!("urn:tsugite:problem:{}", self.name),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let links = vec![("index", "/v1".to_owned())];
        let text = with_links(body, links).to_string();
        let mut answer = respond(self.status, "application/problem+json", text.into());
        if let Some(allow) = self.allow {
            answer
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            answer
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"tsugite admin\"");
            answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        answer
    }
}

impl From<Unavailable> for Problem {
    fn from(unavailable: Unavailable) -> Problem {
        let (status, title) = (StatusCode::SERVICE_UNAVAILABLE, "Store unavailable");
        Problem::new(status, "store-unavailable", title, unavailable.to_string())
    }
}
