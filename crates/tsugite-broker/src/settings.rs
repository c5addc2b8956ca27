//! A queue's attributes: parsed from what clients write, kept as meant, listed as AWS lists them.

use std::ops::RangeInclusive;

use serde_json::Value;
use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_base::invalid::in_range;
use tsugite_base::names::Scope;
use tsugite_base::{Invalid, limits};

use crate::error::{
    AttributeNameInvalid, AttributeValueInvalid, CreateQueueError, SetQueueAttributesError, Unsupported,
};
use crate::keys::QueueKey;

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
}

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
        }
    }
}

/// What is wrong with a stated attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SettingError {
    Name(AttributeNameInvalid),
    Value(AttributeValueInvalid),
    Unsupported(Unsupported),
}

impl From<SettingError> for CreateQueueError {
    fn from(e: SettingError) -> CreateQueueError {
        match e {
            SettingError::Name(e) => e.into(),
            SettingError::Value(e) => e.into(),
            SettingError::Unsupported(e) => e.into(),
        }
    }
}

impl From<SettingError> for SetQueueAttributesError {
    fn from(e: SettingError) -> SetQueueAttributesError {
        match e {
            SettingError::Name(e) => e.into(),
            SettingError::Value(e) => e.into(),
            SettingError::Unsupported(e) => e.into(),
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

/// Settable attributes that a standard queue may lack and then does not list.
const OPTIONAL: [&str; 5] = [
    "RedrivePolicy",
    "RedriveAllowPolicy",
    "Policy",
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
];

const FIFO_ONLY: [&str; 4] = [
    "FifoQueue",
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "FifoThroughputLimit",
];

impl QueueSettings {
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
            "SqsManagedSseEnabled" => self.managed_sse = boolean(name, value)?,
            "RedrivePolicy" => self.redrive = RedrivePolicy::parse(value)?,
            "RedriveAllowPolicy" => self.redrive_allow = RedriveAllowPolicy::parse(value)?,
            // The values that mean "none" are true here; any other would be a promise that is not kept.
            "Policy" | "KmsMasterKeyId" if value.is_empty() => {}
            "KmsDataKeyReusePeriodSeconds" if value == "300" => {}
            "Policy" | "KmsMasterKeyId" | "KmsDataKeyReusePeriodSeconds" => {
                return Err(SettingError::Unsupported(Unsupported { what: name.into() }));
            }
            _ => return Err(SettingError::Name(refuse_name(name, true))),
        }
        Ok(())
    }

    /// The settable attributes, as AWS spells them; policies only if set.
    pub(crate) fn list(&self) -> Vec<(String, String)> {
        let mut list = vec![
            ("DelaySeconds".into(), self.delay.to_string()),
            ("MaximumMessageSize".into(), self.max_size.to_string()),
            ("MessageRetentionPeriod".into(), self.retention.to_string()),
            ("ReceiveMessageWaitTimeSeconds".into(), self.wait.to_string()),
            ("VisibilityTimeout".into(), self.visibility.to_string()),
            ("SqsManagedSseEnabled".into(), self.managed_sse.to_string()),
        ];
        let policies = [
            ("RedrivePolicy", self.redrive.as_ref().map(|p| &p.text)),
            ("RedriveAllowPolicy", self.redrive_allow.as_ref().map(|p| &p.text)),
        ];
        for (name, text) in policies {
            list.extend(text.map(|text| (name.into(), text.clone())));
        }
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
        let plain = |s: &QueueSettings| {
            (
                s.delay,
                s.max_size,
                s.retention,
                s.wait,
                s.visibility,
                s.managed_sse,
            )
        };
        let redrive = |s: &QueueSettings| s.redrive.as_ref().map(|p| (p.target.clone(), p.max_receives));
        let allow = |s: &QueueSettings| s.redrive_allow.as_ref().map(|p| p.permission.clone());
        plain(self) == plain(other) && redrive(self) == redrive(other) && allow(self) == allow(other)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for n in [
            self.delay,
            self.max_size,
            self.retention,
            self.wait,
            self.visibility,
        ] {
            out.put_u32(n);
        }
        out.put_u8(u8::from(self.managed_sse));
        out.put_option(self.redrive.as_ref(), |out, p| {
            out.put_str(&p.text);
            put_queue(out, &p.target);
            out.put_u32(p.max_receives);
        });
        out.put_option(self.redrive_allow.as_ref(), |out, p| {
            out.put_str(&p.text);
            match &p.permission {
                RedrivePermission::All => out.put_u8(0),
                RedrivePermission::Nobody => out.put_u8(1),
                RedrivePermission::Queues(queues) => {
                    out.put_u8(2);
                    out.put_u16(queues.len() as u16);
                    queues.iter().for_each(|q| put_queue(out, q));
                }
            }
        });
    }

    pub(crate) fn decode(get: &mut Get<'_>) -> Result<QueueSettings, Malformed> {
        const WHAT: &str = "queue settings";
        Ok(QueueSettings {
            delay: get.u32(WHAT)?,
            max_size: get.u32(WHAT)?,
            retention: get.u32(WHAT)?,
            wait: get.u32(WHAT)?,
            visibility: get.u32(WHAT)?,
            managed_sse: get.u8(WHAT)? != 0,
            redrive: get.option(WHAT, |get| {
                Ok(RedrivePolicy {
                    text: get.str(WHAT)?.to_owned(),
                    target: get_queue(get)?,
                    max_receives: get.u32(WHAT)?,
                })
            })?,
            redrive_allow: get.option(WHAT, |get| {
                let text = get.str(WHAT)?.to_owned();
                let permission = match get.u8(WHAT)? {
                    0 => RedrivePermission::All,
                    1 => RedrivePermission::Nobody,
                    2 => {
                        let n = get.u16(WHAT)?;
                        RedrivePermission::Queues((0..n).map(|_| get_queue(get)).collect::<Result<_, _>>()?)
                    }
                    _ => return Err(Malformed { what: WHAT }),
                };
                Ok(RedriveAllowPolicy { text, permission })
            })?,
        })
    }
}

/// Whether `CreateQueue` takes this attribute with this value, as far as that can be told without the other queues.
pub fn check_queue_attribute(name: &str, value: &str) -> Result<(), CreateQueueError> {
    Ok(QueueSettings::default().set(name, value)?)
}

/// The names of the attributes that a standard queue can be given.
pub fn settable_attributes() -> Vec<String> {
    let listed = QueueSettings::default().list().into_iter().map(|(name, _)| name);
    listed.chain(OPTIONAL.map(str::to_owned)).collect()
}

/// Checks a name of `GetQueueAttributes`.
pub(crate) fn check_listed_name(name: &str) -> Result<(), AttributeNameInvalid> {
    let settable = QueueSettings::default().list();
    if name == "All"
        || READ_ONLY.contains(&name)
        || OPTIONAL.contains(&name)
        || settable.iter().any(|(n, _)| n == name)
    {
        return Ok(());
    }
    Err(refuse_name(name, false))
}

fn refuse_name(name: &str, setting: bool) -> AttributeNameInvalid {
    let reason = if setting && READ_ONLY.contains(&name) {
        "is read-only"
    } else if FIFO_ONLY.contains(&name) {
        "is for FIFO queues only"
    } else {
        "is unknown"
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
    let n: i64 = value.parse().map_err(|_| Invalid::new(name, value, rule()))?;
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

impl RedrivePolicy {
    /// The policy, or `None` for an empty text.
    fn parse(text: &str) -> Result<Option<RedrivePolicy>, Invalid> {
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
    fn parse(text: &str) -> Result<Option<RedriveAllowPolicy>, Invalid> {
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

pub(crate) fn put_queue(out: &mut Vec<u8>, key: &QueueKey) {
    put_scope(out, &key.scope);
    out.put_str(&key.name);
}

pub(crate) fn get_queue(get: &mut Get<'_>) -> Result<QueueKey, Malformed> {
    Ok(QueueKey::new(get_scope(get)?, get.str("queue name")?))
}

pub(crate) fn put_scope(out: &mut Vec<u8>, scope: &Scope) {
    out.put_str(&scope.account);
    out.put_str(&scope.region);
}

pub(crate) fn get_scope(get: &mut Get<'_>) -> Result<Scope, Malformed> {
    Ok(Scope {
        account: get.str("account")?.to_owned(),
        region: get.str("region")?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for (name, value) in [
            ("Policy", "{}"),
            ("KmsMasterKeyId", "k"),
            ("KmsDataKeyReusePeriodSeconds", "60"),
        ] {
            assert!(
                matches!(set(name, value), Err(SettingError::Unsupported(_))),
                "{name}"
            );
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
                matches!(set("RedrivePolicy", &bad), Err(SettingError::Value(_))),
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
}
