//! What is kept of a message, and its packed form: a few bytes for a message that nobody received yet.

use tsugite_base::codec::{Get, Malformed};
use tsugite_base::{Place, Timestamp};

use crate::varint::{get_delta, get_varint, put_delta, put_varint};

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Can be received; `due` is its turn in the line where it waits, or [`FRESH`].
    Ready,
    /// Not available yet for the first time; `due` is when.
    Delayed,
    /// In flight; `due` is the end of the lease.
    Leased,
}

/// The turn of a message that is ready since it was stored: its number is its place, it stands in no line. On FIFO
/// queues every ready message has this turn.
pub(crate) const FRESH: u64 = 0;

/// What is kept of a message. Times are the machine's unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Log position of the payload.
    pub(crate) lsn: u64,
    /// When it was sent; retention counts from here.
    pub(crate) sent: Timestamp,
    /// A turn or a deadline, as `state` says.
    pub(crate) due: u64,
    /// When the last lease began.
    pub(crate) leased: Timestamp,
    /// Wall clock of the first receive; zero before it.
    pub(crate) first_received: Timestamp,
    /// Length of the payload.
    pub(crate) len: u32,
    /// How far before the payload its delivery lies; zero if it was sent to the queue itself.
    pub(crate) delivery: u32,
    /// Receives so far.
    pub(crate) receives: u32,
    /// The number of its group + 1; zero if it has none.
    pub(crate) group: u32,
    /// Index + 1 among the queue's dead-letter sources; zero if it is no dead letter.
    pub(crate) source: u16,
    /// Where it stands.
    pub(crate) state: State,
}

const _: () = assert!(size_of::<Stored>() <= 64);

impl Stored {
    /// A message that was just stored, ready.
    pub(crate) const fn new(payload: Place, delivery: u32, sent: Timestamp) -> Stored {
        Stored {
            lsn: payload.lsn,
            sent,
            due: FRESH,
            leased: Timestamp(0),
            first_received: Timestamp(0),
            len: payload.len,
            delivery,
            receives: 0,
            group: 0,
            source: 0,
            state: State::Ready,
        }
    }

    pub(crate) const fn payload(&self) -> Place {
        Place {
            lsn: self.lsn,
            len: self.len,
        }
    }

    pub(crate) fn delivery(&self) -> Option<Place> {
        (self.delivery != 0).then(|| Place {
            lsn: self.lsn.saturating_sub(self.delivery.into()),
            len: crate::payload::Delivery::LEN as u32,
        })
    }

    /// The group's index, if it has a group.
    pub(crate) fn group(&self) -> Option<usize> {
        (self.group as usize).checked_sub(1)
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.state == State::Ready && self.due == FRESH
    }
}

/// The payload lies right behind that of the message before.
const ADJACENT: u8 = 1;
const SAME_LEN: u8 = 1 << 1;
const SAME_SENT: u8 = 1 << 2;
const SAME_GROUP: u8 = 1 << 3;
/// Ready since it was stored, and never received: nothing more follows.
const UNTOUCHED: u8 = 1 << 4;
/// The state, in two bits: 0 ready, 1 delayed, 2 leased.
const STATE_SHIFT: u32 = 5;

const WHAT: &str = "packed messages";

impl Stored {
    /// What the first message of a chunk is told relative to.
    pub(crate) const ORIGIN: Stored = Stored::new(Place { lsn: 0, len: 0 }, 0, Timestamp(0));

    const fn untouched(&self) -> bool {
        matches!(self.state, State::Ready)
            && self.due == FRESH
            && self.receives == 0
            && self.delivery == 0
            && self.source == 0
    }

    /// Appends the message, told relative to the one before.
    pub(crate) fn pack(&self, before: &Stored, out: &mut Vec<u8>) {
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        let end = before.payload().end();
        let state = match self.state {
            State::Ready => 0,
            State::Delayed => 1,
            State::Leased => 2,
        };
        let flags = flag(self.lsn == end, ADJACENT)
            | flag(self.len == before.len, SAME_LEN)
            | flag(self.sent == before.sent, SAME_SENT)
            | flag(self.group == before.group, SAME_GROUP)
            | flag(self.untouched(), UNTOUCHED)
            | state << STATE_SHIFT;
        out.push(flags);
        if flags & ADJACENT == 0 {
            put_delta(out, end, self.lsn);
        }
        if flags & SAME_LEN == 0 {
            put_varint(out, self.len.into());
        }
        if flags & SAME_SENT == 0 {
            put_delta(out, before.sent.0, self.sent.0);
        }
        if flags & SAME_GROUP == 0 {
            put_delta(out, before.group.into(), self.group.into());
        }
        if flags & UNTOUCHED != 0 {
            return;
        }
        match self.state {
            State::Ready => put_varint(out, self.due),
            State::Delayed | State::Leased => put_delta(out, self.sent.0, self.due),
        }
        put_varint(out, self.delivery.into());
        put_varint(out, self.source.into());
        put_varint(out, self.receives.into());
        if self.receives > 0 {
            put_delta(out, self.sent.0, self.leased.0);
            put_delta(out, self.leased.0, self.first_received.0);
        }
    }

    /// Reads a message that [`Stored::pack`] wrote.
    pub(crate) fn unpack(get: &mut Get<'_>, before: &Stored) -> Result<Stored, Malformed> {
        let flags = get.u8(WHAT)?;
        let mut stored = Stored {
            lsn: before.payload().end(),
            ..Stored::ORIGIN
        };
        if flags & ADJACENT == 0 {
            stored.lsn = get_delta(get, stored.lsn)?;
        }
        stored.len = if flags & SAME_LEN == 0 {
            u32_of(get)?
        } else {
            before.len
        };
        stored.sent = match flags & SAME_SENT {
            0 => Timestamp(get_delta(get, before.sent.0)?),
            _ => before.sent,
        };
        stored.group = if flags & SAME_GROUP == 0 {
            let group = get_delta(get, before.group.into())?;
            u32::try_from(group).map_err(|_| Malformed { what: WHAT })?
        } else {
            before.group
        };
        stored.state = match flags >> STATE_SHIFT {
            0 => State::Ready,
            1 => State::Delayed,
            2 => State::Leased,
            _ => return Err(Malformed { what: WHAT }),
        };
        if flags & UNTOUCHED != 0 {
            return Ok(stored);
        }
        stored.due = match stored.state {
            State::Ready => get_varint(get)?,
            State::Delayed | State::Leased => get_delta(get, stored.sent.0)?,
        };
        stored.delivery = u32_of(get)?;
        stored.source = u16::try_from(get_varint(get)?).map_err(|_| Malformed { what: WHAT })?;
        stored.receives = u32_of(get)?;
        if stored.receives > 0 {
            stored.leased = Timestamp(get_delta(get, stored.sent.0)?);
            stored.first_received = Timestamp(get_delta(get, stored.leased.0)?);
        }
        Ok(stored)
    }
}

fn u32_of(get: &mut Get<'_>) -> Result<u32, Malformed> {
    u32::try_from(get_varint(get)?).map_err(|_| Malformed { what: WHAT })
}
