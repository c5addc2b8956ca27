//! The commands that clients give, and the small world that they give them in.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tsugite_base::names::Scope;
use tsugite_base::rng::SplitMix64;
use tsugite_base::world::{Clock, Entropy};
use tsugite_base::{Mono, Now, Timestamp, Uuid, World};
use tsugite_broker::{QueueKey, SendEntry, TopicKey};
use tsugite_checker::{Entry, Queue};
use tsugite_log::Sizes;
use tsugite_registry::{NamespaceId, PutInstance, ServiceId};

/// Sizes at which segments, checkpoints and full disks come every few commands.
pub(crate) const SIZES: Sizes = Sizes {
    first_segment: 8 * 1024,
    segment: 16 * 1024,
    reserve: 2 * 1024,
    max_batch: 4 * 1024,
    checkpoint_bytes: 12 * 1024,
    hot: 3 * 1024,
    spares: 1,
    slack: 64 * 1024,
};

/// Queues, of which `outbox` is that of a subscription that posts, and `mail` gets the news of the topic alone; `dead` takes the dead letters of `orders` and `mail`, to which the topic delivers, and `dead.fifo` those of the
/// other FIFO queues. `orders` has tenants; in `brief` messages expire within a history.
pub(crate) const QUEUES: [&str; 8] = [
    "orders",
    "mail",
    "dead",
    "brief",
    "line.fifo",
    "lane.fifo",
    "dead.fifo",
    OUTBOX,
];
const OUTBOX: &str = "outbox";
/// The subscription whose outbox it is.
pub(crate) const HOOK: Uuid = Uuid([7; 16]);
/// Which of them the clients of a history use. Where messages expire, no clock is set back: of what had expired, and was
/// deleted so without a record, it could make something that has not expired yet.
pub(crate) const SCENES: [&[&str]; 3] = [
    &["orders", "mail", OUTBOX, "dead", "brief"],
    &["line.fifo", "lane.fifo", "dead.fifo"],
    &[
        "orders",
        "mail",
        OUTBOX,
        "dead",
        "line.fifo",
        "lane.fifo",
        "dead.fifo",
    ],
];
/// Seconds that messages stay in `brief`.
const BRIEF: u64 = 60;
/// Receives after which a message becomes a dead letter.
pub(crate) const MAX_RECEIVES: u32 = 3;

/// A clock that the history moves, and never the host.
#[derive(Default)]
pub(crate) struct Hand {
    steady: AtomicU64,
    wall: AtomicU64,
    /// Milliseconds that really passed, whatever anybody did to the clocks.
    passed: AtomicU64,
}

impl Hand {
    pub(crate) fn advance(&self, millis: u64) {
        self.steady.fetch_add(millis, Ordering::Relaxed);
        self.wall.fetch_add(millis, Ordering::Relaxed);
        self.passed.fetch_add(millis, Ordering::Relaxed);
    }

    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Somebody set the host's clock while the process runs: only the wall clock steps.
    pub(crate) fn step_wall(&self, back: bool, millis: u64) {
        let wall = self.wall.load(Ordering::Relaxed);
        let wall = if back {
            wall.saturating_sub(millis)
        } else {
            wall + millis
        };
        self.wall.store(wall, Ordering::Relaxed);
    }

    /// Somebody set the host's clock while the process was down, to before what it really is. What came of steps in
    /// earlier lives is put right with that: a process that starts has only the wall clock to go by, so it could not tell
    /// a step ahead from a long time without it.
    pub(crate) fn set_back(&self, millis: u64) {
        let wall = self.steady.load(Ordering::Relaxed).saturating_sub(millis);
        self.wall.store(wall, Ordering::Relaxed);
        self.steady.store(wall, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> Now {
        Now {
            wall: Timestamp(self.wall.load(Ordering::Relaxed)),
            steady: Timestamp(self.steady.load(Ordering::Relaxed)),
        }
    }

    fn mono(&self) -> Mono {
        Mono(self.steady.load(Ordering::Relaxed) * 1_000_000)
    }
}

struct Dice(Mutex<SplitMix64>);

impl Entropy for Dice {
    fn fill(&self, buf: &mut [u8]) {
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buf.fill_with(|| rng.next_u64() as u8);
    }
}

pub(crate) fn world(hand: &Arc<Hand>, seed: u64) -> World {
    World {
        clock: hand.clone(),
        entropy: Arc::new(Dice(Mutex::new(SplitMix64::new(seed)))),
    }
}

pub(crate) fn queue(name: &str) -> QueueKey {
    if is_outbox(name) {
        return QueueKey::outbox(HOOK);
    }
    QueueKey::new(Scope::default(), name)
}

pub(crate) fn topic() -> TopicKey {
    TopicKey::new(Scope::default(), "events")
}

/// Whether the queue is one for dead letters.
pub(crate) fn is_dead(name: &str) -> bool {
    name.starts_with("dead")
}

/// Whether it is made and filled by the topic alone.
pub(crate) fn is_outbox(name: &str) -> bool {
    name == OUTBOX
}

pub(crate) fn is_fifo(name: &str) -> bool {
    name.ends_with(".fifo")
}

/// Whether messages expire within a history.
pub(crate) fn is_brief(name: &str) -> bool {
    name == "brief"
}

fn dead_letters(name: &str) -> Option<&'static str> {
    let dead = if is_fifo(name) { "dead.fifo" } else { "dead" };
    (!is_dead(name) && !is_brief(name) && !is_outbox(name)).then_some(dead)
}

/// The attributes with which a queue is made.
pub(crate) fn attributes(name: &str) -> Vec<(String, String)> {
    let mut attributes = Vec::new();
    let mut set = |name: &str, value: String| attributes.push((name.to_owned(), value));
    if let Some(dead) = dead_letters(name) {
        let arn = queue(dead).arn();
        let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":{MAX_RECEIVES}}}"#);
        set("RedrivePolicy", policy);
    }
    if is_fifo(name) {
        set("FifoQueue", "true".into());
    }
    match name {
        "brief" => set("MessageRetentionPeriod", BRIEF.to_string()),
        "lane.fifo" => set("DeduplicationScope", "messageGroup".into()),
        _ => {}
    }
    attributes
}

/// The queue as the checker knows it.
pub(crate) fn declared(name: &str) -> Queue {
    Queue {
        queue: name.into(),
        fifo: is_fifo(name),
        retention: if is_brief(name) {
            BRIEF * 1_000
        } else {
            345_600_000
        },
        dead_letters: dead_letters(name).map(str::to_owned),
        max_receives: MAX_RECEIVES,
        dedup_by_group: name == "lane.fifo",
        ..Queue::default()
    }
}

/// A message to send, as clients describe it.
pub(crate) fn entry(world: &World, entry: &Entry) -> SendEntry {
    SendEntry {
        id: world.uuid(),
        body: entry.body.clone(),
        delay: entry.delay.map(|millis| millis as i64 / 1_000),
        group: entry.group.clone(),
        deduplication: entry.dedup.clone(),
        ..SendEntry::default()
    }
}

/// A registration whose attribute `version` tells the versions of an instance apart.
pub(crate) fn put(world: &World, instance: &str, version: u32) -> PutInstance {
    PutInstance {
        new_namespace: NamespaceId(world.random_u64()),
        new_service: ServiceId(world.random_u64()),
        namespace: "internal".into(),
        service: "kitchen".into(),
        instance: instance.into(),
        address: None,
        protocol: None,
        attributes: [("version".into(), version.to_string())].into_iter().collect(),
        lease_ms: None,
    }
}
