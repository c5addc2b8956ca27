//! What a proxy changes in a head: hop-by-hop fields go, `X-Forwarded-*` and the trace context come.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use tsugite_base::Uuid;
use tsugite_base::rng::SplitMix64;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Milliseconds that the client allows, a whole number; shrinks from hop to hop.
pub(crate) const TSUGITE_DEADLINE: HeaderName = HeaderName::from_static("tsugite-deadline");
/// `?0`: who gets this answer had better not try again.
pub(crate) const TSUGITE_RETRY: HeaderName = HeaderName::from_static("tsugite-retry");
pub(crate) const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
/// Fields that a `Connection` line may not take away: doing so would change what the request means
/// or who sent it, behind the back of the service.
const KEPT: [HeaderName; 6] = [
    header::HOST,
    header::AUTHORIZATION,
    header::CONTENT_LENGTH,
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_FORWARDED_HOST,
];

/// What the hop-by-hop fields said before they were removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hop {
    /// `TE` listed `trailers`.
    pub(crate) te_trailers: bool,
    /// The protocol that the client asked to switch to, in a request that says `Connection: upgrade`.
    pub(crate) upgrade: Option<HeaderValue>,
}

/// Removes the hop-by-hop fields (RFC 9110, 7.6.1) and those that `Connection` names.
///
/// One pass over the names finds which are there, so that an ordinary head costs no look-up at all.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) -> Hop {
    let mut present = Present::default();
    for name in headers.keys() {
        present.note(name);
    }
    let mut hop = Hop::default();
    if present.te {
        hop.te_trailers = lists(headers, &header::TE, "trailers");
        headers.remove(header::TE);
    }
    if present.upgrade {
        let value = headers.remove(header::UPGRADE);
        // An offer of h2c is declined by answering in HTTP/1.1: RFC 9113 dropped that way into HTTP/2.
        hop.upgrade = value.filter(|v| {
            !v.as_bytes().eq_ignore_ascii_case(b"h2c") && lists(headers, &header::CONNECTION, "upgrade")
        });
    }
    if present.connection {
        remove_named(headers);
        headers.remove(header::CONNECTION);
    }
    if present.rare {
        let rare = [
            KEEP_ALIVE,
            PROXY_CONNECTION,
            HTTP2_SETTINGS,
            header::TRANSFER_ENCODING,
            header::PROXY_AUTHENTICATE,
            header::PROXY_AUTHORIZATION,
            header::EXPECT,
        ];
        for name in rare {
            headers.remove(name);
        }
    }
    hop
}

#[derive(Default)]
struct Present {
    connection: bool,
    te: bool,
    upgrade: bool,
    rare: bool,
}

impl Present {
    fn note(&mut self, name: &HeaderName) {
        match *name {
            header::CONNECTION => self.connection = true,
            header::TE => self.te = true,
            header::UPGRADE => self.upgrade = true,
            header::TRANSFER_ENCODING
            | header::EXPECT
            | header::PROXY_AUTHENTICATE
            | header::PROXY_AUTHORIZATION => self.rare = true,
            _ => {
                self.rare |= matches!(
                    name.as_str(),
                    "keep-alive" | "proxy-connection" | "http2-settings"
                );
            }
        }
    }
}

/// Removes the fields that `Connection` names, except those in [`KEPT`].
fn remove_named(headers: &mut HeaderMap) {
    let mut named = Vec::new();
    for token in tokens(headers, &header::CONNECTION) {
        let ordinary = ["close", "keep-alive", "upgrade", "te"]
            .iter()
            .any(|t| token.eq_ignore_ascii_case(t));
        if let Ok(name) = HeaderName::from_bytes(token.as_bytes())
            && !ordinary
            && !KEPT.contains(&name)
        {
            named.push(name);
        }
    }
    for name in named {
        headers.remove(name);
    }
}

/// The comma-separated tokens of every line of a field.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
    values
        .flat_map(|v| v.split(','))
        .map(str::trim)
        .filter(|t| !t.is_empty())
}

fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|t| {
        t.split(';')
            .next()
            .is_some_and(|t| t.trim().eq_ignore_ascii_case(token))
    })
}

/// The client's address as a field value; made once for each connection.
pub(crate) fn forwarded_for(peer: IpAddr) -> HeaderValue {
    // The text of an address is always a legal field value.
    HeaderValue::from_str(&peer.to_canonical().to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}

/// Says who asked, and under which name: the peer is appended to `X-Forwarded-For`; `-Proto` and `-Host` are set
/// unless a proxy in front of us has set them.
pub(crate) fn add_forwarded(headers: &mut HeaderMap, peer: &HeaderValue, host: Option<&HeaderValue>) {
    match headers.get(X_FORWARDED_FOR) {
        None => {
            headers.insert(X_FORWARDED_FOR, peer.clone());
        }
        Some(_) => {
            let before = tokens(headers, &X_FORWARDED_FOR).collect::<Vec<_>>().join(", ");
            let peer = peer.to_str().unwrap_or("unknown");
            let all = if before.is_empty() {
                peer.to_owned()
            } else {
                format!("{before}, {peer}")
            };
            if let Ok(all) = HeaderValue::from_str(&all) {
                headers.insert(X_FORWARDED_FOR, all);
            }
        }
    }
    if !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if let Some(host) = host
        && !headers.contains_key(X_FORWARDED_HOST)
    {
        headers.insert(X_FORWARDED_HOST, host.clone());
    }
}

/// The time that the client allows.
pub(crate) fn deadline(headers: &HeaderMap) -> Result<Option<Duration>, &'static str> {
    let Some(value) = headers.get(TSUGITE_DEADLINE) else {
        return Ok(None);
    };
    let digits = value.to_str().ok().map(str::trim);
    let digits =
        digits.filter(|text| (1..=15).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()));
    let millis = digits.and_then(|text| text.parse().ok());
    let rule = "Tsugite-Deadline must be a whole number of milliseconds, like 1500";
    millis
        .map(|millis| Some(Duration::from_millis(millis)))
        .ok_or(rule)
}

/// Tells the service how much of that time is left.
pub(crate) fn set_deadline(headers: &mut HeaderMap, left: Duration) {
    let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    headers.insert(TSUGITE_DEADLINE, HeaderValue::from(millis));
}

/// Sees to it that the request carries a valid `traceparent` (W3C Trace Context) and an `X-Request-Id`, and
/// returns the id under which our own answers name this request.
///
/// A valid `traceparent` is passed on as it is; an invalid one is replaced and its `tracestate` dropped, as the
/// recommendation asks.
pub(crate) fn add_identity(headers: &mut HeaderMap, rng: &mut SplitMix64) -> Uuid {
    let id = match headers.get(X_REQUEST_ID) {
        Some(given) => given
            .to_str()
            .ok()
            .and_then(|t| t.parse().ok())
            .unwrap_or_else(|| random(rng)),
        None => {
            let id = random(rng);
            headers.insert(X_REQUEST_ID, value(Bytes::copy_from_slice(&id.text())));
            id
        }
    };
    let valid = headers
        .get(TRACEPARENT)
        .is_some_and(|v| is_traceparent(v.as_bytes()));
    if !valid {
        headers.insert(TRACEPARENT, value(new_traceparent(rng)));
        headers.remove(TRACESTATE);
    }
    id
}

/// A random UUID. Ids of requests tell them apart and are no secrets, so the core's generator is good enough.
pub(crate) fn random(rng: &mut SplitMix64) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&rng.next_u64().to_le_bytes());
    bytes[8..].copy_from_slice(&rng.next_u64().to_le_bytes());
    Uuid::v4(bytes)
}

fn value(text: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(text).unwrap_or(HeaderValue::from_static(""))
}

/// `00-<32 hex trace id>-<16 hex span id>-00`: a new trace that nobody has decided to sample.
fn new_traceparent(rng: &mut SplitMix64) -> Bytes {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    let mut put = |at: usize, mut bits: u64| {
        for digit in &mut text[at..at + 16] {
            *digit = HEX[(bits & 15) as usize];
            bits >>= 4;
        }
    };
    // An id of zeros is invalid; `| 1` rules it out.
    put(3, rng.next_u64() | 1);
    put(19, rng.next_u64());
    put(36, rng.next_u64() | 1);
    Bytes::copy_from_slice(&text)
}

fn is_traceparent(text: &[u8]) -> bool {
    let hex = |range: std::ops::Range<usize>| {
        text.get(range)
            .is_some_and(|part| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
    };
    let zeros = |range: std::ops::Range<usize>| text[range].iter().all(|&b| b == b'0');
    let shape = hex(0..2) && hex(3..35) && hex(36..52) && hex(53..55);
    let dashes = [2, 35, 52].iter().all(|&at| text.get(at) == Some(&b'-'));
    let version_ok = shape && &text[..2] != b"ff" && (&text[..2] != b"00" || text.len() == 55);
    let tail_ok = text.len() == 55 || text.get(55) == Some(&b'-');
    shape && dashes && version_ok && tail_ok && !zeros(3..35) && !zeros(36..52)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(n, v)| {
                (
                    n.parse::<HeaderName>().unwrap(),
                    v.parse::<HeaderValue>().unwrap(),
                )
            })
            .collect()
    }

    #[track_caller]
    fn check(before: &[(&str, &str)], after: &[(&str, &str)]) -> Hop {
        let mut headers = map(before);
        let hop = strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(after));
        hop
    }

    #[test]
    fn hop_by_hop_fields_go() {
        check(
            &[
                ("accept", "a"),
                ("connection", "keep-alive, X-Secret"),
                ("x-secret", "1"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "keep-alive"),
                ("proxy-authorization", "Basic x"),
                ("transfer-encoding", "chunked"),
                ("expect", "100-continue"),
            ],
            &[("accept", "a")],
        );
    }

    #[test]
    fn connection_cannot_take_away_what_the_request_means() {
        let kept = [
            ("host", "a"),
            ("authorization", "b"),
            ("x-forwarded-for", "1.2.3.4"),
        ];
        let mut before = kept.to_vec();
        before.push((
            "connection",
            "close, Host, Authorization, X-Forwarded-For, not a name",
        ));
        check(&before, &kept);
    }

    #[test]
    fn te_and_upgrade_are_remembered() {
        let hop = check(&[("te", "gzip;q=0.5, trailers"), ("connection", "TE")], &[]);
        assert!(hop.te_trailers);
        let hop = check(
            &[("upgrade", "websocket"), ("connection", "keep-alive, Upgrade")],
            &[],
        );
        assert_eq!(hop.upgrade, Some(HeaderValue::from_static("websocket")));
        let hop = check(&[("upgrade", "websocket")], &[]);
        assert_eq!(
            hop.upgrade, None,
            "without Connection: upgrade it is no request to switch"
        );
        let h2c = &[
            ("upgrade", "h2c"),
            ("connection", "Upgrade, HTTP2-Settings"),
            ("http2-settings", "x"),
        ];
        assert_eq!(check(h2c, &[]).upgrade, None);
    }

    #[test]
    fn forwarded_appends_the_peer_and_keeps_what_an_outer_proxy_said() {
        let peer = forwarded_for("::ffff:10.0.0.9".parse().unwrap());
        let host = HeaderValue::from_static("shop.example");
        let mut headers = HeaderMap::new();
        add_forwarded(&mut headers, &peer, Some(&host));
        let first = [
            ("x-forwarded-for", "10.0.0.9"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "shop.example"),
        ];
        assert_eq!(headers, map(&first));

        let mut headers = map(&[
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "outer"),
        ]);
        add_forwarded(&mut headers, &peer, Some(&host));
        let second = [
            ("x-forwarded-for", "1.1.1.1, 2.2.2.2, 10.0.0.9"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "outer"),
        ];
        assert_eq!(headers, map(&second));
    }

    #[test]
    fn trace_context() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for (text, valid) in [
            (good, true),
            (
                "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-future",
                true,
            ),
            (
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-future",
                false,
            ),
            ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false),
            ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", false),
            ("", false),
        ] {
            assert_eq!(is_traceparent(text.as_bytes()), valid, "{text}");
            let mut headers = map(&[("traceparent", text), ("tracestate", "a=b")]);
            add_identity(&mut headers, &mut SplitMix64::new(7));
            let kept = headers.get(TRACEPARENT).is_some_and(|v| v == text);
            assert_eq!((kept, headers.contains_key(TRACESTATE)), (valid, valid), "{text}");
            assert!(is_traceparent(headers[TRACEPARENT].as_bytes()));
        }
    }

    #[test]
    fn request_id_is_kept_or_made() {
        let mut rng = SplitMix64::new(1);
        let mut headers = HeaderMap::new();
        let id = add_identity(&mut headers, &mut rng);
        assert_eq!(headers[X_REQUEST_ID], id.to_string());
        let id2 = add_identity(&mut headers, &mut rng);
        assert_eq!(id, id2);
        let mut headers = map(&[("x-request-id", "theirs")]);
        add_identity(&mut headers, &mut rng);
        assert_eq!(headers[X_REQUEST_ID], "theirs");
    }
}
