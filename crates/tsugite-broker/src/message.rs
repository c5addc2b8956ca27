//! A message: what it may hold, and what a receiver gets.

use tsugite_base::{Arn, Invalid, Timestamp, Uuid, limits};

use crate::error::{BodyInvalid, BodyMissing};
use crate::keys::{SubscriptionKey, TopicKey};
use crate::topics::Protocol;

/// A named, typed value beside a message's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageAttribute {
    /// 1-256 of `[A-Za-z0-9_.-]`.
    pub name: String,
    /// `String`, `Number`, `Binary` or, on topics, `String.Array`, each optionally with a `.label`.
    pub data_type: String,
    /// The value, as text or bytes.
    pub value: AttributeValue,
}

/// The value of a message attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// Of `String` and `Number`.
    Text(String),
    /// Of `Binary`.
    Binary(Vec<u8>),
}

impl AttributeValue {
    /// The value's bytes, whatever its kind.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            AttributeValue::Text(text) => text.as_bytes(),
            AttributeValue::Binary(bytes) => bytes,
        }
    }
}

/// A received message with everything that a door may show of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The message id; unchanged by a move to a dead-letter queue.
    pub id: Uuid,
    /// Names this delivery in later calls.
    pub handle: String,
    /// `SenderId`.
    pub sender: String,
    /// `SentTimestamp`.
    pub sent: Timestamp,
    /// `ApproximateReceiveCount`, this delivery included.
    pub receive_count: u32,
    /// `ApproximateFirstReceiveTimestamp`.
    pub first_received: Timestamp,
    /// `AWSTraceHeader`.
    pub trace_header: Option<String>,
    /// `DeadLetterQueueSourceArn`.
    pub dead_letter_source: Option<String>,
    /// `MessageGroupId`.
    pub group: Option<String>,
    /// `MessageDeduplicationId`, given or derived, on FIFO queues.
    pub deduplication: Option<String>,
    /// `SequenceNumber`, on FIFO queues.
    pub sequence: Option<u64>,
    /// The text and its attributes, of the queue or of the topic.
    pub content: Content,
}

/// Where a message came from decides how it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Sent to the queue, or published to a topic that delivers raw: shown as it is.
    Plain {
        /// The text.
        body: String,
        /// The attributes.
        attributes: Vec<MessageAttribute>,
    },
    /// Published to a topic: shown in the envelope that the door builds. The message then has no attributes.
    Enveloped(Box<Notification>),
    /// For the endpoint of a subscription: its token. The door or the shell writes it as a message.
    Announced(Box<Announcement>),
    /// What would have been sent to an address or a phone.
    Captured(Box<Captured>),
}

/// What an endpoint is told about its subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnouncementKind {
    /// It was subscribed, and has to confirm that.
    Subscribed,
    /// Its subscription has ended.
    Unsubscribed,
}

/// Tells an endpoint about its subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// What is told.
    pub kind: AnnouncementKind,
    /// The id of this message.
    pub id: Uuid,
    /// When it was written.
    pub written: Timestamp,
    /// The subscription.
    pub subscription: SubscriptionKey,
    /// What confirms the subscription, or begins it again.
    pub token: String,
    /// `SignatureVersion` of the topic: 1 or 2.
    pub signature_version: u8,
}

/// What would have been sent to an address or a phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The message id.
    pub id: Uuid,
    /// When.
    pub sent: Timestamp,
    /// `email`, `email-json` or `sms`.
    pub protocol: Protocol,
    /// The address or number.
    pub endpoint: String,
    /// The topic, unless it was published to the number itself.
    pub topic: Option<TopicKey>,
    /// The subscription, of a topic's message; absent in what older versions captured.
    pub subscription: Option<Uuid>,
    /// `SignatureVersion` of the topic at that time; 0 without a topic.
    pub signature_version: u8,
    /// The subject, if given.
    pub subject: Option<String>,
    /// The text; the token, if it is one.
    pub text: String,
    /// Whether it asks to confirm a subscription.
    pub is_token: bool,
    /// The attributes, in the order given.
    pub attributes: Vec<MessageAttribute>,
}

/// A published message as a subscription delivers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The id that the publisher was told.
    pub id: Uuid,
    /// The topic.
    pub topic: TopicKey,
    /// The subscription.
    pub subscription: SubscriptionKey,
    /// The subject, if given.
    pub subject: Option<String>,
    /// The text.
    pub message: String,
    /// When it was published.
    pub published: Timestamp,
    /// The attributes, in the order given.
    pub attributes: Vec<MessageAttribute>,
    /// `SignatureVersion` of the topic at that time: 1 or 2; 0 on FIFO topics, which do not sign.
    pub signature_version: u8,
    /// `SequenceNumber` on FIFO topics.
    pub sequence: Option<u64>,
    /// Whether it comes from the archive.
    pub replayed: bool,
}

impl Notification {
    /// The topic's ARN.
    pub fn topic_arn(&self) -> Arn {
        self.topic.arn()
    }
}

/// Bytes that count against the size limits: the text, and each attribute's name, type and value.
pub fn message_size(body: &str, attributes: &[MessageAttribute]) -> usize {
    let attribute = |a: &MessageAttribute| a.name.len() + a.data_type.len() + a.value.as_bytes().len();
    body.len() + attributes.iter().map(attribute).sum::<usize>()
}

/// What is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is empty.
    Missing(BodyMissing),
    /// It holds a character that may not be sent.
    Invalid(BodyInvalid),
}

/// Checks that a body has at least one character, and only allowed ones.
pub fn check_body(body: &str) -> Result<(), BodyError> {
    if body.is_empty() {
        return Err(BodyError::Missing(BodyMissing {}));
    }
    match find_forbidden(body) {
        None => Ok(()),
        Some((offset, character)) => Err(BodyError::Invalid(BodyInvalid { character, offset })),
    }
}

/// The first character outside `#x9 #xA #xD #x20-#xD7FF #xE000-#xFFFD #x10000-#x10FFFF`.
pub(crate) fn find_forbidden(text: &str) -> Option<(usize, char)> {
    // Forbidden are only ASCII controls and U+FFFE, U+FFFF (UTF-8: EF BF BE, EF BF BF), so most texts
    // are settled by one pass over bytes, without a branch for each, which compilers do many at a time.
    let suspicious = |b: u8| (b < 0x20) & (b != 9) & (b != 10) & (b != 13) | (b == 0xef);
    if !text.bytes().fold(false, |found, b| found | suspicious(b)) {
        return None;
    }
    text.char_indices()
        .find(|(_, c)| matches!(c, '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}'))
}

/// Checks the attributes of a message to a queue: number, names, types and values.
pub fn check_attributes(attributes: &[MessageAttribute]) -> Result<(), Invalid> {
    if attributes.len() > limits::MESSAGE_ATTRIBUTES {
        return Err(Invalid::new(
            "MessageAttributes",
            attributes.len(),
            format!("a message has at most {} attributes", limits::MESSAGE_ATTRIBUTES),
        ));
    }
    for (i, attribute) in attributes.iter().enumerate() {
        check_attribute_name(&attribute.name)?;
        if attributes[..i].iter().any(|a| a.name == attribute.name) {
            return Err(Invalid::new(
                "MessageAttributes",
                &attribute.name,
                "each attribute name may appear once",
            ));
        }
        check_attribute_value(attribute)?;
    }
    Ok(())
}

fn check_attribute_name(name: &str) -> Result<(), Invalid> {
    // Letters and digits of any script: AWS takes them, whatever its guide says.
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
    let reserved = |prefix: &str| {
        name.get(..prefix.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    };
    let rule = if name.is_empty() || name.chars().count() > limits::MESSAGE_ATTRIBUTE_NAME_CHARS {
        "must have 1 to 256 characters"
    } else if !name.chars().all(allowed) {
        "can only hold letters, digits, underscores, hyphens and dots"
    } else if name.starts_with('.') || name.ends_with('.') || name.contains("..") {
        "must not begin or end with a dot, or hold two in a row"
    } else if reserved("aws.") || reserved("amazon.") {
        "must not begin with aws. or amazon."
    } else {
        return Ok(());
    };
    Err(Invalid::new("MessageAttributeName", name, rule))
}

fn check_attribute_value(attribute: &MessageAttribute) -> Result<(), Invalid> {
    let MessageAttribute {
        name,
        data_type,
        value,
    } = attribute;
    let invalid =
        |value: &str, rule: &str| Err(Invalid::new(format!("MessageAttributes.{name}"), value, rule));
    if data_type.len() > limits::MESSAGE_ATTRIBUTE_NAME_CHARS {
        return invalid(data_type, "a data type has at most 256 characters");
    }
    let (base, label) = data_type.split_once('.').unwrap_or((data_type, ""));
    if label.is_empty() && data_type.contains('.') {
        return invalid(data_type, "a data type's label must not be empty");
    }
    match (base, value) {
        (_, value) if value.as_bytes().is_empty() => invalid("(empty)", "the value must not be empty"),
        ("String", AttributeValue::Text(text)) => match find_forbidden(text) {
            Some(_) => invalid(text, "the value holds a character that may not be sent"),
            None => Ok(()),
        },
        ("Number", AttributeValue::Text(text)) if is_number(text) => Ok(()),
        ("Number", AttributeValue::Text(text)) => invalid(
            text,
            "must be a number of at most 38 significant digits between 10^-128 and 10^126",
        ),
        ("Binary", AttributeValue::Binary(_)) => Ok(()),
        ("String" | "Number" | "Binary", _) => invalid(data_type, "the value is not of the stated data type"),
        _ => invalid(
            data_type,
            "the data type must be String, Number or Binary, optionally with a .label",
        ),
    }
}

/// Whether `text` is a decimal number in the range and precision that AWS allows.
pub(crate) fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        None => (unsigned, 0),
        Some((mantissa, exponent)) => match exponent.parse::<i32>() {
            Ok(e) if e.abs() <= 1_000 => (mantissa, e),
            _ => return false,
        },
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().next().is_none() || !digits().all(|b| b.is_ascii_digit()) || mantissa.len() > 400 {
        return false;
    }
    let Some(first) = digits().position(|b| b != b'0') else {
        return true; // zero
    };
    let last = digits()
        .collect::<Vec<_>>()
        .iter()
        .rposition(|&b| b != b'0')
        .unwrap_or(first);
    // Decimal exponent of the first significant digit.
    let magnitude = whole.len() as i32 - 1 - first as i32 + exponent;
    last - first < 38 && (-128..=126).contains(&magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, data_type: &str, value: &str) -> MessageAttribute {
        MessageAttribute {
            name: name.into(),
            data_type: data_type.into(),
            value: AttributeValue::Text(value.into()),
        }
    }

    #[test]
    fn bodies() {
        for good in ["x", "\t\r\n", "日本", "\u{fffd}", "\u{10ffff}", "\u{efff}"] {
            assert_eq!(check_body(good), Ok(()), "{good:?}");
        }
        assert_eq!(check_body(""), Err(BodyError::Missing(BodyMissing {})));
        for (bad, offset) in [
            ("ab\0", 2),
            ("\u{b}", 0),
            ("\u{1f}", 0),
            ("日\u{fffe}", 3),
            ("\u{ffff}", 0),
        ] {
            match check_body(bad) {
                Err(BodyError::Invalid(e)) => assert_eq!(e.offset, offset, "{bad:?}"),
                other => panic!("{bad:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn attribute_names() {
        let check = |name: &str| check_attributes(&[text(name, "String", "x")]).is_ok();
        for good in ["a", "a.b", "A-_9", "awsx", "amazon", &"x".repeat(256)] {
            assert!(check(good), "{good}");
        }
        for bad in [
            "",
            ".a",
            "a.",
            "a..b",
            "aws.x",
            "AWS.x",
            "Amazon.y",
            "a b",
            "§",
            &"x".repeat(257),
        ] {
            assert!(!check(bad), "{bad}");
        }
        assert!(check_attributes(&[text("a", "String", "1"), text("a", "String", "2")]).is_err());
    }

    #[test]
    fn attribute_values() {
        let check = |data_type: &str, value: &str| check_attributes(&[text("a", data_type, value)]).is_ok();
        for (t, v) in [
            ("String", "x"),
            ("String.url", "x"),
            ("Number", "-1.5e3"),
            ("Number.int", "0"),
            ("Number", "1e126"),
            ("Number", "1e-128"),
            ("Number", &"9".repeat(38)),
            ("Number", ".5"),
        ] {
            assert!(check(t, v), "{t} {v}");
        }
        for (t, v) in [
            ("String", ""),
            ("string", "x"),
            ("String.", "x"),
            ("Number", "x"),
            ("Number", "1e127"),
            ("Number", "-"),
            ("Number", "1e-129"),
            ("Number", &"9".repeat(39)),
            ("Number", "1e99999999999"),
            ("Binary", "x"),
            ("Stringy", "x"),
            ("", "x"),
            ("String", "\0"),
            (&format!("String.{}", "x".repeat(250)), "x"),
        ] {
            assert!(!check(t, v), "{t} {v}");
        }
        let bytes = MessageAttribute {
            name: "b".into(),
            data_type: "Binary.png".into(),
            value: AttributeValue::Binary(vec![0, 1]),
        };
        assert!(check_attributes(&[bytes]).is_ok());
    }

    #[test]
    fn queues_take_ten_attributes() {
        let many = |n: usize| {
            (0..n)
                .map(|i| text(&format!("a{i}"), "String", "x"))
                .collect::<Vec<_>>()
        };
        assert!(check_attributes(&many(10)).is_ok());
        assert!(check_attributes(&many(11)).is_err());
    }
}
