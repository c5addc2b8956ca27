//! gRPC passes through frame by frame; what the gateway itself says, it says as a gRPC status.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::*;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tsugite_gateway::ResponseClass;
use tsugite_traffic::{CircuitSettings, Override, Protocol, State};

fn request(service: &str, body: TestBody) -> Request<TestBody> {
    Request::post(format!("http://{service}.internal/pkg.Svc/Do"))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .body(body)
        .unwrap()
}

fn status(code: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(code));
    trailers
}

fn message(text: &str) -> Frame<Bytes> {
    let mut framed = vec![0];
    framed.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    framed.extend(text.as_bytes());
    Frame::data(framed.into())
}

fn grpc_response(body: TestBody) -> Response<TestBody> {
    Response::builder()
        .header("content-type", "application/grpc+proto")
        .body(body)
        .unwrap()
}

/// Answers `frames`, then the status, if there is one.
fn answering(
    frames: usize,
    code: Option<&'static str>,
) -> impl Fn(Request<Incoming>) -> std::future::Ready<Response<TestBody>> + Clone {
    move |_| {
        let (feed, body) = TestBody::fed();
        for _ in 0..frames {
            feed.send(message("hi")).unwrap();
        }
        if let Some(code) = code {
            feed.send(Frame::trailers(status(code))).unwrap();
        }
        std::future::ready(grpc_response(body))
    }
}

async fn outcome(response: Response<Incoming>) -> (usize, String, String) {
    let in_head = response.headers().get("grpc-status").cloned();
    let collected = response.into_body().collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let field = |name: &str| {
        trailers
            .get(name)
            .map(|v| v.to_str().unwrap().to_owned())
            .unwrap_or_default()
    };
    let code = in_head.map_or_else(|| field("grpc-status"), |v| v.to_str().unwrap().to_owned());
    (collected.to_bytes().len(), code, field("grpc-message"))
}

#[test]
fn unary_calls_keep_their_trailers() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, seen) = endpoint(true, answering(1, Some("5"))).await;
        gateway.service("svc", Protocol::Unspecified, &[address]);
        let response = gateway
            .h2()
            .await
            .send_request(request("svc", TestBody::of("x")))
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(outcome(response).await, (7, "5".into(), String::new()));
        let head = seen.head.borrow_mut().take().unwrap();
        assert_eq!(head.uri, "http://svc.internal/pkg.Svc/Do");
        assert_eq!(head.headers["te"], "trailers");
        assert_eq!(gateway.count("svc", ResponseClass::ClientError), 1);
        until("counted", || {
            gateway.shared.circuit("svc.internal").unwrap().totals.success == 1
        })
        .await;
    });
}

#[test]
fn a_trailers_only_answer_stays_one_frame() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, _) = endpoint(true, |_| async {
            let mut response = grpc_response(TestBody::empty());
            response.headers_mut().extend(status("12"));
            response
        })
        .await;
        gateway.service("svc", Protocol::Grpc, &[address]);
        let response = gateway
            .h2()
            .await
            .send_request(request("svc", TestBody::empty()))
            .await
            .unwrap();
        assert!(response.body().is_end_stream());
        assert_eq!(response.headers()["grpc-status"], "12");
    });
}

#[test]
fn bidirectional_streams_flow_both_ways_at_once() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, _) = endpoint(true, echo).await;
        gateway.service("svc", Protocol::Grpc, &[address]);
        let (feed, body) = TestBody::fed();
        let mut client = gateway.h2().await;
        let waiting =
            tokio::task::spawn_local(async move { client.send_request(request("svc", body)).await });
        feed.send(message("one")).unwrap();
        let mut answer = waiting.await.unwrap().unwrap().into_body();
        assert!(piece(&mut answer).await.ends_with("one"));
        for n in 0..100 {
            feed.send(message(&n.to_string())).unwrap();
            assert!(piece(&mut answer).await.ends_with(&n.to_string()));
        }
        feed.send(Frame::trailers(status("0"))).unwrap();
        drop(feed);
        let last = answer.frame().await.unwrap().unwrap();
        assert_eq!(last.into_trailers().unwrap()["grpc-status"], "0");
        assert_eq!(gateway.count("svc", ResponseClass::Success), 1);
    });
}

#[test]
fn a_stream_that_ends_without_a_status_gets_one_and_is_a_failure() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, _) = endpoint(true, answering(1, None)).await;
        gateway.service("svc", Protocol::Grpc, &[address]);
        let response = gateway
            .h2()
            .await
            .send_request(request("svc", TestBody::empty()))
            .await
            .unwrap();
        let (_, code, message) = outcome(response).await;
        assert_eq!(code, "13");
        assert!(message.contains("without a gRPC status"), "{message}");
        until("counted", || {
            gateway.shared.circuit("svc.internal").unwrap().totals.failure == 1
        })
        .await;
    });
}

#[test]
fn a_connection_that_breaks_in_the_middle_ends_the_call_as_unavailable() {
    run(|| async {
        let gateway = Gateway::start().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        gateway.service("svc", Protocol::Grpc, &[listener.local_addr().unwrap()]);
        tokio::task::spawn_local(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                tokio::task::spawn_local(async move {
                    let mut h2 = h2::server::handshake(tcp).await.unwrap();
                    let (_, mut respond) = h2.accept().await.unwrap().unwrap();
                    let mut send = respond.send_response(Response::new(()), false).unwrap();
                    send.send_data(Bytes::from_static(b"\0\0\0\0\x02hi"), false)
                        .unwrap();
                    // Flushes, and then everything is dropped.
                    let _ = tokio::time::timeout(Duration::from_millis(50), h2.accept()).await;
                });
            }
        });
        let response = gateway
            .h2()
            .await
            .send_request(request("svc", TestBody::empty()))
            .await
            .unwrap();
        let (bytes, code, _) = outcome(response).await;
        assert_eq!((bytes, code.as_str()), (7, "14"));
    });
}

#[test]
fn deadlines_shrink_on_the_way_and_are_kept() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, seen) = endpoint(true, hang).await;
        gateway.service("svc", Protocol::Grpc, &[address]);
        let mut client = gateway.h2().await;
        let begun = Instant::now();
        let mut ask = request("svc", TestBody::empty());
        ask.headers_mut()
            .insert("grpc-timeout", HeaderValue::from_static("200m"));
        let response = client.send_request(ask).await.unwrap();
        let took = begun.elapsed();
        assert_eq!(outcome(response).await.1, "4");
        assert!(
            took >= Duration::from_millis(200) && took < Duration::from_millis(400),
            "{took:?}"
        );
        let passed_on = seen.head.borrow_mut().take().unwrap().headers["grpc-timeout"]
            .to_str()
            .unwrap()
            .to_owned();
        let passed_on = tsugite_grpc::timeout::parse(passed_on.as_bytes()).unwrap();
        assert!(
            passed_on < Duration::from_millis(200) && passed_on > Duration::from_millis(100),
            "{passed_on:?}"
        );
        assert_eq!(gateway.count("svc", ResponseClass::Timeout), 1);
    });
}

#[test]
fn a_deadline_in_the_middle_of_an_answer_ends_it_with_trailers() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, _) = endpoint(true, |_| async {
            let (feed, body) = TestBody::fed();
            feed.send(message("hi")).unwrap();
            tokio::task::spawn_local(async move { feed.closed().await });
            grpc_response(body)
        })
        .await;
        gateway.service("svc", Protocol::Grpc, &[address]);
        let mut ask = request("svc", TestBody::empty());
        ask.headers_mut()
            .insert("grpc-timeout", HeaderValue::from_static("100m"));
        let response = gateway.h2().await.send_request(ask).await.unwrap();
        assert_eq!(
            outcome(response).await,
            (7, "4".into(), "deadline exceeded".into())
        );
    });
}

#[test]
fn tiny_client_deadlines_do_not_open_the_circuit() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, _) = endpoint(true, |request| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            answering(1, Some("0"))(request).await
        })
        .await;
        gateway.service("svc", Protocol::Grpc, &[address]);
        let client = gateway.h2().await;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let mut client = client.clone();
            calls.spawn_local(async move {
                let mut ask = request("svc", TestBody::empty());
                ask.headers_mut()
                    .insert("grpc-timeout", HeaderValue::from_static("1m"));
                outcome(client.send_request(ask).await.unwrap()).await.1
            });
        }
        assert!(calls.join_all().await.iter().all(|code| code == "4"));
        until("all are counted", || {
            gateway.shared.circuit("svc.internal").unwrap().totals.ignored == 200
        })
        .await;
        let report = gateway.shared.circuit("svc.internal").unwrap();
        assert_eq!((report.state, report.rates.calls), (State::Closed, 0));
    });
}

#[test]
fn clients_that_leave_at_their_deadline_do_not_blind_the_circuit_to_a_hang() {
    run(|| async {
        let gateway = Gateway::start().await;
        let served = Rc::new(Cell::new(0));
        let (address, _) = endpoint(true, move |request| {
            let number = served.replace(served.get() + 1);
            async move {
                match number < 30 {
                    true => answering(1, Some("0"))(request).await,
                    false => hang(request).await,
                }
            }
        })
        .await;
        gateway.service("svc", Protocol::Grpc, &[address]);
        let client = gateway.h2().await;
        for _ in 0..30 {
            let answer = client.clone().send_request(request("svc", TestBody::empty()));
            assert_eq!(outcome(answer.await.unwrap()).await.1, "0");
        }
        until("what is healthy is known", || {
            let report = gateway.shared.circuit("svc.internal").unwrap();
            report.healthy_median.is_some()
        })
        .await;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let mut client = client.clone();
            calls.spawn_local(async move {
                let mut ask = request("svc", TestBody::empty());
                ask.headers_mut()
                    .insert("grpc-timeout", HeaderValue::from_static("1S"));
                let early = Duration::from_millis(950);
                tokio::time::timeout(early, client.send_request(ask))
                    .await
                    .is_err()
            });
        }
        assert!(calls.join_all().await.iter().all(|left| *left));
        until("they count", || {
            let report = gateway.shared.circuit("svc.internal").unwrap();
            report.totals.slow_failure == 40
        })
        .await;
    });
}

#[test]
fn problems_come_as_trailers_only() {
    run(|| async {
        let gateway = Gateway::start().await;
        let free = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let (address, _) = endpoint(true, hang).await;
        gateway
            .service("dead", Protocol::Grpc, &[free])
            .service("empty", Protocol::Grpc, &[]);
        gateway.guarded("open", Protocol::Grpc, &[address], CircuitSettings::default());
        let wait = Some(Duration::from_secs(4));
        gateway
            .shared
            .override_circuit("open.internal", Override::ForcedOpen, wait, "test")
            .unwrap();
        for (service, code) in [("dead", "14"), ("empty", "14"), ("nobody", "12"), ("open", "14")] {
            let response = gateway
                .h2()
                .await
                .send_request(request(service, TestBody::empty()))
                .await
                .unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{service}");
            assert!(response.body().is_end_stream(), "{service}");
            let headers = response.headers();
            assert_eq!(headers["grpc-status"], code, "{service}");
            assert_eq!(headers["content-type"], "application/grpc", "{service}");
            if service == "open" {
                assert_eq!(headers["grpc-message"], "circuit open: open.internal");
                let pushback: u64 = headers["grpc-retry-pushback-ms"]
                    .to_str()
                    .unwrap()
                    .parse()
                    .unwrap();
                assert!((3000..=4000).contains(&pushback), "{pushback}");
                assert!(headers.contains_key("grpc-status-details-bin"));
            }
        }
    });
}
