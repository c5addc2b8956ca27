//! Damage of every kind to a small store: what verify calls sound opens whole, what it calls damaged is repaired, and
//! whatever the repair does not name as lost is still there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tsugite_base::names::Scope;
use tsugite_base::{Place, Uuid};
use tsugite_broker::{
    CreateQueue, CreateTopic, DeleteMessages, Publish, PublishEntry, QueueId, QueueKey, Receive, SendEntry,
    SendMessages, Subscribe, TopicKey,
};

use crate::disk::Disk as _;
use crate::disk::sim::{Fault, Image, SimDisk};
use crate::testing::{Still, TINY, world};
use crate::{Domains, Log, OpenError, Opened, Options, Repaired, Settings, repair, verify};

/// Queue, number: the place of the payload and its bytes.
type Contents = BTreeMap<(QueueId, u64), (Place, Vec<u8>)>;

struct Shop {
    disk: SimDisk,
    clock: Arc<Still>,
    opened: Opened<Domains>,
    sent: u8,
    /// Everything that was ever stored.
    history: Contents,
}

fn key(name: &str) -> QueueKey {
    QueueKey::new(Scope::default(), name)
}

impl Shop {
    fn open(image: Image) -> Result<Shop, OpenError> {
        let clock = Arc::<Still>::default();
        let options = Options {
            sizes: crate::Sizes {
                checkpoint_bytes: 1 << 40,
                slack: 1 << 40,
                ..TINY
            },
            ..Options::new(world(&clock, 1), Settings::default())
        };
        let disk = SimDisk::new(1, image);
        let opened = Log::<Domains>::open(&options, Arc::new(disk.clone()))?;
        Ok(Shop {
            disk,
            clock,
            opened,
            sent: 0,
            history: Contents::new(),
        })
    }

    /// Decides, and makes it durable.
    fn act<R, E: std::fmt::Debug>(
        &mut self,
        decide: impl FnOnce(
            &Domains,
            tsugite_base::Now,
        ) -> Result<tsugite_base::Decision<tsugite_broker::Record, R>, E>,
    ) -> R {
        let (reply, _) = self.opened.log.attempt(&mut Some(decide)).unwrap().unwrap();
        while self.opened.committer.step().unwrap() {}
        self.opened.keeper.step().unwrap();
        // The cleaner may have copied something.
        while self.opened.committer.step().unwrap() {}
        self.history.extend(self.contents());
        reply
    }

    fn create(&mut self, name: &str, attributes: &[(&str, &str)]) {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let create = CreateQueue {
            queue: key(name),
            attributes: attributes.iter().map(text).collect(),
            tags: Vec::new(),
        };
        self.act(|d, now| d.broker.create_queue(create, now));
    }

    fn send(&mut self, name: &str, group: Option<&str>) {
        self.sent += 1;
        let send = SendMessages {
            queue: key(name),
            sender: "somebody".into(),
            entries: vec![SendEntry {
                id: Uuid([self.sent; 16]),
                body: format!("parcel {} {}", self.sent, "x".repeat(40)),
                group: group.map(Into::into),
                deduplication: group
                    .map(|_| self.sent.to_string())
                    .filter(|_| name.ends_with(".fifo")),
                ..SendEntry::default()
            }],
        };
        let reply = self.act(|d, now| d.broker.send(send, now));
        assert!(reply.results[0].is_ok());
    }

    fn publish(&mut self) {
        self.sent += 1;
        let publish = Publish {
            topic: TopicKey::new(Scope::default(), "news"),
            entries: vec![PublishEntry {
                id: Uuid([self.sent; 16]),
                message: format!("news {} {}", self.sent, "y".repeat(30)),
                ..PublishEntry::default()
            }],
            ..Publish::default()
        };
        self.act(|d, now| d.broker.publish(&publish, now));
    }

    fn receive(&mut self, name: &str, max: i64, visibility: i64) -> Vec<String> {
        let receive = Receive {
            queue: key(name),
            max: Some(max),
            visibility: Some(visibility),
            wait: Some(0),
            attempt: None,
        };
        let reply = self.act(|d, now| d.broker.receive(&receive, now));
        reply.leases.into_iter().map(|lease| lease.handle).collect()
    }

    fn delete(&mut self, name: &str, handles: Vec<String>) {
        let delete = DeleteMessages {
            queue: key(name),
            handles,
        };
        self.act(|d, now| d.broker.delete(&delete, now));
    }

    fn checkpoint(&mut self) {
        self.clock.advance(Duration::from_secs(61));
        self.opened.keeper.step().unwrap();
        self.opened.committer.step().unwrap();
        self.opened.keeper.step().unwrap();
    }

    /// A round of everything that stores, moves and removes messages.
    fn round(&mut self) {
        for _ in 0..3 {
            self.send("plain", None);
            self.send("fair", Some("tenant"));
            self.send("orders.fifo", Some("g"));
            self.send("orders.fifo", Some("h"));
            self.publish();
            let taken = self.receive("plain", 1, 30);
            self.delete("plain", taken);
            // Given back at once: it goes to another line, and a number may be left out.
            self.receive("fair", 2, 0);
            let taken = self.receive("orders.fifo", 1, 1);
            self.delete("orders.fifo", taken);
            self.clock.advance(Duration::from_secs(1));
        }
        self.receive("plain", 3, 40);
    }

    /// Every stored message. It must be readable.
    fn contents(&self) -> Contents {
        let image = self.disk.image();
        let stored = self.opened.log.peek(|d, _| d.broker.stored().collect::<Vec<_>>());
        let read = |place: Place| {
            let names = image
                .keys()
                .filter(|name| name.starts_with("log-") && name.len() == 20);
            let base = names.map(|name| u64::from_str_radix(&name[4..], 16).unwrap());
            let base = base.filter(|base| *base <= place.lsn).max().unwrap();
            let at = 64 + (place.lsn - base) as usize;
            image[&format!("log-{base:016x}")][at..at + place.len as usize].to_vec()
        };
        stored
            .iter()
            .map(|s| ((s.queue, s.seq), (s.payload, read(s.payload))))
            .collect()
    }
}

/// A store of a few segments; and everything that was ever stored in it.
fn store(checkpoint: bool) -> (Image, Contents) {
    let mut shop = Shop::open(Image::new()).unwrap();
    shop.create("dead", &[]);
    let arn = key("dead").arn();
    let policy = format!("{{\"deadLetterTargetArn\":\"{arn}\",\"maxReceiveCount\":\"2\"}}");
    shop.create("plain", &[]);
    shop.create("fair", &[("RedrivePolicy", &policy)]);
    shop.create("orders.fifo", &[("FifoQueue", "true")]);
    let topic = TopicKey::new(Scope::default(), "news");
    let create = CreateTopic {
        topic: topic.clone(),
        ..CreateTopic::default()
    };
    shop.act(|d, now| d.broker.create_topic(create, now));
    for (n, name) in [(1, "plain"), (2, "fair")] {
        let subscribe = Subscribe {
            topic: topic.clone(),
            id: Uuid([n; 16]),
            protocol: "sqs".into(),
            endpoint: key(name).arn().to_string(),
            ..Subscribe::default()
        };
        shop.act(|d, now| d.broker.subscribe(subscribe, now));
    }
    for n in 0..4 {
        if n == 2 && checkpoint {
            shop.checkpoint();
        }
        shop.round();
    }
    (shop.disk.image(), shop.history)
}

/// What a message was does not change, whatever was lost around it.
fn nothing_invented(found: &Contents, history: &Contents, case: &str) {
    for (id, (_, bytes)) in found {
        let was = history.get(id).map(|(_, bytes)| bytes);
        assert_eq!(was, Some(bytes), "{case}: {id:?} was never that");
    }
}

fn is_named(repaired: &Repaired, queue: &str, number: u64, place: Place) -> bool {
    let lost = repaired.lost.iter();
    lost.clone()
        .any(|lost| lost.queue == queue && lost.number == number)
        || repaired.gaps.iter().any(|gap| {
            let inside = gap.from <= place.lsn && gap.to.is_none_or(|to| place.lsn < to);
            let missing = gap.missing.iter();
            let mut named = missing.filter(|m| m.queue == queue);
            inside || named.any(|m| (m.first..=m.last).contains(&number)) || !gap.strangers.is_empty()
        })
}

/// Judges one damage; returns whether it was one.
fn judge(image: Image, sound: &Contents, history: &Contents, case: &str) -> bool {
    let disk = SimDisk::new(1, image.clone());
    let report = verify(&disk).unwrap_or_else(|e| panic!("{case}: {e}"));
    let clock = Arc::<Still>::default();
    if report.is_sound() {
        let done = repair(&disk, &world(&clock, 9), &TINY).unwrap();
        assert!(
            done.was_sound() && disk.image() == image,
            "{case}: a sound store is left alone"
        );
        let found = Shop::open(image)
            .unwrap_or_else(|e| panic!("{case}: {e}"))
            .contents();
        nothing_invented(&found, history, case);
        return false;
    }
    let arns: BTreeMap<QueueId, String> = names(sound);
    let done = match repair(&disk, &world(&clock, 9), &TINY) {
        Ok(done) => done,
        // Without a checkpoint, the beginning of the log is needed.
        Err(OpenError::Hopeless { why, .. })
            if checkpoints(&image) == 0 || case.starts_with("checkpoint-") =>
        {
            assert!(why.contains("which queues"), "{case}: {why}");
            assert_eq!(disk.image(), image, "{case}: refused, so unchanged");
            return true;
        }
        Err(e) => panic!("{case}: {e}\n{report}"),
    };
    let after = disk.image();
    for (name, bytes) in &image {
        let aside = after.get(&format!("{name}.damaged-1"));
        assert!(
            after.get(name) == Some(bytes) || aside == Some(bytes),
            "{case}: {name} is not kept as it was\n{done}"
        );
    }
    assert!(verify(&disk).unwrap().is_sound());
    assert!(repair(&disk, &world(&clock, 9), &TINY).unwrap().was_sound());
    let mut shop = Shop::open(after).unwrap_or_else(|e| panic!("{case}: {e}\n{done}"));
    let found = shop.contents();
    nothing_invented(&found, history, case);
    assert_eq!(found.len() as u64, done.messages, "{case}");
    for (id, (place, bytes)) in sound {
        // A move to the dead-letter queue may be undone.
        let elsewhere = || found.values().any(|(_, other)| other == bytes);
        assert!(
            found.contains_key(id) || elsewhere() || is_named(&done, &arns[&id.0], id.1, *place),
            "{case}: message {id:?} at {:#x} is gone and not named\n{done}",
            place.lsn
        );
    }
    // What is stored can be received, and the log goes on.
    shop.clock.advance(Duration::from_secs(100_000));
    let plain = shop.opened.log.peek(|d, _| d.broker.queue_id(&key("plain")));
    if let Some(id) = plain {
        let stored = found.keys().filter(|(queue, _)| *queue == id).count();
        let mut received = 0;
        loop {
            match shop.receive("plain", 10, 3_000).len() {
                0 => break,
                n => received += n,
            }
        }
        assert_eq!(received, stored, "{case}\n{done}");
        shop.send("plain", None);
        let old = shop.contents();
        let new = old.keys().filter(|id| !found.contains_key(id));
        assert!(
            new.clone().count() == 1 && new.clone().all(|id| !history.contains_key(id)),
            "{case}"
        );
    }
    true
}

/// Queues are created in this order.
fn names(_: &Contents) -> BTreeMap<QueueId, String> {
    let names = ["dead", "plain", "fair", "orders.fifo"];
    (0..)
        .map(QueueId)
        .zip(names.map(|name| key(name).arn().to_string()))
        .collect()
}

fn checkpoints(image: &Image) -> usize {
    image
        .keys()
        .filter(|name| name.starts_with("checkpoint-"))
        .count()
}

fn files(image: &Image) -> Vec<String> {
    let ours = |name: &&String| name.starts_with("log-") || name.starts_with("checkpoint-");
    image.keys().filter(ours).cloned().collect()
}

fn flips(checkpoint: bool, step: usize) {
    let (image, history) = store(checkpoint);
    let sound = Shop::open(image.clone()).unwrap().contents();
    assert!(sound.len() > 20 && history.len() > sound.len() && files(&image).len() > 3);
    let mut damaged = 0;
    for name in files(&image) {
        for at in (0..image[&name].len()).step_by(step) {
            let mut image = image.clone();
            image.get_mut(&name).unwrap()[at] ^= 1 << (at % 8);
            let case = format!("{name}, bit {} of byte {at}", at % 8);
            damaged += usize::from(judge(image, &sound, &history, &case));
        }
    }
    assert!(damaged > 50, "{damaged}");
}

#[test]
fn a_flipped_bit_of_a_log_from_its_beginning() {
    flips(false, 29);
}

#[test]
fn a_flipped_bit_of_a_log_with_a_checkpoint() {
    flips(true, 29);
}

#[test]
fn cut_zeroed_and_missing_files() {
    for checkpoint in [false, true] {
        let (image, history) = store(checkpoint);
        let sound = Shop::open(image.clone()).unwrap().contents();
        for name in files(&image) {
            let mut without = image.clone();
            without.remove(&name);
            judge(without, &sound, &history, &format!("{name} removed"));
            for at in (0..image[&name].len()).step_by(251) {
                let mut cut = image.clone();
                cut.get_mut(&name).unwrap().truncate(at);
                judge(cut, &sound, &history, &format!("{name} cut at {at}"));
                let mut zeroed = image.clone();
                let file = zeroed.get_mut(&name).unwrap();
                let end = (at + 700).min(file.len());
                file[at..end].fill(0);
                judge(zeroed, &sound, &history, &format!("{name} zeroed from {at}"));
            }
        }
    }
}

#[test]
fn lost_messages_are_named_by_queue_and_number() {
    let (mut image, _) = store(true);
    let sound = Shop::open(image.clone()).unwrap().contents();
    let (id, (place, _)) = sound.iter().find(|((queue, _), _)| *queue == QueueId(3)).unwrap();
    let bases = files(&image)
        .into_iter()
        .filter_map(|name| u64::from_str_radix(name.strip_prefix("log-")?, 16).ok());
    let base = bases.filter(|base| *base <= place.lsn).max().unwrap();
    let first = format!("log-{base:016x}");
    image.get_mut(&first).unwrap()[64 + (place.lsn - base) as usize + place.len as usize - 1] ^= 1;
    let disk = SimDisk::new(1, image);
    let done = repair(&disk, &world(&Arc::default(), 9), &TINY).unwrap();
    assert_eq!(done.lost.len(), 1, "{done}");
    assert_eq!((done.lost[0].number, &done.gaps), (id.1, &Vec::new()));
    assert!(done.lost[0].queue.ends_with(":orders.fifo"));
    assert!(done.lost[0].id.is_some());
    let text = done.to_string();
    assert!(
        text.contains(&format!("LOST message number {} of ", id.1)),
        "{text}"
    );
}

#[test]
fn a_repair_that_stops_anywhere_can_be_begun_anew() {
    let (mut image, history) = store(true);
    let sound = Shop::open(image.clone()).unwrap().contents();
    let first = image.keys().find(|n| n.starts_with("log-")).unwrap().clone();
    let last = image.keys().rfind(|n| n.starts_with("log-")).unwrap().clone();
    image.get_mut(&first).unwrap()[20] ^= 1;
    image.get_mut(&last).unwrap()[64 + 5] ^= 1;
    let mut whole = 0;
    for after in 0.. {
        let disk = SimDisk::new(after, image.clone());
        disk.fail(after, Fault::Halt);
        let first = repair(&disk, &world(&Arc::default(), 9), &TINY);
        if !disk.halted() {
            whole = first.unwrap().messages;
            break;
        }
        assert!(first.is_err());
        let disk = SimDisk::new(1, disk.crash(crate::disk::sim::Crash::Power));
        let again = repair(&disk, &world(&Arc::default(), 9), &TINY).unwrap();
        let found = Shop::open(disk.image()).unwrap().contents();
        nothing_invented(&found, &history, "stopped");
        assert!(found.len() as u64 == again.messages && found.len() <= sound.len() + 10);
    }
    assert!(whole > 10);
}

#[test]
fn a_store_in_use_is_not_repaired() {
    let disk = SimDisk::new(1, store(false).0);
    let guard = disk.lock().unwrap();
    let refused = repair(&disk, &world(&Arc::default(), 9), &TINY);
    assert!(matches!(refused, Err(OpenError::Locked { .. })));
    drop(guard);
}
