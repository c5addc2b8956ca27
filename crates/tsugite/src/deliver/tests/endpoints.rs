//! Loops of endpoints over outboxes in memory: retries, bounds, throttles, a hanging neighbour, the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::server::{Answer, BUSY, GONE, OK, Server};
use super::source::Memory;
use crate::deliver::{ClientSettings, Deliverer, Settings};
use crate::signing::Signer;

/// Two more tries at once, then one after a second.
const AT_ONCE: &str =
    r#"{"healthyRetryPolicy":{"minDelayTarget":1,"maxDelayTarget":1,"numRetries":3,"numNoDelayRetries":2}}"#;

fn deliverer(memory: &Memory, timeout: Duration) -> Deliverer {
    let (world, _) = crate::world::host();
    // Nothing is signed here, so nothing is written there.
    let signer = Signer::new(std::env::temp_dir().join("tsugite-unused"), world.clone(), None);
    let settings = Settings {
        client: ClientSettings {
            timeout,
            ..ClientSettings::default()
        },
        base_url: "http://localhost:4566".into(),
        fixed: false,
        threads: 2,
    };
    Deliverer::start(memory.clone(), world, Arc::new(signer), settings).unwrap()
}

/// Waits until it is so, for ten seconds at most.
pub(super) async fn until(what: &str, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what} never came");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_posted_and_deleted() {
    let memory = Memory::new();
    let server = Server::start(|_, _| Answer::Later(OK, Duration::from_millis(5))).await;
    let early = memory.subscribe(&server.url(), "");
    memory.publish(&early, 30);
    let deliverer = deliverer(&memory, Duration::from_secs(5));
    let late = memory.subscribe(&server.url(), "");
    memory.publish(&late, 270);
    until("an empty outbox", || {
        memory.left(&early) + memory.left(&late) == 0
    })
    .await;
    let asked = server.asked();
    assert_eq!(asked.len(), 300);
    let mut bodies: Vec<_> = asked.iter().map(|asked| asked.body.clone()).collect();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 300, "each once");
    assert!(bodies[0].contains(r#""UnsubscribeURL":"http://localhost:4566/?Action=Unsubscribe"#));
    assert!(
        server.most() <= 64,
        "two endpoints with 32 each: {}",
        server.most()
    );
    assert!(server.connections() <= 64, "{}", server.connections());
    let report = deliverer.report(&late.subscription).unwrap();
    assert_eq!(
        (report.attempts, report.successes, report.failures),
        (270, 270, 0)
    );
    assert_eq!((report.last_status, report.in_flight), (Some(200), 0));
    memory.unsubscribe(&late);
    until("the end of a report", || {
        deliverer.report(&late.subscription).is_none()
    })
    .await;
    assert!(deliverer.report(&early.subscription).is_some());
    deliverer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_tried_again_by_the_policy() {
    let memory = Memory::new();
    let server = Server::start(|n, _| Answer::Bytes(if n < 3 { BUSY } else { OK })).await;
    let outbox = memory.subscribe(&server.url(), AT_ONCE);
    memory.publish(&outbox, 1);
    let deliverer = deliverer(&memory, Duration::from_secs(5));
    let begun = Instant::now();
    until("the third failure", || server.asked().len() == 3).await;
    assert!(begun.elapsed() < Duration::from_millis(900), "at once");
    until("a next try", || {
        deliverer.report(&outbox.subscription).unwrap().next_try.is_some()
    })
    .await;
    let report = deliverer.report(&outbox.subscription).unwrap();
    assert_eq!((report.attempts, report.failures, report.given_up), (3, 3, 0));
    assert_eq!(report.last_error.unwrap().1, "status 503 Service Unavailable");
    until("an empty outbox", || memory.left(&outbox) == 0).await;
    assert!(begun.elapsed() > Duration::from_millis(900), "after a second");
    assert_eq!(memory.given_up(), 0);
    deliverer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_for_good_is_given_up() {
    let memory = Memory::new();
    let gone = Server::start(|_, _| Answer::Bytes(GONE)).await;
    let busy = Server::start(|_, _| Answer::Bytes(BUSY)).await;
    let none = r#"{"healthyRetryPolicy":{"minDelayTarget":1,"maxDelayTarget":1,"numRetries":2,"numNoDelayRetries":2}}"#;
    let outboxes = [
        memory.subscribe(&gone.url(), none),
        memory.subscribe(&busy.url(), none),
        memory.subscribe("http://169.254.169.254/latest/meta-data", none),
        memory.subscribe("http://host:0/", none),
    ];
    for outbox in &outboxes {
        memory.publish(outbox, 1);
    }
    let deliverer = deliverer(&memory, Duration::from_secs(5));
    until("four that were given up", || memory.given_up() == 4).await;
    assert_eq!((gone.asked().len(), busy.asked().len()), (1, 3));
    for (outbox, attempts, reason) in [
        (&outboxes[0], 1, "status 410 Gone"),
        (&outboxes[1], 3, "status 503"),
        (&outboxes[2], 1, "169.254.169.254 is link-local"),
        (&outboxes[3], 1, "its port must be"),
    ] {
        let report = deliverer.report(&outbox.subscription).unwrap();
        assert_eq!(
            (report.attempts, report.given_up),
            (attempts, 1),
            "{}",
            outbox.endpoint
        );
        let (_, error) = report.last_error.unwrap();
        assert!(error.contains(reason), "{error}");
    }
    deliverer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_endpoint_delays_nobody_and_no_end() {
    let memory = Memory::new();
    let hanging = Server::start(|_, _| Answer::Nothing).await;
    let fast = Server::start(|_, _| Answer::Bytes(OK)).await;
    let stuck: Vec<_> = (0..8).map(|_| memory.subscribe(&hanging.url(), "")).collect();
    for outbox in &stuck {
        memory.publish(outbox, 100);
    }
    let deliverer = deliverer(&memory, Duration::from_secs(60));
    until("hanging requests", || hanging.most() == 8 * 32).await;
    let outbox = memory.subscribe(&fast.url(), "");
    let begun = Instant::now();
    memory.publish(&outbox, 2_000);
    until("an empty outbox", || memory.left(&outbox) == 0).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(hanging.most(), 8 * 32, "bounded");
    let begun = Instant::now();
    deliverer.stop().await;
    assert!(
        begun.elapsed() < Duration::from_millis(3_500),
        "{:?}",
        begun.elapsed()
    );
    for outbox in &stuck {
        assert_eq!(
            (memory.left(outbox), memory.visible(outbox)),
            (100, 100),
            "all come again at once"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn throttle_policies_hold() {
    let memory = Memory::new();
    let server = Server::start(|_, _| Answer::Bytes(OK)).await;
    let outbox = memory.subscribe(&server.url(), r#"{"throttlePolicy":{"maxReceivesPerSecond":20}}"#);
    memory.publish(&outbox, 21);
    let begun = Instant::now();
    let deliverer = deliverer(&memory, Duration::from_secs(5));
    until("an empty outbox", || memory.left(&outbox) == 0).await;
    assert!(
        begun.elapsed() >= Duration::from_millis(950),
        "{:?}",
        begun.elapsed()
    );
    deliverer.stop().await;
}
