//! The batteries of [`Messaging`] and [`RegistryStore`] on the log: in a directory with clean restarts, and on a
//! simulated disk that loses power.
//!
//! [`Messaging`]: tsugite_engine::Messaging
//! [`RegistryStore`]: tsugite_engine::RegistryStore

use std::sync::Arc;
use std::time::Duration;

use tsugite_engine::stage::Stage;

use super::LogStore;
use crate::disk::Disk;
use crate::disk::real::RealDisk;
use crate::disk::sim::{Crash, Image, SimDisk};
use crate::testing::{Still, TempDir, world};
use crate::{Options, Settings};

fn open(disk: Arc<dyn Disk>, clock: &Arc<Still>) -> LogStore {
    let options = Options::new(world(clock, 1), Settings::default());
    LogStore::open(options, disk).expect("a store that opens")
}

/// A clock at a time of day, so that nothing is at zero.
fn clock() -> Arc<Still> {
    let clock = Arc::<Still>::default();
    clock.advance(Duration::from_secs(1_700_000_000));
    clock
}

fn pass(store: &LogStore, clock: &Still, time: Duration) {
    clock.advance(time);
    store.clock_moved();
}

/// A store in a directory, closed before it is opened again.
struct InDirectory {
    dir: TempDir,
    clock: Arc<Still>,
    store: Option<LogStore>,
}

impl InDirectory {
    fn start(&mut self) {
        if let Some(store) = self.store.take() {
            store.close_blocking();
        }
        let disk = RealDisk::open(self.dir.path()).expect("a directory that opens");
        self.store = Some(open(Arc::new(disk), &self.clock));
    }
}

impl Stage for InDirectory {
    type Store = LogStore;

    fn store(&self) -> LogStore {
        self.store.clone().expect("started")
    }

    fn pass(&self, time: Duration) {
        pass(&self.store(), &self.clock, time);
    }

    fn restart(&mut self) {
        self.start();
    }
}

/// A store on a disk that forgets whatever was not synced.
struct Simulated {
    disk: SimDisk,
    clock: Arc<Still>,
    store: LogStore,
}

impl Stage for Simulated {
    type Store = LogStore;

    fn store(&self) -> LogStore {
        self.store.clone()
    }

    fn pass(&self, time: Duration) {
        pass(&self.store, &self.clock, time);
    }

    fn restart(&mut self) {
        self.disk = SimDisk::new(2, self.disk.crash(Crash::Power));
        self.store = open(Arc::new(self.disk.clone()), &self.clock);
    }
}

mod in_a_directory {
    use super::*;

    fn stage() -> InDirectory {
        let mut stage = InDirectory {
            dir: TempDir::new(),
            clock: clock(),
            store: None,
        };
        stage.start();
        stage
    }

    mod messaging {
        tsugite_engine::messaging_battery!(super::stage);
    }

    mod registry {
        tsugite_engine::registry_battery!(super::stage);
    }
}

mod on_a_disk_that_loses_power {
    use super::*;

    fn stage() -> Simulated {
        let (disk, clock) = (SimDisk::new(1, Image::new()), clock());
        let store = open(Arc::new(disk.clone()), &clock);
        Simulated { disk, clock, store }
    }

    mod messaging {
        tsugite_engine::messaging_battery!(super::stage);
    }

    mod registry {
        tsugite_engine::registry_battery!(super::stage);
    }
}
