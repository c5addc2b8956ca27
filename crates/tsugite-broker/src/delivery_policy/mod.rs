//! `DeliveryPolicy`: how often, how fast and as what a topic delivers to an HTTP endpoint.
//!
//! A topic has a policy for all its endpoints, a subscription one of its own, with other member names; what counts is
//! [`DeliveryPolicy::effective`]. After a failed first try come up to `numRetries` more, in four phases: some at once,
//! some at the shortest delay, some with delays that grow from the shortest to the longest, some at the longest.

mod members;

use std::time::Duration;

use serde_json::Value;
use tsugite_base::Invalid;

use self::members::Members;

/// What a delivery is declared as unless a policy says otherwise.
pub const DEFAULT_CONTENT_TYPE: &str = "text/plain; charset=UTF-8";
/// Media types that an envelope may be declared as.
const ENVELOPE_TYPES: &[&str] = &["application/json", "text/plain"];
/// Media types that the bare message may be declared as.
const RAW_TYPES: &[&str] = &[
    "application/atom+xml",
    "application/json",
    "application/octet-stream",
    "application/soap+xml",
    "application/x-www-form-urlencoded",
    "application/xhtml+xml",
    "application/xml",
    "text/css",
    "text/csv",
    "text/html",
    "text/plain",
    "text/xml",
];

/// How delays grow between the shortest and the longest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backoff {
    /// By the same number of seconds each time.
    #[default]
    Linear,
    /// By a number of seconds that itself grows by the same each time.
    Arithmetic,
    /// By the same factor each time.
    Geometric,
    /// By a number of seconds that doubles each time.
    Exponential,
}

impl Backoff {
    const NAMES: &[(&str, Backoff)] = &[
        ("arithmetic", Backoff::Arithmetic),
        ("exponential", Backoff::Exponential),
        ("geometric", Backoff::Geometric),
        ("linear", Backoff::Linear),
    ];

    fn name(self) -> &'static str {
        let name = Backoff::NAMES.iter().find(|(_, backoff)| *backoff == self);
        name.map_or("linear", |(name, _)| name)
    }

    /// The seconds before retry `step` of `steps`, counted from 0; the first takes `min`, the last `max`.
    fn seconds(self, (min, max): (f64, f64), step: u32, steps: u32) -> f64 {
        let last = steps.saturating_sub(1);
        if last == 0 {
            return min;
        }
        let (at, last) = (f64::from(step.min(last)), f64::from(last));
        let part = match self {
            Backoff::Linear => at / last,
            Backoff::Arithmetic => at * (at + 1.0) / (last * (last + 1.0)),
            Backoff::Exponential => (at.exp2() - 1.0) / (last.exp2() - 1.0),
            Backoff::Geometric => return min * (max / min).powf(at / last),
        };
        min + (max - min) * part
    }
}

/// `healthyRetryPolicy`, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Shortest delay in seconds.
    pub min_delay: u32,
    /// Longest delay in seconds.
    pub max_delay: u32,
    /// Tries after the first one.
    pub retries: u32,
    /// How many of them come at once.
    pub no_delay: u32,
    /// How many of them come next, each after the shortest delay.
    pub at_min: u32,
    /// How many of them come last, each after the longest delay.
    pub at_max: u32,
    /// How the delays of those between grow.
    pub backoff: Backoff,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            min_delay: 20,
            max_delay: 20,
            retries: 3,
            no_delay: 0,
            at_min: 0,
            at_max: 0,
            backoff: Backoff::Linear,
        }
    }
}

impl RetryPolicy {
    /// Seconds from failed try number `failed` (from 1) to the next one; `None` if it was the last.
    fn seconds(&self, failed: u32) -> Option<f64> {
        let retry = failed.max(1);
        if retry > self.retries {
            return None;
        }
        let (min, max) = (f64::from(self.min_delay), f64::from(self.max_delay));
        let before = self.no_delay + self.at_min;
        let growing = self.retries.saturating_sub(before + self.at_max);
        Some(match retry {
            retry if retry <= self.no_delay => 0.0,
            retry if retry <= before => min,
            retry if retry <= before + growing => {
                self.backoff.seconds((min, max), retry - before - 1, growing)
            }
            _ => max,
        })
    }

    /// Seconds of all delays together.
    fn total(&self) -> f64 {
        (1..=self.retries).filter_map(|failed| self.seconds(failed)).sum()
    }

    fn to_json(self) -> String {
        format!(
            "{{\"minDelayTarget\":{},\"maxDelayTarget\":{},\"numRetries\":{},\"numMaxDelayRetries\":{},\
             \"numNoDelayRetries\":{},\"numMinDelayRetries\":{},\"backoffFunction\":\"{}\"}}",
            self.min_delay,
            self.max_delay,
            self.retries,
            self.at_max,
            self.no_delay,
            self.at_min,
            self.backoff.name()
        )
    }
}

/// A topic's policy, as far as it says anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicDeliveryPolicy {
    /// The JSON as it was given.
    pub text: String,
    retry: Option<RetryPolicy>,
    max_per_second: Option<u32>,
    content_type: Option<String>,
    /// The policies of subscriptions do not count.
    disable_overrides: bool,
}

impl TopicDeliveryPolicy {
    /// The policy, or `None` for an empty text.
    pub fn parse(text: &str) -> Result<Option<TopicDeliveryPolicy>, Invalid> {
        let Some(top) = Members::parse(text)? else {
            return Ok(None);
        };
        top.only(&["http"])?;
        let mut policy = TopicDeliveryPolicy {
            text: text.to_owned(),
            ..TopicDeliveryPolicy::default()
        };
        if let Some(http) = top.object("http")? {
            http.only(&[
                "defaultHealthyRetryPolicy",
                "defaultRequestPolicy",
                "defaultSicklyRetryPolicy",
                "defaultThrottlePolicy",
                "disableSubscriptionOverrides",
            ])?;
            http.nothing_but("defaultSicklyRetryPolicy", &Value::Null)?;
            policy.retry = http.retry("defaultHealthyRetryPolicy")?;
            policy.max_per_second = http.throttle("defaultThrottlePolicy")?;
            policy.content_type = http.request("defaultRequestPolicy", ENVELOPE_TYPES)?;
            policy.disable_overrides = http.switch("disableSubscriptionOverrides")?;
        }
        Ok(Some(policy))
    }

    /// `EffectiveDeliveryPolicy` of a topic with this policy, or with none.
    pub fn effective_json(policy: Option<&TopicDeliveryPolicy>) -> String {
        let effective = DeliveryPolicy::effective(policy, None);
        let throttle = effective.max_per_second.map_or_else(String::new, |rate| {
            format!(",\"defaultThrottlePolicy\":{{\"maxReceivesPerSecond\":{rate}}}")
        });
        format!(
            "{{\"http\":{{\"defaultHealthyRetryPolicy\":{},\"disableSubscriptionOverrides\":{}{throttle},\
             \"defaultRequestPolicy\":{{\"headerContentType\":{}}}}}}}",
            effective.retry.to_json(),
            policy.is_some_and(|policy| policy.disable_overrides),
            quoted(&effective.content_type),
        )
    }
}

/// A subscription's policy, as far as it says anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionDeliveryPolicy {
    /// The JSON as it was given.
    pub text: String,
    retry: Option<RetryPolicy>,
    max_per_second: Option<u32>,
    content_type: Option<String>,
}

impl SubscriptionDeliveryPolicy {
    /// The policy, or `None` for an empty text.
    pub fn parse(text: &str) -> Result<Option<SubscriptionDeliveryPolicy>, Invalid> {
        let Some(top) = Members::parse(text)? else {
            return Ok(None);
        };
        top.only(&[
            "guaranteed",
            "healthyRetryPolicy",
            "requestPolicy",
            "sicklyRetryPolicy",
            "throttlePolicy",
        ])?;
        // Two leftovers that AWS still shows, so that clients write them back.
        top.nothing_but("sicklyRetryPolicy", &Value::Null)?;
        top.nothing_but("guaranteed", &Value::Bool(false))?;
        Ok(Some(SubscriptionDeliveryPolicy {
            text: text.to_owned(),
            retry: top.retry("healthyRetryPolicy")?,
            max_per_second: top.throttle("throttlePolicy")?,
            content_type: top.request("requestPolicy", RAW_TYPES)?,
        }))
    }
}

/// The policy by which deliveries to one endpoint are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryPolicy {
    /// When to try again.
    pub retry: RetryPolicy,
    /// Deliveries in a second, at most; no bound if absent.
    pub max_per_second: Option<u32>,
    /// `Content-Type` of the bare message; see [`DeliveryPolicy::content_type`].
    content_type: String,
}

impl Default for DeliveryPolicy {
    fn default() -> DeliveryPolicy {
        DeliveryPolicy::effective(None, None)
    }
}

impl DeliveryPolicy {
    /// Each part from the subscription's policy, else from the topic's, else from the defaults.
    pub fn effective(
        topic: Option<&TopicDeliveryPolicy>,
        subscription: Option<&SubscriptionDeliveryPolicy>,
    ) -> DeliveryPolicy {
        let barred = topic.is_some_and(|topic| topic.disable_overrides);
        let own = subscription.filter(|_| !barred);
        let content_type = own.and_then(|own| own.content_type.as_deref());
        DeliveryPolicy {
            retry: own
                .and_then(|own| own.retry)
                .or_else(|| topic?.retry)
                .unwrap_or_default(),
            max_per_second: own
                .and_then(|own| own.max_per_second)
                .or_else(|| topic?.max_per_second),
            content_type: content_type
                .or_else(|| topic?.content_type.as_deref())
                .unwrap_or(DEFAULT_CONTENT_TYPE)
                .to_owned(),
        }
    }

    /// `Content-Type` of a delivery. An envelope is never declared as a type that only the bare message may have.
    pub fn content_type(&self, raw: bool) -> &str {
        match raw || is_type(&self.content_type, ENVELOPE_TYPES) {
            true => &self.content_type,
            false => DEFAULT_CONTENT_TYPE,
        }
    }

    /// How long to wait after `failed_tries` tries that failed; `None` if there shall be no more. `jitter` is any
    /// random number: it lengthens the delay by up to a tenth, so that endpoints that failed together are not tried
    /// together for ever.
    pub fn delay(&self, failed_tries: u32, jitter: u64) -> Option<Duration> {
        let millis = (self.retry.seconds(failed_tries)? * 1_000.0) as u64;
        let more = (u128::from(millis / 10) * u128::from(jitter)) >> u64::BITS;
        Some(Duration::from_millis(millis) + Duration::from_millis(u64::try_from(more).unwrap_or(0)))
    }

    /// `EffectiveDeliveryPolicy` of a subscription.
    pub fn to_json(&self) -> String {
        let throttle = self.max_per_second.map_or_else(
            || "null".to_owned(),
            |rate| format!("{{\"maxReceivesPerSecond\":{rate}}}"),
        );
        format!(
            "{{\"healthyRetryPolicy\":{},\"sicklyRetryPolicy\":null,\"throttlePolicy\":{throttle},\
             \"requestPolicy\":{{\"headerContentType\":{}}},\"guaranteed\":false}}",
            self.retry.to_json(),
            quoted(&self.content_type),
        )
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn is_type(content_type: &str, types: &[&str]) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    types.iter().any(|known| media.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsugite_base::limits;

    const DEFAULT_RETRY: &str = r#"{"minDelayTarget":20,"maxDelayTarget":20,"numRetries":3,"numMaxDelayRetries":0,"numNoDelayRetries":0,"numMinDelayRetries":0,"backoffFunction":"linear"}"#;

    fn subscription(text: &str) -> SubscriptionDeliveryPolicy {
        SubscriptionDeliveryPolicy::parse(text).unwrap().unwrap()
    }

    fn topic(text: &str) -> TopicDeliveryPolicy {
        TopicDeliveryPolicy::parse(text).unwrap().unwrap()
    }

    /// The seconds of all delays of a retry policy with these members.
    #[track_caller]
    fn delays(members: &str, expected: &[u64]) {
        let policy = subscription(&format!("{{\"healthyRetryPolicy\":{{{members}}}}}"));
        let effective = DeliveryPolicy::effective(None, Some(&policy));
        let seconds: Vec<u64> = (1..)
            .map_while(|failed| effective.delay(failed, 0))
            .map(|delay| (delay.as_secs_f64()).round() as u64)
            .collect();
        assert_eq!(seconds, expected, "{members}");
    }

    #[test]
    fn the_four_phases() {
        let range = r#""minDelayTarget":1,"maxDelayTarget":9,"#;
        for (rest, expected) in [
            (r#""numRetries":0"#, &[][..]),
            (r#""numRetries":3,"numNoDelayRetries":3"#, &[0, 0, 0]),
            (r#""numRetries":2,"numMinDelayRetries":2"#, &[1, 1]),
            (r#""numRetries":2,"numMaxDelayRetries":2"#, &[9, 9]),
            // One retry has no way from the shortest to the longest.
            (r#""numRetries":1"#, &[1]),
            (r#""numRetries":2"#, &[1, 9]),
            (r#""numRetries":5"#, &[1, 3, 5, 7, 9]),
            (
                r#""numRetries":9,"numNoDelayRetries":2,"numMinDelayRetries":1,"numMaxDelayRetries":3"#,
                &[0, 0, 1, 1, 5, 9, 9, 9, 9],
            ),
        ] {
            delays(&format!("{range}{rest}"), expected);
        }
    }

    #[test]
    fn the_four_functions() {
        let range = r#""minDelayTarget":2,"maxDelayTarget":162,"numRetries":5,"backoffFunction":"#;
        for (function, expected) in [
            ("linear", [2, 42, 82, 122, 162]),
            ("arithmetic", [2, 18, 50, 98, 162]),
            ("geometric", [2, 6, 18, 54, 162]),
            ("exponential", [2, 13, 34, 77, 162]),
            // As some tools write it.
            ("EXPONENTIAL", [2, 13, 34, 77, 162]),
        ] {
            delays(&format!("{range}\"{function}\""), &expected);
        }
        // A hundred retries neither overflow nor lose the ends.
        for function in ["linear", "arithmetic", "geometric", "exponential"] {
            let text = format!(
                r#"{{"healthyRetryPolicy":{{"minDelayTarget":1,"maxDelayTarget":50,"numRetries":100,"backoffFunction":"{function}"}}}}"#
            );
            let effective = DeliveryPolicy::effective(None, Some(&subscription(&text)));
            let seconds: Vec<_> = (1..=100).map(|n| effective.delay(n, 0).unwrap()).collect();
            assert!(seconds.is_sorted(), "{function}");
            assert_eq!(
                (seconds[0], seconds[99]),
                (Duration::from_secs(1), Duration::from_secs(50))
            );
            assert_eq!(effective.delay(101, 0), None);
        }
    }

    #[test]
    fn jitter_lengthens_by_a_tenth_at_most() {
        let policy = DeliveryPolicy::default();
        for (jitter, millis) in [(0, 20_000), (1 << 63, 21_000), (u64::MAX, 21_999)] {
            assert_eq!(policy.delay(1, jitter), Some(Duration::from_millis(millis)));
        }
        assert_eq!(policy.delay(3, 0), Some(Duration::from_secs(20)));
        assert_eq!(policy.delay(4, 0), None);
        let at_once = subscription(
            r#"{"healthyRetryPolicy":{"minDelayTarget":1,"maxDelayTarget":1,"numRetries":1,"numNoDelayRetries":1}}"#,
        );
        let at_once = DeliveryPolicy::effective(None, Some(&at_once));
        assert_eq!(at_once.delay(1, u64::MAX), Some(Duration::ZERO));
    }

    /// What is wrong with a policy: the offending member and the whole message.
    #[track_caller]
    fn refused<T: std::fmt::Debug>(parsed: Result<T, Invalid>, what: &str, rule: &str) {
        let error = parsed.unwrap_err();
        assert_eq!(error.what, what, "{error}");
        assert!(
            error.rule.contains(rule) || error.value.contains(rule),
            "{error:?}"
        );
    }

    #[test]
    fn bad_members_are_named() {
        let range = r#""minDelayTarget":5,"maxDelayTarget":10,"#;
        for (members, member, rule) in [
            (
                r#""minDelayTarget":0,"maxDelayTarget":0,"numRetries":0"#.to_owned(),
                "minDelayTarget",
                "must be greater than or equal to 1",
            ),
            (
                r#""maxDelayTarget":1,"numRetries":0"#.to_owned(),
                "minDelayTarget",
                "must be specified",
            ),
            (
                r#""minDelayTarget":1,"numRetries":0"#.to_owned(),
                "maxDelayTarget",
                "must be specified",
            ),
            (
                format!("{range}\"numRetries\":null"),
                "numRetries",
                "must be specified",
            ),
            (
                format!("{range}\"numRetries\":101"),
                "numRetries",
                "must be less than or equal to 100",
            ),
            (
                format!("{range}\"numRetries\":-1"),
                "numRetries",
                "must be greater than or equal to 0",
            ),
            (format!("{range}\"numRetries\":1.5"), "numRetries", "whole number"),
            (
                format!("{range}\"numRetries\":true"),
                "numRetries",
                "whole number",
            ),
            (
                r#""minDelayTarget":5,"maxDelayTarget":4,"numRetries":1"#.to_owned(),
                "maxDelayTarget",
                "minDelayTarget, which is 5",
            ),
            (
                r#""minDelayTarget":1,"maxDelayTarget":3601,"numRetries":1"#.to_owned(),
                "maxDelayTarget",
                "must be less than or equal to 3600",
            ),
            (
                format!(
                    "{range}\"numRetries\":5,\"numNoDelayRetries\":2,\"numMinDelayRetries\":2,\"numMaxDelayRetries\":2"
                ),
                "numRetries",
                "which is 6",
            ),
            (
                format!("{range}\"numRetries\":1,\"backoffFunction\":\"fibonacci\""),
                "backoffFunction",
                "arithmetic, exponential",
            ),
            (
                format!("{range}\"numRetries\":1,\"backoffFunction\":7"),
                "backoffFunction",
                "linear",
            ),
        ] {
            let text = format!("{{\"healthyRetryPolicy\":{{{members}}}}}");
            let what = format!("DeliveryPolicy: healthyRetryPolicy.{member}");
            refused(SubscriptionDeliveryPolicy::parse(&text), &what, rule);
            let text = format!("{{\"http\":{{\"defaultHealthyRetryPolicy\":{{{members}}}}}}}");
            let what = format!("DeliveryPolicy: http.defaultHealthyRetryPolicy.{member}");
            refused(TopicDeliveryPolicy::parse(&text), &what, rule);
        }
    }

    #[test]
    fn bad_policies_are_named() {
        let long = format!("{{\"{}\":1}}", "x".repeat(limits::DELIVERY_POLICY_BYTES));
        for (text, what, rule) in [
            ("[]", "DeliveryPolicy", "must be a JSON object"),
            ("{", "DeliveryPolicy", "must be a JSON object"),
            (&long, "DeliveryPolicy", "bytes long"),
            (r#"{"http":{}}"#, "DeliveryPolicy", "unexpected JSON member"),
            (
                r#"{"healthyRetryPolicy":{"tries":1}}"#,
                "DeliveryPolicy",
                "healthyRetryPolicy.tries",
            ),
            (
                r#"{"healthyRetryPolicy":3}"#,
                "DeliveryPolicy: healthyRetryPolicy",
                "must be a JSON object",
            ),
            (
                r#"{"sicklyRetryPolicy":{}}"#,
                "DeliveryPolicy: sicklyRetryPolicy",
                "can only be null",
            ),
            (
                r#"{"guaranteed":true}"#,
                "DeliveryPolicy: guaranteed",
                "can only be false",
            ),
            (
                r#"{"throttlePolicy":{"maxReceivesPerSecond":0}}"#,
                "DeliveryPolicy: throttlePolicy.maxReceivesPerSecond",
                "greater than or equal to 1",
            ),
            (
                r#"{"requestPolicy":{"headerContentType":"image/png"}}"#,
                "DeliveryPolicy: requestPolicy.headerContentType",
                "application/json",
            ),
            (
                "{\"requestPolicy\":{\"headerContentType\":\"text/plain;\\r\\nX: y\"}}",
                "DeliveryPolicy: requestPolicy.headerContentType",
                "must be one of",
            ),
            // 99 delays from 1 to 100 seconds: about 5,000 in all.
            (
                r#"{"healthyRetryPolicy":{"minDelayTarget":1,"maxDelayTarget":100,"numRetries":99}}"#,
                "DeliveryPolicy: healthyRetryPolicy",
                "3600 seconds",
            ),
        ] {
            refused(SubscriptionDeliveryPolicy::parse(text), what, rule);
        }
        for (text, what, rule) in [
            (
                r#"{"throttlePolicy":{}}"#,
                "DeliveryPolicy",
                "unexpected JSON member",
            ),
            (
                r#"{"http":{"healthyRetryPolicy":{}}}"#,
                "DeliveryPolicy",
                "http.healthyRetryPolicy",
            ),
            (
                r#"{"http":{"disableSubscriptionOverrides":"yes"}}"#,
                "DeliveryPolicy: http.disableSubscriptionOverrides",
                "true or false",
            ),
            // Only the bare message may be declared as this, and a topic does not know who gets that.
            (
                r#"{"http":{"defaultRequestPolicy":{"headerContentType":"text/csv"}}}"#,
                "DeliveryPolicy: http.defaultRequestPolicy.headerContentType",
                "application/json, text/plain",
            ),
        ] {
            refused(TopicDeliveryPolicy::parse(text), what, rule);
        }
    }

    #[test]
    fn what_says_nothing_is_the_default() {
        assert_eq!(TopicDeliveryPolicy::parse(""), Ok(None));
        assert_eq!(SubscriptionDeliveryPolicy::parse(""), Ok(None));
        let shown = format!(
            r#"{{"healthyRetryPolicy":{DEFAULT_RETRY},"sicklyRetryPolicy":null,"throttlePolicy":null,"requestPolicy":{{"headerContentType":"text/plain; charset=UTF-8"}},"guaranteed":false}}"#
        );
        for text in [
            "{}",
            // What AWS shows can be written back.
            &shown,
            r#"{"healthyRetryPolicy":null,"throttlePolicy":{},"requestPolicy":{"headerContentType":null}}"#,
        ] {
            let policy = DeliveryPolicy::effective(None, Some(&subscription(text)));
            assert_eq!(policy, DeliveryPolicy::default(), "{text}");
            assert_eq!(policy.to_json(), shown);
        }
        let topics = format!(
            r#"{{"http":{{"defaultHealthyRetryPolicy":{DEFAULT_RETRY},"disableSubscriptionOverrides":false,"defaultRequestPolicy":{{"headerContentType":"text/plain; charset=UTF-8"}}}}}}"#
        );
        assert_eq!(TopicDeliveryPolicy::effective_json(None), topics);
        for text in ["{}", r#"{"http":{}}"#, r#"{"http":null}"#, &topics] {
            assert_eq!(
                TopicDeliveryPolicy::effective_json(Some(&topic(text))),
                topics,
                "{text}"
            );
        }
    }

    #[test]
    fn subscriptions_override_topics_unless_barred() {
        let one = r#""minDelayTarget":1,"maxDelayTarget":1,"numRetries":1"#;
        let nine = r#""minDelayTarget":9,"maxDelayTarget":9,"numRetries":9"#;
        let topics = |barred: bool| {
            topic(&format!(
                r#"{{"http":{{"defaultHealthyRetryPolicy":{{{nine}}},"defaultThrottlePolicy":{{"maxReceivesPerSecond":90}},"defaultRequestPolicy":{{"headerContentType":"application/json"}},"disableSubscriptionOverrides":{barred}}}}}"#
            ))
        };
        let own = subscription(&format!(
            r#"{{"healthyRetryPolicy":{{{one}}},"throttlePolicy":{{"maxReceivesPerSecond":"10"}},"requestPolicy":{{"headerContentType":"text/csv"}}}}"#
        ));
        let parts = |policy: &DeliveryPolicy| {
            (
                policy.retry.retries,
                policy.max_per_second,
                policy.content_type(true).to_owned(),
            )
        };
        let open = DeliveryPolicy::effective(Some(&topics(false)), Some(&own));
        assert_eq!(parts(&open), (1, Some(10), "text/csv".into()));
        // An envelope is no table of values, whatever the policy says.
        assert_eq!(open.content_type(false), DEFAULT_CONTENT_TYPE);
        let of_topic = (9, Some(90), "application/json".to_owned());
        let barred = DeliveryPolicy::effective(Some(&topics(true)), Some(&own));
        assert_eq!(parts(&barred), of_topic);
        let none = DeliveryPolicy::effective(Some(&topics(false)), Some(&subscription("{}")));
        assert_eq!(parts(&none), of_topic);
        assert_eq!(none.content_type(false), "application/json");
        let shown = TopicDeliveryPolicy::effective_json(Some(&topics(true)));
        assert!(
            shown.contains(
                r#""disableSubscriptionOverrides":true,"defaultThrottlePolicy":{"maxReceivesPerSecond":90},"#
            ),
            "{shown}"
        );
        assert!(
            open.to_json()
                .contains(r#""throttlePolicy":{"maxReceivesPerSecond":10}"#)
        );
    }
}
