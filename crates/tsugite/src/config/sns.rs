//! How topics deliver to endpoints outside: certificates of signatures, HTTP, TLS.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use tsugite_base::limits;

use super::reader::Reader;
use super::text;
use super::{declared, raw};

/// A million policies on one topic take some hundred megabytes.
pub(super) const FILTER_POLICIES_MOST: u32 = 1_000_000;
/// The longest time of one try: its message is leased for as long.
const TIMEOUT_MOST: Duration = Duration::from_secs(60);
const TIMEOUT_LEAST: Duration = Duration::from_millis(100);

/// Settings of what topics deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sns {
    /// Filter policies that the subscriptions of one topic can have.
    pub filter_policies: u32,
    /// What `SigningCertURL` begins with; as other links do, if absent.
    pub certificate_url: Option<String>,
    /// Time of one try of an HTTP delivery.
    pub timeout: Duration,
    /// Endpoints on link-local, metadata and multicast addresses are posted to as well.
    pub any_address: bool,
    /// Certificate authorities of endpoints, beside those of the host.
    pub ca_file: Option<PathBuf>,
    /// The certificates of endpoints are not checked.
    pub insecure_tls: bool,
}

impl Default for Sns {
    fn default() -> Sns {
        Sns {
            filter_policies: limits::FILTER_POLICIES as u32,
            certificate_url: None,
            timeout: Duration::from_secs(limits::DELIVERY_TRY_SECONDS),
            any_address: false,
            ca_file: None,
            insecure_tls: false,
        }
    }
}

pub(super) fn sns(r: &mut Reader, raw: raw::Sns) -> Sns {
    let default = Sns::default();
    let switch = |value: raw::Maybe<bool>| value.is_some_and(|value| value.value);
    Sns {
        filter_policies: r
            .maybe(raw.filter_policies, |value| {
                declared::count(value, FILTER_POLICIES_MOST)
            })
            .unwrap_or(default.filter_policies),
        certificate_url: r.maybe(raw.certificate_url, base_url),
        timeout: r.maybe(raw.timeout, timeout).unwrap_or(default.timeout),
        any_address: switch(raw.any_address),
        ca_file: r.maybe(raw.ca_file, |path| {
            // It is read when the first endpoint needs it; that it is not there is better known now.
            std::fs::metadata(&path).map_err(|error| format!("`{path}` cannot be read: {error}"))?;
            Ok(PathBuf::from(path))
        }),
        insecure_tls: switch(raw.insecure_tls),
    }
}

/// `scheme://host` or `scheme://host:port`.
fn base_url(value: String) -> Result<String, String> {
    let text = format!("`{value}` is not the begin of a URL; write one like https://sns.example:4566");
    let trimmed = value.trim_end_matches('/');
    let uri: Uri = trimmed.parse().map_err(|_| text.clone())?;
    let good = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.path() == "/"
        && uri.query().is_none()
        && !trimmed.contains(['#', '@']);
    good.then(|| trimmed.to_owned()).ok_or(text)
}

fn timeout(value: String) -> Result<Duration, String> {
    let timeout = text::duration(&value)?;
    match (TIMEOUT_LEAST..=TIMEOUT_MOST).contains(&timeout) {
        true => Ok(timeout),
        false => Err(format!(
            "`{value}` is out of range; it must be {} to {}",
            text::show_duration(TIMEOUT_LEAST),
            text::show_duration(TIMEOUT_MOST)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_of_urls() {
        for (good, expected) in [
            ("https://sns.example", "https://sns.example"),
            ("http://127.0.0.1:4566/", "http://127.0.0.1:4566"),
        ] {
            assert_eq!(base_url(good.to_owned()).unwrap(), expected);
        }
        for bad in [
            "",
            "sns.example",
            "ftp://a",
            "https://a/path",
            "https://a?x",
            "https://a/#b",
            "https://u@a",
        ] {
            assert!(base_url(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_of_tries() {
        assert_eq!(timeout("1m".into()), Ok(Duration::from_secs(60)));
        assert_eq!(timeout("100ms".into()), Ok(Duration::from_millis(100)));
        for bad in ["99ms", "61s", "0s", "15"] {
            assert!(timeout(bad.into()).is_err(), "{bad}");
        }
    }
}
