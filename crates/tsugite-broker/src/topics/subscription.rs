//! A subscription: who gets the messages of a topic, how, and which of them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use tsugite_base::Timestamp;
use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_filter::{Policy, Scope as FilterScope};

use super::error::{AttributeInvalid, ParameterInvalid};
use super::replay::Replay;
use super::settings::{boolean, get_map, object, put_map};
use crate::delivery_policy::SubscriptionDeliveryPolicy;
use crate::keys::{QueueId, QueueKey, TopicKey};

/// How a subscription delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// To a queue.
    Sqs,
    /// By POST.
    Http,
    /// By POST over TLS.
    Https,
    /// Captured.
    Email,
    /// Captured.
    EmailJson,
    /// Captured.
    Sms,
}

impl Protocol {
    pub(super) const ALL: [Protocol; 6] = [
        Protocol::Sqs,
        Protocol::Http,
        Protocol::Https,
        Protocol::Email,
        Protocol::EmailJson,
        Protocol::Sms,
    ];

    /// The name, as AWS spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Sqs => "sqs",
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Email => "email",
            Protocol::EmailJson => "email-json",
            Protocol::Sms => "sms",
        }
    }

    /// Its number in records.
    pub(crate) fn number(self) -> u8 {
        let number = Protocol::ALL.iter().position(|protocol| *protocol == self);
        number.unwrap_or_default() as u8
    }

    /// What an endpoint looks like, for people who do not say it; nothing, for the bare name of a queue.
    pub fn of_endpoint(endpoint: &str) -> Option<Protocol> {
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        match endpoint {
            arn if arn.starts_with("arn:") => Some(Protocol::Sqs),
            url if url.starts_with("http://") => Some(Protocol::Http),
            url if url.starts_with("https://") => Some(Protocol::Https),
            number if number.strip_prefix('+').is_some_and(digits) => Some(Protocol::Sms),
            address if address.contains('@') => Some(Protocol::Email),
            _ => None,
        }
    }

    /// Whether messages are posted to the endpoint.
    pub const fn posts(self) -> bool {
        matches!(self, Protocol::Http | Protocol::Https)
    }

    /// Whether what would be sent is captured.
    pub const fn is_captured(self) -> bool {
        matches!(self, Protocol::Email | Protocol::EmailJson | Protocol::Sms)
    }

    /// Whether the endpoint has to confirm before it gets anything.
    pub const fn confirms(self) -> bool {
        !matches!(self, Protocol::Sqs | Protocol::Sms)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Protocol {
    type Err = ParameterInvalid;

    fn from_str(name: &str) -> Result<Protocol, ParameterInvalid> {
        let known = Protocol::ALL.into_iter().find(|protocol| protocol.name() == name);
        known.ok_or_else(|| match name {
            "application" | "lambda" | "firehose" => ParameterInvalid::new(
                "Protocol",
                format!("{name}: Tsugite does not deliver to it; see docs/sns.md"),
            ),
            _ => ParameterInvalid::new(
                format!("Amazon SNS does not support this protocol string: {name}"),
                "",
            ),
        })
    }
}

/// Whether the endpoint agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// Not yet.
    Pending {
        /// What confirms.
        token: String,
        /// The machine's time from which on the subscription is gone.
        until: Timestamp,
    },
    /// It did, or needs not.
    Confirmed {
        /// `ConfirmationWasAuthenticated`.
        authenticated: bool,
        /// Only the owner may end the subscription.
        guarded: bool,
        /// What confirmed it: a link may be followed twice.
        token: String,
    },
    /// The subscription has ended; its outbox holds the message that says so, with which it can begin again.
    Leaving {
        /// What begins it again.
        token: String,
        /// The machine's time from which on it is gone for good.
        until: Timestamp,
    },
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// How it delivers.
    pub protocol: Protocol,
    /// Where it delivers.
    pub endpoint: String,
    /// The account that subscribed.
    pub owner: String,
    /// `SubscriptionPrincipal`.
    pub principal: String,
    /// Whether the endpoint agreed.
    pub confirmation: Confirmation,
    /// The queue, of those that deliver to one.
    pub queue: Option<QueueKey>,
    /// The outbox, of those that post.
    pub outbox: Option<QueueId>,
    /// What is set.
    pub settings: SubscriptionSettings,
    /// What it gets again of the topic's archive.
    pub replay: Option<Replay>,
    /// `scheme://host` under which who subscribed reaches us: where links in what it gets lead.
    pub base_url: Option<String>,
}

/// What is set of a subscription. Attributes are kept as they were given, once found valid; the rest follows from them.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionSettings {
    /// By name, as AWS spells it.
    pub attributes: BTreeMap<String, String>,
    /// Whether the endpoint gets the bare message.
    pub(crate) raw: bool,
    /// Which messages it gets; all, if absent.
    pub(crate) filter: Option<Policy>,
    /// Where messages go that it could not take.
    pub(crate) dead_letters: Option<QueueKey>,
}

impl PartialEq for SubscriptionSettings {
    fn eq(&self, other: &SubscriptionSettings) -> bool {
        self.attributes == other.attributes
    }
}

impl Eq for SubscriptionSettings {}

const WHAT: &str = "subscription";
const SCOPE: &str = "FilterPolicyScope";
const FILTER: &str = "FilterPolicy";

impl Subscription {
    /// A confirmed subscription of which nothing is set.
    pub fn new(protocol: Protocol, endpoint: &str, owner: &str, principal: &str) -> Subscription {
        Subscription {
            protocol,
            endpoint: endpoint.to_owned(),
            owner: owner.to_owned(),
            principal: principal.to_owned(),
            confirmation: Confirmation::Confirmed {
                authenticated: true,
                guarded: false,
                token: String::new(),
            },
            queue: queue_of(protocol, endpoint),
            outbox: None,
            settings: SubscriptionSettings::default(),
            replay: None,
            base_url: None,
        }
    }

    /// Whether a publish reaches it.
    pub(crate) fn hears(&self) -> bool {
        self.takes_messages() && self.replay.as_ref().is_none_or(Replay::lets_through)
    }

    /// Whether its replay has something to do.
    pub(crate) fn replays(&self) -> bool {
        self.takes_messages() && self.replay.as_ref().is_some_and(Replay::is_active)
    }

    /// Whether it is confirmed.
    pub(crate) const fn takes_messages(&self) -> bool {
        matches!(self.confirmation, Confirmation::Confirmed { .. })
    }

    /// Whether its endpoint has yet to confirm.
    pub(crate) const fn is_pending(&self) -> bool {
        matches!(self.confirmation, Confirmation::Pending { .. })
    }

    /// Whether clients see it.
    pub(crate) const fn is_listed(&self) -> bool {
        !matches!(self.confirmation, Confirmation::Leaving { .. })
    }

    /// When it is gone, if nobody confirms it until then.
    pub(crate) const fn until(&self) -> Option<Timestamp> {
        match &self.confirmation {
            Confirmation::Pending { until, .. } | Confirmation::Leaving { until, .. } => Some(*until),
            Confirmation::Confirmed { .. } => None,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(self.protocol.number());
        out.put_str(&self.endpoint);
        out.put_str(&self.owner);
        out.put_str(&self.principal);
        match &self.confirmation {
            Confirmation::Pending { token, until } => {
                out.put_u8(0);
                out.put_str(token);
                out.put_time(*until);
            }
            Confirmation::Confirmed {
                authenticated,
                guarded,
                token,
            } => {
                out.put_u8(1 | u8::from(*authenticated) << 1 | u8::from(*guarded) << 2);
                out.put_str(token);
            }
            Confirmation::Leaving { token, until } => {
                out.put_u8(8);
                out.put_str(token);
                out.put_time(*until);
            }
        }
        out.put_option(self.outbox, |out, outbox| out.put_u32(outbox.0));
        put_map(out, &self.settings.attributes);
        out.put_option(self.replay.as_ref(), |out, replay| replay.encode(out));
        out.put_option(self.base_url.as_deref(), |out, url| out.put_str(url));
    }

    pub(super) fn decode(get: &mut Get<'_>) -> Result<Subscription, Malformed> {
        let malformed = Malformed { what: WHAT };
        let protocol = *Protocol::ALL.get(usize::from(get.u8(WHAT)?)).ok_or(malformed)?;
        let endpoint = get.str(WHAT)?.to_owned();
        Ok(Subscription {
            protocol,
            queue: queue_of(protocol, &endpoint),
            endpoint,
            owner: get.str(WHAT)?.to_owned(),
            principal: get.str(WHAT)?.to_owned(),
            confirmation: match get.u8(WHAT)? {
                0 => Confirmation::Pending {
                    token: get.str(WHAT)?.to_owned(),
                    until: get.time(WHAT)?,
                },
                flags @ (1 | 3 | 5 | 7) => Confirmation::Confirmed {
                    authenticated: flags & 2 != 0,
                    guarded: flags & 4 != 0,
                    token: get.str(WHAT)?.to_owned(),
                },
                8 => Confirmation::Leaving {
                    token: get.str(WHAT)?.to_owned(),
                    until: get.time(WHAT)?,
                },
                _ => return Err(malformed),
            },
            outbox: get.option(WHAT, |get| Ok(QueueId(get.u32(WHAT)?)))?,
            settings: SubscriptionSettings::of(get_map(get)?).map_err(|_| malformed)?,
            replay: get.option(WHAT, Replay::decode)?,
            // Records of test builds end here.
            base_url: match get.remaining() {
                0 => None,
                _ => get.option(WHAT, |get| Ok(get.str(WHAT)?.to_owned()))?,
            },
        })
    }
}

/// The queue that an endpoint names.
fn queue_of(protocol: Protocol, endpoint: &str) -> Option<QueueKey> {
    let is_queue = protocol == Protocol::Sqs;
    is_queue
        .then(|| QueueKey::from_arn("Endpoint", endpoint).ok())
        .flatten()
}

impl SubscriptionSettings {
    /// The settings that these attributes mean.
    pub(super) fn of(attributes: BTreeMap<String, String>) -> Result<SubscriptionSettings, AttributeInvalid> {
        let get = |name: &str| attributes.get(name).map(String::as_str);
        let raw = get("RawMessageDelivery") == Some("true");
        let scope = match get(SCOPE) {
            Some("MessageBody") => FilterScope::MessageBody,
            _ => FilterScope::MessageAttributes,
        };
        let filter = get(FILTER).map(|text| parse_filter(text, scope)).transpose()?;
        let dead_letters = get("RedrivePolicy").map(parse_redrive).transpose()?;
        Ok(SubscriptionSettings {
            raw,
            filter,
            dead_letters,
            attributes,
        })
    }

    /// With one attribute of a subscription of `topic` changed; an empty value takes it away.
    pub(super) fn with(
        &self,
        topic: &TopicKey,
        to: (Protocol, &str),
        name: &str,
        value: &str,
    ) -> Result<SubscriptionSettings, AttributeInvalid> {
        let mut attributes = self.attributes.clone();
        match checked(topic, to, name, value)? {
            Some(value) => attributes.insert(name.to_owned(), value),
            None => attributes.remove(name),
        };
        SubscriptionSettings::of(attributes)
    }

    /// `DeliveryPolicy`.
    pub(super) fn delivery_policy(&self) -> Option<SubscriptionDeliveryPolicy> {
        SubscriptionDeliveryPolicy::parse(self.get("DeliveryPolicy")?).ok()?
    }

    /// The attribute, if it is set.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// Whether an attribute has the same meaning in both.
    pub(super) fn agrees(&self, other: &SubscriptionSettings, name: &str) -> bool {
        let default = match name {
            "RawMessageDelivery" => Some("false"),
            SCOPE => Some("MessageAttributes"),
            _ => None,
        };
        let (one, another) = (self.get(name).or(default), other.get(name).or(default));
        let json = |text: Option<&str>| text.and_then(|text| serde_json::from_str::<Value>(text).ok());
        one == another || (json(one).is_some() && json(one) == json(another))
    }
}

/// The value to keep of an attribute, if any.
fn checked(
    topic: &TopicKey,
    (protocol, endpoint): (Protocol, &str),
    name: &str,
    value: &str,
) -> Result<Option<String>, AttributeInvalid> {
    let unsupported = |what: &str| {
        Err(AttributeInvalid::Value(format!(
            "Delivery protocol [{protocol}] does not support {what}."
        )))
    };
    let unknown = || Err(AttributeInvalid::Unknown(name.to_owned()));
    let as_given = (!value.is_empty()).then(|| value.to_owned());
    match name {
        "RawMessageDelivery" => {
            let raw = boolean(name, value)?;
            if raw && protocol.is_captured() {
                return unsupported("raw message delivery");
            }
            Ok(Some(raw.to_string()))
        }
        SCOPE if matches!(value, "MessageAttributes" | "MessageBody") => Ok(as_given),
        SCOPE => Err(AttributeInvalid::value(
            SCOPE,
            format!("Invalid value [{value}]. Please use either MessageBody or MessageAttributes"),
        )),
        FILTER | "RedrivePolicy" | "DeliveryPolicy" | "ReplayPolicy" | "SubscriptionRoleArn"
            if value.is_empty() =>
        {
            Ok(None)
        }
        // What it means depends on the scope, so it is parsed with that.
        FILTER if object(FILTER, value).is_ok_and(|policy| policy.is_empty()) => Ok(None),
        FILTER => Ok(as_given),
        "RedrivePolicy" => {
            check_redrive(topic, (protocol, endpoint), &parse_redrive(value)?)?;
            Ok(as_given)
        }
        "DeliveryPolicy" if !protocol.posts() => unsupported("a delivery policy"),
        "DeliveryPolicy" => {
            let policy = SubscriptionDeliveryPolicy::parse(value);
            policy.map_err(AttributeInvalid::of_delivery_policy)?;
            Ok(as_given)
        }
        // What it means depends on the archive, so it is understood there.
        "ReplayPolicy" => Ok(as_given),
        "SubscriptionRoleArn" => Ok(as_given),
        _ => unknown(),
    }
}

fn parse_filter(text: &str, scope: FilterScope) -> Result<Policy, AttributeInvalid> {
    Policy::parse(text, scope, false).map_err(|e| AttributeInvalid::Value(e.message))
}

const REDRIVE: &str = "RedrivePolicy";

fn parse_redrive(text: &str) -> Result<QueueKey, AttributeInvalid> {
    let policy = object(REDRIVE, text)?;
    let target = policy.get("deadLetterTargetArn").and_then(Value::as_str);
    let (Some(target), 1) = (target, policy.len()) else {
        return Err(AttributeInvalid::value(
            REDRIVE,
            "must have the one member deadLetterTargetArn, the ARN of a queue",
        ));
    };
    QueueKey::from_arn("deadLetterTargetArn", target)
        .map_err(|_| AttributeInvalid::value(REDRIVE, "deadLetterTargetArn is an invalid arn"))
}

/// A dead-letter queue is of the account and region of the topic, and FIFO exactly if the queue is that the
/// subscription delivers to.
fn check_redrive(
    topic: &TopicKey,
    (protocol, endpoint): (Protocol, &str),
    letters: &QueueKey,
) -> Result<(), AttributeInvalid> {
    let rule = if letters.scope != topic.scope {
        "the dead-letter queue must be of the same account and region as the topic"
    } else {
        let fifo = queue_of(protocol, endpoint).is_some_and(|queue| queue.is_fifo());
        match (fifo, letters.is_fifo()) {
            (true, false) => "must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic.",
            (false, true) => "must use a standard queue as DLQ for a subscription that is not FIFO.",
            _ => return Ok(()),
        }
    };
    Err(AttributeInvalid::value(REDRIVE, rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_tell_their_protocol() {
        for (endpoint, protocol) in [
            ("arn:aws:sqs:us-east-1:000000000000:q", Some(Protocol::Sqs)),
            ("http://127.0.0.1:9/hook", Some(Protocol::Http)),
            ("https://shop.example/", Some(Protocol::Https)),
            ("a@b.example", Some(Protocol::Email)),
            ("+4712345678", Some(Protocol::Sms)),
            ("+47 x", None),
            ("kitchen", None),
            ("", None),
        ] {
            assert_eq!(Protocol::of_endpoint(endpoint), protocol, "{endpoint}");
        }
    }
}
