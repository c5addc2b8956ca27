//! How calls to a service are tried again, how its instances share them, and how many there may be.

use tsugite_traffic::retry::MAX_TRIES;
use tsugite_traffic::{Balance, Key, LimitSettings, Policy, RetrySettings};

use super::build::one_of;
use super::declared::{count, positive, whole};
use super::raw;
use super::reader::Reader;

pub(super) fn retry(r: &mut Reader, raw: raw::Retry, base: RetrySettings) -> RetrySettings {
    let per_try = r.maybe(raw.per_try_timeout, |text| positive(&text));
    RetrySettings {
        tries: r
            .maybe(raw.tries, |value| count(value, MAX_TRIES))
            .unwrap_or(base.tries),
        per_try_timeout: per_try.or(base.per_try_timeout),
        budget: r.maybe(raw.budget, share).unwrap_or(base.budget),
        floor: r
            .maybe(raw.floor, |value| whole(value, 10_000))
            .unwrap_or(base.floor),
    }
}

fn share(value: f64) -> Result<f64, String> {
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(format!(
            "{value} is not a share; write a number from 0 to 1, like 0.2"
        ))
    }
}

pub(super) fn balance(r: &mut Reader, raw: raw::Balance, base: Balance) -> Balance {
    let place = raw
        .policy
        .as_ref()
        .or(raw.key.as_ref())
        .map(|value| r.place(value));
    let keyed = raw.key.is_some();
    let policies = Policy::ALL.map(|policy| (policy.as_str(), policy));
    let policy = r.maybe(raw.policy, |name| one_of(&name, &policies));
    let key = r.maybe(raw.key, |text| key(&text));
    let built = Balance {
        policy: policy.unwrap_or(base.policy),
        key: match policy {
            // A policy of its own does without the common key.
            Some(policy) if !policy.is_by_hash() => key,
            _ => key.or(base.key),
        },
    };
    if let Some(place) = place {
        let name = built.policy.as_str();
        match (built.policy.is_by_hash(), &built.key) {
            (true, None) if !keyed => r.refuse(
                place,
                format!("{name} needs a `key`: header:NAME, cookie:NAME or address"),
            ),
            (false, Some(_)) => r.refuse(
                place,
                format!("{name} goes by no `key`; the policies that do are ring_hash and maglev"),
            ),
            _ => {}
        }
    }
    built
}

fn key(text: &str) -> Result<Key, String> {
    let token = |name: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        !name.is_empty() && name.bytes().all(good)
    };
    match text.split_once(':') {
        None if text == "address" => Ok(Key::Address),
        Some(("header", name)) if token(name) => Ok(Key::Header(name.to_ascii_lowercase())),
        Some(("cookie", name)) if token(name) => Ok(Key::Cookie(name.to_owned())),
        _ => Err(format!(
            "`{text}` is no key; write header:NAME, cookie:NAME or address"
        )),
    }
}

pub(super) fn limits(r: &mut Reader, raw: raw::Limits, base: LimitSettings) -> LimitSettings {
    let most = |value| count(value, 10_000_000);
    LimitSettings {
        requests: r.maybe(raw.requests, most).or(base.requests),
        endpoint_requests: r.maybe(raw.endpoint_requests, most).or(base.endpoint_requests),
    }
}
