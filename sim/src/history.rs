//! One history: several lives of a store on one disk, each ended by a crash.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use tsugite_base::rng::SplitMix64;
use tsugite_base::{Now, Sheaf, World};
use tsugite_broker::{Content, DeleteMessages, Lease, Message};
use tsugite_checker::{Event, Received, Reply as Told, Rules, What, check};
use tsugite_log::disk::sim::{Crash, Fault, Image, SimDisk};
use tsugite_log::{Committer, Domains, Keeper, Log, OpenError, Opened, Options, Settings, State as _};

use crate::machine::{Journal, Machine};
use crate::notebook::Notebook;
use crate::outcome::{Bug, Outcome};
use crate::repeats::Repeats;
use crate::scene::{self, Hand, QUEUES, SIZES};
use crate::violation::Violation;

/// A reply that waits for the disk.
pub(crate) enum Reply {
    /// Of a call on queues, for the checker.
    Told(u64, Told),
    /// Of a receive: the call, the queue, and what is still to be read.
    Received(u64, String, Vec<Lease>),
    Put(String, u32),
}

/// A message that was received and may be deleted.
pub(crate) struct Held {
    pub(crate) queue: String,
    pub(crate) handle: String,
}

/// A store while it runs.
pub(crate) struct Life {
    pub(crate) disk: SimDisk,
    pub(crate) log: Log<Machine>,
    pub(crate) committer: Committer<Machine>,
    pub(crate) keeper: Keeper<Machine>,
    /// Replies, in the order of their commands, with the positions that they wait for.
    pub(crate) waiting: VecDeque<(u64, Reply)>,
    /// A write failed: nothing moves any more.
    pub(crate) dead: bool,
}

pub(crate) struct History {
    pub(crate) rng: SplitMix64,
    pub(crate) bug: Bug,
    pub(crate) hand: Arc<Hand>,
    pub(crate) world: World,
    pub(crate) journal: Journal,
    pub(crate) notebook: Notebook,
    pub(crate) held: Vec<Held>,
    /// The queues that clients use.
    pub(crate) queues: &'static [&'static str],
    pub(crate) repeats: Repeats,
    /// What clients asked and were told, for the checker.
    pub(crate) events: Vec<Event>,
    pub(crate) ops: u64,
    /// The host's clock was set back while the process was down: leases last longer than they say.
    pub(crate) slowed: bool,
    /// From where to where the records of each decision lie: recovery must not stop between.
    pub(crate) bounds: Vec<(u64, u64)>,
    /// The highest position that a sent reply waited for.
    pub(crate) acknowledged: u64,
    /// What the scene needs was created and acknowledged.
    pub(crate) furnished: bool,
    pub(crate) numbers: u32,
    pub(crate) outcome: Outcome,
    pub(crate) digest: DefaultHasher,
}

/// Plays the history of `seed`.
pub fn run(seed: u64, bug: Bug) -> Result<Outcome, Violation> {
    new(seed, bug).play(seed)
}

/// What clients asked and were told in the history of `seed`.
pub fn events(seed: u64, bug: Bug) -> Vec<Event> {
    let mut history = new(seed, bug);
    // What is wrong with it is for others to find out.
    let _ = history.play(seed);
    history.events
}

fn new(seed: u64, bug: Bug) -> History {
    let hand = Arc::<Hand>::default();
    hand.advance(1_700_000_000_000);
    History {
        rng: SplitMix64::new(seed),
        bug,
        world: scene::world(&hand, seed),
        hand,
        journal: Journal::default(),
        notebook: Notebook::default(),
        held: Vec::new(),
        queues: scene::SCENES[(seed % 3) as usize],
        repeats: Repeats::default(),
        events: Vec::new(),
        ops: 0,
        slowed: false,
        bounds: Vec::new(),
        acknowledged: 0,
        furnished: false,
        numbers: 0,
        outcome: Outcome::default(),
        digest: DefaultHasher::new(),
    }
}

impl History {
    fn play(&mut self, seed: u64) -> Result<Outcome, Violation> {
        self.declare();
        let lives = 2 + self.rng.below(4);
        let mut image = Image::new();
        for life in 0..lives {
            let last = life + 1 == lives;
            image = self
                .live(image, last)
                .map_err(|what| Violation { seed, life, what })?;
        }
        let report = check(&self.events, Rules::default());
        if let Some(first) = report.violations.first() {
            let what = format!("{first} ({} in all)", report.violations.len());
            let life = lives - 1;
            return Err(Violation { seed, life, what });
        }
        self.outcome.deliveries = report.deliveries as u64;
        self.outcome.unknown = report.unknown as u64;
        image.hash(&mut self.digest);
        self.outcome.digest = self.digest.finish();
        Ok(self.outcome.clone())
    }

    /// One life, from a start to a crash; the last one ends by emptying all queues instead.
    fn live(&mut self, image: Image, last: bool) -> Result<Image, String> {
        let disk = SimDisk::new(self.rng.next_u64(), image);
        if !last {
            self.set_trap(&disk);
        }
        if self.bug == Bug::LazySyncs {
            disk.ignore_syncs(true);
        }
        let mut image = None;
        match self.open(&disk)? {
            None if last => return Err("the store does not open on a sound disk".into()),
            None => {}
            Some(mut life) => {
                let steps = 5 + self.rng.below(60);
                for _ in 0..steps {
                    self.step(&mut life)?;
                    if life.dead {
                        break;
                    }
                }
                if last {
                    self.empty(&mut life)?;
                    image = Some(disk.image());
                }
                let metrics = life.log.metrics();
                self.outcome.dropped += metrics.dropped_segments;
                self.outcome.copied += metrics.relocated_messages;
            }
        }
        disk.trace().hash(&mut self.digest);
        self.outcome.crashes += 1;
        self.note(What::Crash);
        // No start is so quick that two leases, before it and after it, begin at the same time.
        self.hand.advance(1);
        let brief = self.queues.iter().any(|queue| scene::is_brief(queue));
        if self.rng.below(8) == 0 && !brief {
            self.hand.set_back(self.rng.below(5_000));
            self.slowed = true;
        }
        // Other clients go on with the handles, or none does. With a clock that went back it could not be told which of two
        // leases is later, of which the crash forgot one.
        if self.slowed || self.rng.below(2) == 0 {
            self.held.clear();
        }
        let crash = match self.rng.below(4) {
            0 => Crash::Process,
            _ => Crash::Power,
        };
        let image = image.unwrap_or_else(|| disk.crash(crash));
        if !last && self.rng.below(4) == 0 {
            self.flip(&image)?;
        }
        Ok(image)
    }

    /// Tells the checker of the queues.
    fn declare(&mut self) {
        for name in QUEUES {
            self.note(What::Queue(scene::declared(name)));
        }
    }

    pub(crate) fn note(&mut self, what: What) {
        let at = self.hand.passed();
        self.events.push(Event { at, what });
    }

    /// What goes wrong in this life, beside its end.
    fn set_trap(&mut self, disk: &SimDisk) {
        match self.rng.below(8) {
            0..5 => disk.fail(self.rng.below(60), Fault::Halt),
            5 => disk.fail(self.rng.below(80), Fault::Error),
            6 => {
                let used: u64 = disk.image().values().map(|bytes| bytes.len() as u64).sum();
                disk.set_capacity(used.max(9 * 1024) + self.rng.below(24 * 1024));
            }
            _ => {}
        }
    }

    /// Opens the store and judges what was recovered; `None` if the disk failed meanwhile.
    fn open(&mut self, disk: &SimDisk) -> Result<Option<Life>, String> {
        let options = self.options(&self.journal);
        if self.bug == Bug::TrustingRestart {
            disk.ignore_syncs(true);
        }
        let Opened {
            log,
            committer,
            keeper,
            recovery,
        } = match Log::<Machine>::open(&options, Arc::new(disk.clone())) {
            Ok(opened) => opened,
            Err(OpenError::Io { .. }) => return Ok(None),
            Err(other) => return Err(format!("refused after a mere crash: {other}")),
        };
        disk.ignore_syncs(self.bug == Bug::LazySyncs);
        self.outcome.torn += u64::from(recovery.torn.is_some());
        self.outcome.checkpoints += u64::from(recovery.checkpoint.is_some());
        if recovery.end < self.acknowledged {
            return Err(format!(
                "acknowledged up to {:#x}, recovered up to {:#x}",
                self.acknowledged, recovery.end
            ));
        }
        if let Some((from, to)) = self
            .bounds
            .iter()
            .find(|(from, to)| *from < recovery.end && recovery.end < *to)
        {
            return Err(format!("half of the command at {from:#x}..{to:#x} was recovered"));
        }
        self.journal.cut(recovery.end);
        self.bounds.retain(|(_, to)| *to <= recovery.end);
        self.same_state(&log, &self.journal)?;
        // What is shown from now on must stay.
        self.acknowledged = recovery.end;
        let instances: Vec<String> = self.notebook.instances().cloned().collect();
        for instance in instances {
            let version = log.peek(|machine, _| version(&machine.domains, &instance));
            self.notebook.found(&instance, version)?;
        }
        Ok(Some(Life {
            disk: disk.clone(),
            log,
            committer,
            keeper,
            waiting: VecDeque::new(),
            dead: false,
        }))
    }

    /// How the store is opened.
    pub(crate) fn options(&self, journal: &Journal) -> Options<Journal> {
        Options {
            sizes: SIZES,
            checkpoint_interval: Duration::from_secs(20),
            ..Options::new(self.world.clone(), journal.clone())
        }
    }

    /// The store has the state that the records of the journal make.
    pub(crate) fn same_state(&self, log: &Log<Machine>, journal: &Journal) -> Result<(), String> {
        let expected = journal.replayed(self.world.now()).map_err(|e| e.to_string())?;
        let mut found = Sheaf::default();
        log.peek(|machine, _| machine.snapshot(&mut found));
        let found = found.to_vec();
        if found != expected && self.later(&found)? != self.later(&expected)? {
            return Err("the recovered state is not that of its records".into());
        }
        Ok(())
    }

    /// A snapshot, a minute on. A checkpoint may know a later time than the records do, which shows when the
    /// host's clock was set back meanwhile; nothing else may differ.
    fn later(&self, snapshot: &[u8]) -> Result<Vec<u8>, String> {
        let now = self.world.now();
        let domains = Domains::restore(&Settings::default(), Some(snapshot), now);
        let mut domains = domains.map_err(|e| e.to_string())?;
        domains.advance(Now::at(now.steady.millis() + 60_000));
        let mut out = Sheaf::default();
        domains.snapshot(&mut out);
        Ok(out.to_vec())
    }

    /// Something happens.
    fn step(&mut self, life: &mut Life) -> Result<(), String> {
        match self.rng.below(16) {
            0..10 => self.command(life),
            10..14 => life.dead |= life.committer.step().is_err(),
            14 => life.dead |= life.keeper.step().is_err(),
            _ => {
                // Now and then past the five minutes for which a FIFO queue remembers; with a clock that was set back, it
                // could not be said where they end.
                let pause = self.rng.below(40) == 0 && !self.slowed;
                self.hand
                    .advance(self.rng.below(20_000) + u64::from(pause) * 330_000);
                if self.rng.below(4) == 0 {
                    let back = self.rng.below(2) == 0;
                    self.hand.step_wall(back, self.rng.below(100_000_000));
                }
                if self.rng.below(8) == 0 {
                    life.disk.set_capacity(u64::MAX);
                }
            }
        }
        self.replies(life)
    }

    /// Sends the replies that may be sent.
    fn replies(&mut self, life: &mut Life) -> Result<(), String> {
        let mut held_back = VecDeque::new();
        while let Some((wait, reply)) = life.waiting.pop_front() {
            if wait > life.log.synced() && self.bug != Bug::EarlyReplies {
                held_back.push_back((wait, reply));
                continue;
            }
            self.acknowledged = self.acknowledged.max(wait);
            self.outcome.replies += 1;
            match reply {
                Reply::Told(op, reply) => self.note(What::Done { op, reply }),
                Reply::Put(instance, version) => self.notebook.put(&instance, version),
                Reply::Received(op, queue, leases) => self.received(life, op, &queue, leases)?,
            }
        }
        life.waiting = held_back;
        Ok(())
    }

    /// A client reads what it was given.
    fn received(&mut self, life: &Life, op: u64, queue: &str, leases: Vec<Lease>) -> Result<(), String> {
        let mut messages = Vec::with_capacity(leases.len());
        let mut announced = Vec::new();
        for lease in leases {
            let mut places = vec![lease.payload];
            places.extend(lease.delivery);
            let mut bytes = life.log.fetch_blocking(&places);
            if bytes.is_err() {
                // Copied elsewhere while the reply waited, and its segment dropped?
                let found = life
                    .log
                    .peek(|machine, _| machine.domains.broker.whereabouts(&lease.handle));
                if let Some((payload, delivery)) = found.filter(|(payload, _)| *payload != lease.payload) {
                    places = vec![payload];
                    places.extend(delivery);
                    bytes = life.log.fetch_blocking(&places);
                    self.outcome.found_again += u64::from(bytes.is_ok());
                }
            }
            // The disk is gone, or a message was deleted and its segment with it while the reply waited: no reply.
            let Ok(bytes) = bytes else {
                return Ok(());
            };
            let message = Message::read(lease, &bytes[0], bytes.get(1).map(|b| &b[..]));
            let message = message.map_err(|e| format!("a message of {queue} cannot be read: {e}"))?;
            let body = match message.content {
                Content::Plain { body, .. } => body,
                Content::Announced(_) if scene::is_outbox(queue) => {
                    announced.push(message.handle);
                    continue;
                }
                _ => return Err("an envelope on a raw subscription".into()),
            };
            let source = message.dead_letter_source.as_deref();
            messages.push(Received {
                id: message.id.to_string(),
                body,
                handle: message.handle,
                count: message.receive_count,
                group: message.group,
                seq: message.sequence,
                source: source.and_then(|arn| arn.rsplit(':').next()).map(str::to_owned),
            });
        }
        if !announced.is_empty() {
            let command = DeleteMessages {
                queue: scene::queue(queue),
                handles: announced,
            };
            self.give(life, |d, now| d.broker.delete(&command, now));
        }
        let held = messages.iter().map(|message| Held {
            queue: queue.to_owned(),
            handle: message.handle.clone(),
        });
        self.held.extend(held);
        let reply = Told::Received(messages);
        self.note(What::Done { op, reply });
        Ok(())
    }

    /// With every reply sent, counters are exact.
    fn counters(&mut self, life: &Life) {
        if self.slowed {
            return;
        }
        let now = self.world.now();
        // As the clock's thread does: deadlines may have passed since the last command.
        life.log.volatile(tsugite_log::State::advance);
        let stats = life
            .log
            .peek(|machine, _| machine.domains.broker.queue_stats(now));
        for stats in stats {
            self.note(What::Counters {
                queue: stats.queue.name.to_string(),
                visible: stats.visible,
                in_flight: stats.in_flight,
                delayed: stats.delayed,
            });
        }
    }

    /// Receives and deletes everything: what was acknowledged must come.
    fn empty(&mut self, life: &mut Life) -> Result<(), String> {
        self.settle(life)?;
        self.counters(life);
        let mut idle = 0;
        while idle < 3 {
            self.hand.advance(61_000);
            let mut some = !self.furnished;
            if some {
                self.furnish(life);
            }
            for queue in self.queues {
                some |= self.receive(life, queue, false);
                self.settle(life)?;
                for held in std::mem::take(&mut self.held) {
                    self.delete_held(life, vec![held]);
                    self.settle(life)?;
                }
            }
            idle = if some { 0 } else { idle + 1 };
        }
        self.note(What::Drained);
        Ok(())
    }

    fn settle(&mut self, life: &mut Life) -> Result<(), String> {
        while life.committer.step().map_err(|e| e.to_string())? {}
        life.keeper.step().map_err(|e| e.to_string())?;
        self.replies(life)
    }
}

/// The version of an instance; 0 if it is not registered.
fn version(domains: &Domains, instance: &str) -> u32 {
    let Ok((_, instances)) = domains.registry.show_service("internal", "kitchen") else {
        return 0;
    };
    let found = instances.iter().find(|i| &*i.id == instance);
    let version = found.and_then(|i| i.attributes.get("version")?.parse().ok());
    version.unwrap_or(0)
}
