//! The store that the program uses: the machines over the log, with its threads, its timers and its watchers.

#[cfg(test)]
mod battery_tests;
mod clock;
mod messaging;
mod mover;
mod registry;
mod replays;
mod topics;
mod waiting;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;
use tsugite_base::codec::Malformed;
use tsugite_base::{Decision, Now, Place, Sheaf, World};
use tsugite_broker::{Search, Stowed};
use tsugite_engine::{Failure, Unavailable};

pub(crate) use self::waiting::Waiting;
use crate::disk::Disk;
use crate::domains::{Domains, Record, Settings};
use crate::log::Log;
use crate::metrics::LogMetrics;
use crate::open_error::OpenError;
use crate::options::Options;
use crate::recovery::Recovery;
use crate::state::{Growth, State};
use crate::threads::Threads;
use clock::Alarm;
use mover::Bell;

/// Broker and registry over one log. Cheap to clone; all clones are the same store.
///
/// Dropping the last clone without [`LogStore::close`] is safe, as any crash is: what was replied to is on disk.
#[derive(Clone)]
pub struct LogStore(Arc<Inner>);

struct Inner {
    log: Log<Live>,
    world: World,
    waiting: Arc<Waiting>,
    changes: watch::Receiver<u64>,
    outboxes: watch::Receiver<u64>,
    alarm: Arc<Alarm>,
    bell: Arc<Bell>,
    threads: Mutex<Option<Running>>,
    recovery: Recovery,
}

struct Running {
    threads: Threads<Live>,
    clock: std::thread::JoinHandle<()>,
    mover: std::thread::JoinHandle<()>,
}

/// The machines, and those who want to know when they change.
struct Live {
    domains: Domains,
    waiting: Arc<Waiting>,
    changes: watch::Sender<u64>,
    outboxes: watch::Sender<u64>,
    alarm: Arc<Alarm>,
    bell: Arc<Bell>,
}

/// What [`Live`] starts from.
#[derive(Clone)]
struct LiveSettings {
    domains: Settings,
    waiting: Arc<Waiting>,
    changes: watch::Sender<u64>,
    outboxes: watch::Sender<u64>,
    alarm: Arc<Alarm>,
    bell: Arc<Bell>,
}

impl LogStore {
    /// Opens the store on `disk`, or makes one there, and starts its threads. Blocks while the log is replayed.
    pub fn open(options: Options<Settings>, disk: Arc<dyn Disk>) -> Result<LogStore, OpenError> {
        let (sender, changes) = watch::channel(0);
        let (outboxes_sender, outboxes) = watch::channel(0);
        let settings = LiveSettings {
            domains: options.settings,
            waiting: Arc::default(),
            changes: sender,
            outboxes: outboxes_sender,
            alarm: Arc::default(),
            bell: Arc::default(),
        };
        let (waiting, alarm) = (settings.waiting.clone(), settings.alarm.clone());
        let bell = settings.bell.clone();
        let options = Options {
            world: options.world,
            settings,
            sizes: options.sizes,
            checkpoint_interval: options.checkpoint_interval,
            on_fatal: options.on_fatal,
        };
        let opened = Log::<Live>::open(&options, disk)?;
        let (log, recovery) = (opened.log.clone(), opened.recovery.clone());
        let no_thread = |error| OpenError::Io {
            what: "starting a thread of the store".into(),
            error,
        };
        let threads = Threads::start(opened).map_err(no_thread)?;
        let clock = clock::start(log.clone(), options.world.clone(), alarm.clone()).map_err(no_thread)?;
        let mover = mover::start(log.clone(), options.world.clone(), bell.clone()).map_err(no_thread)?;
        Ok(LogStore(Arc::new(Inner {
            log,
            world: options.world,
            waiting,
            changes,
            outboxes,
            alarm,
            bell,
            threads: Mutex::new(Some(Running {
                threads,
                clock,
                mover,
            })),
            recovery,
        })))
    }

    /// Decides a command, appends and applies its records, and returns the reply once what it waits for is
    /// durable. `decide` runs under the store's lock: it must only look, and be quick.
    pub async fn commit<Rec, R, E>(
        &self,
        decide: impl FnOnce(&Domains, Now) -> Result<Decision<Rec, R>, E>,
    ) -> Result<R, Failure<E>>
    where
        Rec: Into<Record>,
    {
        self.0.log.commit(|live, now| decide(&live.domains, now)).await
    }

    /// Looks at the machines; the answer waits until all that it may have seen is durable.
    pub async fn read<R>(&self, f: impl FnOnce(&Domains, Now) -> R) -> R {
        self.0.log.read(|live, now| f(&live.domains, now)).await
    }

    /// Looks at the machines without waiting: for metrics and for people.
    pub fn peek<R>(&self, f: impl FnOnce(&Domains, Now) -> R) -> R {
        self.0.log.peek(|live, now| f(&live.domains, now))
    }

    /// Changes what is not logged: heartbeats, results of checks.
    pub fn volatile<R>(&self, f: impl FnOnce(&mut Domains, Now) -> R) -> R {
        self.0.log.volatile(|live, now| f(&mut live.domains, now))
    }

    /// Says that the world's clock has jumped ahead, as only a virtual one does. On return the machines have seen
    /// every deadline that passed; leases of instances are logged as ended, whoever waits is woken, and move tasks go
    /// on at their rate, at once.
    pub fn clock_moved(&self) {
        self.0.log.volatile(State::advance);
        self.0.alarm.ring();
        self.0.bell.ring();
    }

    /// Bytes of the log at `places`, in order. What was damaged on disk is found by the checksum that message
    /// payloads carry.
    pub async fn fetch(&self, places: Vec<Place>) -> Result<Vec<Bytes>, Unavailable> {
        self.0.log.fetch(places).await
    }

    /// Changes its value after every change of the registry, durable or not.
    pub fn registry_changes(&self) -> watch::Receiver<u64> {
        self.0.changes.clone()
    }

    /// The log's counters.
    pub fn metrics(&self) -> LogMetrics {
        self.0.log.metrics()
    }

    /// What opening found.
    pub fn recovery(&self) -> &Recovery {
        &self.0.recovery
    }

    /// Clock and entropy that the store was opened with.
    pub fn world(&self) -> &World {
        &self.0.world
    }

    pub(crate) fn waiting(&self) -> &Arc<Waiting> {
        &self.0.waiting
    }

    /// Takes no more commands, makes everything durable, writes a checkpoint, ends the threads and frees the
    /// directory. Other clones answer [`Unavailable::Stopping`] from then on.
    pub async fn close(self) {
        // A join error would mean that closing panicked; the threads are gone then, too.
        let _ = tokio::task::spawn_blocking(move || self.close_blocking()).await;
    }

    /// As [`LogStore::close`], on this thread.
    pub fn close_blocking(self) {
        self.0.stop(true);
    }
}

impl Inner {
    fn stop(&self, checkpoint: bool) {
        let running = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            self.alarm.stop();
            self.bell.stop();
            let _ = running.clock.join();
            let _ = running.mover.join();
            running.threads.stop(checkpoint);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop(false);
    }
}

impl State for Live {
    type Settings = LiveSettings;
    type Record = Record;

    fn restore(settings: &LiveSettings, snapshot: Option<&[u8]>, now: Now) -> Result<Live, Malformed> {
        Ok(Live {
            domains: Domains::restore(&settings.domains, snapshot, now)?,
            waiting: settings.waiting.clone(),
            changes: settings.changes.clone(),
            outboxes: settings.outboxes.clone(),
            alarm: settings.alarm.clone(),
            bell: settings.bell.clone(),
        })
    }

    fn snapshot(&self, out: &mut Sheaf) {
        self.domains.snapshot(out);
    }

    fn encode(record: &Record, out: &mut Vec<u8>) {
        Domains::encode(record, out);
    }

    fn decode(bytes: &[u8]) -> Result<Record, Malformed> {
        Domains::decode(bytes)
    }

    fn apply(&mut self, record: Record, place: Place) {
        self.domains.apply(record, place);
    }

    fn usage(&self, out: &mut BTreeMap<u64, u64>) {
        self.domains.usage(out);
    }

    fn survivors(&self, search: &mut Search, looks: usize, bytes: u64, found: &mut Vec<Stowed>) -> bool {
        self.domains.survivors(search, looks, bytes, found)
    }

    fn relocate(&self, found: &[(Stowed, Vec<u8>)], now: Now) -> Vec<Record> {
        self.domains.relocate(found, now)
    }

    fn growth(record: &Record) -> Growth {
        Domains::growth(record)
    }

    fn recovered(&mut self, now: Now) {
        self.domains.recovered(now);
        self.settle();
    }

    fn advance(&mut self, now: Now) {
        self.domains.advance(now);
    }

    fn settle(&mut self) {
        let Domains { broker, registry } = &mut self.domains;
        self.waiting.ring(broker.take_news());
        let replays = broker.take_replay_news();
        if broker.take_move_news() || replays {
            self.bell.ring();
        }
        let change = registry.change();
        self.changes
            .send_if_modified(|seen| std::mem::replace(seen, change) != change);
        let outboxes = broker.outbox_changes();
        self.outboxes
            .send_if_modified(|seen| std::mem::replace(seen, outboxes) != outboxes);
        let deadlines = [broker.next_deadline(), registry.next_deadline()];
        if let Some(next) = deadlines.into_iter().flatten().min() {
            self.alarm.set(next);
        }
    }
}
