//! What a subscriber gets, as text: the envelope of a published message, or the request to confirm, with its signature.

use tsugite_aws::checksum::Attribute;
use tsugite_aws::envelope::{self, Confirm, Confirmation, Signature, SignatureVersion};
use tsugite_broker::{
    Announcement, AnnouncementKind, Captured, MessageAttribute, Notification, Protocol, SubscriptionKey,
};

use super::{Signed, Signer, SigningError};

/// The version that a topic names; FIFO topics name none.
fn version(number: u8) -> Option<SignatureVersion> {
    match number {
        1 => Some(SignatureVersion::One),
        2 => Some(SignatureVersion::Two),
        _ => None,
    }
}

fn attribute(attribute: &MessageAttribute) -> Attribute<'_> {
    Attribute {
        name: &attribute.name,
        data_type: &attribute.data_type,
        value: attribute.value.as_bytes(),
    }
}

impl Signer {
    /// The envelope of a message. `base_url` is `scheme://host` of the AWS port, as the subscriber reaches it.
    pub async fn envelope(&self, of: &Notification, base_url: &str) -> Result<String, SigningError> {
        let attributes: Vec<_> = of.attributes.iter().map(attribute).collect();
        let topic_arn = of.topic_arn().to_string();
        let subscription_arn = of.subscription.arn().to_string();
        let mut envelope = envelope::Notification {
            message_id: of.id,
            sequence: of.sequence,
            topic_arn: &topic_arn,
            subject: of.subject.as_deref(),
            message: &of.message,
            published: of.published,
            base_url,
            subscription_arn: &subscription_arn,
            attributes: &attributes,
            replayed: of.replayed,
            signature: None,
        };
        let Some(version) = version(of.signature_version) else {
            return Ok(envelope.to_json());
        };
        let signed = self.sign(version, &envelope.string_to_sign()).await?;
        let url = self.certificate_url(&signed, base_url);
        envelope.signature = Some(signature(version, &signed, &url));
        Ok(envelope.to_json())
    }

    /// The request to confirm that an announcement stands for, and its type.
    pub async fn confirmation(
        &self,
        of: &Announcement,
        base_url: &str,
    ) -> Result<(&'static str, String), SigningError> {
        let topic_arn = of.subscription.topic.arn().to_string();
        let subscription_arn = of.subscription.arn().to_string();
        let mut confirmation = Confirmation {
            what: match of.kind {
                AnnouncementKind::Subscribed => Confirm::Subscription,
                AnnouncementKind::Unsubscribed => Confirm::Unsubscription(&subscription_arn),
            },
            message_id: of.id,
            token: &of.token,
            topic_arn: &topic_arn,
            base_url,
            sent: of.written,
            signature: None,
        };
        let Some(version) = version(of.signature_version) else {
            return Ok((confirmation.kind(), confirmation.to_json()));
        };
        let signed = self.sign(version, &confirmation.string_to_sign()).await?;
        let url = self.certificate_url(&signed, base_url);
        confirmation.signature = Some(signature(version, &signed, &url));
        Ok((confirmation.kind(), confirmation.to_json()))
    }

    /// What a captured mail of the protocol `email-json` says: the document that an endpoint would get. `None` of other
    /// protocols, and of what older versions captured, which did not note the subscription.
    pub async fn mail(&self, of: &Captured, base_url: &str) -> Result<Option<String>, SigningError> {
        let key = of.topic.clone().zip(of.subscription);
        let Some((topic, id)) = key.filter(|_| of.protocol == Protocol::EmailJson) else {
            return Ok(None);
        };
        let subscription = SubscriptionKey {
            topic: topic.clone(),
            id,
        };
        if of.is_token {
            let announcement = Announcement {
                kind: AnnouncementKind::Subscribed,
                id: of.id,
                written: of.sent,
                subscription,
                token: of.text.clone(),
                signature_version: of.signature_version,
            };
            let (_, text) = self.confirmation(&announcement, base_url).await?;
            return Ok(Some(text));
        }
        let notification = Notification {
            id: of.id,
            topic,
            subscription,
            subject: of.subject.clone(),
            message: of.text.clone(),
            published: of.sent,
            attributes: of.attributes.clone(),
            signature_version: of.signature_version,
            sequence: None,
            replayed: false,
        };
        self.envelope(&notification, base_url).await.map(Some)
    }

    fn certificate_url(&self, signed: &Signed, base_url: &str) -> String {
        let base = self.certificate_base.as_deref().unwrap_or(base_url);
        format!("{base}{}", signed.certificate_path)
    }
}

fn signature<'a>(version: SignatureVersion, signed: &'a Signed, url: &'a str) -> Signature<'a> {
    Signature {
        version,
        value: &signed.value,
        certificate_url: url,
    }
}
