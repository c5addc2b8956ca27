//! A delivery policy's JSON, member by member: what each may say, and errors that name the one that says something else.

use serde_json::{Map, Value};
use tsugite_base::{Invalid, limits};

use super::{Backoff, RetryPolicy, is_type};

/// Characters of a content type; more than any of the types with its parameters needs.
const CONTENT_TYPE_CHARS: usize = 256;

/// The members of an object of a policy, with the path that leads to it.
pub(super) struct Members {
    path: String,
    map: Map<String, Value>,
}

impl Members {
    pub(super) fn parse(text: &str) -> Result<Option<Members>, Invalid> {
        if text.is_empty() {
            return Ok(None);
        }
        if text.len() > limits::DELIVERY_POLICY_BYTES {
            let rule = format!("must be at most {} bytes long", limits::DELIVERY_POLICY_BYTES);
            return Err(Invalid::new(
                "DeliveryPolicy",
                format!("of {} bytes", text.len()),
                rule,
            ));
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Ok(Some(Members {
                path: String::new(),
                map,
            })),
            _ => Err(Invalid::new("DeliveryPolicy", text, "must be a JSON object")),
        }
    }

    fn path(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }

    fn invalid(&self, name: &str, value: impl std::fmt::Display, rule: impl Into<String>) -> Invalid {
        Invalid::new(format!("DeliveryPolicy: {}", self.path(name)), value, rule)
    }

    pub(super) fn only(&self, known: &[&str]) -> Result<(), Invalid> {
        match self.map.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let rule = format!(
                    "is an unexpected JSON member; the members here are {}",
                    known.join(", ")
                );
                Err(Invalid::new("DeliveryPolicy", self.path(name), rule))
            }
        }
    }

    /// A member that is there and not null.
    fn get(&self, name: &str) -> Option<&Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A member that can be left out, or say the one thing that it may say.
    pub(super) fn nothing_but(&self, name: &str, only: &Value) -> Result<(), Invalid> {
        match self.get(name) {
            Some(value) if value != only => Err(self.invalid(name, value, format!("can only be {only}"))),
            _ => Ok(()),
        }
    }

    pub(super) fn object(&self, name: &str) -> Result<Option<Members>, Invalid> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Members {
                path: self.path(name),
                map: map.clone(),
            })),
            Some(other) => Err(self.invalid(name, other, "must be a JSON object")),
        }
    }

    pub(super) fn switch(&self, name: &str) -> Result<bool, Invalid> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => Err(self.invalid(name, other, "must be true or false")),
        }
    }

    /// A whole number, which may stand in quotes.
    fn number(&self, name: &str, least: u32, most: u32) -> Result<Option<u32>, Invalid> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse::<i64>().ok(),
            _ => None,
        };
        match number {
            None => Err(self.invalid(name, value, "must be a whole number")),
            Some(number) if number < i64::from(least) => {
                Err(self.invalid(name, number, format!("must be greater than or equal to {least}")))
            }
            Some(number) if number > i64::from(most) => {
                Err(self.invalid(name, number, format!("must be less than or equal to {most}")))
            }
            Some(number) => Ok(u32::try_from(number).ok()),
        }
    }

    pub(super) fn retry(&self, name: &str) -> Result<Option<RetryPolicy>, Invalid> {
        let Some(policy) = self.object(name)? else {
            return Ok(None);
        };
        policy.only(&[
            "backoffFunction",
            "maxDelayTarget",
            "minDelayTarget",
            "numMaxDelayRetries",
            "numMinDelayRetries",
            "numNoDelayRetries",
            "numRetries",
        ])?;
        let most = limits::DELIVERY_RETRIES;
        let seconds = limits::DELIVERY_RETRY_SECONDS;
        let required = |name: &str, least, most| {
            let missing = || policy.invalid(name, "(none)", "must be specified");
            policy.number(name, least, most)?.ok_or_else(missing)
        };
        let count = |name: &str| Ok(policy.number(name, 0, most)?.unwrap_or(0));
        let retry = RetryPolicy {
            min_delay: required("minDelayTarget", 1, seconds)?,
            max_delay: required("maxDelayTarget", 1, seconds)?,
            retries: required("numRetries", 0, most)?,
            no_delay: count("numNoDelayRetries")?,
            at_min: count("numMinDelayRetries")?,
            at_max: count("numMaxDelayRetries")?,
            backoff: policy.backoff()?,
        };
        if retry.max_delay < retry.min_delay {
            let rule = format!(
                "must be greater than or equal to minDelayTarget, which is {}",
                retry.min_delay
            );
            return Err(policy.invalid("maxDelayTarget", retry.max_delay, rule));
        }
        let phases = retry.no_delay + retry.at_min + retry.at_max;
        if phases > retry.retries {
            let rule = format!(
                "must be greater than or equal to the sum of numNoDelayRetries, numMinDelayRetries and \
                 numMaxDelayRetries, which is {phases}"
            );
            return Err(policy.invalid("numRetries", retry.retries, rule));
        }
        let total = retry.total();
        if total > f64::from(seconds) {
            let rule = format!("must be less than or equal to {seconds} seconds for all retries together");
            let value = format!("a total delay of {total:.0} seconds");
            return Err(self.invalid(name, value, rule));
        }
        Ok(Some(retry))
    }

    fn backoff(&self) -> Result<Backoff, Invalid> {
        const NAME: &str = "backoffFunction";
        let Some(value) = self.get(NAME) else {
            return Ok(Backoff::default());
        };
        let text = value.as_str().unwrap_or_default();
        let known = Backoff::NAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        let unknown = || {
            self.invalid(
                NAME,
                value,
                "must be arithmetic, exponential, geometric or linear",
            )
        };
        known.map(|(_, backoff)| *backoff).ok_or_else(unknown)
    }

    pub(super) fn throttle(&self, name: &str) -> Result<Option<u32>, Invalid> {
        const RATE: &str = "maxReceivesPerSecond";
        let Some(policy) = self.object(name)? else {
            return Ok(None);
        };
        policy.only(&[RATE])?;
        policy.number(RATE, 1, limits::DELIVERIES_PER_SECOND)
    }

    pub(super) fn request(&self, name: &str, types: &[&str]) -> Result<Option<String>, Invalid> {
        const TYPE: &str = "headerContentType";
        let Some(policy) = self.object(name)? else {
            return Ok(None);
        };
        policy.only(&[TYPE])?;
        let Some(value) = policy.get(TYPE) else {
            return Ok(None);
        };
        let text = value.as_str().unwrap_or_default();
        // It becomes a header: nothing that could begin another one.
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if is_type(text, types) && printable && text.len() <= CONTENT_TYPE_CHARS {
            return Ok(Some(text.to_owned()));
        }
        let rule = format!("must be one of {}, with or without parameters", types.join(", "));
        Err(policy.invalid(TYPE, value, rule))
    }
}
