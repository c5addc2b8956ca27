//! What is set of a topic: attributes, tags, the data protection policy.

use std::collections::BTreeMap;

use serde_json::Value;
use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_base::{Timestamp, limits};

use super::error::{AttributeInvalid, ParameterInvalid, TooManyTags};
use crate::delivery_policy::TopicDeliveryPolicy;
use crate::keys::TopicKey;

/// What is set of a topic. Attributes are kept as they were given, once found valid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicSettings {
    /// Wall clock of the creation.
    pub created: Timestamp,
    /// By name, as AWS spells it.
    pub attributes: BTreeMap<String, String>,
    /// By key.
    pub tags: BTreeMap<String, String>,
    /// `DataProtectionPolicy`: kept, and does nothing.
    pub data_protection: Option<String>,
}

/// Protocols with settings for the delivery status log, which are kept and do nothing.
const LOGGED: [&str; 5] = ["HTTP", "SQS", "Lambda", "Firehose", "Application"];
const LOG_SETTINGS: [&str; 3] = [
    "SuccessFeedbackRoleArn",
    "FailureFeedbackRoleArn",
    "SuccessFeedbackSampleRate",
];
/// Only on FIFO topics.
const OF_FIFO: [&str; 2] = ["ContentBasedDeduplication", "FifoThroughputScope"];
/// What the keys of AWS's own tags begin with.
const RESERVED_TAGS: &str = "aws:";
const WHAT: &str = "topic settings";

impl TopicSettings {
    pub(super) fn new(created: Timestamp) -> TopicSettings {
        TopicSettings {
            created,
            ..TopicSettings::default()
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// Whether it is a FIFO topic.
    pub(crate) fn is_fifo(&self) -> bool {
        self.get("FifoTopic") == Some("true")
    }

    /// Whether messages may come without a deduplication id.
    pub(crate) fn content_based(&self) -> bool {
        self.get("ContentBasedDeduplication") == Some("true")
    }

    /// Whether each group deduplicates for itself.
    pub(crate) fn by_group(&self) -> bool {
        self.get("FifoThroughputScope") == Some("MessageGroup")
    }

    /// Bytes that a message may have with its attributes.
    pub(crate) fn max_size(&self) -> usize {
        let stated = self.get("MaximumMessageSize").and_then(|n| n.parse().ok());
        stated.unwrap_or(limits::TOPIC_MESSAGE_BYTES)
    }

    /// `SignatureVersion`: 1 or 2.
    pub(crate) fn signature_version(&self) -> u8 {
        if self.get("SignatureVersion") == Some("2") {
            2
        } else {
            1
        }
    }

    /// `DeliveryPolicy`.
    pub(crate) fn delivery_policy(&self) -> Option<TopicDeliveryPolicy> {
        TopicDeliveryPolicy::parse(self.get("DeliveryPolicy")?).ok()?
    }

    /// `Policy`, JSON.
    pub(crate) fn policy(&self) -> Option<&str> {
        self.get("Policy")
    }

    /// Days for which messages are archived, if they are.
    pub(crate) fn archive_days(&self) -> Option<u32> {
        archive_days(self.get("ArchivePolicy")?)
    }

    /// Takes over an attribute that creation states.
    pub(super) fn set(&mut self, topic: &TopicKey, name: &str, value: &str) -> Result<(), AttributeInvalid> {
        if name == "FifoTopic" {
            if boolean(name, value)? {
                self.attributes.insert(name.to_owned(), "true".to_owned());
            }
            return Ok(());
        }
        self.set_later(topic, name, value)
    }

    /// Takes over an attribute of an existing topic; an empty value takes it away.
    pub(super) fn set_later(
        &mut self,
        topic: &TopicKey,
        name: &str,
        value: &str,
    ) -> Result<(), AttributeInvalid> {
        if OF_FIFO.contains(&name) && !topic.is_fifo() {
            return Err(AttributeInvalid::value(name, "is for FIFO topics only"));
        }
        let kept = self.checked(name, value)?;
        match kept {
            Some(value) => self.attributes.insert(name.to_owned(), value),
            None => self.attributes.remove(name),
        };
        Ok(())
    }

    /// The value to keep, if any.
    fn checked(&self, name: &str, value: &str) -> Result<Option<String>, AttributeInvalid> {
        let bad = |rule: &str| {
            Err(AttributeInvalid::value(
                name,
                format!("Invalid value [{value}]. It {rule}."),
            ))
        };
        let as_given = (!value.is_empty()).then(|| value.to_owned());
        match name {
            "DisplayName" if value.chars().count() > 100 => bad("must be at most 100 characters long"),
            "DisplayName" => Ok(Some(value.to_owned())),
            "Policy" => match as_given {
                Some(text) if text.len() > limits::TOPIC_POLICY_BYTES => bad("is too long"),
                Some(text) => {
                    object("Policy", &text)?;
                    Ok(Some(text))
                }
                None => Ok(None),
            },
            "DeliveryPolicy" => {
                if let Some(text) = &as_given {
                    let policy = TopicDeliveryPolicy::parse(text);
                    policy.map_err(AttributeInvalid::of_delivery_policy)?;
                }
                Ok(as_given)
            }
            "KmsMasterKeyId" if value.chars().count() > limits::KMS_KEY_CHARS => bad("is too long"),
            "KmsMasterKeyId" => Ok(as_given),
            "SignatureVersion" if matches!(value, "1" | "2") => Ok(as_given),
            "SignatureVersion" => bad("must be 1 or 2"),
            "TracingConfig" if matches!(value, "PassThrough" | "Active") => Ok(as_given),
            "TracingConfig" => bad("must be PassThrough or Active"),
            "MaximumMessageSize" => match value.parse::<usize>() {
                Ok(1_024..=limits::MESSAGE_BYTES) => Ok(as_given),
                _ => bad("must be a whole number between 1024 and 1048576"),
            },
            "ContentBasedDeduplication" => boolean(name, value).map(|on| Some(on.to_string())),
            "FifoThroughputScope" => match value {
                "MessageGroup" => Ok(as_given),
                "Topic" if self.by_group() => bad("cannot become Topic again once it is MessageGroup"),
                "Topic" => Ok(as_given),
                _ => bad("must be Topic or MessageGroup"),
            },
            "ArchivePolicy" => {
                if value.is_empty() || object(name, value)?.is_empty() {
                    return Ok(None);
                }
                match archive_days(value) {
                    Some(_) => Ok(as_given),
                    None => bad("must be {\"MessageRetentionPeriod\":\"1\"} to \"365\", or {}"),
                }
            }
            _ if is_log_setting(name) => {
                if name.ends_with("SampleRate")
                    && !value.is_empty()
                    && !value.parse::<u8>().is_ok_and(|rate| rate <= 100)
                {
                    return bad("must be a percentage between 0 and 100");
                }
                Ok(as_given)
            }
            _ => Err(AttributeInvalid::Unknown(name.to_owned())),
        }
    }

    /// Whether a creation that states this finds this topic; AWS compares what is stated.
    pub(super) fn agrees(
        &self,
        topic: &TopicKey,
        attributes: &[(String, String)],
        tags: &[(String, String)],
    ) -> Result<(), ParameterInvalid> {
        for (name, value) in attributes {
            let mut other = self.clone();
            other.set(topic, name, value).map_err(AttributeInvalid::stated)?;
            if !self.means(&other, name) {
                return Err(ParameterInvalid::new(
                    "Attributes",
                    "Topic already exists with different attributes",
                ));
            }
        }
        if tags.iter().any(|(key, value)| self.tags.get(key) != Some(value)) {
            return Err(ParameterInvalid::new(
                "Tags",
                "Topic already exists with different tags",
            ));
        }
        Ok(())
    }

    fn means(&self, other: &TopicSettings, name: &str) -> bool {
        let default = match name {
            "ContentBasedDeduplication" => Some("false"),
            "FifoThroughputScope" => Some("Topic"),
            "SignatureVersion" => Some("1"),
            "TracingConfig" => Some("PassThrough"),
            "DisplayName" => Some(""),
            _ => None,
        };
        let (one, another) = (self.get(name).or(default), other.get(name).or(default));
        let json = |text: Option<&str>| text.and_then(|text| serde_json::from_str::<Value>(text).ok());
        one == another || (json(one).is_some_and(|v| v.is_object()) && json(one) == json(another))
    }

    /// Gives tags.
    pub(super) fn tag(&mut self, tags: Vec<(String, String)>) -> Result<(), TooManyTags> {
        self.tags.extend(tags);
        if self.tags.len() > limits::QUEUE_TAGS {
            let limit = limits::QUEUE_TAGS;
            return Err(TooManyTags { limit });
        }
        Ok(())
    }

    pub(super) fn protect(&mut self, text: &str) -> Result<(), ParameterInvalid> {
        const NAME: &str = "DataProtectionPolicy";
        if text.len() > limits::TOPIC_POLICY_BYTES {
            let reason = format!("must be at most {} bytes long", limits::TOPIC_POLICY_BYTES);
            return Err(ParameterInvalid::new(NAME, reason));
        }
        if text.is_empty() {
            self.data_protection = None;
            return Ok(());
        }
        object(NAME, text).map_err(AttributeInvalid::alone)?;
        self.data_protection = Some(text.to_owned());
        Ok(())
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_time(self.created);
        put_map(out, &self.attributes);
        put_map(out, &self.tags);
        out.put_option(self.data_protection.as_deref(), |out, text| out.put_str(text));
    }

    pub(super) fn decode(get: &mut Get<'_>) -> Result<TopicSettings, Malformed> {
        Ok(TopicSettings {
            created: get.time(WHAT)?,
            attributes: get_map(get)?,
            tags: get_map(get)?,
            data_protection: get.option(WHAT, |get| Ok(get.str(WHAT)?.to_owned()))?,
        })
    }
}

/// Whether a topic of that name takes this attribute with this value at its creation, as far as that can be told
/// without its other attributes.
pub fn check_topic_attribute(topic: &TopicKey, name: &str, value: &str) -> Result<(), ParameterInvalid> {
    let checked = TopicSettings::new(Timestamp(0)).set(topic, name, value);
    checked.map_err(AttributeInvalid::stated)
}

pub(super) fn put_map(out: &mut Vec<u8>, map: &BTreeMap<String, String>) {
    out.put_u32(map.len() as u32);
    for (key, value) in map {
        out.put_str(key);
        out.put_str(value);
    }
}

pub(super) fn get_map(get: &mut Get<'_>) -> Result<BTreeMap<String, String>, Malformed> {
    let mut map = BTreeMap::new();
    for _ in 0..get.u32(WHAT)? {
        let key = get.str(WHAT)?.to_owned();
        map.insert(key, get.str(WHAT)?.to_owned());
    }
    Ok(map)
}

fn is_log_setting(name: &str) -> bool {
    let setting = LOGGED.iter().find_map(|protocol| name.strip_prefix(protocol));
    setting.is_some_and(|setting| LOG_SETTINGS.contains(&setting))
}

fn archive_days(text: &str) -> Option<u32> {
    let policy: Value = serde_json::from_str(text).ok()?;
    let days = match policy.get("MessageRetentionPeriod")? {
        Value::String(days) => days.parse().ok()?,
        Value::Number(days) => u32::try_from(days.as_u64()?).ok()?,
        _ => return None,
    };
    let alone = policy.as_object().is_some_and(|policy| policy.len() == 1);
    (alone && (1..=365).contains(&days)).then_some(days)
}

/// A topic is FIFO if its name ends so and it says so: neither without the other.
pub(super) fn check_type(topic: &TopicKey, attributes: &[(String, String)]) -> Result<(), ParameterInvalid> {
    let says = |(name, value): &(String, String)| name == "FifoTopic" && value.eq_ignore_ascii_case("true");
    match (topic.is_fifo(), attributes.iter().any(says)) {
        (true, true) | (false, false) => Ok(()),
        _ => Err(ParameterInvalid::new("Topic Name", "")),
    }
}

/// Tags whose keys differ, or the error of AWS for those that do not.
pub(super) fn unique(tags: Vec<(String, String)>) -> Result<Vec<(String, String)>, ParameterInvalid> {
    let mut keys: Vec<&str> = tags.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(ParameterInvalid::new("Duplicated keys are not allowed.", ""));
    }
    let reserved = |key: &&(String, String)| {
        let head = key.0.get(..RESERVED_TAGS.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(RESERVED_TAGS))
    };
    if let Some((key, _)) = tags.iter().find(reserved) {
        return Err(ParameterInvalid::new(
            "Tags",
            format!("{key}: keys that begin with {RESERVED_TAGS} are reserved"),
        ));
    }
    for (key, value) in &tags {
        let fits = |text: &str, most: usize| text.chars().count() <= most;
        if key.is_empty() || !fits(key, limits::TAG_KEY_CHARS) || !fits(value, limits::TAG_VALUE_CHARS) {
            return Err(ParameterInvalid::new(
                "Tags",
                format!("{key}: a key has 1 to 128 characters, a value at most 256"),
            ));
        }
    }
    Ok(tags)
}

pub(super) fn boolean(name: &str, value: &str) -> Result<bool, AttributeInvalid> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(AttributeInvalid::value(
            name,
            format!("Invalid value [{value}]. Must be true or false."),
        )),
    }
}

pub(super) fn object(name: &str, text: &str) -> Result<serde_json::Map<String, Value>, AttributeInvalid> {
    let why = match serde_json::from_str(text) {
        Ok(Value::Object(map)) => return Ok(map),
        Ok(_) => "must be a JSON object".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(AttributeInvalid::value(
        name,
        format!("failed to parse JSON. {why}"),
    ))
}
