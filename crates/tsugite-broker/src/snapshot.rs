//! The whole state as bytes, for checkpoints. The same state always gives the same bytes.
//!
//! Layout (version 7): version u8, clock, next queue number, queues, topics, tags, deleted names, move tasks. Messages
//! and deduplication entries are as packed as in memory, and shared with the snapshot rather than copied; counters,
//! timers and ages are derived.

use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_base::{Sheaf, Timestamp};

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

const VERSION: u8 = 7;
const WHAT: &str = "broker snapshot";

impl Broker {
    /// Appends the state.
    pub fn snapshot(&self, out: &mut Sheaf) {
        let head = out.bytes();
        head.put_u8(VERSION);
        head.put_time(self.clock);
        head.put_u32(self.next_queue);
        head.put_u32(self.queues.len() as u32);
        for (id, queue) in &self.queues {
            out.bytes().put_u32(id.0);
            queue.encode(out, self.clock);
        }
        out.bytes().put_u32(self.topics.len() as u32);
        for (key, topic) in &self.topics {
            put_topic(out.bytes(), key);
            topic.encode(out, self.clock);
        }
        let out = out.bytes();
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
            let queue = Queue::decode(&mut get, settings.seed)?;
            let names = broker.names.entry(queue.key.scope.clone()).or_default();
            names.insert(queue.key.name.clone(), id);
            broker.queues.insert(id, queue);
            broker.touched(id, true);
        }
        for _ in 0..get.u32(WHAT)? {
            let key = get_topic(&mut get)?;
            let topic = Topic::decode(&mut get, settings.seed)?;
            for (id, subscription) in &topic.subscriptions {
                broker.note_waiting(&key, *id, None, subscription.until());
                broker.note_outbox(subscription.outbox, &key, *id);
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
    fn encode(&self, sheaf: &mut Sheaf, clock: Timestamp) {
        let out = sheaf.bytes();
        put_queue(out, &self.key);
        self.settings.encode(out);
        out.put_time(self.created);
        out.put_time(self.changed);
        out.put_option(self.purged, |out, at| out.put_time(at));
        out.put_u64(self.next_seq);
        out.put_u64(self.moved_end);
        out.put_u32(self.sources.len() as u32);
        self.sources.iter().for_each(|source| out.put_str(source));
        self.returned.encode(out);
        self.groups.encode(sheaf);
        self.table.encode(sheaf);
        self.memory.encode(sheaf, clock);
    }

    fn decode(get: &mut Get<'_>, seed: u64) -> Result<Queue, Malformed> {
        let key = get_queue(get)?;
        let settings = QueueSettings::decode(get)?;
        let mut queue = Queue::new(key, settings, get.time(WHAT)?, seed);
        queue.changed = get.time(WHAT)?;
        queue.purged = get.option(WHAT, |get| get.time(WHAT))?;
        queue.next_seq = get.u64(WHAT)?;
        queue.moved_end = get.u64(WHAT)?;
        for _ in 0..get.u32(WHAT)? {
            queue.sources.push(get.str(WHAT)?.to_owned());
        }
        queue.returned = Lane::decode(get, true)?;
        let (next, fifo) = (queue.next_seq, queue.is_fifo());
        queue.groups = Groups::decode(get, !fifo, seed)?;
        // Counted apart: groups are too large, and met in too wild an order, to be looked up for each message.
        let mut counts = vec![0_u32; queue.groups.slots()];
        let mut wrong = false;
        let table = Table::decode(get, |seq, stored| {
            wrong |= seq >= next;
            match stored.group() {
                None => wrong |= fifo,
                Some(slot) => match counts.get_mut(slot) {
                    Some(count) => *count += 1,
                    None => wrong = true,
                },
            }
            queue.count(seq, stored);
        })?;
        wrong |= !queue.groups.set_counts(&counts);
        if wrong {
            return Err(Malformed {
                what: "messages of a snapshot",
            });
        }
        queue.table = table;
        queue.memory = Memory::decode(get, seed)?;
        Ok(queue)
    }
}
