//! The payload of a message that a move task made anew: a new id and time around the bytes of the old one.
//!
//! Kind 3: the new id, the new send time, the delivery if the message came by a topic, and the payload as it was.
//! What a topic put into the envelope (its own id and time among it) is read from the inner payload, so the text of
//! a moved notification is the text that it always had. Moving a moved message replaces the outer part.

use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_base::{Timestamp, Uuid};

use crate::payload::{checked, verified};

/// The kind of a moved payload; frozen.
pub(crate) const MOVED: u8 = 3;
const WHAT: &str = "payload of a moved message";

/// A moved payload, taken apart.
pub(crate) struct Moved<'a> {
    pub(crate) id: Uuid,
    pub(crate) sent: Timestamp,
    pub(crate) delivery: Option<&'a [u8]>,
    pub(crate) inner: &'a [u8],
}

impl<'a> Moved<'a> {
    /// Takes a payload apart if it is a moved one; its checksum must be right in any case.
    pub(crate) fn parse(payload: &'a [u8]) -> Result<Option<Moved<'a>>, Malformed> {
        let mut get = verified(payload, "message payload")?;
        if get.u8(WHAT)? != MOVED {
            return Ok(None);
        }
        let id = Uuid(get.bytes16(WHAT)?);
        let sent = get.time(WHAT)?;
        let delivery = get.option(WHAT, |get: &mut Get<'a>| get.bytes(WHAT))?;
        let inner = get.take(get.remaining(), WHAT)?;
        if inner.get(4) == Some(&MOVED) {
            return Err(Malformed { what: WHAT });
        }
        Ok(Some(Moved {
            id,
            sent,
            delivery,
            inner,
        }))
    }
}

/// Appends the payload of a message that is moved: `payload` and `delivery` are the bytes that it had.
///
/// # Errors
/// The bytes are not those that were written: moving them would hide the damage from the next receiver.
pub(crate) fn moved(
    out: &mut Vec<u8>,
    id: Uuid,
    sent: Timestamp,
    payload: &[u8],
    delivery: Option<&[u8]>,
) -> Result<(), Malformed> {
    let (inner, delivery) = match Moved::parse(payload)? {
        Some(before) => (before.inner, before.delivery),
        None => (payload, delivery),
    };
    verified(inner, WHAT)?;
    if let Some(delivery) = delivery {
        verified(delivery, WHAT)?;
    }
    checked(out, |out| {
        out.put_u8(MOVED);
        out.extend_from_slice(&id.0);
        out.put_time(sent);
        out.put_option(delivery, |out, delivery| out.put_bytes(delivery));
        out.extend_from_slice(inner);
    });
    Ok(())
}
