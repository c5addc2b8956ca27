//! The log as a whole: every way in which it may be found at a start, and every way in which a disk may fail it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tsugite_base::{Decision, Now};
use tsugite_engine::{Failure, Unavailable};

use crate::disk::Disk as _;
use crate::disk::real::RealDisk;
use crate::disk::sim::{Crash, Fault, Image, SimDisk};
use crate::format::{SEGMENT_HEADER, SegmentHeader};
use crate::testing::{Change, Rig, Still, TINY, TempDir, Toy, world};
use crate::{Corruption, Log, OpenError, Options, Threads};

mod repair;
mod space;

const FIRST: &str = "log-0000000000000000";

fn corruption(image: Image) -> Corruption {
    let before = image.clone();
    let disk = SimDisk::new(1, image);
    match Rig::over(disk.clone()) {
        Err(OpenError::Corrupt(corruption)) => {
            assert_eq!(disk.image(), before, "a refused store is left as it was");
            corruption
        }
        Err(other) => panic!("{other}"),
        Ok(rig) => panic!("opened: {:?}", rig.recovery),
    }
}

/// A log of several frames in the first segment; the positions at which they begin.
fn three_frames() -> (Rig, Vec<u64>) {
    let mut rig = Rig::new();
    let mut starts = Vec::new();
    for key in 0..3 {
        starts.push(rig.log.synced());
        rig.put(key, 100);
        rig.settle().unwrap();
    }
    (rig, starts)
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let (rig, _) = three_frames();
    let again = Rig::on(rig.disk.crash(Crash::Power)).unwrap();
    assert_eq!(again.toy(), rig.toy());
    assert_eq!((again.recovery.frames, again.recovery.records), (3, 3));
    assert_eq!(again.recovery.torn, None);
    let places: Vec<_> = again.toy().places.values().copied().collect();
    let read = again.log.fetch_blocking(&places).unwrap();
    assert_eq!(read[2][5..], [2; 100]);
    assert_eq!(again.log.metrics().disk_reads, 1, "neighbours come along");
}

#[test]
fn nothing_is_acknowledged_before_its_sync() {
    let mut rig = Rig::new();
    let wait = rig.put(1, 10);
    assert!(rig.log.synced() < wait);
    rig.settle().unwrap();
    assert!(rig.log.synced() >= wait);
    assert!(rig.put(2, 10) > rig.log.synced());
}

#[test]
fn everything_pending_goes_into_one_frame() {
    let mut rig = Rig::new();
    for key in 0..5 {
        rig.put(key, 20);
    }
    rig.settle().unwrap();
    let metrics = rig.log.metrics();
    assert_eq!((metrics.records, metrics.frames, metrics.syncs), (5, 1, 1));
}

#[test]
fn an_interrupted_write_is_cut_off_and_said_so_once() {
    let (mut rig, _) = three_frames();
    let end = rig.log.synced();
    rig.put(9, 600);
    let mut image = rig.disk.image();
    rig.settle().unwrap();
    let whole = rig.disk.image();
    // All ways in which the frame may be there in part, sector by sector.
    let from = SEGMENT_HEADER + end as usize;
    for sectors in 1u32..7 {
        let file = image.get_mut(FIRST).unwrap();
        file[from..].fill(0);
        for at in from..from + 704 {
            if sectors & 1 << (at / 512 % 3) != 0 {
                file[at] = whole[FIRST][at];
            }
        }
        if file[from..] == whole[FIRST][from..] {
            continue;
        }
        let again = Rig::on(image.clone()).unwrap();
        assert_eq!(again.recovery.end, end);
        assert_eq!(again.toy().places.len(), 3);
        if let Some(torn) = again.recovery.torn.clone() {
            assert_eq!((torn.file.as_str(), torn.offset), (FIRST, from as u64));
            assert!(torn.len > 0 && torn.len <= 704);
        }
        again.put(10, 10);
        drop(again.log);
        let third = Rig::on(again.disk.image()).unwrap();
        assert_eq!(third.recovery.torn, None, "sectors {sectors:b}");
    }
    image.get_mut(FIRST).unwrap()[from..].fill(0);
    assert_eq!(Rig::on(image).unwrap().recovery.torn, None);
}

#[test]
fn a_damaged_frame_before_a_valid_one_is_refused_with_a_report() {
    let (rig, starts) = three_frames();
    for (frame, start) in starts.iter().enumerate().take(2) {
        for byte in [0, 4, 24, 32, 36, 90] {
            let mut image = rig.disk.image();
            let at = SEGMENT_HEADER + *start as usize;
            image.get_mut(FIRST).unwrap()[at + byte] ^= 4;
            let found = corruption(image);
            assert_eq!((found.file.as_str(), found.lsn), (FIRST, *start));
            assert_eq!(found.offset, at as u64);
            let next = SEGMENT_HEADER as u64 + starts[frame + 1];
            assert_eq!(found.follows, format!("a valid frame follows at byte {next}"));
        }
    }
}

#[test]
fn damage_in_the_last_frame_cannot_be_told_from_an_interrupted_write() {
    let (rig, starts) = three_frames();
    let mut image = rig.disk.image();
    image.get_mut(FIRST).unwrap()[SEGMENT_HEADER + starts[2] as usize + 40] ^= 1;
    let again = Rig::on(image).unwrap();
    assert_eq!(again.recovery.frames, 2);
    assert!(again.recovery.torn.is_some());
}

/// A log over several segments, without a checkpoint.
fn many_segments() -> Rig {
    let mut rig = Rig::new();
    for key in 0..10 {
        rig.put(key, 400);
        rig.settle().unwrap();
    }
    assert!(rig.log.metrics().segments >= 2 && rig.log.metrics().checkpoint_lsn == 0);
    rig
}

#[test]
fn damage_at_the_end_of_a_segment_that_is_not_the_last_is_refused() {
    let rig = many_segments();
    let image = rig.disk.image();
    let second = image
        .keys()
        .filter(|n| n.starts_with("log-"))
        .nth(1)
        .unwrap()
        .clone();
    let base = usize::from_str_radix(&second[4..], 16).unwrap();
    let mut image = rig.disk.image();
    image.get_mut(FIRST).unwrap()[SEGMENT_HEADER + base - 100] ^= 1;
    let found = corruption(image);
    assert_eq!(found.file, FIRST);
    assert_eq!(found.follows, format!("the log goes on in {second}"));
    let error = OpenError::Corrupt(found).to_string();
    assert!(error.contains("tsugite verify the simulated disk"), "{error}");
}

#[test]
fn missing_and_foreign_files_are_refused() {
    let rig = many_segments();
    let names: Vec<String> = rig
        .disk
        .image()
        .into_keys()
        .filter(|n| n.starts_with("log-"))
        .collect();

    let mut image = rig.disk.image();
    image.remove(FIRST);
    assert!(corruption(image).what.contains("no segment holds position 0x0"));

    let mut image = rig.disk.image();
    image.get_mut(&names[1]).unwrap()[3] ^= 1;
    let found = corruption(image);
    assert_eq!(
        (found.file.as_str(), found.what.as_str()),
        (names[1].as_str(), "its header is not valid")
    );

    let mut image = rig.disk.image();
    let base = u64::from_str_radix(&names[1][4..], 16).unwrap();
    let header = SegmentHeader {
        recycled: false,
        log_id: 5,
        base,
    };
    image.get_mut(&names[1]).unwrap()[..SEGMENT_HEADER].copy_from_slice(&header.encode());
    assert!(
        corruption(image)
            .what
            .contains("it belongs to log 0000000000000005")
    );

    let mut image = rig.disk.image();
    image.insert(names[1].clone(), vec![0; 10]);
    assert_eq!(corruption(image).what, "its header is not valid");
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let (rig, _) = three_frames();
    let mut image = rig.disk.image();
    let file = image.get_mut(FIRST).unwrap();
    file[8] = 200;
    let crc = crc32c::crc32c(&file[..60]);
    file[60..64].copy_from_slice(&crc.to_le_bytes());
    let error = Rig::on(image).err().unwrap();
    assert!(matches!(error, OpenError::Newer { version: 200, .. }));
    assert!(error.to_string().contains("use a newer tsugite"), "{error}");
}

/// A log with a checkpoint from which segments were dropped.
fn checkpointed() -> Rig {
    let mut rig = Rig::new();
    for key in 0..60 {
        rig.put(key, 200);
        if key >= 5 {
            rig.delete(key - 5);
        }
        rig.settle().unwrap();
    }
    assert!(rig.log.metrics().checkpoint_lsn > 0);
    rig
}

#[test]
fn a_restart_uses_the_checkpoint_and_the_tail() {
    let rig = checkpointed();
    let again = Rig::on(rig.disk.crash(Crash::Power)).unwrap();
    assert_eq!(again.toy(), rig.toy());
    assert_eq!(again.recovery.checkpoint, Some(rig.log.metrics().checkpoint_lsn));
    assert!(again.recovery.frames < 60);
    let places: Vec<_> = again.toy().places.values().copied().collect();
    assert_eq!(again.log.fetch_blocking(&places).unwrap().len(), 5);
}

#[test]
fn dead_segments_go_and_one_is_reused() {
    let mut rig = checkpointed();
    let segments = rig.log.metrics().segments;
    assert!(segments <= 4, "{segments} segments for 5 live records");
    let mut reused = false;
    for key in 100..200 {
        rig.put(key, 200);
        rig.delete(key);
        rig.settle().unwrap();
        let image = rig.disk.image();
        reused |= image.iter().any(|(name, bytes)| {
            name.starts_with("log-") && SegmentHeader::decode(bytes).is_ok_and(|h| h.recycled)
        });
        let again = Rig::on(rig.disk.crash(Crash::Power)).unwrap();
        assert_eq!(
            again.toy(),
            rig.toy(),
            "old frames of a reused segment do not count"
        );
    }
    assert!(reused);
}

#[test]
fn a_damaged_checkpoint_is_refused_unless_the_whole_log_is_there() {
    let rig = checkpointed();
    let mut image = rig.disk.image();
    let name = image
        .keys()
        .find(|n| n.starts_with("checkpoint-"))
        .unwrap()
        .clone();
    *image.get_mut(&name).unwrap().last_mut().unwrap() ^= 1;
    let found = corruption(image);
    assert!(
        found.follows.contains(&name) && found.follows.contains("checksum"),
        "{found}"
    );

    let (mut rig, _) = three_frames();
    rig.clock.advance(Duration::from_secs(61));
    rig.keeper.step().unwrap();
    rig.settle().unwrap();
    let mut image = rig.disk.image();
    let name = image
        .keys()
        .find(|n| n.starts_with("checkpoint-"))
        .unwrap()
        .clone();
    image.get_mut(&name).unwrap()[70] ^= 1;
    let again = Rig::on(image).unwrap();
    assert_eq!((again.recovery.checkpoint, again.recovery.frames), (None, 3));
    assert_eq!(again.toy(), rig.toy());
}

#[test]
fn checkpoints_come_by_time_only_after_changes() {
    let (mut rig, _) = three_frames();
    let pass = |rig: &mut Rig| {
        rig.clock.advance(Duration::from_secs(61));
        rig.keeper.step().unwrap();
        rig.settle().unwrap();
        rig.log.metrics().checkpoints
    };
    assert_eq!(pass(&mut rig), 1);
    assert_eq!(pass(&mut rig), 1);
    rig.put(50, 10);
    rig.settle().unwrap();
    assert_eq!(pass(&mut rig), 2);
    let checkpoints = rig
        .disk
        .image()
        .into_keys()
        .filter(|n| n.starts_with("checkpoint-"));
    assert_eq!(checkpoints.count(), 1, "the older one is gone");
}

#[test]
fn leftovers_of_interrupted_work_are_removed() {
    let rig = checkpointed();
    let mut image = rig.disk.image();
    image.insert("checkpoint.tmp".into(), b"half".to_vec());
    image.insert("segment.tmp".into(), vec![]);
    image.insert("spare-00000000000000ff".into(), vec![1; 77]);
    image.insert("checkpoint-0000000000000040".into(), b"old and short".to_vec());
    image.insert("notes.txt".into(), b"somebody else's".to_vec());
    let again = Rig::on(image).unwrap();
    assert_eq!(again.toy(), rig.toy());
    let names: Vec<String> = again.disk.image().into_keys().collect();
    assert!(
        names
            .iter()
            .all(|n| !n.ends_with(".tmp") && n != "spare-00000000000000ff"),
        "{names:?}"
    );
    assert_eq!(names.iter().filter(|n| n.starts_with("checkpoint-")).count(), 1);
    assert!(names.contains(&"notes.txt".to_owned()));
}

/// A history that rolls, checkpoints and recycles; the state after each command and the position it waits for.
fn history(rig: &mut Rig) -> Vec<(u64, Toy)> {
    let mut states = vec![(0, rig.toy())];
    for key in 0..40u32 {
        let mut records = vec![Change::Put(key, vec![key as u8; 150 + key as usize])];
        records.extend(key.checked_sub(4).map(Change::Delete));
        match rig.change(records) {
            Some(Ok(wait)) => states.push((wait, rig.toy())),
            Some(Err(_)) => break,
            None => {}
        }
        if key % 3 != 0 && rig.settle().is_err() {
            break;
        }
    }
    states
}

/// Whether the recovered state is one that the history passed through, not before what was acknowledged.
fn assert_prefix(again: &Rig, states: &[(u64, Toy)], acknowledged: u64) {
    let found = again.toy();
    // Where the values lie is not the commands' affair: they may have been moved since.
    let keys = |toy: &Toy| toy.places.keys().copied().collect::<Vec<_>>();
    let at = states.iter().rposition(|(_, state)| keys(state) == keys(&found));
    let at = at.unwrap_or_else(|| panic!("no such state: {found:?}"));
    let needed = states
        .iter()
        .rposition(|(wait, _)| *wait <= acknowledged)
        .unwrap();
    assert!(at >= needed, "acknowledged up to command {needed}, found {at}");
    let places: Vec<_> = found.places.values().copied().collect();
    for (key, bytes) in found
        .places
        .keys()
        .zip(again.log.fetch_blocking(&places).unwrap())
    {
        assert!(bytes[5..].iter().all(|&b| b == *key as u8), "bytes of {key}");
    }
}

#[test]
fn a_stop_before_any_disk_operation_loses_nothing_acknowledged() {
    let mut rig = Rig::new();
    history(&mut rig);
    let operations = rig.disk.operations();
    assert!(operations > 80, "{operations}");
    for stop in 0..operations {
        let disk = SimDisk::new(stop, Image::new());
        disk.fail(stop, Fault::Halt);
        let (states, acknowledged) = match Rig::over(disk.clone()) {
            Ok(mut rig) => (history(&mut rig), rig.log.synced()),
            Err(_) => (vec![(0, Toy::default())], 0),
        };
        for crash in [Crash::Power, Crash::Power, Crash::Process] {
            let again = Rig::on(disk.crash(crash)).unwrap_or_else(|e| panic!("stop {stop}: {e}"));
            assert_prefix(&again, &states, acknowledged);
            // What was found is shown from now on, so it must not get lost any more.
            let third = Rig::on(again.disk.crash(Crash::Power)).unwrap();
            assert_eq!(third.toy(), again.toy());
        }
    }
}

#[test]
fn a_failed_operation_is_final_and_acknowledges_nothing() {
    let mut rig = Rig::new();
    let opened = rig.disk.operations();
    history(&mut rig);
    for operation in opened..rig.disk.operations() {
        let disk = SimDisk::new(operation, Image::new());
        disk.fail(operation, Fault::Error);
        let mut rig = Rig::over(disk.clone()).unwrap();
        let states = history(&mut rig);
        assert_eq!(rig.fatal.lock().unwrap().len(), 1, "operation {operation}");
        assert_eq!(rig.committer.step(), Ok(false), "nothing is tried again");
        assert_eq!(
            rig.change(vec![Change::Delete(1)]),
            Some(Err(Failure::Unavailable(Unavailable::Stopping)))
        );
        let again = Rig::on(disk.crash(Crash::Power)).unwrap();
        assert_prefix(&again, &states, rig.log.synced());
    }
}

#[test]
fn a_full_disk_refuses_what_grows_and_recovers() {
    let mut rig = Rig::new();
    rig.disk.set_capacity(12_000);
    let mut keys = 0;
    let refusal = loop {
        match rig.change(vec![Change::Put(keys, vec![1; 300])]) {
            Some(Ok(_)) => keys += 1,
            Some(Err(Failure::Unavailable(why))) => break why,
            None => {}
            Some(Err(other)) => panic!("{other}"),
        }
        rig.settle().unwrap();
        assert!(keys < 100);
    };
    assert!(
        matches!(&refusal, Unavailable::Full(why) if why.contains("no room for the log")),
        "{refusal}"
    );
    assert!(rig.log.metrics().full);
    assert!(keys > 10);
    // Deletes are still taken, and free the log once a checkpoint was written.
    for key in 0..keys {
        rig.delete(key);
    }
    rig.settle().unwrap();
    rig.clock.advance(Duration::from_secs(6));
    rig.settle().unwrap();
    rig.settle().unwrap();
    rig.clock.advance(Duration::from_secs(2));
    rig.settle().unwrap();
    assert!(!rig.log.metrics().full);
    rig.put(1, 300);
    rig.settle().unwrap();
    assert!(rig.fatal.lock().unwrap().is_empty());
    let again = Rig::on(rig.disk.crash(Crash::Power)).unwrap();
    assert_eq!(again.toy(), rig.toy());
}

#[test]
fn a_decision_that_is_too_long_changes_nothing() {
    let rig = Rig::new();
    let before = rig.toy();
    let outcome = rig.change(vec![Change::Put(1, vec![0; 10]), Change::Put(2, vec![0; 9000])]);
    assert!(
        matches!(outcome, Some(Err(Failure::Unavailable(Unavailable::Full(_))))),
        "{outcome:?}"
    );
    assert_eq!(rig.toy(), before);
    let wait = rig.put(1, 10);
    assert_eq!(wait, rig.toy().places[&1].end());
}

#[test]
fn commands_wait_while_the_batch_is_full() {
    let mut rig = Rig::new();
    rig.put(1, 10);
    rig.settle().unwrap();
    let mut taken = 0;
    while rig.change(vec![Change::Put(taken, vec![0; 300])]).is_some() {
        taken += 1;
        assert!(taken < 20);
    }
    rig.settle().unwrap();
    assert!(rig.change(vec![Change::Put(taken, vec![0; 300])]).is_some());
}

#[test]
fn bytes_are_found_wherever_they_are() {
    let mut rig = Rig::new();
    rig.put(1, 100);
    let place = rig.toy().places[&1];
    let check = |rig: &Rig, reads| {
        let part = tsugite_base::Place {
            lsn: place.lsn + 5,
            len: 40,
        };
        let found = rig.log.fetch_blocking(&[place, part]).unwrap();
        assert_eq!((found[0].len(), &found[1][..]), (105, &[1; 40][..]));
        assert_eq!(rig.log.metrics().disk_reads, reads);
    };
    check(&rig, 0);
    rig.settle().unwrap();
    check(&rig, 0);
    for key in 10..20 {
        rig.put(key, 400);
        rig.settle().unwrap();
    }
    check(&rig, 1);
    let nowhere = tsugite_base::Place { lsn: 1 << 40, len: 3 };
    assert!(matches!(
        rig.log.fetch_blocking(&[nowhere]),
        Err(Unavailable::Unreadable(_))
    ));
}

#[test]
fn a_panic_that_only_looked_is_forgiven_and_one_amid_a_change_is_fatal() {
    let mut rig = Rig::new();
    rig.put(1, 10);
    assert!(catch_unwind(AssertUnwindSafe(|| rig.log.peek(|_, _| panic!("looked")))).is_err());
    rig.put(2, 10);
    rig.settle().unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| rig.change(vec![Change::Explode]))).is_err());
    assert!(matches!(rig.change(vec![]), Some(Err(_))));
    assert_eq!(
        rig.committer.step(),
        Ok(false),
        "the half-applied command is not written"
    );
    assert_eq!(rig.fatal.lock().unwrap().len(), 1);
    assert_eq!(Rig::on(rig.disk.image()).unwrap().toy().places.len(), 2);
}

#[test]
fn the_directory_is_taken_until_the_log_is_closed() {
    let rig = Rig::new();
    let error = Rig::over(rig.disk.clone()).err().unwrap();
    assert!(error.to_string().contains("in use by another process"), "{error}");
    let disk = rig.disk.clone();
    drop(rig);
    assert!(Rig::over(disk).is_ok());
}

#[test]
fn impossible_sizes_are_refused() {
    let options = Options {
        sizes: crate::Sizes {
            reserve: 4096,
            ..TINY
        },
        ..Options::new(world(&Arc::<Still>::default(), 1), ())
    };
    let disk = Arc::new(SimDisk::new(1, Image::new()));
    assert!(matches!(
        Log::<Toy>::open(&options, disk),
        Err(OpenError::Sizes(_))
    ));
}

fn real(dir: &TempDir) -> (Log<Toy>, Threads<Toy>, crate::Recovery) {
    let options = Options {
        sizes: crate::Sizes {
            first_segment: 16 * 1024,
            segment: 64 * 1024,
            checkpoint_bytes: 100_000,
            ..TINY
        },
        ..Options::new(world(&Arc::<Still>::default(), 1), ())
    };
    let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
    let opened = Log::open(&options, disk).unwrap();
    let (log, recovery) = (opened.log.clone(), opened.recovery.clone());
    (log, Threads::start(opened).unwrap(), recovery)
}

#[test]
fn many_callers_share_syncs_on_a_real_disk() {
    let dir = TempDir::new();
    let (log, threads, _) = real(&dir);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let callers: Vec<_> = (0..32u32)
        .map(|caller| {
            let log = log.clone();
            runtime.spawn(async move {
                for n in 0..50 {
                    let key = caller * 1000 + n;
                    let put = Change::Put(key, key.to_le_bytes().repeat(20));
                    let decide =
                        |_: &Toy, _| Ok::<_, std::convert::Infallible>(Decision::record(vec![put], key));
                    assert_eq!(log.commit(decide).await.unwrap(), key);
                    let place = log.read(|toy, _| toy.places[&key]).await;
                    let bytes = log.fetch(vec![place]).await.unwrap();
                    assert_eq!(bytes[0][1..5], key.to_le_bytes());
                }
            })
        })
        .collect();
    callers.into_iter().for_each(|c| runtime.block_on(c).unwrap());
    let metrics = log.metrics();
    assert!(metrics.syncs < 1600, "{} syncs for 1600 commits", metrics.syncs);
    threads.stop(true);
    let refused = runtime.block_on(
        log.commit(|_, _| Ok::<_, std::convert::Infallible>(Decision::record(vec![Change::Delete(1)], ()))),
    );
    assert_eq!(refused, Err(Failure::Unavailable(Unavailable::Stopping)));

    let before = log.peek(|toy, _| toy.clone());
    let (log, threads, recovery) = real(&dir);
    assert_eq!(log.peek(|toy, _| toy.clone()), before);
    assert_eq!(
        (recovery.frames, recovery.torn),
        (0, None),
        "closed with a checkpoint"
    );
    threads.stop(false);
    let disk = RealDisk::open(dir.path()).unwrap();
    assert!(disk.lock().is_ok());
}

#[test]
fn what_is_ready_together_is_synced_together_even_if_its_first_caller_gives_up() {
    let dir = TempDir::new();
    let (log, threads, _) = real(&dir);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let put = |key: u32| {
        let put = Change::Put(key, vec![7; 20]);
        move |_: &Toy, _: Now| Ok::<_, std::convert::Infallible>(Decision::record(vec![put], ()))
    };
    runtime.block_on(async {
        let callers: Vec<_> = (0..50)
            .map(|key| {
                let (log, put) = (log.clone(), put(key));
                tokio::spawn(async move { log.commit(put).await.unwrap() })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        // One, unless the committer happened to be awake.
        assert!(log.metrics().frames < 10, "{}", log.metrics().frames);

        let mut first = Box::pin(log.commit(put(50)));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(first.as_mut().poll(&mut context).is_pending());
        drop(first);
        let seen = log.read(|toy, _| toy.places.len());
        let seen = tokio::time::timeout(Duration::from_secs(20), seen).await;
        assert_eq!(seen, Ok(51), "nobody woke the committer");
    });
    threads.stop(false);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_flipped_bit_is_reported_or_harmless(bit in 0usize..20_000 * 8, seed: u64) {
        let mut rig = Rig::over(SimDisk::new(seed, Image::new())).unwrap();
        history(&mut rig);
        rig.settle().unwrap();
        let states = rig.toy();
        let mut image = rig.disk.image();
        let mut at = bit / 8;
        for (name, bytes) in &mut image {
            if at < bytes.len() {
                bytes[at] ^= 1 << (bit % 8);
                // In a spare, after the end, or in what the checkpoint covers: nothing replayed has changed. In
                // the last frame: it is cut and said so.
                if let Ok(again) = Rig::on(rig.disk.image()) {
                    prop_assert_eq!(again.toy(), states.clone());
                }
                match Rig::on(image.clone()) {
                    Ok(again) => prop_assert!(again.toy() == states || again.recovery.torn.is_some()),
                    Err(OpenError::Corrupt(_)) => {}
                    Err(other) => prop_assert!(false, "{}", other),
                }
                break;
            }
            at -= bytes.len();
            let _ = name;
        }
    }
}
