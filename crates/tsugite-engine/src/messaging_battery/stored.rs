//! What is stored: it comes back as it was, once, also after a restart.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tsugite_base::names::Scope;
use tsugite_broker::*;

use super::*;
use crate::{Failure, Messaging, Topics};

/// Send, receive, delete, and nothing is left.
pub async fn a_message_goes_through_its_life<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    create(&store, "q", &[]).await;
    let mut sent = entry("hello");
    sent.attributes = vec![MessageAttribute {
        name: "n".into(),
        data_type: "Number".into(),
        value: AttributeValue::Text("42".into()),
    }];
    sent.trace_header = Some("Root=1".into());
    send_entries(&store, "q", vec![sent.clone()]).await;
    assert_eq!(counts(&store, "q"), (1, 0, 0));
    let got = take(&store, "q", 10).await.remove(0);
    let content = Content::Plain {
        body: sent.body,
        attributes: sent.attributes,
    };
    assert_eq!((got.id, &got.content), (sent.id, &content));
    assert_eq!(
        (got.receive_count, got.trace_header.as_deref()),
        (1, Some("Root=1"))
    );
    assert!(take(&store, "q", 10).await.is_empty());
    delete(&store, "q", &got).await;
    delete(&store, "q", &got).await;
    assert_eq!(counts(&store, "q"), (0, 0, 0));
}

/// A lease ends after its time, can be moved, and a release shows the message at once.
pub async fn a_lease_ends<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    create(&store, "q", &[("VisibilityTimeout", "5")]).await;
    send(&store, "q", "x").await;
    let first = take(&store, "q", 1).await.remove(0);
    stage.pass(Duration::from_millis(4_999));
    assert!(take(&store, "q", 1).await.is_empty());
    stage.pass(Duration::from_millis(1));
    let second = take(&store, "q", 1).await.remove(0);
    assert_eq!((second.id, second.receive_count), (first.id, 2));
    change(&store, "q", &second, 100).await;
    stage.pass(Duration::from_secs(99));
    assert!(take(&store, "q", 1).await.is_empty());
    change(&store, "q", &second, 0).await;
    let third = take(&store, "q", 1).await.remove(0);
    delete(&store, "q", &second).await;
    assert_eq!(counts(&store, "q"), (0, 1, 0), "an older handle does nothing");
    delete(&store, "q", &third).await;
    assert_eq!(counts(&store, "q"), (0, 0, 0));
}

/// A delayed message comes when its delay is over.
pub async fn a_delay_ends<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    create(&store, "q", &[("DelaySeconds", "10")]).await;
    let now = SendEntry {
        delay: Some(0),
        ..entry("now")
    };
    send_entries(&store, "q", vec![entry("late"), now]).await;
    assert_eq!(counts(&store, "q"), (1, 0, 1));
    assert_eq!(texts(&take(&store, "q", 10).await), ["now"]);
    stage.pass(Duration::from_secs(10));
    assert_eq!(texts(&take(&store, "q", 10).await), ["late"]);
}

/// One producer's messages come in the order in which they were sent.
pub async fn order_is_kept<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    create(&store, "q", &[]).await;
    let sent: Vec<String> = (0..20).map(|i| format!("message {i}")).collect();
    for batch in sent.chunks(7) {
        send_entries(&store, "q", batch.iter().map(|t| entry(t)).collect()).await;
    }
    let mut got = take(&store, "q", 10).await;
    got.extend(take(&store, "q", 10).await);
    assert_eq!(texts(&got), sent);
}

/// Attributes are set, compared, listed and counted.
pub async fn attributes_hold<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    create(&store, "q", &[("DelaySeconds", "3")]).await;
    create(&store, "q", &[("DelaySeconds", "3")]).await;
    let other = CreateQueue {
        tags: Vec::new(),
        queue: key("q"),
        attributes: pairs(&[("DelaySeconds", "4")]),
    };
    let refused = store.create_queue(other).await;
    assert!(matches!(
        refused,
        Err(Failure::Refused(CreateQueueError::Exists(_)))
    ));
    let attributes = pairs(&[("DelaySeconds", "0"), ("VisibilityTimeout", "7")]);
    store
        .set_queue_attributes(SetQueueAttributes {
            queue: key("q"),
            attributes,
        })
        .await
        .unwrap();
    send(&store, "q", "x").await;
    let names = ["VisibilityTimeout", "ApproximateNumberOfMessages"]
        .map(String::from)
        .to_vec();
    let listed = store.queue_attributes(key("q"), names).await.unwrap();
    assert_eq!(
        listed,
        pairs(&[("VisibilityTimeout", "7"), ("ApproximateNumberOfMessages", "1")])
    );
    create(&store, "p", &[]).await;
    let query = ListQueues {
        limit: 1,
        ..ListQueues::default()
    };
    let page = store.list_queues(query.clone()).await.unwrap();
    assert_eq!(
        (page.names, page.next.as_deref()),
        (vec!["p".to_owned()], Some("p"))
    );
    let page = store
        .list_queues(ListQueues {
            after: page.next,
            ..query
        })
        .await
        .unwrap();
    assert_eq!((page.names, page.next), (vec!["q".to_owned()], None));
}

/// Every operation on a name that is not there says so.
pub async fn unknown_names_are_refused<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    let queue = QueueNotFound { queue: key("q") };
    assert_eq!(store.queue(key("q")).await, Err(Failure::Refused(queue.clone())));
    assert_eq!(
        store.delete_queue(key("q")).await,
        Err(Failure::Refused(queue.clone()))
    );
    assert_eq!(
        store.receive(receive("q", 1, 20)).await,
        Err(Failure::Refused(queue.clone().into()))
    );
    assert_eq!(
        store.purge_queue(key("q")).await,
        Err(Failure::Refused(queue.clone().into()))
    );
    let command = SendMessages {
        queue: key("q"),
        sender: String::new(),
        entries: vec![entry("x")],
    };
    assert_eq!(
        store.send(command).await,
        Err(Failure::Refused(queue.clone().into()))
    );
    let command = DeleteMessages {
        queue: key("q"),
        handles: vec!["x".into()],
    };
    assert_eq!(store.delete(command).await, Err(Failure::Refused(queue.into())));
    let not_found = TopicNotFound { topic: topic("t") };
    let command = Publish {
        topic: topic("t"),
        entries: vec![PublishEntry::default()],
        ..Publish::default()
    };
    assert_eq!(
        store.publish(command).await,
        Err(Failure::Refused(not_found.into()))
    );
    assert_eq!(store.delete_topic(topic("t")).await, Ok(()));
    // The queue is there, the handle is not.
    create(&store, "q", &[]).await;
    let command = DeleteMessages {
        queue: key("q"),
        handles: vec!["x".into()],
    };
    assert!(store.delete(command).await.unwrap().results[0].is_err());
}

/// A purge removes all that was sent before, and not again within a minute.
pub async fn purge_and_guard<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    create(&store, "q", &[]).await;
    send_entries(&store, "q", (0..5).map(|i| entry(&i.to_string())).collect()).await;
    take(&store, "q", 1).await;
    store.purge_queue(key("q")).await.unwrap();
    send(&store, "q", "after").await;
    let again = store.purge_queue(key("q")).await;
    assert!(matches!(
        again,
        Err(Failure::Refused(PurgeQueueError::InProgress(_)))
    ));
    assert_eq!(texts(&take(&store, "q", 10).await), ["after"]);
    stage.pass(Duration::from_secs(60));
    store.purge_queue(key("q")).await.unwrap();
    assert_eq!(counts(&store, "q"), (0, 0, 0));
}

/// A message received too often moves to the dead-letter queue, also behind a waiting receive.
pub async fn dead_letters<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    create(&store, "dead", &[]).await;
    let policy = format!(
        r#"{{"deadLetterTargetArn":"{}","maxReceiveCount":1}}"#,
        key("dead").arn()
    );
    create(
        &store,
        "q",
        &[("RedrivePolicy", &policy), ("VisibilityTimeout", "1")],
    )
    .await;
    for i in 0..150 {
        send(&store, "q", &format!("poison {i}")).await;
    }
    for _ in 0..15 {
        take(&store, "q", 10).await;
    }
    stage.pass(Duration::from_secs(1));
    let mut waiter = Box::pin(store.receive(receive("dead", 1, 20)));
    assert!(timeout(MOMENT, &mut waiter).await.is_err());
    assert!(take(&store, "q", 10).await.is_empty());
    assert_eq!((counts(&store, "q"), counts(&store, "dead").0), ((0, 0, 0), 150));
    let letter = timeout(SOON, waiter).await.unwrap().unwrap().remove(0);
    assert_eq!((text(&letter), letter.receive_count), ("poison 0", 2));
    assert_eq!(letter.dead_letter_source, Some(key("q").arn().to_string()));
    drop(store);
    stage.restart();
    let (visible, in_flight, _) = counts(&stage.store(), "dead");
    assert_eq!(
        (visible + in_flight, counts(&stage.store(), "q")),
        (150, (0, 0, 0))
    );
}

/// A published message lies in every subscribed queue, once, in the form that the subscription asks for.
pub async fn a_publish_reaches_all<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    for name in ["one", "other"] {
        create(&store, name, &[]).await;
    }
    store
        .create_topic(CreateTopic {
            topic: topic("t"),
            ..CreateTopic::default()
        })
        .await
        .unwrap();
    let subscription = subscribe(&store, "t", "one", &[]).await;
    subscribe(&store, "t", "other", &[("RawMessageDelivery", "true")]).await;
    let published = publish(&store, "t", "news").await;
    assert_eq!((published.deliveries, published.undeliverable), (2, 0));
    drop(store);
    stage.restart();
    let store = stage.store();
    match take(&store, "one", 10).await.remove(0).content {
        Content::Enveloped(n) => {
            assert_eq!(
                (n.id, n.subscription, n.message.as_str()),
                (published.id, subscription, "news")
            );
        }
        other => panic!("{other:?}"),
    }
    let raw = take(&store, "other", 10).await.remove(0);
    assert_eq!(
        raw.content,
        Content::Plain {
            body: "news".into(),
            attributes: vec![]
        }
    );
    assert_eq!(
        (counts(&store, "one"), counts(&store, "other")),
        ((0, 1, 0), (0, 1, 0))
    );
}

/// Topics and subscriptions are listed while they exist, and act only then.
pub async fn topics_and_subscriptions_come_and_go<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    create(&store, "q", &[]).await;
    store
        .create_topic(CreateTopic {
            topic: topic("t"),
            ..CreateTopic::default()
        })
        .await
        .unwrap();
    let subscription = subscribe(&store, "t", "q", &[]).await;
    assert_eq!(subscribe(&store, "t", "q", &[]).await, subscription);
    let listed = store
        .topic_subscriptions(topic("t"), None, 10)
        .await
        .unwrap()
        .elements;
    assert_eq!(
        (listed.len(), listed[0].endpoint.clone()),
        (1, key("q").arn().to_string())
    );
    for _ in 0..2 {
        let command = Unsubscribe {
            subscription: subscription.clone(),
            by_owner: true,
            id: id(5),
            token: String::new(),
        };
        store.unsubscribe(command).await.unwrap();
    }
    assert_eq!(publish(&store, "t", "unheard").await.deliveries, 0);
    store.delete_topic(topic("t")).await.unwrap();
    let topics = store.list_topics(Scope::default(), None, 10).await.unwrap();
    assert_eq!(topics.elements, []);
    assert_eq!(counts(&store, "q"), (0, 0, 0));
}

/// What was acknowledged is there after a restart without warning; what was deleted is not.
pub async fn acknowledged_work_survives_a_restart<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    create(&store, "q", &[("VisibilityTimeout", "100")]).await;
    create(&store, "gone", &[]).await;
    send_entries(&store, "q", ["deleted", "hidden", "kept"].map(entry).to_vec()).await;
    let got = take(&store, "q", 2).await;
    delete(&store, "q", &got[0]).await;
    // Waited for, and with it the lease before it.
    change(&store, "q", &got[1], 50).await;
    store.delete_queue(key("gone")).await.unwrap();
    drop(store);
    stage.restart();
    let store = stage.store();
    assert!(store.queue(key("gone")).await.is_err());
    assert_eq!(counts(&store, "q"), (1, 1, 0));
    assert_eq!(texts(&take(&store, "q", 10).await), ["kept"]);
    stage.pass(Duration::from_secs(50));
    let again = take(&store, "q", 10).await;
    assert_eq!((texts(&again), again[0].receive_count), (vec!["hidden"], 2));
    delete(&store, "q", &again[0]).await;
    drop(store);
    stage.restart();
    assert_eq!(counts(&stage.store(), "q"), (0, 1, 0));
}

/// Ten messages of the most that a batch may hold come back as they were, before and after a restart.
pub async fn big_batches<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    create(&store, "q", &[("VisibilityTimeout", "1")]).await;
    let bodies: Vec<String> = (0..10).map(|i| i.to_string().repeat(104_857)).collect();
    for _ in 0..3 {
        send_entries(&store, "q", bodies.iter().map(|t| entry(t)).collect()).await;
    }
    for _ in 0..3 {
        assert!(texts(&take(&store, "q", 10).await) == bodies);
    }
    drop(store);
    stage.restart();
    stage.pass(Duration::from_secs(1));
    let store = stage.store();
    for _ in 0..3 {
        assert!(texts(&take(&store, "q", 10).await) == bodies);
    }
}

/// Everything sent is received exactly once, whoever sends and receives at the same time.
pub async fn many_producers_and_consumers<S: Stage<Store: Messaging>>(stage: &mut S) {
    const PRODUCERS: usize = 8;
    const MESSAGES: usize = 50;
    let store = stage.store();
    create(&store, "q", &[]).await;
    let mut producers = JoinSet::new();
    for p in 0..PRODUCERS {
        let store = store.clone();
        producers.spawn(async move {
            for m in 0..MESSAGES {
                send(&store, "q", &format!("{p}-{m}")).await;
            }
        });
    }
    let mut consumers = JoinSet::new();
    for _ in 0..4 {
        let store = store.clone();
        consumers.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let got = store.receive(receive("q", 7, 1)).await.unwrap();
                if got.is_empty() {
                    return mine;
                }
                for message in got {
                    assert_eq!(message.receive_count, 1);
                    delete(&store, "q", &message).await;
                    mine.push(text(&message).to_owned());
                }
            }
        });
    }
    while let Some(ended) = producers.join_next().await {
        ended.unwrap();
    }
    let mut all = Vec::new();
    while let Some(mine) = consumers.join_next().await {
        all.extend(mine.unwrap());
    }
    assert_eq!(all.len(), PRODUCERS * MESSAGES);
    assert_eq!(
        all.into_iter().collect::<BTreeSet<_>>().len(),
        PRODUCERS * MESSAGES
    );
    assert_eq!(counts(&store, "q"), (0, 0, 0));
}

/// A reset leaves neither queues nor topics.
pub async fn a_reset_empties_all<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    create(&store, "q", &[]).await;
    store
        .create_topic(CreateTopic {
            topic: topic("t"),
            ..CreateTopic::default()
        })
        .await
        .unwrap();
    send(&store, "q", "x").await;
    store.reset_messaging().await.unwrap();
    drop(store);
    stage.restart();
    let store = stage.store();
    assert_eq!(store.queue_stats(), []);
    let topics = store.list_topics(Scope::default(), None, 10).await.unwrap();
    assert_eq!(topics.elements, []);
}
