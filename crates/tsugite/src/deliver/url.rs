//! The URL of an endpoint, taken apart as a client needs it.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use http::header::HeaderValue;

/// An endpoint's URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointUrl {
    /// `https`.
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// The port, stated or that of the scheme.
    pub port: u16,
    /// `Host`: as the URL states it.
    pub authority: String,
    /// Path and query.
    pub target: String,
    /// `Authorization`, if the URL names a user.
    pub authorization: Option<HeaderValue>,
}

impl EndpointUrl {
    /// Takes a URL apart; says what is wrong with it.
    pub fn parse(text: &str) -> Result<EndpointUrl, String> {
        if text.contains('#') {
            return Err("it must have no fragment (`#…`)".into());
        }
        let uri: Uri = text.parse().map_err(|error| format!("it is no URL: {error}"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err("it must begin with http:// or https://".into()),
        };
        let authority = uri.authority().ok_or("it names no host")?;
        let (user, authority) = match authority.as_str().rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, authority.as_str()),
        };
        let host = uri.host().unwrap_or_default();
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if host.is_empty() {
            return Err("it names no host".into());
        }
        let stated_port = authority
            .rsplit_once(':')
            .filter(|(_, port)| !port.ends_with(']'));
        let port = match (uri.port_u16(), stated_port) {
            (Some(0), _) | (None, Some(_)) => return Err("its port must be 1 to 65535".into()),
            (Some(port), _) => port,
            (None, None) if tls => 443,
            (None, None) => 80,
        };
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        // `http://host?query` has a query and no path.
        let target = match target.starts_with('/') {
            true => target.to_owned(),
            false => format!("/{target}"),
        };
        Ok(EndpointUrl {
            tls,
            host: host.to_ascii_lowercase(),
            port,
            authority: authority.to_owned(),
            target,
            authorization: user.map(basic).transpose()?,
        })
    }

    /// The address, if the host is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// `user:password` of a URL as a header.
fn basic(user: &str) -> Result<HeaderValue, String> {
    let decoded = percent_decoded(user).ok_or("its user or password is not percent-encoded properly")?;
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(decoded)))
        .map_err(|_| "its user or password cannot be sent")?;
    value.set_sensitive(true);
    Ok(value)
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        if *byte != b'%' {
            out.push(*byte);
            rest = tail;
            continue;
        }
        let hex = std::str::from_utf8(tail.get(..2)?).ok()?;
        out.push(u8::from_str_radix(hex, 16).ok()?);
        rest = &tail[2..];
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_urls() {
        for (text, tls, host, port, authority, target) in [
            ("http://example.com", false, "example.com", 80, "example.com", "/"),
            (
                "https://Example.com/",
                true,
                "example.com",
                443,
                "Example.com",
                "/",
            ),
            (
                "http://127.0.0.1:9000/sns?a=1&b=%20",
                false,
                "127.0.0.1",
                9000,
                "127.0.0.1:9000",
                "/sns?a=1&b=%20",
            ),
            ("http://[::1]:8080/x", false, "::1", 8080, "[::1]:8080", "/x"),
            ("http://[::1]/x", false, "::1", 80, "[::1]", "/x"),
            ("https://host?query", true, "host", 443, "host", "/?query"),
        ] {
            let url = EndpointUrl::parse(text).unwrap();
            let parts = (
                url.tls,
                url.host.as_str(),
                url.port,
                url.authority.as_str(),
                url.target.as_str(),
            );
            assert_eq!(parts, (tls, host, port, authority, target), "{text}");
            assert_eq!(url.authorization, None);
        }
    }

    #[test]
    fn users_become_headers() {
        for (text, expected) in [
            ("http://user:pass@host/", "user:pass"),
            ("http://us%40er:p%3Aw@host:81/", "us@er:p:w"),
            ("http://user@host/", "user"),
        ] {
            let url = EndpointUrl::parse(text).unwrap();
            let header = url.authorization.unwrap();
            assert_eq!(
                header.to_str().unwrap(),
                format!("Basic {}", STANDARD.encode(expected))
            );
            assert!(url.authority.starts_with("host"), "{}", url.authority);
            assert!(header.is_sensitive());
        }
    }

    #[test]
    fn bad_urls_say_why() {
        for (text, expected) in [
            ("", "no URL"),
            ("host/path", "no URL"),
            ("/path", "begin with http"),
            ("ftp://host/", "begin with http"),
            ("http://", "no URL"),
            ("http:///path", "no URL"),
            ("http://:80/", "no host"),
            ("http://host/#part", "fragment"),
            ("http://host:99999/", "port"),
            ("http://host:0/", "port"),
            ("http://host:/", "port"),
            ("http://a b/", "no URL"),
            ("http://hö.example/", "no URL"),
            ("http://us%4ger@host/", "percent-encoded"),
        ] {
            let error = EndpointUrl::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
