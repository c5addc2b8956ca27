//! Affinity: which key of a request decides about its endpoint, where the service's policy is by hash.

use http::{HeaderMap, HeaderValue, header};
use tsugite_traffic::{Key, Service, hash_of};

use crate::clients::Client;
use crate::core::Core;
use crate::headers;

/// The key of a request.
#[derive(Default)]
pub(crate) struct Affinity {
    /// None: any endpoint will do.
    pub(crate) hash: Option<u64>,
    /// The cookie for a client that came without it.
    pub(crate) cookie: Option<HeaderValue>,
}

pub(crate) fn key(core: &Core, service: &Service, headers: &HeaderMap, client: &Client) -> Affinity {
    let hash = match &service.balance().key {
        None => None,
        Some(Key::Header(name)) => headers.get(name.as_str()).map(|value| hash_of(value.as_bytes())),
        Some(Key::Address) => Some(hash_of(client.forwarded_for.as_bytes())),
        Some(Key::Cookie(name)) => match cookie(headers, name) {
            Some(value) => Some(hash_of(value)),
            None => return fresh(core, name),
        },
    };
    Affinity { hash, cookie: None }
}

/// The value of a cookie (RFC 6265, 4.2).
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let fields = headers.get_all(header::COOKIE).iter();
    let pairs = fields.flat_map(|field| field.as_bytes().split(|b| *b == b';'));
    pairs
        .filter_map(|pair| {
            let pair = pair.trim_ascii();
            let equals = pair.iter().position(|b| *b == b'=')?;
            Some((&pair[..equals], &pair[equals + 1..]))
        })
        .find(|(key, value)| *key == name.as_bytes() && !value.is_empty())
        .map(|(_, value)| value)
}

/// A new key for a client that has none, as a cookie for as long as its browser runs.
fn fresh(core: &Core, name: &str) -> Affinity {
    let value = headers::random(&mut core.rng.borrow_mut()).to_string();
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax");
    Affinity {
        hash: Some(hash_of(value.as_bytes())),
        cookie: HeaderValue::try_from(cookie).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("a=1; session=x=y ;empty="),
        );
        headers.append(header::COOKIE, HeaderValue::from_static("b=2"));
        for (name, value) in [
            ("a", Some("1")),
            ("session", Some("x=y")),
            ("b", Some("2")),
            ("empty", None),
            ("sess", None),
            ("x", None),
        ] {
            assert_eq!(cookie(&headers, name), value.map(str::as_bytes), "{name}");
        }
    }
}
