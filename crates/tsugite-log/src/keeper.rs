//! The keeper: prepares the next segment, writes checkpoints, takes dead segments out of the log, and lets the
//! cleaner empty sparse ones. It works
//! beside the committer, which therefore never waits for anything but its own frame.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tsugite_base::Mono;

use crate::checkpoint::{self, Needs};
use crate::cleaner::{Cleaner, Progress};
use crate::disk::is_full;
use crate::format::{SEGMENT_HEADER, align_up, checkpoint_name, segment_name, spare_name};
use crate::inbox::Snapshot;
use crate::log::Shared;
use crate::options::Fatal;
use crate::room::{Next, Prepared};
use crate::space::{Balance, Occupied, occupied};
use crate::state::State;

/// While the disk is full, room is looked for this often, ...
const RETRY: Duration = Duration::from_secs(1);
/// ... and checkpoints, which free segments, come this often.
const CHECKPOINT_WHEN_FULL: Duration = Duration::from_secs(5);

/// How long the cleaner waits for room in the batch.
const BLOCKED: Duration = Duration::from_millis(5);

/// A file that shows how much room there is, for a moment.
const HEADROOM: &str = "headroom.tmp";

/// The housekeeper. [`Keeper::step`] does what is due; a thread, or a simulation, repeats it.
pub struct Keeper<S: State> {
    shared: Arc<Shared<S>>,
    interval: Duration,
    /// Names of emptied full-sized segments.
    spares: Vec<String>,
    /// Number of the next spare file.
    next_spare: u64,
    last_checkpoint: Mono,
    last_attempt: Option<Mono>,
    cleaner: Cleaner,
}

impl<S: State> Keeper<S> {
    pub(crate) fn new(
        shared: Arc<Shared<S>>,
        interval: Duration,
        spares: Vec<String>,
        next_spare: u64,
    ) -> Self {
        let last_checkpoint = shared.world.mono();
        Keeper {
            shared,
            interval,
            spares,
            next_spare,
            last_checkpoint,
            last_attempt: None,
            cleaner: Cleaner::default(),
        }
    }

    /// Does what is due now; returns how long to sleep at most before the next look.
    pub fn step(&mut self) -> Result<Duration, Fatal> {
        if let Some(snapshot) = self.shared.keeper.take() {
            let lsn = snapshot.lsn;
            self.save(snapshot).map_err(|e| {
                self.shared
                    .fatal(&format!("writing {}", checkpoint_name(lsn)), &e)
            })?;
        }
        self.prepare()?;
        let progress = self.cleaner.step(&self.shared);
        let sleep = self.schedule();
        Ok(match progress {
            Progress::Idle => sleep,
            Progress::Worked => Duration::ZERO,
            Progress::Blocked => sleep.min(BLOCKED),
        })
    }

    /// Asks for a checkpoint if one is due.
    fn schedule(&mut self) -> Duration {
        let now = self.shared.world.mono();
        let mut front = self.shared.front();
        let full = matches!(front.room.next, Next::Full(_));
        let interval = if full {
            self.interval.min(CHECKPOINT_WHEN_FULL)
        } else {
            self.interval
        };
        let waited = now.since(self.last_checkpoint);
        if waited >= interval {
            self.last_checkpoint = now;
            if front.batch.end() > front.checkpoint.lsn {
                front.checkpoint.due = true;
                self.shared.work.notify_one();
            }
        }
        let sleep = if waited >= interval {
            interval
        } else {
            interval - waited
        };
        if full { sleep.min(RETRY) } else { sleep }
    }

    /// Writes a checkpoint, then drops what it makes superfluous.
    fn save(&mut self, snapshot: Snapshot) -> io::Result<()> {
        let shared = self.shared.clone();
        let disk = &*shared.disk;
        let (closed, holder) = shared.segments.below(snapshot.lsn);
        let occupied = occupied(&closed, &snapshot.usage, S::REGION_BITS);
        let lives = |o: &Occupied| o.live > 0 && !self.cleaner.emptied(o.segment.base, snapshot.lsn);
        let (kept, dead): (Vec<Occupied>, Vec<Occupied>) = occupied.into_iter().partition(lives);
        let needs = Needs {
            lsn: snapshot.lsn,
            holder,
            kept: kept.iter().map(|o| (o.segment.base, o.segment.end)).collect(),
        };
        let checkpoint = snapshot.bytes.len() as u64;
        // The log must not run out of room meanwhile. A failure of that is fatal and was reported: the next step ends.
        let meanwhile = || drop(self.prepare());
        let written = checkpoint::write(disk, shared.log_id, &needs, snapshot.bytes, meanwhile);
        let old = {
            let mut front = shared.front();
            front.checkpoint.busy = false;
            // Another may have come due meanwhile.
            shared.work.notify_one();
            match written {
                Ok(()) => std::mem::replace(&mut front.checkpoint.lsn, snapshot.lsn),
                Err(e) if is_full(&e) => {
                    drop(front);
                    tracing::warn!("no room for a checkpoint in {}: {e}", disk.location());
                    checkpoint::remove_unfinished(disk);
                    return Ok(());
                }
                Err(e) => return Err(e),
            }
        };
        shared.metrics.checkpoints.fetch_add(1, Relaxed);
        if old > 0 {
            disk.remove(&checkpoint_name(old))?;
        }
        self.reclaim(&dead)?;
        let live = snapshot.usage.values().sum();
        shared.metrics.live_bytes.store(live, Relaxed);
        let left = {
            let front = shared.front();
            front.room.left_to_move(front.batch.end(), &shared.sizes)
        };
        let balance = Balance {
            live,
            checkpoint,
            left,
        };
        self.cleaner.plan(&shared, kept, &balance);
        Ok(())
    }

    /// Takes dead segments out of the log: a few to reuse, the rest deleted.
    fn reclaim(&mut self, dead: &[Occupied]) -> io::Result<()> {
        let shared = self.shared.clone();
        let mut fresh = Vec::new();
        for Occupied { segment, .. } in dead {
            shared.segments.take(segment.base);
            self.cleaner.forget(segment.base);
            shared.metrics.dropped_segments.fetch_add(1, Relaxed);
            let name = segment_name(segment.base);
            if segment.capacity == shared.sizes.segment
                && self.spares.len() + fresh.len() < shared.sizes.spares
            {
                let spare = self.spare();
                shared.disk.rename(&name, &spare)?;
                fresh.push(spare);
            } else {
                shared.disk.remove(&name)?;
            }
        }
        // Before a spare is written to, its old name must be gone for good.
        shared.disk.sync_dir()?;
        self.spares.append(&mut fresh);
        // Perhaps there is room now.
        self.last_attempt = None;
        Ok(())
    }

    fn spare(&mut self) -> String {
        self.next_spare += 1;
        spare_name(self.next_spare)
    }

    /// Makes the next segment if it is wanted.
    fn prepare(&mut self) -> Result<(), Fatal> {
        let now = self.shared.world.mono();
        let (current, was_full) = {
            let front = self.shared.front();
            let due = match front.room.next {
                Next::Preparing => true,
                Next::Full(_) => self.last_attempt.is_none_or(|at| now.since(at) >= RETRY),
                Next::Absent | Next::Ready(_) => false,
            };
            if !due {
                return Ok(());
            }
            (front.room.capacity, matches!(front.room.next, Next::Full(_)))
        };
        self.last_attempt = Some(now);
        let capacity = self.shared.sizes.segment.min(current.saturating_mul(4));
        let location = self.shared.disk.location();
        let next = match self.largest_segment(capacity) {
            Ok(prepared) => {
                if was_full {
                    tracing::info!("there is room for the log in {location} again");
                }
                Next::Ready(prepared)
            }
            Err(e) if is_full(&e) => {
                if !was_full {
                    tracing::error!(
                        "no room for the next {capacity} bytes of log in {location}: new data is refused until there is"
                    );
                }
                Next::Full(format!("{location} has no room for the log: {e}"))
            }
            Err(e) => return Err(self.shared.fatal("preparing a segment", &e)),
        };
        self.shared.front().room.next = next;
        self.shared.room.notify_waiters();
        Ok(())
    }

    /// A segment of `capacity`, or a smaller one if the disk has little room; then as much again must be free,
    /// or the next checkpoint, which frees segments, would find none.
    fn largest_segment(&mut self, mut capacity: u64) -> io::Result<Prepared> {
        let smallest = align_up(self.shared.sizes.smallest_segment());
        let mut prepared = self.segment(capacity);
        while prepared.as_ref().is_err_and(is_full) && capacity > smallest {
            capacity = align_up(capacity / 2).max(smallest);
            prepared = self.headroom(capacity).and_then(|()| self.segment(capacity));
        }
        prepared
    }

    /// Fails if the disk has not twice the room that a segment of `capacity` takes.
    fn headroom(&self, capacity: u64) -> io::Result<()> {
        let disk = &*self.shared.disk;
        let file = disk.create(HEADROOM)?;
        let allocated = file.allocate(2 * (SEGMENT_HEADER as u64 + capacity));
        drop(file);
        disk.remove(HEADROOM)?;
        allocated
    }

    fn segment(&mut self, capacity: u64) -> io::Result<Prepared> {
        let disk = self.shared.disk.clone();
        if capacity == self.shared.sizes.segment
            && let Some(name) = self.spares.pop()
        {
            let file = disk.open(&name)?;
            return Ok(Prepared {
                name,
                capacity,
                recycled: true,
                file,
            });
        }
        let name = self.spare();
        let file = disk.create(&name)?;
        let len = SEGMENT_HEADER as u64 + capacity;
        if let Err(e) = file.allocate(len).and_then(|()| file.sync()) {
            drop(file);
            disk.remove(&name)?;
            return Err(e);
        }
        Ok(Prepared {
            name,
            capacity,
            recycled: false,
            file,
        })
    }

    /// Works until the log is closed or fails.
    pub(crate) fn run(mut self) -> Self {
        while let Ok(sleep) = self.step() {
            let front = self.shared.front();
            if front.quit || front.dead {
                break;
            }
            drop(front);
            self.shared.keeper.wait(sleep);
        }
        self
    }
}
