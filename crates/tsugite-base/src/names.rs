//! Names as AWS spells them: accounts, regions, ARNs, queue and topic names.

use std::fmt;
use std::str::FromStr;

use crate::invalid::Invalid;
use crate::limits;

/// The account that requests without credentials belong to.
pub const DEFAULT_ACCOUNT: &str = "000000000000";
/// The region that requests without a region belong to.
pub const DEFAULT_REGION: &str = "us-east-1";
/// The namespace of services that are registered without one; the TLD reserved for private use.
pub const DEFAULT_NAMESPACE: &str = "internal";

/// Where queues and topics live: an account and a region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// Twelve digits.
    pub account: String,
    /// For example `us-east-1`.
    pub region: String,
}

impl Default for Scope {
    fn default() -> Scope {
        Scope {
            account: DEFAULT_ACCOUNT.into(),
            region: DEFAULT_REGION.into(),
        }
    }
}

/// An Amazon Resource Name: `arn:<partition>:<service>:<region>:<account>:<resource>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arn {
    /// `aws` unless the client said otherwise.
    pub partition: String,
    /// `sqs`, `sns`, `servicediscovery`.
    pub service: String,
    /// For example `us-east-1`.
    pub region: String,
    /// Twelve digits.
    pub account: String,
    /// Everything after the fifth colon; may itself hold colons.
    pub resource: String,
}

impl Arn {
    /// An ARN in the default partition.
    pub fn new(service: &str, scope: &Scope, resource: impl Into<String>) -> Arn {
        Arn {
            partition: "aws".into(),
            service: service.into(),
            region: scope.region.clone(),
            account: scope.account.clone(),
            resource: resource.into(),
        }
    }

    /// The account and region of the ARN.
    pub fn scope(&self) -> Scope {
        Scope {
            account: self.account.clone(),
            region: self.region.clone(),
        }
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Arn {
            partition,
            service,
            region,
            account,
            resource,
        } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

impl FromStr for Arn {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Arn, Invalid> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().unwrap_or_default().to_owned();
        let (arn, partition, service, region, account, resource) =
            (next(), next(), next(), next(), next(), next());
        if arn != "arn" || partition.is_empty() || service.is_empty() || resource.is_empty() {
            return Err(Invalid::new(
                "ARN",
                text,
                "must look like arn:aws:sqs:us-east-1:000000000000:name",
            ));
        }
        Ok(Arn {
            partition,
            service,
            region,
            account,
            resource,
        })
    }
}

/// Checks a queue name: 1-80 of `[A-Za-z0-9_-]`, a FIFO name ending in `.fifo` (counted in the 80).
pub fn check_queue_name(name: &str) -> Result<(), Invalid> {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    if stem.is_empty() || name.len() > limits::QUEUE_NAME_CHARS || !is_word(stem) {
        return Err(Invalid::new(
            "QueueName",
            name,
            "can only include alphanumeric characters, hyphens, or underscores; 1 to 80 in length",
        ));
    }
    Ok(())
}

/// Checks a topic name: 1-256 of `[A-Za-z0-9_-]`, a FIFO name ending in `.fifo` (counted).
pub fn check_topic_name(name: &str) -> Result<(), Invalid> {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    if stem.is_empty() || name.len() > limits::TOPIC_NAME_CHARS || !is_word(stem) {
        return Err(Invalid::new(
            "Name",
            name,
            "can only include alphanumeric characters, hyphens, or underscores; 1 to 256 in length",
        ));
    }
    Ok(())
}

fn is_word(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arn_round_trips_and_keeps_colons_in_the_resource() {
        let text = "arn:aws:sns:eu-west-1:123456789012:orders:0123";
        let arn: Arn = text.parse().unwrap();
        assert_eq!(
            (arn.resource.as_str(), arn.to_string().as_str()),
            ("orders:0123", text)
        );
        assert!("arn:aws:sqs".parse::<Arn>().is_err());
    }

    #[test]
    fn queue_names() {
        for good in ["a", "Orders_1-x", "q.fifo", &"x".repeat(80)] {
            assert!(check_queue_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".fifo",
            "a.b",
            "a b",
            "日本",
            &"x".repeat(81),
            &format!("{}.fifo", "x".repeat(76)),
        ] {
            assert!(check_queue_name(bad).is_err(), "{bad}");
        }
    }
}
