//! A queue's attributes: parsed from what clients write, kept as meant, listed as AWS lists them.

mod codec;
mod fifo;
pub(crate) mod policy;
mod redrive;

use std::ops::RangeInclusive;

use serde_json::Value;
use tsugite_base::invalid::in_range;
use tsugite_base::{Invalid, limits};

use crate::error::{AttributeNameInvalid, AttributeValueInvalid, CreateQueueError, SetQueueAttributesError};

pub(crate) use codec::{get_queue, get_topic, put_queue, put_topic};
pub use fifo::{DeduplicationScope, Fifo, ThroughputLimit};
pub use redrive::{RedriveAllowPolicy, RedrivePermission, RedrivePolicy};

/// The settable part of a queue's attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// `DelaySeconds`.
    pub delay: u32,
    /// `MaximumMessageSize`, bytes.
    pub max_size: u32,
    /// `MessageRetentionPeriod`, seconds.
    pub retention: u32,
    /// `ReceiveMessageWaitTimeSeconds`.
    pub wait: u32,
    /// `VisibilityTimeout`, seconds.
    pub visibility: u32,
    /// `SqsManagedSseEnabled`: kept for tools that compare it; the disk is the operator's to encrypt.
    pub managed_sse: bool,
    /// `RedrivePolicy`.
    pub redrive: Option<RedrivePolicy>,
    /// `RedriveAllowPolicy`.
    pub redrive_allow: Option<RedriveAllowPolicy>,
    /// `Policy`, the text as it was given.
    pub policy: Option<String>,
    /// `KmsMasterKeyId`: kept like `SqsManagedSseEnabled`, and excludes it.
    pub kms_key: Option<String>,
    /// `KmsDataKeyReusePeriodSeconds`, if it is not the default of 300.
    pub kms_reuse: Option<u32>,
    /// Present on FIFO queues.
    pub fifo: Option<Fifo>,
}

impl Default for QueueSettings {
    fn default() -> QueueSettings {
        QueueSettings {
            delay: 0,
            max_size: limits::MESSAGE_BYTES as u32,
            retention: 345_600,
            wait: 0,
            visibility: 30,
            managed_sse: true,
            redrive: None,
            redrive_allow: None,
            policy: None,
            kms_key: None,
            kms_reuse: None,
            fifo: None,
        }
    }
}

/// What is wrong with a stated attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SettingError {
    Name(AttributeNameInvalid),
    Value(AttributeValueInvalid),
    /// A redrive policy, whose faults are those of a parameter at AWS.
    Redrive(Invalid),
}

impl From<SettingError> for CreateQueueError {
    fn from(e: SettingError) -> CreateQueueError {
        match e {
            SettingError::Name(e) => e.into(),
            SettingError::Value(e) => e.into(),
            SettingError::Redrive(e) => e.into(),
        }
    }
}

impl From<SettingError> for SetQueueAttributesError {
    fn from(e: SettingError) -> SetQueueAttributesError {
        match e {
            SettingError::Name(e) => e.into(),
            SettingError::Value(e) => e.into(),
            SettingError::Redrive(e) => e.into(),
        }
    }
}

impl From<Invalid> for SettingError {
    fn from(invalid: Invalid) -> SettingError {
        SettingError::Value(AttributeValueInvalid { invalid })
    }
}

const READ_ONLY: [&str; 6] = [
    "QueueArn",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
];

/// Settable attributes that a queue may lack and then does not list.
const OPTIONAL: [&str; 5] = [
    "RedrivePolicy",
    "RedriveAllowPolicy",
    "Policy",
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
];

impl QueueSettings {
    /// What a new queue has of which nothing is stated.
    pub(crate) fn new(fifo: bool) -> QueueSettings {
        QueueSettings {
            fifo: fifo.then(Fifo::default),
            ..QueueSettings::default()
        }
    }

    /// Takes over attributes as a client states them, and checks what holds between them.
    pub(crate) fn set_all(&mut self, stated: &[(String, String)]) -> Result<(), SettingError> {
        for (name, value) in stated {
            self.set(name, value)?;
        }
        let states =
            |name: &str, counts: fn(&str) -> bool| stated.iter().any(|(n, v)| n == name && counts(v));
        if states("KmsMasterKeyId", |key| !key.is_empty())
            && states("SqsManagedSseEnabled", |v| v.eq_ignore_ascii_case("true"))
        {
            return Err(SettingError::Name(AttributeNameInvalid {
                name: "KmsMasterKeyId".into(),
                reason: "You can use one type of server-side encryption (SSE) at one time. You can either enable \
                         KMS SSE or SQS SSE.",
            }));
        }
        Ok(self.fifo.map_or(Ok(()), Fifo::check)?)
    }

    /// Takes over one attribute as a client states it.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        match name {
            "DelaySeconds" => self.delay = number(name, value, 0..=limits::DELAY_SECONDS)?,
            "MaximumMessageSize" => {
                self.max_size = number(name, value, 1_024..=limits::MESSAGE_BYTES as u32)?;
            }
            "MessageRetentionPeriod" => self.retention = number(name, value, 60..=1_209_600)?,
            "ReceiveMessageWaitTimeSeconds" => self.wait = number(name, value, 0..=limits::WAIT_SECONDS)?,
            "VisibilityTimeout" => self.visibility = number(name, value, 0..=limits::VISIBILITY_SECONDS)?,
            "RedrivePolicy" => self.redrive = RedrivePolicy::parse(value).map_err(SettingError::Redrive)?,
            "RedriveAllowPolicy" => self.redrive_allow = RedriveAllowPolicy::parse(value)?,
            "Policy" => self.policy = policy::parse(value)?,
            "SqsManagedSseEnabled" => {
                self.managed_sse = boolean(name, value)?;
                if self.managed_sse {
                    (self.kms_key, self.kms_reuse) = (None, None);
                }
            }
            "KmsMasterKeyId" => {
                if value.chars().count() > limits::KMS_KEY_CHARS {
                    let rule = format!("must be at most {} characters long", limits::KMS_KEY_CHARS);
                    return Err(Invalid::new(name, value, rule).into());
                }
                self.kms_key = (!value.is_empty()).then(|| value.to_owned());
                self.managed_sse &= self.kms_key.is_none();
            }
            "KmsDataKeyReusePeriodSeconds" => {
                let seconds = number(name, value, 60..=86_400)?;
                self.kms_reuse = (seconds != 300).then_some(seconds);
            }
            _ => match &mut self.fifo {
                Some(fifo) if fifo::NAMES.contains(&name) => fifo.set(name, value)?,
                _ => return Err(SettingError::Name(refuse_name(name, true))),
            },
        }
        Ok(())
    }

    /// The settable attributes, as AWS spells them; policies and keys only if set.
    pub(crate) fn list(&self) -> Vec<(String, String)> {
        let mut list = vec![
            ("DelaySeconds".into(), self.delay.to_string()),
            ("MaximumMessageSize".into(), self.max_size.to_string()),
            ("MessageRetentionPeriod".into(), self.retention.to_string()),
            ("ReceiveMessageWaitTimeSeconds".into(), self.wait.to_string()),
            ("VisibilityTimeout".into(), self.visibility.to_string()),
            ("SqsManagedSseEnabled".into(), self.managed_sse.to_string()),
        ];
        let texts = [
            ("RedrivePolicy", self.redrive.as_ref().map(|p| p.text.clone())),
            (
                "RedriveAllowPolicy",
                self.redrive_allow.as_ref().map(|p| p.text.clone()),
            ),
            ("Policy", self.policy.clone()),
            ("KmsMasterKeyId", self.kms_key.clone()),
            (
                "KmsDataKeyReusePeriodSeconds",
                self.kms_reuse.map(|n| n.to_string()),
            ),
        ];
        for (name, text) in texts {
            list.extend(text.map(|text| (name.into(), text)));
        }
        let fifo = self.fifo.map(Fifo::list).into_iter().flatten();
        list.extend(fifo.map(|(name, value)| (name.to_owned(), value)));
        list
    }

    /// The first stated attribute whose value differs in meaning from this setting.
    pub(crate) fn differs(&self, stated: &[(String, String)]) -> Result<Option<String>, SettingError> {
        for (name, value) in stated {
            let mut changed = self.clone();
            changed.set(name, value)?;
            if !changed.means(self) {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }

    /// Equality but for the spelling of the JSON texts.
    fn means(&self, other: &QueueSettings) -> bool {
        let plain = |s: &QueueSettings| QueueSettings {
            redrive: None,
            redrive_allow: None,
            policy: None,
            ..s.clone()
        };
        let redrive = match (&self.redrive, &other.redrive) {
            (Some(one), Some(other)) => one.means(other),
            (one, other) => one == other,
        };
        let allow = |s: &QueueSettings| s.redrive_allow.as_ref().map(|p| p.permission.clone());
        let policy = policy::same(self.policy.as_deref(), other.policy.as_deref());
        plain(self) == plain(other) && redrive && allow(self) == allow(other) && policy
    }
}

/// Whether a queue of that name takes this attribute with this value, as far as that can be told without the other
/// queues and attributes.
pub fn check_queue_attribute(queue: &str, name: &str, value: &str) -> Result<(), CreateQueueError> {
    Ok(QueueSettings::new(queue.ends_with(".fifo")).set(name, value)?)
}

/// The names of the attributes that a queue of that name can be given.
pub fn settable_attributes(queue: &str) -> Vec<String> {
    let listed = QueueSettings::new(queue.ends_with(".fifo")).list().into_iter();
    let listed = listed.map(|(name, _)| name);
    listed.chain(OPTIONAL.map(str::to_owned)).collect()
}

/// Checks a name of `GetQueueAttributes`.
pub(crate) fn check_listed_name(settings: &QueueSettings, name: &str) -> Result<(), AttributeNameInvalid> {
    if name == "All"
        || READ_ONLY.contains(&name)
        || OPTIONAL.contains(&name)
        || settings.list().iter().any(|(n, _)| n == name)
    {
        return Ok(());
    }
    Err(refuse_name(name, false))
}

fn refuse_name(name: &str, setting: bool) -> AttributeNameInvalid {
    let reason = if setting && READ_ONLY.contains(&name) {
        "It is read-only."
    } else if fifo::NAMES.contains(&name) {
        "It is for FIFO queues only."
    } else {
        ""
    };
    AttributeNameInvalid {
        name: name.into(),
        reason,
    }
}

fn number(name: &str, value: &str, range: RangeInclusive<u32>) -> Result<u32, Invalid> {
    let range = i64::from(*range.start())..=i64::from(*range.end());
    let rule = || {
        format!(
            "must be a whole number between {} and {}",
            range.start(),
            range.end()
        )
    };
    // Rust reads a plus sign too.
    let n: Option<i64> = value.parse().ok().filter(|_| !value.starts_with('+'));
    let n = n.ok_or_else(|| Invalid::new(name, value, rule()))?;
    Ok(in_range(name, n, range)? as u32)
}

fn boolean(name: &str, value: &str) -> Result<bool, Invalid> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Invalid::new(name, value, "must be true or false")),
    }
}

fn object(name: &str, text: &str) -> Result<serde_json::Map<String, Value>, Invalid> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(Invalid::new(name, text, "must be a JSON object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::QueueKey;
    use tsugite_base::names::Scope;

    const TARGET: &str = "arn:aws:sqs:us-east-1:000000000000:dead";

    fn set(name: &str, value: &str) -> Result<QueueSettings, SettingError> {
        let mut settings = QueueSettings::default();
        settings.set(name, value).map(|()| settings)
    }

    #[test]
    fn ranges() {
        for (name, low, high) in [
            ("DelaySeconds", 0, 900),
            ("MaximumMessageSize", 1_024, 1_048_576),
            ("MessageRetentionPeriod", 60, 1_209_600),
            ("ReceiveMessageWaitTimeSeconds", 0, 20),
            ("VisibilityTimeout", 0, 43_200),
        ] {
            for good in [low, high] {
                assert!(set(name, &good.to_string()).is_ok(), "{name} {good}");
            }
            for bad in [low - 1, high + 1] {
                assert!(
                    matches!(set(name, &bad.to_string()), Err(SettingError::Value(_))),
                    "{name} {bad}"
                );
            }
            for bad in ["", "x", "1.5", "99999999999999999999"] {
                assert!(
                    matches!(set(name, bad), Err(SettingError::Value(_))),
                    "{name} {bad}"
                );
            }
        }
    }

    #[test]
    fn names_that_cannot_be_set() {
        for name in [
            "QueueArn",
            "FifoQueue",
            "ContentBasedDeduplication",
            "x",
            "All",
            "",
        ] {
            assert!(matches!(set(name, "true"), Err(SettingError::Name(_))), "{name}");
        }
        assert_eq!(set("Policy", ""), Ok(QueueSettings::default()));
    }

    #[test]
    fn redrive_policies() {
        for count in ["3", "\"3\""] {
            let text = format!(r#"{{"deadLetterTargetArn":"{TARGET}","maxReceiveCount":{count}}}"#);
            let policy = set("RedrivePolicy", &text).unwrap().redrive.unwrap();
            assert_eq!(
                (policy.max_receives, policy.target.name.as_str(), policy.text),
                (3, "dead", text)
            );
        }
        for bad in [
            "x".to_owned(),
            "[]".to_owned(),
            format!(r#"{{"deadLetterTargetArn":"{TARGET}"}}"#),
            format!(r#"{{"deadLetterTargetArn":"{TARGET}","maxReceiveCount":0}}"#),
            format!(r#"{{"deadLetterTargetArn":"{TARGET}","maxReceiveCount":1001}}"#),
            format!(r#"{{"deadLetterTargetArn":"{TARGET}","maxReceiveCount":1,"x":1}}"#),
            r#"{"deadLetterTargetArn":"dead","maxReceiveCount":1}"#.to_owned(),
            r#"{"maxReceiveCount":1}"#.to_owned(),
        ] {
            assert!(
                matches!(set("RedrivePolicy", &bad), Err(SettingError::Redrive(_))),
                "{bad}"
            );
        }
        assert_eq!(set("RedrivePolicy", "").unwrap().redrive, None);
    }

    #[test]
    fn redrive_allow_policies() {
        let permission =
            |text: &str| set("RedriveAllowPolicy", text).map(|s| s.redrive_allow.unwrap().permission);
        let source = QueueKey::new(Scope::default(), "src");
        let by_queue =
            r#"{"redrivePermission":"byQueue","sourceQueueArns":["arn:aws:sqs:us-east-1:000000000000:src"]}"#;
        assert!(permission(by_queue).unwrap().allows(&source));
        assert!(
            !permission(by_queue)
                .unwrap()
                .allows(&QueueKey::new(Scope::default(), "other"))
        );
        assert!(
            permission(r#"{"redrivePermission":"allowAll"}"#)
                .unwrap()
                .allows(&source)
        );
        assert!(
            !permission(r#"{"redrivePermission":"denyAll"}"#)
                .unwrap()
                .allows(&source)
        );
        for bad in [
            "{}",
            r#"{"redrivePermission":"some"}"#,
            r#"{"redrivePermission":"byQueue"}"#,
            r#"{"redrivePermission":"byQueue","sourceQueueArns":[]}"#,
            r#"{"redrivePermission":"byQueue","sourceQueueArns":["x"]}"#,
            r#"{"redrivePermission":"allowAll","sourceQueueArns":["arn:aws:sqs:us-east-1:000000000000:src"]}"#,
        ] {
            assert!(permission(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn stated_attributes_are_compared_by_meaning() {
        let text = format!(r#"{{"deadLetterTargetArn":"{TARGET}","maxReceiveCount":3}}"#);
        let spaced = format!(r#"{{ "maxReceiveCount": "3", "deadLetterTargetArn": "{TARGET}" }}"#);
        let settings = set("RedrivePolicy", &text).unwrap();
        let differs = |name: &str, value: &str| settings.differs(&[(name.into(), value.into())]).unwrap();
        assert_eq!(differs("RedrivePolicy", &spaced), None);
        assert_eq!(differs("DelaySeconds", "0"), None);
        assert_eq!(differs("DelaySeconds", "1"), Some("DelaySeconds".into()));
        assert_eq!(differs("RedrivePolicy", ""), Some("RedrivePolicy".into()));
    }

    fn listed(settings: &QueueSettings, name: &str) -> Option<String> {
        let mut list = settings.list().into_iter();
        list.find(|(n, _)| n == name).map(|(_, value)| value)
    }

    fn pairs(stated: &[(&str, &str)]) -> Vec<(String, String)> {
        stated.iter().map(|&(n, v)| (n.into(), v.into())).collect()
    }

    #[test]
    fn a_key_of_kms_and_the_managed_encryption_exclude_each_other() {
        let mut settings = QueueSettings::default();
        let mut set = |stated: &[(&str, &str)]| {
            let result = settings.set_all(&pairs(stated));
            result.map(|()| {
                [
                    "SqsManagedSseEnabled",
                    "KmsMasterKeyId",
                    "KmsDataKeyReusePeriodSeconds",
                ]
                .map(|name| listed(&settings, name).unwrap_or_default())
            })
        };
        let key = ("KmsMasterKeyId", "alias/k");
        assert_eq!(
            set(&[key, ("KmsDataKeyReusePeriodSeconds", "60")]).unwrap(),
            ["false", "alias/k", "60"]
        );
        assert_eq!(
            set(&[("KmsDataKeyReusePeriodSeconds", "300")]).unwrap(),
            ["false", "alias/k", ""]
        );
        assert_eq!(set(&[("KmsMasterKeyId", "")]).unwrap(), ["false", "", ""]);
        assert_eq!(set(&[key]).unwrap(), ["false", "alias/k", ""]);
        assert_eq!(
            set(&[("SqsManagedSseEnabled", "true")]).unwrap(),
            ["true", "", ""]
        );
        assert!(matches!(
            set(&[key, ("SqsManagedSseEnabled", "true")]),
            Err(SettingError::Name(_))
        ));
        assert!(set(&[("KmsDataKeyReusePeriodSeconds", "59")]).is_err());
    }

    #[test]
    fn fifo_attributes() {
        let mut settings = QueueSettings::new(true);
        for (name, value) in [
            ("FifoQueue", "true"),
            ("ContentBasedDeduplication", "false"),
            ("DeduplicationScope", "queue"),
            ("FifoThroughputLimit", "perQueue"),
        ] {
            assert_eq!(listed(&settings, name).as_deref(), Some(value));
            assert_eq!(listed(&QueueSettings::default(), name), None);
            assert!(check_listed_name(&settings, name).is_ok());
            assert!(check_listed_name(&QueueSettings::default(), name).is_err());
        }
        let by_group = ("FifoThroughputLimit", "perMessageGroupId");
        assert!(settings.clone().set_all(&pairs(&[by_group])).is_err());
        let both = pairs(&[
            by_group,
            ("DeduplicationScope", "messageGroup"),
            ("FifoQueue", "True"),
        ]);
        settings.set_all(&both).unwrap();
        assert_eq!(settings.differs(&both), Ok(None));
        for (name, value) in [
            ("FifoQueue", "false"),
            ("FifoQueue", "x"),
            ("ContentBasedDeduplication", ""),
            ("DeduplicationScope", "Queue"),
            ("FifoThroughputLimit", ""),
        ] {
            assert!(
                matches!(settings.set(name, value), Err(SettingError::Value(_))),
                "{name}"
            );
        }
    }

    #[test]
    fn policies_are_kept_as_given_and_compared_by_meaning() {
        let given = r#"{ "Version": "2012-10-17", "Statement": [] }"#;
        let settings = set("Policy", given).unwrap();
        assert_eq!(listed(&settings, "Policy").as_deref(), Some(given));
        let same = pairs(&[("Policy", r#"{"Statement":[],"Version":"2012-10-17"}"#)]);
        assert_eq!(settings.differs(&same), Ok(None));
        assert_eq!(
            settings.differs(&pairs(&[("Policy", "")])),
            Ok(Some("Policy".into()))
        );
    }
}
