//! The messages of `tsugite.registry.v1.Watch` (`examples/proto/watch.proto`): what is asked, and what is told.

use tsugite_base::codec::Malformed;

use crate::frame::{FrameHeader, HEADER_BYTES};
use crate::proto::{Fields, Value, put_bytes, put_number, put_string};

/// Path of the method.
pub const WATCH: &str = "/tsugite.registry.v1.Watch/Watch";

/// `ServiceName`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Name<'a> {
    /// Name of the namespace.
    pub namespace: &'a str,
    /// Name of the service.
    pub service: &'a str,
}

/// `WatchRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// The services to watch.
    pub services: Vec<Name<'a>>,
    /// The namespace to watch; empty if there is none.
    pub namespace: &'a str,
    /// What was seen already; 0 if nothing.
    pub index: u64,
}

/// `Service`, without what can repeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Service<'a> {
    /// What it is called.
    pub name: Name<'a>,
    /// Grows when an instance comes, goes or has other attributes.
    pub revision: u64,
    /// Its latest change that was about health.
    pub health_index: u64,
    /// Number of its instances, which may be more than are listed.
    pub count: u64,
}

/// `Health`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Takes calls.
    Healthy = 1,
    /// Takes none while others do.
    Unhealthy = 2,
    /// Not known yet.
    Unknown = 3,
}

/// `Instance`, without its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance<'a> {
    /// Unique in its service.
    pub id: &'a str,
    /// IP address; empty if it has none.
    pub address: &'a str,
    /// TCP port; 0 if it has none.
    pub port: u16,
    /// `http`, `h2c`, `grpc`, or empty.
    pub protocol: &'a str,
    /// The verdict.
    pub health: Health,
}

/// What one `WatchResponse` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// What follows until `Synced` is all there is.
    Anew,
    /// How a service is: a message that [`service`] wrote.
    Service(&'a [u8]),
    /// A service is gone.
    Removed(Name<'a>),
    /// Everything up to the index has been told.
    Synced,
}

/// Reads a `WatchRequest`.
///
/// # Errors
/// The bytes are not that message.
pub fn decode_request(message: &[u8]) -> Result<Request<'_>, Malformed> {
    let mut request = Request::default();
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next_field()? {
        match (field, value) {
            (1, Value::Bytes(bytes)) => request.services.push(decode_name(bytes)?),
            (2, Value::Bytes(bytes)) => request.namespace = text(bytes)?,
            (3, Value::Varint(index)) => request.index = index,
            (1..=3, _) => {
                let what = "WatchRequest: a field of another type";
                return Err(Malformed { what });
            }
            _ => {}
        }
    }
    Ok(request)
}

fn decode_name(message: &[u8]) -> Result<Name<'_>, Malformed> {
    let mut name = Name::default();
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next_field()? {
        match (field, value) {
            (1, Value::Bytes(bytes)) => name.namespace = text(bytes)?,
            (2, Value::Bytes(bytes)) => name.service = text(bytes)?,
            _ => {}
        }
    }
    Ok(name)
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed {
        what: "protobuf string: not UTF-8",
    })
}

fn encode_name(name: Name<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    put_string(&mut out, 1, name.namespace);
    put_string(&mut out, 2, name.service);
    out
}

/// Writes a `Service` with the instances that [`instance`] appends.
pub fn service(service: Service<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, &encode_name(service.name));
    put_number(&mut out, 2, service.revision);
    put_number(&mut out, 3, service.health_index);
    put_number(&mut out, 4, service.count);
    out
}

/// Appends an instance to a `Service`.
pub fn instance<'a>(
    out: &mut Vec<u8>,
    instance: Instance<'_>,
    attributes: impl Iterator<Item = (&'a str, &'a str)>,
) {
    let mut message = Vec::new();
    put_string(&mut message, 1, instance.id);
    put_string(&mut message, 2, instance.address);
    put_number(&mut message, 3, instance.port.into());
    put_string(&mut message, 4, instance.protocol);
    put_number(&mut message, 5, instance.health as u64);
    for (key, value) in attributes {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, key.as_bytes());
        put_bytes(&mut entry, 2, value.as_bytes());
        put_bytes(&mut message, 6, &entry);
    }
    put_bytes(out, 5, &message);
}

/// Appends a `WatchResponse` as it stands in a body, its header before it.
pub fn response(out: &mut Vec<u8>, index: u64, told: Told<'_>) {
    let mut message = Vec::new();
    put_number(&mut message, 1, index);
    match told {
        Told::Anew => put_bytes(&mut message, 2, &[]),
        Told::Service(service) => put_bytes(&mut message, 3, service),
        Told::Removed(name) => put_bytes(&mut message, 4, &encode_name(name)),
        Told::Synced => put_bytes(&mut message, 5, &[]),
    }
    let header = FrameHeader {
        compressed: false,
        length: u32::try_from(message.len()).unwrap_or(u32::MAX),
    };
    out.reserve(HEADER_BYTES + message.len());
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(&message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_are_read() {
        let mut message = Vec::new();
        for (namespace, service) in [("shop", "orders"), ("", "carts")] {
            let name = Name { namespace, service };
            put_bytes(&mut message, 1, &encode_name(name));
        }
        put_string(&mut message, 2, "internal");
        put_number(&mut message, 3, 77);
        put_number(&mut message, 9, 1);
        let request = decode_request(&message).unwrap();
        assert_eq!((request.namespace, request.index), ("internal", 77));
        assert_eq!(request.services[0].service, "orders");
        assert_eq!(request.services[1].namespace, "");
        assert_eq!(decode_request(&[]), Ok(Request::default()));
        for bad in [&[0x08, 1][..], &[0x12, 1, 0xff], &[0x1a, 0], &[0x0a, 9]] {
            assert!(decode_request(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn responses_are_framed() {
        let mut body = Vec::new();
        response(&mut body, 5, Told::Anew);
        assert_eq!(body, [0, 0, 0, 0, 4, 8, 5, 0x12, 0]);
        body.clear();
        let name = Name {
            namespace: "n",
            service: "s",
        };
        response(&mut body, 0, Told::Removed(name));
        assert_eq!(body, [0, 0, 0, 0, 8, 0x22, 6, 0x0a, 1, b'n', 0x12, 1, b's']);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_request(&bytes);
        }
    }
}
