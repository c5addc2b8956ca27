//! The commands that clients give, and the small world that they give them in.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tsugite_base::names::Scope;
use tsugite_base::rng::SplitMix64;
use tsugite_base::world::{Clock, Entropy};
use tsugite_base::{Mono, Now, Timestamp, World};
use tsugite_broker::{QueueKey, SendEntry, TopicKey};
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
};

/// Queues; the last takes the dead letters of the others.
pub(crate) const QUEUES: [&str; 3] = ["orders", "mail", "dead"];
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
    QueueKey::new(Scope::default(), name)
}

pub(crate) fn topic() -> TopicKey {
    TopicKey::new(Scope::default(), "events")
}

/// The attributes with which a queue is made.
pub(crate) fn attributes(name: &str) -> Vec<(String, String)> {
    if name == "dead" {
        return Vec::new();
    }
    let policy = format!(
        r#"{{"deadLetterTargetArn":"{}","maxReceiveCount":{MAX_RECEIVES}}}"#,
        queue("dead").arn()
    );
    vec![("RedrivePolicy".into(), policy)]
}

pub(crate) fn entry(world: &World, body: String, delay: i64) -> SendEntry {
    SendEntry {
        id: world.uuid(),
        body,
        delay: Some(delay),
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
