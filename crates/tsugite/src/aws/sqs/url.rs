//! Queue URLs: lenient on input, where only the last two path segments count, exact on output.

use tsugite_aws::context::{is_account, is_region};
use tsugite_base::names::Scope;
use tsugite_broker::QueueKey;

/// The queue that `url` names: `…/<account>/<name>` on any host and under any scheme, or a bare name.
///
/// The region is the one of a `/queue/<region>/` prefix or of an AWS host name, else that of the request. An
/// account that is none makes a queue that does not exist, so the caller learns what was looked for.
pub(super) fn queue_of(url: &str, scope: &Scope) -> QueueKey {
    let after_scheme = url.split_once(':').and_then(|(_, rest)| rest.strip_prefix("//"));
    let (host, path) = match after_scheme {
        Some(rest) => rest.split_once('/').unwrap_or((rest, "")),
        None => ("", url),
    };
    let mut segments = path.trim_end_matches('/').rsplit('/');
    let name = segments.next().unwrap_or_default();
    let Some(account) = segments.next().filter(|account| !account.is_empty()) else {
        return QueueKey::new(scope.clone(), name);
    };
    let region = match (segments.next(), segments.next()) {
        (Some(region), Some("queue")) if is_region(region) => region,
        _ => region_of_host(host).unwrap_or(&scope.region),
    };
    let scope = Scope {
        account: account.to_owned(),
        region: region.to_owned(),
    };
    QueueKey::new(scope, name)
}

/// The region in `sqs.<region>.…` or `<region>.queue.…`.
fn region_of_host(host: &str) -> Option<&str> {
    let mut labels = host.split('.');
    let region = match (labels.next()?, labels.next()?) {
        ("sqs", region) => region,
        (region, "queue") => region,
        _ => return None,
    };
    // A region ends in a number: `sqs.localhost` names none.
    let numbered = region
        .rsplit('-')
        .next()
        .is_some_and(|end| end.parse::<u8>().is_ok());
    (numbered && labels.next().is_some() && is_region(region)).then_some(region)
}

/// The URL under which `queue` is reached at `base_url`.
pub(super) fn url_of(base_url: &str, queue: &QueueKey) -> String {
    format!("{base_url}/{}/{}", queue.scope.account, queue.name)
}

/// Whether `path` of a request is that of a queue: `/<account>/<name>`, where SDKs of the Query protocol post to.
pub(in crate::aws) fn is_queue_path(path: &str) -> bool {
    path.trim_end_matches('/')
        .rsplit_once('/')
        .and_then(|(before, _)| before.rsplit('/').next())
        .is_some_and(is_account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let scope = Scope::default();
        for (url, account, region, name) in [
            (
                "http://127.0.0.1:4566/000000000000/orders",
                "000000000000",
                "us-east-1",
                "orders",
            ),
            (
                "https://elsewhere.example/any/prefix/123456789012/q.fifo",
                "123456789012",
                "us-east-1",
                "q.fifo",
            ),
            (
                "http://h/queue/eu-west-1/123456789012/q",
                "123456789012",
                "eu-west-1",
                "q",
            ),
            (
                "https://sqs.eu-central-1.amazonaws.com/123456789012/q/",
                "123456789012",
                "eu-central-1",
                "q",
            ),
            (
                "http://eu-west-3.queue.amazonaws.com/123456789012/q",
                "123456789012",
                "eu-west-3",
                "q",
            ),
            (
                "http://sqs.localhost:4566/000000000000/q",
                "000000000000",
                "us-east-1",
                "q",
            ),
            ("000000000000/q", "000000000000", "us-east-1", "q"),
            ("orders", "000000000000", "us-east-1", "orders"),
            ("http://h/not-an-account/q", "not-an-account", "us-east-1", "q"),
            ("http://h", "000000000000", "us-east-1", ""),
        ] {
            let key = queue_of(url, &scope);
            let found = (
                key.scope.account.as_str(),
                key.scope.region.as_str(),
                key.name.as_str(),
            );
            assert_eq!(found, (account, region, name), "{url}");
        }
        let key = QueueKey::new(scope, "orders");
        assert_eq!(url_of("http://h:1", &key), "http://h:1/000000000000/orders");
    }

    #[test]
    fn queue_paths() {
        for (path, expected) in [
            ("/", false),
            ("/000000000000/q", true),
            ("/x/q", false),
            ("/q", false),
        ] {
            assert_eq!(is_queue_path(path), expected, "{path}");
        }
    }
}
