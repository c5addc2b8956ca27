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
    use tsugite_base::names::Scope;
    use tsugite_broker::{
        CreateQueue, ListMoveTasks, MoveStatus, MoveTask, QueueKey, SendEntry, SendMessages, StartMoveTask,
    };
    use tsugite_engine::Messaging as _;

    let (disk, clock) = (SimDisk::new(1, Image::new()), clock());
    let sizes = crate::Sizes {
        first_segment: 64 << 10,
        segment: 64 << 10,
        reserve: 20 << 10,
        max_batch: 32 << 10,
        ..crate::Sizes::default()
    };
    let options = Options {
        sizes,
        ..Options::new(world(&clock, 1), Settings::default())
    };
    let store = LogStore::open(options, Arc::new(disk.clone())).expect("a store that opens");
    let key = |name: &str| QueueKey::new(Scope::default(), name);
    let task = || {
        let (source, max) = (key("dead"), None);
        store.move_tasks(ListMoveTasks { source, max })
    };
    tsugite_engine::stage::run(async {
        let policy = format!(
            r#"{{"deadLetterTargetArn":"{}","maxReceiveCount":1}}"#,
            key("dead").arn()
        );
        for (name, attributes) in [
            ("dead", Vec::new()),
            ("other", Vec::new()),
            ("q", vec![("RedrivePolicy".to_owned(), policy)]),
        ] {
            let queue = key(name);
            let tags = Vec::new();
            let command = CreateQueue {
                queue,
                attributes,
                tags,
            };
            store.create_queue(command).await.expect("a queue");
        }
        for n in 0..8u8 {
            let entry = SendEntry {
                id: tsugite_base::Uuid([n; 16]),
                body: n.to_string().repeat(10_000),
                ..SendEntry::default()
            };
            let command = SendMessages {
                queue: key("dead"),
                sender: "me".into(),
                entries: vec![entry],
            };
            store.send(command).await.expect("room for eight");
        }
        disk.set_capacity(1);
        let command = StartMoveTask {
            id: tsugite_base::Uuid([9; 16]),
            source: key("dead"),
            destination: Some(key("other")),
            rate: Some(1),
        };
        store.start_move_task(command).await.expect("a task");
        // More than fits into what was allocated already.
        pass(&store, &clock, Duration::from_secs(100));
        let begin = std::time::Instant::now();
        let soon = Duration::from_secs(20);
        while !store.metrics().full {
            assert!(begin.elapsed() < soon, "the disk is not full: {:?}", task().await);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let stuck = task().await.expect("a list").remove(0);
        assert_eq!(stuck.status, MoveStatus::Running);
        assert!(stuck.moved < 8, "{stuck:?}");
        disk.set_capacity(u64::MAX);
        let ended = |task: &MoveTask| task.status != MoveStatus::Running;
        loop {
            pass(&store, &clock, Duration::from_secs(2));
            let task = task().await.expect("a list").remove(0);
            if ended(&task) {
                assert_eq!((task.status, task.moved), (MoveStatus::Completed, 8));
                break;
            }
            assert!(begin.elapsed() < soon, "{task:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}
