//! From an outcome to an HTTP response, in the protocol of the request.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use tsugite_aws::{AwsError, Dialect, Encoding};
use tsugite_base::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// Says which of Smithy's protocols a message is in.
pub(super) const SMITHY_PROTOCOL: HeaderName = HeaderName::from_static("smithy-protocol");
/// RPC v2 in CBOR.
pub(super) const RPC_V2_CBOR: HeaderValue = HeaderValue::from_static("rpc-v2-cbor");
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");

/// How a request is answered.
#[derive(Clone, Copy)]
pub(super) enum Protocol {
    /// AWS JSON, as this service spells it.
    Json(Dialect),
    /// Smithy's RPC v2 in CBOR, with the names of this service.
    Cbor(Dialect),
    /// Query, in this XML namespace.
    Query(&'static str),
}

/// The certificate of a signature.
pub(super) fn certificate(request_id: Uuid, pem: String) -> Response<Full<Bytes>> {
    plain(request_id, StatusCode::OK, "application/x-pem-file", pem)
}

/// There is no certificate of that name.
pub(super) fn no_certificate(request_id: Uuid) -> Response<Full<Bytes>> {
    let text = "there is no such certificate\n".to_owned();
    plain(
        request_id,
        StatusCode::NOT_FOUND,
        "text/plain; charset=utf-8",
        text,
    )
}

fn plain(
    request_id: Uuid,
    status: StatusCode,
    content_type: &'static str,
    text: String,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(id) = HeaderValue::from_bytes(&request_id.text()) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// The response to a request that ended so.
pub(super) fn response(
    protocol: Protocol,
    request_id: Uuid,
    outcome: Result<Vec<u8>, AwsError>,
) -> Response<Full<Bytes>> {
    let content_type = match protocol {
        Protocol::Json(dialect) => dialect.content_type,
        Protocol::Cbor(_) => "application/cbor",
        Protocol::Query(_) => "text/xml",
    };
    let mut query_error = None;
    let mut status = StatusCode::OK;
    let body = match outcome {
        Ok(body) => body,
        Err(error) => {
            status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            match protocol {
                Protocol::Json(dialect) => {
                    if dialect.query_compatible {
                        query_error = HeaderValue::from_str(&error.query_error_header()).ok();
                    }
                    error.to_document(dialect, Encoding::Json)
                }
                Protocol::Cbor(dialect) => error.to_document(dialect, Encoding::Cbor),
                Protocol::Query(namespace) => error.to_xml(namespace, request_id),
            }
        }
    };
    let is_cbor = matches!(protocol, Protocol::Cbor(_));
    let nothing = is_cbor && body.is_empty();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    // What an operation without output answers in CBOR has neither body nor type.
    if !nothing {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if is_cbor {
        headers.insert(SMITHY_PROTOCOL, RPC_V2_CBOR);
    }
    if let Ok(id) = HeaderValue::from_bytes(&request_id.text()) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(value) = query_error {
        headers.insert(QUERY_ERROR, value);
    }
    if matches!(
        status,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT
    ) {
        // The rest of the body is still on its way; nothing after it could be understood.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
