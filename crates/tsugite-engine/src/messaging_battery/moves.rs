//! Message move tasks: the store carries them out on its own, at their rate, over restarts, and loses nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tsugite_broker::*;

use super::*;
use crate::{Failure, Messaging};

/// A queue `q` whose messages become dead letters of `dead` after one receive, and a queue `other`.
async fn queues<M: Messaging>(store: &M) {
    create(store, "dead", &[]).await;
    create(store, "other", &[]).await;
    let arn = key("dead").arn();
    let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":1}}"#);
    let attributes = [("RedrivePolicy", policy.as_str()), ("VisibilityTimeout", "0")];
    create(store, "q", &attributes).await;
}

/// Sends these texts to `q` and lets them become dead letters.
async fn dead_letters<M: Messaging>(store: &M, texts: &[&str]) {
    for batch in texts.chunks(10) {
        send_entries(store, "q", batch.iter().map(|text| entry(text)).collect()).await;
        while !take(store, "q", 10).await.is_empty() {}
    }
    assert_eq!(counts(store, "q"), (0, 0, 0));
}

fn start(n: u64, to: Option<&str>, rate: Option<i64>) -> StartMoveTask {
    StartMoveTask {
        id: id(n),
        source: key("dead"),
        destination: to.map(key),
        rate,
    }
}

async fn latest<M: Messaging>(store: &M) -> MoveTask {
    let (source, max) = (key("dead"), None);
    let query = ListMoveTasks { source, max };
    store.move_tasks(query).await.unwrap().remove(0)
}

/// The latest task, once it is as wanted.
async fn until<M: Messaging>(store: &M, is: impl Fn(&MoveTask) -> bool) -> MoveTask {
    let begin = Instant::now();
    loop {
        let task = latest(store).await;
        if is(&task) {
            return task;
        }
        assert!(begin.elapsed() < SOON, "{task:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Dead letters go back to their queue as new messages, those who wait there are woken, and the task ends.
pub async fn dead_letters_are_moved_back<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    queues(&store).await;
    dead_letters(&store, &["1", "2", "3"]).await;
    let mut waiter = Box::pin(store.receive(receive("q", 1, 20)));
    assert!(tokio::time::timeout(MOMENT, &mut waiter).await.is_err());
    store.start_move_task(start(1, None, None)).await.unwrap();
    let got = tokio::time::timeout(SOON, waiter)
        .await
        .unwrap()
        .unwrap()
        .remove(0);
    assert_eq!((text(&got), got.receive_count), ("1", 1));
    assert_ne!(got.id, entry("1").id);
    let task = until(&store, |task| task.status != MoveStatus::Running).await;
    assert_eq!(
        (task.status, task.moved, task.total),
        (MoveStatus::Completed, 3, 3)
    );
    assert_eq!(
        (counts(&store, "dead"), counts(&store, "q")),
        ((0, 0, 0), (3, 0, 0))
    );
}

/// A task moves no faster than it was told, goes on when time passes, and stops when it is cancelled.
pub async fn a_move_keeps_its_rate<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    queues(&store).await;
    let texts: Vec<String> = (0..50).map(|i| i.to_string()).collect();
    dead_letters(&store, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    store
        .start_move_task(start(1, Some("other"), Some(10)))
        .await
        .unwrap();
    let mut moved = 0;
    for seconds in [1, 1, 2] {
        tokio::time::sleep(MOMENT).await;
        assert_eq!(latest(&store).await.moved, moved);
        stage.pass(Duration::from_secs(seconds));
        moved += seconds * 10;
        until(&store, |task| task.moved >= moved).await;
    }
    let command = CancelMoveTask {
        source: key("dead"),
        id: id(1),
    };
    assert_eq!(store.cancel_move_task(command.clone()).await, Ok(40));
    let again = store.cancel_move_task(command).await;
    assert!(matches!(
        again,
        Err(Failure::Refused(CancelMoveTaskError::Invalid(_)))
    ));
    stage.pass(Duration::from_secs(10));
    tokio::time::sleep(MOMENT).await;
    let task = latest(&store).await;
    assert_eq!((task.status, task.moved), (MoveStatus::Cancelled, 40));
    assert_eq!((counts(&store, "dead").0, counts(&store, "other").0), (10, 40));
}

/// A task goes on after a restart, clean or not, at its rate.
pub async fn a_move_goes_on_after_a_restart<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    queues(&store).await;
    dead_letters(&store, &["1", "2", "3", "4", "5"]).await;
    store.start_move_task(start(1, None, Some(1))).await.unwrap();
    stage.pass(Duration::from_secs(2));
    until(&store, |task| task.moved == 2).await;
    drop(store);
    stage.restart();
    let store = stage.store();
    let task = latest(&store).await;
    assert_eq!(
        (task.status, task.moved, task.total, task.rate),
        (MoveStatus::Running, 2, 5, Some(1))
    );
    stage.pass(Duration::from_secs(1));
    until(&store, |task| task.moved == 3).await;
    stage.pass(Duration::from_secs(60));
    let task = until(&store, |task| task.status != MoveStatus::Running).await;
    assert_eq!((task.status, task.moved), (MoveStatus::Completed, 5));
    assert_eq!(texts(&take(&store, "q", 10).await), ["1", "2", "3", "4", "5"]);
}

/// A destination that is deleted ends the task; what was not moved stays.
pub async fn a_move_without_destination_fails<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    queues(&store).await;
    dead_letters(&store, &["1", "2"]).await;
    store
        .start_move_task(start(1, Some("other"), Some(1)))
        .await
        .unwrap();
    store.delete_queue(key("other")).await.unwrap();
    stage.pass(Duration::from_secs(1));
    let task = until(&store, |task| task.status != MoveStatus::Running).await;
    assert_eq!(task.status, MoveStatus::Failed(MoveFailure::DestinationMissing));
    assert_eq!((task.moved, counts(&store, "dead")), (0, (2, 0, 0)));
}

/// What is refused.
pub async fn moves_that_cannot_be<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    queues(&store).await;
    dead_letters(&store, &["1"]).await;
    let invalid = |result: Result<(), Failure<StartMoveTaskError>>| {
        assert!(
            matches!(result, Err(Failure::Refused(StartMoveTaskError::Invalid(_)))),
            "{result:?}"
        );
    };
    invalid(store.start_move_task(start(1, None, Some(501))).await);
    store.start_move_task(start(2, None, Some(1))).await.unwrap();
    let busy = store.start_move_task(start(3, None, None)).await;
    assert!(matches!(busy, Err(Failure::Refused(StartMoveTaskError::Busy(_)))));
    let missing = store.start_move_task(start(4, Some("nowhere"), None)).await;
    assert!(matches!(
        missing,
        Err(Failure::Refused(StartMoveTaskError::Queue(_)))
    ));
    let unknown = CancelMoveTask {
        source: key("dead"),
        id: id(1),
    };
    let unknown = store.cancel_move_task(unknown).await;
    assert!(matches!(
        unknown,
        Err(Failure::Refused(CancelMoveTaskError::Task(_)))
    ));
    let (source, max) = (key("nowhere"), None);
    let missing = store.move_tasks(ListMoveTasks { source, max }).await;
    assert!(matches!(
        missing,
        Err(Failure::Refused(ListMoveTasksError::Queue(_)))
    ));
}

/// A thousand messages, a restart in the middle, and a receiver beside it: each text arrives once.
pub async fn a_large_move_loses_nothing<S: Stage<Store: Messaging>>(stage: &mut S) {
    let store = stage.store();
    queues(&store).await;
    let sent: Vec<String> = (0..1_000).map(|i| format!("{i} {}", "x".repeat(500))).collect();
    dead_letters(&store, &sent.iter().map(String::as_str).collect::<Vec<_>>()).await;
    store
        .start_move_task(start(1, Some("other"), Some(500)))
        .await
        .unwrap();
    stage.pass(Duration::from_secs(1));
    until(&store, |task| task.moved >= 200).await;
    drop(store);
    stage.restart();
    let store = stage.store();
    let mut got = BTreeSet::new();
    while got.len() < 1_000 {
        // Whatever the task had moved by the restart, two seconds more are enough for the rest.
        stage.pass(Duration::from_millis(100));
        let max = 10;
        let messages = store.receive(receive("other", max, 0)).await.unwrap();
        for message in &messages {
            assert!(got.insert(text(message).to_owned()), "twice: {}", text(message));
            delete(&store, "other", message).await;
        }
        let task = latest(&store).await;
        let left = counts(&store, "other").0;
        assert!(
            task.status == MoveStatus::Running || left > 0 || got.len() == 1_000,
            "{} of 1000, {task:?}",
            got.len()
        );
    }
    assert_eq!(got, sent.into_iter().collect());
    let task = until(&store, |task| task.status != MoveStatus::Running).await;
    assert_eq!((task.status, task.moved), (MoveStatus::Completed, 1_000));
    assert_eq!(
        (counts(&store, "dead"), counts(&store, "other")),
        ((0, 0, 0), (0, 0, 0))
    );
}
