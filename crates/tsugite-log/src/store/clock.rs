//! Time's thread: lets the machines see deadlines pass when no command comes by, and logs leases that ran out.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tsugite_base::{Timestamp, World};

use super::Live;
use crate::log::Log;

/// Slept at most, deadline or not: the clock of a test may jump without [`super::LogStore::clock_moved`].
const LONGEST: Duration = Duration::from_secs(1);
/// Between two attempts to log expired leases while the log has no room.
const RETRY: Duration = Duration::from_millis(100);

/// When the clock thread is to look next.
#[derive(Default)]
pub(super) struct Alarm {
    state: Mutex<AlarmState>,
    bell: Condvar,
}

struct AlarmState {
    at: Timestamp,
    stopped: bool,
}

impl Default for AlarmState {
    fn default() -> AlarmState {
        AlarmState {
            at: Timestamp::NEVER,
            stopped: false,
        }
    }
}

impl Alarm {
    /// Wakes the thread at `at`, on the steady clock, if it would sleep longer.
    pub(super) fn set(&self, at: Timestamp) {
        let mut state = self.lock();
        if at < state.at {
            state.at = at;
            self.bell.notify_one();
        }
    }

    /// Wakes the thread now, whatever it waits for.
    pub(super) fn ring(&self) {
        self.set(Timestamp(0));
    }

    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.bell.notify_one();
    }

    /// Sleeps until the alarm; `false` if there is nothing to do any more.
    fn wait(&self, world: &World) -> bool {
        let mut state = self.lock();
        loop {
            let now = world.now().steady;
            if state.stopped {
                return false;
            }
            if state.at <= now {
                // Set anew by whoever sees a deadline from here on.
                state.at = Timestamp::NEVER;
                return true;
            }
            let sleep = if state.at == Timestamp::NEVER {
                LONGEST
            } else {
                state.at.since(now).min(LONGEST)
            };
            let woken = self.bell.wait_timeout(state, sleep);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, AlarmState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the thread.
pub(super) fn start(log: Log<Live>, world: World, alarm: Arc<Alarm>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("log-clock".into())
        .spawn(move || {
            while alarm.wait(&world) {
                log.volatile(super::State::advance);
                if !expire(&log) {
                    alarm.set(world.now().steady + RETRY);
                }
            }
        })
}

/// Logs the leases that ran out; `false` if the log has no room for that now.
fn expire(log: &Log<Live>) -> bool {
    let overdue = log.peek(|live, now| !live.domains.registry.expire(now).records.is_empty());
    if !overdue {
        return true;
    }
    let mut decide = Some(|live: &Live, now| Ok::<_, Infallible>(live.domains.registry.expire(now)));
    // The reply is of no use to anybody here, so nothing waits for the sync.
    matches!(log.attempt(&mut decide), Some(Ok(_)))
}
