//! Hosts and paths of requests: what is compared, and what is refused before it can mislead.

use std::borrow::Cow;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPath {
    /// It does not start with `/`.
    NotAbsolute,
    /// It has a `.` or `..` segment in some spelling.
    DotSegment,
    /// It holds a NUL or another control character, plain or escaped.
    Control,
    /// Its decoded form would be routed elsewhere than its raw form.
    RoutedElsewhere,
}

impl BadPath {
    /// A phrase that follows "the path …".
    pub const fn reason(self) -> &'static str {
        match self {
            BadPath::NotAbsolute => "does not start with /",
            BadPath::DotSegment => "has a . or .. segment",
            BadPath::Control => "holds a control character",
            BadPath::RoutedElsewhere => "would be routed elsewhere once decoded",
        }
    }
}

/// The host of a `Host` or `:authority` value as names are compared: lower case, no port, no trailing dot.
/// `None` if it cannot be a host.
pub(crate) fn host_of(authority: &str) -> Option<Cow<'_, str>> {
    let host = match authority.strip_prefix('[') {
        Some(rest) => {
            let (inside, after) = rest.split_once(']')?;
            if !(after.is_empty() || is_port(after)) || inside.parse::<std::net::Ipv6Addr>().is_err() {
                return None;
            }
            return Some(Cow::Owned(format!("[{}]", inside.to_ascii_lowercase())));
        }
        None => match authority.find(':') {
            Some(colon) if is_port(&authority[colon..]) => &authority[..colon],
            Some(_) => return None,
            None => authority,
        },
    };
    canonical_host(host)
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':')
        .is_some_and(|port| port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()))
}

/// A host name without port, in the form in which names are compared. Letters beyond ASCII are refused:
/// on the wire they are punycode.
pub(crate) fn canonical_host(host: &str) -> Option<Cow<'_, str>> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(plain) {
        return None;
    }
    Some(if host.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    })
}

/// Checks a path and decodes it.
///
/// `Ok(None)`: the path is its own decoded form. `Ok(Some(decoded))`: a back end may read it as `decoded`.
pub(crate) fn decode(path: &str) -> Result<Option<String>, BadPath> {
    if !path.starts_with('/') {
        return Err(BadPath::NotAbsolute);
    }
    let bytes = path.as_bytes();
    let plain = !bytes
        .iter()
        .any(|&b| matches!(b, b'%' | b'\\') || b.is_ascii_control())
        && !bytes.windows(2).any(|w| w == b"//");
    if plain {
        refuse_dots(path)?;
        return Ok(None);
    }
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let (byte, width) = unescape(&bytes[at..]);
        at += width;
        if byte.is_ascii_control() {
            return Err(BadPath::Control);
        }
        match byte {
            b'/' | b'\\' if out.last() == Some(&b'/') => {}
            b'\\' => out.push(b'/'),
            _ => out.push(byte),
        }
    }
    // Bytes that are no UTF-8 match no name either way; replacing them changes no decision.
    let decoded = String::from_utf8_lossy(&out).into_owned();
    refuse_dots(&decoded)?;
    Ok(Some(decoded))
}

/// The first byte, or the byte that an escape at the front stands for, and how many bytes that took.
/// A broken escape is an ordinary `%`.
fn unescape(bytes: &[u8]) -> (u8, usize) {
    let digit = |at: usize| bytes.get(at).and_then(|&b| char::from(b).to_digit(16));
    match (bytes[0], digit(1), digit(2)) {
        (b'%', Some(high), Some(low)) => ((high * 16 + low) as u8, 3),
        (byte, ..) => (byte, 1),
    }
}

/// A segment is judged without its `;` parameters, which some servers drop before they resolve dots.
fn refuse_dots(path: &str) -> Result<(), BadPath> {
    if !path.contains("/.") {
        return Ok(());
    }
    let dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    if path.split('/').any(dots) {
        Err(BadPath::DotSegment)
    } else {
        Ok(())
    }
}

/// Whether `prefix` covers `path` up to a segment boundary; a trailing slash of the prefix does not matter.
/// Returns the length of the covered part.
pub(crate) fn covers(prefix: &str, path: &str) -> Option<usize> {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let rest = path.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(prefix.len())
}

/// The first segment of a path, without slashes.
pub(crate) fn first_segment(path: &str) -> &str {
    let rest = path.strip_prefix('/').unwrap_or(path);
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_without_case_port_or_final_dot() {
        let check = |authority: &str, expected: Option<&str>| {
            assert_eq!(host_of(authority).as_deref(), expected, "{authority}");
        };
        check("orders.shop", Some("orders.shop"));
        check("Orders.SHOP:8080", Some("orders.shop"));
        check("orders.shop.", Some("orders.shop"));
        check("orders.shop.:80", Some("orders.shop"));
        check("[::1]:8080", Some("[::1]"));
        check("[::1]", Some("[::1]"));
        for bad in [
            "", ":80", ".", "a b", "a:b", "a:123456", "::1", "[::1", "[x]", "[::1]x", "u@h", "a/b", "é.x",
        ] {
            check(bad, None);
        }
        check(&"x".repeat(254), None);
    }

    #[test]
    fn paths_that_could_mislead_are_refused() {
        for bad in [
            "/..",
            "/a/../b",
            "/a/./b",
            "/.",
            "/a/%2e%2e/b",
            "/a/.%2E",
            "/a/%2e",
            "/a%2f..%2fb",
            "/a/..;x/b",
            "/a\\..\\b",
            "/a/%5c../b",
            "/..%5c",
            "/a/%2e%2e;y=1/b",
        ] {
            assert_eq!(decode(bad), Err(BadPath::DotSegment), "{bad}");
        }
        for bad in ["/a%00", "/a\u{1}b", "/%0d%0a", "/a%7f"] {
            assert_eq!(decode(bad), Err(BadPath::Control), "{bad}");
        }
        for bad in ["", "*", "a/b", "http://x/"] {
            assert_eq!(decode(bad), Err(BadPath::NotAbsolute), "{bad}");
        }
    }

    #[test]
    fn decoded_form() {
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(decode(path), Ok(expected.map(str::to_owned)), "{path}");
        };
        check("/", None);
        check("/a/b.c/..d/.e/f..", None);
        check("/a%2Fb", Some("/a/b"));
        check("/%61dmin", Some("/admin"));
        check("//a///b/", Some("/a/b/"));
        check("/a\\b", Some("/a/b"));
        check("/100%", Some("/100%"));
        check("/%zz%4", Some("/%zz%4"));
        check("/caf%C3%A9", Some("/café"));
        check("/%ff", Some("/\u{fffd}"));
        check("/%252e%252e/", Some("/%2e%2e/"));
    }

    #[test]
    fn prefixes_end_at_segments() {
        assert_eq!(covers("/", "/anything"), Some(0));
        assert_eq!(covers("/api", "/api"), Some(4));
        assert_eq!(covers("/api/", "/api"), Some(4));
        assert_eq!(covers("/api", "/api/x"), Some(4));
        assert_eq!(covers("/api", "/apix"), None);
        assert_eq!(covers("/api", "/API/x"), None);
        assert_eq!(first_segment("/orders/1"), "orders");
        assert_eq!(first_segment("/orders"), "orders");
        assert_eq!(first_segment("/"), "");
    }
}
