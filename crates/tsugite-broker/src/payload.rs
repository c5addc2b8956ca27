//! The bytes of a message in the log: written once, read back when the message is received.
//!
//! A payload is a CRC-32C of the rest, a kind (1 sent, 2 published, 3 moved, 4 sent with a group,
//! 5 announced to an endpoint, 6 captured; frozen) and the fields
//! in the order of [`sent`], [`published`], [`announced`], [`captured`] and [`crate::moved`]. A published payload is shared by all queues that got
//! it; what differs from queue to queue is a [`Delivery`] of fixed length in the same record.

use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_base::{Timestamp, Uuid};

use crate::command::{Lease, SendEntry};
use crate::keys::{QueueId, SubscriptionKey, TopicKey};
use crate::message::{
    Announcement, AnnouncementKind, AttributeValue, Captured, Content, Message, MessageAttribute,
    Notification,
};
use crate::moved::{MOVED, Moved};
use crate::settings::{get_topic, put_topic};
use crate::topics::Protocol;

const SENT: u8 = 1;
const PUBLISHED: u8 = 2;
const SENT_IN_GROUP: u8 = 4;
const ANNOUNCED: u8 = 5;
const CAPTURED: u8 = 6;
const WHAT: &str = "message payload";

/// Appends the payload of a message sent to a queue.
pub(crate) fn sent(out: &mut Vec<u8>, entry: &SendEntry, sender: &str, sent: Timestamp) {
    checked(out, |out| {
        match &entry.group {
            None => out.put_u8(SENT),
            Some(group) => {
                out.put_u8(SENT_IN_GROUP);
                out.put_str(group);
                out.put_option(entry.deduplication.as_deref(), |out, id| out.put_str(id));
            }
        }
        put_head(out, entry.id, sent, sender, entry.trace_header.as_deref());
        put_text(out, &entry.body, &entry.attributes);
    });
}

/// The group and the message id in the payload of a message that was sent with a group.
pub(crate) fn group_and_id(payload: &[u8]) -> Result<(&str, Uuid), Malformed> {
    let mut get = Get::new(payload);
    get.u32(WHAT)?;
    if get.u8(WHAT)? != SENT_IN_GROUP {
        return Err(Malformed { what: WHAT });
    }
    let group = get.str(WHAT)?;
    get.option(WHAT, |get| get.str(WHAT))?;
    Ok((group, Uuid(get.bytes16(WHAT)?)))
}

/// The message id as it stands in a payload, whose checksum need not be right; `None` where none can be told from the
/// payload alone.
pub(crate) fn id_as_it_stands(payload: &[u8]) -> Option<Uuid> {
    let mut get = Get::new(payload.get(4..)?);
    match get.u8(WHAT).ok()? {
        SENT | MOVED | ANNOUNCED | CAPTURED => get.bytes16(WHAT).ok().map(Uuid),
        SENT_IN_GROUP => group_and_id(payload).ok().map(|(_, id)| id),
        _ => None,
    }
}

/// What every subscription of a topic gets of a message; which of the texts, says its [`Delivery`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notice<'a> {
    pub(crate) id: Uuid,
    pub(crate) published: Timestamp,
    pub(crate) sender: &'a str,
    pub(crate) trace_header: Option<&'a str>,
    pub(crate) topic: &'a TopicKey,
    pub(crate) subject: Option<&'a str>,
    pub(crate) signature_version: u8,
    pub(crate) sequence: Option<u64>,
    pub(crate) group: Option<&'a str>,
    pub(crate) deduplication: Option<&'a str>,
    pub(crate) texts: &'a [String],
    /// Protocols whose text is not the first.
    pub(crate) own_texts: &'a [(Protocol, u8)],
    pub(crate) attributes: &'a [MessageAttribute],
}

/// Appends the payload of a message published to a topic.
pub(crate) fn published(out: &mut Vec<u8>, notice: &Notice<'_>) {
    checked(out, |out| {
        out.put_u8(PUBLISHED);
        put_head(
            out,
            notice.id,
            notice.published,
            notice.sender,
            notice.trace_header,
        );
        // The group comes early: each delivery to a FIFO queue needs it when it is stored.
        out.put_option(notice.group, |out, group| out.put_str(group));
        out.put_option(notice.deduplication, |out, id| out.put_str(id));
        put_topic(out, notice.topic);
        out.put_option(notice.subject, |out, s| out.put_str(s));
        out.put_u8(notice.signature_version);
        out.put_option(notice.sequence, |out, number| out.put_u64(number));
        out.put_u8(notice.texts.len() as u8);
        notice.texts.iter().for_each(|text| out.put_str(text));
        out.put_u8(notice.own_texts.len() as u8);
        for (protocol, number) in notice.own_texts {
            out.put_u8(protocol.number());
            out.put_u8(*number);
        }
        put_attributes(out, notice.attributes);
    });
}

/// The id, the group and the deduplication id of a published message that has a group.
pub(crate) fn group_of_published(payload: &[u8]) -> Result<(Uuid, &str, Option<&str>), Malformed> {
    let mut get = Get::new(payload);
    get.u32(WHAT)?;
    if get.u8(WHAT)? != PUBLISHED {
        return Err(Malformed { what: WHAT });
    }
    let id = Uuid(get.bytes16(WHAT)?);
    get.time(WHAT)?;
    get.str(WHAT)?;
    get.option(WHAT, |get| get.str(WHAT))?;
    let group = get.option(WHAT, |get: &mut Get<'_>| get.str(WHAT))?;
    let group = group.ok_or(Malformed { what: WHAT })?;
    Ok((id, group, get.option(WHAT, |get| get.str(WHAT))?))
}

/// Appends the payload of a message that tells an endpoint about its subscription.
pub(crate) fn announced(
    out: &mut Vec<u8>,
    id: Uuid,
    written: Timestamp,
    (kind, signature_version): (AnnouncementKind, u8),
    subscription: &SubscriptionKey,
    token: &str,
) {
    checked(out, |out| {
        out.put_u8(ANNOUNCED);
        put_head(out, id, written, "", None);
        out.put_u8(u8::from(kind == AnnouncementKind::Unsubscribed));
        out.put_u8(signature_version);
        put_topic(out, &subscription.topic);
        out.extend_from_slice(&subscription.id.0);
        out.put_str(token);
    });
}

/// Appends the payload of what would have been sent to an address or a phone.
pub(crate) fn captured(out: &mut Vec<u8>, captured: &Captured) {
    checked(out, |out| {
        out.put_u8(CAPTURED);
        put_head(out, captured.id, captured.sent, "", None);
        out.put_str(captured.protocol.name());
        out.put_str(&captured.endpoint);
        out.put_option(captured.topic.as_ref(), put_topic);
        out.put_option(captured.subject.as_deref(), |out, s| out.put_str(s));
        out.put_u8(u8::from(captured.is_token));
        put_text(out, &captured.text, &captured.attributes);
        if let Some(subscription) = captured.subscription {
            out.extend_from_slice(&subscription.0);
            out.put_u8(captured.signature_version);
        }
    });
}

/// Writes a checksum of what `write` appends, and then that.
pub(crate) fn checked(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put_u32(0);
    write(out);
    let sum = crc32c::crc32c(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&sum.to_le_bytes());
}

pub(crate) fn verified<'a>(bytes: &'a [u8], what: &'static str) -> Result<Get<'a>, Malformed> {
    let mut get = Get::new(bytes);
    let sum = get.u32(what)?;
    if sum != crc32c::crc32c(&bytes[4..]) {
        return Err(Malformed { what });
    }
    Ok(get)
}

fn put_head(out: &mut Vec<u8>, id: Uuid, sent: Timestamp, sender: &str, trace: Option<&str>) {
    out.extend_from_slice(&id.0);
    out.put_time(sent);
    out.put_str(sender);
    out.put_option(trace, |out, trace| out.put_str(trace));
}

fn put_text(out: &mut Vec<u8>, text: &str, attributes: &[MessageAttribute]) {
    out.put_str(text);
    put_attributes(out, attributes);
}

fn put_attributes(out: &mut Vec<u8>, attributes: &[MessageAttribute]) {
    out.put_u32(attributes.len() as u32);
    for attribute in attributes {
        out.put_str(&attribute.name);
        out.put_str(&attribute.data_type);
        out.put_u8(u8::from(matches!(attribute.value, AttributeValue::Binary(_))));
        out.put_bytes(attribute.value.as_bytes());
    }
}

fn get_text(get: &mut Get<'_>) -> Result<(String, Vec<MessageAttribute>), Malformed> {
    Ok((get.str(WHAT)?.to_owned(), get_attributes(get)?))
}

fn get_attributes(get: &mut Get<'_>) -> Result<Vec<MessageAttribute>, Malformed> {
    let mut attributes = Vec::new();
    for _ in 0..get.u32(WHAT)? {
        attributes.push(MessageAttribute {
            name: get.str(WHAT)?.to_owned(),
            data_type: get.str(WHAT)?.to_owned(),
            value: match get.u8(WHAT)? {
                0 => AttributeValue::Text(get.str(WHAT)?.to_owned()),
                1 => AttributeValue::Binary(get.bytes(WHAT)?.to_vec()),
                _ => return Err(Malformed { what: WHAT }),
            },
        });
    }
    Ok(attributes)
}

/// How one queue gets a published message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The queue.
    pub queue: QueueId,
    /// The subscription.
    pub subscription: Uuid,
    /// Without the envelope.
    pub raw: bool,
    /// The queue sees the message's group.
    pub grouped: bool,
    /// It comes from the archive.
    pub replayed: bool,
    /// The number of the text: 0-15.
    pub text: u8,
}

impl Delivery {
    /// Bytes of every encoded delivery.
    pub(crate) const LEN: usize = 25;

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        checked(out, |out| {
            out.put_u32(self.queue.0);
            out.extend_from_slice(&self.subscription.0);
            let flags = u8::from(self.raw) | u8::from(self.grouped) << 1 | u8::from(self.replayed) << 2;
            out.put_u8(flags | self.text << 4);
        });
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Delivery, Malformed> {
        const WHAT: &str = "delivery of a published message";
        let mut get = verified(bytes, WHAT)?;
        let (queue, subscription) = (QueueId(get.u32(WHAT)?), Uuid(get.bytes16(WHAT)?));
        let flags = get.u8(WHAT)?;
        let delivery = Delivery {
            queue,
            subscription,
            raw: flags & 1 != 0,
            grouped: flags & 2 != 0,
            replayed: flags & 4 != 0,
            text: flags >> 4,
        };
        get.end(WHAT)?;
        Ok(delivery)
    }

    /// The message id in this queue: as random as the publish, different in each queue.
    pub(crate) fn message_id(&self, publish: Uuid) -> Uuid {
        Uuid::v4(std::array::from_fn(|i| publish.0[i] ^ self.subscription.0[i]))
    }
}

impl Message {
    /// Puts a leased message together with the bytes at its places.
    ///
    /// # Errors
    /// The bytes are not those that were written.
    pub fn read(lease: Lease, payload: &[u8], delivery: Option<&[u8]>) -> Result<Message, Malformed> {
        if let Some(moved) = Moved::parse(payload)? {
            let resent = lease.resent;
            let mut message = Message::read_unmoved(lease, moved.inner, moved.delivery)?;
            (message.id, message.sent) = (moved.id, resent.unwrap_or(moved.sent));
            if resent.is_some() {
                message.deduplication = Some(moved.id.to_string());
            }
            return Ok(message);
        }
        Message::read_unmoved(lease, payload, delivery)
    }

    fn read_unmoved(lease: Lease, payload: &[u8], delivery: Option<&[u8]>) -> Result<Message, Malformed> {
        let mut get = verified(payload, WHAT)?;
        let kind = get.u8(WHAT)?;
        let (mut group, mut deduplication) = (None, None);
        if kind == SENT_IN_GROUP {
            group = Some(get.str(WHAT)?.to_owned());
            deduplication = get.option(WHAT, |get| Ok(get.str(WHAT)?.to_owned()))?;
        }
        let id = Uuid(get.bytes16(WHAT)?);
        let sent = get.time(WHAT)?;
        let sender = get.str(WHAT)?.to_owned();
        let trace_header = get.option(WHAT, |get| Ok(get.str(WHAT)?.to_owned()))?;
        let (id, content) = match (kind, delivery) {
            (SENT | SENT_IN_GROUP, None) => {
                let (body, attributes) = get_text(&mut get)?;
                (id, Content::Plain { body, attributes })
            }
            (PUBLISHED, Some(delivery)) => {
                let delivery = Delivery::decode(delivery)?;
                let text = |get: &mut Get<'_>| Ok(get.str(WHAT)?.to_owned());
                group = get.option(WHAT, text)?.filter(|_| delivery.grouped);
                deduplication = get.option(WHAT, text)?.filter(|_| delivery.grouped);
                (
                    delivery.message_id(id),
                    notification(&mut get, id, sent, delivery)?,
                )
            }
            (ANNOUNCED, None) => (id, announcement(&mut get, id, sent)?),
            (CAPTURED, None) => (id, get_captured(&mut get, id, sent)?),
            _ => return Err(Malformed { what: WHAT }),
        };
        get.end(WHAT)?;
        if lease.resent.is_some() {
            deduplication = Some(id.to_string());
        }
        Ok(Message {
            id,
            handle: lease.handle,
            sender,
            sent: lease.resent.unwrap_or(sent),
            receive_count: lease.receive_count,
            first_received: lease.first_received,
            trace_header,
            dead_letter_source: lease.dead_letter_source,
            group,
            deduplication,
            sequence: lease.sequence,
            content,
        })
    }
}

fn notification(
    get: &mut Get<'_>,
    id: Uuid,
    published: Timestamp,
    delivery: Delivery,
) -> Result<Content, Malformed> {
    let topic = get_topic(get)?;
    let subject = get.option(WHAT, |get| Ok(get.str(WHAT)?.to_owned()))?;
    let signature_version = get.u8(WHAT)?;
    let sequence = get.option(WHAT, |get| get.u64(WHAT))?;
    let mut texts = Vec::new();
    for _ in 0..get.u8(WHAT)? {
        texts.push(get.str(WHAT)?);
    }
    let message = texts
        .get(usize::from(delivery.text))
        .ok_or(Malformed { what: WHAT })?;
    let message = (*message).to_owned();
    get_own_texts(get)?;
    let attributes = get_attributes(get)?;
    if delivery.raw {
        return Ok(Content::Plain {
            body: message,
            attributes,
        });
    }
    Ok(Content::Enveloped(Box::new(Notification {
        id,
        subscription: SubscriptionKey {
            topic: topic.clone(),
            id: delivery.subscription,
        },
        topic,
        subject,
        message,
        published,
        attributes,
        signature_version,
        sequence,
        replayed: delivery.replayed,
    })))
}

/// A message of an archive, as a subscription would get it in an envelope.
pub(crate) struct Archived {
    pub(crate) notification: Notification,
    /// The number of the text for the protocol.
    pub(crate) text: u8,
    /// It has a group.
    pub(crate) grouped: bool,
}

/// Reads the payload of a published message for a subscription of this protocol.
pub(crate) fn archived(payload: &[u8], protocol: Protocol) -> Result<Archived, Malformed> {
    let mut get = verified(payload, WHAT)?;
    if get.u8(WHAT)? != PUBLISHED {
        return Err(Malformed { what: WHAT });
    }
    let (id, published) = (Uuid(get.bytes16(WHAT)?), get.time(WHAT)?);
    get.str(WHAT)?;
    get.option(WHAT, |get| get.str(WHAT))?;
    let grouped = get.option(WHAT, |get| get.str(WHAT))?.is_some();
    get.option(WHAT, |get| get.str(WHAT))?;
    // Which text it is stands behind the texts.
    let mut ahead = get;
    get_topic(&mut ahead)?;
    ahead.option(WHAT, |get| get.str(WHAT))?;
    ahead.u8(WHAT)?;
    ahead.option(WHAT, |get| get.u64(WHAT))?;
    for _ in 0..ahead.u8(WHAT)? {
        ahead.str(WHAT)?;
    }
    let own = get_own_texts(&mut ahead)?;
    let text = own.iter().find(|(of, _)| *of == protocol.number());
    let text = text.map_or(0, |(_, number)| *number);
    let delivery = Delivery {
        queue: QueueId(0),
        subscription: Uuid([0; 16]),
        raw: false,
        grouped,
        replayed: false,
        text,
    };
    match notification(&mut get, id, published, delivery)? {
        Content::Enveloped(notification) => Ok(Archived {
            notification: *notification,
            text,
            grouped,
        }),
        _ => Err(Malformed { what: WHAT }),
    }
}

/// Numbers of protocols and of their texts.
fn get_own_texts(get: &mut Get<'_>) -> Result<Vec<(u8, u8)>, Malformed> {
    let count = get.u8(WHAT)?;
    (0..count).map(|_| Ok((get.u8(WHAT)?, get.u8(WHAT)?))).collect()
}

fn announcement(get: &mut Get<'_>, id: Uuid, written: Timestamp) -> Result<Content, Malformed> {
    let kind = match get.u8(WHAT)? {
        0 => AnnouncementKind::Subscribed,
        _ => AnnouncementKind::Unsubscribed,
    };
    let signature_version = get.u8(WHAT)?;
    let (topic, subscription) = (get_topic(get)?, Uuid(get.bytes16(WHAT)?));
    Ok(Content::Announced(Box::new(Announcement {
        kind,
        id,
        written,
        subscription: SubscriptionKey {
            topic,
            id: subscription,
        },
        token: get.str(WHAT)?.to_owned(),
        signature_version,
    })))
}

fn get_captured(get: &mut Get<'_>, id: Uuid, sent: Timestamp) -> Result<Content, Malformed> {
    let protocol = get.str(WHAT)?.parse().map_err(|_| Malformed { what: WHAT })?;
    let endpoint = get.str(WHAT)?.to_owned();
    let topic = get.option(WHAT, get_topic)?;
    let subject = get.option(WHAT, |get| Ok(get.str(WHAT)?.to_owned()))?;
    let is_token = get.u8(WHAT)? != 0;
    let (text, attributes) = get_text(get)?;
    // What was captured before subscriptions were noted ends here, as does what is of none.
    let (subscription, signature_version) = match get.remaining() {
        0 => (None, 0),
        _ => (Some(Uuid(get.bytes16(WHAT)?)), get.u8(WHAT)?),
    };
    Ok(Content::Captured(Box::new(Captured {
        id,
        sent,
        protocol,
        endpoint,
        topic,
        subscription,
        signature_version,
        subject,
        text,
        is_token,
        attributes,
    })))
}
