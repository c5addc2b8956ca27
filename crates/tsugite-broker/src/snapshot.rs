//! The whole state as bytes, for checkpoints. The same state always gives the same bytes.
//!
//! Layout (version 2): version u8, clock, next queue number, queues, topics. Ready messages are listed in
//! the order of their turns; everything else that can be derived is left out.

use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_base::{Timestamp, Uuid};

use crate::broker::{Broker, Settings, Subscription, Topic};
use crate::keys::QueueId;
use crate::queue::Queue;
use crate::record::{get_topic, put_topic};
use crate::settings::{QueueSettings, get_queue, put_queue};
use crate::table::{State, Stored};
use crate::tags::Tags;

const VERSION: u8 = 2;
const WHAT: &str = "broker snapshot";

impl Broker {
    /// Appends the state.
    pub fn snapshot(&self, out: &mut Vec<u8>) {
        out.put_u8(VERSION);
        out.put_time(self.clock);
        out.put_u32(self.next_queue);
        out.put_u32(self.queues.len() as u32);
        for (id, queue) in &self.queues {
            out.put_u32(id.0);
            queue.encode(out);
        }
        out.put_u32(self.topics.len() as u32);
        for (key, topic) in &self.topics {
            put_topic(out, key);
            out.put_u32(topic.subscriptions.len() as u32);
            for (id, subscription) in &topic.subscriptions {
                out.extend_from_slice(&id.0);
                put_queue(out, &subscription.queue);
                out.put_u8(u8::from(subscription.raw));
            }
        }
        self.tags.encode(out);
        out.put_u32(self.deleted.len() as u32);
        for (at, key) in &self.deleted {
            out.put_time(*at);
            put_queue(out, key);
        }
    }

    /// Rebuilds the state of a snapshot.
    ///
    /// # Errors
    /// The bytes are not those of a snapshot of this version.
    pub fn restore(bytes: &[u8], settings: Settings) -> Result<Broker, Malformed> {
        let mut get = Get::new(bytes);
        if get.u8(WHAT)? != VERSION {
            return Err(Malformed {
                what: "broker snapshot version",
            });
        }
        let mut broker = Broker::new(settings);
        broker.clock = get.time(WHAT)?;
        broker.next_queue = get.u32(WHAT)?;
        for _ in 0..get.u32(WHAT)? {
            let id = QueueId(get.u32(WHAT)?);
            let queue = Queue::decode(&mut get)?;
            let names = broker.names.entry(queue.key.scope.clone()).or_default();
            names.insert(queue.key.name.clone(), id);
            broker.queues.insert(id, queue);
            broker.touched(id, true);
        }
        for _ in 0..get.u32(WHAT)? {
            let key = get_topic(&mut get)?;
            let mut topic = Topic::default();
            for _ in 0..get.u32(WHAT)? {
                let id = Uuid(get.bytes16(WHAT)?);
                let queue = get_queue(&mut get)?;
                let raw = get.u8(WHAT)? != 0;
                topic.subscriptions.insert(id, Subscription { queue, raw });
            }
            broker.topics.insert(key, topic);
        }
        broker.tags = Tags::decode(&mut get)?;
        for _ in 0..get.u32(WHAT)? {
            let at = get.time(WHAT)?;
            broker.deleted.push_back((at, get_queue(&mut get)?));
        }
        get.end(WHAT)?;
        Ok(broker)
    }
}

impl Queue {
    fn encode(&self, out: &mut Vec<u8>) {
        put_queue(out, &self.key);
        self.settings.encode(out);
        out.put_time(self.created);
        out.put_time(self.changed);
        out.put_option(self.purged, |out, at| out.put_time(at));
        out.put_u64(self.next_seq);
        out.put_u64(self.moved_end);
        let sources = self.sources();
        out.put_u32(sources.len() as u32);
        sources.iter().for_each(|source| out.put_str(source));
        out.put_u64(self.table.len() as u64);
        self.table
            .iter()
            .for_each(|(seq, stored)| put_stored(out, seq, stored));
        out.put_u64(self.visible() as u64);
        self.ready().for_each(|(seq, _)| out.put_u64(seq));
    }

    fn decode(get: &mut Get<'_>) -> Result<Queue, Malformed> {
        let key = get_queue(get)?;
        let settings = QueueSettings::decode(get)?;
        let mut queue = Queue::new(key, settings, get.time(WHAT)?);
        queue.changed = get.time(WHAT)?;
        queue.purged = get.option(WHAT, |get| get.time(WHAT))?;
        let next_seq = get.u64(WHAT)?;
        queue.moved_end = get.u64(WHAT)?;
        let mut sources = Vec::new();
        for _ in 0..get.u32(WHAT)? {
            sources.push(get.str(WHAT)?.to_owned());
        }
        queue.set_sources(sources);
        for _ in 0..get.u64(WHAT)? {
            let (seq, stored) = get_stored(get)?;
            if seq >= next_seq || !queue.restore(seq, stored) {
                return Err(Malformed {
                    what: "message numbers of a snapshot",
                });
            }
        }
        queue.next_seq = next_seq;
        let mut ready = Vec::new();
        for _ in 0..get.u64(WHAT)? {
            let seq = get.u64(WHAT)?;
            if queue.table.get(seq).is_none_or(|s| s.state != State::Ready) {
                return Err(Malformed {
                    what: "ready line of a snapshot",
                });
            }
            ready.push(seq);
        }
        queue.set_line(ready);
        Ok(queue)
    }
}

fn put_stored(out: &mut Vec<u8>, seq: u64, stored: &Stored) {
    out.put_u64(seq);
    out.put_u64(stored.lsn);
    out.put_u32(stored.len);
    out.put_u32(stored.delivery);
    out.put_time(stored.sent);
    out.put_u32(stored.receives);
    if stored.receives > 0 {
        out.put_time(stored.leased);
        out.put_time(stored.first_received);
    }
    out.put_u16(stored.source);
    match stored.state {
        State::Ready => out.put_u8(0),
        State::Delayed => {
            out.put_u8(1);
            out.put_u64(stored.due);
        }
        State::Leased => {
            out.put_u8(2);
            out.put_u64(stored.due);
        }
    }
}

fn get_stored(get: &mut Get<'_>) -> Result<(u64, Stored), Malformed> {
    let seq = get.u64(WHAT)?;
    let mut stored = Stored {
        lsn: get.u64(WHAT)?,
        len: get.u32(WHAT)?,
        delivery: get.u32(WHAT)?,
        sent: get.time(WHAT)?,
        receives: get.u32(WHAT)?,
        leased: Timestamp(0),
        first_received: Timestamp(0),
        source: 0,
        state: State::Ready,
        due: 0,
    };
    if stored.receives > 0 {
        stored.leased = get.time(WHAT)?;
        stored.first_received = get.time(WHAT)?;
    }
    stored.source = get.u16(WHAT)?;
    stored.state = match get.u8(WHAT)? {
        0 => State::Ready,
        1 => State::Delayed,
        2 => State::Leased,
        _ => {
            return Err(Malformed {
                what: "message state",
            });
        }
    };
    if stored.state != State::Ready {
        stored.due = get.u64(WHAT)?;
    }
    Ok((seq, stored))
}
