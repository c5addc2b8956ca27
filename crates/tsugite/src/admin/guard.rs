//! Who may use the admin port: the names it is called by, the pages that may write, and the token.
//!
//! A browser sends requests for any page that it shows. Without a look at `Host` a page could reach a port on
//! loopback under a name of its own (DNS rebinding), and without one at `Origin` it could write blindly.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, Method};

use super::answer::Problem;
use crate::{config, deliver};

/// The rules; replaced when the configuration is loaded again.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    settings: config::Admin,
}

impl Guard {
    pub(super) fn new(settings: config::Admin) -> Guard {
        Guard { settings }
    }

    /// Checks a request. `open` is a resource that shows nothing of interest and needs no token.
    pub(super) fn check(&self, method: &Method, headers: &HeaderMap, open: bool) -> Result<(), Problem> {
        // Who may subscribe an endpoint chooses its URL: it must not be a way to speak with the operator's voice.
        if deliver::is_delivery(headers) {
            return Err(Problem::origin("a topic's delivery"));
        }
        let host = headers
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default();
        if !self.knows_host(host) {
            return Err(Problem::host(host));
        }
        let writes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        if writes {
            self.check_origin(host, headers)?;
        }
        // A preflight never carries the token; its answer says nothing but what is possible.
        if !open && *method != Method::OPTIONS {
            self.check_token(headers)?;
        }
        Ok(())
    }

    /// An address cannot be rebound, and loopback names never leave the machine.
    fn knows_host(&self, host: &str) -> bool {
        let name = host_name(host).to_ascii_lowercase();
        let literal = name.trim_start_matches('[').trim_end_matches(']');
        literal.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || self
                .settings
                .allowed_hosts
                .iter()
                .any(|known| *known == name || known.eq_ignore_ascii_case(host))
    }

    fn check_origin(&self, host: &str, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(origin) = headers.get(ORIGIN) else {
            // Old browsers leave Origin out of some requests, but then say that the page is another site's.
            return match headers.get("sec-fetch-site").map(|site| site.as_bytes()) {
                Some(b"cross-site") => Err(Problem::origin("another site")),
                _ => Ok(()),
            };
        };
        let origin = origin.to_str().unwrap_or("?");
        let own = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        if own.is_some_and(|own| own.eq_ignore_ascii_case(host)) || self.allows_origin(origin) {
            return Ok(());
        }
        Err(Problem::origin(origin))
    }

    /// Whether pages of `origin` were allowed by the configuration.
    pub(super) fn allows_origin(&self, origin: &str) -> bool {
        let allowed = &self.settings.allowed_origins;
        allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(token) = &self.settings.token else {
            return Ok(());
        };
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.split_once(' '));
        match given {
            Some((scheme, given))
                if scheme.eq_ignore_ascii_case("bearer")
                    && same(given.trim().as_bytes(), token.0.as_bytes()) =>
            {
                Ok(())
            }
            _ => Err(Problem::unauthorized()),
        }
    }
}

/// The host without its port.
fn host_name(host: &str) -> &str {
    match host.rfind(':') {
        // The last colon of `[::1]` belongs to the address.
        Some(colon) if !host.ends_with(']') => &host[..colon],
        _ => host,
    }
}

/// Compares in a time that depends on the lengths only.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differences = a
        .iter()
        .zip(b)
        .fold(0, |all, (x, y)| std::hint::black_box(all | (x ^ y)));
    a.len() == b.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(token: Option<&str>) -> Guard {
        Guard::new(config::Admin {
            token: token.map(|token| config::Secret(token.to_owned())),
            allowed_hosts: vec!["tsugite.example".into()],
            allowed_origins: vec!["https://console.example".into()],
        })
    }

    fn check(guard: &Guard, method: Method, headers: &[(&str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        match guard.check(&method, &map, false) {
            Ok(()) => 200,
            Err(problem) => problem.answer().status().as_u16(),
        }
    }

    #[test]
    fn deliveries_of_topics_are_nobody() {
        let guard = guard(Some("a token of some length"));
        let headers = [
            ("host", "127.0.0.1:9901"),
            ("authorization", "Bearer a token of some length"),
            ("x-amz-sns-message-type", "SubscriptionConfirmation"),
        ];
        assert_eq!(check(&guard, Method::POST, &headers[..2]), 200);
        assert_eq!(check(&guard, Method::POST, &headers), 403);
    }

    #[test]
    fn hosts() {
        let guard = guard(None);
        for (host, status) in [
            ("127.0.0.1:9901", 200),
            ("[::1]:9901", 200),
            ("[::1]", 200),
            ("10.1.2.3", 200),
            ("localhost:9901", 200),
            ("admin.localhost", 200),
            ("TSUGITE.example:80", 200),
            ("evil.example", 421),
            ("localhost.evil.example", 421),
            ("127.0.0.1.evil.example:9901", 421),
            ("", 421),
        ] {
            assert_eq!(check(&guard, Method::GET, &[("host", host)]), status, "{host}");
        }
        assert_eq!(check(&guard, Method::GET, &[]), 421);
    }

    #[test]
    fn origins_matter_to_writes() {
        let guard = guard(None);
        let host = ("host", "localhost:9901");
        for (origin, status) in [
            ("http://localhost:9901", 200),
            ("https://console.example", 200),
            ("http://localhost:3000", 403),
            ("https://evil.example", 403),
            ("null", 403),
        ] {
            let headers = [host, ("origin", origin)];
            assert_eq!(check(&guard, Method::PUT, &headers), status, "{origin}");
            assert_eq!(check(&guard, Method::GET, &headers), 200, "{origin}");
        }
        assert_eq!(
            check(&guard, Method::POST, &[host, ("sec-fetch-site", "cross-site")]),
            403
        );
        assert_eq!(check(&guard, Method::POST, &[host]), 200);
    }

    #[test]
    fn tokens() {
        let guard = guard(Some("0123456789abcdef"));
        let host = ("host", "localhost");
        for (value, status) in [
            ("Bearer 0123456789abcdef", 200),
            ("bearer 0123456789abcdef", 200),
            ("Bearer 0123456789abcdeg", 401),
            ("Bearer 0123456789abcde", 401),
            ("Basic 0123456789abcdef", 401),
            ("0123456789abcdef", 401),
        ] {
            assert_eq!(
                check(&guard, Method::GET, &[host, ("authorization", value)]),
                status,
                "{value}"
            );
        }
        assert_eq!(check(&guard, Method::GET, &[host]), 401);
        assert_eq!(check(&guard, Method::OPTIONS, &[host]), 200);
    }
}
