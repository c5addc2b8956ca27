//! Instances that leave, as the gateway knows it; and complaints about those that cannot be reached.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod common;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use common::*;
use http::Response;
use tokio::sync::oneshot;
use tsugite_traffic::{Protocol, ServiceKey};

const NOW: Duration = Duration::from_millis(300);

fn key(name: &str) -> ServiceKey {
    ServiceKey::new("internal", name)
}

async fn has_left(gateway: &Gateway, name: &str, address: SocketAddr) -> bool {
    let (service, instance) = (key(name), format!("i-{address}"));
    let left = gateway.shared.left(&service, &instance);
    tokio::time::timeout(NOW, left).await.is_ok()
}

/// An endpoint that holds each call until it is told to answer it.
async fn holding() -> (SocketAddr, Rc<RefCell<Vec<oneshot::Sender<()>>>>) {
    let held = Rc::new(RefCell::new(Vec::new()));
    let calls = held.clone();
    let handler = move |_| {
        let (release, released) = oneshot::channel();
        calls.borrow_mut().push(release);
        async move {
            let _ = released.await;
            Response::new(TestBody::of("held"))
        }
    };
    (endpoint(false, handler).await.0, held)
}

#[test]
fn an_instance_has_left_when_its_calls_have_ended_and_not_before() {
    run(|| async {
        let gateway = Rc::new(Gateway::start().await);
        let (slow, held) = holding().await;
        let (other, others) = holding().await;
        gateway.service("orders", Protocol::Http, &[slow, other]);
        assert!(!has_left(&gateway, "orders", slow).await, "it still takes calls");

        // Calls to both, by one client each.
        let mut calls = Vec::new();
        while held.borrow().is_empty() || others.borrow().is_empty() {
            let gateway = gateway.clone();
            calls.push(tokio::task::spawn_local(async move {
                gateway.get("/orders/").await.0
            }));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        gateway.leave("orders", slow);
        let before = held.borrow().len();
        assert!(!has_left(&gateway, "orders", slow).await, "calls are under way");
        // Nothing new goes there, and the number of tables in between is of no account.
        gateway.service("other", Protocol::Http, &[other]);
        for _ in 0..10 {
            let gateway = gateway.clone();
            calls.push(tokio::task::spawn_local(async move {
                gateway.get("/orders/").await.0
            }));
        }
        until("ten calls to the other", || others.borrow().len() >= 10).await;
        assert_eq!(held.borrow().len(), before);
        assert!(!has_left(&gateway, "orders", slow).await);
        // The calls to the other go on.
        held.borrow_mut()
            .drain(..)
            .for_each(|release| release.send(()).unwrap());
        until("it has left", || calls.iter().any(|call| call.is_finished())).await;
        assert!(has_left(&gateway, "orders", slow).await);
        others
            .borrow_mut()
            .drain(..)
            .for_each(|release| release.send(()).unwrap());
        for call in calls {
            assert_eq!(call.await.unwrap(), 200);
        }
    });
}

#[test]
fn an_idle_gateway_lets_go_at_once_and_strangers_have_always_left() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, _) = endpoint(false, hello).await;
        gateway.service("orders", Protocol::Http, &[address]);
        assert_eq!(gateway.get("/orders/").await.0, 200);
        gateway.leave("orders", address);
        assert!(has_left(&gateway, "orders", address).await);
        assert_eq!(gateway.get("/orders/").await.0, 503, "there is nobody else");
        gateway.forget("orders");
        assert!(has_left(&gateway, "orders", address).await);
        assert!(has_left(&gateway, "nobody", address).await);
    });
}

#[test]
fn who_cannot_be_reached_is_named() {
    run(|| async {
        let gateway = Gateway::start().await;
        let mut complaints = gateway.shared.complaints().unwrap();
        assert!(gateway.shared.complaints().is_none(), "one listens");
        let nobody = {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap()
        };
        gateway.service("orders", Protocol::Http, &[nobody]);
        for _ in 0..3 {
            assert!(gateway.get("/orders/").await.0 >= 500);
        }
        let complaint = tokio::time::timeout(SOON, complaints.recv())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (complaint.service, complaint.instance, complaint.address),
            (key("orders"), format!("i-{nobody}"), nobody)
        );
    });
}
