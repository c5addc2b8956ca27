//! `RedrivePolicy` and `RedriveAllowPolicy`: where dead letters go, and who may send them.

use serde_json::Value;
use tsugite_base::Invalid;

use super::{number, object};
use crate::keys::QueueKey;

/// Where messages go that were received too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedrivePolicy {
    /// The JSON as it was given.
    pub text: String,
    /// The dead-letter queue.
    pub target: QueueKey,
    /// Receives after which the next one moves the message: 1-1,000.
    pub max_receives: u32,
}

/// Which queues may send their dead letters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedriveAllowPolicy {
    /// The JSON as it was given.
    pub text: String,
    /// What it says.
    pub permission: RedrivePermission,
}

/// The meaning of a [`RedriveAllowPolicy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedrivePermission {
    /// `allowAll`.
    All,
    /// `denyAll`.
    Nobody,
    /// `byQueue`.
    Queues(Vec<QueueKey>),
}

impl RedrivePermission {
    /// Whether `source` may send its dead letters here.
    pub fn allows(&self, source: &QueueKey) -> bool {
        match self {
            RedrivePermission::All => true,
            RedrivePermission::Nobody => false,
            RedrivePermission::Queues(queues) => queues.contains(source),
        }
    }
}

impl RedrivePolicy {
    /// Equality but for the spelling of the JSON.
    pub(super) fn means(&self, other: &RedrivePolicy) -> bool {
        (&self.target, self.max_receives) == (&other.target, other.max_receives)
    }

    /// The policy, or `None` for an empty text.
    pub(super) fn parse(text: &str) -> Result<Option<RedrivePolicy>, Invalid> {
        const NAME: &str = "RedrivePolicy";
        if text.is_empty() {
            return Ok(None);
        }
        let map = object(NAME, text)?;
        if let Some(unknown) = map
            .keys()
            .find(|k| !["deadLetterTargetArn", "maxReceiveCount"].contains(&k.as_str()))
        {
            return Err(Invalid::new(
                NAME,
                unknown,
                "knows only deadLetterTargetArn and maxReceiveCount",
            ));
        }
        let target = match map.get("deadLetterTargetArn") {
            Some(Value::String(arn)) => QueueKey::from_arn("RedrivePolicy.deadLetterTargetArn", arn)?,
            _ => {
                return Err(Invalid::new(
                    NAME,
                    text,
                    "must have a text member deadLetterTargetArn",
                ));
            }
        };
        let count = match map.get("maxReceiveCount") {
            Some(Value::Number(n)) => n.to_string(),
            Some(Value::String(n)) => n.clone(),
            _ => return Err(Invalid::new(NAME, text, "must have a number maxReceiveCount")),
        };
        Ok(Some(RedrivePolicy {
            text: text.to_owned(),
            target,
            max_receives: number("RedrivePolicy.maxReceiveCount", &count, 1..=1_000)?,
        }))
    }
}

impl RedriveAllowPolicy {
    /// The policy, or `None` for an empty text.
    pub(super) fn parse(text: &str) -> Result<Option<RedriveAllowPolicy>, Invalid> {
        const NAME: &str = "RedriveAllowPolicy";
        if text.is_empty() {
            return Ok(None);
        }
        let map = object(NAME, text)?;
        if let Some(unknown) = map
            .keys()
            .find(|k| !["redrivePermission", "sourceQueueArns"].contains(&k.as_str()))
        {
            return Err(Invalid::new(
                NAME,
                unknown,
                "knows only redrivePermission and sourceQueueArns",
            ));
        }
        let sources = map.get("sourceQueueArns");
        let permission = match (map.get("redrivePermission").and_then(Value::as_str), sources) {
            (Some("allowAll"), None) => RedrivePermission::All,
            (Some("denyAll"), None) => RedrivePermission::Nobody,
            (Some("byQueue"), Some(Value::Array(arns))) if (1..=10).contains(&arns.len()) => {
                let key =
                    |arn: &Value| QueueKey::from_arn("sourceQueueArns", arn.as_str().unwrap_or_default());
                RedrivePermission::Queues(arns.iter().map(key).collect::<Result<_, _>>()?)
            }
            _ => {
                return Err(Invalid::new(
                    NAME,
                    text,
                    "redrivePermission must be allowAll or denyAll, or byQueue with 1 to 10 sourceQueueArns",
                ));
            }
        };
        Ok(Some(RedriveAllowPolicy {
            text: text.to_owned(),
            permission,
        }))
    }
}
