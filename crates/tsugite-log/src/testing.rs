//! Helpers of this crate's tests: a scratch directory, a world that stands still, a toy state machine.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_base::rng::SplitMix64;
use tsugite_base::world::{Clock, Entropy};
use tsugite_base::{Decision, Mono, Now, Place, Sheaf, World};
use tsugite_broker::{QueueId, Search, Stowed};
use tsugite_engine::Failure;

use crate::disk::sim::{Image, SimDisk};
use crate::{Committer, Fatal, Growth, Keeper, Log, OpenError, Opened, Options, Recovery, Sizes, State};

/// A directory that is removed when dropped.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> TempDir {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("tsugite-log-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a writable temporary directory");
        TempDir(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A clock that moves when told.
#[derive(Default)]
pub(crate) struct Still(AtomicU64);

impl Still {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Clock for Still {
    fn now(&self) -> Now {
        Now::at(self.0.load(Ordering::Relaxed))
    }

    fn mono(&self) -> Mono {
        Mono(self.0.load(Ordering::Relaxed) * 1_000_000)
    }
}

struct Seeded(Mutex<SplitMix64>);

impl Entropy for Seeded {
    fn fill(&self, buf: &mut [u8]) {
        let mut rng = self.0.lock().expect("no panic in here");
        buf.fill_with(|| rng.next_u64() as u8);
    }
}

pub(crate) fn world(clock: &Arc<Still>, seed: u64) -> World {
    World {
        clock: clock.clone(),
        entropy: Arc::new(Seeded(Mutex::new(SplitMix64::new(seed)))),
    }
}

/// A map from keys to values of which it keeps the places only, as the broker does with bodies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Toy {
    pub(crate) places: BTreeMap<u32, Place>,
    /// Applied records, ever.
    pub(crate) applied: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Put(u32, Vec<u8>),
    /// As `Put`, of a value that is there.
    Move(u32, Vec<u8>),
    Delete(u32),
    /// Its `apply` panics.
    Explode,
}

impl State for Toy {
    type Settings = ();
    type Record = Change;

    fn restore((): &(), snapshot: Option<&[u8]>, _now: Now) -> Result<Toy, Malformed> {
        let mut toy = Toy::default();
        let Some(snapshot) = snapshot else {
            return Ok(toy);
        };
        let mut from = Get::new(snapshot);
        toy.applied = from.u64("applied")?;
        while from.remaining() > 0 {
            let key = from.u32("key")?;
            let place = Place {
                lsn: from.u64("lsn")?,
                len: from.u32("len")?,
            };
            toy.places.insert(key, place);
        }
        Ok(toy)
    }

    fn snapshot(&self, out: &mut Sheaf) {
        let out = out.bytes();
        out.put_u64(self.applied);
        for (key, place) in &self.places {
            out.put_u32(*key);
            out.put_u64(place.lsn);
            out.put_u32(place.len);
        }
    }

    fn encode(record: &Change, out: &mut Vec<u8>) {
        match record {
            Change::Put(key, value) => {
                out.put_u8(1);
                out.put_u32(*key);
                out.extend_from_slice(value);
            }
            Change::Move(key, value) => {
                out.put_u8(4);
                out.put_u32(*key);
                out.extend_from_slice(value);
            }
            Change::Delete(key) => {
                out.put_u8(2);
                out.put_u32(*key);
            }
            Change::Explode => out.put_u8(3),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Change, Malformed> {
        let mut from = Get::new(bytes);
        match from.u8("kind")? {
            1 => Ok(Change::Put(
                from.u32("key")?,
                from.take(from.remaining(), "value")?.to_vec(),
            )),
            2 => Ok(Change::Delete(from.u32("key")?)),
            4 => Ok(Change::Move(
                from.u32("key")?,
                from.take(from.remaining(), "value")?.to_vec(),
            )),
            _ => Err(Malformed { what: "kind" }),
        }
    }

    fn apply(&mut self, record: Change, place: Place) {
        self.applied += 1;
        match record {
            Change::Put(key, _) | Change::Move(key, _) => drop(self.places.insert(key, place)),
            Change::Delete(key) => drop(self.places.remove(&key)),
            Change::Explode => panic!("exploded"),
        }
    }

    const REGION_BITS: u32 = 8;

    fn usage(&self, out: &mut BTreeMap<u64, u64>) {
        for place in self.places.values() {
            for at in place.lsn..place.end() {
                *out.entry(at >> Self::REGION_BITS).or_default() += 1;
            }
        }
    }

    fn survivors(&self, search: &mut Search, looks: usize, bytes: u64, found: &mut Vec<Stowed>) -> bool {
        const ALL: QueueId = QueueId(0);
        let from = search.next(ALL) as u32;
        for (&key, &place) in self.places.range(from..) {
            search.pass(ALL, key.into());
            let taken: u64 = found.iter().map(Stowed::bytes).sum();
            if found.len() == looks || (!found.is_empty() && taken + u64::from(place.len) > bytes) {
                return false;
            }
            if search.covers(place.lsn) {
                found.push(Stowed {
                    queue: ALL,
                    seq: key.into(),
                    payload: place,
                    delivery: None,
                });
            }
            search.pass(ALL, u64::from(key) + 1);
        }
        true
    }

    fn relocate(&self, found: &[(Stowed, Vec<u8>)], _: Now) -> Vec<Change> {
        let still = |stowed: &Stowed| self.places.get(&(stowed.seq as u32)) == Some(&stowed.payload);
        let moved = found.iter().filter(|(stowed, _)| still(stowed));
        moved
            .map(|(stowed, bytes)| Change::Move(stowed.seq as u32, bytes[5..].to_vec()))
            .collect()
    }

    fn intact(bytes: &[u8]) -> bool {
        bytes
            .get(5)
            .is_none_or(|&byte| bytes[5..].iter().all(|b| *b == byte))
    }

    fn growth(record: &Change) -> Growth {
        match record {
            Change::Put(..) => Growth::Grows,
            Change::Move(..) => Growth::Moves,
            _ => Growth::Frees,
        }
    }
}

/// Sizes at which everything happens soon.
pub(crate) const TINY: Sizes = Sizes {
    first_segment: 2048,
    segment: 4096,
    reserve: 512,
    max_batch: 2048,
    checkpoint_bytes: 6000,
    hot: 2000,
    spares: 1,
    slack: 28 * 1024,
};

/// A log over a simulated disk, stepped by hand.
pub(crate) struct Rig {
    pub(crate) disk: SimDisk,
    pub(crate) clock: Arc<Still>,
    pub(crate) log: Log<Toy>,
    pub(crate) committer: Committer<Toy>,
    pub(crate) keeper: Keeper<Toy>,
    pub(crate) recovery: Recovery,
    pub(crate) fatal: Arc<Mutex<Vec<Fatal>>>,
}

impl Rig {
    pub(crate) fn new() -> Rig {
        Rig::on(Image::new()).expect("an empty disk opens")
    }

    pub(crate) fn on(image: Image) -> Result<Rig, OpenError> {
        Rig::over(SimDisk::new(1, image))
    }

    pub(crate) fn over(disk: SimDisk) -> Result<Rig, OpenError> {
        Rig::sized(disk, TINY)
    }

    pub(crate) fn sized(disk: SimDisk, sizes: Sizes) -> Result<Rig, OpenError> {
        let clock = Arc::<Still>::default();
        let fatal: Arc<Mutex<Vec<Fatal>>> = Arc::default();
        let seen = fatal.clone();
        let options = Options {
            sizes,
            on_fatal: Arc::new(move |f| seen.lock().expect("no panic in here").push(f.clone())),
            ..Options::new(world(&clock, 7), ())
        };
        let Opened {
            log,
            committer,
            keeper,
            recovery,
        } = Log::open(&options, Arc::new(disk.clone()))?;
        Ok(Rig {
            disk,
            clock,
            log,
            committer,
            keeper,
            recovery,
            fatal,
        })
    }

    /// One command; the position that its reply waits for.
    pub(crate) fn change(&self, records: Vec<Change>) -> Option<Result<u64, Failure<Infallible>>> {
        let mut decide = Some(|_: &Toy, _| Ok(Decision::record(records, ())));
        Some(self.log.attempt(&mut decide)?.map(|((), wait)| wait))
    }

    /// A command that must be taken.
    pub(crate) fn put(&self, key: u32, len: usize) -> u64 {
        let value = vec![key as u8; len];
        let done = self.change(vec![Change::Put(key, value)]);
        done.expect("room").expect("taken")
    }

    pub(crate) fn delete(&self, key: u32) -> u64 {
        let done = self.change(vec![Change::Delete(key)]);
        done.expect("room").expect("taken")
    }

    /// Makes everything durable and does the housekeeping.
    pub(crate) fn settle(&mut self) -> Result<(), Fatal> {
        loop {
            let worked = self.committer.step()?;
            let sleep = self.keeper.step()?;
            if !worked && !sleep.is_zero() && self.log.metrics().pending_bytes == 0 {
                return Ok(());
            }
        }
    }

    pub(crate) fn toy(&self) -> Toy {
        self.log.peek(|toy, _| toy.clone())
    }
}
