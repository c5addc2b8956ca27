//! Opening a log, and the two threads that carry it.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::committer::Committer;
use crate::disk::Disk;
use crate::keeper::Keeper;
use crate::log::{Log, Shared};
use crate::open_error::OpenError;
use crate::options::Options;
use crate::recovery::{Recovery, recover};
use crate::state::State;

/// A log that was opened, and those who carry it.
pub struct Opened<S: State> {
    /// The log.
    pub log: Log<S>,
    /// Writes it.
    pub committer: Committer<S>,
    /// Keeps house.
    pub keeper: Keeper<S>,
    /// What opening found.
    pub recovery: Recovery,
}

impl<S: State> Log<S> {
    /// Opens the log on `disk`, creating it if there is none. Nothing moves before the committer and the keeper
    /// are stepped, by [`Threads`] or by a simulation.
    pub fn open(options: &Options<S::Settings>, disk: Arc<dyn Disk>) -> Result<Opened<S>, OpenError> {
        options.sizes.check().map_err(OpenError::Sizes)?;
        let guard = disk.lock().map_err(|why| OpenError::Locked {
            location: disk.location(),
            why,
        })?;
        let found = recover::<S>(options, &*disk)?;
        let report = found.report;
        tracing::info!(
            "opened the log in {}: {} records in {} frames after checkpoint {:#x}, end {:#x}",
            disk.location(),
            report.records,
            report.frames,
            report.checkpoint.unwrap_or(0),
            report.end
        );
        let shared = Arc::new(Shared::new(
            found.start,
            disk,
            guard,
            options.world.clone(),
            options.sizes,
            options.on_fatal.clone(),
        ));
        shared.want_next();
        let committer = Committer::new(shared.clone(), found.current);
        let interval = options.checkpoint_interval;
        let keeper = Keeper::new(shared.clone(), interval, found.spares, found.next_spare);
        Ok(Opened {
            log: Log(shared),
            committer,
            keeper,
            recovery: report,
        })
    }
}

/// The committer's and the keeper's threads.
pub struct Threads<S: State> {
    log: Log<S>,
    committer: JoinHandle<Committer<S>>,
    keeper: JoinHandle<Keeper<S>>,
}

/// Sees its thread panic, without which the log would hang for ever instead of ending.
struct Witness<S: State>(Arc<Shared<S>>);

impl<S: State> Drop for Witness<S> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0
                .fatal("a thread of the store", &io::Error::other("panicked"));
        }
    }
}

impl<S: State> Threads<S> {
    /// Starts both.
    pub fn start(opened: Opened<S>) -> io::Result<Threads<S>> {
        let Opened {
            log,
            committer,
            keeper,
            ..
        } = opened;
        let (committer_witness, keeper_witness) = (Witness(log.0.clone()), Witness(log.0.clone()));
        let thread = |name: &str| std::thread::Builder::new().name(name.into());
        Ok(Threads {
            log,
            committer: thread("log-committer").spawn(move || {
                let _witness = committer_witness;
                committer.run()
            })?,
            keeper: thread("log-keeper").spawn(move || {
                let _witness = keeper_witness;
                keeper.run()
            })?,
        })
    }

    /// Takes no more commands, makes everything durable that was taken, and ends both threads; with
    /// `checkpoint`, the next start need not replay anything. Blocks.
    pub fn stop(self, checkpoint: bool) {
        let shared = &self.log.0;
        {
            let mut front = shared.front();
            front.closing = true;
            front.quit = true;
        }
        shared.room.notify_waiters();
        shared.work.notify_one();
        let committer = self.committer.join();
        shared.keeper.nudge(None);
        let keeper = self.keeper.join();
        if let (Ok(mut committer), Ok(mut keeper), true) = (committer, keeper, checkpoint) {
            // The keeper may have left with a snapshot in its box: that one first, then one of the very end. A
            // failure has been reported by then, and only costs the next start a longer replay.
            let _ = keeper.step();
            shared.front().checkpoint.due = true;
            let _ = committer.step();
            let _ = keeper.step();
        }
        shared.unlock();
    }
}
