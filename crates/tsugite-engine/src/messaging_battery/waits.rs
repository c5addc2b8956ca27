//! Waiting receives: when they end, and who is served first.

use std::time::Duration;

use tokio::time::timeout;
use tsugite_broker::*;

use super::*;
use crate::{Failure, Messaging};

/// A waiting receive returns when there is something: a send, the end of a delay or lease, a release.
pub async fn a_long_poll_is_woken<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    create(&store, "q", &[("VisibilityTimeout", "5")]).await;
    let mut waiter = Box::pin(store.receive(receive("q", 1, 20)));
    assert!(timeout(MOMENT, &mut waiter).await.is_err());
    send(&store, "q", "x").await;
    let got = timeout(SOON, waiter).await.unwrap().unwrap().remove(0);
    assert_eq!(text(&got), "x");
    // The end of its lease, with nobody else at the store.
    let mut waiter = Box::pin(store.receive(receive("q", 1, 20)));
    assert!(timeout(MOMENT, &mut waiter).await.is_err());
    stage.pass(Duration::from_secs(5));
    let got = timeout(SOON, waiter).await.unwrap().unwrap().remove(0);
    assert_eq!(got.receive_count, 2);
    // A release.
    let mut waiter = Box::pin(store.receive(receive("q", 1, 20)));
    assert!(timeout(MOMENT, &mut waiter).await.is_err());
    change(&store, "q", &got, 0).await;
    let got = timeout(SOON, waiter).await.unwrap().unwrap().remove(0);
    assert_eq!(got.receive_count, 3);
}

/// A waiting receive returns empty when its time is over. Takes a second.
pub async fn a_long_poll_ends_empty<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    create(&store, "q", &[]).await;
    let begin = std::time::Instant::now();
    assert_eq!(store.receive(receive("q", 1, 1)).await, Ok(vec![]));
    assert!(begin.elapsed() >= Duration::from_millis(950));
    assert_eq!(counts(&store, "q"), (0, 0, 0));
}

/// First come, first served; the one who is served lets the next try.
pub async fn those_who_wait_are_served_in_order<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    create(&store, "q", &[]).await;
    let mut waiters = Vec::new();
    for _ in 0..4 {
        let mut waiter = Box::pin(store.receive(receive("q", 2, 20)));
        assert!(timeout(MOMENT, &mut waiter).await.is_err());
        waiters.push(waiter);
    }
    send_entries(&store, "q", ["1", "2", "3", "4", "5"].map(entry).to_vec()).await;
    // Polled in the wrong order, and one who comes now stands behind them all.
    let mut newcomer = Box::pin(store.receive(receive("q", 10, 20)));
    assert!(timeout(MOMENT, &mut newcomer).await.is_err());
    assert!(timeout(MOMENT, &mut waiters[2]).await.is_err());
    let mut waiters = waiters.into_iter();
    for expected in [&["1", "2"][..], &["3", "4"], &["5"]] {
        let got = timeout(SOON, waiters.next().unwrap()).await.unwrap().unwrap();
        assert_eq!(texts(&got), expected);
    }
    drop(waiters);
    send(&store, "q", "6").await;
    assert_eq!(texts(&timeout(SOON, newcomer).await.unwrap().unwrap()), ["6"]);
}

/// A waiter whose caller went away leaves the messages to the next.
pub async fn a_wait_that_was_given_up_takes_nothing<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    create(&store, "q", &[]).await;
    let mut gone = Box::pin(store.receive(receive("q", 10, 20)));
    assert!(timeout(MOMENT, &mut gone).await.is_err());
    let mut next = Box::pin(store.receive(receive("q", 10, 20)));
    assert!(timeout(MOMENT, &mut next).await.is_err());
    // It was rung, and never looked.
    send(&store, "q", "x").await;
    drop(gone);
    let got = timeout(SOON, next).await.unwrap().unwrap();
    assert_eq!((texts(&got), got[0].receive_count), (vec!["x"], 1));
}

/// Waiting on a queue ends with its deletion.
pub async fn a_deleted_queue_ends_waits<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    create(&store, "q", &[]).await;
    let mut waiters = Vec::new();
    for _ in 0..3 {
        let mut waiter = Box::pin(store.receive(receive("q", 1, 20)));
        assert!(timeout(MOMENT, &mut waiter).await.is_err());
        waiters.push(waiter);
    }
    store.delete_queue(key("q")).await.unwrap();
    for waiter in waiters {
        let ended = timeout(SOON, waiter).await.unwrap();
        assert!(
            matches!(ended, Err(Failure::Refused(ReceiveError::Queue(_)))),
            "{ended:?}"
        );
    }
}

/// Neither waits nor handles of a deleted queue touch its successor.
pub async fn a_new_queue_of_the_same_name_is_another<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    create(&store, "q", &[]).await;
    send(&store, "q", "old").await;
    let old = take(&store, "q", 1).await.remove(0);
    let mut waiter = Box::pin(store.receive(receive("q", 1, 20)));
    assert!(timeout(MOMENT, &mut waiter).await.is_err());
    store.delete_queue(key("q")).await.unwrap();
    create(&store, "q", &[]).await;
    send(&store, "q", "new").await;
    let ended = timeout(SOON, waiter).await.unwrap();
    assert!(
        matches!(ended, Err(Failure::Refused(ReceiveError::Queue(_)))),
        "{ended:?}"
    );
    let command = DeleteMessages {
        queue: key("q"),
        handles: vec![old.handle],
    };
    assert!(store.delete(command).await.unwrap().results[0].is_err());
    assert_eq!(texts(&take(&store, "q", 10).await), ["new"]);
}
