//! The only file that reads the host's clock and entropy; everything else is handed a [`World`].

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tsugite_base::world::{Clock, Entropy};
use tsugite_base::{Mono, Now, Timestamp, World};

/// The host's clocks, plus a virtual offset that only `POST /v1/clock/advance` moves.
pub struct HostClock {
    anchor: Instant,
    anchor_wall_ms: u64,
    offset_ms: AtomicU64,
}

impl HostClock {
    /// Anchors the steady clock at the wall clock of this moment.
    pub fn start() -> HostClock {
        HostClock {
            anchor: Instant::now(),
            anchor_wall_ms: wall_ms(),
            offset_ms: AtomicU64::new(0),
        }
    }

    /// Moves the clocks of durable machines ahead; they can never be moved back. The clock of calls and circuits
    /// stays: a call under way did not become slow by that.
    pub fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.offset_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// How far it was moved ahead of the host's clock.
    pub fn ahead(&self) -> Duration {
        Duration::from_millis(self.offset_ms.load(Ordering::Relaxed))
    }

    /// Time since the clock was started, as the host counts it: without the virtual offset.
    pub fn uptime(&self) -> Duration {
        self.anchor.elapsed()
    }
}

impl Clock for HostClock {
    fn now(&self) -> Now {
        let offset = self.offset_ms.load(Ordering::Relaxed);
        let passed = u64::try_from(self.anchor.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now {
            wall: Timestamp(wall_ms().saturating_add(offset)),
            steady: Timestamp(self.anchor_wall_ms.saturating_add(passed).saturating_add(offset)),
        }
    }

    fn mono(&self) -> Mono {
        Mono(u64::try_from(self.anchor.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn peers_wall(&self) -> Timestamp {
        Timestamp(wall_ms())
    }
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The operating system's random generator, asked for some hundred bytes at a time.
pub struct HostEntropy;

/// Bytes that a thread has in stock, and how many of them are used up.
struct Stock {
    bytes: [u8; 512],
    used: usize,
}

thread_local! {
    static STOCK: RefCell<Stock> = const { RefCell::new(Stock { bytes: [0; 512], used: 512 }) };
}

impl Entropy for HostEntropy {
    fn fill(&self, buf: &mut [u8]) {
        // Without entropy ids and keys could be guessed: stopping is the only safe answer.
        let ask = |buf: &mut [u8]| getrandom::fill(buf).expect("the operating system gives random bytes");
        STOCK.with_borrow_mut(|stock| {
            if buf.len() > stock.bytes.len() {
                return ask(buf);
            }
            if stock.used + buf.len() > stock.bytes.len() {
                ask(&mut stock.bytes);
                stock.used = 0;
            }
            let given = &mut stock.bytes[stock.used..stock.used + buf.len()];
            buf.copy_from_slice(given);
            given.fill(0);
            stock.used += buf.len();
        });
    }
}

/// The real world, with its clock in hand for those who may move it.
pub fn host() -> (World, Arc<HostClock>) {
    let clock = Arc::new(HostClock::start());
    let world = World {
        clock: clock.clone(),
        entropy: Arc::new(HostEntropy),
    };
    (world, clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advancing_moves_the_clocks_of_durable_machines() {
        let (world, clock) = host();
        let (before, mono) = (world.now(), world.mono());
        clock.advance(Duration::from_secs(3600));
        let (after, mono_after) = (world.now(), world.mono());
        for passed in [after.wall.since(before.wall), after.steady.since(before.steady)] {
            // The wall clock may be slewed by the host meanwhile; a minute of tolerance is plenty.
            assert!(
                passed.abs_diff(Duration::from_secs(3600)) < Duration::from_secs(60),
                "{passed:?}"
            );
        }
        assert!(mono_after.since(mono) < Duration::from_secs(60));
        assert!(clock.uptime() < Duration::from_secs(60));
        assert_eq!(clock.ahead(), Duration::from_secs(3600));
    }

    #[test]
    fn uuids_differ() {
        let (world, _) = host();
        let here = (0..1_000).map(|_| world.uuid());
        let other = world.clone();
        let there = std::thread::spawn(move || (0..1_000).map(|_| other.uuid()).collect::<Vec<_>>());
        let all: std::collections::BTreeSet<_> = here.chain(there.join().unwrap()).collect();
        assert_eq!(all.len(), 2_000);
        let mut long = [0; 2_000];
        world.entropy.fill(&mut long);
        assert!(long.chunks(100).all(|part| part.iter().any(|byte| *byte != 0)));
    }
}
