//! The messages of `grpc.health.v1.Health`: asked of back ends by health checks, answered by the gateway.

use tsugite_base::codec::Malformed;

use crate::frame::{FrameHeader, HEADER_BYTES};
use crate::proto::{Fields, Value, put_number, put_string};

/// Path of the unary method.
pub const CHECK: &str = "/grpc.health.v1.Health/Check";
/// Path of the server-streaming method.
pub const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// `HealthCheckResponse.ServingStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// 0, or a number not known here.
    Unknown = 0,
    /// Takes calls.
    Serving = 1,
    /// Takes none.
    NotServing = 2,
    /// No such service; used by `Watch` only.
    ServiceUnknown = 3,
}

/// Writes a `HealthCheckRequest`; the empty name asks for the whole server.
pub fn encode_request(service: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_string(&mut out, 1, service);
    out
}

/// Reads the service name of a `HealthCheckRequest`.
///
/// # Errors
/// The bytes are not a message, or the name is not text.
pub fn decode_request(message: &[u8]) -> Result<&str, Malformed> {
    let malformed = Malformed {
        what: "HealthCheckRequest.service",
    };
    let mut service = "";
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next_field()? {
        if field == 1 {
            let Value::Bytes(bytes) = value else {
                return Err(malformed);
            };
            service = std::str::from_utf8(bytes).map_err(|_| malformed)?;
        }
    }
    Ok(service)
}

/// Writes a `HealthCheckResponse`.
pub fn encode_response(status: Serving) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, 1, status as u64);
    out
}

/// Reads the status of a `HealthCheckResponse`.
///
/// # Errors
/// The bytes are not a message.
pub fn decode_response(message: &[u8]) -> Result<Serving, Malformed> {
    let mut status = Serving::Unknown;
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next_field()? {
        if field == 1 {
            status = match value {
                Value::Varint(1) => Serving::Serving,
                Value::Varint(2) => Serving::NotServing,
                Value::Varint(3) => Serving::ServiceUnknown,
                Value::Varint(_) => Serving::Unknown,
                _ => {
                    return Err(Malformed {
                        what: "HealthCheckResponse.status",
                    });
                }
            };
        }
    }
    Ok(status)
}

/// Puts a message into a body: header and payload, not compressed.
pub fn to_body(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut body = Vec::with_capacity(HEADER_BYTES + message.len());
    body.extend_from_slice(
        &FrameHeader {
            compressed: false,
            length,
        }
        .encode(),
    );
    body.extend_from_slice(message);
    body
}

/// Takes the one message out of a unary body.
///
/// # Errors
/// The body is not exactly one uncompressed message.
pub fn from_body(body: &[u8]) -> Result<&[u8], Malformed> {
    let malformed = Malformed {
        what: "unary gRPC body",
    };
    let (header, payload) = body.split_first_chunk::<HEADER_BYTES>().ok_or(malformed)?;
    match FrameHeader::parse(*header, u32::MAX) {
        Ok(FrameHeader {
            compressed: false,
            length,
        }) if length as usize == payload.len() => Ok(payload),
        _ => Err(malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_round_trip() {
        for service in ["", "pkg.Service", "é"] {
            assert_eq!(decode_request(&encode_request(service)), Ok(service));
        }
        for status in [
            Serving::Unknown,
            Serving::Serving,
            Serving::NotServing,
            Serving::ServiceUnknown,
        ] {
            assert_eq!(decode_response(&encode_response(status)), Ok(status));
        }
        assert_eq!(encode_response(Serving::Serving), [8, 1]);
        assert_eq!(decode_response(&[8, 99]), Ok(Serving::Unknown));
        assert_eq!(decode_response(&[16, 1, 8, 2]), Ok(Serving::NotServing));
    }

    #[test]
    fn bodies() {
        assert_eq!(from_body(&to_body(&[8, 1])), Ok(&[8, 1][..]));
        for bad in [
            &[][..],
            &[0, 0, 0, 0],
            &[1, 0, 0, 0, 0],
            &[0, 0, 0, 0, 1],
            &[0, 0, 0, 0, 0, 7],
        ] {
            assert!(from_body(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn malformed_messages() {
        for bad in [&[0x0a, 0x02, 0xff][..], &[0x0a, 0x01, 0xff], &[0x08, 0x01]] {
            assert!(decode_request(bad).is_err(), "{bad:?}");
        }
        assert!(decode_response(&[0x0a, 0x00]).is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (decode_request(&bytes).is_ok(), decode_response(&bytes), from_body(&bytes).is_ok());
        }
    }
}
