//! Who may talk to an unauthenticated door: programs, and pages of this machine. Not pages of the web.
//!
//! Without signatures nothing else stands between a web page and the queues: a page may send a form to any address
//! (cross-site write), and may let its own name point at a loopback address (DNS rebinding). So the `Host` must be a
//! name that nobody else can own, and an `Origin`, which browsers add to every write, must be one too.

use std::net::IpAddr;

use http::header::HeaderName;
use http::{HeaderMap, Uri, header};
use tsugite_aws::AwsError;
use tsugite_aws::error::shorten;

/// From where a browser sends a request.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Which hosts a door without authentication serves.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    /// Hosts that the operator named, without port, in lower case.
    pub hosts: Vec<String>,
    /// Whether any `Host` is served: the operator chose to listen beyond loopback without authentication.
    pub any_host: bool,
}

impl Guard {
    /// Refuses a request that a foreign page may have caused.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), AwsError> {
        let host = headers
            .get(header::HOST)
            .map(|value| value.to_str().unwrap_or("(not text)"));
        if !self.any_host {
            for authority in host.into_iter().chain(uri.authority().map(|a| a.as_str())) {
                if !self.is_own(authority) {
                    return Err(denied(format!(
                        "Host {} is not served without authentication, because a web page could have chosen it. \
                         Use localhost or a loopback address, or name the host in aws.host.",
                        shorten(authority)
                    )));
                }
            }
        }
        match headers
            .get(header::ORIGIN)
            .map(|value| value.to_str().unwrap_or("null"))
        {
            Some(origin) if !self.is_own(origin.split_once("://").map_or("", |(_, host)| host)) => Err(
                denied(format!("Pages of {} may not use this port.", shorten(origin))),
            ),
            None if headers.get(FETCH_SITE).is_some_and(|site| site == "cross-site") => {
                Err(denied("Pages of other sites may not use this port.".into()))
            }
            _ => Ok(()),
        }
    }

    fn is_own(&self, authority: &str) -> bool {
        let host = host_of(authority);
        if host
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
        {
            return true;
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        // SDKs put `data-` before the host of some Cloud Map calls.
        let host = host.strip_prefix("data-").unwrap_or(&host);
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            || self.hosts.iter().any(|own| own == host)
    }
}

/// The host of `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(super) fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

pub(super) fn denied(message: String) -> AwsError {
    AwsError::sender("AccessDeniedException", "AccessDenied", 403, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn check(guard: &Guard, headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        guard.check(&Uri::from_static("/"), &map).is_ok()
    }

    #[test]
    fn hosts() {
        let guard = Guard {
            hosts: vec!["queues.test".into()],
            any_host: false,
        };
        for good in [
            "localhost:4566",
            "127.0.0.1:4566",
            "127.8.8.8",
            "[::1]:4566",
            "sqs.us-east-1.localhost:80",
            "LOCALHOST.",
            "data-localhost:4566",
            "data-127.0.0.1:4566",
            "queues.test:4566",
        ] {
            assert!(check(&guard, &[("host", good)]), "{good}");
        }
        for bad in [
            "evil.example:4566",
            "10.0.0.1",
            "localhost.evil.example",
            "",
            "127.0.0.1.evil.example",
            "notlocalhost",
        ] {
            assert!(!check(&guard, &[("host", bad)]), "{bad}");
        }
        assert!(check(&guard, &[]), "a program that sends no Host is no browser");
        let open = Guard {
            any_host: true,
            ..Guard::default()
        };
        assert!(check(&open, &[("host", "tsugite:4566")]));
        assert!(!check(
            &open,
            &[("host", "tsugite:4566"), ("origin", "http://evil.example")]
        ));
    }

    #[test]
    fn origins() {
        let guard = Guard::default();
        for (origin, good) in [
            ("http://localhost:3000", true),
            ("http://127.0.0.1", true),
            ("http://app.localhost", true),
            ("https://evil.example", false),
            ("null", false),
            ("http://localhost.evil.example", false),
        ] {
            assert_eq!(
                check(&guard, &[("host", "localhost"), ("origin", origin)]),
                good,
                "{origin}"
            );
        }
        assert!(!check(
            &guard,
            &[("host", "localhost"), ("sec-fetch-site", "cross-site")]
        ));
        assert!(check(
            &guard,
            &[("host", "localhost"), ("sec-fetch-site", "none")]
        ));
    }
}
