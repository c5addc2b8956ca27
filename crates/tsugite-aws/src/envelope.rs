//! The JSON in which a topic wraps a message for a subscription without raw delivery.
//!
//! Nothing is signed yet: `SignatureVersion`, `Signature` and `SigningCertURL` are left out rather than filled with
//! something that no validator accepts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tsugite_base::{Timestamp, Uuid};

use crate::checksum::Attribute;
use crate::json::JsonWriter;
use crate::{query, time};

/// What a notification tells its subscriber.
#[derive(Clone, Copy, Debug)]
pub struct Notification<'a> {
    /// Identity of the publish.
    pub message_id: Uuid,
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
}

impl Notification<'_> {
    /// The envelope, members in the order in which AWS writes them.
    pub fn to_json(&self) -> String {
        let mut out = Vec::with_capacity(512 + self.message.len());
        let mut json = JsonWriter::new(&mut out);
        json.begin();
        json.text("Type", "Notification");
        json.text("MessageId", &self.message_id.to_string());
        json.text("TopicArn", self.topic_arn);
        if let Some(subject) = self.subject {
            json.text("Subject", subject);
        }
        json.text("Message", self.message);
        json.text("Timestamp", &time::iso_millis(self.published));
        let mut link = format!("{}/?Action=Unsubscribe&SubscriptionArn=", self.base_url);
        query::encode_into(&mut link, self.subscription_arn);
        json.text("UnsubscribeURL", &link);
        if !self.attributes.is_empty() {
            json.member("MessageAttributes");
            json.begin();
            for attribute in self.attributes {
                json.member(attribute.name);
                json.begin();
                json.text("Type", attribute.data_type);
                match std::str::from_utf8(attribute.value) {
                    Ok(text) if !attribute.data_type.starts_with("Binary") => json.text("Value", text),
                    _ => json.text("Value", &STANDARD.encode(attribute.value)),
                }
                json.end();
            }
            json.end();
        }
        json.end();
        // Only text was written, so nothing is lost here.
        String::from_utf8(out).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_in_order() {
        let notification = Notification {
            message_id: Uuid([0x11; 16]),
            topic_arn: "arn:aws:sns:us-east-1:000000000000:orders",
            subject: Some("new \"order\""),
            message: "{\"id\":1}",
            published: Timestamp(1_767_323_045_678),
            base_url: "http://localhost:4566",
            subscription_arn: "arn:aws:sns:us-east-1:000000000000:orders:22222222-2222-2222-2222-222222222222",
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
        };
        assert_eq!(
            notification.to_json(),
            concat!(
                r#"{"Type":"Notification","MessageId":"11111111-1111-1111-1111-111111111111","#,
                r#""TopicArn":"arn:aws:sns:us-east-1:000000000000:orders","Subject":"new \"order\"","#,
                r#""Message":"{\"id\":1}","Timestamp":"2026-01-02T03:04:05.678Z","#,
                r#""UnsubscribeURL":"http://localhost:4566/?Action=Unsubscribe&SubscriptionArn=arn:aws:sns:us-east-1:"#,
                r#"000000000000:orders:22222222-2222-2222-2222-222222222222","#,
                r#""MessageAttributes":{"kind":{"Type":"String","Value":"new"},"#,
                r#""raw":{"Type":"Binary","Value":"AAE="}}}"#
            )
        );
    }
}
