//! The whole state as bytes, for checkpoints. The same state always gives the same bytes.
//!
//! Layout (version 5): version u8, clock, next queue number, queues, topics, tags, deleted names, move tasks. Messages
//! are as packed as in memory, so a backlog of millions is copied rather than encoded; counters, timers and ages are
//! derived.

use tsugite_base::Timestamp;
use tsugite_base::codec::{Get, Malformed, Put};

use crate::broker::{Broker, Settings};
use crate::groups::Groups;
use crate::keys::QueueId;
use crate::lane::Lane;
use crate::memory::Memory;
use crate::queue::Queue;
use crate::settings::{QueueSettings, get_queue, get_topic, put_queue, put_topic};
use crate::table::Table;
use crate::tags::Tags;
use crate::tasks::Tasks;
use crate::topics::Topic;

const VERSION: u8 = 5;
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
            queue.encode(out, self.clock);
        }
        out.put_u32(self.topics.len() as u32);
        for (key, topic) in &self.topics {
            put_topic(out, key);
            topic.encode(out, self.clock);
        }
        self.tags.encode(out);
        out.put_u32(self.deleted.len() as u32);
        for (at, key) in &self.deleted {
            out.put_time(*at);
            put_queue(out, key);
        }
        self.tasks.encode(out);
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
            let topic = Topic::decode(&mut get)?;
            for (id, subscription) in &topic.subscriptions {
                broker.note_waiting(&key, *id, None, subscription.until());
                if subscription.replays() {
                    broker.note_replay(&key, *id, true);
                }
            }
            broker.topics.insert(key, topic);
        }
        broker.tags = Tags::decode(&mut get)?;
        for _ in 0..get.u32(WHAT)? {
            let at = get.time(WHAT)?;
            broker.deleted.push_back((at, get_queue(&mut get)?));
        }
        broker.tasks = Tasks::decode(&mut get)?;
        get.end(WHAT)?;
        Ok(broker)
    }
}

impl Queue {
    fn encode(&self, out: &mut Vec<u8>, clock: Timestamp) {
        put_queue(out, &self.key);
        self.settings.encode(out);
        out.put_time(self.created);
        out.put_time(self.changed);
        out.put_option(self.purged, |out, at| out.put_time(at));
        out.put_u64(self.next_seq);
        out.put_u64(self.moved_end);
        out.put_u32(self.sources.len() as u32);
        self.sources.iter().for_each(|source| out.put_str(source));
        self.groups.encode(out);
        self.returned.encode(out);
        self.table.encode(out);
        self.memory.encode(out, clock);
    }

    fn decode(get: &mut Get<'_>) -> Result<Queue, Malformed> {
        let key = get_queue(get)?;
        let settings = QueueSettings::decode(get)?;
        let mut queue = Queue::new(key, settings, get.time(WHAT)?);
        queue.changed = get.time(WHAT)?;
        queue.purged = get.option(WHAT, |get| get.time(WHAT))?;
        queue.next_seq = get.u64(WHAT)?;
        queue.moved_end = get.u64(WHAT)?;
        for _ in 0..get.u32(WHAT)? {
            queue.sources.push(get.str(WHAT)?.to_owned());
        }
        queue.groups = Groups::decode(get)?;
        queue.returned = Lane::decode(get)?;
        let mut wrong = false;
        let (next, fifo) = (queue.next_seq, queue.is_fifo());
        let table = Table::decode(get, |seq, stored| {
            let group = stored.group();
            wrong |= seq >= next || fifo && group.is_none();
            wrong |= group.is_some_and(|slot| queue.groups.get(slot).is_none());
            queue.count(seq, stored);
        })?;
        if wrong {
            return Err(Malformed {
                what: "messages of a snapshot",
            });
        }
        queue.table = table;
        queue.memory = Memory::decode(get)?;
        Ok(queue)
    }
}
