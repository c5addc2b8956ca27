//! The log that is open: commands are decided, appended and applied under one lock; replies wait for the sync.
//!
//! The lock is held for as long as a command takes to decide and its records take to encode, never during
//! disk I/O. A snapshot for a checkpoint is encoded under it too: with millions of stored messages that is a
//! pause of some hundred milliseconds every 256 MiB of log, which the metrics tell.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use tokio::sync::Notify;
use tsugite_base::{Decision, Now, Place, Sheaf, Wait, World};
use tsugite_engine::{Failure, Unavailable};

use crate::batch::{Batch, Frame};
use crate::cold::Cold;
use crate::disk::{Disk, Guard};
use crate::format::segment_name;
use crate::front::{CheckpointState, Front};
use crate::hot::Hot;
use crate::inbox::{Inbox, Snapshot};
use crate::metrics::{LogMetrics, Metrics};
use crate::options::{Fatal, OnFatal, Sizes};
use crate::room::{Admission, Next, Prepared, Room};
use crate::segment::Segments;
use crate::state::State;
use crate::waits::{Durable, Gather};

/// A log and its state machine. Cheap to clone.
pub struct Log<S: State>(pub(crate) Arc<Shared<S>>);

impl<S: State> Clone for Log<S> {
    fn clone(&self) -> Self {
        Log(self.0.clone())
    }
}

/// What the callers, the committer and the keeper share.
pub(crate) struct Shared<S> {
    front: Mutex<Front<S>>,
    /// Wakes the committer.
    pub(crate) work: Condvar,
    /// Wakes callers that wait for room in the batch or in a segment.
    pub(crate) room: Notify,
    /// Everything below is durable.
    synced: AtomicU64,
    waiters: Mutex<Vec<(u64, Waker)>>,
    hot: Mutex<Hot>,
    cold: Mutex<Cold>,
    pub(crate) segments: Segments,
    pub(crate) keeper: Inbox,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) world: World,
    pub(crate) sizes: Sizes,
    pub(crate) log_id: u64,
    pub(crate) metrics: Metrics,
    on_fatal: OnFatal,
    /// Keeps other processes out until the log is closed.
    guard: Mutex<Option<Box<dyn Guard>>>,
}

/// What the committer has to do next.
pub(crate) struct Taken {
    pub(crate) frame: Option<Frame>,
    /// The segment to open before the frame is written.
    pub(crate) roll: Option<Prepared>,
    /// To be written once the frame is synced.
    pub(crate) snapshot: Option<Snapshot>,
}

/// Everything that recovery found out, to start from.
pub(crate) struct Start<S> {
    pub(crate) state: S,
    pub(crate) end: u64,
    pub(crate) checkpoint_lsn: u64,
    pub(crate) segments: Segments,
    pub(crate) room: Room,
    pub(crate) log_id: u64,
}

impl<S: State> Shared<S> {
    pub(crate) fn new(
        start: Start<S>,
        disk: Arc<dyn Disk>,
        guard: Box<dyn Guard>,
        world: World,
        sizes: Sizes,
        on_fatal: OnFatal,
    ) -> Shared<S> {
        Shared {
            front: Mutex::new(Front {
                state: start.state,
                batch: Batch::new(start.end),
                room: start.room,
                checkpoint: CheckpointState {
                    lsn: start.checkpoint_lsn,
                    ..CheckpointState::default()
                },
                closing: false,
                quit: false,
                dead: false,
                applying: false,
            }),
            work: Condvar::new(),
            room: Notify::new(),
            synced: AtomicU64::new(start.end),
            waiters: Mutex::default(),
            hot: Mutex::new(Hot::new(sizes.hot)),
            cold: Mutex::default(),
            segments: start.segments,
            keeper: Inbox::default(),
            disk,
            world,
            sizes,
            log_id: start.log_id,
            metrics: Metrics::default(),
            on_fatal,
            guard: Mutex::new(Some(guard)),
        }
    }

    /// The front. A panic of a command that only looked is that caller's affair; one amid a change is everybody's.
    pub(crate) fn front(&self) -> MutexGuard<'_, Front<S>> {
        match self.front.lock() {
            Ok(front) => front,
            Err(poisoned) => {
                let mut front = poisoned.into_inner();
                self.front.clear_poison();
                if front.applying && !front.dead {
                    front.dead = true;
                    drop(front);
                    self.report("a command panicked while it changed the state".into());
                    return self.front();
                }
                front
            }
        }
    }

    /// Sleeps until the front changes.
    pub(crate) fn wait_for_work<'a>(&self, front: MutexGuard<'a, Front<S>>) -> MutexGuard<'a, Front<S>> {
        self.work.wait(front).unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops everything: `what` failed and must not be tried again.
    pub(crate) fn fatal(&self, what: &str, error: &std::io::Error) -> Fatal {
        self.front().dead = true;
        self.report(format!("{what} failed in {}: {error}", self.disk.location()))
    }

    fn report(&self, what: String) -> Fatal {
        let fatal = Fatal { what };
        tracing::error!("{fatal}");
        (self.on_fatal)(&fatal);
        fatal
    }

    /// The next batch, if there is anything to do.
    pub(crate) fn take(&self) -> Option<Taken> {
        let mut front = self.front();
        let front = &mut *front;
        if front.dead {
            return None;
        }
        let mut roll = None;
        let frame = (!front.batch.is_empty()).then(|| {
            roll = front.room.place(front.batch.start(), front.batch.frame_len());
            front.batch.take(self.log_id)
        });
        if let Some(frame) = &frame {
            self.hot().push(frame);
        }
        let lsn = front.batch.start();
        if front.room.wants_next(lsn) {
            front.room.next = Next::Preparing;
            self.keeper.nudge(None);
        }
        let checkpoint = &mut front.checkpoint;
        let due = checkpoint.due || lsn - checkpoint.lsn >= self.sizes.checkpoint_bytes;
        let snapshot = (due && !checkpoint.busy && lsn > checkpoint.lsn).then(|| {
            let begun = self.world.mono();
            let (mut bytes, mut usage) = (Sheaf::default(), BTreeMap::new());
            front.state.snapshot(&mut bytes);
            front.state.usage(&mut usage);
            checkpoint.busy = true;
            self.metrics.paused(self.world.mono().since(begun));
            Snapshot { lsn, usage, bytes }
        });
        if !checkpoint.busy || snapshot.is_some() {
            checkpoint.due = false;
        }
        (frame.is_some() || snapshot.is_some()).then_some(Taken {
            frame,
            roll,
            snapshot,
        })
    }

    /// Has the keeper start on the next segment if the log opened with little room.
    pub(crate) fn want_next(&self) {
        let mut front = self.front();
        if front.room.wants_next(front.batch.start()) {
            front.room.next = Next::Preparing;
            self.keeper.nudge(None);
        }
    }

    /// Lets other processes open the directory.
    pub(crate) fn unlock(&self) {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Everything below `lsn` is durable: lets the replies go.
    pub(crate) fn complete(&self, lsn: u64) {
        self.synced.store(lsn, Ordering::Release);
        let ready: Vec<Waker> = {
            let mut waiters = self.waiters();
            waiters
                .extract_if(.., |(wanted, _)| *wanted <= lsn)
                .map(|(_, waker)| waker)
                .collect()
        };
        ready.into_iter().for_each(Waker::wake);
        self.room.notify_waiters();
    }

    /// Has `waker` called once everything below `lsn` is durable.
    pub(crate) fn wake_at(&self, lsn: u64, waker: &Waker) {
        self.waiters().push((lsn, waker.clone()));
    }

    /// Whether everything below `lsn` is durable.
    pub(crate) fn is_durable(&self, lsn: u64) -> bool {
        self.synced.load(Ordering::Acquire) >= lsn
    }

    fn waiters(&self) -> MutexGuard<'_, Vec<(u64, Waker)>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hot(&self) -> MutexGuard<'_, Hot> {
        self.hot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cold(&self) -> MutexGuard<'_, Cold> {
        self.cold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: State> Log<S> {
    /// Decides a command, appends and applies its records; returns the reply once what it waits for is durable.
    ///
    /// `decide` only looks; it runs under the lock, at once, in order with all others. When the batch or the
    /// segment has no room, the call waits before deciding. If the returned future is dropped while it waits for
    /// the disk, the command has happened all the same.
    pub async fn commit<Rec, R, E>(
        &self,
        decide: impl FnOnce(&S, Now) -> Result<Decision<Rec, R>, E>,
    ) -> Result<R, Failure<E>>
    where
        Rec: Into<S::Record>,
    {
        let mut decide = Some(decide);
        let outcome = match self.decide(&mut decide) {
            Some(outcome) => outcome,
            None => self.decide_with_room(&mut decide).await,
        };
        let Decided { reply, wait, begins } = outcome?;
        if begins {
            Gather::new(&self.0).await;
        }
        self.durable(wait).await;
        Ok(reply)
    }

    async fn decide_with_room<Rec, R, E>(
        &self,
        decide: &mut Option<impl FnOnce(&S, Now) -> Result<Decision<Rec, R>, E>>,
    ) -> Result<Decided<R>, Failure<E>>
    where
        Rec: Into<S::Record>,
    {
        loop {
            // Registered before the attempt, so that room made in between is not missed.
            let mut room = pin!(self.0.room.notified());
            room.as_mut().enable();
            if let Some(outcome) = self.decide(decide) {
                return outcome;
            }
            room.await;
        }
    }

    /// One attempt at a command: `None`, with `decide` untouched, if there is no room for it now; else the
    /// reply and the position that must be durable before it may leave.
    pub fn attempt<Rec, R, E>(
        &self,
        decide: &mut Option<impl FnOnce(&S, Now) -> Result<Decision<Rec, R>, E>>,
    ) -> Option<Result<(R, u64), Failure<E>>>
    where
        Rec: Into<S::Record>,
    {
        let outcome = self.decide(decide)?;
        Some(outcome.map(|decided| {
            if decided.begins {
                self.0.work.notify_one();
            }
            (decided.reply, decided.wait)
        }))
    }

    /// As [`Log::attempt`], but if this begins a batch, the caller has to wake the committer.
    fn decide<Rec, R, E>(
        &self,
        decide: &mut Option<impl FnOnce(&S, Now) -> Result<Decision<Rec, R>, E>>,
    ) -> Option<Result<Decided<R>, Failure<E>>>
    where
        Rec: Into<S::Record>,
    {
        let shared = &*self.0;
        let mut front = shared.front();
        if front.closing || front.dead {
            return Some(Err(Unavailable::Stopping.into()));
        }
        if front.room.admission(&front.batch, &shared.sizes) == Admission::Wait {
            return None;
        }
        let now = shared.world.now();
        front.advance(now);
        let decision = match decide.take()?(&front.state, now) {
            Ok(decision) => decision,
            Err(refusal) => return Some(Err(Failure::Refused(refusal))),
        };
        let idle = front.batch.is_empty();
        let records = decision.records.len() as u64;
        let appended = front.append(decision.records, &shared.sizes);
        front.state.settle();
        if let Err(unavailable) = appended {
            return Some(Err(unavailable.into()));
        }
        shared.metrics.records.fetch_add(records, Relaxed);
        Some(Ok(Decided {
            reply: decision.reply,
            wait: match decision.wait {
                Wait::Own => front.batch.end(),
                Wait::UpTo(lsn) => lsn,
            },
            begins: idle && !front.batch.is_empty(),
        }))
    }

    /// Looks at the state; the answer waits until all that it may have seen is durable.
    pub async fn read<R>(&self, f: impl FnOnce(&S, Now) -> R) -> R {
        let (reply, seen) = self.look(f);
        self.durable(seen).await;
        reply
    }

    /// Looks at the state without waiting: for metrics and for people.
    pub fn peek<R>(&self, f: impl FnOnce(&S, Now) -> R) -> R {
        self.look(f).0
    }

    /// Looks at the state as it is now, whether or not the timers have come to it yet: a lease that is over is no
    /// longer counted. Also returns the end of what was seen.
    fn look<R>(&self, f: impl FnOnce(&S, Now) -> R) -> (R, u64) {
        let mut front = self.0.front();
        let now = self.0.world.now();
        front.advance(now);
        front.state.settle();
        (f(&front.state, now), front.batch.end())
    }

    /// Changes what is not logged.
    pub fn volatile<R>(&self, f: impl FnOnce(&mut S, Now) -> R) -> R {
        let mut front = self.0.front();
        front.applying = true;
        let reply = f(&mut front.state, self.0.world.now());
        front.state.settle();
        front.applying = false;
        reply
    }

    /// Resolves once everything below `lsn` is durable; never, if the disk failed.
    pub fn durable(&self, lsn: u64) -> impl Future<Output = ()> + Send + '_ {
        Durable::new(&self.0, lsn)
    }

    /// Everything below this position is durable.
    pub fn synced(&self) -> u64 {
        self.0.synced.load(Ordering::Acquire)
    }

    /// The bytes at `places` (records or parts of them), in order: from memory, or else from disk on a helper
    /// thread. What was damaged on disk is found by the checksum that such parts carry.
    pub async fn fetch(&self, places: Vec<Place>) -> Result<Vec<Bytes>, Unavailable> {
        let mut found: Vec<Option<Bytes>> = places.iter().map(|p| self.in_memory(*p)).collect();
        if found.iter().any(Option::is_none) {
            let log = self.clone();
            let read = tokio::task::spawn_blocking(move || {
                for (slot, place) in found.iter_mut().zip(&places) {
                    if slot.is_none() {
                        *slot = Some(log.on_disk(*place)?);
                    }
                }
                Ok(found)
            });
            found = read
                .await
                .map_err(|e| Unavailable::Unreadable(format!("the reader ended: {e}")))??;
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// As [`Log::fetch`], on this thread.
    pub fn fetch_blocking(&self, places: &[Place]) -> Result<Vec<Bytes>, Unavailable> {
        let one = |place: &Place| self.in_memory(*place).map_or_else(|| self.on_disk(*place), Ok);
        places.iter().map(one).collect()
    }

    fn in_memory(&self, place: Place) -> Option<Bytes> {
        let hot = || self.0.hot().get(place);
        // A record is in the batch, or in a frame taken from it, or synced to disk; looked for in an order in
        // which it cannot slip by.
        hot().or_else(|| {
            if place.end() <= self.synced() {
                return self.0.cold().get(place);
            }
            let pending = self.0.front().batch.get(place);
            pending.or_else(hot)
        })
    }

    /// Reads a place together with its surroundings, which are kept for a while.
    fn on_disk(&self, place: Place) -> Result<Bytes, Unavailable> {
        if let Some(bytes) = self.0.cold().get(place) {
            return Ok(bytes);
        }
        let Place { lsn, len } = place;
        let segments = &self.0.segments;
        let gone = || Unavailable::Unreadable(format!("position {lsn:#x} is no longer in the log"));
        // Looked at first: a segment that begins later cannot hold anything below this.
        let synced = self.synced();
        let segment = segments.holding(lsn).ok_or_else(gone)?;
        let block = Cold::block(place, segment.base..synced.min(segments.end_of(&segment)));
        let bytes = segment.read(block).map_err(|e| {
            let name = segment_name(segment.base);
            let what = format!("{len} bytes at position {lsn:#x}, in {name}: {e}");
            tracing::error!("cannot read {what}");
            Unavailable::Unreadable(what)
        })?;
        self.0.metrics.disk_reads.fetch_add(1, Relaxed);
        // A segment leaves the map before its file is used again: if it is still there, this was its content.
        match segments.holding(lsn) {
            Some(still) if Arc::ptr_eq(&still, &segment) => {}
            _ => return Err(gone()),
        }
        let from = (lsn - block.lsn) as usize;
        let found = bytes.slice(from..from + len as usize);
        self.0.cold().put(block.lsn, bytes);
        Ok(found)
    }

    /// The counters now.
    pub fn metrics(&self) -> LogMetrics {
        let shared = &*self.0;
        let (pending_bytes, checkpoint_lsn, full) = {
            let front = shared.front();
            let full = matches!(front.room.next, Next::Full(_));
            (
                front.batch.end() - front.batch.start(),
                front.checkpoint.lsn,
                full,
            )
        };
        LogMetrics {
            segments: shared.segments.len() as u64,
            segment_bytes: shared.segments.bytes(),
            synced_lsn: self.synced(),
            checkpoint_lsn,
            pending_bytes,
            full,
            ..shared.metrics.snapshot()
        }
    }
}

/// What a command came to.
struct Decided<R> {
    reply: R,
    /// The position that must be durable before the reply may leave.
    wait: u64,
    /// Whether it is the first of its batch: the committer sleeps, unless it is at the batch before.
    begins: bool,
}
