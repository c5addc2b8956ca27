//! Calls that are tried again, and those that are not, over real sockets.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod common;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::*;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tsugite_gateway::{ResponseClass, Settings};
use tsugite_traffic::{Policy, Protocol, ServiceSpec, State};

/// An endpoint that reads its request whole and answers with `status`, its own number and what it was sent.
async fn answering(
    status: Rc<Cell<u16>>,
    headers: &'static [(&'static str, &'static str)],
) -> (SocketAddr, Rc<Seen>) {
    endpoint(false, move |request: Request<Incoming>| {
        let status = status.get();
        async move {
            let sent = request.into_body().collect().await.unwrap().to_bytes();
            let mut response =
                Response::new(TestBody::of(if sent.is_empty() { "answer".into() } else { sent }));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            for (name, value) in headers {
                response
                    .headers_mut()
                    .insert(*name, HeaderValue::from_static(value));
            }
            response
        }
    })
    .await
}

fn status(code: u16) -> Rc<Cell<u16>> {
    Rc::new(Cell::new(code))
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

fn request(method: Method, body: TestBody) -> Request<TestBody> {
    Request::builder()
        .method(method)
        .uri("/s/")
        .header("host", "gateway")
        .body(body)
        .unwrap()
}

/// Calls go to the endpoints in turn, so that a test knows who is next.
fn in_turn(spec: &mut ServiceSpec) {
    spec.balance.policy = Policy::RoundRobin;
    spec.ejection.enabled = false;
}

fn retries(gateway: &Gateway) -> (u64, u64) {
    let snapshot = gateway.shared.metrics_snapshot();
    let service = snapshot.services.iter().find(|s| s.service == "s").unwrap();
    (service.retries, service.unaffordable)
}

#[test]
fn which_answers_are_asked_for_again_at_the_other_endpoint() {
    run(|| async {
        let bad = status(200);
        let ((failing, failures), (good, _)) = (
            answering(bad.clone(), &[]).await,
            answering(status(200), &[]).await,
        );
        for (method, code, again) in [
            (Method::GET, 500, true),
            (Method::GET, 502, true),
            (Method::GET, 503, true),
            (Method::GET, 504, true),
            (Method::GET, 501, false),
            (Method::GET, 404, false),
            (Method::GET, 429, false),
            (Method::OPTIONS, 500, true),
            (Method::PUT, 503, true),
            (Method::PUT, 500, false),
            (Method::DELETE, 502, true),
            (Method::POST, 503, false),
            (Method::PATCH, 503, false),
        ] {
            let gateway = Gateway::start().await;
            gateway.tuned("s", Protocol::Http, &[failing, good], in_turn);
            bad.set(code);
            let before = failures.requests.get();
            // In turn: one of the two meets the failing one first.
            let mut statuses = Vec::new();
            for _ in 0..2 {
                statuses.push(gateway.ask(request(method.clone(), TestBody::of("body"))).await.0);
            }
            // The one after a retry is the failing one's turn again.
            let met = u32::from(again) + 1;
            assert_eq!(failures.requests.get(), before + met, "{method} {code}");
            let expected = if again { vec![200, 200] } else { vec![code, 200] };
            statuses.sort_unstable_by(|a, b| b.cmp(a));
            assert_eq!(statuses, expected, "{method} {code}");
            assert_eq!(retries(&gateway).0, if again { 2 } else { 0 }, "{method} {code}");
            assert_eq!(gateway.active(), 0);
        }
    });
}

#[test]
fn a_body_is_sent_again_byte_for_byte_unless_it_is_too_long() {
    run(|| async {
        let bad = status(503);
        let ((failing, _), (good, seen)) = (answering(bad, &[]).await, answering(status(200), &[]).await);
        let gateway = Gateway::start().await;
        gateway.tuned("s", Protocol::Http, &[failing, good], in_turn);
        for size in [0, 1, 1_000, 64 * 1024] {
            let text: String = (0..size).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
            for _ in 0..2 {
                // In pieces, so that its length is not known, and at once.
                let (feed, chunked) = TestBody::fed();
                for piece in text.as_bytes().chunks(700) {
                    feed.send(Frame::data(bytes::Bytes::copy_from_slice(piece)))
                        .unwrap();
                }
                drop(feed);
                let (status, _, answer) = gateway.ask(request(Method::PUT, chunked)).await;
                let expected = if size == 0 { "answer" } else { text.as_str() };
                assert!(status == 200 && answer == expected, "{size}: {status}");
                let mut sized = request(Method::PUT, TestBody::of(text.clone()));
                sized
                    .headers_mut()
                    .insert("content-length", HeaderValue::from(size));
                let (status, _, answer) = gateway.ask(sized).await;
                assert!(status == 200 && answer == expected, "{size}: {status}");
            }
        }
        assert!(seen.requests.get() >= 16);
        let long = "x".repeat(64 * 1024 + 1);
        let mut refused = 0;
        for _ in 0..2 {
            let (status, headers, _) = gateway
                .ask(request(Method::PUT, TestBody::of(long.clone())))
                .await;
            if status == 503 {
                refused += 1;
                let proxy = headers["proxy-status"].to_str().unwrap();
                assert_eq!(
                    proxy,
                    "tsugite; received-status=503; details=\"body_too_large_to_retry\""
                );
                assert!(!headers.contains_key("tsugite-retry"));
            }
        }
        assert_eq!(refused, 1);
    });
}

#[test]
fn any_call_is_repeated_while_nothing_was_sent() {
    run(|| async {
        let (good, seen) = answering(status(200), &[]).await;
        let gateway = Gateway::start().await;
        gateway.tuned("s", Protocol::Http, &[nobody().await, good], in_turn);
        for n in 0..4 {
            let (status, _, answer) = gateway.ask(request(Method::POST, TestBody::of("once"))).await;
            assert_eq!((status, answer.as_str()), (200, "once"), "{n}");
        }
        assert_eq!(seen.requests.get(), 4);
    });
}

#[test]
fn three_failures_to_connect_eject_and_the_operator_sees_it() {
    run(|| async {
        let (good, _) = answering(status(200), &[]).await;
        let gateway = Gateway::start().await;
        let dead = nobody().await;
        gateway.tuned("s", Protocol::Http, &[dead, good], |spec| {
            spec.balance.policy = Policy::RoundRobin;
            spec.ejection.slow_start = Duration::ZERO;
        });
        let name = format!("s.internal/i-{dead}");
        let state = || gateway.shared.circuit(&name).unwrap().state;
        for _ in 0..6 {
            assert_eq!(gateway.get("/s/").await.0, 200);
        }
        until("it is ejected", || state() == State::Open).await;
        let before = retries(&gateway).0;
        for _ in 0..10 {
            assert_eq!(gateway.get("/s/").await.0, 200);
        }
        assert_eq!(retries(&gateway).0, before, "nobody asks it any more");
        let report = gateway.shared.circuit("s.internal").unwrap();
        assert_eq!(report.state, State::Closed);
        let ejected: Vec<_> = report
            .endpoints
            .iter()
            .filter(|e| e.state == State::Open)
            .collect();
        assert!(ejected.len() == 1 && ejected[0].reason.unwrap().as_str() == "connect");
        assert!(gateway.shared.reset_circuit(&name).is_some());
        assert_eq!(state(), State::Closed);
    });
}

#[test]
fn a_connection_that_breaks_is_tried_again_only_where_twice_is_harmless() {
    run(|| async {
        let broken = Rc::new(Cell::new(0));
        let count = broken.clone();
        let breaking = raw_endpoint(move |mut tcp| {
            let count = count.clone();
            async move {
                read_head(&mut tcp).await;
                count.set(count.get() + 1);
            }
        })
        .await;
        let (good, _) = answering(status(200), &[]).await;
        for (method, expected, met) in [
            (Method::GET, 200, 2),
            (Method::DELETE, 200, 2),
            (Method::POST, 502, 1),
        ] {
            let gateway = Gateway::start().await;
            gateway.tuned("s", Protocol::Http, &[breaking, good], in_turn);
            let before = broken.get();
            let mut worst = 0;
            for _ in 0..2 {
                worst = worst.max(gateway.ask(request(method.clone(), TestBody::empty())).await.0);
            }
            assert_eq!((worst, broken.get() - before), (expected, met), "{method}");
        }
    });
}

#[test]
fn the_budget_bounds_retries_and_says_so() {
    run(|| async {
        let (failing, seen) = answering(status(503), &[]).await;
        let gateway = Gateway::start().await;
        gateway.tuned("s", Protocol::Http, &[failing], |spec| {
            spec.circuit.min_calls = u32::MAX;
            spec.retry.floor = 0;
        });
        let mut h1 = gateway.h1().await;
        let mut marked = 0u32;
        let calls = 200;
        for _ in 0..calls {
            h1.ready().await.unwrap();
            let answer = h1
                .send_request(request(Method::GET, TestBody::empty()))
                .await
                .unwrap();
            let (head, body) = answer.into_parts();
            body.collect().await.unwrap();
            assert_eq!(head.status, 503);
            assert_eq!(head.headers["tsugite-retry"], "?0");
            let proxy = head.headers["proxy-status"].to_str().unwrap();
            if proxy == "tsugite; received-status=503; details=\"retry_budget_exhausted\"" {
                marked += 1;
            } else {
                assert_eq!(
                    proxy,
                    "tsugite; received-status=503; details=\"retries_exhausted\""
                );
            }
        }
        let sent = seen.requests.get();
        assert!((calls..=calls + calls / 5).contains(&sent), "{sent} for {calls}");
        assert!(sent > calls + calls / 10, "but some: {sent}");
        let (made, refused) = retries(&gateway);
        assert_eq!((made, refused), (u64::from(sent - calls), u64::from(marked)));
    });
}

#[test]
fn a_tier_behind_that_gave_up_is_not_asked_again() {
    run(|| async {
        let (failing, seen) = answering(status(503), &[]).await;
        let tune = |spec: &mut ServiceSpec| {
            spec.circuit.min_calls = u32::MAX;
            spec.retry.floor = 0;
        };
        // Three gateways, each with the next one behind it twice, so that there is always another to try.
        let last = Gateway::start().await;
        last.tuned("s", Protocol::Http, &[failing, failing], tune);
        let chain = |behind: SocketAddr| async move {
            let tier = Gateway::start().await;
            tier.tuned("front", Protocol::Http, &[behind, behind], tune);
            let mut route =
                tsugite_traffic::Route::new("r", tsugite_traffic::ServiceKey::new("internal", "front"));
            route.path_prefix = "/s".into();
            tier.route(route);
            tier
        };
        let middle = chain(last.address).await;
        let first = chain(middle.address).await;
        let mut h1 = first.h1().await;
        let calls = 200;
        for _ in 0..calls {
            h1.ready().await.unwrap();
            let answer = h1
                .send_request(request(Method::GET, TestBody::empty()))
                .await
                .unwrap();
            answer.into_body().collect().await.unwrap();
        }
        let sent = seen.requests.get();
        assert!(sent <= calls * 6 / 5, "{sent} through three tiers for {calls}");
    });
}

#[test]
fn retry_after_is_kept_to_and_one_that_does_not_fit_is_not_waited_for() {
    run(|| async {
        let (limited, _) = answering(status(429), &[("retry-after", "1")]).await;
        let (good, _) = answering(status(200), &[]).await;
        let gateway = Gateway::start().await;
        gateway.tuned("s", Protocol::Http, &[limited, good], in_turn);
        let mut slowest = Duration::ZERO;
        for _ in 0..2 {
            let begun = Instant::now();
            assert_eq!(gateway.get("/s/").await.0, 200);
            slowest = slowest.max(begun.elapsed());
        }
        assert!(
            slowest >= Duration::from_secs(1) && slowest < Duration::from_secs(2),
            "{slowest:?}"
        );
        // Less time than that is left.
        let gateway = Gateway::start().await;
        gateway.tuned("s", Protocol::Http, &[limited, good], in_turn);
        let begun = Instant::now();
        let mut worst = 0;
        for _ in 0..2 {
            let mut hurried = request(Method::GET, TestBody::empty());
            hurried
                .headers_mut()
                .insert("tsugite-deadline", HeaderValue::from(900));
            worst = worst.max(gateway.ask(hurried).await.0);
        }
        assert_eq!(worst, 429);
        assert!(begun.elapsed() < Duration::from_millis(800));
    });
}

#[test]
fn a_try_has_its_own_time_limit() {
    run(|| async {
        let (hanging, _) = endpoint(false, hang).await;
        let (good, _) = answering(status(200), &[]).await;
        let tune = |spec: &mut ServiceSpec| {
            in_turn(spec);
            spec.retry.per_try_timeout = Some(Duration::from_millis(100));
        };
        let gateway = Gateway::start().await;
        gateway.tuned("s", Protocol::Http, &[hanging, good], tune);
        for _ in 0..2 {
            let begun = Instant::now();
            assert_eq!(gateway.get("/s/").await.0, 200);
            assert!(begun.elapsed() < Duration::from_secs(1));
        }
        assert_eq!(retries(&gateway).0, 2);
        let gateway = Gateway::start().await;
        gateway.tuned("s", Protocol::Http, &[hanging], tune);
        let (status, headers, body) = gateway.get("/s/").await;
        assert_eq!(status, 504);
        assert!(
            body.contains("response-timeout") && body.contains("limit of one try"),
            "{body}"
        );
        assert_eq!(headers["tsugite-retry"], "?0");
        until("all is given back", || gateway.active() == 0).await;
    });
}

#[test]
fn deadlines_shrink_and_end_calls_exactly() {
    run(|| async {
        let (slow, seen) = endpoint(false, |_| async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            Response::new(TestBody::of("late"))
        })
        .await;
        let gateway = Gateway::start().await;
        gateway.service("s", Protocol::Http, &[slow]);
        let ask = async |value: &'static str| {
            let mut asking = request(Method::GET, TestBody::empty());
            asking
                .headers_mut()
                .insert("tsugite-deadline", HeaderValue::from_static(value));
            let begun = Instant::now();
            let (status, headers, body) = gateway.ask(asking).await;
            (status, headers, body, begun.elapsed())
        };
        let (status, headers, body, took) = ask("300").await;
        assert_eq!(status, 504);
        assert!(body.contains("urn:tsugite:problem:response-timeout"), "{body}");
        assert_eq!(
            headers["proxy-status"],
            "tsugite; error=http_response_timeout; next-hop=\"s.internal\""
        );
        assert!(
            took >= Duration::from_millis(300) && took < Duration::from_millis(600),
            "{took:?}"
        );
        let told: u64 = seen.head.borrow().as_ref().unwrap().headers["tsugite-deadline"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((200..300).contains(&told), "{told}");
        let before = seen.requests.get();
        let (status, _, _, took) = ask("0").await;
        assert_eq!((status, seen.requests.get()), (504, before), "nothing was sent");
        assert!(took < Duration::from_millis(100));
        for bad in ["", "soon", "-1", "1.5", "10s"] {
            let (status, _, body, _) = ask(bad).await;
            assert_eq!(status, 400, "{bad}");
            assert!(
                body.contains("Tsugite-Deadline must be a whole number of milliseconds"),
                "{body}"
            );
        }
    });
}

#[test]
fn the_shorter_of_both_limits_counts() {
    run(|| async {
        let (slow, _) = endpoint(false, hang).await;
        let settings = Settings {
            route_timeout: Duration::from_millis(150),
            ..Settings::default()
        };
        let gateway = Gateway::with(settings).await;
        gateway.service("s", Protocol::Http, &[slow]);
        let mut patient = request(Method::GET, TestBody::empty());
        patient
            .headers_mut()
            .insert("tsugite-deadline", HeaderValue::from(60_000));
        let begun = Instant::now();
        assert_eq!(gateway.ask(patient).await.0, 504);
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert_eq!(gateway.count("s", ResponseClass::Timeout), 1);
    });
}

/// gRPC endpoints: one refuses with headers only, one answers.
async fn grpc_endpoint(
    code: &'static str,
    pushback: Option<&'static str>,
) -> (SocketAddr, Rc<Seen>, Rc<RefCell<Vec<u8>>>) {
    let got = Rc::new(RefCell::new(Vec::new()));
    let kept = got.clone();
    let (address, seen) = endpoint(true, move |request: Request<Incoming>| {
        let kept = kept.clone();
        async move {
            let sent = request.into_body().collect().await.unwrap().to_bytes();
            *kept.borrow_mut() = sent.to_vec();
            let mut response = match code {
                "0" => {
                    let (feed, body) = TestBody::fed();
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static("0"));
                    feed.send(Frame::data(sent)).unwrap();
                    feed.send(Frame::trailers(trailers)).unwrap();
                    Response::new(body)
                }
                code => {
                    let mut response = Response::new(TestBody::empty());
                    response
                        .headers_mut()
                        .insert("grpc-status", HeaderValue::from_static(code));
                    response
                }
            };
            let headers = response.headers_mut();
            headers.insert("content-type", HeaderValue::from_static("application/grpc"));
            if let Some(pushback) = pushback {
                headers.insert("grpc-retry-pushback-ms", HeaderValue::from_static(pushback));
            }
            response
        }
    })
    .await;
    (address, seen, got)
}

#[test]
fn grpc_unavailable_is_tried_again_with_its_message_unless_pushed_back() {
    run(|| async {
        for (code, pushback, again) in [
            ("14", None, true),
            ("14", Some("20"), true),
            ("14", Some("-1"), false),
            ("13", None, false),
            ("8", None, false),
        ] {
            let (failing, _, _) = grpc_endpoint(code, pushback).await;
            let (good, seen, got) = grpc_endpoint("0", None).await;
            let gateway = Gateway::start().await;
            gateway.tuned("s", Protocol::Grpc, &[failing, good], in_turn);
            let mut h2 = gateway.h2().await;
            let mut statuses = Vec::new();
            for _ in 0..2 {
                let call = Request::post("http://s.internal/pkg.S/M")
                    .header("content-type", "application/grpc")
                    .body(TestBody::of("\0\0\0\0\u{3}abc"))
                    .unwrap();
                let (head, body) = h2.send_request(call).await.unwrap().into_parts();
                let body = body.collect().await.unwrap();
                let trailers = body.trailers().cloned().unwrap_or(head.headers);
                statuses.push(trailers["grpc-status"].to_str().unwrap().to_owned());
            }
            statuses.sort();
            let expected = if again { ["0", "0"] } else { ["0", code] };
            assert_eq!(statuses, expected, "{code} {pushback:?}");
            assert_eq!(*got.borrow(), b"\0\0\0\0\x03abc");
            if again {
                let attempts: Vec<_> = seen
                    .head
                    .borrow()
                    .iter()
                    .map(|h| h.headers.get("grpc-previous-rpc-attempts").cloned())
                    .collect();
                assert!(attempts == [None] || attempts == [Some(HeaderValue::from_static("1"))]);
            }
        }
    });
}

#[test]
fn one_of_ten_that_fails_is_seen_by_nobody_with_retries_and_by_few_without() {
    run(|| async {
        for retried in [true, false] {
            let mut addresses = vec![answering(status(500), &[]).await.0];
            for _ in 0..9 {
                addresses.push(answering(status(200), &[]).await.0);
            }
            for policy in [
                Policy::PeakEwma,
                Policy::RoundRobin,
                Policy::Random,
                Policy::LeastRequest,
            ] {
                let gateway = Rc::new(Gateway::start().await);
                gateway.tuned("s", Protocol::Http, &addresses, |spec| {
                    spec.balance.policy = policy;
                    spec.retry.tries = if retried { 3 } else { 1 };
                });
                let mut clients = tokio::task::JoinSet::new();
                let concurrent = 8;
                for _ in 0..concurrent {
                    let gateway = gateway.clone();
                    clients.spawn_local(async move {
                        let mut h1 = gateway.h1().await;
                        let mut failed = 0;
                        for _ in 0..100 {
                            h1.ready().await.unwrap();
                            let answer = h1
                                .send_request(request(Method::GET, TestBody::empty()))
                                .await
                                .unwrap();
                            failed += u32::from(answer.status() != 200);
                            answer.into_body().collect().await.unwrap();
                        }
                        failed
                    });
                }
                let failed: u32 = clients.join_all().await.into_iter().sum();
                let most = if retried { 0 } else { 5 + concurrent };
                assert!(failed <= most, "{policy:?} retried {retried}: {failed}");
            }
        }
    });
}

#[test]
fn a_cookie_keeps_a_client_at_its_endpoint() {
    run(|| async {
        let mut addresses = Vec::new();
        let mut seen = Vec::new();
        for _ in 0..5 {
            let (address, one) = answering(status(200), &[]).await;
            addresses.push(address);
            seen.push(one);
        }
        let gateway = Gateway::start().await;
        gateway.tuned("s", Protocol::Http, &addresses, |spec| {
            spec.balance.policy = Policy::Maglev;
            spec.balance.key = Some(tsugite_traffic::Key::Cookie("route".into()));
        });
        let counts = || seen.iter().map(|one| one.requests.get()).collect::<Vec<_>>();
        for _ in 0..5 {
            let before = counts();
            let (_, headers, _) = gateway.get("/s/").await;
            let cookie = headers["set-cookie"].to_str().unwrap();
            let value = cookie.split(';').next().unwrap().to_owned();
            assert!(value.starts_with("route=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"));
            for _ in 0..6 {
                let mut again = request(Method::GET, TestBody::empty());
                again
                    .headers_mut()
                    .insert("cookie", HeaderValue::try_from(format!("a=b; {value}")).unwrap());
                let (status, headers, _) = gateway.ask(again).await;
                assert!(status == 200 && !headers.contains_key("set-cookie"));
            }
            let grown: Vec<_> = counts()
                .iter()
                .zip(&before)
                .map(|(now, before)| now - before)
                .collect();
            assert!(grown.contains(&7), "{grown:?}");
        }
    });
}
