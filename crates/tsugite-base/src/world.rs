//! Time and randomness as capabilities that the caller owns and passes in.

use std::sync::Arc;

use crate::ids::Uuid;
use crate::time::{Mono, Now, Timestamp};

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// The two millisecond clocks of durable machines.
    fn now(&self) -> Now;
    /// The nanosecond clock of in-memory machines.
    fn mono(&self) -> Mono;
    /// The wall clock that other machines go by too: what their signatures are held against. Differs from that of
    /// [`Clock::now`] only where time is virtual, and not for the others.
    fn peers_wall(&self) -> Timestamp {
        self.now().wall
    }
}

/// A source of unpredictable bytes.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `buf`; never fails (a host without entropy cannot start).
    fn fill(&self, buf: &mut [u8]);
}

/// What the outside world offers to the program: a clock and entropy.
#[derive(Clone)]
pub struct World {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The entropy.
    pub entropy: Arc<dyn Entropy>,
}

impl World {
    /// Shorthand for `clock.now()`.
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// Shorthand for `clock.mono()`.
    pub fn mono(&self) -> Mono {
        self.clock.mono()
    }

    /// A random (version 4) UUID.
    pub fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        Uuid::v4(bytes)
    }

    /// A random 64-bit number.
    pub fn random_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}
