//! Records, snapshots and payloads: what is written is read back; what is not ours is refused, never a panic.

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use tsugite_base::names::Scope;
use tsugite_base::{Place, Sheaf, Timestamp, Uuid};
use tsugite_broker::Fingerprint;
use tsugite_broker::record::{Change, Sent};
use tsugite_broker::settings::{
    DeduplicationScope, Fifo, QueueSettings, RedriveAllowPolicy, RedrivePermission, RedrivePolicy,
    ThroughputLimit,
};
use tsugite_broker::{
    Broker, Confirmation, Delivery, Lease, Message, Move, MoveFailure, MoveStatus, Moved, Protocol, QueueId,
    QueueKey, Record, Replay, ReplayStatus, Settings, Subscription, SubscriptionKey, TaskChange, TopicChange,
    TopicKey, TopicSettings,
};

fn scope() -> impl Strategy<Value = Scope> {
    ("[0-9]{12}", "[a-z-]{1,12}").prop_map(|(account, region)| Scope { account, region })
}

fn queue_key() -> impl Strategy<Value = QueueKey> {
    (scope(), "[A-Za-z0-9_-]{1,80}").prop_map(|(scope, name)| QueueKey { scope, name })
}

fn topic() -> impl Strategy<Value = TopicKey> {
    (scope(), "[A-Za-z0-9_-]{1,80}").prop_map(|(scope, name)| TopicKey { scope, name })
}

fn queue() -> impl Strategy<Value = QueueId> {
    any::<u32>().prop_map(QueueId)
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp)
}

fn settings() -> impl Strategy<Value = Box<QueueSettings>> {
    let redrive = (".*", queue_key(), any::<u32>()).prop_map(|(text, target, max_receives)| RedrivePolicy {
        text,
        target,
        max_receives,
    });
    let permission = prop_oneof![
        Just(RedrivePermission::All),
        Just(RedrivePermission::Nobody),
        vec(queue_key(), 0..4).prop_map(RedrivePermission::Queues),
    ];
    let allow = (".*", permission).prop_map(|(text, permission)| RedriveAllowPolicy { text, permission });
    let numbers = (
        any::<u32>(),
        any::<u32>(),
        any::<u32>(),
        any::<u32>(),
        any::<u32>(),
    );
    let fifo = any::<[bool; 3]>().prop_map(|[content_based, by_group, per_group]| Fifo {
        content_based,
        scope: if by_group {
            DeduplicationScope::MessageGroup
        } else {
            DeduplicationScope::Queue
        },
        enforced: DeduplicationScope::MessageGroup,
        throughput: if per_group {
            ThroughputLimit::PerMessageGroupId
        } else {
            ThroughputLimit::PerQueue
        },
    });
    let policies = (
        proptest::option::of(redrive),
        proptest::option::of(allow),
        proptest::option::of(fifo),
    );
    (numbers, any::<bool>(), policies).prop_map(
        |((delay, max_size, retention, wait, visibility), sse, policies)| {
            Box::new(QueueSettings {
                delay,
                max_size,
                retention,
                wait,
                visibility,
                managed_sse: sse,
                redrive: policies.0,
                redrive_allow: policies.1,
                policy: sse.then(|| "{}".into()),
                kms_key: sse.then(|| "alias/k".into()),
                kms_reuse: sse.then_some(delay),
                fifo: policies.2,
            })
        },
    )
}

fn delivery() -> impl Strategy<Value = Delivery> {
    (queue(), any::<[u8; 16]>(), any::<[bool; 3]>(), 0u8..16).prop_map(|(queue, id, flags, text)| Delivery {
        queue,
        subscription: Uuid(id),
        raw: flags[0],
        grouped: flags[1],
        replayed: flags[2],
        text,
    })
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    proptest::collection::btree_map(".{0,5}", ".{0,9}", 0..4)
}

fn topic_settings() -> impl Strategy<Value = TopicSettings> {
    (time(), texts(), texts(), proptest::option::of(".{0,9}")).prop_map(
        |(created, attributes, tags, data_protection)| TopicSettings {
            created,
            attributes,
            tags,
            data_protection,
        },
    )
}

fn replay_status() -> impl Strategy<Value = ReplayStatus> {
    prop::sample::select(vec![
        ReplayStatus::Pending,
        ReplayStatus::InProgress,
        ReplayStatus::Completed,
        ReplayStatus::Failed,
    ])
}

fn replay() -> impl Strategy<Value = Replay> {
    let window = (time(), proptest::option::of(time()));
    (window, any::<[u64; 2]>(), replay_status()).prop_map(|((from, until), [next, old_below], status)| {
        Replay {
            from,
            until,
            next,
            old_below,
            status,
        }
    })
}

fn subscription() -> impl Strategy<Value = Subscription> {
    let protocols = [Protocol::Sqs, Protocol::Http, Protocol::EmailJson, Protocol::Sms];
    let confirmation = prop_oneof![
        (".{0,9}", time()).prop_map(|(token, until)| Confirmation::Pending { token, until }),
        (".{0,9}", time()).prop_map(|(token, until)| Confirmation::Leaving { token, until }),
        (".{0,9}", any::<bool>(), any::<bool>()).prop_map(|(token, authenticated, guarded)| {
            Confirmation::Confirmed {
                authenticated,
                guarded,
                token,
            }
        }),
    ];
    let queue_key = queue_key().prop_map(|key| key.arn().to_string());
    let outbox = proptest::option::of(queue());
    (
        prop::sample::select(protocols.to_vec()),
        queue_key,
        confirmation,
        outbox,
        proptest::option::of(replay()),
    )
        .prop_map(
            |(protocol, endpoint, confirmation, outbox, replay)| Subscription {
                confirmation,
                outbox,
                replay,
                ..Subscription::new(
                    protocol,
                    &endpoint,
                    "000000000000",
                    "arn:aws:iam::000000000000:root",
                )
            },
        )
}

fn topic_change() -> impl Strategy<Value = TopicChange> {
    let id = || any::<[u8; 16]>().prop_map(Uuid);
    let accepted = proptest::option::of((any::<u64>(), id(), any::<[u64; 2]>().prop_map(Fingerprint)));
    let target = proptest::option::of((queue(), any::<u64>()));
    prop_oneof![
        (topic(), topic_settings()).prop_map(|(topic, settings)| TopicChange::PutTopic {
            topic,
            settings: Box::new(settings),
        }),
        topic().prop_map(|topic| TopicChange::DeleteTopic { topic }),
        (topic(), id(), subscription()).prop_map(|(topic, id, subscription)| {
            TopicChange::PutSubscription {
                topic,
                id,
                subscription: Box::new(subscription),
            }
        }),
        (topic(), id()).prop_map(|(topic, id)| TopicChange::Unsubscribe { topic, id }),
        (
            topic(),
            accepted,
            any::<u32>(),
            vec(delivery(), 0..5),
            vec(any::<u8>(), 0..50)
        )
            .prop_map(|(topic, accepted, failed, deliveries, payload)| {
                TopicChange::Publish {
                    topic,
                    accepted,
                    failed,
                    numbers: (7..).take(deliveries.len()).collect(),
                    deliveries,
                    payload,
                }
            }),
        (
            topic(),
            id(),
            queue(),
            any::<u64>(),
            replay_status(),
            vec(any::<u64>(), 0..4)
        )
            .prop_map(|(topic, id, target, next, status, numbers)| {
                let length = |number: &u64| (*number, (*number % 40) as u32);
                let messages: Vec<(u64, u32)> = numbers.iter().map(length).collect();
                let total: usize = messages.iter().map(|(_, len)| 25 + *len as usize).sum();
                TopicChange::Replay {
                    subscription: SubscriptionKey { topic, id },
                    target,
                    next,
                    status,
                    messages,
                    bytes: vec![7; total],
                }
            }),
        (queue(), any::<u64>(), target, topic()).prop_map(|(outbox, seq, target, topic)| {
            TopicChange::GiveUp {
                outbox,
                seq,
                target,
                topic,
            }
        }),
    ]
}

fn send() -> impl Strategy<Value = Change> {
    let group = proptest::option::of(proptest::option::of(any::<[u64; 2]>()));
    let message = (any::<u32>(), vec(any::<u8>(), 0..50), group);
    (queue(), any::<u64>(), vec(message, 0..10)).prop_map(|(queue, first, messages)| Change::Send {
        queue,
        first,
        entries: messages
            .iter()
            .map(|(delay_ms, payload, group)| Sent {
                delay_ms: *delay_ms,
                len: payload.len() as u32,
                grouped: group.is_some(),
                key: group.flatten().map(Fingerprint),
            })
            .collect(),
        payloads: messages.into_iter().flat_map(|(_, payload, _)| payload).collect(),
    })
}

fn status() -> impl Strategy<Value = MoveStatus> {
    prop_oneof![
        Just(MoveStatus::Running),
        Just(MoveStatus::Completed),
        Just(MoveStatus::Cancelled),
        Just(MoveStatus::Failed(MoveFailure::DestinationMissing)),
        Just(MoveStatus::Failed(MoveFailure::OriginUnknown)),
        Just(MoveStatus::Failed(MoveFailure::TimeLimit)),
        Just(MoveStatus::Failed(MoveFailure::Unreadable)),
    ]
}

fn task_change() -> impl Strategy<Value = TaskChange> {
    // Few queues and tasks, so that records meet.
    let source = || (0u32..4).prop_map(QueueId);
    let id = || (0u8..4).prop_map(|id| Uuid([id; 16]));
    let destination = proptest::option::of((queue(), queue_key()));
    prop_oneof![
        (
            (source(), id(), destination, proptest::option::of(1..=500u32)),
            (time(), any::<u64>(), any::<u64>())
        )
            .prop_map(|((source, id, destination, rate), (started, below, total))| {
                TaskChange::Start {
                    source,
                    id,
                    destination,
                    rate,
                    started,
                    below,
                    total,
                }
            }),
        (source(), id(), status()).prop_map(|(source, id, status)| TaskChange::End { source, id, status }),
        (
            source(),
            id(),
            vec((0u64..20, source(), vec(any::<u8>(), 0..50)), 0..5)
        )
            .prop_map(|(source, id, moves)| TaskChange::Move {
                source,
                id,
                moves: moves
                    .iter()
                    .map(|(seq, to, payload)| Move {
                        seq: *seq,
                        to: *to,
                        number: seq + 7,
                        len: payload.len() as u32,
                    })
                    .collect(),
                payloads: moves.into_iter().flat_map(|(_, _, payload)| payload).collect(),
            }),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let seqs = || vec(any::<u64>(), 0..10);
    prop_oneof![
        (queue(), queue_key(), time(), settings()).prop_map(|(queue, key, created, settings)| {
            Change::CreateQueue {
                queue,
                key,
                created,
                settings,
            }
        }),
        (queue(), time(), settings()).prop_map(|(queue, changed, settings)| Change::SetQueueAttributes {
            queue,
            changed,
            settings
        }),
        queue().prop_map(|queue| Change::DeleteQueue { queue }),
        queue().prop_map(|queue| Change::PurgeQueue { queue }),
        send(),
        (
            queue(),
            time(),
            any::<u32>(),
            seqs(),
            seqs(),
            queue(),
            proptest::option::of(any::<[u64; 2]>())
        )
            .prop_map(|(queue, wall, timeout_ms, leases, moves, target, attempt)| {
                Change::Receive {
                    queue,
                    wall,
                    timeout_ms,
                    leases,
                    moves,
                    target,
                    first: 5,
                    attempt: attempt.map(Fingerprint),
                }
            }),
        (queue(), any::<[u64; 2]>(), any::<u32>()).prop_map(|(queue, attempt, timeout_ms)| {
            Change::RepeatReceive {
                queue,
                attempt: Fingerprint(attempt),
                timeout_ms,
            }
        }),
        (queue(), seqs()).prop_map(|(queue, seqs)| Change::Delete { queue, seqs }),
        (queue(), vec(any::<(u64, u32)>(), 0..10))
            .prop_map(|(queue, changes)| Change::ChangeVisibility { queue, changes }),
        topic_change().prop_map(Change::Topic),
        Just(Change::Reset),
        task_change().prop_map(Change::MoveTask),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    (time(), change()).prop_map(|(at, change)| Record { at, change })
}

fn encoded(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn records_round_trip(record in record()) {
        let bytes = encoded(&record);
        prop_assert_eq!(Record::decode(&bytes), Ok(record));
    }

    #[test]
    fn cut_records_are_refused(record in record(), cut in any::<prop::sample::Index>()) {
        let bytes = encoded(&record);
        let cut = cut.index(bytes.len());
        // A publish ends where its payload ends, and the log knows that end; all others notice.
        if !matches!(record.change, Change::Topic(TopicChange::Publish { .. })) {
            prop_assert!(Record::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn damaged_records_never_panic(
        record in record(),
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let mut bytes = encoded(&record);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(decoded) = Record::decode(&bytes) {
            // Whatever still decodes can be applied, to any state.
            let place = Place { lsn: 64, len: bytes.len() as u32 };
            Broker::new(Settings::default()).apply(decoded, place);
        }
    }

    #[test]
    fn garbage_never_panics(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Record::decode(&bytes);
        let _ = Broker::restore(&bytes, Settings::default());
        let mut versioned = vec![1];
        versioned.extend_from_slice(&bytes);
        let _ = Broker::restore(&versioned, Settings::default());
        let lease = Lease {
            handle: String::new(),
            payload: Place::default(),
            delivery: None,
            receive_count: 1,
            first_received: Timestamp(0),
            dead_letter_source: None,
            sequence: None,
            resent: None,
        };
        prop_assert!(Message::read(lease.clone(), &bytes, None).is_err());
        prop_assert!(Message::read(lease, &bytes, Some(&bytes)).is_err());
    }

    #[test]
    fn any_records_can_be_applied_and_survive_a_snapshot(records in vec(record(), 0..30)) {
        let mut broker = Broker::new(Settings::default());
        let mut lsn = 64;
        for mut record in records {
            // Few queues and sane times, so that records meet.
            record.at = Timestamp(record.at.0 % 1_000_000);
            let bytes = encoded(&record);
            let place = Place { lsn, len: bytes.len() as u32 };
            lsn = place.end();
            broker.apply(record, place);
        }
        let (mut before, mut after) = (Sheaf::default(), Sheaf::default());
        broker.snapshot(&mut before);
        let before = before.to_vec();
        Broker::restore(&before, Settings::default()).unwrap().snapshot(&mut after);
        prop_assert_eq!(before, after.to_vec());
    }
}

#[test]
fn kind_numbers_are_frozen() {
    let key = QueueKey::new(Scope::default(), "q");
    let (queue, topic) = (QueueId(1), TopicKey::new(Scope::default(), "t"));
    let settings = Box::<QueueSettings>::default();
    let (subscription, t) = (Uuid([0; 16]), Timestamp(0));
    let changes = [
        Change::CreateQueue {
            queue,
            key: key.clone(),
            created: t,
            settings: settings.clone(),
        },
        Change::SetQueueAttributes {
            queue,
            changed: t,
            settings,
        },
        Change::DeleteQueue { queue },
        Change::PurgeQueue { queue },
        Change::Send {
            queue,
            first: 0,
            entries: vec![],
            payloads: vec![],
        },
        Change::Receive {
            queue,
            wall: t,
            timeout_ms: 0,
            leases: vec![],
            moves: vec![],
            target: queue,
            first: 0,
            attempt: None,
        },
        Change::Delete { queue, seqs: vec![] },
        Change::ChangeVisibility {
            queue,
            changes: vec![],
        },
        Change::Topic(TopicChange::PutTopic {
            topic: topic.clone(),
            settings: Box::default(),
        }),
        Change::Topic(TopicChange::DeleteTopic { topic: topic.clone() }),
        Change::Topic(TopicChange::PutSubscription {
            topic: topic.clone(),
            id: subscription,
            subscription: Box::new(Subscription::new(Protocol::Sqs, "arn", "o", "p")),
        }),
        Change::Topic(TopicChange::Unsubscribe {
            topic: topic.clone(),
            id: subscription,
        }),
        Change::Topic(TopicChange::Publish {
            topic,
            accepted: None,
            failed: 0,
            numbers: vec![],
            deliveries: vec![],
            payload: vec![],
        }),
        Change::Reset,
        Change::TagQueue {
            queue,
            set: vec![("k".into(), "v".into())],
            removed: vec!["r".into()],
        },
        Change::MoveTask(TaskChange::Start {
            source: queue,
            id: subscription,
            destination: None,
            rate: None,
            started: t,
            below: 0,
            total: 0,
        }),
        Change::MoveTask(TaskChange::End {
            source: queue,
            id: subscription,
            status: MoveStatus::Completed,
        }),
        Change::MoveTask(TaskChange::Move {
            source: queue,
            id: subscription,
            moves: vec![],
            payloads: vec![],
        }),
    ];
    for (kind, change) in (1u8..).zip(changes) {
        assert_eq!(encoded(&Record { at: t, change })[0], kind);
    }
    let relocation = Change::Relocate {
        queue,
        moved: vec![Moved {
            seq: 1,
            from: 640,
            delivery: 25,
            len: 3,
        }],
        bytes: vec![7; 28],
    };
    let record = Record {
        at: t,
        change: relocation,
    };
    let bytes = encoded(&record);
    assert_eq!(bytes[0], 19);
    assert_eq!(Record::decode(&bytes), Ok(record));
    assert!(
        Record::decode(&bytes[..bytes.len() - 1]).is_err(),
        "lengths must agree"
    );
    let attempt = Fingerprint([1, 2]);
    let later = [
        Change::Send {
            queue,
            first: 0,
            entries: vec![Sent {
                delay_ms: 0,
                len: 0,
                grouped: true,
                key: None,
            }],
            payloads: vec![],
        },
        Change::Receive {
            queue,
            wall: t,
            timeout_ms: 0,
            leases: vec![],
            moves: vec![],
            target: queue,
            first: 0,
            attempt: Some(attempt),
        },
        Change::RepeatReceive {
            queue,
            attempt,
            timeout_ms: 0,
        },
        Change::Topic(TopicChange::GiveUp {
            outbox: queue,
            seq: 1,
            target: None,
            topic: TopicKey::default(),
        }),
        Change::Topic(TopicChange::Replay {
            subscription: SubscriptionKey {
                topic: TopicKey::default(),
                id: subscription,
            },
            target: queue,
            next: 0,
            status: ReplayStatus::Pending,
            messages: vec![],
            bytes: vec![],
        }),
    ];
    for (kind, change) in (20u8..).zip(later) {
        assert_eq!(encoded(&Record { at: t, change })[0], kind);
    }
    for unknown in [0, 25, 255] {
        assert!(Record::decode(&[unknown, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }
}

const fn plain(delay_ms: u32, len: u32) -> Sent {
    Sent {
        delay_ms,
        len,
        grouped: false,
        key: None,
    }
}

#[test]
fn a_frozen_record_still_decodes() {
    // A send of two messages, written by the first version.
    let bytes = [
        5, 8, 7, 6, 5, 4, 3, 2, 1, 3, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0,
        232, 3, 0, 0, 1, 0, 0, 0, 65, 66, 67,
    ];
    let expected = Record {
        at: Timestamp(0x0102_0304_0506_0708),
        change: Change::Send {
            queue: QueueId(3),
            first: 9,
            entries: vec![plain(0, 2), plain(1_000, 1)],
            payloads: b"ABC".to_vec(),
        },
    };
    assert_eq!(Record::decode(&bytes), Ok(expected));
}
