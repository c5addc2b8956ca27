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

/// A move task that meets a full disk waits, and goes on by itself once there is room.
#[test]
fn a_move_waits_while_the_disk_is_full() {
    use tsugite_base::Uuid;
    use tsugite_base::names::Scope;
    use tsugite_broker::{
        CreateQueue, ListMoveTasks, MoveStatus, QueueKey, SendEntry, SendMessages, StartMoveTask,
    };
    use tsugite_engine::{Failure, Messaging as _, Unavailable};

    let (disk, clock) = (SimDisk::new(1, Image::new()), clock());
    let sizes = crate::Sizes {
        first_segment: 256 << 10,
        segment: 512 << 10,
        reserve: 100 << 10,
        max_batch: 100 << 10,
        ..crate::Sizes::default()
    };
    let options = Options {
        sizes,
        ..Options::new(world(&clock, 1), Settings::default())
    };
    let store = LogStore::open(options, Arc::new(disk.clone())).expect("a store that opens");
    let key = |name: &str| QueueKey::new(Scope::default(), name);
    let create = |name: &str, attributes: Vec<(String, String)>| {
        let (queue, tags) = (key(name), Vec::new());
        store.create_queue(CreateQueue {
            queue,
            attributes,
            tags,
        })
    };
    let send = |name: &str, n: u8| {
        let entry = SendEntry {
            id: Uuid([n; 16]),
            body: "x".repeat(10_000),
            ..SendEntry::default()
        };
        let (queue, sender, entries) = (key(name), String::new(), vec![entry]);
        store.send(SendMessages {
            queue,
            sender,
            entries,
        })
    };
    let task = async || {
        let (source, max) = (key("dead"), None);
        let tasks = store.move_tasks(ListMoveTasks { source, max }).await;
        tasks.expect("a list").remove(0)
    };
    tsugite_engine::stage::run(async {
        create("dead", Vec::new()).await.expect("a queue");
        create("other", Vec::new()).await.expect("a queue");
        let policy = format!(
            r#"{{"deadLetterTargetArn":"{}","maxReceiveCount":1}}"#,
            key("dead").arn()
        );
        let attributes = vec![("RedrivePolicy".to_owned(), policy)];
        create("q", attributes).await.expect("a queue");
        disk.set_capacity(1);
        for n in 0..5 {
            send("dead", n).await.expect("room");
        }
        let command = StartMoveTask {
            id: Uuid([9; 16]),
            source: key("dead"),
            destination: Some(key("other")),
            rate: Some(1),
        };
        store.start_move_task(command).await.expect("a task");
        let full = loop {
            if let Err(full) = send("q", 0).await {
                break full;
            }
        };
        assert!(
            matches!(full, Failure::Unavailable(Unavailable::Full(_))),
            "{full}"
        );
        pass(&store, &clock, Duration::from_secs(100));
        tokio::time::sleep(Duration::from_millis(50)).await;
        let stuck = task().await;
        assert_eq!((stuck.status, stuck.moved), (MoveStatus::Running, 0));
        disk.set_capacity(u64::MAX);
        let begin = std::time::Instant::now();
        loop {
            pass(&store, &clock, Duration::from_secs(1));
            let task = task().await;
            if task.status != MoveStatus::Running {
                assert_eq!((task.status, task.moved), (MoveStatus::Completed, 5));
                break;
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "{task:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}
