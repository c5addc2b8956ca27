//! Bad input and dying peers: a clear answer, bounded memory, nothing leaked, and the next client is served.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::*;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tsugite_gateway::{ResponseClass, Settings};
use tsugite_traffic::Protocol;

const QUICK: Duration = Duration::from_millis(300);

async fn with_greeter() -> Gateway {
    let settings = Settings {
        header_timeout: QUICK,
        keep_alive: QUICK,
        ..Settings::default()
    };
    let gateway = Gateway::with(settings).await;
    let (address, _) = endpoint(false, hello).await;
    gateway.service("greeter", Protocol::Http, &[address]);
    gateway
}

async fn still_serves(gateway: &Gateway) {
    assert_eq!(gateway.get("/greeter/").await.2, "hello");
    assert_eq!(gateway.active(), 0);
}

#[test]
fn malformed_heads_are_answered_with_a_problem_and_never_forwarded() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, seen) = endpoint(false, hello).await;
        gateway.service("greeter", Protocol::Http, &[address]);
        let many = "x: y\r\n".repeat(101);
        let long = "y".repeat(70_000);
        for (head, status, name) in [
            ("BLAH\r\n\r\n".to_owned(), 400, "malformed-request"),
            ("GET /greeter/ HTTP/1.1\r\nHo st: a\r\n\r\n".into(), 400, "malformed-request"),
            ("GET /greeter/ HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n".into(), 400, "malformed-request"),
            ("GET /greeter/ HTTP/1.1\r\nConnection: close\r\n\r\n".into(), 400, "malformed-request"),
            ("GET /greeter/ HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n".into(), 400, "malformed-request"),
            ("POST /greeter/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".into(), 400, "malformed-request"),
            ("POST /greeter/ HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n".into(), 400, "malformed-request"),
            ("POST /greeter/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n".into(), 400, "malformed-request"),
            ("POST /greeter/ HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".into(), 400, "malformed-request"),
            ("POST /greeter/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), 400, "ambiguous-length"),
            ("POST /greeter/ HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n".into(), 400, "ambiguous-length"),
            (format!("GET /greeter/ HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431, "headers-too-large"),
            (format!("GET /greeter/ HTTP/1.1\r\nHost: a\r\nx: {long}\r\n\r\n"), 431, "headers-too-large"),
        ] {
            let answer = gateway.raw(&head).await;
            let line = head.lines().nth(1).unwrap_or(&head);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer}");
            assert!(answer.contains(&format!("urn:tsugite:problem:{name}")), "{line}: {answer}");
            assert!(answer.contains("application/problem+json"), "{line}: {answer}");
        }
        assert_eq!(seen.requests.get(), 0);
        assert_eq!(gateway.get("/greeter/").await.0, 200);
    });
}

#[test]
fn a_flood_of_headers_ends_early_and_its_answer_arrives() {
    run(|| async {
        let gateway = with_greeter().await;
        let mut tcp = gateway.connect().await;
        let (mut read, mut write) = tcp.split();
        let flood = async {
            let line = format!("x-flood: {}\r\n", "y".repeat(1000));
            let _ = write.write_all(b"GET /greeter/ HTTP/1.1\r\nHost: a\r\n").await;
            for _ in 0..200 {
                if write.write_all(line.as_bytes()).await.is_err() {
                    break;
                }
            }
        };
        let mut answer = Vec::new();
        let (_, got) = tokio::join!(flood, tokio::time::timeout(SOON, read.read_to_end(&mut answer)));
        got.unwrap().unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 431") && answer.contains("headers-too-large"),
            "{answer}"
        );
        still_serves(&gateway).await;
    });
}

#[test]
fn slow_heads_and_forgotten_connections_are_closed_in_time() {
    run(|| async {
        let gateway = with_greeter().await;
        let request = "GET /greeter/ HTTP/1.1\r\nHost: a\r\n";
        let served = format!("{request}\r\n");
        // (bytes at once, bytes dripped)
        for (start, drip) in [
            ("", ""),
            (request, "x"),
            (served.as_str(), ""),
            ("PRI * HTTP/2.0\r\n", ""),
        ] {
            let begun = Instant::now();
            let mut tcp = gateway.connect().await;
            tcp.write_all(start.as_bytes()).await.unwrap();
            let (mut read, mut write) = tcp.into_split();
            let dripping = tokio::task::spawn_local(async move {
                while !drip.is_empty() && write.write_all(drip.as_bytes()).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                write
            });
            let mut got = Vec::new();
            let _ = tokio::time::timeout(SOON, read.read_to_end(&mut got))
                .await
                .expect("not closed");
            let took = begun.elapsed();
            dripping.abort();
            assert!(
                took >= QUICK && took < QUICK + Duration::from_secs(2),
                "{start:?}: {took:?}"
            );
        }
        until("all are gone", || {
            gateway.shared.metrics_snapshot().connections == 0
        })
        .await;
        still_serves(&gateway).await;
    });
}

#[test]
fn broken_http2_ends_its_connection_only() {
    run(|| async {
        let gateway = with_greeter().await;
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        for frame in [
            &[0, 0, 9, 1, 5, 0, 0, 0][..],                // half a frame header, then silence
            &[0, 0, 50, 1, 5, 0, 0, 0, 1, 0x82][..],      // HEADERS cut short
            &[0, 0, 1, 1, 5, 0, 0, 0, 1, 0xff][..],       // HPACK garbage
            &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1][..],    // a frame longer than allowed
            &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], // WINDOW_UPDATE of zero
            &[0, 0, 0, 0, 0, 0, 0, 0, 0][..],             // DATA on stream 0
            &[0, 0, 0, 9, 4, 0, 0, 0, 1][..],             // CONTINUATION out of place
        ] {
            let mut tcp = gateway.connect().await;
            tcp.write_all(preface).await.unwrap();
            tcp.write_all(&settings).await.unwrap();
            tcp.write_all(frame).await.unwrap();
            tcp.shutdown().await.unwrap();
            let mut got = Vec::new();
            let _ = tokio::time::timeout(SOON, tcp.read_to_end(&mut got))
                .await
                .expect("not closed");
        }
        still_serves(&gateway).await;
    });
}

#[test]
fn a_client_that_leaves_releases_everything() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, seen) = endpoint(false, hang).await;
        let (h2_address, h2_seen) = endpoint(true, hang).await;
        gateway
            .service("slow", Protocol::Http, &[address])
            .service("slow2", Protocol::H2c, &[h2_address]);
        for path in ["/slow/", "/slow2/"] {
            let mut tcp = gateway.connect().await;
            tcp.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
                .await
                .unwrap();
            until("the request is upstream", || gateway.active() == 1).await;
            drop(tcp);
            until("it is given up", || gateway.active() == 0).await;
        }
        until("the endpoint sees it", || seen.open.get() == 0).await;
        assert_eq!(
            h2_seen.open.get(),
            1,
            "an HTTP/2 connection lives on, only its stream is reset"
        );
        assert_eq!(gateway.count("slow", ResponseClass::Cancelled), 1);
        let rates = gateway.shared.circuit("slow.internal").unwrap().rates;
        assert_eq!(
            rates.calls, 0,
            "a client that left says nothing about the service"
        );

        // A reset of one HTTP/2 stream likewise.
        let mut client = gateway.h2().await;
        let request = Request::get("http://slow.internal/")
            .body(TestBody::empty())
            .unwrap();
        let waiting = tokio::task::spawn_local(async move { client.send_request(request).await });
        until("the request is upstream", || gateway.active() == 1).await;
        waiting.abort();
        until("it is given up", || gateway.active() == 0).await;
    });
}

#[test]
fn a_body_that_is_not_http_is_the_clients_fault() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, _) = endpoint(false, hang).await;
        gateway.service("slow", Protocol::Http, &[address]);
        for body in ["zzz\r\n", "3\r\nabcde\r\n"] {
            let answer = gateway
                .raw(&format!(
                    "POST /slow/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
                ))
                .await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{body}: {answer}");
            assert!(
                answer.contains("urn:tsugite:problem:malformed-request"),
                "{body}: {answer}"
            );
        }
        until("all is given up", || gateway.active() == 0).await;
        until("both are counted, against nobody", || {
            let totals = gateway.shared.circuit("slow.internal").unwrap().totals;
            (totals.failure, totals.ignored) == (0, 2)
        })
        .await;
    });
}

#[test]
fn a_client_that_closes_its_half_counts_as_gone() {
    run(|| async {
        let gateway = Gateway::start().await;
        let (address, _) = endpoint(false, hang).await;
        gateway.service("slow", Protocol::Http, &[address]);
        let mut tcp = gateway.connect().await;
        tcp.write_all(b"POST /slow/ HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
            .await
            .unwrap();
        until("the request is upstream", || gateway.active() == 1).await;
        tcp.shutdown().await.unwrap();
        let mut got = Vec::new();
        tokio::time::timeout(SOON, tcp.read_to_end(&mut got))
            .await
            .expect("not closed")
            .unwrap();
        until("it is given up", || gateway.active() == 0).await;
        let totals = gateway.shared.circuit("slow.internal").unwrap().totals;
        assert_eq!(
            totals.failure, 0,
            "the client's broken upload is not the service's failure"
        );
    });
}

#[test]
fn an_endpoint_that_dies_in_the_middle_is_a_failure_that_the_client_sees() {
    run(|| async {
        let gateway = Gateway::start().await;
        let address = raw_endpoint(|mut tcp| async move {
            read_head(&mut tcp).await;
            tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this")
                .await
                .unwrap();
        })
        .await;
        gateway.service("dying", Protocol::Http, &[address]);
        for h2 in [false, true] {
            let request = Request::get("http://dying.internal/").header("host", "dying.internal");
            let request = request.body(TestBody::empty()).unwrap();
            let response = if h2 {
                gateway.h2().await.send_request(request).await
            } else {
                gateway.h1().await.send_request(request).await
            };
            assert!(
                response.unwrap().into_body().collect().await.is_err(),
                "h2 {h2}: a cut body looks complete"
            );
        }
        assert_eq!(gateway.count("dying", ResponseClass::Unreachable), 2);
        until("counted", || {
            gateway.shared.circuit("dying.internal").unwrap().rates.failed == 2
        })
        .await;
    });
}

#[test]
fn a_client_that_does_not_read_holds_little() {
    run(|| async {
        let settings = Settings {
            stream_idle: Duration::from_secs(1),
            ..Settings::default()
        };
        let gateway = Gateway::with(settings).await;
        let sent = std::rc::Rc::new(std::cell::Cell::new(0usize));
        let counted = sent.clone();
        let address = raw_endpoint(move |mut tcp| {
            let counted = counted.clone();
            async move {
                read_head(&mut tcp).await;
                let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                let block = vec![b'x'; 64 * 1024];
                while tcp.write_all(&block).await.is_ok() {
                    counted.set(counted.get() + block.len());
                }
            }
        })
        .await;
        gateway.service("fountain", Protocol::Http, &[address]);
        let mut tcp = gateway.connect().await;
        tcp.write_all(b"GET /fountain/ HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        until("it is stuck and then cut off", || {
            gateway.shared.metrics_snapshot().connections == 0
        })
        .await;
        // Kernel buffers on both legs are the bulk of it.
        assert!(sent.get() < 24 << 20, "{} bytes went somewhere", sent.get());
        drop(tcp);
        until("released", || gateway.active() == 0).await;
    });
}

#[test]
fn a_full_house_waits_in_the_kernel() {
    run(|| async {
        let settings = Settings {
            max_connections: 2,
            ..Settings::default()
        };
        let gateway = Gateway::with(settings).await;
        let (address, _) = endpoint(false, hello).await;
        gateway.service("greeter", Protocol::Http, &[address]);
        let (first, second) = (gateway.connect().await, gateway.connect().await);
        until("both are in", || {
            gateway.shared.metrics_snapshot().connections == 2
        })
        .await;
        let mut third = gateway.h1().await;
        let request = Request::get("/greeter/")
            .header("host", "a")
            .body(TestBody::empty())
            .unwrap();
        let answer =
            tokio::task::spawn_local(async move { third.send_request(request).await.unwrap().status() });
        tokio::task::yield_now().await;
        assert_eq!(gateway.shared.metrics_snapshot().connections, 2);
        drop(first);
        assert_eq!(answer.await.unwrap(), 200);
        drop(second);
    });
}

#[test]
fn a_stop_lets_what_is_in_progress_end() {
    run(|| async {
        let mut gateway = Gateway::start().await;
        let (address, _) = endpoint(false, |_| async {
            let (feed, body) = TestBody::fed();
            tokio::task::spawn_local(async move {
                for _ in 0..5 {
                    tokio::time::sleep(Duration::from_millis(40)).await;
                    let _ = feed.send(Frame::data(Bytes::from(".")));
                }
            });
            Response::new(body)
        })
        .await;
        gateway.service("slow", Protocol::Http, &[address]);
        let resting = gateway.h1().await;
        let (mut h1, mut h2) = (gateway.h1().await, gateway.h2().await);
        let request = || {
            let request = Request::get("http://slow.internal/").header("host", "slow.internal");
            request.body(TestBody::empty()).unwrap()
        };
        let (one, two) = tokio::join!(h1.send_request(request()), h2.send_request(request()));
        gateway.stop();
        for answer in [one, two] {
            assert_eq!(
                answer.unwrap().into_body().collect().await.unwrap().to_bytes(),
                "....."
            );
        }
        tokio::time::timeout(SOON, &mut gateway.stopped)
            .await
            .expect("does not stop")
            .unwrap();
        until("resting connections are closed", || resting.is_closed()).await;
        assert!(
            tokio::net::TcpStream::connect(gateway.address).await.is_err(),
            "still listening"
        );
    });
}

#[test]
fn a_stop_cuts_what_does_not_end() {
    run(|| async {
        let settings = Settings {
            drain: Duration::from_millis(100),
            ..Settings::default()
        };
        let mut gateway = Gateway::with(settings).await;
        let (address, _) = endpoint(false, hang).await;
        gateway.service("slow", Protocol::Http, &[address]);
        let mut tcp = gateway.connect().await;
        tcp.write_all(b"GET /slow/ HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        until("the request is upstream", || gateway.active() == 1).await;
        gateway.stop();
        tokio::time::timeout(SOON, &mut gateway.stopped)
            .await
            .expect("does not stop")
            .unwrap();
        assert_eq!(gateway.active(), 0);
    });
}
