//! What the broker promises, one story each.

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod common;

use std::time::Duration;

use common::{Bench, body, pairs, queue, redrive, topic};
use tsugite_base::names::Scope;
use tsugite_base::{Now, Place, Timestamp, Wait};
use tsugite_broker::*;

#[test]
fn a_message_is_leased_shown_again_and_deleted() {
    let mut b = Bench::with_queues(&["q"]);
    let id = b.send("q", "hello");
    let first = b.receive("q", 1).remove(0);
    assert_eq!((first.id, body(&first), first.receive_count), (id, "hello", 1));
    assert_eq!(b.counts("q"), (0, 1, 0));
    b.pass(Duration::from_millis(29_999));
    assert!(b.receive("q", 1).is_empty());
    b.pass(Duration::from_millis(1));
    let second = b.receive("q", 1).remove(0);
    assert_eq!(
        (second.receive_count, second.first_received),
        (2, first.first_received)
    );
    assert_ne!(first.handle, second.handle);
    // The older handle does nothing, successfully; the latest one deletes, also after its lease ended.
    assert_eq!(b.delete("q", &first.handle), Ok(()));
    assert_eq!(b.counts("q"), (0, 1, 0));
    b.seconds(31);
    assert_eq!(b.counts("q"), (1, 0, 0));
    assert_eq!(b.delete("q", &second.handle), Ok(()));
    assert_eq!(b.counts("q"), (0, 0, 0));
    assert_eq!(b.delete("q", &second.handle), Ok(()));
    assert_eq!(b.broker.oldest_needed(), None);
    b.assert_replays();
}

#[test]
fn order_is_that_of_availability() {
    let mut b = Bench::with_queues(&["q"]);
    let mut late = b.entry("late");
    late.delay = Some(5);
    let sent = vec![late, b.entry("1"), b.entry("2"), b.entry("3")];
    b.send_all("q", sent).unwrap();
    let one = b.receive("q", 1).remove(0);
    b.seconds(5);
    b.change("q", &one.handle, 0).unwrap();
    assert_eq!(b.bodies("q"), ["2", "3", "late", "1"]);
    b.assert_replays();
}

#[test]
fn a_zero_timeout_counts_as_a_receive_and_leaves_the_message() {
    let mut b = Bench::with_queues(&["q"]);
    b.send("q", "x");
    for count in 1..=3 {
        let got = b.receive_with("q", 10, Some(0)).unwrap();
        assert_eq!(got.iter().map(|m| m.receive_count).collect::<Vec<_>>(), [count]);
    }
    assert_eq!(b.counts("q"), (1, 0, 0));
}

#[test]
fn visibility_changes() {
    let mut b = Bench::with_queues(&["q", "other"]);
    b.send("q", "x");
    let got = b.receive("q", 1).remove(0);
    b.change("q", &got.handle, 100).unwrap();
    b.seconds(99);
    assert!(b.receive("q", 1).is_empty());
    b.seconds(1);
    // Expired and not delivered again: hidden once more.
    b.change("q", &got.handle, 10).unwrap();
    assert_eq!(b.counts("q"), (0, 1, 0));
    for bad in [-1, 43_201] {
        assert!(matches!(
            b.change("q", &got.handle, bad),
            Err(ChangeVisibilityEntryError::Invalid(_))
        ));
    }
    // Twelve hours since the delivery, in total.
    assert!(b.change("q", &got.handle, 43_100).is_ok());
    assert!(b.change("q", &got.handle, 43_101).is_err());
    assert!(matches!(
        b.change("other", &got.handle, 1),
        Err(ChangeVisibilityEntryError::Handle(_))
    ));
    assert!(matches!(
        b.change("q", "nonsense", 1),
        Err(ChangeVisibilityEntryError::Handle(_))
    ));
    b.change("q", &got.handle, 0).unwrap();
    assert_eq!(b.last_wait, Wait::UpTo(0), "a release need not be durable");
    let again = b.receive("q", 1).remove(0);
    assert!(matches!(
        b.change("q", &got.handle, 1),
        Err(ChangeVisibilityEntryError::Invalid(_))
    ));
    b.delete("q", &again.handle).unwrap();
    assert!(matches!(
        b.change("q", &again.handle, 1),
        Err(ChangeVisibilityEntryError::Invalid(_))
    ));
}

#[test]
fn a_lease_that_a_crash_forgot_can_still_be_used() {
    let mut b = Bench::with_queues(&["q"]);
    b.send("q", "x");
    b.send("q", "y");
    let before = b.broker.clone();
    let lost = b.receive("q", 2);
    b.broker = before;
    b.seconds(1);
    b.delete("q", &lost[0].handle).unwrap();
    assert_eq!(b.counts("q"), (1, 0, 0));
    // Delivered again to somebody else: the forgotten lease is now the older one, though its count is the same.
    let again = b.receive("q", 1).remove(0);
    assert_eq!(again.receive_count, lost[1].receive_count);
    b.delete("q", &lost[1].handle).unwrap();
    assert_eq!(b.counts("q"), (0, 1, 0));
    b.delete("q", &again.handle).unwrap();
    assert_eq!(b.counts("q"), (0, 0, 0));
}

#[test]
fn a_lease_that_a_crash_forgot_is_older_than_one_after_it_whatever_their_counts() {
    let mut b = Bench::with_queues(&["q"]);
    b.send("q", "x");
    let before = b.broker.clone();
    b.receive_with("q", 1, Some(0)).unwrap();
    let lost = b.receive("q", 1).remove(0);
    b.broker = before;
    b.seconds(1);
    let again = b.receive("q", 1).remove(0);
    assert_eq!((lost.receive_count, again.receive_count), (2, 1));
    b.delete("q", &lost.handle).unwrap();
    assert_eq!(b.counts("q"), (0, 1, 0));
    assert!(b.change("q", &lost.handle, 0).is_err());
    b.delete("q", &again.handle).unwrap();
    assert_eq!(b.counts("q"), (0, 0, 0));
}

#[test]
fn handles_are_of_one_queue_of_one_life() {
    let mut b = Bench::with_queues(&["q", "other"]);
    b.send("q", "x");
    let got = b.receive("q", 1).remove(0);
    assert!(b.delete("other", &got.handle).is_err());
    assert!(b.delete("q", "x").is_err());
    b.delete_queue("q").unwrap();
    b.create("q", &[]).unwrap();
    assert!(b.delete("q", &got.handle).is_err());
}

#[test]
fn a_receive_waits_for_the_messages_that_it_returns() {
    let mut b = Bench::with_queues(&["q", "dead"]);
    b.set("q", &[("RedrivePolicy", &redrive("dead", 1))]).unwrap();
    b.send("q", "x");
    let end = b.log.len() as u64;
    b.send("q", "y");
    b.receive("q", 1);
    assert_eq!(b.last_wait, Wait::UpTo(end));
    b.seconds(30);
    b.receive("q", 1);
    // A dead letter is as durable as the record that moved it.
    b.receive("q", 1);
    let moved = b.log.len() as u64;
    assert_eq!(b.counts("dead"), (1, 0, 0));
    b.receive("dead", 1);
    assert_eq!(b.last_wait, Wait::UpTo(moved));
    b.send("dead", "z");
    assert_eq!(b.last_wait, Wait::Own);
}

#[test]
fn dead_letters_move_inside_the_receive() {
    let mut b = Bench::with_queues(&["dead"]);
    b.create(
        "q",
        &[("RedrivePolicy", &redrive("dead", 2)), ("VisibilityTimeout", "1")],
    )
    .unwrap();
    let id = b.send("q", "poison");
    for _ in 0..2 {
        assert_eq!(b.bodies("q"), ["poison"]);
        b.seconds(1);
    }
    b.send("q", "good");
    assert_eq!(b.bodies("q"), ["good"]);
    assert_eq!((b.counts("q"), b.counts("dead")), ((0, 1, 0), (1, 0, 0)));
    let letter = b.receive("dead", 1).remove(0);
    assert_eq!((letter.id, letter.receive_count), (id, 3));
    assert_eq!(letter.dead_letter_source, Some(queue("q").arn().to_string()));
    b.assert_replays();
}

#[test]
fn a_wall_of_dead_letters_does_not_hide_what_lies_behind() {
    let mut b = Bench::with_queues(&["dead"]);
    b.create("q", &[("VisibilityTimeout", "0")]).unwrap();
    for i in 0..350 {
        b.send("q", &format!("poison {i}"));
    }
    (0..35).for_each(|_| drop(b.receive("q", 10)));
    b.set(
        "q",
        &[
            ("RedrivePolicy", &redrive("dead", 1)),
            ("VisibilityTimeout", "30"),
        ],
    )
    .unwrap();
    b.send("q", "good");
    assert_eq!(b.bodies("q"), ["good"]);
    assert_eq!(b.counts("dead"), (350, 0, 0));
    assert_eq!(
        b.receive("dead", 1).iter().map(body).collect::<Vec<_>>(),
        ["poison 0"]
    );
}

#[test]
fn without_a_target_poison_stays() {
    let mut b = Bench::with_queues(&["dead"]);
    b.create(
        "q",
        &[("RedrivePolicy", &redrive("dead", 1)), ("VisibilityTimeout", "0")],
    )
    .unwrap();
    b.delete_queue("dead").unwrap();
    b.send("q", "x");
    (0..5).for_each(|_| assert_eq!(b.bodies("q"), ["x"]));
}

#[test]
fn redrive_policies_are_checked_when_set() {
    let mut b = Bench::with_queues(&["q", "dead", "closed"]);
    let refused = |result: Result<(), SetQueueAttributesError>| {
        matches!(result, Err(SetQueueAttributesError::Invalid(_)))
    };
    let result = b.set("q", &[("RedrivePolicy", &redrive("missing", 1))]);
    assert!(refused(result));
    let result = b.set("q", &[("RedrivePolicy", &redrive("q", 1))]);
    assert!(refused(result), "a queue's own dead letters");
    b.set(
        "closed",
        &[("RedriveAllowPolicy", r#"{"redrivePermission":"denyAll"}"#)],
    )
    .unwrap();
    let result = b.set("q", &[("RedrivePolicy", &redrive("closed", 1))]);
    assert!(refused(result));
    let by_queue = format!(
        r#"{{"redrivePermission":"byQueue","sourceQueueArns":["{}"]}}"#,
        queue("q").arn()
    );
    b.set("closed", &[("RedriveAllowPolicy", &by_queue)]).unwrap();
    b.set("q", &[("RedrivePolicy", &redrive("closed", 1))]).unwrap();
    assert!(
        b.create("other", &[("RedrivePolicy", &redrive("closed", 1))])
            .is_err()
    );
    let abroad = redrive("dead", 1).replace("us-east-1", "eu-west-1");
    assert!(refused(b.set("q", &[("RedrivePolicy", &abroad)])));
}

#[test]
fn retention_takes_messages_in_flight_or_not_and_never_early() {
    let mut b = Bench::with_queues(&[]);
    b.create("q", &[("MessageRetentionPeriod", "60")]).unwrap();
    b.send("q", "leased");
    b.send("q", "idle");
    b.receive_with("q", 1, Some(43_200)).unwrap();
    b.pass(Duration::from_millis(59_999));
    assert_eq!(b.counts("q"), (1, 1, 0));
    assert!(b.broker.next_deadline().unwrap() <= b.now.steady + Duration::from_millis(1));
    b.pass(Duration::from_millis(1));
    assert_eq!(b.counts("q"), (0, 0, 0));
    // A change counts for stored messages too.
    b.set("q", &[("MessageRetentionPeriod", "3600")]).unwrap();
    b.send("q", "x");
    b.seconds(70);
    b.set("q", &[("MessageRetentionPeriod", "60")]).unwrap();
    assert_eq!(b.counts("q"), (0, 0, 0));
    b.assert_replays();
}

#[test]
fn a_dead_letter_keeps_its_age() {
    let mut b = Bench::with_queues(&[]);
    b.create("dead", &[("MessageRetentionPeriod", "100")]).unwrap();
    b.create(
        "q",
        &[("RedrivePolicy", &redrive("dead", 1)), ("VisibilityTimeout", "0")],
    )
    .unwrap();
    b.send("q", "old");
    b.receive("q", 1);
    b.seconds(50);
    b.send("dead", "young");
    b.receive("q", 1);
    assert_eq!(b.counts("dead"), (2, 0, 0));
    let needed = |b: &Bench| {
        let mut usage = std::collections::BTreeMap::new();
        b.broker.usage(&mut usage);
        usage.into_values().sum::<u64>()
    };
    let both = needed(&b);
    b.seconds(50);
    assert_eq!(b.bodies("dead"), ["young"]);
    assert!(needed(&b) < both);
    // Too old for the target from the start.
    b.send("q", "older");
    b.receive("q", 1);
    b.seconds(100);
    b.receive("q", 1);
    assert_eq!(b.counts("q"), (0, 0, 0));
    assert_eq!(b.counts("dead"), (0, 0, 0));
    b.assert_replays();
}

#[test]
fn purge_is_a_point_in_time_with_a_guard() {
    let mut b = Bench::with_queues(&["q"]);
    b.send_some("q", 3);
    let mut late = b.entry("late");
    late.delay = Some(900);
    b.send_all("q", vec![late]).unwrap();
    let got = b.receive("q", 1).remove(0);
    b.purge("q").unwrap();
    assert_eq!(b.counts("q"), (0, 0, 0));
    assert_eq!(b.delete("q", &got.handle), Ok(()));
    b.send("q", "after");
    assert!(matches!(b.purge("q"), Err(PurgeQueueError::InProgress(_))));
    b.pass(Duration::from_millis(59_999));
    assert!(b.purge("q").is_err());
    assert_eq!(b.bodies("q"), ["after"]);
    b.pass(Duration::from_millis(1));
    b.purge("q").unwrap();
    assert_eq!(b.counts("q"), (0, 0, 0));
    assert!(matches!(b.purge("none"), Err(PurgeQueueError::Queue(_))));
    b.assert_replays();
}

#[test]
fn the_in_flight_cap_refuses_short_polls_and_lets_long_polls_wait() {
    let mut b = Bench::new(Settings {
        in_flight: 3,
        ..Settings::default()
    });
    b.create("q", &[]).unwrap();
    b.send_some("q", 5);
    let got = b.receive("q", 10);
    assert_eq!(got.len(), 3, "up to the cap");
    assert!(matches!(
        b.receive_with("q", 1, None),
        Err(ReceiveError::OverLimit(_))
    ));
    let long = Receive {
        queue: queue("q"),
        max: None,
        visibility: None,
        wait: Some(20),
        attempt: None,
    };
    let decision = b.broker.receive(&long, b.now).unwrap();
    assert!(decision.records.is_empty() && decision.reply.leases.is_empty());
    assert_eq!(decision.reply.wait, Duration::from_secs(20));
    b.broker.take_news();
    b.delete("q", &got[0].handle).unwrap();
    assert_eq!(b.broker.take_news().len(), 1, "room for those who wait");
    assert_eq!(b.receive("q", 10).len(), 1);
}

#[test]
fn news_tells_where_a_wait_may_end() {
    let mut b = Bench::with_queues(&["q"]);
    let news = |b: &mut Bench, what: &str, expected: usize| {
        assert_eq!(b.broker.take_news().len(), expected, "{what}");
    };
    b.send("q", "x");
    news(&mut b, "send", 1);
    news(&mut b, "only once", 0);
    let got = b.receive("q", 1).remove(0);
    news(&mut b, "receive", 0);
    b.seconds(30);
    news(&mut b, "end of the lease", 1);
    b.delete("q", &got.handle).unwrap();
    news(&mut b, "delete", 0);
    let mut late = b.entry("late");
    late.delay = Some(1);
    b.send_all("q", vec![late]).unwrap();
    news(&mut b, "delayed", 0);
    b.seconds(1);
    news(&mut b, "end of the delay", 1);
    let got = b.receive("q", 1).remove(0);
    b.change("q", &got.handle, 0).unwrap();
    news(&mut b, "release", 1);
    b.delete_queue("q").unwrap();
    news(&mut b, "deleted queue", 1);
}

#[test]
fn sends_are_checked_one_by_one() {
    let mut b = Bench::with_queues(&[]);
    b.create("q", &[("MaximumMessageSize", "1024")]).unwrap();
    let long = "x".repeat(1_025);
    let mut entries: Vec<SendEntry> = ["fine", "", "a\u{1}b", &long]
        .iter()
        .map(|t| b.entry(t))
        .collect();
    let delays = [Some(900), Some(901), Some(-1)];
    for delay in delays {
        let mut entry = b.entry("delayed");
        entry.delay = delay;
        entries.push(entry);
    }
    entries.extend([b.entry("group"), b.entry("dedup")]);
    entries[7].group = Some("g".into());
    entries[8].deduplication = Some("d".into());
    let kinds: Vec<&str> = b
        .send_all("q", entries)
        .unwrap()
        .results
        .iter()
        .map(|result| match result {
            Ok(_) => "ok",
            Err(SendEntryError::Missing(_)) => "missing",
            Err(SendEntryError::Body(_)) => "body",
            Err(SendEntryError::Invalid(e)) => match e.what.as_str() {
                "DelaySeconds" => "delay",
                "MessageBody" => "size",
                _ => "invalid",
            },
        })
        .collect();
    let expected = [
        "ok", "missing", "body", "size", "ok", "delay", "delay", "ok", "invalid",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(b.counts("q"), (2, 0, 1));
    assert!(matches!(b.send_all("q", vec![]), Err(SendError::Invalid(_))));
    let eleven = vec![b.entry("x"); 11];
    assert!(matches!(b.send_all("q", eleven), Err(SendError::Invalid(_))));
    let entry = b.entry("x");
    assert!(matches!(
        b.send_all("none", vec![entry]),
        Err(SendError::Queue(_))
    ));
}

#[test]
fn a_batch_has_a_size_of_its_own() {
    let mut b = Bench::with_queues(&["q"]);
    let mut send = |sizes: &[usize]| {
        let entries = sizes.iter().map(|&n| b.entry(&"x".repeat(n))).collect();
        b.send_all("q", entries)
    };
    assert!(send(&[1_048_576]).unwrap().results[0].is_ok());
    assert!(send(&[1_048_577]).unwrap().results[0].is_err());
    assert!(
        send(&[524_288, 524_288])
            .unwrap()
            .results
            .iter()
            .all(Result::is_ok)
    );
    let too_long = SendError::TooLong(BatchTooLong {
        bytes: 1_048_577,
        limit: 1_048_576,
    });
    assert_eq!(send(&[524_288, 524_289]), Err(too_long));
}

#[test]
fn everything_that_was_sent_comes_back() {
    let mut b = Bench::with_queues(&["q"]);
    let attributes = vec![
        MessageAttribute {
            name: "n".into(),
            data_type: "Number.int".into(),
            value: AttributeValue::Text("42".into()),
        },
        MessageAttribute {
            name: "b".into(),
            data_type: "Binary".into(),
            value: AttributeValue::Binary(vec![0, 255]),
        },
    ];
    let mut entry = b.entry("日本\r\n");
    entry.attributes.clone_from(&attributes);
    entry.trace_header = Some("Root=1".into());
    let id = entry.id;
    b.send_all("q", vec![entry]).unwrap();
    let sent = b.now.wall;
    b.seconds(3);
    let got = b.receive("q", 1).remove(0);
    let expected = Message {
        id,
        handle: got.handle.clone(),
        sender: "000000000000".into(),
        sent,
        receive_count: 1,
        first_received: b.now.wall,
        trace_header: Some("Root=1".into()),
        dead_letter_source: None,
        group: None,
        deduplication: None,
        sequence: None,
        content: Content::Plain {
            body: "日本\r\n".into(),
            attributes,
        },
    };
    assert_eq!(got, expected);
}

#[test]
fn damaged_payloads_are_noticed() {
    let mut b = Bench::with_queues(&["q"]);
    b.send("q", "x");
    let command = Receive {
        queue: queue("q"),
        max: None,
        visibility: None,
        wait: None,
        attempt: None,
    };
    let lease = b.broker.receive(&command, b.now).unwrap().reply.leases.remove(0);
    let range = lease.payload.lsn as usize..lease.payload.end() as usize;
    let payload = b.log[range].to_vec();
    assert!(Message::read(lease.clone(), &payload, None).is_ok());
    for i in 0..payload.len() {
        let mut bad = payload.clone();
        bad[i] ^= 4;
        assert!(Message::read(lease.clone(), &bad, None).is_err(), "byte {i}");
    }
}

#[test]
fn receive_checks_its_numbers() {
    let mut b = Bench::with_queues(&["q"]);
    for max in [0, 11, -1] {
        assert!(
            matches!(b.receive_with("q", max, None), Err(ReceiveError::Invalid(_))),
            "{max}"
        );
    }
    for visibility in [-1, 43_201] {
        assert!(matches!(
            b.receive_with("q", 1, Some(visibility)),
            Err(ReceiveError::Invalid(_))
        ));
    }
    for wait in [-1, 21] {
        let command = Receive {
            queue: queue("q"),
            max: None,
            visibility: None,
            wait: Some(wait),
            attempt: None,
        };
        assert!(matches!(
            b.broker.receive(&command, b.now),
            Err(ReceiveError::Invalid(_))
        ));
    }
    b.set("q", &[("ReceiveMessageWaitTimeSeconds", "7")]).unwrap();
    let command = Receive {
        queue: queue("q"),
        max: None,
        visibility: None,
        wait: None,
        attempt: None,
    };
    assert_eq!(
        b.broker.receive(&command, b.now).unwrap().reply.wait,
        Duration::from_secs(7)
    );
}

#[test]
fn creating_twice_compares_what_is_stated() {
    let mut b = Bench::with_queues(&[]);
    b.create("q", &[("DelaySeconds", "5")]).unwrap();
    b.create("q", &[]).unwrap();
    b.create("q", &[("DelaySeconds", "5")]).unwrap();
    let exists = QueueExists {
        name: "q".into(),
        attribute: "DelaySeconds".into(),
    };
    assert_eq!(b.create("q", &[("DelaySeconds", "6")]), Err(exists.into()));
    assert!(matches!(
        b.create("q", &[("DelaySeconds", "x")]),
        Err(CreateQueueError::AttributeValue(_))
    ));
    assert_eq!(b.places.len(), 1);
    for (name, attributes) in [("f.fifo", &[][..]), ("f", &[("FifoQueue", "true")])] {
        let refused = b.create(name, attributes);
        assert!(matches!(refused, Err(CreateQueueError::Invalid(e)) if e.what == "QueueName"));
    }
    b.create("f.fifo", &[("FifoQueue", "True")]).unwrap();
    assert!(matches!(b.create("a b", &[]), Err(CreateQueueError::Invalid(_))));
    assert!(matches!(
        b.create("p", &[("Policy", "[]")]),
        Err(CreateQueueError::AttributeValue(_))
    ));
}

#[test]
fn attributes_are_listed_as_asked() {
    let mut b = Bench::with_queues(&["q"]);
    b.send("q", "x");
    let ask = |b: &Bench, names: &[&str]| {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        b.broker.queue_attributes(&queue("q"), &names)
    };
    assert_eq!(ask(&b, &[]), Ok(vec![]));
    let some = ask(
        &b,
        &[
            "ApproximateNumberOfMessages",
            "VisibilityTimeout",
            "RedrivePolicy",
        ],
    );
    assert_eq!(
        some,
        Ok(pairs(&[
            ("VisibilityTimeout", "30"),
            ("ApproximateNumberOfMessages", "1")
        ]))
    );
    assert!(matches!(
        ask(&b, &["Nonsense"]),
        Err(QueueAttributesError::AttributeName(_))
    ));
    let all = ask(&b, &["All"]).unwrap();
    assert_eq!(all.len(), 12);
    assert!(all.contains(&("QueueArn".into(), "arn:aws:sqs:us-east-1:000000000000:q".into())));
    assert!(all.contains(&("SqsManagedSseEnabled".into(), "true".into())));
    // All or none.
    assert!(
        b.set("q", &[("DelaySeconds", "5"), ("VisibilityTimeout", "-1")])
            .is_err()
    );
    assert_eq!(ask(&b, &["All"]).unwrap(), all);
    b.seconds(5);
    b.set("q", &[("DelaySeconds", "5")]).unwrap();
    assert_ne!(
        ask(&b, &["LastModifiedTimestamp"]),
        ask(&b, &["CreatedTimestamp"])
    );
}

#[test]
fn names_are_listed_in_pages() {
    let mut b = Bench::with_queues(&["b2", "a", "b1", "b3", "c"]);
    let abroad = Scope {
        account: "123456789012".into(),
        region: "eu-west-1".into(),
    };
    let command = CreateQueue {
        tags: Vec::new(),
        queue: QueueKey::new(abroad, "b9"),
        attributes: vec![],
    };
    let decision = b.broker.create_queue(command, b.now).unwrap();
    b.commit(decision);
    let list = |prefix: &str, after: Option<&str>, limit| {
        let query = ListQueues {
            scope: Scope::default(),
            prefix: prefix.into(),
            after: after.map(Into::into),
            limit,
        };
        let page = b.broker.list_queues(&query);
        (page.names.join(" "), page.next)
    };
    assert_eq!(list("", None, 1_000), ("a b1 b2 b3 c".into(), None));
    assert_eq!(list("b", None, 2), ("b1 b2".into(), Some("b2".into())));
    assert_eq!(list("b", Some("b2"), 2), ("b3".into(), None));
    assert_eq!(list("b", None, 3), ("b1 b2 b3".into(), None));
    assert_eq!(list("b", Some("a"), 1), ("b1".into(), Some("b1".into())));
    assert_eq!(list("x", None, 3), (String::new(), None));
}

#[test]
fn a_reset_leaves_nothing_but_numbers() {
    let mut b = Bench::with_queues(&["q"]);
    b.create_topic("t");
    b.send("q", "x");
    let old = b.receive("q", 1).remove(0);
    let decision = b.broker.reset(b.now);
    b.commit(decision);
    assert!(b.broker.queue_stats(b.now).is_empty() && b.broker.topic(&topic("t"), b.now).is_err());
    b.create("q", &[]).unwrap();
    assert!(b.delete("q", &old.handle).is_err(), "numbers are not used again");
    b.assert_replays();
}

#[test]
fn a_step_of_the_wall_clock_releases_nothing() {
    let mut b = Bench::with_queues(&["q"]);
    b.send("q", "x");
    b.receive("q", 1);
    b.now.wall = b.now.wall + Duration::from_secs(3_600);
    b.broker.advance(b.now);
    assert_eq!(b.counts("q"), (0, 1, 0));
}

#[test]
fn a_clock_set_back_between_two_starts_does_not_stretch_leases() {
    let mut b = Bench::with_queues(&["q"]);
    b.send("q", "x");
    b.receive("q", 1);
    b.seconds(10);
    let mut restarted = Broker::restore(&b.snapshot(), b.settings).unwrap();
    let hour_ago = Now::at(b.now.steady.0 - 3_600_000);
    restarted.advance(hour_ago);
    let deadline = restarted.next_deadline().unwrap();
    assert_eq!(deadline.since(hour_ago.steady), Duration::from_secs(20));
    let later = Now::at(hour_ago.steady.0 + 20_000);
    restarted.advance(later);
    assert_eq!(restarted.queue_stats(later)[0].visible, 1);
}

#[test]
fn a_million_messages_cost_neither_time_nor_memory_out_of_proportion() {
    let mut b = Bench::with_queues(&["q"]);
    let mut entry = b.entry("x");
    let mut broker = b.broker.clone();
    let now = b.now;
    let mut scratch = Vec::new();
    for i in 0..1_000_000u64 {
        entry.delay = (i % 2 == 1).then_some(900);
        let command = SendMessages {
            queue: queue("q"),
            sender: String::new(),
            entries: vec![entry.clone()],
        };
        for record in broker.send(command, now).unwrap().records {
            scratch.clear();
            record.encode(&mut scratch);
            broker.apply(
                record,
                Place {
                    lsn: 1_000 + i * 100,
                    len: scratch.len() as u32,
                },
            );
        }
    }
    let stats = &broker.queue_stats(now)[0];
    assert_eq!((stats.visible, stats.delayed), (500_000, 500_000));
    let command = Receive {
        queue: queue("q"),
        max: Some(10),
        visibility: None,
        wait: None,
        attempt: None,
    };
    let mut handles = Vec::new();
    for _ in 0..10_000 {
        let decision = broker.receive(&command, now).unwrap();
        handles.extend(decision.reply.leases.into_iter().map(|l| l.handle));
        decision.records.into_iter().for_each(|r| {
            broker.apply(
                r,
                Place {
                    lsn: u64::MAX / 2,
                    len: 100,
                },
            )
        });
    }
    for chunk in handles.chunks(10) {
        let command = DeleteMessages {
            queue: queue("q"),
            handles: chunk.to_vec(),
        };
        let decision = broker.delete(&command, now).unwrap();
        decision.records.into_iter().for_each(|r| {
            broker.apply(
                r,
                Place {
                    lsn: u64::MAX / 2,
                    len: 100,
                },
            )
        });
    }
    assert_eq!(broker.queue_stats(now)[0].visible, 400_000);
    let late = Now {
        wall: now.wall,
        steady: now.steady + Duration::from_secs(900),
    };
    broker.advance(late);
    assert_eq!(broker.queue_stats(late)[0].visible, 900_000);
    let expired = Now {
        wall: now.wall,
        steady: now.steady + Duration::from_secs(345_600),
    };
    broker.advance(expired);
    assert_eq!(
        (broker.queue_stats(expired)[0].visible, broker.oldest_needed()),
        (0, None)
    );
    assert_eq!(broker.next_deadline(), None::<Timestamp>);
}

#[test]
fn tags_are_kept_counted_and_checked() {
    let mut b = Bench::with_queues(&["q"]);
    let tags = |tags: &[(&str, &str)]| -> Vec<(String, String)> {
        tags.iter().map(|&(k, v)| (k.into(), v.into())).collect()
    };
    let tag = |b: &mut Bench, given: &[(&str, &str)]| {
        let (queue, tags) = (queue("q"), tags(given));
        let decision = b.broker.tag_queue(TagQueue { queue, tags }, b.now)?;
        b.commit(decision);
        Ok::<(), TagError>(())
    };
    tag(&mut b, &[("b", "2"), ("a", "1")]).unwrap();
    tag(&mut b, &[("a", "3")]).unwrap();
    assert_eq!(
        b.broker.queue_tags(&queue("q")).unwrap(),
        tags(&[("a", "3"), ("b", "2")])
    );
    for bad in [
        ("aws:x", "1"),
        ("", "1"),
        ("a*", "1"),
        ("a", "*"),
        (&"k".repeat(129), ""),
        ("k", &"v".repeat(257)),
    ] {
        assert!(
            matches!(tag(&mut b, &[bad]), Err(TagError::Invalid(_))),
            "{bad:?}"
        );
    }
    for n in 0..48 {
        tag(&mut b, &[(&format!("k{n}"), "")]).unwrap();
    }
    assert!(tag(&mut b, &[("one-more", "")]).is_err());
    tag(&mut b, &[("k1", "changed")]).unwrap();
    let bytes = b.snapshot();
    let restored = Broker::restore(&bytes, b.settings).unwrap();
    assert_eq!(restored.queue_tags(&queue("q")), b.broker.queue_tags(&queue("q")));
    let keys = (0..48)
        .map(|n| format!("k{n}"))
        .chain(["unknown".into()])
        .collect();
    let command = UntagQueue {
        queue: queue("q"),
        keys,
    };
    let decision = b.broker.untag_queue(command, b.now).unwrap();
    b.commit(decision);
    assert_eq!(
        b.broker.queue_tags(&queue("q")).unwrap(),
        tags(&[("a", "3"), ("b", "2")])
    );
}

#[test]
fn the_name_of_a_deleted_queue_rests_if_the_operator_wants_that() {
    let settings = Settings {
        deleted_guard: Duration::from_secs(60),
        ..Settings::default()
    };
    let mut b = Bench::new(settings);
    b.create("q", &[]).unwrap();
    let deleted = b.broker.delete_queue(&queue("q"), b.now).unwrap();
    b.commit(deleted);
    assert!(matches!(
        b.create("q", &[]),
        Err(CreateQueueError::DeletedRecently(_))
    ));
    let bytes = b.snapshot();
    b.broker = Broker::restore(&bytes, settings).unwrap();
    b.seconds(59);
    assert!(b.create("q", &[]).is_err());
    b.create("p", &[]).unwrap();
    b.seconds(1);
    b.create("q", &[]).unwrap();
}

#[test]
fn the_sources_of_dead_letters_are_listed_by_pages() {
    let mut b = Bench::with_queues(&["dead", "other"]);
    let policy = format!(
        r#"{{"deadLetterTargetArn":"{}","maxReceiveCount":1}}"#,
        queue("dead").arn()
    );
    for name in ["c", "a", "b"] {
        b.create(name, &[("RedrivePolicy", &policy)]).unwrap();
    }
    let page = |after: Option<&str>, limit| {
        let (queue, after) = (queue("dead"), after.map(str::to_owned));
        b.broker
            .dead_letter_sources(&DeadLetterSources { queue, after, limit })
            .unwrap()
    };
    let all = page(None, 10);
    assert_eq!(
        (all.names, all.next),
        (vec!["a".into(), "b".into(), "c".into()], None)
    );
    let first = page(None, 2);
    assert_eq!(
        (first.names, first.next.as_deref()),
        (vec!["a".into(), "b".into()], Some("b"))
    );
    assert_eq!(page(Some("b"), 2).names, ["c"]);
}
