//! The thread that carries out message move tasks and replays: looks, reads the bytes, commits the step, again and
//! again.
//!
//! It keeps nothing that matters: which tasks run and how far they are is the machine's, so after a restart it goes on
//! where the log ends. A rate is kept by the store's clock, counted from the task's start or from what stopped it last:
//! a restart, a full disk.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tsugite_base::{Place, Timestamp, Uuid, World};
use tsugite_broker::{MoveBatch, MoveCandidate, MoveMessage, MoveProgress, MoveStep, RunningMove};
use tsugite_engine::{Failure, Unavailable};

use super::{Live, replays};
use crate::log::Log;

/// Between two attempts while the log has no room in its batch, or when somebody else took what was seen.
pub(super) const RETRY: Duration = Duration::from_millis(5);
/// Between two attempts while the disk is full.
pub(super) const FULL: Duration = Duration::from_secs(1);
/// Between two steps of a task with a rate, unless the rate is slower.
const TICK: Duration = Duration::from_millis(100);

/// Wakes the thread.
#[derive(Default)]
pub(super) struct Bell {
    state: Mutex<BellState>,
    bell: Condvar,
}

#[derive(Default)]
struct BellState {
    rung: bool,
    stopped: bool,
}

impl Bell {
    /// There may be something to do.
    pub(super) fn ring(&self) {
        self.lock().rung = true;
        self.bell.notify_one();
    }

    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.bell.notify_one();
    }

    /// Sleeps until it rings, at most `pause` if there is one; `false` if there is nothing to do any more.
    fn wait(&self, pause: Option<Duration>) -> bool {
        let idle = |state: &mut BellState| !state.rung && !state.stopped;
        let state = self.lock();
        let mut state = match pause {
            None => self
                .bell
                .wait_while(state, idle)
                .unwrap_or_else(PoisonError::into_inner),
            Some(pause) => {
                let woken = self.bell.wait_timeout_while(state, pause, idle);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.rung = false;
        !state.stopped
    }

    fn lock(&self) -> MutexGuard<'_, BellState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the thread.
pub(super) fn start(log: Log<Live>, world: World, bell: Arc<Bell>) -> io::Result<JoinHandle<()>> {
    // What a restart found running is not owed the time of the stop.
    let now = world.now().steady;
    let found = log.peek(|live, now| live.domains.broker.running_moves(now));
    let paces = found
        .into_iter()
        .map(|task| (task.id, Pace::new(now, task.moved)));
    let mut mover = Mover {
        paces: paces.collect(),
        log,
        world,
    };
    std::thread::Builder::new()
        .name("log-mover".into())
        .spawn(move || {
            while let Ok(pause) = mover.round() {
                if !bell.wait(pause) {
                    return;
                }
            }
        })
}

struct Mover {
    log: Log<Live>,
    world: World,
    /// Of each running task.
    paces: HashMap<Uuid, Pace>,
}

/// The store takes no more commands.
pub(super) struct Stopping;

impl Mover {
    /// One step of each running task. Returns how long it may sleep then; for ever, if no task runs.
    fn round(&mut self) -> Result<Option<Duration>, Stopping> {
        let running = self.log.peek(|live, now| live.domains.broker.running_moves(now));
        self.paces
            .retain(|id, _| running.iter().any(|task| task.id == *id));
        let mut pause = None;
        for task in running {
            let wanted = self.turn(task)?;
            pause = Some(pause.map_or(wanted, |pause: Duration| pause.min(wanted)));
        }
        if let Some(wanted) = replays::round(&self.log)? {
            pause = Some(pause.map_or(wanted, |pause| pause.min(wanted)));
        }
        Ok(pause)
    }

    /// One step of a task, and how long to wait for its next.
    fn turn(&mut self, task: RunningMove) -> Result<Duration, Stopping> {
        let now = self.world.now().steady;
        let pace = self.paces.entry(task.id).or_insert(Pace::new(now - task.age, 0));
        let (limit, waited) = (pace.room(task, now), pace.waits);
        match self.step(task, limit) {
            None => Ok(RETRY),
            Some(Ok(progress)) => {
                self.paces.entry(task.id).and_modify(|pace| pace.waits = false);
                Ok(match (progress.running, progress.moved, limit) {
                    (false, ..) | (_, 1.., _) => Duration::ZERO,
                    (true, 0, 0) => interval(task.rate),
                    (true, 0, _) => RETRY,
                })
            }
            Some(Err(Unavailable::Stopping)) => Err(Stopping),
            Some(Err(unavailable)) => {
                if !waited {
                    tracing::warn!("message move task {} waits: {unavailable}", task.id);
                }
                // What was not moved meanwhile is not made up for.
                let mut pace = Pace::new(now, task.moved);
                pace.waits = true;
                self.paces.insert(task.id, pace);
                Ok(FULL)
            }
        }
    }

    /// Moves at most `limit` messages; with none to move, finds out whether the task ends. `None` if the log has no
    /// room for a decision now.
    fn step(&self, task: RunningMove, limit: usize) -> Option<Result<MoveProgress, Unavailable>> {
        let RunningMove { source, id, .. } = task;
        let batch = self
            .log
            .peek(|live, _| live.domains.broker.move_batch(source, id, limit));
        let bytes = self.read(&batch);
        let messages = batch.candidates.iter().zip(&bytes);
        let messages = messages.map(|(&candidate, (payload, delivery))| MoveMessage {
            candidate,
            id: self.world.uuid(),
            payload: payload.as_deref(),
            delivery: delivery.as_deref(),
        });
        let step = MoveStep {
            source,
            task: id,
            looked: batch.looked,
            messages: messages.collect(),
        };
        let mut decide =
            Some(|live: &Live, now| Ok::<_, Infallible>(live.domains.broker.move_step(&step, now)));
        // Nobody waits for the sync: a step that a crash undoes is done again.
        Some(match self.log.attempt(&mut decide)? {
            Ok((progress, _)) => Ok(progress),
            Err(Failure::Unavailable(unavailable)) => Err(unavailable),
            Err(Failure::Refused(never)) => match never {},
        })
    }

    /// The payloads and deliveries of a batch; nothing in the place of a payload of which a part cannot be read.
    fn read(&self, batch: &MoveBatch) -> Vec<(Option<Bytes>, Option<Bytes>)> {
        let read = |of: &MoveCandidate| {
            let places: Vec<Place> = [Some(of.payload), of.delivery].into_iter().flatten().collect();
            let mut bytes = self.log.fetch_blocking(&places).unwrap_or_default().into_iter();
            (bytes.next(), bytes.next())
        };
        batch.candidates.iter().map(read).collect()
    }
}

/// From when on a task's rate is counted.
#[derive(Clone, Copy)]
struct Pace {
    /// On the steady clock.
    since: Timestamp,
    /// What it had moved then.
    moved: u64,
    /// It waits for room on the disk, and that was said.
    waits: bool,
}

impl Pace {
    const fn new(since: Timestamp, moved: u64) -> Pace {
        Pace {
            since,
            moved,
            waits: false,
        }
    }

    /// How many messages a task may move now.
    fn room(&self, task: RunningMove, now: Timestamp) -> usize {
        let Some(rate) = task.rate else {
            return usize::MAX;
        };
        let passed = u64::try_from(now.since(self.since).as_millis()).unwrap_or(u64::MAX);
        let allowed = passed.saturating_mul(rate.into()) / 1_000;
        let room = allowed.saturating_sub(task.moved.saturating_sub(self.moved));
        usize::try_from(room).unwrap_or(usize::MAX)
    }
}

/// Time between two steps of a task that has used up what its rate allows.
fn interval(rate: Option<u32>) -> Duration {
    let message = Duration::from_secs(1) / rate.unwrap_or(u32::MAX).max(1);
    message.max(TICK)
}

#[cfg(test)]
mod tests {
    use tsugite_broker::QueueId;

    use super::*;

    fn task(rate: Option<u32>, moved: u64) -> RunningMove {
        RunningMove {
            source: QueueId(0),
            id: Uuid([0; 16]),
            rate,
            moved,
            age: Duration::ZERO,
        }
    }

    #[test]
    fn a_rate_is_kept_from_where_it_is_counted() {
        let pace = Pace::new(Timestamp(1_000), 100);
        let room = |rate, moved, now| pace.room(task(Some(rate), moved), Timestamp(now));
        assert_eq!(room(10, 100, 1_000), 0);
        assert_eq!(room(10, 100, 1_099), 0);
        assert_eq!(room(10, 100, 1_100), 1);
        assert_eq!(room(10, 101, 1_199), 0);
        assert_eq!(room(500, 100, 2_000), 500);
        assert_eq!(
            room(1, 102, 3_600_000),
            3_597,
            "a clock that jumps lets as much time pass"
        );
        assert_eq!(room(500, 100, 0), 0);
        assert_eq!(pace.room(task(None, 100), Timestamp(1_000)), usize::MAX);
        assert_eq!(interval(Some(1)), Duration::from_secs(1));
        assert_eq!(interval(Some(500)), TICK);
    }

    #[test]
    fn a_bell_wakes_once_and_stops_for_good() {
        let bell = Bell::default();
        bell.ring();
        assert!(bell.wait(None));
        assert!(bell.wait(Some(Duration::ZERO)));
        bell.stop();
        assert!(!bell.wait(None));
        assert!(!bell.wait(Some(Duration::from_secs(60))));
    }
}
