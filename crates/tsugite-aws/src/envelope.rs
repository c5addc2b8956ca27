//! The JSON in which a topic wraps a message for a subscription without raw delivery, and in which it asks an HTTP
//! endpoint to confirm that it is subscribed or no longer is.
//!
//! Who holds the keys signs [`Notification::string_to_sign`] and puts the [`Signature`] into the envelope; without
//! one its three members are left out rather than filled with something that no validator accepts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tsugite_base::{Timestamp, Uuid};

use crate::checksum::Attribute;
use crate::json::JsonWriter;
use crate::query;

/// How an envelope is signed: RSA PKCS#1 v1.5 over one of two digests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SignatureVersion {
    /// SHA-1: what validators expect unless they are told otherwise.
    #[default]
    One,
    /// SHA-256.
    Two,
}

impl SignatureVersion {
    /// As the envelope and the topic attribute `SignatureVersion` spell it.
    pub const fn text(self) -> &'static str {
        match self {
            SignatureVersion::One => "1",
            SignatureVersion::Two => "2",
        }
    }
}

/// A signature of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    /// How it was made.
    pub version: SignatureVersion,
    /// The signature itself, in base64.
    pub value: &'a str,
    /// Where the certificate of its key is served.
    pub certificate_url: &'a str,
}

impl Signature<'_> {
    fn write(&self, json: &mut JsonWriter<'_>) {
        json.text("SignatureVersion", self.version.text());
        json.text("Signature", self.value);
        json.text("SigningCertURL", self.certificate_url);
    }
}

/// What a notification tells its subscriber.
#[derive(Clone, Copy, Debug)]
pub struct Notification<'a> {
    /// Identity of the publish.
    pub message_id: Uuid,
    /// Its number, on FIFO topics.
    pub sequence: Option<u64>,
    /// ARN of the topic.
    pub topic_arn: &'a str,
    /// Subject, if the publisher gave one.
    pub subject: Option<&'a str>,
    /// The message.
    pub message: &'a str,
    /// When it was published.
    pub published: Timestamp,
    /// `scheme://host` of the unsubscribe link.
    pub base_url: &'a str,
    /// ARN of the subscription.
    pub subscription_arn: &'a str,
    /// Message attributes.
    pub attributes: &'a [Attribute<'a>],
    /// It comes out of the archive of a FIFO topic.
    pub replayed: bool,
    /// FIFO topics do not sign.
    pub signature: Option<Signature<'a>>,
}

impl Notification<'_> {
    /// What a signature covers. It does not depend on the subscription: one publish is signed once for all of them.
    pub fn string_to_sign(&self) -> String {
        let id = self.message_id.to_string();
        let published = self.published.iso_millis();
        let subject = self.subject.map(|subject| ("Subject", subject));
        let members = [("Message", self.message), ("MessageId", &id)]
            .into_iter()
            .chain(subject)
            .chain([
                ("Timestamp", published.as_str()),
                ("TopicArn", self.topic_arn),
                ("Type", "Notification"),
            ]);
        lines(members)
    }

    /// The envelope, members in the order in which AWS writes them.
    pub fn to_json(&self) -> String {
        let mut out = Vec::with_capacity(1_024 + self.message.len());
        let mut json = JsonWriter::new(&mut out);
        json.begin();
        json.text("Type", "Notification");
        json.text("MessageId", &self.message_id.to_string());
        if let Some(sequence) = self.sequence {
            json.text("SequenceNumber", &format!("{sequence:020}"));
        }
        json.text("TopicArn", self.topic_arn);
        if let Some(subject) = self.subject {
            json.text("Subject", subject);
        }
        json.text("Message", self.message);
        json.text("Timestamp", &self.published.iso_millis());
        if let Some(signature) = &self.signature {
            signature.write(&mut json);
        }
        let mut link = format!("{}/?Action=Unsubscribe&SubscriptionArn=", self.base_url);
        query::encode_into(&mut link, self.subscription_arn);
        json.text("UnsubscribeURL", &link);
        if self.replayed {
            json.bool("Replayed", true);
        }
        if !self.attributes.is_empty() {
            json.member("MessageAttributes");
            json.begin();
            for attribute in self.attributes {
                write_attribute(&mut json, attribute);
            }
            json.end();
        }
        json.end();
        // Only text was written, so nothing is lost here.
        String::from_utf8(out).unwrap_or_default()
    }
}

fn write_attribute(json: &mut JsonWriter<'_>, attribute: &Attribute<'_>) {
    json.member(attribute.name);
    json.begin();
    json.text("Type", attribute.data_type);
    match std::str::from_utf8(attribute.value) {
        Ok(text) if !attribute.data_type.starts_with("Binary") => json.text("Value", text),
        _ => json.text("Value", &STANDARD.encode(attribute.value)),
    }
    json.end();
}

/// What an endpoint is asked to confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm<'a> {
    /// That it wants to be subscribed.
    Subscription,
    /// That the subscription with this ARN has ended; its link undoes that.
    Unsubscription(&'a str),
}

/// A message that asks an endpoint to confirm something by opening a link.
#[derive(Clone, Copy, Debug)]
pub struct Confirmation<'a> {
    /// What.
    pub what: Confirm<'a>,
    /// Identity of this message.
    pub message_id: Uuid,
    /// The proof that it was received.
    pub token: &'a str,
    /// ARN of the topic.
    pub topic_arn: &'a str,
    /// `scheme://host` of the link.
    pub base_url: &'a str,
    /// When it was made.
    pub sent: Timestamp,
    /// Made of [`Confirmation::string_to_sign`].
    pub signature: Option<Signature<'a>>,
}

impl Confirmation<'_> {
    /// `Type`, which is also the header `x-amz-sns-message-type`.
    pub const fn kind(&self) -> &'static str {
        match self.what {
            Confirm::Subscription => "SubscriptionConfirmation",
            Confirm::Unsubscription(_) => "UnsubscribeConfirmation",
        }
    }

    /// The link that confirms.
    pub fn subscribe_url(&self) -> String {
        let mut link = format!("{}/?Action=ConfirmSubscription&TopicArn=", self.base_url);
        query::encode_into(&mut link, self.topic_arn);
        link.push_str("&Token=");
        query::encode_into(&mut link, self.token);
        link
    }

    /// What a signature covers.
    pub fn string_to_sign(&self) -> String {
        lines([
            ("Message", self.message().as_str()),
            ("MessageId", &self.message_id.to_string()),
            ("SubscribeURL", &self.subscribe_url()),
            ("Timestamp", &self.sent.iso_millis()),
            ("Token", self.token),
            ("TopicArn", self.topic_arn),
            ("Type", self.kind()),
        ])
    }

    /// The envelope, members in the order in which AWS writes them.
    pub fn to_json(&self) -> String {
        let mut out = Vec::with_capacity(2_048);
        let mut json = JsonWriter::new(&mut out);
        json.begin();
        json.text("Type", self.kind());
        json.text("MessageId", &self.message_id.to_string());
        json.text("Token", self.token);
        json.text("TopicArn", self.topic_arn);
        json.text("Message", &self.message());
        json.text("SubscribeURL", &self.subscribe_url());
        json.text("Timestamp", &self.sent.iso_millis());
        if let Some(signature) = &self.signature {
            signature.write(&mut json);
        }
        json.end();
        // Only text was written, so nothing is lost here.
        String::from_utf8(out).unwrap_or_default()
    }

    /// The sentences that AWS sends: tests of subscribers know them.
    fn message(&self) -> String {
        match self.what {
            Confirm::Subscription => format!(
                "You have chosen to subscribe to the topic {}.\n\
                 To confirm the subscription, visit the SubscribeURL included in this message.",
                self.topic_arn
            ),
            Confirm::Unsubscription(subscription) => format!(
                "You have chosen to deactivate subscription {subscription}.\n\
                 To cancel this operation and restore the subscription, visit the SubscribeURL included in this message."
            ),
        }
    }
}

/// Name and value of each member on a line of its own.
fn lines<'a>(members: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::with_capacity(512);
    for (name, value) in members {
        for part in [name, "\n", value, "\n"] {
            out.push_str(part);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:orders";
    const SUBSCRIPTION: &str =
        "arn:aws:sns:us-east-1:000000000000:orders:22222222-2222-2222-2222-222222222222";
    const SIGNATURE: Signature<'_> = Signature {
        version: SignatureVersion::Two,
        value: "c2ln",
        certificate_url: "http://localhost:4566/SimpleNotificationService-1.pem",
    };

    fn notification() -> Notification<'static> {
        Notification {
            message_id: Uuid([0x11; 16]),
            sequence: None,
            topic_arn: TOPIC,
            subject: Some("new \"order\""),
            message: "{\"id\":1}",
            published: Timestamp(1_767_323_045_678),
            base_url: "http://localhost:4566",
            subscription_arn: SUBSCRIPTION,
            attributes: &[
                Attribute {
                    name: "kind",
                    data_type: "String",
                    value: b"new",
                },
                Attribute {
                    name: "raw",
                    data_type: "Binary",
                    value: &[0, 1],
                },
            ],
            replayed: false,
            signature: None,
        }
    }

    const BEGIN: &str = concat!(
        r#""TopicArn":"arn:aws:sns:us-east-1:000000000000:orders","Subject":"new \"order\"","#,
        r#""Message":"{\"id\":1}","Timestamp":"2026-01-02T03:04:05.678Z","#
    );
    const SIGNED: &str = concat!(
        r#""SignatureVersion":"2","Signature":"c2ln","#,
        r#""SigningCertURL":"http://localhost:4566/SimpleNotificationService-1.pem""#
    );
    const LINK: &str = concat!(
        r#""UnsubscribeURL":"http://localhost:4566/?Action=Unsubscribe&SubscriptionArn=arn:aws:sns:us-east-1:"#,
        r#"000000000000:orders:22222222-2222-2222-2222-222222222222","#
    );
    const ATTRIBUTES: &str = concat!(
        r#""MessageAttributes":{"kind":{"Type":"String","Value":"new"},"#,
        r#""raw":{"Type":"Binary","Value":"AAE="}}}"#
    );

    #[test]
    fn members_in_order() {
        let head = r#"{"Type":"Notification","MessageId":"11111111-1111-1111-1111-111111111111","#;
        let mut notification = notification();
        assert_eq!(notification.to_json(), format!("{head}{BEGIN}{LINK}{ATTRIBUTES}"));
        notification.signature = Some(SIGNATURE);
        assert_eq!(
            notification.to_json(),
            format!("{head}{BEGIN}{SIGNED},{LINK}{ATTRIBUTES}")
        );
        notification.signature = None;
        notification.sequence = Some(7);
        notification.replayed = true;
        let number = r#""SequenceNumber":"00000000000000000007","#;
        assert_eq!(
            notification.to_json(),
            format!("{head}{number}{BEGIN}{LINK}\"Replayed\":true,{ATTRIBUTES}")
        );
    }

    #[test]
    fn signatures_cover_what_every_subscriber_gets() {
        let mut notification = notification();
        let signed = notification.string_to_sign();
        assert_eq!(
            signed,
            "Message\n{\"id\":1}\nMessageId\n11111111-1111-1111-1111-111111111111\nSubject\nnew \"order\"\n\
             Timestamp\n2026-01-02T03:04:05.678Z\nTopicArn\narn:aws:sns:us-east-1:000000000000:orders\n\
             Type\nNotification\n"
        );
        notification.subscription_arn = "another";
        assert_eq!(notification.string_to_sign(), signed);
        notification.subject = None;
        assert!(!notification.string_to_sign().contains("Subject"));
    }

    #[test]
    fn confirmations() {
        let mut confirmation = Confirmation {
            what: Confirm::Subscription,
            message_id: Uuid([0x33; 16]),
            token: "a+b",
            topic_arn: TOPIC,
            base_url: "http://localhost:4566",
            sent: Timestamp(1_767_323_045_678),
            signature: Some(SIGNATURE),
        };
        let url = "http://localhost:4566/?Action=ConfirmSubscription&\
                   TopicArn=arn:aws:sns:us-east-1:000000000000:orders&Token=a%2Bb";
        assert_eq!(confirmation.subscribe_url(), url);
        let sentence = "You have chosen to subscribe to the topic arn:aws:sns:us-east-1:000000000000:orders.";
        let request = "To confirm the subscription, visit the SubscribeURL included in this message.";
        assert_eq!(
            confirmation.string_to_sign(),
            format!(
                "Message\n{sentence}\n{request}\nMessageId\n33333333-3333-3333-3333-333333333333\nSubscribeURL\n{url}\n\
                 Timestamp\n2026-01-02T03:04:05.678Z\nToken\na+b\nTopicArn\n{TOPIC}\nType\nSubscriptionConfirmation\n"
            )
        );
        assert_eq!(
            confirmation.to_json(),
            format!(
                "{{\"Type\":\"SubscriptionConfirmation\",\"MessageId\":\"33333333-3333-3333-3333-333333333333\",\
                 \"Token\":\"a+b\",\"TopicArn\":\"{TOPIC}\",\"Message\":\"{sentence}\\n{request}\",\
                 \"SubscribeURL\":\"{url}\",\"Timestamp\":\"2026-01-02T03:04:05.678Z\",{SIGNED}}}"
            )
        );
        confirmation.what = Confirm::Unsubscription(SUBSCRIPTION);
        let text = confirmation.to_json();
        assert!(
            text.starts_with("{\"Type\":\"UnsubscribeConfirmation\","),
            "{text}"
        );
        assert!(text.contains(SUBSCRIPTION) && text.contains(url), "{text}");
    }
}
