//! The circuit breaker as callers meet it.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::*;
use http::{Response, StatusCode};
use tsugite_gateway::{ResponseClass, Settings};
use tsugite_traffic::{CircuitSettings, HalfOpenSettings, OpenSettings, Override, Protocol, Reason, State};

fn quick() -> CircuitSettings {
    CircuitSettings {
        min_calls: 10,
        slow_call_duration: Duration::from_millis(400),
        open: OpenSettings {
            base: Duration::from_millis(300),
            max: Duration::from_millis(300),
            jitter: 0.0,
            ..OpenSettings::default()
        },
        half_open: HalfOpenSettings {
            permits: 3,
            concurrent: 3,
            max_duration: Duration::from_secs(5),
        },
        ..CircuitSettings::default()
    }
}

fn state(gateway: &Gateway) -> State {
    gateway.shared.circuit("slow.internal").unwrap().state
}

async fn failing(fails: Rc<Cell<bool>>) -> std::net::SocketAddr {
    let handler = move |_| {
        let status = if fails.get() {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::OK
        };
        async move {
            let mut response = Response::new(TestBody::of("answer"));
            *response.status_mut() = status;
            response
        }
    };
    endpoint(false, handler).await.0
}

#[test]
fn a_service_that_hangs_is_cut_off_by_its_slowness_and_others_are_unaffected() {
    run(|| async {
        let gateway = Rc::new(Gateway::start().await);
        let (slow, _) = endpoint(false, hang).await;
        let (greeter, _) = endpoint(false, hello).await;
        gateway.guarded("slow", Protocol::Http, &[slow], quick()).service(
            "greeter",
            Protocol::Http,
            &[greeter],
        );
        let begun = Instant::now();
        let mut hanging = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let gateway = gateway.clone();
            hanging.spawn_local(async move { gateway.get("/slow/").await.0 });
        }
        let mut slowest = Duration::ZERO;
        until("the circuit opens", || state(&gateway) == State::Open).await;
        let opened = begun.elapsed();
        let limit = quick().slow_call_duration + Duration::from_millis(200);
        assert!(
            opened >= quick().slow_call_duration && opened <= limit,
            "{opened:?}"
        );
        for _ in 0..50 {
            let one = Instant::now();
            assert_eq!(gateway.get("/greeter/").await.0, 200);
            slowest = slowest.max(one.elapsed());
        }
        assert!(slowest < Duration::from_millis(200), "{slowest:?}");
        let report = gateway.shared.circuit("slow.internal").unwrap();
        assert_eq!(report.reason, Some(Reason::SlowRate));
        hanging.abort_all();
    });
}

#[test]
fn failures_open_the_circuit_and_calls_fail_fast_with_the_reason() {
    run(|| async {
        let gateway = Gateway::start().await;
        let fails = Rc::new(Cell::new(true));
        let address = failing(fails.clone()).await;
        let settings = CircuitSettings {
            open: OpenSettings::default(),
            ..quick()
        };
        gateway.guarded("slow", Protocol::Http, &[address], settings);
        for _ in 0..10 {
            assert_eq!(gateway.get("/slow/").await.0, 500);
        }
        until("the circuit opens", || state(&gateway) == State::Open).await;
        let (status, headers, body) = gateway.get("/slow/").await;
        assert_eq!(status, 503);
        let retry_after: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=6).contains(&retry_after), "{retry_after}");
        assert_eq!(
            headers["tsugite-circuit"],
            "\"slow.internal\";state=open;reason=failure_rate"
        );
        assert_eq!(headers["cache-control"], "no-store");
        let proxy_status =
            "tsugite; error=destination_unavailable; details=\"circuit_open\"; next-hop=\"slow.internal\"";
        assert_eq!(headers["proxy-status"], proxy_status);
        assert!(
            body.contains("urn:tsugite:problem:circuit-open") && body.contains("\"retry_after_ms\":"),
            "{body}"
        );
        assert_eq!(gateway.count("slow", ResponseClass::Rejected), 1);
        assert_eq!(gateway.count("slow", ResponseClass::ServerError), 10);
    });
}

#[test]
fn half_open_sends_exactly_the_permitted_probes_and_closes_when_they_succeed() {
    run(|| async {
        let gateway = Rc::new(Gateway::start().await);
        // Answers wait for the gate, so that all probes are upstream at once.
        let (fails, gate) = (Rc::new(Cell::new(true)), Rc::new(tokio::sync::Semaphore::new(10)));
        let (fail, passes) = (fails.clone(), gate.clone());
        let (address, seen) = endpoint(false, move |_| {
            let (fail, passes) = (fail.clone(), passes.clone());
            async move {
                passes.acquire().await.unwrap().forget();
                let mut response = Response::new(TestBody::of("answer"));
                if fail.get() {
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                }
                response
            }
        })
        .await;
        let settings = CircuitSettings {
            slow_call_duration: Duration::from_secs(5),
            ..quick()
        };
        gateway.guarded("slow", Protocol::Http, &[address], settings);
        for _ in 0..10 {
            gateway.get("/slow/").await;
        }
        until("the circuit opens", || state(&gateway) == State::Open).await;
        until("it tries again", || state(&gateway) == State::HalfOpen).await;
        let before = seen.requests.get();
        let mut trials = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let gateway = gateway.clone();
            trials.spawn_local(async move { gateway.get("/slow/").await.0 });
        }
        let mut refused = 0;
        while refused < 97 {
            assert_eq!(trials.join_next().await.unwrap().unwrap(), 503);
            refused += 1;
        }
        assert_eq!(seen.requests.get() - before, 3, "probes");
        fails.set(false);
        gate.add_permits(1000);
        assert!(trials.join_all().await.iter().all(|status| *status == 200));
        until("it closes", || state(&gateway) == State::Closed).await;
        assert_eq!(gateway.get("/slow/").await.0, 200);
    });
}

#[test]
fn a_probe_whose_client_left_gives_its_permit_back() {
    run(|| async {
        let gateway = Rc::new(Gateway::start().await);
        let fails = Rc::new(Cell::new(true));
        let (hangs, fail) = (Rc::new(Cell::new(false)), fails.clone());
        let hanging = hangs.clone();
        let (address, _) = endpoint(false, move |_| {
            let (hang, fail) = (hanging.get(), fail.get());
            async move {
                if hang {
                    std::future::pending::<()>().await;
                }
                let mut response = Response::new(TestBody::of("answer"));
                if fail {
                    *response.status_mut() = StatusCode::BAD_GATEWAY;
                }
                response
            }
        })
        .await;
        gateway.guarded("slow", Protocol::Http, &[address], quick());
        for _ in 0..10 {
            gateway.get("/slow/").await;
        }
        until("the circuit opens", || state(&gateway) == State::Open).await;
        until("it tries again", || state(&gateway) == State::HalfOpen).await;
        hangs.set(true);
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let gateway = gateway.clone();
                tokio::task::spawn_local(async move { gateway.get("/slow/").await.0 })
            })
            .collect();
        until("all permits are out", || gateway.active() == 3).await;
        assert_eq!(gateway.get("/slow/").await.0, 503);
        clients.iter().for_each(tokio::task::JoinHandle::abort);
        hangs.set(false);
        fails.set(false);
        until("they are given back", || gateway.active() == 0).await;
        for _ in 0..3 {
            assert_eq!(gateway.get("/slow/").await.0, 200);
        }
        until("it closes", || state(&gateway) == State::Closed).await;
    });
}

#[test]
fn operators_have_the_last_word() {
    run(|| async {
        let gateway = Gateway::start().await;
        let fails = Rc::new(Cell::new(false));
        let address = failing(fails.clone()).await;
        gateway.guarded("slow", Protocol::Http, &[address], quick());
        let shared = &gateway.shared;
        shared
            .override_circuit("slow.internal", Override::ForcedOpen, None, "maintenance")
            .unwrap();
        let (status, headers, body) = gateway.get("/slow/").await;
        assert_eq!((status, headers.get("retry-after")), (503, None));
        assert!(body.contains("\"state\":\"forced_open\""), "{body}");
        assert!(shared.lift_override("slow.internal").is_some());
        assert_eq!(gateway.get("/slow/").await.0, 200);
        fails.set(true);
        shared
            .override_circuit("slow.internal", Override::Disabled, None, "")
            .unwrap();
        for _ in 0..30 {
            assert_eq!(gateway.get("/slow/").await.0, 500);
        }
        shared.lift_override("slow.internal").unwrap();
        for _ in 0..10 {
            gateway.get("/slow/").await;
        }
        until("the circuit opens", || state(&gateway) == State::Open).await;
        fails.set(false);
        assert_eq!(
            shared.reset_circuit("slow.internal").unwrap().state,
            State::Closed
        );
        assert_eq!(gateway.get("/slow/").await.0, 200);
        assert!(shared.reset_circuit("nobody.internal").is_none());
    });
}

#[test]
fn one_broken_endpoint_of_two_gets_few_calls() {
    run(|| async {
        let gateway = Gateway::start().await;
        let good = failing(Rc::new(Cell::new(false))).await;
        let (bad, seen) = endpoint(false, |_| async {
            let mut response = Response::new(TestBody::of("answer"));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        })
        .await;
        gateway.service("pair", Protocol::Http, &[good, bad]);
        for _ in 0..200 {
            gateway.get("/pair/").await;
        }
        assert!(
            seen.requests.get() <= 5,
            "{} of 200 calls went to the broken one",
            seen.requests.get()
        );
    });
}

#[test]
fn a_table_without_the_service_forgets_it_and_calls_in_progress_end_well() {
    run(|| async {
        let gateway = Rc::new(Gateway::start().await);
        let release = Rc::new(tokio::sync::Notify::new());
        let waiting = release.clone();
        let (address, _) = endpoint(false, move |_| {
            let waiting = waiting.clone();
            async move {
                waiting.notified().await;
                Response::new(TestBody::of("late"))
            }
        })
        .await;
        gateway.service("slow", Protocol::Http, &[address]);
        let call = tokio::task::spawn_local({
            let gateway = gateway.clone();
            async move { gateway.get("/slow/").await }
        });
        until("it is upstream", || gateway.active() == 1).await;
        gateway.forget("slow");
        assert!(gateway.shared.circuit("slow.internal").is_none());
        assert_eq!(gateway.get("/slow/").await.0, 404);
        release.notify_one();
        assert_eq!(call.await.unwrap().2, "late");
    });
}

#[test]
fn failures_on_two_cores_add_up_to_one_circuit() {
    run(|| async {
        let gateway = Gateway::with(Settings {
            cores: 2,
            ..Settings::default()
        })
        .await;
        let fails = failing(Rc::new(Cell::new(true))).await;
        gateway.guarded("slow", Protocol::Http, &[fails], quick());
        let second = second_core(&gateway);
        for n in 0..10 {
            assert_eq!(state(&gateway), State::Closed, "after {n} failures");
            let address = if n % 2 == 0 {
                gateway.address
            } else {
                second.address
            };
            assert_eq!(gateway.get_from(address, "/slow/").await.0, 500);
        }
        until("the circuit opens", || state(&gateway) == State::Open).await;
        for address in [gateway.address, second.address] {
            assert_eq!(gateway.get_from(address, "/slow/").await.0, 503);
        }
        assert_eq!(gateway.count("slow", ResponseClass::ServerError), 10);
        assert_eq!(gateway.count("slow", ResponseClass::Rejected), 2);
        assert_eq!(gateway.shared.metrics_snapshot().requests, 12);
        second.end();
    });
}
