//! Requests that name their service and action outside the body: AWS JSON in a header, RPC v2 in the path.

use http::header::HeaderName;
use http::request;
use tsugite_aws::Encoding;

use super::reply::{RPC_V2_CBOR, SMITHY_PROTOCOL};

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// What a request names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named<'h> {
    /// For example `AmazonSQS`.
    pub(super) service: &'h str,
    /// For example `SendMessage`.
    pub(super) action: &'h str,
    /// How body and answer are written.
    pub(super) encoding: Encoding,
    /// Both names as they stand in the request, for people.
    pub(super) target: &'h str,
}

impl<'h> Named<'h> {
    /// What `X-Amz-Target: <service>.<action>` names, or the path of a request in RPC v2; `None` for any other.
    pub(super) fn of(head: &'h request::Parts) -> Option<Named<'h>> {
        if head.headers.get(SMITHY_PROTOCOL) == Some(&RPC_V2_CBOR) {
            return Some(Named::of_path(head.uri.path()));
        }
        let target = head.headers.get(TARGET)?;
        let target = target.to_str().unwrap_or("(not text)");
        let (service, action) = target.split_once('.').unwrap_or(("", target));
        Some(Named {
            service,
            action,
            encoding: Encoding::Json,
            target,
        })
    }

    /// `…/service/<service>/operation/<action>`.
    fn of_path(path: &'h str) -> Named<'h> {
        let mut parts = path.rsplit('/');
        let (action, operation, service, word) = (parts.next(), parts.next(), parts.next(), parts.next());
        let (service, action) = match (word, service, operation, action) {
            (Some("service"), Some(service), Some("operation"), Some(action)) => (service, action),
            _ => ("", path),
        };
        Named {
            service,
            action,
            encoding: Encoding::Cbor,
            target: path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, headers: &[(&str, &str)], expected: Option<(&str, &str, Encoding)>) {
        let mut request = http::Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let named = Named::of(&head);
        assert_eq!(
            named.map(|n| (n.service, n.action, n.encoding)),
            expected,
            "{path}"
        );
    }

    #[test]
    fn names() {
        let cbor = ("smithy-protocol", "rpc-v2-cbor");
        let target = ("x-amz-target", "AmazonSQS.SendMessage");
        check("/", &[], None);
        check("/service/A/operation/B", &[], None);
        check("/", &[target], Some(("AmazonSQS", "SendMessage", Encoding::Json)));
        check(
            "/",
            &[("x-amz-target", "Send")],
            Some(("", "Send", Encoding::Json)),
        );
        check(
            "/service/A/operation/B",
            &[cbor, target],
            Some(("A", "B", Encoding::Cbor)),
        );
        check(
            "/x/service/A/operation/B",
            &[cbor],
            Some(("A", "B", Encoding::Cbor)),
        );
        for bad in ["/", "/service/A/B", "/service/A/operation/B/", "/operation/B"] {
            check(bad, &[cbor], Some(("", bad, Encoding::Cbor)));
        }
    }
}
