//! Requests pass through as they should, over every pair of protocols.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod common;

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use common::*;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tsugite_gateway::{ResponseClass, Settings};
use tsugite_traffic::{Protocol, Route, ServiceKey};

#[test]
fn connections_are_kept_on_both_sides() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, seen) = endpoint(false, hello).await;
        gateway.service("greeter", Protocol::Unspecified, &[address]);
        let mut client = gateway.h1().await;
        for _ in 0..20 {
            let request = Request::get("/greeter/x")
                .header("host", "gw")
                .body(TestBody::empty())
                .unwrap();
            client.ready().await.unwrap();
            let response = client.send_request(request).await.unwrap();
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
        }
        assert_eq!((seen.requests.get(), seen.connections.get()), (20, 1));
        assert_eq!(gateway.shared.metrics_snapshot().accepted, 1);
        assert_eq!(gateway.count("greeter", ResponseClass::Success), 20);
        assert_eq!(gateway.active(), 0);
    });
}

#[test]
fn the_head_is_rewritten_as_a_proxy_should() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, seen) = endpoint(false, hello).await;
        gateway.service("orders", Protocol::Unspecified, &[address]);
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let request = Request::get("/orders/a%2Fb?q=1&r")
            .header("host", "shop.example")
            .header("connection", "close, x-secret")
            .header("x-secret", "1")
            .header("te", "gzip")
            .header("x-forwarded-for", "192.0.2.1")
            .header("traceparent", trace)
            .body(TestBody::empty())
            .unwrap();
        let response = gateway.h1().await.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let head = seen.head.borrow_mut().take().unwrap();
        let field = |name: &str| head.headers.get(name).map(|v| v.to_str().unwrap());
        assert_eq!(head.uri, "/a%2Fb?q=1&r");
        assert_eq!(field("host"), Some("shop.example"));
        assert_eq!(field("x-forwarded-for"), Some("192.0.2.1, 127.0.0.1"));
        assert_eq!(field("x-forwarded-proto"), Some("http"));
        assert_eq!(field("x-forwarded-host"), Some("shop.example"));
        assert_eq!(field("traceparent"), Some(trace));
        assert_eq!(field("x-request-id").map(str::len), Some(36));
        for gone in ["connection", "x-secret", "te"] {
            assert_eq!(field(gone), None, "{gone}");
        }
    });
}

/// Sends a piece, sees it come back, sends the next: neither side may wait for the end of a body.
async fn check_echo(client_h2: bool, endpoint_h2: bool) {
    let gateway = Gateway::start().await;
    let (address, seen) = endpoint(endpoint_h2, echo).await;
    let protocol = if endpoint_h2 {
        Protocol::H2c
    } else {
        Protocol::Http
    };
    gateway.service("echo", protocol, &[address]);
    let (feed, body) = TestBody::fed();
    let uri = if client_h2 {
        "http://echo.internal/"
    } else {
        "/echo/"
    };
    let request = Request::post(uri)
        .header("host", "echo.internal")
        .header("trailer", "x-sum")
        .header("te", "trailers");
    let request = request.body(body).unwrap();
    let response = if client_h2 {
        feed.send(Frame::data(Bytes::from("one"))).unwrap();
        gateway.h2().await.send_request(request).await.unwrap()
    } else {
        feed.send(Frame::data(Bytes::from("one"))).unwrap();
        gateway.h1().await.send_request(request).await.unwrap()
    };
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    assert_eq!(piece(&mut body).await, "one");
    for word in ["two", "three"] {
        feed.send(Frame::data(Bytes::from(word))).unwrap();
        assert_eq!(piece(&mut body).await, word);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("11"));
    feed.send(Frame::trailers(trailers.clone())).unwrap();
    drop(feed);
    let last = body.frame().await.unwrap().unwrap();
    assert_eq!(
        last.into_trailers().unwrap(),
        trailers,
        "client h2 {client_h2}, endpoint h2 {endpoint_h2}"
    );
    assert!(body.frame().await.is_none());
    assert_eq!(seen.requests.get(), 1);
}

#[test]
fn bodies_and_trailers_stream_both_ways_over_every_pair_of_protocols() {
    run(|| async {
        for client_h2 in [false, true] {
            for endpoint_h2 in [false, true] {
                check_echo(client_h2, endpoint_h2).await;
            }
        }
    });
}

#[test]
fn two_mebibytes_come_back_unchanged() {
    run(|| async {
        let sent: Bytes = (0..2u32 << 20).map(|i| (i % 251) as u8).collect();
        for h2 in [false, true] {
            let gateway = Gateway::start().await;
            let (address, _) = endpoint(h2, echo).await;
            let protocol = if h2 { Protocol::H2c } else { Protocol::Http };
            gateway.service("echo", protocol, &[address]);
            let request = Request::post("http://echo.internal/").header("host", "echo.internal");
            let request = request.body(TestBody::of(sent.clone())).unwrap();
            let response = if h2 {
                gateway.h2().await.send_request(request).await
            } else {
                gateway.h1().await.send_request(request).await
            };
            let got = response.unwrap().into_body().collect().await.unwrap().to_bytes();
            assert!(got == sent, "h2 {h2}: {} bytes of {}", got.len(), sent.len());
        }
    });
}

#[test]
fn a_get_may_have_a_chunked_body() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, _) = endpoint(false, echo).await;
        gateway.service("echo", Protocol::Http, &[address]);
        let answer = gateway
            .raw("GET /echo/ HTTP/1.1\r\nHost: gw\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
            .await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.contains("abc"), "{answer}");
    });
}

#[test]
fn heads_without_bodies_and_old_clients() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, _) = endpoint(false, |_| async {
            let mut response = Response::new(TestBody::empty());
            response
                .headers_mut()
                .insert("content-length", HeaderValue::from(1234));
            response
        })
        .await;
        let (greeter, _) = endpoint(false, hello).await;
        gateway
            .service("sized", Protocol::Http, &[address])
            .service("greeter", Protocol::Http, &[greeter]);
        let answer = gateway
            .raw("HEAD /sized/ HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n")
            .await;
        assert!(
            answer.contains("content-length: 1234") && answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
        let answer = gateway.raw("GET /greeter/ HTTP/1.0\r\n\r\n").await;
        assert!(
            answer.starts_with("HTTP/1.0 200 OK") && answer.ends_with("hello"),
            "{answer}"
        );
        assert!(!answer.contains("chunked"), "{answer}");
    });
}

#[test]
fn a_resting_connection_that_the_endpoint_closed_costs_no_request() {
    run(|| async {
        let gateway = Gateway::start().await;
        // Answers once on each connection, then closes it as soon as the next request has come.
        let address = raw_endpoint(|mut tcp| async move {
            read_head(&mut tcp).await;
            tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await
                .unwrap();
            read_head(&mut tcp).await;
        })
        .await;
        gateway.service("short", Protocol::Http, &[address]);
        for _ in 0..5 {
            assert_eq!(gateway.get("/short/").await.0, 200);
        }
        // What is not safe to repeat is not repeated: its head was sent.
        let request = Request::post("/short/")
            .header("host", "gw")
            .body(TestBody::of("x"))
            .unwrap();
        let response = gateway.h1().await.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    });
}

#[test]
fn http2_connections_are_shared_and_replaced() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, seen) = endpoint(true, hello).await;
        gateway.service("greeter", Protocol::H2c, &[address]);
        let client = gateway.h2().await;
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let mut client = client.clone();
            waiting.spawn_local(async move {
                let request = Request::get("http://greeter.internal/")
                    .body(TestBody::empty())
                    .unwrap();
                client.send_request(request).await.unwrap().status()
            });
        }
        assert!(waiting.join_all().await.into_iter().all(|s| s == StatusCode::OK));
        assert_eq!((seen.requests.get(), seen.connections.get()), (50, 1));
    });
}

#[test]
fn a_goaway_loses_no_request() {
    run(|| async {
        let gateway = Gateway::start().await;
        // Each connection serves three requests, then says goodbye.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        gateway.service("fickle", Protocol::H2c, &[listener.local_addr().unwrap()]);
        let connections = Rc::new(std::cell::Cell::new(0));
        let counted = connections.clone();
        tokio::task::spawn_local(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                counted.set(counted.get() + 1);
                tokio::task::spawn_local(async move {
                    let mut h2 = h2::server::handshake(tcp).await.unwrap();
                    let mut served = 0;
                    while let Some(Ok((_, mut respond))) = h2.accept().await {
                        respond.send_response(Response::new(()), true).unwrap();
                        served += 1;
                        if served == 3 {
                            h2.graceful_shutdown();
                        }
                    }
                });
            }
        });
        let mut client = gateway.h2().await;
        for n in 0..30 {
            let request = Request::get("http://fickle.internal/")
                .body(TestBody::empty())
                .unwrap();
            assert_eq!(
                client.send_request(request).await.unwrap().status(),
                StatusCode::OK,
                "request {n}"
            );
        }
        assert!(connections.get() >= 5, "{}", connections.get());
    });
}

#[test]
fn websockets_and_other_switches_pass() {
    run(|| async {
        let gateway = Gateway::start().await;
        let address = raw_endpoint(|mut tcp| async move {
            let head = read_head(&mut tcp).await.to_ascii_lowercase();
            assert!(
                head.contains("upgrade: shout") && head.contains("connection: upgrade"),
                "{head}"
            );
            let accept = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: shout\r\n\r\n";
            tcp.write_all(accept).await.unwrap();
            let mut word = [0; 3];
            while tcp.read_exact(&mut word).await.is_ok() {
                tcp.write_all(&word.to_ascii_uppercase()).await.unwrap();
            }
        })
        .await;
        gateway.service("shout", Protocol::Unspecified, &[address]);
        let mut tcp = gateway.connect().await;
        let ask =
            b"GET /shout/ HTTP/1.1\r\nHost: gw\r\nConnection: keep-alive, Upgrade\r\nUpgrade: shout\r\n\r\n";
        tcp.write_all(ask).await.unwrap();
        let head = read_head(&mut tcp).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        for _ in 0..3 {
            tcp.write_all(b"abc").await.unwrap();
            let mut word = [0; 3];
            tcp.read_exact(&mut word).await.unwrap();
            assert_eq!(&word, b"ABC");
        }
        assert_eq!(gateway.active(), 1);
        let open = || gateway.shared.metrics_snapshot().connections;
        assert_eq!(open(), 1, "a tunnel is a connection");
        drop(tcp);
        until("the tunnel ends", || (gateway.active(), open()) == (0, 0)).await;
    });
}

#[test]
fn a_tunnel_that_rests_too_long_is_cut_and_one_at_a_stop_too() {
    run(|| async {
        let address = raw_endpoint(|mut tcp| async move {
            read_head(&mut tcp).await;
            let accept = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: hush\r\n\r\n";
            tcp.write_all(accept).await.unwrap();
            read_head(&mut tcp).await;
        })
        .await;
        let short = Duration::from_millis(300);
        for stop in [false, true] {
            let settings = if stop {
                Settings {
                    drain: short,
                    ..Settings::default()
                }
            } else {
                Settings {
                    stream_idle: short,
                    ..Settings::default()
                }
            };
            let mut gateway = Gateway::with(settings).await;
            gateway.service("hush", Protocol::Http, &[address]);
            let mut tcp = gateway.connect().await;
            let ask = b"GET /hush/ HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: hush\r\n\r\n";
            tcp.write_all(ask).await.unwrap();
            assert!(read_head(&mut tcp).await.starts_with("HTTP/1.1 101"));
            if stop {
                gateway.stop();
            }
            let mut rest = Vec::new();
            let end = tokio::time::timeout(SOON, tcp.read_to_end(&mut rest)).await;
            assert!(end.is_ok(), "still open; stop {stop}");
            until("released", || gateway.active() == 0).await;
        }
    });
}

#[test]
fn a_switch_that_nobody_asked_for_is_a_bad_response() {
    run(|| async {
        let gateway = Gateway::start().await;
        let address = raw_endpoint(|mut tcp| async move {
            read_head(&mut tcp).await;
            let _ = tcp
                .write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n")
                .await;
        })
        .await;
        gateway.service("odd", Protocol::Http, &[address]);
        let (status, _, body) = gateway.get("/odd/").await;
        assert_eq!(status, 502, "{body}");
        assert!(body.contains("bad-response"), "{body}");
    });
}

#[test]
fn a_switch_is_refused_where_there_is_none() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, seen) = endpoint(true, hello).await;
        gateway.service("two", Protocol::H2c, &[address]);
        let ask =
            "GET /two/ HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n";
        let answer = gateway.raw(ask).await;
        assert!(
            answer.starts_with("HTTP/1.1 501") && answer.contains("upgrade-refused"),
            "{answer}"
        );
        assert_eq!(seen.requests.get(), 0);
        let ask = "GET /two/ HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n";
        assert!(
            gateway.raw(ask).await.starts_with("HTTP/1.1 200"),
            "an offer of h2c is declined in silence"
        );
    });
}

#[test]
fn proxy_mode_reaches_registered_services_only() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, seen) = endpoint(false, hello).await;
        gateway.service("orders", Protocol::Http, &[address]);
        let ask = "GET http://orders.internal/x HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n";
        assert!(gateway.raw(ask).await.starts_with("HTTP/1.1 200"));
        let head = seen.head.borrow_mut().take().unwrap();
        assert_eq!(
            (head.uri.path(), head.headers["host"].to_str().unwrap()),
            ("/x", "orders.internal")
        );
        let ask = "GET http://example.com/orders/ HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n";
        let answer = gateway.raw(ask).await;
        assert!(
            answer.starts_with("HTTP/1.1 403") && answer.contains("not-an-open-proxy"),
            "{answer}"
        );
        assert!(
            answer.contains("proxy-status: tsugite; error=destination_not_found"),
            "{answer}"
        );
        let ask = "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nConnection: close\r\n\r\n";
        let answer = gateway.raw(ask).await;
        assert!(
            answer.starts_with("HTTP/1.1 405") && answer.contains("tunnel-refused"),
            "{answer}"
        );
        assert_eq!(seen.requests.get(), 1);
    });
}

#[test]
fn problems_say_what_went_wrong() {
    run(|| async {
        let gateway = Gateway::start().await;
        let free = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let garbage = raw_endpoint(|mut tcp| async move {
            read_head(&mut tcp).await;
            let _ = tcp.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
        })
        .await;
        let mute = raw_endpoint(|mut tcp| async move { drop(read_head(&mut tcp).await) }).await;
        gateway
            .service("dead", Protocol::Http, &[free])
            .service("empty", Protocol::Http, &[]);
        gateway
            .service("garbage", Protocol::Http, &[garbage])
            .service("mute", Protocol::Http, &[mute]);
        for (path, status, name) in [
            ("/dead/", 502, "endpoint-unreachable"),
            ("/empty/", 503, "no-available-endpoint"),
            ("/garbage/", 502, "bad-response"),
            ("/mute/", 502, "connection-broken"),
            ("/nobody/", 404, "no-route"),
            ("/dead/../empty/", 400, "refused-path"),
        ] {
            let (got, headers, body) = gateway.get(path).await;
            assert_eq!(got, status, "{path}: {body}");
            assert!(
                body.contains(&format!("\"type\":\"urn:tsugite:problem:{name}\"")),
                "{path}: {body}"
            );
            assert!(body.contains("\"instance\":\"urn:uuid:"), "{path}: {body}");
            assert_eq!(headers["content-type"], "application/problem+json", "{path}");
        }
        assert_eq!(gateway.active(), 0);
    });
}

#[test]
fn configured_routes_set_limits() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, _) = endpoint(false, hang).await;
        gateway.service("slow", Protocol::Http, &[address]);
        let mut route = Route::new("slow", ServiceKey::new("internal", "slow"));
        route.path_prefix = "/limited".into();
        route.timeout = Some(Duration::from_millis(50));
        gateway.route(route);
        let (status, _, body) = gateway.get("/limited/x").await;
        assert_eq!(status, 504);
        assert!(
            body.contains("response-timeout") && body.contains("slow.internal"),
            "{body}"
        );
        assert_eq!(gateway.count("slow", ResponseClass::Timeout), 1);
    });
}

#[test]
fn the_limit_of_a_route_covers_the_body_and_starts_when_the_request_is_complete() {
    run(|| async {
        let settings = Settings {
            route_timeout: Duration::from_millis(150),
            ..Settings::default()
        };
        let gateway = Gateway::with(settings).await;
        let (stuck, _) = endpoint(false, |_| async {
            let (feed, body) = TestBody::fed();
            feed.send(Frame::data(Bytes::from("begun"))).unwrap();
            tokio::task::spawn_local(async move {
                feed.closed().await;
            });
            Response::new(body)
        })
        .await;
        let (patient, _) = endpoint(false, |request| async move {
            Response::new(TestBody::of(
                request.into_body().collect().await.unwrap().to_bytes(),
            ))
        })
        .await;
        gateway
            .service("stuck", Protocol::Http, &[stuck])
            .service("patient", Protocol::Http, &[patient]);

        let request = Request::get("/stuck/")
            .header("host", "gw")
            .body(TestBody::empty())
            .unwrap();
        let mut body = gateway
            .h1()
            .await
            .send_request(request)
            .await
            .unwrap()
            .into_body();
        assert_eq!(piece(&mut body).await, "begun");
        assert!(body.frame().await.unwrap().is_err(), "cut off");
        assert_eq!(gateway.count("stuck", ResponseClass::Timeout), 1);

        let (feed, body) = TestBody::fed();
        let request = Request::post("/patient/")
            .header("host", "gw")
            .body(body)
            .unwrap();
        let mut client = gateway.h1().await;
        let answer = tokio::task::spawn_local(async move { client.send_request(request).await.unwrap() });
        for _ in 0..10 {
            feed.send(Frame::data(Bytes::from("."))).unwrap();
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        drop(feed);
        let answer = answer.await.unwrap();
        assert_eq!(
            answer.status(),
            StatusCode::OK,
            "an upload of 400 ms under a limit of 150 ms"
        );
        assert_eq!(
            answer.into_body().collect().await.unwrap().to_bytes(),
            ".........."
        );
    });
}
