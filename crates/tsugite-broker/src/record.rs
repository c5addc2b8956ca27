//! What the broker writes to the log. Kind numbers and field orders are frozen once released.
//!
//! | kind | record | fields after the kind and the time |
//! |---|---|---|
//! | 1 | [`Change::CreateQueue`] | number u32, key, created, settings |
//! | 2 | [`Change::SetQueueAttributes`] | number u32, changed, settings |
//! | 3 | [`Change::DeleteQueue`] | number u32 |
//! | 4 | [`Change::PurgeQueue`] | number u32 |
//! | 5 | [`Change::Send`] | number u32, first u64, count u32, count × (delay u32 ms, length u32), payloads to the end |
//! | 6 | [`Change::Receive`] | number u32, wall, timeout u32 ms, leases u32 × u64, target u32, moves u32 × u64, first u64 |
//! | 7 | [`Change::Delete`] | number u32, u32 × u64 |
//! | 8 | [`Change::ChangeVisibility`] | number u32, count u32, count × (seq u64, timeout u32 ms) |
//! | 9 | [`TopicChange::PutTopic`] | key, created, attributes and tags (count u32 × (key, value)), data protection? |
//! | 10 | [`TopicChange::DeleteTopic`] | key |
//! | 11 | [`TopicChange::PutSubscription`] | key, id 16 bytes, protocol u8, endpoint, owner, principal, confirmation, outbox?, attributes, replay?, base URL? |
//! | 12 | [`TopicChange::Unsubscribe`] | key, id 16 bytes |
//! | 13 | [`TopicChange::Publish`] | key, (number u64, id and repeat key, 16 bytes each)?, failed u32, numbers u32 × u64, as many deliveries (25 bytes each), payload to the end |
//! | 14 | [`Change::Reset`] | |
//! | 15 | [`Change::TagQueue`] | number u32, count u32 × (key, value), count u32 × key |
//! | 16 | [`TaskChange::Start`] | number u32, id 16 bytes, destination?, rate u32 (0: none), wall, below u64, total u64 |
//! | 17 | [`TaskChange::End`] | number u32, id 16 bytes, status u8 |
//! | 18 | [`TaskChange::Move`] | number u32, id 16 bytes, count u32 × (seq u64, to u32, number u64, length u32), payloads to the end |
//! | 20 | [`Change::Send`], some with a group | as 5, after each length a grouped u8 and a key as an option of 16 bytes |
//! | 21 | [`Change::Receive`] with an attempt | as 6, then the attempt's key, 16 bytes |
//! | 22 | [`Change::RepeatReceive`] | number u32, the attempt's key, timeout u32 ms |
//! | 23 | [`TopicChange::GiveUp`] | number u32, seq u64, (number u32, seq u64)?, key |
//! | 24 | [`TopicChange::Replay`] | key, id 16 bytes, target u32, next u64, status u8, count u32 × (number u64, length u32), deliveries and payloads to the end |
//! | 19 | [`Change::Relocate`] | number u32, count u32 × (seq u64, old position u64, delivery u32, length u32), bytes to the end |
//!
//! Records that store messages say the numbers that these get, `first` and those after it (`numbers.rs` says why).
//! Payloads end their record, so that their place follows from the record's end and their lengths.

use tsugite_base::Timestamp;
use tsugite_base::codec::{Get, Malformed, Put};

use crate::dedup::Fingerprint;
use crate::keys::{QueueId, QueueKey};
use crate::relocate::{self, Moved};
use crate::settings::{QueueSettings, get_queue, put_queue};
use crate::tasks::TaskChange;
use crate::topics::TopicChange;

/// One durable fact. `at` is the machine's time: timers due by then fire before the record is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it was decided, in the machine's time.
    pub at: Timestamp,
    /// What was decided.
    pub change: Change,
}

/// What a record changes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the table above and the commands of the same names explain the fields"
)]
pub enum Change {
    CreateQueue {
        queue: QueueId,
        key: QueueKey,
        created: Timestamp,
        settings: Box<QueueSettings>,
    },
    SetQueueAttributes {
        queue: QueueId,
        changed: Timestamp,
        settings: Box<QueueSettings>,
    },
    DeleteQueue {
        queue: QueueId,
    },
    PurgeQueue {
        queue: QueueId,
    },
    Send {
        queue: QueueId,
        first: u64,
        entries: Vec<Sent>,
        payloads: Vec<u8>,
    },
    Receive {
        queue: QueueId,
        wall: Timestamp,
        timeout_ms: u32,
        leases: Vec<u64>,
        moves: Vec<u64>,
        target: QueueId,
        first: u64,
        attempt: Option<Fingerprint>,
    },
    RepeatReceive {
        queue: QueueId,
        attempt: Fingerprint,
        timeout_ms: u32,
    },
    Delete {
        queue: QueueId,
        seqs: Vec<u64>,
    },
    ChangeVisibility {
        queue: QueueId,
        changes: Vec<(u64, u32)>,
    },
    Reset,
    TagQueue {
        queue: QueueId,
        set: Vec<(String, String)>,
        removed: Vec<String>,
    },
    MoveTask(TaskChange),
    Topic(TopicChange),
    Relocate {
        queue: QueueId,
        moved: Vec<Moved>,
        bytes: Vec<u8>,
    },
}

/// One message of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Milliseconds until it can be received for the first time.
    pub delay_ms: u32,
    /// Bytes of its payload.
    pub len: u32,
    /// Whether it has a group; its name is in the payload.
    pub grouped: bool,
    /// On FIFO queues: what makes another one a repeat of it.
    pub key: Option<Fingerprint>,
}

const WHAT: &str = "broker record";

impl Record {
    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(self.change.kind());
        out.put_time(self.at);
        self.change.encode(out);
    }

    /// Reads a record back.
    ///
    /// # Errors
    /// The bytes are not those of a record of this version.
    pub fn decode(bytes: &[u8]) -> Result<Record, Malformed> {
        let mut get = Get::new(bytes);
        let kind = get.u8(WHAT)?;
        let at = get.time(WHAT)?;
        let change = match kind {
            1..=4 | 14 | 15 => decode_other(kind, &mut get)?,
            5..=8 | 20..=22 => decode_message(kind, &mut get)?,
            9..=13 | 23 | 24 => Change::Topic(TopicChange::decode(kind, &mut get)?),
            16..=18 => Change::MoveTask(TaskChange::decode(kind, &mut get)?),
            19 => relocate::decode(&mut get)?,
            _ => {
                return Err(Malformed {
                    what: "broker record kind",
                });
            }
        };
        get.end(WHAT)?;
        Ok(Record { at, change })
    }
}

impl Change {
    fn kind(&self) -> u8 {
        match self {
            Change::CreateQueue { .. } => 1,
            Change::SetQueueAttributes { .. } => 2,
            Change::DeleteQueue { .. } => 3,
            Change::PurgeQueue { .. } => 4,
            Change::Send { entries, .. } if entries.iter().any(|entry| entry.grouped) => 20,
            Change::Send { .. } => 5,
            Change::Receive { attempt: Some(_), .. } => 21,
            Change::Receive { .. } => 6,
            Change::RepeatReceive { .. } => 22,
            Change::Delete { .. } => 7,
            Change::ChangeVisibility { .. } => 8,
            Change::Topic(change) => change.kind(),
            Change::Reset => 14,
            Change::TagQueue { .. } => 15,
            Change::MoveTask(change) => change.kind(),
            Change::Relocate { .. } => 19,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Change::Send {
                queue,
                first,
                entries,
                payloads,
            } => {
                out.put_u32(queue.0);
                out.put_u64(*first);
                put_entries(out, entries);
                out.extend_from_slice(payloads);
            }
            Change::Receive {
                queue,
                wall,
                timeout_ms,
                leases,
                moves,
                target,
                first,
                attempt,
            } => {
                out.put_u32(queue.0);
                out.put_time(*wall);
                out.put_u32(*timeout_ms);
                put_seqs(out, leases);
                out.put_u32(target.0);
                put_seqs(out, moves);
                out.put_u64(*first);
                if let Some(attempt) = attempt {
                    attempt.encode(out);
                }
            }
            Change::RepeatReceive {
                queue,
                attempt,
                timeout_ms,
            } => {
                out.put_u32(queue.0);
                attempt.encode(out);
                out.put_u32(*timeout_ms);
            }
            Change::Delete { queue, seqs } => {
                out.put_u32(queue.0);
                put_seqs(out, seqs);
            }
            Change::ChangeVisibility { queue, changes } => {
                out.put_u32(queue.0);
                out.put_u32(changes.len() as u32);
                for (seq, timeout_ms) in changes {
                    out.put_u64(*seq);
                    out.put_u32(*timeout_ms);
                }
            }
            Change::Topic(change) => change.encode(out),
            Change::MoveTask(change) => change.encode(out),
            Change::Relocate { queue, moved, bytes } => relocate::encode(out, *queue, moved, bytes),
            of_queues_and_topics => of_queues_and_topics.encode_other(out),
        }
    }

    /// Records that are about no single message.
    fn encode_other(&self, out: &mut Vec<u8>) {
        match self {
            Change::CreateQueue {
                queue,
                key,
                created,
                settings,
            } => {
                out.put_u32(queue.0);
                put_queue(out, key);
                out.put_time(*created);
                settings.encode(out);
            }
            Change::SetQueueAttributes {
                queue,
                changed,
                settings,
            } => {
                out.put_u32(queue.0);
                out.put_time(*changed);
                settings.encode(out);
            }
            Change::DeleteQueue { queue } | Change::PurgeQueue { queue } => out.put_u32(queue.0),
            Change::TagQueue { queue, set, removed } => {
                out.put_u32(queue.0);
                out.put_u32(set.len() as u32);
                for (key, value) in set {
                    out.put_str(key);
                    out.put_str(value);
                }
                out.put_u32(removed.len() as u32);
                removed.iter().for_each(|key| out.put_str(key));
            }
            Change::Reset
            | Change::Send { .. }
            | Change::Receive { .. }
            | Change::RepeatReceive { .. }
            | Change::Delete { .. }
            | Change::ChangeVisibility { .. }
            | Change::MoveTask(_)
            | Change::Topic(_)
            | Change::Relocate { .. } => {}
        }
    }
}

fn decode_other(kind: u8, get: &mut Get<'_>) -> Result<Change, Malformed> {
    Ok(match kind {
        1 => Change::CreateQueue {
            queue: QueueId(get.u32(WHAT)?),
            key: get_queue(get)?,
            created: get.time(WHAT)?,
            settings: Box::new(QueueSettings::decode(get)?),
        },
        2 => Change::SetQueueAttributes {
            queue: QueueId(get.u32(WHAT)?),
            changed: get.time(WHAT)?,
            settings: Box::new(QueueSettings::decode(get)?),
        },
        3 => Change::DeleteQueue {
            queue: QueueId(get.u32(WHAT)?),
        },
        4 => Change::PurgeQueue {
            queue: QueueId(get.u32(WHAT)?),
        },
        15 => get_tags(get)?,
        _ => Change::Reset,
    })
}

fn get_tags(get: &mut Get<'_>) -> Result<Change, Malformed> {
    let queue = QueueId(get.u32(WHAT)?);
    let (mut set, mut removed) = (Vec::new(), Vec::new());
    for _ in 0..get.u32(WHAT)? {
        let key = get.str(WHAT)?.to_owned();
        set.push((key, get.str(WHAT)?.to_owned()));
    }
    for _ in 0..get.u32(WHAT)? {
        removed.push(get.str(WHAT)?.to_owned());
    }
    Ok(Change::TagQueue { queue, set, removed })
}

fn decode_message(kind: u8, get: &mut Get<'_>) -> Result<Change, Malformed> {
    let queue = QueueId(get.u32(WHAT)?);
    Ok(match kind {
        5 | 20 => get_send(queue, kind == 20, get)?,
        6 | 21 => Change::Receive {
            queue,
            wall: get.time(WHAT)?,
            timeout_ms: get.u32(WHAT)?,
            leases: get_seqs(get)?,
            target: QueueId(get.u32(WHAT)?),
            moves: get_seqs(get)?,
            first: get.u64(WHAT)?,
            attempt: if kind == 21 {
                Some(Fingerprint::decode(get)?)
            } else {
                None
            },
        },
        22 => Change::RepeatReceive {
            queue,
            attempt: Fingerprint::decode(get)?,
            timeout_ms: get.u32(WHAT)?,
        },
        7 => Change::Delete {
            queue,
            seqs: get_seqs(get)?,
        },
        _ => {
            let mut changes = Vec::new();
            for _ in 0..get.u32(WHAT)? {
                changes.push((get.u64(WHAT)?, get.u32(WHAT)?));
            }
            Change::ChangeVisibility { queue, changes }
        }
    })
}

fn get_send(queue: QueueId, grouped: bool, get: &mut Get<'_>) -> Result<Change, Malformed> {
    let (first, mut entries) = (get.u64(WHAT)?, Vec::new());
    for _ in 0..get.u32(WHAT)? {
        let (delay_ms, len) = (get.u32(WHAT)?, get.u32(WHAT)?);
        entries.push(Sent {
            delay_ms,
            len,
            grouped: grouped && get.u8(WHAT)? != 0,
            key: if grouped {
                get.option(WHAT, Fingerprint::decode)?
            } else {
                None
            },
        });
    }
    let payloads = get.take(get.remaining(), WHAT)?.to_vec();
    let lengths = entries.iter().map(|e| e.len as usize).sum::<usize>();
    if lengths != payloads.len() {
        return Err(Malformed {
            what: "lengths of a send",
        });
    }
    Ok(Change::Send {
        queue,
        first,
        entries,
        payloads,
    })
}

fn put_entries(out: &mut Vec<u8>, entries: &[Sent]) {
    out.put_u32(entries.len() as u32);
    let grouped = entries.iter().any(|entry| entry.grouped);
    for entry in entries {
        out.put_u32(entry.delay_ms);
        out.put_u32(entry.len);
        if grouped {
            out.put_u8(u8::from(entry.grouped));
            out.put_option(entry.key, |out, key| key.encode(out));
        }
    }
}

fn put_seqs(out: &mut Vec<u8>, seqs: &[u64]) {
    out.put_u32(seqs.len() as u32);
    seqs.iter().for_each(|seq| out.put_u64(*seq));
}

fn get_seqs(get: &mut Get<'_>) -> Result<Vec<u64>, Malformed> {
    let mut seqs = Vec::new();
    for _ in 0..get.u32(WHAT)? {
        seqs.push(get.u64(WHAT)?);
    }
    Ok(seqs)
}
