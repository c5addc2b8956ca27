//! What all cores share: the published state, and the permits of a half-open circuit.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tsugite_base::Mono;

use super::machine::Circuit;
use super::shard::is_newer;
use super::window::Counts;
use super::{Override, Reason, State};

/// The share of its weight that an endpoint begins with.
const COLD: f64 = 0.1;
/// A lease lives this much longer than the call that it was given for may take.
const GRACE: Duration = Duration::from_secs(1);

/// What the data path must know of the circuit, in one word: generation (32 bits) | reason (8) | mode (8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) generation: u32,
    pub(super) reason: Reason,
    pub(super) state: State,
    /// Calls are let through whatever the state says.
    pub(super) observe: bool,
}

const OBSERVE: u64 = 0x80;

impl Published {
    fn of(circuit: &Circuit) -> Published {
        Published {
            generation: circuit.generation(),
            reason: circuit.reason(),
            state: circuit.state(),
            observe: circuit.wish().is_some_and(|w| w.what == Override::Observe),
        }
    }

    fn pack(self) -> u64 {
        let observe = if self.observe { OBSERVE } else { 0 };
        u64::from(self.generation) << 32 | (self.reason as u64) << 8 | observe | self.state as u64
    }

    fn unpack(word: u64) -> Published {
        let state = match word & 0x7f {
            0 => State::Closed,
            1 => State::Open,
            2 => State::HalfOpen,
            3 => State::ForcedOpen,
            _ => State::Disabled,
        };
        Published {
            generation: (word >> 32) as u32,
            reason: Reason::from_code((word >> 8) as u8),
            state,
            observe: word & OBSERVE != 0,
        }
    }
}

/// The shared part: read by every call, written when the state changes.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Gate {
    word: AtomicU64,
    /// When the state ends, in nanoseconds; all ones if unknown.
    until: AtomicU64,
    /// Healthy median in nanoseconds; 0 if unknown.
    pub(super) median: AtomicU64,
    /// When the circuit last closed, in nanoseconds: where slow start begins.
    closed_since: AtomicU64,
    slow_start: Duration,
    pub(super) slow: Duration,
    pub(super) inflight_slow: bool,
    pub(super) rows: Rows,
    pub(super) permits: Permits,
}

impl Gate {
    pub(super) fn new(circuit: &Circuit) -> Gate {
        let settings = circuit.settings();
        let half_open = &settings.half_open;
        Gate {
            word: AtomicU64::new(Published::of(circuit).pack()),
            until: AtomicU64::new(u64::MAX),
            median: AtomicU64::new(0),
            closed_since: AtomicU64::new(circuit.closed_since().nanos()),
            slow_start: settings.slow_start,
            slow: settings.slow_call_duration,
            inflight_slow: settings.inflight_slow,
            rows: Rows::new(
                settings.consecutive_failures,
                settings.consecutive_connect_failures,
            ),
            permits: Permits::new(half_open.permits, half_open.concurrent, half_open.max_duration),
        }
    }

    pub(super) fn read(&self) -> Published {
        Published::unpack(self.word.load(Ordering::Acquire))
    }

    /// Time until the state ends by itself.
    pub(super) fn remaining(&self, now: Mono) -> Option<Duration> {
        let until = self.until.load(Ordering::Acquire);
        (until != u64::MAX).then(|| Mono(until).since(now))
    }

    /// The share of its weight that an endpoint gets so soon after it closed: from a tenth to all of it.
    pub(super) fn warmth(&self, now: Mono) -> f64 {
        let closed = now.since(Mono(self.closed_since.load(Ordering::Relaxed)));
        if closed >= self.slow_start {
            return 1.0;
        }
        (closed.as_secs_f64() / self.slow_start.as_secs_f64()).max(COLD)
    }

    /// Shows the cores the state of `circuit`. Permits change first: whoever reads the new state finds its permits.
    pub(super) fn publish(&self, circuit: &Circuit) {
        self.until
            .store(circuit.until().map_or(u64::MAX, Mono::nanos), Ordering::Release);
        self.closed_since
            .store(circuit.closed_since().nanos(), Ordering::Release);
        let published = Published::of(circuit);
        if self.read() != published {
            self.permits
                .begin(published.generation, published.state == State::HalfOpen);
            self.word.store(published.pack(), Ordering::Release);
        }
    }
}

/// Failures in a row, exact over all cores: in the order in which their ends were noted here.
///
/// Successes only read, unless they end a row; so cores disturb each other only while calls fail.
#[derive(Debug)]
pub(super) struct Rows {
    failures: u32,
    connects: u32,
    /// Generation (32 bits) | connect failures in a row (16) | failures in a row (16).
    word: AtomicU64,
    /// The row that reached its limit: generation (32 bits) | reason (8). 0: none did.
    tripped: AtomicU64,
}

impl Rows {
    /// A limit of 0 is none.
    fn new(failures: u32, connects: u32) -> Rows {
        Rows {
            failures,
            connects,
            word: AtomicU64::new(0),
            tripped: AtomicU64::new(0),
        }
    }

    const fn is_off(&self) -> bool {
        self.failures == 0 && self.connects == 0
    }

    /// A call of `generation` succeeded.
    pub(super) fn end(&self, generation: u32) {
        let word = self.word.load(Ordering::Relaxed);
        if word as u32 == 0 || (word >> 32) as u32 != generation {
            return;
        }
        let ended = |word: u64| ((word >> 32) as u32 == generation).then_some(u64::from(generation) << 32);
        // Nothing to do if a newer generation took over meanwhile.
        let _ = self
            .word
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, ended);
    }

    /// A call of `generation` failed; `connect`: because there was no connection.
    pub(super) fn add(&self, generation: u32, connect: bool) {
        if self.is_off() {
            return;
        }
        let longer = |word: u64| {
            let of = (word >> 32) as u32;
            let (connects, failures) = match of == generation {
                true => (word >> 16 & 0xffff, word & 0xffff),
                false if is_newer(generation, of) => (0, 0),
                false => return None,
            };
            let connects = if connect { (connects + 1).min(0xffff) } else { 0 };
            Some(u64::from(generation) << 32 | connects << 16 | (failures + 1).min(0xffff))
        };
        let before = self
            .word
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, longer);
        let Some(after) = before.ok().and_then(longer) else {
            return;
        };
        let reached = |row: u64, limit: u32| limit > 0 && row & 0xffff >= u64::from(limit);
        let reason = if reached(after, self.failures) {
            Reason::Consecutive
        } else if reached(after >> 16, self.connects) {
            Reason::Connect
        } else {
            return;
        };
        if self.tripped(generation).is_none() {
            let word = u64::from(generation) << 32 | reason as u64;
            self.tripped.store(word, Ordering::Release);
        }
    }

    /// Why the circuit is to open, if a row of `generation` reached its limit.
    pub(super) fn tripped(&self, generation: u32) -> Option<Reason> {
        let word = self.tripped.load(Ordering::Acquire);
        (word != 0 && (word >> 32) as u32 == generation).then(|| Reason::from_code(word as u8))
    }

    /// Begins again at zero.
    pub(super) fn clear(&self) {
        self.word.store(0, Ordering::Relaxed);
        self.tripped.store(0, Ordering::Release);
    }
}

/// Half-open permits: leases on trial calls.
///
/// `word` is generation (32 bits) | taken in this generation (16) | upstream now (16). The last outlives a change of
/// generation: trial calls of an earlier phase that still run count towards `concurrent`, so at no time are more
/// of them upstream.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Permits {
    word: AtomicU64,
    /// When the first permit of a generation was taken: generation (16 bits) | microseconds (48). 0: not yet.
    first: AtomicU64,
    /// One word for each call that can be upstream; 0 is free.
    leases: Box<[AtomicU64]>,
    permits: u64,
    concurrent: u64,
    longest: Duration,
}

/// A permit in use: a slot and what stands in it.
///
/// Word: start in microseconds, wrapping (36 bits) | longest life in tenths of a second (12) | generation (13) |
/// paused (1) | answered (1) | marked slow (1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    index: u8,
    word: u64,
}

const MARKED: u64 = 1;
const ANSWERED: u64 = 2;
const PAUSED: u64 = 4;
const FLAGS: u64 = MARKED | ANSWERED | PAUSED;
const FLAG_BITS: u32 = 3;
const LEASE_GENERATION: u64 = (1 << 13) - 1;
const LIFE_SHIFT: u32 = 16;
const LIFE: u64 = (1 << 12) - 1;
const START_SHIFT: u32 = 28;
const START: u64 = (1 << 36) - 1;

/// How a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// In time; `true` if it had been counted as slow.
    InTime(bool),
    /// It had expired and was counted as failed then.
    Expired,
}

impl Permits {
    fn new(permits: u16, concurrent: u16, longest: Duration) -> Permits {
        Permits {
            word: AtomicU64::new(0),
            first: AtomicU64::new(0),
            leases: (0..concurrent).map(|_| AtomicU64::new(0)).collect(),
            permits: u64::from(permits),
            concurrent: u64::from(concurrent),
            longest,
        }
    }

    fn update(&self, change: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        self.word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, change)
            .ok()
    }

    /// Starts a generation with all permits, or, if it is not half-open, with none.
    fn begin(&self, generation: u32, half_open: bool) {
        let taken = if half_open { 0 } else { self.permits };
        self.update(|word| Some(u64::from(generation) << 32 | taken << 16 | word & 0xffff));
    }

    /// Takes a permit of `generation` for a call that may last `limit`.
    pub(super) fn take(&self, generation: u32, now: Mono, limit: Option<Duration>) -> Option<Lease> {
        let before = self.update(|word| self.is_free(word, generation).then_some(word + 0x1_0001))?;
        let micros = now.nanos() / 1000;
        if before >> 16 & 0xffff == 0 {
            let _ = self
                .first
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |first| {
                    let stale = first >> 48 != u64::from(generation as u16);
                    // A returned permit may make a later call the first again; the earliest start stands.
                    stale.then_some(u64::from(generation as u16) << 48 | micros & ((1 << 48) - 1))
                });
        }
        let life = limit.map_or(self.longest, |l| l.saturating_add(GRACE));
        let tenths = u64::try_from(life.as_millis().div_ceil(100))
            .unwrap_or(LIFE)
            .clamp(1, LIFE);
        let word = (micros & START) << START_SHIFT
            | tenths << LIFE_SHIFT
            | (u64::from(generation) & LEASE_GENERATION) << FLAG_BITS;
        Some(self.settle(word))
    }

    /// Finds a free slot. There is one: a slot is freed before the call stops counting as upstream, and no more
    /// calls are upstream than there are slots.
    fn settle(&self, word: u64) -> Lease {
        loop {
            for (index, slot) in self.leases.iter().enumerate() {
                if slot
                    .compare_exchange(0, word, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
                {
                    return Lease {
                        index: index as u8,
                        word,
                    };
                }
            }
            std::hint::spin_loop();
        }
    }

    /// The call was answered: from now on it is not marked slow, and if it outlives its lease it has succeeded.
    pub(super) fn answered(&self, lease: Lease) {
        self.change(lease, |word| word | ANSWERED);
    }

    /// The call waits for its client: until it goes on it is not marked slow.
    pub(super) fn pause(&self, lease: Lease) {
        self.change(lease, |word| word | PAUSED);
    }

    /// The call goes on: its life begins anew.
    pub(super) fn resume(&self, lease: Lease, now: Mono) -> Lease {
        let start = ((now.nanos() / 1000) & START) << START_SHIFT;
        let anew = Lease {
            word: lease.word & !(START << START_SHIFT) | start,
            ..lease
        };
        match self.change(lease, |word| anew.word | word & (MARKED | ANSWERED)) {
            Some(_) => anew,
            None => lease,
        }
    }

    /// Changes the word of a lease. `None` if it has expired; else the word before.
    fn change(&self, lease: Lease, to: impl Fn(u64) -> u64) -> Option<u64> {
        let slot = &self.leases[usize::from(lease.index)];
        let own = |word: u64| (word & !FLAGS == lease.word).then(|| to(word));
        slot.fetch_update(Ordering::AcqRel, Ordering::Acquire, own).ok()
    }

    /// Ends a lease. If it ended in time, [`Permits::release`] must follow once the outcome is counted.
    pub(super) fn end(&self, lease: Lease) -> Ended {
        match self.change(lease, |_| 0) {
            Some(word) => Ended::InTime(word & MARKED != 0),
            None => Ended::Expired,
        }
    }

    /// The call is no longer upstream. `returned`: it said nothing, another may have its permit.
    pub(super) fn release(&self, generation: u32, returned: bool) {
        self.update(|word| {
            let again = returned && (word >> 32) as u32 == generation && word >> 16 & 0xffff > 0;
            Some(word - 1 - if again { 0x1_0000 } else { 0 })
        });
    }

    /// When the first permit of `generation` was taken.
    pub(super) fn first(&self, generation: u32) -> Option<Mono> {
        let first = self.first.load(Ordering::Acquire);
        let of_generation = first != 0 && first >> 48 == u64::from(generation as u16);
        of_generation.then_some(Mono((first & ((1 << 48) - 1)) * 1000))
    }

    /// Whether a trial call of `generation` would get a permit now.
    pub(super) fn available(&self, generation: u32) -> bool {
        self.is_free(self.word.load(Ordering::Acquire), generation)
    }

    const fn is_free(&self, word: u64, generation: u32) -> bool {
        let (of, taken, upstream) = ((word >> 32) as u32, word >> 16 & 0xffff, word & 0xffff);
        of == generation && taken < self.permits && upstream < self.concurrent
    }

    /// Permits left to take, and calls upstream.
    pub(super) fn left(&self) -> (u16, u16) {
        let word = self.word.load(Ordering::Acquire);
        (
            (self.permits.saturating_sub(word >> 16 & 0xffff)) as u16,
            word as u16,
        )
    }

    /// Expires leases that are over, and marks those of `generation` that have been upstream for `slow`.
    /// What that counts for is returned; leases of other generations are only freed.
    pub(super) fn sweep(&self, now: Mono, generation: u32, slow: Duration, mark: bool) -> Counts {
        let mut counts = Counts::default();
        let slow = u64::try_from(slow.as_micros()).unwrap_or(u64::MAX);
        for slot in &self.leases {
            let word = slot.load(Ordering::Acquire);
            if word == 0 {
                continue;
            }
            let elapsed = (now.nanos() / 1000).wrapping_sub(word >> START_SHIFT) & START;
            // A lease may start after the `now` of this sweep: half the circle ahead is the past of another core.
            let elapsed = if elapsed > START / 2 { 0 } else { elapsed };
            let current = word >> FLAG_BITS & LEASE_GENERATION == u64::from(generation) & LEASE_GENERATION;
            let swap = |next: u64| {
                slot.compare_exchange(word, next, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
            };
            if elapsed >= (word >> LIFE_SHIFT & LIFE) * 100_000 {
                if swap(0) {
                    let returned = expire(word & FLAGS, current, elapsed >= slow, &mut counts);
                    self.release(generation, current && returned);
                }
            } else if mark && current && elapsed >= slow && word & FLAGS == 0 && swap(word | MARKED) {
                counts.marked += 1;
            }
        }
        counts
    }
}

/// Counts a lease that is over. `true` if it said nothing about the service, so that its permit goes back.
fn expire(flags: u64, current: bool, slow: bool, counts: &mut Counts) -> bool {
    if !current {
        return false;
    }
    match flags {
        f if f & (MARKED | ANSWERED) == MARKED | ANSWERED => counts.late_success += 1,
        f if f & MARKED != 0 => counts.late_failure += 1,
        f if f & ANSWERED != 0 => counts.success += 1,
        f if f & PAUSED != 0 => {
            counts.ignored += 1;
            return true;
        }
        _ if slow => counts.slow_failure += 1,
        _ => counts.failure += 1,
    }
    false
}
