//! Error details: `google.rpc.Status` with `ErrorInfo` and `RetryInfo`, for `grpc-status-details-bin`.

use std::time::Duration;

use crate::metadata::encode_bin;
use crate::proto::{put_bytes, put_number, put_string};
use crate::status::Code;

/// An error that machines can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusDetails<'a> {
    /// The code; must equal `grpc-status`.
    pub code: Code,
    /// The text, not escaped.
    pub message: &'a str,
    /// `ErrorInfo.reason`: a constant in capitals, for example `CIRCUIT_OPEN`.
    pub reason: &'a str,
    /// `ErrorInfo.domain`: who defines the reason.
    pub domain: &'a str,
    /// `ErrorInfo.metadata`.
    pub metadata: &'a [(&'a str, &'a str)],
    /// `RetryInfo.retry_delay`; `None` for no such detail.
    pub retry_delay: Option<Duration>,
}

impl StatusDetails<'_> {
    /// The message `google.rpc.Status`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        put_number(&mut out, 1, u64::from(self.code.number()));
        put_string(&mut out, 2, self.message);
        put_any(
            &mut out,
            "type.googleapis.com/google.rpc.ErrorInfo",
            &self.error_info(),
        );
        if let Some(delay) = self.retry_delay {
            put_any(
                &mut out,
                "type.googleapis.com/google.rpc.RetryInfo",
                &retry_info(delay),
            );
        }
        out
    }

    /// The value of `grpc-status-details-bin`.
    pub fn to_header(&self) -> String {
        encode_bin(&self.encode())
    }

    fn error_info(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_string(&mut out, 1, self.reason);
        put_string(&mut out, 2, self.domain);
        for (key, value) in self.metadata {
            let mut entry = Vec::new();
            put_string(&mut entry, 1, key);
            put_string(&mut entry, 2, value);
            put_bytes(&mut out, 3, &entry);
        }
        out
    }
}

fn retry_info(delay: Duration) -> Vec<u8> {
    // google.protobuf.Duration reaches 10,000 years.
    let mut duration = Vec::new();
    put_number(&mut duration, 1, delay.as_secs().min(315_576_000_000));
    put_number(&mut duration, 2, u64::from(delay.subsec_nanos()));
    let mut out = Vec::new();
    put_bytes(&mut out, 1, &duration);
    out
}

fn put_any(status: &mut Vec<u8>, type_url: &str, value: &[u8]) {
    let mut any = Vec::new();
    put_string(&mut any, 1, type_url);
    put_bytes(&mut any, 2, value);
    put_bytes(status, 3, &any);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Fields, Value};

    #[test]
    fn a_status_as_the_reference_implementation_writes_it() {
        let details = StatusDetails {
            code: Code::Unavailable,
            message: "circuit open: orders.shop",
            reason: "CIRCUIT_OPEN",
            domain: "tsugite",
            metadata: &[("circuit", "orders.shop")],
            retry_delay: Some(Duration::from_millis(3620)),
        };
        assert_eq!(details.to_header(), EXPECTED);
    }

    /// Written by Python's protobuf for the same values and the published message definitions.
    const EXPECTED: &str = "CA4SGWNpcmN1aXQgb3Blbjogb3JkZXJzLnNob3AaWwoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLkVycm9ySW5mbxIvCgxDSVJDVUlUX09QRU4SB3RzdWdpdGUaFgoHY2lyY3VpdBILb3JkZXJzLnNob3AaNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIKCggIAxCA5tGnAg";

    #[test]
    fn absent_parts_are_absent() {
        let details = StatusDetails {
            code: Code::Ok,
            message: "",
            reason: "",
            domain: "",
            metadata: &[],
            retry_delay: None,
        };
        let bytes = details.encode();
        let mut fields = Fields::new(&bytes);
        assert!(matches!(fields.next_field(), Ok(Some((3, Value::Bytes(_))))));
        assert_eq!(fields.next_field(), Ok(None));
    }
}
